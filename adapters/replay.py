"""Ports that play a record back: the same suites compute the same measurements again, from raw evidence, without a rig."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from harness import console, record
from harness.can import trace
from harness.errors import RigError
from harness.model import Event, noun
from harness.ports import Bench, Coupled, Cycle, Frame, Health, Line

EVER_NS = 1 << 62  # everything that will ever be captured has been


class Starts(Protocol):
    """Where each test started, and what the bench did to a port in it."""

    def calls(self, port: str, test: str | None) -> list[Event]: ...
    def start(self, test: str) -> int: ...


class Script:
    """Where each test started, and what the bench did to the supply, in their order."""

    def __init__(self, folder: Path) -> None:
        self.events = list(record.events(folder))
        self.starts = {e.test: e.time_ns for e in self.events if e.what == "started" and e.test and e.time_ns}

    def calls(self, port: str, test: str | None) -> list[Event]:
        """The calls made after a test started and before the next did; before any did for None."""
        found, current = [], None
        for event in self.events:
            if event.what == "started":
                current = event.test
            elif event.what in ("called", "driven") and event.port == port and current == test:
                found.append(event)
        return found

    def start(self, test: str) -> int:
        """Where a test started; where the run began for an empty name."""
        if not test:
            return next((e.time_ns or 0 for e in self.events if e.port == "clock" and e.call == "begin"), 0)
        if test not in self.starts:
            raise RigError(f"the record does not say when {test} started")
        return self.starts[test]


class Calls:
    """What the bench did to a port, one call after the other."""

    def __init__(self, port: str, script: Starts) -> None:
        self.port, self.script = port, script
        self.waiting = script.calls(port, None)

    def go_to(self, test: str) -> None:
        self.waiting = self.script.calls(self.port, test)

    def next(self, call: str) -> int:
        """The clock's reading at the next call, which must be this one."""
        if not self.waiting or self.waiting[0].call != call:
            raise RigError(f"the record has no {self.port}.{call}() here: it was made by other suites")
        return self.waiting.pop(0).time_ns or 0


class ReplayedBus:
    """A recorded bus. What the bench sent is in the trace already; sending again does nothing."""

    def __init__(self, port: str, rows: trace.Rows, script: Starts, uncertainty_ns: int) -> None:
        order = np.argsort(rows["time_ns"], kind="stable")
        self.called = Calls(port, script)
        self._rows = rows[order]
        self.script, self.uncertainty_ns = script, uncertainty_ns
        self.end_ns = int(self._rows["time_ns"][-1]) if len(rows) else 0

    def replay_from(self, test: str) -> int:
        self.called.go_to(test)
        return self.script.start(test)

    def send(self, frame: Frame) -> None:
        return

    def cycle(self, identifier: int, cycle: Cycle | None) -> None:
        return

    def destroy(self, frames: int) -> None:
        return

    def couple(self, loop: Coupled) -> int:
        return self.called.next(loop.call)

    def rows(self, start: int = 0) -> trace.Rows:
        return self._rows[start:]

    def now_ns(self) -> int:
        return EVER_NS

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        """Raises RigError for a frame that was still to come when all was over: it never does."""
        if until_ns > EVER_NS:
            raise RigError(
                "the record has no frame of ours where the suites send one: it is not what they would record"
            )
        return len(self._rows)

    def health(self) -> Health:
        return Health()


class ReplayedConsole:
    def __init__(self, lines: Sequence[Line], script: Script, uncertainty_ns: int) -> None:
        self._lines, self.script, self.uncertainty_ns = lines, script, uncertainty_ns
        self.typed = Calls("console", script)

    def replay_from(self, test: str) -> int:
        self.typed.go_to(test)
        return self.script.start(test)

    def now_ns(self) -> int:
        return EVER_NS

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        return len(self._lines)

    def lines(self, start: int = 0) -> Sequence[Line]:
        return self._lines[start:]

    def write(self, text: str) -> int:
        return self.typed.next("write")

    def trouble(self) -> str:
        return ""


class ReplayedPower:
    def __init__(self, port: str, script: Script, uncertainty_ns: int) -> None:
        self.script, self.uncertainty_ns = script, uncertainty_ns
        self.switched = Calls(port, script)

    def replay_from(self, test: str) -> int:
        self.switched.go_to(test)
        return self.script.start(test)

    def on(self) -> int:
        return self.switched.next("on")

    def off(self) -> int:
        return self.switched.next("off")

    def check(self) -> None:
        return


def uncertainty(script: Script, name: str) -> int:
    return next((e.uncertainty_ns or 0 for e in script.events if e.what == "opened" and e.port == name), 0)


@noun
class RecordedCan:
    """A bus from its trace in a record."""

    record: str
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[ReplayedBus]:
        script = Script(Path(self.record))
        rows, _ = trace.load(record.trace_of(Path(self.record), name))
        yield ReplayedBus(name, rows, script, uncertainty(script, name))


@noun
class RecordedConsole:
    """A console from its log in a record."""

    record: str
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[ReplayedConsole]:
        script = Script(Path(self.record))
        yield ReplayedConsole(console.load(Path(self.record) / record.CONSOLE), script, uncertainty(script, name))


@noun
class RecordedPower:
    """A supply from the switching that a record notes."""

    record: str
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[ReplayedPower]:
        script = Script(Path(self.record))
        yield ReplayedPower(name, script, uncertainty(script, name))
