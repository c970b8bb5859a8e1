"""Close the loop between a device and the plant: sensor frames out in their cycles, the device's demands in, step by step.

The same code runs inside the simulated bus and inside the process that owns a real-time bus. A demand takes effect by the stamp
of its frame plus the actuator's delay, so that the plant's way follows from the trace alone, and can be computed again from it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness import documents
from harness.can import vss
from harness.can.decode import Codec
from harness.can.e2e import PERIOD, protect
from harness.can.encode import Layout, layout
from harness.driving.plant import STEP_S, Plant
from harness.driving.scenario import Scenario
from harness.driving.sensors import PATHS, WORDS, Sensing
from harness.errors import DeviceError
from harness.model import BusInterface, E2e, Value, noun

STEP_NS = round(STEP_S * 1e9)
BRAKING, BRAKES = "Vehicle.ADAS.AEB.DecelerationRequest", "Vehicle.ADAS.AEB.IsBraking"
ACCELERATING, CRUISES = "Vehicle.ADAS.ACC.AccelerationRequest", "Vehicle.ADAS.ACC.IsControlling"
STEERING, STEERS = "Vehicle.ADAS.LKA.CurvatureRequest", "Vehicle.ADAS.LKA.IsSteering"
COUPLE, AGAIN = "couple", "couple again"  # what a record calls it
LOOPS = "harness.driving.closed_loop:from_plain"  # where a process that owns a bus has its loops from
DEMANDS = (BRAKING, BRAKES, ACCELERATING, CRUISES, STEERING, STEERS)
Packed = tuple[int, int, bytes]  # id, flags, data


@noun
class Lead:
    """Where a VSS path goes: message and signal, and the DBC's labels for VSS values."""

    message: str
    signal: str
    labels: Mapping[str, str]


@noun
class Coupling:
    """Everything that a loop is made of, as plain data, so that another process can make the same one."""

    case: Scenario
    layouts: Mapping[str, Layout]
    e2e: tuple[E2e, ...]
    leads: Mapping[str, Lead]
    start_ns: int
    call: str = COUPLE  # or AGAIN, where a busy host spoilt the case before


def coupling(
    case: Scenario, codec: Codec, paths: Mapping[str, vss.Mapped], bus: BusInterface, start_ns: int
) -> Coupling:
    """Couple a case to a bus; raises DeviceError when the submission's map lacks what driving assistance needs."""
    needed = [*(p for channel in PATHS.values() for p in channel), *DEMANDS, *(s.path for s in case.signals)]
    for path in needed:
        if path not in paths:
            raise DeviceError(f"the submission declares driving assistance, but its map has no {path}")
    found = {p: paths[p] for p in needed}
    layouts = {m: layout(codec.messages[m]) for m in sorted({at.message for at in found.values()})}
    leads = {
        p: Lead(message=m.message, signal=m.signal, labels={str(v): k for k, v in m.to_vss.items()})
        for p, m in found.items()
    }
    for path, value in (*WORDS, *((s.path, s.value) for s in case.signals if isinstance(s.value, str))):
        lead = leads[path]
        known = layouts[lead.message].places[lead.signal].labels
        if lead.labels.get(value, value) not in known:
            raise DeviceError(f"{path} cannot say {value!r}: {lead.signal} has the values {', '.join(known)}")
    return Coupling(case=case, layouts=layouts, e2e=bus.e2e, leads=leads, start_ns=start_ns)


class Sender:
    """One message of the bench in the loop: its cycle, its counter, its values by signal."""

    def __init__(self, layout: Layout, rule: E2e | None, channels: tuple[str, ...]) -> None:
        self.layout, self.rule, self.channels = layout, rule, channels
        self.period_steps = max(1, round((layout.cycle_ms or 10) * 1e6 / STEP_NS))
        self.values: dict[str, Value] = {}
        self.sent, self.last = 0, b""

    def payload(self) -> bytes:
        pages = self.layout.pages
        payload = self.layout.pack(self.values, pages[self.sent % len(pages)] if pages else None)
        if self.rule is not None:
            payload = protect(self.rule, payload, self.sent % PERIOD[self.rule.profile])
        self.sent += 1
        return payload


