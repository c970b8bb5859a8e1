"""The world in simulated time: buses, one item, one clock that jumps from event to event. Same seed, same trace."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from adapters._process.confine import ARTEFACT, Surroundings, copied
from adapters._process.stepper import Sent, Stepper
from harness.console import Assembler
from harness.errors import DeviceError, given
from harness.model import noun
from harness.ports import Bench, Line, StandsOn
from harness.record import CONSOLE

if TYPE_CHECKING:
    from adapters.can_simulated import SimulatedBus

START_NS = 1_000_000_000
FAR = 1 << 62
MAX_SENT = 10_000


class World:
    """The clock, what is on it, and the item while it has power."""

    uncertainty_ns = 0

    def __init__(self, work: Path, console_log: Path) -> None:
        self.work = work
        self.arrival = copied(work / ARTEFACT)
        self.fence = Surroundings(work=work, told={}).fence
        self.now_ns = START_NS
        self.buses: list[SimulatedBus] = []
        self.item: Stepper | None = None
        self.item_due_ns = self.item_wake_ns = FAR
        self.received: list[Sent] = []
        self.console = Assembler(console_log)

    def deliver(self, frame: Sent) -> None:
        """A frame of the bench has ended: the item has it when it runs next, and runs when it said it would."""
        if self.item is not None:
            self.received.append(frame)
            self.item_due_ns = min(self.item_due_ns, max(self.item_wake_ns, self.now_ns))

    # ------------------------------------------------------------ power

    def on(self) -> int:
        """Supply on: the item starts its life now."""
        if self.item is None:
            self.item = Stepper(self.work)
            self.received.clear()
            self.item_due_ns = self.now_ns
            self.step_item()
        return self.now_ns

    def off(self) -> int:
        """Supply off: the item and everything it still wanted to send are gone."""
        if self.item is not None:
            self.item.kill()
            self.item, self.item_due_ns = None, FAR
            for bus in self.buses:
                bus.forget_item()
        return self.now_ns

    def check(self) -> None:
        """A killed item shows in its next step, as a RigError there."""

    # ------------------------------------------------------------ time

    def run(self, until_ns: int, stop: "SimulatedBus | None" = None) -> None:
        """Let time pass until `until_ns`, or until the bus `stop` has caught a frame that it watches for."""
        buses = self.buses
        while True:
            at = self.item_due_ns
            for bus in buses:
                due = bus.due_ns()
                if due < at:
                    at = due
            if at > until_ns:
                self.now_ns = max(self.now_ns, until_ns)
                return
            if at > self.now_ns:
                self.now_ns = at
            for bus in buses:
                bus.run(self.now_ns)
            if self.item_due_ns <= self.now_ns:
                self.step_item()
            if stop is not None and stop.caught:
                return

    def step_item(self) -> None:
        try:
            due_ns, wake_ns, sent, console = given(self.item).step(self.now_ns, self.received)
        except DeviceError:
            self.off()
            raise
        self.received.clear()
        if min(due_ns, wake_ns) <= self.now_ns:
            self.off()
            wanted_ns = min(due_ns, wake_ns)
            raise DeviceError(
                f"the item's stepper did not advance: at {self.now_ns} ns it wants to run at {wanted_ns} ns"
            )
        if len(sent) > MAX_SENT:
            raise DeviceError(f"the item sent {len(sent)} frames in one step; {MAX_SENT} are allowed")
        self.item_due_ns, self.item_wake_ns = due_ns, wake_ns
        for one in sent:
            if one[1] >= len(self.buses):
                raise DeviceError(f"the item sent on bus number {one[1]}; there are {len(self.buses)}")
            self.buses[one[1]].item_sends(one)
        for time_ns, chunk in console:
            self.console.feed(time_ns, chunk)


def share_a_cpu() -> set[int]:
    """Put this process and so its child on one CPU: a step then costs a switch and not a wake-up. Returns what was."""
    if not hasattr(os, "sched_setaffinity"):
        return set()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[os.getpid() % len(before)]})
    return before


@noun
class SimulatedTarget:
    """The item's supply in simulated time; it holds the world that the other simulated ports stand on."""

    form: ClassVar[str] = "program"
    opens: ClassVar[tuple[str, ...]] = ("power", "world")
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[World]:
        work = bench.work / "item"
        work.mkdir(parents=True, exist_ok=True)
        artefact = work / ARTEFACT
        shutil.copyfile(bench.item.files["application"], artefact)
        artefact.chmod(0o500)
        world = World(work, bench.evidence / CONSOLE)
        cpus = share_a_cpu()
        try:
            yield world
        finally:
            if cpus:
                os.sched_setaffinity(0, cpus)
            world.off()
            world.console.close()


class SimulatedConsoleView:
    """The item's console in simulated time."""

    uncertainty_ns = 0

    def __init__(self, world: World) -> None:
        self.world = world

    def lines(self, start: int = 0) -> Sequence[Line]:
        return self.world.console.lines[start:]

    def write(self, text: str) -> int:
        raise DeviceError("the item's console takes no input in simulated time")

    def trouble(self) -> str:
        return ""


@noun
class SimulatedConsole:
    """The console of the item behind the port named in `on`."""

    on: str = "power"
    opens: ClassVar[tuple[str, ...]] = ("console",)
    virtual: ClassVar[bool] = True

    def stands_on(self) -> StandsOn:
        return {"on": ("world",)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[SimulatedConsoleView]:
        yield SimulatedConsoleView(bench.ports[self.on])
