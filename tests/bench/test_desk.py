"""The first day with a bench: its rig file opens, says what is wrong in the bench's words, certifies, and is left safe."""

import json
import re
import subprocess
import sys

import pytest

from harness import certificate, certify, record, rejudge
from harness.model import Decision
from rigs.ecus import build
from tests.support.desk import SHORT, desk, device


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    return build.build(tmp_path_factory.mktemp("desk") / "s")


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text(SHORT)
    return str(file)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A desk whose rig remembers things in this test's own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with desk(tmp_path / "bench") as found:
        yield found


def shipei(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


def rows(rig, *options):
    code, out, err = shipei("rig", "check", rig, *options, "--json")
    return code, {row["port"]: row for row in json.loads(out)["ports"]}, err


def test_certifies_through_supply_console_adapter_and_boot_loader(here, submission, profile, tmp_path):
    said = []
    done = certify.certify(submission, str(here.rig), tmp_path / "runs", certify.Terms(profile=profile), said.append)
    assert done.verdict.decision is Decision.CERTIFIED, done.verdict
    assert not here.powered
    statement = certificate.verify(done.certificate).statement
    (image,) = statement["predicate"]["image"]
    arrived = r"flashed over UDS in \d attempt\(s\), checked by the device; DID F189 reads '1\.4\.0'"
    assert re.fullmatch(arrived, image["image_arrived"])
    assert statement["subject"][0]["name"].startswith("virtual:")
    assert any("flash: 100%" in what for what in said)
    assert rejudge.rejudge(done.folder / "record").requirements == done.verdict.requirements
    opened = [e.port for e in record.events(done.folder / "record") if e.what == "opened"]
    assert opened == ["power", "console", "body", "diag", "flash"]


def test_rig_check_opens_everything_and_flashes_only_when_asked(here, submission):
    code, found, _ = rows(here.rig)
    assert code == 0
    assert "Shipei,Desk Supply" in found["power"]["says"]
    assert "--flash does" in found["flash"]["says"]
    assert not (here.folder / "flash" / "active").exists()
    code, found, _ = rows(here.rig, "--submission", submission, "--flash")
    assert code == 0, found
    assert "frames on body" in found["device"]["says"]
    assert (here.folder / "flash" / "active").read_text() == "a"
    assert not here.powered


@pytest.mark.parametrize(
    ("spoil", "port", "words"),
    [
        ([("url: {f}/console", "url: {f}/no-console")], "console", ["there is no such device", "is it plugged in?"]),
        ([("channel: {f}/can", "channel: {f}/no-can")], "body", ["there is no such device"]),
        ([("::SOCKET", "9::SOCKET")], "power", ["does not open"]),
        ([("volts: 12.0", "volts: 60.0")], "power", ["refuses VOLT 60", "Data out of range"]),
        ([("bitrate: 500000", "bitrate: 333000")], "body", ["Invalid bitrate"]),
        (
            [("slcan", "pcan"), ("channel: {f}/can", "channel: PCAN_USBBUS1"), ("sleep_after_open: 0.1", "fd: false")],
            "body",
            ["PCAN", "driver"],
        ),
        (
            [('{{use: "adapters.uds:UdsOverCan"}}', '{{use: "adapters.uds:UdsOverCan"}}'), ("  body:", "  bodi:")],
            "diag",
            ["body"],
        ),
    ],
)
def test_rig_check_says_what_is_wrong_and_still_tries_the_rest(spoil, port, words, here):
    changes = [(old.format(f=here.folder), new.format(f=here.folder)) for old, new in spoil]
    code, found, err = rows(here.edit(*changes))
    assert code == 3
    assert not found[port]["ok"]
    for word in words:
        assert word in found[port]["says"], found[port]["says"]
    others = {name: row for name, row in found.items() if name != port}
    standing_on_it = [n for n, row in others.items() if not row["ok"]]
    assert set(standing_on_it) <= {"diag", "flash", "bodi"}, found
    assert "Traceback" not in err


def test_a_wrong_bit_rate_shows_as_a_live_device_that_is_not_heard(here, submission):
    assert rows(here.rig, "--submission", submission, "--flash")[0] == 0
    here.do("bitrate", rate=250_000)
    code, found, _ = rows(here.rig, "--submission", submission)
    assert code == 3
    assert "0 frames on body" in found["device"]["says"]
    assert "check wiring, bit rate" in found["device"]["says"]


def test_a_busy_console_names_who_has_it(here):
    with device(here.folder / "console"):
        text = __import__("adapters._process.words", fromlist=["users"]).users(str(here.folder / "console"))
    assert "pid" in text  # the desk's own end
