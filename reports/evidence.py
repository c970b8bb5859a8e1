"""Read a run's evidence the way reports need it: one test's stretch of time, what was sent, seen and said in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness import console, documents, record, verdicts
from harness.can import decode, trace, vss
from harness.driving.closed_loop import AGAIN
from harness.errors import given
from harness.model import Event, Judged, Outcome, Plan, PlannedRequirement, Submission, Verdict
from harness.ports import ERROR, TX, Line
from harness.vehicle.bus_view import BusView

LEAST_CHANGES = 1
BEFORE_NS = 120_000_000
MOST_SIGNALS = 6
COUNTS = 0.6  # a signal that differs in more than this share of its frames counts; it says nothing to a reader


@dataclass(frozen=True, kw_only=True)
class Track:
    """One signal over a test: by whom it was sent, stamps in s from the test's start, values as labels or numbers."""

    name: str
    sent_by_bench: bool
    time_s: Any
    values: list[Any]


class Evidence:
    """A run's folder, read once."""

    def __init__(self, run: Path) -> None:
        self.run, self.record = run, run / verdicts.RECORD
        self.plan: Plan = record.load_plan(self.record)
        self.verdict: Verdict = verdicts.load(run)
        self.planned: Mapping[str, PlannedRequirement] = {p.requirement.id: p for p in self.plan.requirements}

    @cached_property
    def events(self) -> list[Event]:
        return list(record.events(self.record))

    @cached_property
    def submission(self) -> Submission:
        document = documents.read(self.record / record.INPUTS / record.SUBMISSION)
        return given(documents.load(Submission, document))  # the plan was made from it

    @cached_property
    def traces(self) -> dict[str, trace.Rows]:
        files = {b: record.trace_of(self.record, b) for b in self.submission.interface.buses}
        return {bus: trace.load(file)[0] for bus, file in files.items() if file.is_file()}

    @cached_property
    def codecs(self) -> dict[str, decode.Codec]:
        inputs = self.record / record.INPUTS
        return {n: decode.Codec(decode.load(inputs / b.dbc), b.dbc) for n, b in self.submission.interface.buses.items()}

    @cached_property
    def networks(self) -> dict[str, BusView]:
        """The buses by the words of the field."""
        inputs = self.record / record.INPUTS
        found = {}
        for name, bus in self.submission.interface.buses.items():
            codec = self.codecs[name]
            paths = vss.check(inputs / bus.vss, bus.vss, codec)[1] if bus.vss else {}
            found[name] = BusView(name, bus, codec, paths)
        return found

    @cached_property
    def lines(self) -> list[Line]:
        log = self.record / record.CONSOLE
        return console.load(log) if log.is_file() else []

    def window(self, requirement: str) -> tuple[int, int]:
        """The stamps between which a requirement's tests ran (ns)."""
        starts = [e.time_ns for e in self.events if e.what == "started" and e.time_ns is not None]
        own = [e.time_ns for e in self.events if e.what == "started" and e.requirement == requirement and e.time_ns]
        if not own:
            return 0, 0
        later = [s for s in starts if s > max(own)]
        ends = [int(rows["time_ns"][-1]) for rows in self.traces.values() if len(rows)]
        return min(own), min(later) if later else max(ends, default=max(own))

    def rows(self, requirement: str, bus: str) -> trace.Rows:
        """The frames of a requirement's tests, and of a moment before, so that what changed first can be seen to change."""
        start_ns, end_ns = self.window(requirement)
        rows = self.traces[bus]
        return rows[(rows["time_ns"] >= start_ns - BEFORE_NS) & (rows["time_ns"] <= end_ns)]

    def decisive(self, judged: Judged, bus: str) -> trace.Rows:
        """The frames up to the first measurement that was not passed, or to the test's end."""
        rows = self.rows(judged.requirement, bus)
        bad = {(m.name, m.value) for m in judged.measured if m.outcome is not Outcome.PASS}
        found = [
            e.time_ns
            for e in self.events
            if e.requirement == judged.requirement and (e.name, e.value) in bad and e.time_ns
        ]
        return rows[rows["time_ns"] <= min(found)] if found else rows

    def wall_ms(self, time_ns: int) -> int:
        """A stamp as the wall clock showed it, to about a second: the plan was written when the first port opened."""
        first = next((e.time_ns for e in self.events if e.time_ns), 0)
        written_ms = int((self.record / record.PLAN).stat().st_mtime * 1000)
        return written_ms + max(0, time_ns - first) // 1_000_000

    def said(self, requirement: str) -> list[Line]:
        start_ns, end_ns = self.window(requirement)
        return [line for line in self.lines if start_ns <= line.time_ns <= end_ns]

    def tracks(self, requirement: str) -> list[Track]:
        """The signals that changed during a requirement's tests, the bench's first; counters and CRCs are left out."""
        found: list[Track] = []
        start_ns, _ = self.window(requirement)
        for bus in self.traces:
            rows = self.rows(requirement, bus)
            rows = rows[(rows["flags"] & ERROR) == 0]
            for by_bench in (True, False):
                mine = rows[((rows["flags"] & TX) != 0) == by_bench]
                for decoded in self.codecs[bus].decode(mine).values():
                    found += changing(decoded, by_bench, start_ns)
        return found

    def stimulus(self, requirement: str) -> list[str]:
        """What the bench did, in its order: `+1.234 s VehicleSpeed 0.0 -> 40.0`, or the cases that it drove."""
        driven = [e for e in self.events if e.what == "driven" and e.requirement == requirement and e.time_ns]
        if driven:
            start_ns, _ = self.window(requirement)
            return [f"+{((e.time_ns or 0) - start_ns) / 1e9:.3f} s  {what_of(e)}" for e in driven]
        steps: list[tuple[float, str]] = []
        for track in self.tracks(requirement):
            if not track.sent_by_bench:
                continue
            for n in range(1, len(track.values)):
                if track.values[n] != track.values[n - 1]:
                    before, after = (f"{v:g}" if isinstance(v, float) else v for v in track.values[n - 1 : n + 1])
                    text = f"{track.name} {before} -> {after}"
                    steps.append((float(track.time_s[n]), text))
        return [f"+{at:.3f} s  {text}" for at, text in sorted(steps)][:60]

    def reproduce(self, judged: Judged) -> str:
        """The command that runs this requirement alone."""
        suites = " ".join(f"test_suites/{s}" for s in self.plan.suites)
        return f"pytest {suites} --rig {self.plan.rig} --submission SUBMISSION --only {judged.requirement}"


def what_of(event: Event) -> str:
    """A driven case in a line."""
    case = json.loads(str((event.context or {})["case"]))
    again = "again, for the bench had not kept its cycles: " if event.call == AGAIN else ""
    return f"{again}drive {case['id']}: ego {case['ego_kmh']:g} km/h, {case['duration_s']:g} s, seed {case['seed']}"


def changing(decoded: decode.Decoded, by_bench: bool, start_ns: int) -> list[Track]:
    found = []
    for name, column in decoded.signals.items():
        keep = slice(None) if column.present is None else column.present
        raw = column.raw[keep]
        changes = int(np.count_nonzero(raw[1:] != raw[:-1]))
        if changes < LEAST_CHANGES or changes > COUNTS * max(len(raw), 1):
            continue
        labels = (
            column.labels()
            if column.present is None
            else [v for v, p in zip(column.labels(), column.present, strict=True) if p]
        )
        time_s = (decoded.time_ns[keep] - start_ns) / 1e9
        found.append(Track(name=name, sent_by_bench=by_bench, time_s=time_s, values=labels))
    return found
