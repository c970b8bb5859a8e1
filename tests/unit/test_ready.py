"""When a device counts as ready: its line on the console, its first diagnostic answer, its first frame."""

import shutil

import pytest
import yaml

from harness import certify, record
from harness.can import trace
from harness.model import Decision
from harness.paths import RIGS
from rigs.ecus import build

PROFILE = 'name: matrix\nversion: "1"\nsuites: [common]\nmandatory: [CAN-MATRIX-001]\nlimit_s: 60\n'


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A submission, a rig on which nobody reads a console, a profile that does not ask for one."""
    folder = tmp_path_factory.mktemp("ready")
    lines = (RIGS / "sim.yaml").read_text().splitlines()
    (folder / "deaf.yaml").write_text("\n".join(line for line in lines if not line.startswith("  console:")))
    (folder / "matrix.yaml").write_text(PROFILE)
    return build.build(folder / "submission"), folder


def certified(submission, folder, runs):
    return certify.certify(
        submission, str(folder / "deaf.yaml"), runs, certify.Terms(profile=str(folder / "matrix.yaml"))
    )


def edited(submission, target, before, after):
    shutil.copytree(submission, target)
    text = (target / "submission.yaml").read_text()
    assert before in text
    (target / "submission.yaml").write_text(text.replace(before, after))
    return target


def test_ready_by_the_first_diagnostic_answer(given, tmp_path):
    done = certified(*given, tmp_path)
    assert done.verdict.decision is Decision.CERTIFIED
    rows, _ = trace.load(done.folder / "record" / "trace-body.bin")
    asked, answered = (rows[rows["id"] == i] for i in (0x7A0, 0x7A8))
    assert len(asked) >= 1
    assert len(answered) == 1
    assert answered[0]["data"][:8].tobytes() == bytes.fromhex("027e00cccccccccc")


def test_a_device_that_does_not_answer_is_not_ready(given, tmp_path):
    submission, folder = given
    silent = edited(submission, tmp_path / "s", "request: 0x7A0", "request: 0x7A4")
    done = certified(silent, folder, tmp_path)
    assert done.verdict.decision is Decision.REFUSED
    whys = " ".join(e.why or "" for e in record.events(done.folder / "record"))
    assert "no answer to TesterPresent from 0x7a8" in whys


def test_ready_by_the_first_frame(given, tmp_path):
    submission, folder = given
    mute = tmp_path / "s"
    shutil.copytree(submission, mute)
    declared = yaml.safe_load((mute / "submission.yaml").read_text())
    del declared["interface"]["diagnostics"]
    declared["features"] = {"boot": declared["features"]["boot"]}
    (mute / "submission.yaml").write_text(yaml.safe_dump(declared))
    assert certified(mute, folder, tmp_path).verdict.decision is Decision.CERTIFIED


def test_wrong_diagnostics_are_told(given, tmp_path):
    submission, folder = given
    wrong = edited(submission, tmp_path / "s", "bus: body\n    request: 0x7A0", "bus: bodi\n    request: 0x7A00")
    edited(wrong, tmp_path / "t", 'did: 0xF189, text: "1.4.0"', 'did: 0xF1890, text: "1.4.0\\n"')
    with pytest.raises(Exception) as error:
        certified(tmp_path / "t", folder, tmp_path)
    assert "there is no bus 'bodi' (did you mean 'body'?)" in str(error.value)
    assert "request should be 0 to 0x7ff, not 0x7a00" in str(error.value)
    assert "a data identifier should be 0 to 0xFFFF, not 0xf1890" in str(error.value)
    assert "should be 1 to 64 printable ASCII characters" in str(error.value)
