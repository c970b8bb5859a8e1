"""Two runs of the same thing held against each other: which outcomes changed, which values moved by more than both runs are unsure of, which inputs are others."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from harness import record, verdicts
from harness.errors import BadInput, given
from harness.model import Decision, Measured, Outcome, Plan, Verdict
from harness.verdicts import RECORD

FILE = "comparison.json"  # in a run: what it is beside the last certified one
SAID = {"failing": "newly failing", "passing": "newly passing", "drifts": "values moved"}
MOST_NAMED = 5
FINEST = 1e-9  # of a value: less is rounding


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as its record tells of it."""

    folder: Path
    plan: Plan
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Change:
    """A requirement whose outcome is another; `before` or `after` is empty where it was not planned."""

    requirement: str
    level: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A quantity that moved: means of both runs, by how much more than their uncertainties together, and what is left to its limits.

    `room`: the smallest distance of a value to a limit, as a share of the band between the limits, or of the limit where it has but one; None
    where it has none.
    """

    requirement: str
    name: str
    unit: str
    before: float
    after: float
    uncertainty: float
    room_before: float | None
    room_after: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the second run is beside the first."""

    before: Run
    after: Run
    inputs: tuple[str, ...]
    failing: tuple[Change, ...]
    passing: tuple[Change, ...]
    others: tuple[Change, ...]
    drifts: tuple[Drift, ...]


def read(folder: Path) -> Run:
    """A run, judged anew from its record."""
    place = folder / RECORD if (folder / RECORD).is_dir() else folder
    return Run(folder=folder, plan=record.load_plan(place), verdict=verdicts.of_record(place))


def kin(plan: Plan) -> tuple[str, ...]:
    """What two runs have in common that may be held against each other: all but versions and the rig.

    A new version of an application is held against the last one of the same name.
    """
    one = plan.combination
    return plan.vendor, one.chip.name, one.os.name, one.application.name, plan.profile.rpartition("-")[0]


def last_certified(run: Run, runs: Path) -> Path:
    """The newest certified run of its kin before it, of the same rig where there is one. Raises BadInput when there is none."""
    sealed = (run.folder / RECORD / record.DIGESTS).stat().st_mtime_ns
    on_another: Path | None = None
    for when, folder in sorted(kept(runs), reverse=True):
        if folder.resolve() == run.folder.resolve() or when > sealed:
            continue
        plan = record.load_plan(folder / RECORD)
        if kin(plan) != kin(run.plan) or (on_another and plan.rig != run.plan.rig):
            continue
        if verdicts.load(folder).decision is Decision.CERTIFIED:
            if plan.rig == run.plan.rig:
                return folder
            on_another = folder
    if on_another is None:
        raise BadInput(
            f"{runs}: no earlier certified run of {run.plan.vendor}'s {run.plan.combination.application.name}; name one to compare with"
        )
    return on_another


def kept(runs: Path) -> Iterable[tuple[int, Path]]:
    """(when its record was sealed, folder) of every run that was judged."""
    for file in runs.glob(f"*/*/{verdicts.VERDICT}"):
        seal = file.parent / RECORD / record.DIGESTS
        if seal.is_file():
            yield seal.stat().st_mtime_ns, file.parent


def compare(before: Run, after: Run) -> Comparison:
    """Raises BadInput for runs of two different things."""
    if kin(before.plan) != kin(after.plan):
        raise BadInput(
            f"{before.folder} is of {' '.join(kin(before.plan))}, {after.folder} of {' '.join(kin(after.plan))}: nothing to compare"
        )
    was = {j.requirement: j for j in before.verdict.requirements}
    now = {j.requirement: j for j in after.verdict.requirements}
    changed = []
    for name in dict.fromkeys([*now, *was]):
        old, new = was.get(name), now.get(name)
        if old is None or new is None or old.outcome is not new.outcome:
            there = given(new or old)
            said = [one.outcome.value if one else "" for one in (old, new)]
            changed.append(
                Change(
                    requirement=name, level=there.level, before=said[0], after=said[1], reason=new.reason if new else ""
                )
            )
    passed = Outcome.PASS.value
    failing = tuple(c for c in changed if c.before == passed and c.after not in (passed, ""))
    passing = tuple(c for c in changed if c.after == passed and c.before not in (passed, ""))
    drifts = [d for name in now if name in was for d in moved(name, was[name].measured, now[name].measured)]
    return Comparison(
        before=before,
        after=after,
        inputs=tuple(other_inputs(before.plan, after.plan)),
        failing=failing,
        passing=passing,
        others=tuple(c for c in changed if c not in (*failing, *passing)),
        drifts=tuple(sorted(drifts, key=lost_room, reverse=True)),
    )


def against_last(run: Path, runs: Path) -> Comparison | None:
    """Beside the last certified run of its kin, kept in the run's folder; None where there is none."""
    after = read(run)
    try:
        before = read(last_certified(after, runs))
    except BadInput:
        return None
    found = compare(before, after)
    record.write_json(run / FILE, plain(found))
    return found


