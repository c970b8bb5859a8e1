"""An item that runs in real time as a process: any executable, its console on a PTY, its buses on the hub or in the kernel."""

import os
import select
import shutil
import signal
import termios
import threading
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from typing import ClassVar, Protocol

from adapters._process.confine import ARTEFACT, Begun, Surroundings, begin, copied
from adapters._process.subprocesses import kill_group
from adapters._process.waits import Waits
from harness.errors import RigError
from harness.model import noun
from harness.ports import Arrival, Bench, StandsOn

RESTART_S = 0.05
MOST_RESTARTS = 100
READER_S = 1.0  # how long a reader may take before it counts as none
OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)


class Body(Protocol):
    """What a supply starts and ends: one life of the item at a time."""

    arrival: Arrival
    fence: str  # what keeps it from the lab's things, in words
    uncertainty_ns: int  # of when it started

    def start(self, terminal: str) -> int:
        """Begin, with its console on this terminal; when that was (ns). Raises RigError when it cannot be."""

    def ended(self) -> str | None:
        """None while it lives; else why its end is the bench's, in words, or "" where it ended by itself."""

    def end(self) -> str:
        """End it, kindly or not; what `ended` said, if it had ended before."""

    def stall_ns(self) -> int:
        """The longest that it waited for a CPU of the host between two calls of `ended`, since the last reading of this; 0 where nobody knows."""


class Process:
    """A program of this host."""

    uncertainty_ns = 5_000_000  # from its place's word that it starts to our reading of that

    def __init__(self, around: Surroundings) -> None:
        self.around, self.fence = around, around.fence
        self.arrival = copied(around.work / ARTEFACT)
        self.item: Begun | None = None
        self.waits = Waits()

    def stall_ns(self) -> int:
        return self.waits.taken_ns()

    def start(self, terminal: str) -> int:
        source, sink = os.open(terminal, os.O_RDONLY | os.O_NOCTTY), os.open(terminal, os.O_WRONLY | os.O_NOCTTY)
        self.waits.begin()
        own = replace(self.around, seen=(*self.around.seen, terminal))
        try:
            with (own.work / "stderr.txt").open("ab") as errors:
                self.item = begin(own, stdin=source, stdout=sink, stderr=errors, start_new_session=True)
        finally:
            os.close(source)
            os.close(sink)
        return time.monotonic_ns()

    def ended(self) -> str | None:
        if self.item is None:
            return None
        self.waits.look(self.item.pid)
        code = self.item.child.poll()
        if code is None:
            return None
        return f"the item was killed from outside (signal {-code})" if code in OUTSIDE else ""

    def end(self) -> str:
        why = self.ended() or ""
        kill_group(self.item.child if self.item else None)
        self.item = None
        return why


