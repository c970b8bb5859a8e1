"""Judge a record again from its raw evidence: the same suites run on the recorded traces, without a rig."""

import shutil
import tempfile
from pathlib import Path

import yaml

from harness import documents, record, verdicts
from harness import plan as plans
from harness.errors import BadInput
from harness.inputs.rig import of_document
from harness.model import Event, Plan, Verdict
from harness.run import Job, Watch, execute, finish

KINDS = {"power": "RecordedPower", "console": "RecordedConsole"}


def rejudge(folder: Path, watch: Watch = lambda test: None) -> Verdict:
    """The verdict that a record's raw evidence gives. Raises BadInput when the folder is not a whole record.

    The run's own faults, and what the rig said of its health and its clocks, are taken over from the record.
    """
    plan = record.load_plan(folder)
    wrong = record.alterations(folder)
    if wrong:
        raise BadInput([f"{folder}: {w}" for w in wrong])
    differing = [
        k for k, v in plans.product_digests(plan.suites).items() if k.startswith("suite:") and plan.digests.get(k) != v
    ]
    if differing:
        raise BadInput(
            f"{folder}: the record was made by other suites ({', '.join(differing)}); install that version to rejudge it"
        )
    old = list(record.events(folder))
    with tempfile.TemporaryDirectory(prefix="shipei-rejudge-") as name:
        work = Path(name)
        new = work / verdicts.RECORD
        new.mkdir()
        shutil.copyfile(folder / record.PLAN, new / record.PLAN)
        inputs = work / "inputs"
        shutil.copytree(folder / record.INPUTS, inputs)
        rig_file = replay_rig(folder, plan, inputs, work)
        job = Job(plan=plan, submission=inputs / record.SUBMISSION, rig_file=rig_file, folder=new, work=work)
        finish(new, execute(job, watch))
        events = [e for e in record.events(new) if e.what not in ("opened", "clock", "health")]
    kept = [e for e in old if e.what in ("opened", "clock", "health", "fault")]
    return verdicts.of_events(folder, plan, [*events, *kept, *still_open(old)])


def still_open(old: list[Event]) -> list[Event]:
    """A run that never ended stays one, however well its evidence replays."""
    if any(e.what == "closed" for e in old):
        return []
    return [Event(what="fault", why="the run did not come to its end")]


def replay_rig(folder: Path, plan: Plan, inputs: Path, work: Path) -> Path:
    """A rig file whose ports are the record's."""
    original = of_document(documents.read(inputs / record.RIG))
    if original is None:
        raise BadInput(f"{folder}: the recorded rig file cannot be read")
    buses = record.traces(folder)
    names = [n for n in original.ports if n in KINDS or n in buses]
    ports = {
        n: {"use": f"adapters.replay:{KINDS.get(n, 'RecordedCan')}", "record": str(folder.resolve())} for n in names
    }
    chip = {"name": original.chip.name, "revision": original.chip.revision}
    file = work / "replay.yaml"
    rig = {
        "name": "replay",
        "kind": "replay",
        "chip": chip,
        "clock_ms": plan.clock_ms,
        "ports": ports,
    }
    file.write_text(yaml.safe_dump(rig, sort_keys=False), encoding="utf-8")
    return file