def told(run: Path) -> dict[str, str]:
    """What to say of a run beside the last certified one, where it was compared: the file, and a line."""
    if not (run / FILE).is_file():
        return {}
    found = json.loads((run / FILE).read_text(encoding="utf-8"))
    said = [f"{len(found[key])} {name}" + names(found[key]) for key, name in SAID.items()]
    return {"comparison": str(run / FILE), "beside": f"{found['before']['run']}: {', '.join(said)}"}


def names(found: Iterable[Mapping[str, str]]) -> str:
    listed = list(dict.fromkeys(one["requirement"] for one in found))[:MOST_NAMED]
    return f" ({' '.join(listed)})" if listed else ""


def plain(found: Comparison) -> dict[str, Any]:
    """All of it as data."""
    return {
        **{side: identified(getattr(found, side)) for side in ("before", "after")},
        "inputs": list(found.inputs),
        **{
            key: [dataclasses.asdict(one) for one in getattr(found, key)]
            for key in ("failing", "passing", "others", "drifts")
        },
    }


def identified(run: Run) -> dict[str, str]:
    verdict = run.verdict
    return {
        "run": str(run.folder),
        "combination": str(verdict.combination),
        "rig": verdict.rig,
        "decision": verdict.decision.value,
        "record": verdict.record_sha256,
    }


def other_inputs(before: Plan, after: Plan) -> Iterable[str]:
    """In words, what was decided otherwise or has another digest."""
    for name in ("combination", "profile", "rig", "effort", "clock_ms"):
        if str(getattr(before, name)) != str(getattr(after, name)):
            yield f"{name}: {getattr(before, name)} -> {getattr(after, name)}"
    for name in dict.fromkeys([*before.digests, *after.digests]):
        old, new = before.digests.get(name, ""), after.digests.get(name, "")
        if old != new:
            yield f"{name}: {old[:12] or 'not there'} -> {new[:12] or 'not there'}"


# ---------------------------------------------------------------- values


def moved(requirement: str, before: Iterable[Measured], after: Iterable[Measured]) -> Iterable[Drift]:
    """Each quantity of a requirement, for each thing that both runs measured it of."""
    old, new = list(before), list(after)
    keys = telling(old, new)
    was, now = by_what(old, keys), by_what(new, keys)
    for what in now.keys() & was.keys():
        unsure = max(m.uncertainty for m in was[what]) + max(m.uncertainty for m in now[what])
        means = fmean(m.value for m in was[what]), fmean(m.value for m in now[what])
        if abs(means[1] - means[0]) > max(unsure, FINEST * max(map(abs, means))):
            yield Drift(
                requirement=requirement,
                name=f"{what[0]} ({what[1]})" if what[1] else what[0],
                unit=now[what][0].unit,
                before=means[0],
                after=means[1],
                uncertainty=unsure,
                room_before=room(was[what]),
                room_after=room(now[what]),
            )


def telling(before: Iterable[Measured], after: Iterable[Measured]) -> set[tuple[str, str]]:
    """(quantity, key of its context) where both runs say the same words: of what it is, and not what a device happened to answer."""
    said = []
    for measured in (before, after):
        words: dict[tuple[str, str], set[str]] = {}
        for one in measured:
            for key, value in one.context.items():
                words.setdefault((one.name, key), set()).add(str(value))
        said.append(words)
    return {key for key, words in said[0].items() if said[1].get(key) == words}


def by_what(measured: Iterable[Measured], keys: set[tuple[str, str]]) -> Mapping[tuple[str, str], list[Measured]]:
    found: dict[tuple[str, str], list[Measured]] = {}
    for one in measured:
        if math.isfinite(one.value):
            words = [f"{k}={v}" for k, v in sorted(one.context.items()) if (one.name, k) in keys]
            found.setdefault((one.name, ", ".join(words)), []).append(one)
    return found


def room(measured: Iterable[Measured]) -> float | None:
    """What is left to the nearest limit; below 0 where a value is beyond.

    >>> from harness.model import Outcome
    >>> one = Measured(name="x", value=90.0, unit="ms", low=0, high=100, uncertainty=0, outcome=Outcome.PASS)
    >>> room([one])
    0.1
    """
    found = []
    for one in measured:
        low, high = one.low, one.high
        left = ([] if low is None else [one.value - low]) + ([] if high is None else [high - one.value])
        band = high - low if low is not None and high is not None else abs(high if high is not None else low or 0.0)
        if left and band:
            found.append(min(left) / band)
    return min(found, default=None)


def lost_room(drift: Drift) -> float:
    """The worst first: what came nearest to its limit, by how much."""
    if drift.room_before is None or drift.room_after is None:
        return 0.0
    return drift.room_before - drift.room_after
