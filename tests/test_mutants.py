"""Every requirement catches a defective build by name, and a twin just inside the limit certifies."""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import yaml

from harness import certify, suite
from harness.model import Decision, Outcome
from harness.paths import ECUS
from rigs.ecus import build

DEFECTS = {d["name"]: d for d in yaml.safe_load((ECUS / "cockpit" / "defects.yaml").read_text(encoding="utf-8"))}
CASES = {
    **{f"{n}": (d["constant"], d["defect"], d["fails"]) for n, d in DEFECTS.items()},
    **{f"{n}, twin": (d["constant"], d["twin"], []) for n, d in DEFECTS.items() if "twin" in d},
    "reference": (None, None, []),
}


def outcome_of(case, folder):
    """Build, certify, say: (decision, the requirements that are not passed with their outcomes, faults)."""
    constant, value, _ = CASES[case]
    built = build.build(Path(folder) / "submission", {constant: value} if constant else None)
    verdict = certify.certify(built, "sim", Path(folder) / "runs").verdict
    others = {j.requirement: j.outcome for j in verdict.requirements if j.outcome is not Outcome.PASS}
    return verdict.decision, others, verdict.faults


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """All cases at once, on as many processes as there are CPUs."""
    folders = {case: tmp_path_factory.mktemp("mutant") for case in CASES}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {case: pool.submit(outcome_of, case, str(folder)) for case, folder in folders.items()}
        return {case: future.result() for case, future in running.items()}


@pytest.mark.parametrize("case", CASES)
def test_exactly_these_requirements_fail(results, case):
    decision, others, faults = results[case]
    expected = CASES[case][2]
    assert faults == ()
    assert others == dict.fromkeys(expected, Outcome.FAIL)
    mandatory = [r for r in expected if r != "CAN-CYCLE-002"]
    assert decision is (Decision.REFUSED if mandatory else Decision.CERTIFIED)


def test_every_requirement_of_the_profile_catches_somebody():
    profile = suite.load_profile(suite.profile_file("cockpit-1.0"))
    caught = {r for d in DEFECTS.values() for r in d["fails"]}
    assert caught == {*profile.mandatory, *profile.conditional, *profile.recommended}
