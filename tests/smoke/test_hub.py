"""One certification in real time: the artefact as a process on the hub, its console on a PTY; and nothing of it is left."""

from pathlib import Path

import pytest

from harness import certificate, rejudge
from harness.model import Outcome
from rigs.ecus import build
from tests.support.certified import certified_run, decided

COCKPIT = """name: smoke
version: "1"
suites: [common, cockpit]
mandatory: [CAN-MATRIX-001]
conditional: [CONSOLE-SECRETS-001, COCKPIT-SPEED-001]
limit_s: 240
ready_s: 60
"""
SPEED = COCKPIT.replace("mandatory: [CAN-MATRIX-001]\n", "").replace("CONSOLE-SECRETS-001, ", "")


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "smoke.yaml"
    file.write_text(COCKPIT)
    return "--profile", str(file)


def left(folder):
    """Processes that were started with something of a folder in their words."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_a_reference_is_certified_in_real_time_and_judged_again_to_the_same(profile, tmp_path):
    run, verdict = certified_run(tmp_path, "cockpit-a", *profile)
    assert certificate.verify(run / "certificate.json").statement["subject"][0]["name"].startswith("virtual:")
    assert rejudge.rejudge(run / "record").requirements == verdict.requirements
    assert not left(tmp_path)


def test_its_defective_twin_is_refused_by_the_right_requirement(tmp_path):
    (tmp_path / "speed.yaml").write_text(SPEED)
    built = build.build(tmp_path / "s", {"SPEED_OFFSET_KMH": "-0.9"})
    _, verdict = decided(tmp_path, built, "--profile", str(tmp_path / "speed.yaml"), decision="refused")
    assert {j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL} == {"COCKPIT-SPEED-001"}
