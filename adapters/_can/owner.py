"""The owner of a real-time bus: a process of its own that captures every frame into the trace and sends what is cyclic.

A test that computes, hangs or dies neither delays a stimulus nor loses evidence. Commands come as JSON lines on standard
input, answers go as JSON lines to standard output; frames go through the trace file, which the test process maps.
"""

import importlib
import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import can
import numpy as np

from adapters._can.cycles import Cycles, TimedCycles
from adapters._can.socket_bus import SocketWire
from adapters._can.stamps import Stamps
from adapters._can.state import Condition
from adapters._can.timing import revived
from adapters._process.waits import Waits
from adapters._process.words import can_trouble
from adapters.can_slcan import SlcanWire
from adapters.hub import SYNC
from adapters.hub_bus import HubBus
from harness.can.messages import flags_of, message
from harness.can.trace import PACK, Trace
from harness.errors import Fault
from harness.ports import ERROR, TX, Coupled
from harness.processes import die_with_parent, go_before

LoopOf = Callable[[Any], Coupled]
BEAT_NS = 5_000_000  # how often the owner proves that it has a CPU
ECHOES = {
    "virtual",
    "udp_multicast",
    "kvaser",
    "vector",
    "ixxat",
}  # python-can's receive_own_messages works
MOST_SENT = 4096  # frames of ours that have not come back yet
LAG_NS = 20_000_000  # how far behind the clock a python-can driver may hand over a frame


class Wire(Protocol):
    """What the owner asks of a kind of bus. `stall_ns`, `errors`: seen since the last reading; `lost`: in all."""

    trace: Trace
    stall_ns: int
    errors: int
    ours: set[int]  # identifiers that another socket of the bench sends

    @property
    def lost(self) -> int: ...

    def cycles(self) -> Cycles:
        """What sends its cyclic frames."""

    def transmit(self, identifier: int, flags: int, data: bytes) -> None: ...

    def receive(self, timeout_s: float) -> None:
        """Put what comes within the timeout into the trace; return early when a command waits."""

    def beat(self) -> None:
        """Called once a round."""

    def state(self) -> str: ...

    def clock(self) -> dict[str, Any]:
        """How sure the mapping of stamps is: clock_ns, drift_ppm."""


