"""What a test may do to a device: the protocols, the frames that cross them, and what an adapter is.

Every time is a reading of the rig's one clock, in ns: the wire's stamp in simulated time, CLOCK_MONOTONIC in real time.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from harness.model import Item

TX, EXT, FD, BRS, ESI, RTR, ERROR = 1, 2, 4, 8, 16, 32, 64  # flags of a frame; TX: sent by the bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One CAN frame. `time_ns` is the wire's stamp; 0 on a frame that is yet to be sent.

    >>> Frame(id=0x101, data=bytes(2), time_ns=1_500_000_000).time_s
    1.5
    """

    id: int
    data: bytes
    flags: int = 0
    time_ns: int = 0

    @property
    def time_s(self) -> float:
        return self.time_ns / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """A cyclic transmission: the payloads go out in turn, so that counters and CRCs live.

    A new Cycle for the same frame takes over at its next due time and goes on with the counter.
    """

    id: int
    period_ns: int
    payloads: tuple[bytes, ...]
    flags: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A bus's state: frames lost so far; error frames and the longest stall since the last reading; how sure its stamps are.

    Anything but zeros and `active` after a test is held against the rig, unless the test provoked it.
    """

    state: str = "active"  # active, passive, off
    lost: int = 0
    errors: int = 0
    stall_ns: int = 0  # the longest time since the last reading that the bus's owner stood still, whatever for
    waited_ns: int = 0  # the longest that it waited for a CPU of the host
    clock_ns: int = 0  # between the bounds on the offset of the adapter's clock to ours
    drift_ppm: float = 0.0  # of the adapter's clock against ours


class Coupled(Protocol):
    """A closed loop on a bus: it hears what the device sends and says what the bench sends next (harness.driving.closed_loop)."""

    call: str  # what a record calls its start
    due_ns: int
    takes: list[int]  # the identifiers that it sends from its start on, in place of their cycles

    def plain(self) -> Any:
        """What it is made of, as JSON data: for a bus that another process owns (see `Bench.loops`)."""

    def start(self, start_ns: int) -> None:
        """It starts then, by this bus's clock."""

    def begin(self, counts: Mapping[int, int]) -> None:
        """It starts; how often each of these has been sent, so that live counters go on."""

    def counts(self) -> Mapping[int, int]:
        """How often each has been sent by now."""

    @property
    def over(self) -> bool: ...

    def hear(self, time_ns: int, identifier: int, data: bytes) -> None: ...

    def advance(self, now_ns: int) -> Sequence[tuple[int, int, bytes]]:
        """Everything that is due by now: (id, flags, data)."""


@runtime_checkable
class CanBus(Protocol):
    """A raw CAN bus. Names, expectations and the restbus live above it, in harness.vehicle.vehicle."""

    uncertainty_ns: int

    def send(self, frame: Frame) -> None:
        """Put one frame on the bus; its own row with its wire stamp appears in rows(), flagged TX."""

    def cycle(self, identifier: int, cycle: Cycle | None) -> None:
        """Start, change or (None) stop the cyclic transmission of an identifier."""

    def couple(self, loop: Coupled) -> int:
        """Run a closed loop to its end; what it sends is sent by it alone meanwhile.

        Returns when it starts: as wished, or as soon after as this bus can.
        """

    def rows(self, start: int = 0) -> Any:
        """All frames since row number `start`, both directions, as rows of harness.can.trace.ROW in wire order."""

    def now_ns(self) -> int:
        """The clock: every frame stamped before it is in rows()."""

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        """Wait for a frame (of `ids`, if any) beyond row `seen`, or the clock to reach until_ns; return the row count."""

    def health(self) -> Health: ...


@runtime_checkable
class Disturbing(Protocol):
    """A bus that can be disturbed for real, or by its model."""

    def destroy(self, frames: int) -> None:
        """The next so many frames of the device are destroyed by an error frame, each attempt counted."""


@runtime_checkable
class Clock(Protocol):
    """The rig's clock, as a bus keeps it, or the console of an item that speaks no bus."""

    def now_ns(self) -> int:
        """Everything that is stamped before it has been kept."""

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        """Wait for a moment, or for the clock to reach until_ns."""


class Line(NamedTuple):
    """One line of console output, without its ending and without terminal escapes; the stamp is its first byte's."""

    time_ns: int
    text: str


