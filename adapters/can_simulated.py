"""A CAN bus in simulated time: arbitration by identifier, durations from bits, and faults that a seed repeats."""

import heapq
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from adapters._process.stepper import Sent
from adapters.simulation import FAR, World
from harness.can.frames import ERROR_FRAME_BITS, RECOVERY_BITS, duration_ns
from harness.can.trace import Rows, Trace
from harness.model import noun
from harness.ports import ERROR, EXT, TX, Bench, Coupled, Cycle, Frame, Health, StandsOn
from harness.record import trace_of

BENCH, ITEM = 0, 1
PASSIVE, BUS_OFF = 128, 256  # transmit errors
ERROR_PASSIVE = (0x20000004, bytes((0, 0x20, 0, 0, 0, 0, 0, 0)))  # linux/can/error.h: CAN_ERR_CRTL, TX_PASSIVE
ERROR_BUS_OFF = (0x20000040, bytes(8))
Pending = tuple[int, int, int, int, int, int, bytes]  # arbitration key, number, ready_ns, sender, id, flags, data


class Controller:
    """The error counters of one node (ISO 11898-1:2015, 12.1)."""

    def __init__(self) -> None:
        self.errors = 0  # transmit error counter
        self.off_until_ns = 0

    def state(self, now_ns: int) -> str:
        if now_ns < self.off_until_ns:
            return "off"
        return "passive" if self.errors >= PASSIVE else "active"