class Supply:
    """The item's supply: power is a start and a kill; an item that exits has reset itself and is started again."""

    def __init__(self, body: Body) -> None:
        self.body, self.arrival, self.uncertainty_ns = body, body.arrival, body.uncertainty_ns
        self.fence = body.fence
        self.powered = False
        self.living = False
        self.broken = ""
        self.restarts = 0
        self.unread: set[int] = set()  # sides of the console that nobody reads
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.item_side, self._item_slave = pty_pair()  # the item's terminal
        self.bench_side, bench_slave = pty_pair()  # what the console port opens by its name
        self.console_path = os.ttyname(bench_slave)
        self._bench_slave = bench_slave
        for side in (self.item_side, self.bench_side):
            os.set_blocking(side, False)
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self.relay, self.keep_alive)]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------ the port

    def on(self) -> int:
        with self._lock:
            if self.powered:
                return time.monotonic_ns()
            self.powered, self.restarts = True, 0
            return self.start()

    def off(self) -> int:
        with self._lock:
            self.powered = False
            self.broken = self.body.end() or self.broken
            self.living = False
            return time.monotonic_ns()

    def check(self) -> None:
        """Raises RigError if something other than the bench or the item itself ended the item."""
        if self.broken:
            raise RigError(self.broken)

    def stall_ns(self) -> int:
        return self.body.stall_ns()

    # ------------------------------------------------------------ the item

    def start(self) -> int:
        """What was typed to the last life, and it never read, is gone with it."""
        termios.tcflush(self._item_slave, termios.TCIFLUSH)
        time_ns = self.body.start(os.ttyname(self._item_slave))
        self.living = True
        return time_ns

    def keep_alive(self) -> None:
        """Start the item again when it exits; one that was killed from outside stays down and voids the run."""
        while not self._closing.wait(0.02):
            with self._lock:
                why = self.body.ended() if self.living and self.powered else None
                if why is None:
                    continue
                self.body.end()
                self.living = False
                self.broken = why or self.broken
                if self.broken:
                    continue
                self.restarts += 1
                if self.restarts <= MOST_RESTARTS and not self._closing.wait(RESTART_S):
                    self.restart()

    def restart(self) -> None:
        try:
            self.start()
        except RigError as error:
            self.broken = str(error)

    def relay(self) -> None:
        """Console bytes between the item's terminal and the bench's, both ways."""
        pairs = {self.item_side: self.bench_side, self.bench_side: self.item_side}
        while not self._closing.is_set():
            for readable in select.select(list(pairs), [], [], 0.1)[0]:
                self.pass_on(pairs[readable], os.read(readable, 65536))

    def pass_on(self, side: int, chunk: bytes) -> None:
        """To a side's reader, who may be slow. Where nobody reads it is lost, as on a wire, and the next is not waited for either."""
        until = time.monotonic() + (0.0 if side in self.unread else READER_S)
        while chunk:
            written = self.write(side, chunk, max(0.0, until - time.monotonic()))
            if written:
                chunk, until = chunk[written:], time.monotonic() + READER_S
                self.unread.discard(side)
            elif time.monotonic() >= until:
                self.unread.add(side)
                return

    @staticmethod
    def write(side: int, chunk: bytes, within_s: float) -> int:
        """How much of it a side took."""
        if not select.select([], [side], [], within_s)[1]:
            return 0
        try:
            return os.write(side, chunk)
        except BlockingIOError:  # it has room, and not enough
            time.sleep(0.001)
            return 0

    def close(self) -> None:
        self.off()
        self._closing.set()
        for thread in self._threads:
            thread.join(2.0)
        for each in (self.item_side, self._item_slave, self.bench_side, self._bench_slave):
            os.close(each)


def pty_pair() -> tuple[int, int]:
    """(master, slave) of a raw PTY."""
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave


def where_buses_are(name: str, hub: str, channels: Mapping[str, str], bench: Bench) -> dict[str, str]:
    """What an item is told in its environment: docs/submit-an-image.md. Raises RigError when the rig has no place for a bus."""
    buses = bench.item.interface.buses
    if not channels:
        return {"SHIPEI_HUB": str(bench.ports[hub].path), "SHIPEI_BUSES": " ".join(buses)}
    missing = [b for b in buses if b not in channels]
    if missing:
        raise RigError(f"port {name}: `can` says no channel for bus {missing[0]!r}, which the submission speaks")
    return {"SHIPEI_CAN": " ".join(f"{b}={channels[b]}" for b in buses)}


@noun
class ProgramTarget:
    """The item as a process on this host; `on` names the hub that carries its buses, or `can` the kernel's channel of each."""

    on: str = "hub"
    can: Mapping[str, str] = field(default_factory=dict)
    form: ClassVar[str] = "program"
    opens: ClassVar[tuple[str, ...]] = ("power", "terminal")
    virtual: ClassVar[bool] = True

    def stands_on(self) -> StandsOn:
        return {} if self.can else {"on": ("hub",)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Supply]:
        work = bench.work / "item"
        work.mkdir(parents=True, exist_ok=True)
        artefact = work / ARTEFACT
        shutil.copyfile(bench.item.files["application"], artefact)
        artefact.chmod(0o500)
        told = where_buses_are(name, self.on, self.can, bench)
        seen = () if self.can else (told["SHIPEI_HUB"],)
        program = Supply(Process(Surroundings(work=work, told=told, seen=seen, network=bool(self.can))))
        try:
            yield program
        finally:
            program.close()