@runtime_checkable
class Console(Protocol):
    """A serial console, read in the background; every line since power-on."""

    uncertainty_ns: int

    def lines(self, start: int = 0) -> Sequence[Line]:
        """Complete lines since line number `start`."""

    def write(self, text: str) -> int:
        """Type this; the clock's reading once it is on its way."""

    def trouble(self) -> str:
        """What may have cost bytes since the last reading, in words; empty if nothing has."""


@runtime_checkable
class Power(Protocol):
    """The device's supply. `on` and `off` return the clock's reading at which it took effect."""

    uncertainty_ns: int

    def on(self) -> int: ...

    def off(self) -> int: ...

    def check(self) -> None:
        """Raises RigError if the device lost its supply, or its life, by something other than the bench and itself."""


@runtime_checkable
class Hosted(Protocol):
    """A device that runs on the bench's own host, and so may be kept waiting by it."""

    def stall_ns(self) -> int:
        """The longest that it waited for a CPU since the last reading."""


@runtime_checkable
class Supply(Power, Protocol):
    """A supply that can be set and read back."""

    def set(self, volts: float) -> None:
        """Another voltage, from now on; raises RigError when it is not read back within the supply's own limits."""

    def read(self) -> tuple[float, float]:
        """(V, A) at its output, as it measures them."""


class Lease(Protocol):
    """A reservation of the bench in a lab engine."""

    def alive(self) -> None:
        """Raises RigError, saying why, when it is lost."""


class LeaseRecipe(Protocol):
    """What a rig's `lease` names: a frozen dataclass that reserves the bench, waiting within its own limit."""

    def reserve(self, rig: str, tell: Callable[[str], None]) -> AbstractContextManager[Lease]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A diagnostic answer: the stamps of the first frames of request and final answer, and how often the device asked to wait."""

    asked_ns: int
    time_ns: int
    data: bytes
    pending: int = 0


@runtime_checkable
class Diagnostics(Protocol):
    """Requests to the device's diagnostic server (ISO 14229-1). Stamps come from the bus's trace."""

    uncertainty_ns: int

    def ask(self, request: bytes, *, within_s: float) -> Answer:
        """The final answer, positive or negative. Raises DeviceError, with what was heard, when none comes in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How the image got onto the target, and the digest of what is there now; of an image of several files, each by its role."""

    how: str
    sha256: str
    parts: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Identified(Protocol):
    """A port that put the image onto the target, or read it back. A run without one says nothing about the image."""

    arrival: Arrival


@runtime_checkable
class Fenced(Protocol):
    """A port that runs the item on the lab's host: what keeps it from the lab's things, in words, or why nothing does (`unfenced: ...`)."""

    fence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a recipe is given: the item under test, folders for its own files and for evidence, the ports above it.

    `memory` is a folder that outlives the run, for what the rig must know next time; `tell` says what takes long, as it goes.
    `loops` is "module:function": called once in a process that owns a bus, it returns what makes a loop from its `plain` data.
    """

    item: Item
    work: Path
    evidence: Path
    ports: Mapping[str, Any]
    memory: Path
    tell: Callable[[str], None] = lambda what: None
    loops: str = ""


StandsOn = Mapping[str, tuple[str, ...]]  # a field that names another port: what that port may be
OR_NOTHING = "nothing"  # among them: where nobody names it, it may be missing


class Recipe(Protocol):
    """An adapter: a frozen dataclass whose fields are its YAML schema and whose `open` is its whole life.

    One that opens a CAN bus says `is_bus: ClassVar[bool] = True`: it is opened for items that speak a bus of its port's name.
    Every one says `virtual: ClassVar[bool]`: whether what it opens is no hardware. A bench takes only ports that say that they are hardware.
    One that others may stand on says `opens: ClassVar[tuple[str, ...]]`, what its port is to them: hub, network, world, bus, power, terminal
    (an item's), console, line (a console that can be lent), diagnostics, link. One that stands on others has `stands_on(self) -> StandsOn`.
    """

    def open(self, name: str, bench: Bench) -> AbstractContextManager[Any]: ...


@runtime_checkable
class Replayed(Protocol):
    """A port that plays a record back, test by test."""

    def replay_from(self, test: str) -> int:
        """Go to where a test started; the clock's reading there."""
