"""The whole pipeline for one submission on one rig: plan, run, judge, sign; everything in one numbered folder of runs/."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness import certificate, judge, record, rig, shape
from harness import plan as plans
from harness.errors import BadInput
from harness.model import Decision, Event, Plan, Verdict
from harness.paths import sha256
from harness.run import Watch, new_folder, run
from harness.suite import profile_file

RECORD, VERDICT, CERTIFICATE = "record", "verdict.json", "certificate.json"


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What a certification left behind; `certificate` is None unless the verdict is certified."""

    folder: Path
    plan: Plan
    verdict: Verdict
    certificate: Path | None


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
    watch: Watch = lambda test: None,
) -> Certified:
    """Plan, run, judge and, if certified, sign. Raises BadInput before anything is written when an input is wrong."""
    plan, rig_file = make_plan(submission, rig_name, profile)
    certificate.check_key(plan, key)
    folder = new_folder(runs, folder_name(plan))
    run(plan, submission, rig_file, folder / RECORD, watch)
    verdict = judge_record(folder / RECORD)
    record.write_json(folder / VERDICT, shape.dump(verdict))
    signed = None
    if verdict.decision is Decision.CERTIFIED:
        signed = folder / CERTIFICATE
        certificate.write(signed, certificate.sign(plan, verdict, opened(folder / RECORD), key))
    return Certified(folder=folder, plan=plan, verdict=verdict, certificate=signed)


def judge_record(folder: Path) -> Verdict:
    """The verdict on a record; one whose seal is broken says nothing, and so is void."""
    plan = record.load_plan(folder)
    verdict = judge.judge(plan, record.events(folder))
    wrong = record.broken_seal(folder)
    if wrong:
        verdict = dataclasses.replace(verdict, decision=Decision.VOID, faults=(*verdict.faults, *wrong))
    seal = folder / record.SEAL
    return dataclasses.replace(verdict, record_sha256=sha256(seal) if seal.is_file() else "")


def opened(folder: Path) -> tuple[Event, ...]:
    """What each port said when it opened: its uncertainty, and how the image arrived."""
    return tuple(e for e in record.events(folder) if e.what == "opened")


def load_verdict(folder: Path) -> Verdict:
    """The verdict that was written for a run."""
    file = folder / VERDICT if folder.is_dir() else folder
    if not file.is_file():
        raise BadInput(f"{file}: no such file; `shipei judge` writes it")
    return shape.loads(Verdict, file.read_bytes(), str(file))


def sign_run(folder: Path, key: Path | None) -> Path:
    """Sign a run's verdict after judging its record anew: what stands in verdict.json is not believed."""
    verdict = judge_record(folder / RECORD)
    plan = record.load_plan(folder / RECORD)
    file = folder / CERTIFICATE
    certificate.write(file, certificate.sign(plan, verdict, opened(folder / RECORD), key))
    return file
