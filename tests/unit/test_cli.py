"""The command line as people and pipelines meet it: exit codes, messages, JSON, nothing half-written."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from harness.paths import ROOT
from rigs.ecus import build
from shipei.cli import app
from tests.support.stores import PROFILE


def shipei(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    build.build(folder / "s")
    (folder / "short.yaml").write_text(PROFILE)
    done = shipei("certify", folder / "s", "--runs", folder / "runs", "--no-report", "--profile", folder / "short.yaml")
    assert done.exit_code == 0, done.stderr
    return folder, next((folder / "runs").glob("*/1")), done


def test_certified_is_0_and_the_table_names_everything(certified):
    _, run, done = certified
    assert "CERTIFIED" in done.stdout
    for word in ("COCKPIT-SPEED-001", "PASS", "certificate.json", "junit.xml", "page/index.html"):
        assert word in done.stdout
    assert (run / "page" / "index.html").is_file()


def test_refused_is_1_and_every_failed_requirement_has_a_page(tmp_path):
    build.build(tmp_path / "s", {"SPEED_OFFSET_KMH": "7.3"})
    (tmp_path / "short.yaml").write_text(PROFILE)
    how = ("--no-report", "--json", "--profile", tmp_path / "short.yaml")
    done = shipei("certify", tmp_path / "s", "--runs", tmp_path / "runs", *how)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["decision"] == "refused"
    page = next((tmp_path / "runs").glob("*/1/page/COCKPIT-SPEED-001.html")).read_text()
    for part in (
        "stimulus",
        "VehicleSpeed",
        "expected and seen",
        "speed_error",
        "8.1",
        "frames",
        "--only COCKPIT-SPEED-001",
        "<svg",
    ):
        assert part in page
    assert not list((tmp_path / "runs").glob("*/1/certificate.json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("certify", "no-such-folder"),
        ("certify", "{s}", "--rig", "smi"),
        ("certify", "{s}", "--profile", "nothing-1.0"),
        ("certify", "{s}", "--key", "no-such.key"),
        ("plan", "{s}", "--only", "NOTHING"),
        ("judge", "no-such-run"),
        ("rejudge", "no-such-record"),
        ("sign", "no-such-run"),
        ("verify", "no-such-file"),
        ("schema", "submision"),
        ("rig", "check", "no-such.yaml"),
        ("submission", "check", "no-such"),
        ("submission", "unpack", "no-such.zip", "out"),
        ("no-such-command",),
    ],
)
def test_a_mistake_is_2_says_what_and_writes_nothing(certified, tmp_path, monkeypatch, arguments):
    folder, _, _ = certified
    monkeypatch.chdir(tmp_path)
    done = shipei(*(a.format(s=folder / "s") for a in arguments))
    assert done.exit_code == 2, (done.stdout, done.stderr)
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_as_json(tmp_path):
    done = shipei("certify", tmp_path / "nothing", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]) == (2, "input")


def test_each_stage_on_its_own(certified, tmp_path):
    folder, _, _ = certified
    done = shipei("plan", folder / "s", "-o", tmp_path / "plan.json", "--json")
    assert done.exit_code == 0
    assert json.loads((tmp_path / "plan.json").read_text()) == json.loads(done.stdout)
    done = shipei("run", folder / "s", "--runs", tmp_path / "runs", "--profile", folder / "short.yaml", "--json")
    record = json.loads(done.stdout)["record"]
    run = record.removesuffix("/record")
    assert shipei("judge", run).exit_code == 0
    assert shipei("rejudge", run).exit_code == 0
    assert shipei("sign", run).exit_code == 0
    done = shipei("verify", f"{run}/certificate.json", "--submission", folder / "s", "--json")
    assert (done.exit_code, json.loads(done.stdout)["predicate"]["decision"]) == (4, "certified")
    done = shipei("matrix", "--runs", tmp_path / "runs", "--json")
    assert [c["state"] for c in json.loads(done.stdout)] == ["certified"]
    assert {f.suffix for f in (tmp_path / "runs").glob("matrix.*")} == {".md", ".html", ".json"}


def test_a_void_run_is_3(certified, tmp_path):
    folder, _, _ = certified
    text = (ROOT / "rigs" / "sim.yaml").read_text().replace("seed: 1", "seed: 1, loss: 0.01")
    (tmp_path / "lossy.yaml").write_text(text)
    how = ("--no-report", "--profile", folder / "short.yaml", "--runs", tmp_path / "runs")
    done = shipei("certify", folder / "s", "--rig", tmp_path / "lossy.yaml", *how)
    assert done.exit_code == 3
    assert "frames were lost" in done.stdout
    assert "VOID" in done.stdout


def test_key_new_schema_and_submission_commands(tmp_path):
    assert shipei("key", "new", tmp_path / "lab.key").exit_code == 0
    assert shipei("key", "new", tmp_path / "lab.key").exit_code == 2
    assert json.loads(shipei("schema", "rig").stdout)["title"] == "Rig"
    assert shipei("schema", "verdict", "--example").stdout.startswith("#")
    assert shipei("submission", "new", tmp_path / "mine").exit_code == 0
    assert shipei("submission", "check", tmp_path / "mine").exit_code == 2  # the example's artefact is not there
    build.build(tmp_path / "s")
    assert shipei("submission", "pack", tmp_path / "s", "-o", tmp_path / "s.zip").exit_code == 0
    assert shipei("submission", "unpack", tmp_path / "s.zip", tmp_path / "out").exit_code == 0


def test_by_hand_with_pytest(certified):
    folder, _, _ = certified
    command = [
        sys.executable,
        "-m",
        "pytest",
        "test_suites/cockpit",
        "--rig",
        "sim",
        "--submission",
        str(folder / "s"),
        "--only",
        "COCKPIT-SPEED-001",
        "-q",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout
    done = subprocess.run(command[:4], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert (done.returncode, "need --rig and --submission" in done.stderr) == (4, True)