class Owner:
    """One bus: what is due to be sent, and how well this process is served by the host."""

    def __init__(self, wire: Wire, loop_of: LoopOf) -> None:
        self.wire, self.loop_of = wire, loop_of
        self.cycles = wire.cycles()
        self.stall_ns = 0
        self.waits, self.looked_ns = Waits(), 0
        self.beat_ns = time.monotonic_ns()
        self.commands = b""
        self.closing = False
        self.loop: Coupled | None = None
        self.counts: dict[int, int] = {}  # where a loop left the counters
        self.heard = 0  # rows of the trace that the loop has been told of

    # ------------------------------------------------------------ the loop

    def run(self) -> None:
        while not self.closing:
            now_ns = time.monotonic_ns()
            self.stall_ns = max(self.stall_ns, now_ns - self.beat_ns - BEAT_NS)
            if now_ns - self.looked_ns >= BEAT_NS:
                self.looked_ns = now_ns
                self.waits.look(os.getpid())
            self.beat_ns = now_ns
            self.close_loop(now_ns)
            self.cycles.send(now_ns)
            self.wire.beat()
            due_ns = self.cycles.due_ns
            wake_ns = now_ns + BEAT_NS if due_ns is None else min(due_ns, now_ns + BEAT_NS)
            wake_ns = min(wake_ns, self.loop.due_ns) if self.loop is not None else wake_ns
            self.wire.receive(max(0.0, (wake_ns - time.monotonic_ns()) / 1e9))
            self.obey()

    def couple(self, loop: Coupled) -> None:
        """Start a loop as it wishes, or as soon as it stands."""
        start_ns = max(loop.due_ns, time.monotonic_ns() + BEAT_NS)
        loop.start(start_ns)
        self.loop, self.heard = loop, self.wire.trace.count
        say({"start_ns": start_ns})

    def close_loop(self, now_ns: int) -> None:
        """Tell the loop what the device has sent, and send what is due."""
        if self.loop is None:
            return
        if self.loop.due_ns <= now_ns:
            taken = {i: count for i in self.loop.takes if (count := self.cycles.stop(i)) is not None}
            if taken:
                self.loop.begin(taken)
        rows = self.wire.trace.rows(self.heard)
        self.heard += len(rows)
        for row in rows[(rows["flags"] & (TX | ERROR)) == 0]:
            self.loop.hear(int(row["time_ns"]), int(row["id"]), row["data"][: row["length"]].tobytes())
        for identifier, flags, data in self.loop.advance(now_ns):
            self.wire.transmit(identifier, flags, data)
        if self.loop.over:
            self.counts, self.loop = dict(self.loop.counts()), None

    def obey(self) -> None:
        if not select.select([0], [], [], 0)[0]:
            return
        chunk = os.read(0, 1 << 20)
        if not chunk:  # the test process is gone
            self.closing = True
            return
        self.commands += chunk
        *lines, self.commands = self.commands.split(b"\n")
        for line in lines:
            self.command(json.loads(line))

    def command(self, order: dict[str, Any]) -> None:
        what = order["do"]
        if what == "send":
            self.wire.transmit(order["id"], order["flags"], bytes.fromhex(order["data"]))
        elif what == "cycle":
            payloads, identifier = [bytes.fromhex(p) for p in order["payloads"]], order["id"]
            count = self.counts.pop(identifier, 0)
            self.cycles.change(identifier, order["period_ns"], payloads, order["flags"], count)
        elif what == "couple":
            self.couple(self.loop_of(order["loop"]))
        elif what == "stop":
            self.cycles.stop(order["id"])
        elif what == "ours":
            self.wire.ours.add(order["id"])
            say({})
        elif what == "health":
            self.say_health()
        elif what == "close":
            self.closing = True

    def say_health(self) -> None:
        wire = self.wire
        stall_ns = max(self.stall_ns, wire.stall_ns)
        state = wire.state()
        said = {"state": state, "lost": wire.lost, "errors": wire.errors, "stall_ns": stall_ns}
        say({**said, "waited_ns": self.waits.taken_ns(), **wire.clock()})
        self.stall_ns = wire.stall_ns = wire.errors = 0


class HubWire:
    """On the hub: whole blocks, and SYNC records that tell up to when everything has been heard."""

    def __init__(self, trace: Trace, bus: HubBus) -> None:
        self.trace, self.bus = trace, bus
        self.stall_ns, self.errors, self.lost = 0, 0, 0
        self.asked_ns, self.waiting = 0, False
        self.ours: set[int] = set()

    def cycles(self) -> Cycles:
        return TimedCycles(self.transmit)

    def transmit(self, identifier: int, flags: int, data: bytes) -> None:
        self.bus.send_block(PACK.pack(0, identifier, flags & ~TX, 0, len(data), data), 5.0)

    def state(self) -> str:
        return "active"

    def clock(self) -> dict[str, Any]:
        """The hub's stamps are CLOCK_MONOTONIC."""
        return {}

    def beat(self) -> None:
        """Ask for a stamp."""
        now_ns = time.monotonic_ns()
        if not self.waiting and now_ns - self.asked_ns >= BEAT_NS:
            self.waiting, self.asked_ns = True, now_ns
            self.bus.send_block(PACK.pack(0, 0, SYNC, 0, 0, b""), 5.0)

    def receive(self, timeout_s: float) -> None:
        if not select.select([self.bus.fileno(), 0], [], [], timeout_s)[0]:
            return
        rows = self.bus.recv_block(0.0)
        if not len(rows):
            return
        syncs = rows["flags"] & SYNC != 0
        self.trace.extend(rows[~syncs] if syncs.any() else rows)
        if syncs.any():
            stamp_ns = int(rows["time_ns"][np.flatnonzero(syncs)[-1]])
            self.stall_ns = max(self.stall_ns, stamp_ns - self.asked_ns)
            self.waiting = False
            self.trace.captured(stamp_ns)


