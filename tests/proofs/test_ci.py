"""What `shipei ci` leaves for a pipeline: it says what the verdict says, to whoever reads it, and nothing that others wrote becomes a command."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from harness.paths import ROOT
from rigs.ecus import build
from tests.support.stores import PROFILE

BOTH = PROFILE.replace("[COCKPIT-SPEED-001]", "[COCKPIT-SPEED-001, CAN-TIMEOUT-001]")
CTRF = {"name": str, "status": str, "duration": int}
SUMMARY = ("tests", "passed", "failed", "pending", "skipped", "other", "start", "stop")


def shipei(folder, *arguments, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    return subprocess.run(
        [sys.executable, "-m", "harness", "ci", *map(str, arguments)],
        cwd=folder, env=env | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def github(folder):
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(folder / "step"),
        "GITHUB_OUTPUT": str(folder / "out"),
    }


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A certified push, and then one that is refused: (folder, what each said)."""
    folder = tmp_path_factory.mktemp("ci")
    (folder / "short.yaml").write_text(BOTH)
    build.build(folder / "s")
    good = shipei(folder, "s", "--profile", "short.yaml", "-o", "good", **github(folder))
    build.build(folder / "s", {"HEAL_MS": "505"})
    bad = shipei(folder, "s", "--profile", "short.yaml", "-o", "bad", **github(folder))
    return folder, good, bad


def test_exit_codes_are_the_verdicts(pipeline):
    folder, good, bad = pipeline
    assert (good.returncode, bad.returncode) == (0, 1), (good.stderr, bad.stderr)
    missing = shipei(folder, "nowhere", **github(folder))
    assert missing.returncode == 2


def test_ctrf_says_what_the_verdict_says(pipeline):
    folder, *_ = pipeline
    for name, failed in (("good", 0), ("bad", 1)):
        found = json.loads((folder / name / "ctrf.json").read_text())
        assert found["reportFormat"] == "CTRF"
        told = found["results"]
        assert set(SUMMARY) <= set(told["summary"])
        assert all(isinstance(one[key], kind) for one in told["tests"] for key, kind in CTRF.items())
        assert (told["summary"]["tests"], told["summary"]["failed"]) == (2, failed)
        assert {t["name"]: t["rawStatus"] for t in told["tests"]}["CAN-TIMEOUT-001"] == ("fail" if failed else "pass")
        assert told["summary"]["stop"] >= told["summary"]["start"] > 1_600_000_000_000
        assert all(t["duration"] > 100 for t in told["tests"])


def test_the_summary_says_who_acts_and_what_is_new(pipeline):
    folder, *_ = pipeline
    good, bad = ((folder / name / "summary.md").read_text() for name in ("good", "bad"))
    assert good.startswith("## ✅ certified: sim-1/cpython-3.11/cockpit-1.4.0\n")
    assert "2 of 2 requirements" in good
    assert "1 of 2 requirements" in bad
    assert "the vendor: the device is wrong" in bad
    assert "- newly failing: CAN-TIMEOUT-001" in bad.replace("\\", "")
    assert (folder / "step").read_text() == good + bad


def test_annotations_stand_where_the_feature_is_declared(pipeline):
    folder, good, bad = pipeline
    assert "::error" not in good.stderr
    (line,) = [one for one in bad.stderr.splitlines() if one.startswith("::error")]
    assert line.startswith("::error file=s/submission.yaml,line=")
    assert "title=CAN-TIMEOUT-001 fail::" in line
    number = int(line.partition("line=")[2].partition(",")[0])
    assert "supervision" in (folder / "s" / "submission.yaml").read_text().splitlines()[number - 1]
    out = (folder / "out").read_text().splitlines()
    assert out[0] == "decision=certified"
    assert out[2] == "decision=refused"
    assert all(Path(folder, one.partition("=")[2], "verdict.json").is_file() for one in out[1::2])


def test_mistakes_of_the_input_are_annotations_too(tmp_path):
    build.build(tmp_path / "s")
    file = tmp_path / "s" / "submission.yaml"
    file.write_text(file.read_text().replace("chip: {name: sim,", "chip: {name: simm%0A::error::x,"))
    done = shipei(tmp_path, "s", **github(tmp_path))
    assert done.returncode == 2
    lines = [one for one in done.stderr.splitlines() if one.startswith("::")]
    assert lines
    assert all(one.startswith("::error file=s/submission.yaml,line=") for one in lines)
    assert any("simm%250A" in one for one in lines)  # what would begin a line of its own does not
    assert not (tmp_path / "ci").exists()


def test_badge_and_junit(pipeline):
    folder, *_ = pipeline
    badge = json.loads((folder / "bad" / "badge.json").read_text())
    assert (badge["schemaVersion"], badge["label"], badge["message"]) == (1, "cockpit 1.4.0", "refused, virtual rig")
    svg = ET.fromstring((folder / "good" / "badge.svg").read_text())
    assert svg.get("aria-label") == "cockpit 1.4.0: certified, virtual rig"
    assert ET.fromstring((folder / "bad" / "junit.xml").read_text()).get("failures") == "1"


def test_outside_of_github_nothing_of_it_is_said(tmp_path):
    (tmp_path / "short.yaml").write_text(BOTH)
    build.build(tmp_path / "s", {"HEAL_MS": "505"})
    done = shipei(tmp_path, "s", "--profile", "short.yaml", "--json")
    assert done.returncode == 1
    assert "::error" not in done.stderr
    found = json.loads(done.stdout)
    assert Path(tmp_path, found["links"]["ctrf"]).is_file()
    assert found["decision"] == "refused"


def steps(file):
    """The commands of an action or of a job, with what they are given."""
    found = yaml.safe_load((ROOT / file).read_text())
    if "runs" in found:
        return [(s["run"], s.get("env", {})) for s in found["runs"]["steps"] if "run" in s]
    return [(line, {}) for line in found["certify"]["script"]]


@pytest.mark.parametrize("file", ["action.yml", "docs/gitlab-ci.yml"])
def test_the_examples_run(file, tmp_path):
    """The last command of each, as the service would run it: with what it is given in its environment."""
    (tmp_path / "venv").symlink_to(Path(sys.executable).parents[1])
    build.build(tmp_path / "submission")
    command, given = steps(file)[-1]
    inputs = {"submission": "submission", "rig": "sim", "output": "ci"}
    env = {name: inputs[value.split(".")[1].rstrip(" }")] for name, value in given.items()}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=os.environ | github(tmp_path) | env | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "ci" / "junit.xml").is_file()
    assert (tmp_path / "out").read_text().startswith("decision=certified\n")