class Loop:
    """One case on one bus, from `start_ns` on, in steps of 10 ms of that bus's clock."""

    def __init__(self, coupling: Coupling) -> None:
        self.coupling, self.call, self.case, self.leads = coupling, coupling.call, coupling.case, coupling.leads
        self.plant = Plant(self.case)
        self.sensing = Sensing(self.plant)
        self.rules = {r.message: r for r in coupling.e2e}
        self.senders = tuple(self.make_senders())
        self.takes = [sender.layout.id for sender in self.senders]
        self.listening: dict[int, tuple[tuple[str, Layout, str], ...]] = {}
        for path in DEMANDS:
            at = self.leads[path]
            heard = self.coupling.layouts[at.message]
            self.listening[heard.id] = (*self.listening.get(heard.id, ()), (path, heard, at.signal))
        self.demanded: dict[str, float] = dict.fromkeys(DEMANDS, 0.0)
        self.asked = (0.0, 0.0)
        self.step = 0
        self.start(coupling.start_ns)

    def plain(self) -> Any:
        """What it is made of, as JSON data."""
        return documents.dump(self.coupling)

    def start(self, start_ns: int) -> None:
        """Start then and not as the coupling wishes: a bus in real time may need longer until it can."""
        self.start_ns = self.due_ns = start_ns
        self.end_ns = start_ns + round(self.case.duration_s * 1e9)

    def begin(self, counts: Mapping[int, int]) -> None:
        """Go on with the counters of who has sent these messages before."""
        for sender in self.senders:
            sender.sent = counts.get(sender.layout.id, 0)

    def counts(self) -> dict[int, int]:
        return {sender.layout.id: sender.sent for sender in self.senders}

    def make_senders(self) -> Iterator[Sender]:
        wanted: dict[str, set[str]] = {}
        for channel, paths in PATHS.items():
            for path in paths:
                wanted.setdefault(self.leads[path].message, set()).add(channel)
        for signal in self.case.signals:
            wanted.setdefault(self.leads[signal.path].message, set())
        for name in sorted(wanted):
            yield Sender(self.coupling.layouts[name], self.rules.get(name), tuple(sorted(wanted[name])))

    # ------------------------------------------------------------ the device's demands

    def hear(self, time_ns: int, identifier: int, data: bytes) -> None:
        """A frame that the device sent."""
        for path, of, signal in self.listening.get(identifier, ()):
            if len(data) == of.length:
                self.demanded[path] = of.value(signal, data)
        if identifier in self.listening:
            self.apply((time_ns - self.start_ns) / 1e9)

    def apply(self, time_s: float) -> None:
        """Braking goes before cruising; nobody asking means that the driver keeps the speed."""
        got = self.demanded
        cruise = got[ACCELERATING] if got[CRUISES] else 0.0
        accel = -got[BRAKING] if got[BRAKES] else cruise
        steer = got[STEERING] if got[STEERS] else 0.0
        if accel != self.asked[0]:
            self.plant.demand(time_s, accel)
        if steer != self.asked[1]:
            self.plant.steer(time_s, steer)
        self.asked = (accel, steer)

    # ------------------------------------------------------------ time

    def advance(self, now_ns: int) -> list[Packed]:
        """Every step that is due by now; the frames that it sends."""
        frames: list[Packed] = []
        while self.due_ns <= now_ns and not self.over:
            if self.step:
                self.plant.advance()
            for sender in self.senders:
                if self.step % sender.period_steps == 0:
                    frames += self.frames_of(sender)
            self.step += 1
            self.due_ns += STEP_NS
        return frames

    @property
    def over(self) -> bool:
        return self.due_ns > self.end_ns

    def frames_of(self, sender: Sender) -> Iterator[Packed]:
        """The sender's frame now, with what is wrong with its channel."""
        faulty = [f for c in sender.channels for k in ("lost", "frozen", "corrupt") for f in self.sensing.faults(c, k)]
        kinds = {f.kind for f in faulty}
        if not ("frozen" in kinds and sender.last):
            self.refresh(sender)
            sender.last = sender.payload()
        if "lost" not in kinds:
            data = sender.last
            if "corrupt" in kinds:
                data = bytes((data[0] ^ 0xFF, *data[1:]))
            yield sender.layout.id, sender.layout.flags, data

    def refresh(self, sender: Sender) -> None:
        """The values of this moment."""
        now: dict[str, Value] = {}
        for channel in sender.channels:
            now |= self.sensing.values(channel)
        for signal in self.case.signals:
            if signal.at_s <= self.plant.time_s:
                now[signal.path] = signal.value
        for path, value in now.items():
            at = self.leads[path]
            if at.message == sender.layout.name:
                sender.values[at.signal] = at.labels.get(str(value), value)


def from_plain() -> Callable[[Any], Loop]:
    """Return what makes a loop from its `plain` data; all that takes long is done by then."""
    documents.adapter(Coupling)
    return lambda plain: Loop(documents.from_plain(Coupling, plain))
