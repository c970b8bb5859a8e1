"""`shipei rig check`: a row for each port, and which of them fails."""

import json

from typer.testing import CliRunner

from harness.paths import RIGS
from shipei.cli import app


def shipei(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_rig_check_says_which_port_fails(tmp_path):
    done = shipei("rig", "check", "sim", "--json")
    assert done.exit_code == 0
    assert {row["port"]: row["says"].split(",")[0] for row in json.loads(done.stdout)["ports"]} == dict.fromkeys(
        ("power", "console", "body", "adas"), "open"
    )
    text = (RIGS / "hub.yaml").read_text().replace('SerialConsole", on: power', 'SerialConsole", url: /dev/nothing')
    (tmp_path / "broken.yaml").write_text(text)
    done = shipei("rig", "check", tmp_path / "broken.yaml", "--json")
    rows = {row["port"]: row for row in json.loads(done.stdout)["ports"]}
    assert done.exit_code == 3
    assert "/dev/nothing does not open" in rows["console"]["says"]
