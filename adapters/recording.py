"""A bus from a recording that another tool made: a replayed one, for which every test begins where the recording does."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from adapters.replay import ReplayedBus
from harness.can import trace
from harness.errors import RigError
from harness.model import Event, Item, noun
from harness.ports import Arrival, Bench, Frame

CLAIMED = "only claimed: a recording does not show which image ran"


class Beginning:
    """What happened in a recording, by its tests: each starts where it does, and the bench did nothing."""

    def __init__(self, rows: trace.Rows) -> None:
        self.start_ns = int(rows["time_ns"].min()) - 1 if len(rows) else 0

    def calls(self, port: str, test: str | None) -> list[Event]:
        return []

    def start(self, test: str) -> int:
        return self.start_ns


class RecordedBus(ReplayedBus):
    """Nothing can be sent to it. Which image ran is only claimed, and never signed."""

    def __init__(self, name: str, rows: trace.Rows, uncertainty_ns: int, item: Item) -> None:
        super().__init__(name, rows, Beginning(rows), uncertainty_ns)
        self.name = name
        digests = {role: digest(Path(file)) for role, file in item.files.items()}
        self.arrival = Arrival(how=CLAIMED, sha256=next(iter(digests.values()), ""), parts=digests)

    def send(self, frame: Frame) -> None:
        raise RigError(f"{self.name} is a recording: nothing can be sent to it")


def digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@noun
class Recording:
    """A bus from a trace file of ours; `clock_ms` is how exact the stamps of its recorder are."""

    file: str
    clock_ms: float = 1.0
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[RecordedBus]:
        rows, _ = trace.load(Path(self.file))
        yield RecordedBus(name, rows, round(self.clock_ms * 1e6), bench.item)
