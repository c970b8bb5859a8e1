"""Recordings of other tools, judged by the requirements that only look."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import certify
from harness.can import logs, trace
from harness.can.log import Log
from harness.errors import BadInput
from harness.judge_log import Recording, Stretch, judge_log
from harness.model import Decision, Outcome
from rigs.ecus import build
from shipei import cli

QUIET = """name: quiet
version: "1"
suites: [common]
mandatory: [CAN-CYCLE-001, CAN-MATRIX-001, E2E-SENT-001]
limit_s: 60
"""


def recorded(folder, constants=None):
    """A submission, and the frames of a run in which nobody disturbed it."""
    (folder / "quiet.yaml").write_text(QUIET)
    built = build.build(folder / "s", constants)
    run = certify.certify(built, "sim", folder / "r", certify.Terms(profile=str(folder / "quiet.yaml"))).folder
    return built, trace.load(run / "record" / "trace-body.bin")[0].copy()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("sound"))


def written(rows, file):
    logs.write(Log(rows=rows, channels=["can0"]), file)
    return file


def failed(found):
    return {j.requirement for j in found.verdict.requirements if j.outcome is not Outcome.PASS}


@pytest.mark.parametrize("ending", ["blf", "log", "asc"])
def test_a_sound_recording_passes_in_every_form_and_is_never_signed(ending, sound, tmp_path):
    built, rows = sound
    found = judge_log(Recording(file=written(rows, tmp_path / f"rec.{ending}")), built, tmp_path / "runs")
    assert (found.verdict.decision, failed(found)) == (Decision.CERTIFIED, set())
    assert "no certificate" in found.notes[0]
    assert not list(found.folder.glob("certificate*"))
    assert not found.plan.signable
    with pytest.raises(BadInput):
        certify.sign_run(found.folder, None)


@pytest.mark.parametrize(
    ("constants", "fails"),
    [
        ({"CYCLE_MS": '{"ClusterStatus": 54}'}, {"CAN-CYCLE-001"}),
        ({"SENT_CRC_XOR": "1"}, {"E2E-SENT-001"}),
        ({"UNUSED_BITS": '{"TelltaleStatus": 0x80}'}, {"CAN-VALUES-001"}),
    ],
)
def test_a_defective_device_is_found_in_its_recording(constants, fails, tmp_path):
    built, rows = recorded(tmp_path, constants)
    found = judge_log(Recording(file=written(rows, tmp_path / "rec.blf")), built, tmp_path / "runs")
    assert (found.verdict.decision, failed(found)) == (Decision.REFUSED, fails)


def test_what_the_recorder_sent_and_what_nobody_knows_is_not_the_devices(sound, tmp_path):
    built, rows = sound
    spoofed, strange = rows[-1:].copy(), rows[-1:].copy()
    own = rows[(rows["flags"] & 1) == 0]["id"][0]
    spoofed["id"], spoofed["flags"], spoofed["length"], strange["id"], strange["flags"] = own, 1, 1, 0x6AB, 0
    file = written(np.concatenate([rows, spoofed, strange]), tmp_path / "rec.blf")
    found = judge_log(Recording(file=file), built, tmp_path / "runs")
    assert failed(found) == set()
    assert any("1 identifiers are not in cockpit-a.dbc" in n and "6AB" in n for n in found.notes)


def test_only_a_stretch_of_it(sound, tmp_path):
    built, rows = sound
    broken = rows.copy()
    late = (broken["time_ns"] - broken["time_ns"][0] > 3_000_000_000) & ((broken["flags"] & 1) == 0)
    broken["data"][late, 0] ^= 0xFF
    file = written(broken, tmp_path / "rec.blf")
    assert "E2E-SENT-001" in failed(judge_log(Recording(file=file), built, tmp_path / "runs"))
    begin = Recording(file=file, stretch=Stretch(to_s=2.9))
    assert failed(judge_log(begin, built, tmp_path / "runs")) == set()


def test_a_damaged_recording_is_judged_as_far_as_it_can_be_read_and_says_so(sound, tmp_path):
    built, rows = sound
    file = written(rows, tmp_path / "rec.log")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:100], b"(nonsense\n", *lines[100:]]))
    found = judge_log(Recording(file=file), built, tmp_path / "runs")
    assert failed(found) == set()
    assert any(n.startswith("rec.log: ") for n in found.notes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--bus", "body"], "should be BUS=CHANNEL"),
        (["--bus", "bdy=can0"], "has no such bus (did you mean 'body'?)"),
        (["--bus", "body=can7"], "no channel 'can7'"),
        (["--from", "3600"], "no frames"),
        (["--to", "0.2"], "too short to be judged"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(options, says, sound, tmp_path):
    built, rows = sound
    file = written(rows, tmp_path / "rec.log")
    done = CliRunner().invoke(
        cli.app, ["judge-log", str(file), "-s", str(built), "--runs", str(tmp_path / "runs"), *options]
    )
    assert (done.exit_code, says in done.output + done.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_json_says_it_to_machines(sound, tmp_path):
    built, rows = sound
    file = written(rows, tmp_path / "rec.log")
    done = CliRunner().invoke(
        cli.app, ["judge-log", str(file), "-s", str(built), "--runs", str(tmp_path / "runs"), "--json"]
    )
    said = json.loads(done.stdout)
    assert (done.exit_code, said["decision"]) == (0, "certified")
    assert "no certificate" in said["links"]["notes"]


def test_a_submission_that_leads_outside_is_refused_and_nothing_is_copied(sound, tmp_path):
    built, rows = sound
    bad = tmp_path / "outer" / "bad"
    shutil.copytree(built, bad)
    (bad / "../victim").write_text("mine")
    text = (bad / "submission.yaml").read_text()
    (bad / "submission.yaml").write_text(text.replace("path: cockpit-1.4.0.pyz", "path: ../victim"))
    with pytest.raises(BadInput, match="leads outside the submission's folder"):
        judge_log(Recording(file=written(rows, tmp_path / "rec.log")), bad, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
