"""Judge a recording that another tool made, by the requirements that only look: nothing is sent, nothing is switched.

It is judged as a run is, by the same suites and the same judge; but nobody knows which device was recorded, so nothing is signed.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness import documents, plan, record
from harness.can import logs
from harness.can.log import Log
from harness.can.trace import Rows, Trace
from harness.documents import meant
from harness.errors import BadInput
from harness.inputs import declared_diagnostics, declared_flashing, inputs, suite
from harness.inputs import submission as submissions
from harness.inputs.submission import Submitted
from harness.model import Plan, Submission, Verdict
from harness.ports import ERROR, EXT, TX
from harness.run import Job, Watch, execute, finish, keep_inputs, new_folder
from harness.verdicts import RECORD, of_record, write

PROFILE = "recording-1.0"
START_NS = 1_000_000_000  # where the recording begins, by the record's clock
LEAST_S = 1.0
NEVER_SIGNED = "no certificate: a recording does not show which device and which image it is of"
PER_S = 1000  # no message comes more often: so often per second suffices to watch all of a recording


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The run's folder, its plan and verdict, and what was not judged: a sentence each."""

    folder: Path
    plan: Plan
    verdict: Verdict
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a recording, in s from its start."""

    from_s: float = 0.0
    to_s: float | None = None

    def of(self, rows: Rows) -> Rows:
        """The frames in it."""
        if not len(rows):
            return rows
        at_s = (rows["time_ns"] - rows["time_ns"].min()) / 1e9
        kept: Rows = rows[(at_s >= self.from_s) & (at_s <= (np.inf if self.to_s is None else self.to_s))]
        return kept


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recording of another tool: its file, which of its channels is which bus where that is not plain, the stretch to be judged,
    how exact its stamps are in ms.
    """

    file: Path
    channels: Mapping[str, str] = field(default_factory=dict)
    stretch: Stretch = Stretch()
    clock_ms: float = 1.0


def judge_log(recording: Recording, submission: Path, runs: Path, watch: Watch = lambda test: None) -> Judgement:
    """Judge a recording.

    Raises BadInput when the recording is none, has none of the device's frames, or is shorter than a second.
    """
    handed_in = submissions.read(submission)
    said, claimed = handed_in.file, handed_in.submission
    file = recording.file
    log = logs.read(file)
    log = dataclasses.replace(log, rows=recording.stretch.of(log.rows))
    with tempfile.TemporaryDirectory(prefix="shipei-log-") as name:
        work = Path(name)
        silent = without_diagnostics(said, claimed, work / "submission")
        notes = [NEVER_SIGNED, *(f"{file.name}: {lost}" for lost in logs.told(list(log.lost)))]
        buses = claimed.interface.buses
        if strange := [b for b in recording.channels if b not in buses]:
            raise BadInput([f"--bus {b}: {said} has no such bus{meant(b, buses)}" for b in strange])
        found = {b: rows_of(log, recording, b, handed_in, notes) for b in buses}
        rig = rig_of(found, claimed, recording.clock_ms, work)
        seconds = max(float(rows["time_ns"][-1] - rows["time_ns"][0]) / 1e9 for rows in found.values())
        if seconds < LEAST_S:
            raise BadInput(f"{file}: {seconds:.3f} s are too short to be judged; {LEAST_S:g} s are needed")
        given = inputs.load(silent, rig, suite.profile_file(PROFILE))
        decided = over(plan.make(given), seconds)
        folder = new_folder(runs, f"log-{file.stem}")
        recorded = begin(folder / RECORD, decided, work, found)
        keep_inputs(given.submitted, rig, recorded / record.INPUTS)
        job = Job(plan=decided, submission=silent, rig_file=rig, folder=recorded, work=work)
        finish(recorded, execute(job, watch))
    verdict = of_record(recorded)
    write(folder, verdict)
    return Judgement(folder=folder, plan=decided, verdict=verdict, notes=tuple(notes))


def begin(recorded: Path, decided: Plan, work: Path, buses: Iterable[str]) -> Path:
    """Begin a record with its plan and the frames of the recording."""
    recorded.mkdir()
    record.write_json(recorded / record.PLAN, documents.dump(decided))
    for bus in buses:
        shutil.copyfile(record.trace_of(work, bus), record.trace_of(recorded, bus))
    return recorded


