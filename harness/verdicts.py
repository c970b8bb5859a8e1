"""What a run's record comes to: its verdict, judged anew from the record, written beside it and read again."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from harness import documents, judge, record
from harness.errors import BadInput
from harness.model import Decision, Event, Outcome, Plan, Verdict
from harness.paths import sha256

RECORD, VERDICT, CERTIFICATE = "record", "verdict.json", "certificate.json"  # in a run's folder
EXIT = {Decision.CERTIFIED: 0, Decision.REFUSED: 1, Decision.VOID: 3}  # of a command that decides


def of_record(folder: Path) -> Verdict:
    """The verdict on a record; one whose seal is broken says nothing, and so is void."""
    verdict = of_events(folder, record.load_plan(folder), record.events(folder))
    wrong = record.alterations(folder)
    if wrong:
        verdict = dataclasses.replace(verdict, decision=Decision.VOID, faults=(*verdict.faults, *wrong))
    seal = folder / record.DIGESTS
    return dataclasses.replace(verdict, record_sha256=sha256(seal) if seal.is_file() else "")


def of_events(folder: Path, plan: Plan, events: Iterable[Event]) -> Verdict:
    """The verdict on events, with what the record says of the golden checks around them."""
    wrong = golden_faults(folder) if plan.bracketed else []
    hears = plan.rig_kind != "bench" or (plan.bracketed and not wrong)
    found = [Event(what="fault", why=what) for what in wrong]
    return judge.judge(plan, [*events, *found], hears=hears)


def golden_faults(folder: Path) -> list[str]:
    """What is wrong with the golden checks around a run, judged from their own records."""
    found = []
    for name in (record.BEFORE, record.AFTER):
        if not (folder / name / record.PLAN).is_file():
            found.append(f"{name}: the golden item was not checked")
            continue
        found += [f"{name}: {what}" for what in troubles(of_record(folder / name))]
    return found


def load(folder: Path) -> Verdict:
    """The verdict that was written for a run."""
    file = folder / VERDICT if folder.is_dir() else folder
    if not file.is_file():
        raise BadInput(f"{file}: no such file; `shipei judge` writes it")
    return documents.loads(Verdict, file.read_bytes(), str(file))


def troubles(verdict: Verdict) -> list[str]:
    """What kept a verdict from being certified: the faults of the run, then each reason once with all requirements that it hit."""
    by_reason: dict[str, list[str]] = {}
    for judged in verdict.requirements:
        if judged.outcome is not Outcome.PASS:
            by_reason.setdefault(judged.reason, []).append(judged.requirement)
    return [*verdict.faults, *(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())]


def write(run: Path, verdict: Verdict) -> None:
    """Beside the record that it is about."""
    record.write_json(run / VERDICT, documents.dump(verdict))