class SimulatedBus:
    """One bus and its two controllers: the bench's and the item's."""

    uncertainty_ns = 0

    def __init__(
        self, world: World, recipe: "SimulatedCan", bitrate: int, data_bitrate: int | None, trace: Trace
    ) -> None:
        self.world, self.recipe, self.trace = world, recipe, trace
        self.bitrate, self.data_bitrate = bitrate, data_bitrate
        self.number = len(world.buses)
        self.random = random.Random(recipe.seed)
        self.waiting: list[Pending] = []
        self.later: list[tuple[int, Pending]] = []  # not ready yet
        self.on_wire: Pending | None = None
        self.free_ns = world.now_ns
        self.cycles: dict[int, list[Any]] = {}  # id -> [due_ns, Cycle, counter]
        self.controllers = (Controller(), Controller())
        self.count, self.lost, self.error_frames = 0, 0, 0
        self.watched: frozenset[int] = frozenset()
        self.seen = 0
        self.caught = False
        self.to_destroy = 0
        self.loop: Coupled | None = None
        self.counts: dict[int, int] = {}  # where a loop left the counters

    # ------------------------------------------------------------ the port

    def send(self, frame: Frame) -> None:
        self.put(self.world.now_ns, BENCH, frame.id, frame.flags, frame.data)

    def cycle(self, identifier: int, cycle: Cycle | None) -> None:
        if cycle is None:
            self.cycles.pop(identifier, None)
        elif identifier in self.cycles:
            self.cycles[identifier][1] = cycle
        else:
            self.cycles[identifier] = [self.world.now_ns, cycle, self.counts.pop(identifier, 0)]

    def destroy(self, frames: int) -> None:
        self.to_destroy = frames

    def couple(self, loop: Coupled) -> int:
        loop.start(max(loop.due_ns, self.world.now_ns))
        self.loop = loop
        return loop.due_ns

    def rows(self, start: int = 0) -> Rows:
        return self.trace.rows(start)

    def now_ns(self) -> int:
        return self.world.now_ns

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        self.watched, self.seen, self.caught = frozenset(ids), seen, False
        there = self.trace.rows(seen)["id"].tolist() if seen < self.trace.count else []
        if not there or (ids and self.watched.isdisjoint(there)):
            self.world.run(until_ns, self)
        return self.trace.count

    def health(self) -> Health:
        state = self.controllers[BENCH].state(self.world.now_ns)
        errors, self.error_frames = self.error_frames, 0
        return Health(state=state, lost=self.lost, errors=errors)

    # ------------------------------------------------------------ the world's side

    def item_sends(self, sent: Sent) -> None:
        time_ns, _, identifier, flags, data = sent
        self.put(max(time_ns, self.world.now_ns), ITEM, identifier, flags, data)

    def forget_item(self) -> None:
        self.waiting = [p for p in self.waiting if p[3] != ITEM]
        heapq.heapify(self.waiting)
        self.later = [p for p in self.later if p[1][3] != ITEM]
        heapq.heapify(self.later)

    def put(self, ready_ns: int, sender: int, identifier: int, flags: int, data: bytes) -> None:
        self.count += 1
        key = identifier << 1 | 1 if flags & EXT else identifier << 19
        pending: Pending = (key, self.count, ready_ns, sender, identifier, flags & ~TX, data)
        if ready_ns <= self.world.now_ns:
            heapq.heappush(self.waiting, pending)
        else:
            heapq.heappush(self.later, (ready_ns, pending))

    def due_ns(self) -> int:
        """When something happens here next."""
        due = FAR
        for entry in self.cycles.values():
            if entry[0] < due:
                due = entry[0]
        if self.loop is not None and self.loop.due_ns < due:
            due = self.loop.due_ns
        if self.later and self.later[0][0] < due:
            due = self.later[0][0]
        if (self.on_wire is not None or self.waiting) and self.free_ns < due:
            due = self.free_ns
        return due

    def run(self, now_ns: int) -> None:
        """Everything that happens at now_ns: a frame ends, cyclic frames fall due, the next frame wins the bus."""
        if self.on_wire is not None and self.free_ns <= now_ns:
            self.finish(self.on_wire)
        if self.loop is not None and self.loop.due_ns <= now_ns:
            self.close_loop(self.loop, now_ns)
        for identifier, entry in self.cycles.items():
            if entry[0] <= now_ns:
                cycle = entry[1]
                entry[0] += cycle.period_ns
                self.put(now_ns, BENCH, identifier, cycle.flags, cycle.payloads[entry[2] % len(cycle.payloads)])
                entry[2] += 1
        while self.later and self.later[0][0] <= now_ns:
            heapq.heappush(self.waiting, heapq.heappop(self.later)[1])
        if self.on_wire is None and self.waiting and self.free_ns <= now_ns:
            self.begin(now_ns)

    def close_loop(self, loop: Coupled, now_ns: int) -> None:
        taken = {i: entry[2] for i in loop.takes if (entry := self.cycles.pop(i, None)) is not None}
        if taken:
            loop.begin(taken)
        for identifier, flags, data in loop.advance(now_ns):
            self.put(now_ns, BENCH, identifier, flags, data)
        if loop.over:
            self.loop, self.counts = None, dict(loop.counts())

    def begin(self, now_ns: int) -> None:
        """Arbitration: of all that is ready, the lowest identifier goes."""
        pending = heapq.heappop(self.waiting)
        controller = self.controllers[pending[3]]
        if controller.state(now_ns) == "off":
            heapq.heappush(self.later, (controller.off_until_ns, pending))
            return
        _, _, _, _, identifier, flags, data = pending
        self.on_wire = pending
        self.free_ns = now_ns + duration_ns(identifier, flags, data, self.bitrate, self.data_bitrate)

    def finish(self, pending: Pending) -> None:
        self.on_wire = None
        _, _, _, sender, identifier, flags, data = pending
        controller = self.controllers[sender]
        forced = (
            self.recipe.bus_off_at_s is not None and sender == BENCH and self.free_ns >= self.recipe.bus_off_at_s * 1e9
        )
        if sender == ITEM and self.to_destroy:
            self.to_destroy -= 1
            forced = True
        if forced or (self.recipe.corruption and self.random.random() < self.recipe.corruption):
            self.corrupt(pending, controller)
            return
        controller.errors = max(0, controller.errors - 1)
        if self.recipe.loss and self.random.random() < self.recipe.loss:
            self.lost += 1
            return
        self.trace.append(self.free_ns, identifier, flags | (TX if sender == BENCH else 0), data, self.number)
        if self.trace.count > self.seen and (not self.watched or identifier in self.watched):
            self.caught = True
        if self.loop is not None and sender == ITEM:
            self.loop.hear(self.free_ns, identifier, data)
        if sender == BENCH:
            self.world.deliver((self.free_ns, self.number, identifier, flags, data))

    def corrupt(self, pending: Pending, controller: Controller) -> None:
        """An error frame, then the frame again; at 256 errors its sender leaves the bus for 128 x 11 bits."""
        self.error_frames += 1
        controller.errors += 8
        self.free_ns += ERROR_FRAME_BITS * 1_000_000_000 // self.bitrate
        self.trace.append(self.free_ns, pending[4], pending[5] | ERROR, b"", self.number)
        ready_ns = self.free_ns
        if controller.errors == PASSIVE and pending[3] == ITEM:
            self.tell_item(ERROR_PASSIVE)
        if controller.errors >= BUS_OFF:
            ready_ns = controller.off_until_ns = self.free_ns + RECOVERY_BITS * 1_000_000_000 // self.bitrate
            controller.errors = 0
            if pending[3] == ITEM:  # its mailboxes are emptied, and its software hears of it
                self.forget_item()
                self.tell_item(ERROR_BUS_OFF)
                return
        heapq.heappush(self.later, (ready_ns, (*pending[:2], ready_ns, *pending[3:])))

    def tell_item(self, what: tuple[int, bytes]) -> None:
        """An error frame of the item's own controller, as a kernel would hand it to its software."""
        self.world.deliver((self.free_ns, self.number, what[0], ERROR, what[1]))


@noun
class SimulatedCan:
    """A simulated bus on the world of the port named in `on`.

    loss and corruption are probabilities per frame, drawn from the seed; from bus_off_at_s on, every frame that the bench
    sends is destroyed, so that its controller goes bus-off.
    """

    on: str = "power"
    seed: int = 1
    loss: float = 0.0
    corruption: float = 0.0
    bus_off_at_s: float | None = None
    is_bus: ClassVar[bool] = True
    abilities: ClassVar[tuple[str, ...]] = ("faults", "overload")
    opens: ClassVar[tuple[str, ...]] = ("bus",)
    virtual: ClassVar[bool] = True

    def stands_on(self) -> StandsOn:
        return {"on": ("world",)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[SimulatedBus]:
        interface = bench.item.interface.buses[name]
        trace = Trace(trace_of(bench.evidence, name), name)
        world: World = bench.ports[self.on]
        bus = SimulatedBus(world, self, interface.bitrate, interface.data_bitrate, trace)
        world.buses.append(bus)
        try:
            yield bus
        finally:
            trace.close()