def without_diagnostics(said: Path, claimed: Submission, folder: Path) -> Path:
    """The submission without what would be asked: a recording answers nobody."""
    folder.mkdir()
    data = yaml.safe_load(said.read_text(encoding="utf-8"))
    data["interface"].pop("diagnostics", None)
    asked = declared_diagnostics.NEEDED.keys() | declared_diagnostics.SERVICE.keys() | declared_flashing.FEATURES
    data["features"] = {f: v for f, v in (data.get("features") or {}).items() if f not in asked}
    for name in (*claimed.interface.files, *(artefact.path for artefact in claimed.artefacts)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(said.parent / name, folder / name)
    file = folder / record.SUBMISSION
    file.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


# ---------------------------------------------------------------- frames


def rows_of(log: Log, recording: Recording, bus: str, submitted: Submitted, notes: list[str]) -> Rows:
    """A bus's frames: the device's as heard, everybody else's, and what the recorder itself sent, as sent by the bench."""
    file = recording.file
    described, codec = submitted.submission.interface.buses[bus], submitted.codecs[bus]
    senders = {(m.frame_id, m.is_extended_frame): m.senders for m in codec.messages.values()}
    number = channel_of(log, recording, bus, senders)
    rows: Rows = np.sort(log.rows[log.rows["channel"] == number], order="time_ns", kind="stable")
    rows = rows[(rows["flags"] & ERROR) == 0]
    keys = list(zip(rows["id"].tolist(), ((rows["flags"] & EXT) != 0).tolist(), strict=True))
    mine = np.array([described.node in senders.get(key, ()) for key in keys], bool) & (rows["flags"] & TX == 0)
    unknown = sorted({key[0] for key in keys if key not in senders})
    if not mine.any():
        raise BadInput(f"{file}: channel {log.channels[number]} has no frame of {described.node}, by {described.dbc}")
    if unknown:
        shown = " ".join(f"{i:X}" for i in unknown[:10])
        notes.append(
            f"{bus}: {len(unknown)} identifiers are not in {described.dbc}, so nobody can tell who sent them: {shown}"
        )
    rows["flags"] = np.where(mine, rows["flags"] & ~np.uint16(TX), rows["flags"] | TX)
    rows["time_ns"] += START_NS - rows["time_ns"][0]
    return rows


def channel_of(log: Log, recording: Recording, bus: str, senders: Mapping[Any, Any]) -> int:
    """The number of a bus's channel: the one that is named, or the one that has most of its frames."""
    file, wanted = recording.file, recording.channels.get(bus)
    names = list(log.channels) or ["0"]
    if wanted is not None and wanted not in names:
        raise BadInput(f"{file}: no channel {wanted!r}{meant(wanted, names)}; there are {', '.join(names)}")
    if wanted is not None:
        return names.index(wanted)
    if not len(log.rows):
        raise BadInput(f"{file}: no frames")
    ids = np.array([key[0] for key in senders], np.uint32)
    known = log.rows["channel"][np.isin(log.rows["id"], ids)]
    if not len(known):
        raise BadInput(
            f"{file}: none of its frames is of the bus {bus}; `--bus {bus}=CHANNEL` says which channel it is"
        )
    return int(np.bincount(known).argmax())


def rig_of(found: Mapping[str, Rows], claimed: Submission, clock_ms: float, work: Path) -> Path:
    """A rig file whose buses are the recording's."""
    ports = {}
    for bus, rows in found.items():
        file = record.trace_of(work, bus)
        kept = Trace(file, bus)
        kept.extend(rows)
        kept.close()
        ports[bus] = {"use": "adapters.recording:Recording", "file": str(file), "clock_ms": clock_ms}
    chip = {"name": claimed.combination.chip.name, "revision": claimed.combination.chip.revision}
    file = work / "recording.yaml"
    rig = {"name": "recording", "kind": "replay", "chip": chip, "clock_ms": clock_ms, "ports": ports}
    file.write_text(yaml.safe_dump(rig, sort_keys=False), encoding="utf-8")
    return file


def over(decided: Plan, seconds: float) -> Plan:
    """The plan, with every window as long as the recording; and never signed."""
    whole = {"watch_s": seconds, "frames": PER_S * seconds, "rounds": PER_S * seconds, "periods": PER_S * seconds}

    def widened(planned: Any) -> Any:
        requirement = planned.requirement
        parameters = {k: whole.get(k, v) for k, v in requirement.parameters.items()}
        return dataclasses.replace(planned, requirement=dataclasses.replace(requirement, parameters=parameters))

    return dataclasses.replace(decided, requirements=tuple(map(widened, decided.requirements)), signable=False)
