"""Who acts next, for whatever a test of a suite does: a suite of one test, run by hand as its author would, judged by the judge."""

import os
import subprocess
import sys

import pytest

from harness import record, verdicts
from harness.model import Outcome
from harness.paths import ROOT, SUITES
from rigs.ecus import build


def outcomes(verdict):
    return {j.requirement: j.outcome for j in verdict.requirements}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("measure('crash_lines', 0); measure('unexpected_boots', 0); assert 1 == 2", Outcome.ERROR),
        ("measure('crash_lines', 0)", Outcome.ERROR),
        ("measure('no_such', 0)", Outcome.ERROR),
        ("measure('crash_lines', float('nan'))", Outcome.ERROR),
        ("import pytest; pytest.skip('later')", Outcome.ERROR),
        ("import pytest; pytest.xfail('known')", Outcome.ERROR),
        ("vehicle.set('Vehicle.Sped', 1)", Outcome.ERROR),
        ("vehicle.set('Vehicle.Cabin.Cluster.DisplayedSpeed', 1)", Outcome.ERROR),
        ("vehicle.set('Vehicle.Speed', 1e9)", Outcome.ERROR),
        ("vehicle.expect('Vehicle.Cabin.Cluster.DisplayedSpeed', 77.0, within_s=0.5)", Outcome.FAIL),
        ("from harness.errors import RigError; raise RigError('the cable')", Outcome.MISS),
        ("measure('crash_lines', 1); measure('unexpected_boots', 0)", Outcome.FAIL),
        ("measure('crash_lines', 0); measure('unexpected_boots', 0)", Outcome.PASS),
    ],
)
def test_an_outcome_says_who_acts_next(body, outcome, tmp_path):
    """A suite of one test, run by hand as its author would, judged by the judge."""
    done = by_hand(one_test(tmp_path / "test_suites", body), tmp_path)
    assert (done.returncode == 0) == (outcome is Outcome.PASS), done.stdout
    record.close(tmp_path / "record")
    assert outcomes(verdicts.of_record(tmp_path / "record"))["BOOT-CRASH-001"] is outcome, done.stdout


def one_test(suites, body):
    """A folder of suites with BOOT-CRASH-001 alone, and this test of it."""
    (suites / "common").mkdir(parents=True)
    source = (SUITES / "common" / "requirements.yaml").read_text()
    (chosen,) = (r for r in source.split("- id: ")[1:] if r.startswith("BOOT-CRASH-001"))
    (suites / "common" / "requirements.yaml").write_text(f"- id: {chosen}")
    (suites / "common" / "test_one.py").write_text(
        "from harness.marks import requirement\n@requirement('BOOT-CRASH-001')\n"
        f"def test_one(vehicle, measure):\n    {body}\n"
    )
    return suites


def by_hand(suites, work):
    """pytest on these suites, with a reference that declares nothing but its boot."""
    profile = work / "p.yaml"
    profile.write_text('name: p\nversion: "1"\nsuites: [common]\nmandatory: [BOOT-CRASH-001]\n')
    file = build.build(work / "s") / "submission.yaml"
    head, tail = file.read_text().split("features:")
    file.write_text(head + "features: {boot: {}}\ninterface:" + tail.split("interface:")[1])
    code = (
        "import sys, pathlib, harness.inputs.suite as s, harness.plan as p, harness.pytest_plugin as g, harness.inputs.submission as u\n"
        f"root = pathlib.Path({str(suites)!r})\n"
        "every = s.all_suites\nfound = every(root)\n"
        "s.all_suites = lambda root=None: found\ng.SUITES = root\np.SUITES = root\n"
        "import pytest\nsys.exit(pytest.main(sys.argv[1:], plugins=[g]))\n"
    )
    options = ["--rig", "sim", "--submission", file.parent, "--profile", profile, "--record", work / "record"]
    command = [sys.executable, "-c", code, suites, "--noconftest", "-q", "-c", os.devnull, "--rootdir", work, *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
