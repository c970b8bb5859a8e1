"""The whole pipeline for one submission on one rig: plan, run, judge, sign; everything in one numbered folder of runs/."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness import certificate, compare, record, verdicts
from harness import plan as plans
from harness.bench import claim
from harness.bench.claim import Hold
from harness.commissioning import golden as qualify
from harness.compare import Comparison
from harness.inputs import rig
from harness.inputs.suite import profile_file
from harness.model import Decision, Event, Plan, Verdict
from harness.run import GoldenCheck, Watch, new_folder, run
from harness.verdicts import CERTIFICATE, RECORD


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What a certification left behind; `certificate` is None unless the verdict is certified, `compared` where no run of its kin was before."""

    folder: Path
    plan: Plan
    verdict: Verdict
    certificate: Path | None
    compared: Comparison | None = None


def make_plan(
    submission: Path, rig_name: str, profile: str | None = None, only: str | None = None
) -> tuple[Plan, Path]:
    """The plan and the rig's file."""
    rig_file = rig.locate(rig_name)
    return plans.make(submission, rig_file, profile_file(profile) if profile else None, only), rig_file


def folder_name(plan: Plan) -> str:
    return f"{plan.vendor}-{str(plan.combination).replace('/', '-')}-{plan.rig}"


def certify(
    submission: Path,
    rig_name: str,
    runs: Path,
    *,
    profile: str | None = None,
    key: Path | None = None,
    wait_s: float = 0.0,
    watch: Watch = lambda test: None,
) -> Certified:
    """Plan, run, judge and, if certified, sign. Raises BadInput before anything is written when an input is wrong, and RigError
    when the bench is not free within `wait_s`."""
    plan, rig_file = make_plan(submission, rig_name, profile)
    certificate.check_key(plan, key)
    with bench(rig_file, str(plan.combination), wait_s, watch) as (hold, golden):
        folder = new_folder(runs, folder_name(plan))
        run(plan, submission, rig_file, folder / RECORD, watch, hold, golden)
    return replace(decide(folder, key), compared=compare.against_last(folder, runs))


def decide(folder: Path, key: Path | None = None) -> Certified:
    """Judge a run's sealed record, and sign if it is certified and not signed yet."""
    plan, verdict = record.load_plan(folder / RECORD), verdicts.of_record(folder / RECORD)
    verdicts.write(folder, verdict)
    signed = folder / CERTIFICATE if verdict.decision is Decision.CERTIFIED else None
    if signed and not signed.is_file():
        certificate.write(signed, certificate.sign(plan, verdict, opened(folder / RECORD), key))
    return Certified(folder=folder, plan=plan, verdict=verdict, certificate=signed)


@contextmanager
def bench(rig_file: Path, what: str, wait_s: float, watch: Watch) -> Iterator[tuple[Hold, GoldenCheck | None]]:
    """The rig for oneself, if it is qualified; and its golden check, if it has one."""
    loaded = rig.load(rig_file)
    qualify.must_be_qualified(loaded, rig_file)
    with claim.held(loaded, rig_file, what, wait_s=wait_s, tell=watch) as hold:
        yield hold, qualify.golden_check(loaded, rig_file, hold, watch)


def opened(folder: Path) -> tuple[Event, ...]:
    """What each port said when it opened: its uncertainty, and how the image arrived."""
    return tuple(e for e in record.events(folder) if e.what == "opened")


def sign_run(folder: Path, key: Path | None) -> Path:
    """Sign a run's verdict after judging its record anew: what stands in verdict.json is not believed."""
    verdict = verdicts.of_record(folder / RECORD)
    plan = record.load_plan(folder / RECORD)
    file = folder / CERTIFICATE
    certificate.write(file, certificate.sign(plan, verdict, opened(folder / RECORD), key))
    return file