class DriverWire:
    """Any other python-can interface: messages one at a time, their stamps mapped to CLOCK_MONOTONIC."""

    def __init__(self, trace: Trace, bus: can.BusABC, interface: str, channel: str) -> None:
        self.trace, self.bus, self.echoes = trace, bus, interface in ECHOES
        self.stall_ns, self.errors = 0, 0
        self.stamps = Stamps()
        self.sent: deque[tuple[int, int]] = deque(maxlen=MOST_SENT)  # (id, when we sent it) of what is to come back
        self.condition = Condition(bus, interface, channel)
        self.ours: set[int] = set()

    def cycles(self) -> Cycles:
        return TimedCycles(self.transmit)

    @property
    def lost(self) -> int:
        return self.condition.lost

    def transmit(self, identifier: int, flags: int, data: bytes) -> None:
        before_ns = time.monotonic_ns()
        self.bus.send(message(identifier, flags & ~TX, data))
        if self.echoes:
            self.sent.append((identifier, before_ns))
        else:
            self.trace.append(self.stamps.now(time.monotonic_ns()), identifier, flags | TX, data)

    def beat(self) -> None:
        """A driver's clock needs no asking."""

    def receive(self, timeout_s: float) -> None:
        heard = self.bus.recv(min(timeout_s, BEAT_NS / 1e9))
        before_ns = time.monotonic_ns()
        while heard is not None:
            self.keep(heard)
            heard = self.bus.recv(0)
        self.trace.captured(before_ns - LAG_NS if self.trace.count else before_ns, self.lost)

    def keep(self, heard: can.Message) -> None:
        arrival_ns, data = time.monotonic_ns(), bytes(heard.data)
        flags, sent_ns = flags_of(heard), None
        if flags & TX:
            while self.sent and sent_ns is None:
                identifier, at_ns = self.sent.popleft()
                sent_ns = at_ns if identifier == heard.arbitration_id else None
        if flags & ERROR:
            self.errors += 1
            self.condition.error_frame(heard.arbitration_id, data)
        stamp_ns = self.stamps.mapped(round(heard.timestamp * 1e9), arrival_ns, sent_ns)
        self.trace.append(stamp_ns, heard.arbitration_id, flags, data)

    def state(self) -> str:
        self.condition.read()
        return self.condition.state

    def clock(self) -> dict[str, Any]:
        return {"clock_ns": self.stamps.uncertainty_ns(), "drift_ppm": round(self.stamps.drift_ppm(), 3)}


def loops(named: str) -> LoopOf:
    """Return what makes a loop from its plain data, as its name "module:function" says; nobody waits for a frame yet."""
    module, _, function = named.partition(":")
    found: LoopOf = getattr(importlib.import_module(module), function)() if named else no_loop
    return found


def no_loop(plain: Any) -> Coupled:
    raise Fault("nobody said how loops are made on this bus")


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


@contextmanager
def opened(bus: dict[str, Any], trace: Trace) -> Iterator[Wire]:
    """The wire of a bus, by the arguments of can.Bus."""
    interface, channel = bus["interface"], str(bus.get("channel", ""))
    if interface == "shipei_slcan":
        with closing(SlcanWire(trace, channel)) as line:
            yield line
        return
    with can.Bus(**revived(bus)) as port:
        if isinstance(port, HubBus):
            yield HubWire(trace, port)
        elif interface == "socketcan":
            yield SocketWire(trace, port, channel)
        else:
            yield DriverWire(trace, port, interface, channel)


def main(settings: dict[str, Any]) -> int:
    """Open the bus and own it until told to close. What goes wrong is said in one line, and the exit code is 3."""
    die_with_parent()
    go_before()
    loop_of = loops(settings["loops"])
    trace = Trace(Path(settings["trace"]), settings["name"])
    try:
        with opened(settings["bus"], trace) as wire:
            say({"ready": True})
            Owner(wire, loop_of).run()
    except (can.CanError, OSError, Fault, ValueError, TypeError, ImportError, NotImplementedError) as error:
        bus = settings["bus"]
        say({"error": can_trouble(bus["interface"], str(bus.get("channel", "")), error)})
        return 3
    finally:
        trace.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
