"""One driven case: what the plant did, computed again from the trace, and what the device showed meanwhile, on one time axis."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from harness import documents
from harness.can.trace import Rows
from harness.driving.closed_loop import AGAIN, BRAKING, COUPLE, STEP_NS, Coupling, Loop, coupling
from harness.driving.plant import STEP_S, Ego, Other, touching
from harness.driving.scenario import Scenario
from harness.errors import DeviceError, Late, RigError
from harness.ports import TX
from harness.vehicle.bus_view import BusView, Series
from harness.vehicle.observation import same
from harness.vehicle.vehicle import Vehicle

LEAD_S = 0.2  # from here to a scenario's start, so that a real-time bus has it in time
MOST_LATE_S = 0.05  # the loop's frames on a loaded host; below the actuators' delay, so the plant's way is still exact


@dataclass(frozen=True, kw_only=True)
class Contact:
    """The ego vehicle's front touched another: when, and how fast relative to it."""

    time_s: float
    speed_kmh: float
    actor: int


class Drive:
    """Times are seconds from the case's start. Row k of what the plant did is at k steps of 10 ms."""

    def __init__(self, net: BusView, coupling: Coupling, rows: Rows) -> None:
        self.net, self.coupling, self.rows = net, coupling, rows
        self.case: Scenario = coupling.case
        loop = Loop(coupling)
        heard = net.of_device(rows)
        heard = heard[np.isin(heard["id"], list(loop.listening))]
        frames = zip(
            heard["time_ns"].tolist(), heard["id"].tolist(), heard["length"].tolist(), heard["data"], strict=True
        )
        for time_ns, identifier, length, data in frames:
            self.advance(loop, time_ns)
            loop.hear(time_ns, identifier, data[:length].tobytes())
        self.advance(loop, loop.end_ns)
        self.plant = loop.plant
        self.egos: Sequence[Ego] = loop.plant.history

    @staticmethod
    def advance(loop: Loop, until_ns: int) -> None:
        """The steps up to a moment; what is demanded at it takes effect later."""
        while loop.start_ns + STEP_NS * len(loop.plant.history) <= until_ns:
            loop.plant.advance()

    # ------------------------------------------------------------ the plant

    @cached_property
    def others(self) -> list[list[Other]]:
        """Every road user at every step."""
        return [[self.plant.other(actor, ego) for ego in self.egos] for actor in self.case.actors]

    @cached_property
    def contact(self) -> Contact | None:
        """The first contact with any of them; between two steps it is where the gap closed."""
        first = None
        for n, (actor, seen) in enumerate(zip(self.case.actors, self.others, strict=True)):
            k = next((k for k, other in enumerate(seen) if touching(actor, other)), None)
            if k is None or (first is not None and first.time_s <= k * STEP_S):
                continue
            part = 1.0
            if k and seen[k - 1].gap_m > 0 > seen[k].gap_m:
                part = seen[k - 1].gap_m / (seen[k - 1].gap_m - seen[k].gap_m)
            before = seen[k - 1] if k else seen[k]
            closing = -(before.along_mps + part * (seen[k].along_mps - before.along_mps))
            first = Contact(time_s=(k - 1 + part) * STEP_S, speed_kmh=max(0.0, closing * 3.6), actor=n)
        return first

    def impact_kmh(self) -> float:
        """The relative speed of the first contact; 0 without one."""
        return self.contact.speed_kmh if self.contact else 0.0

    def ego(self, time_s: float) -> Ego:
        return self.egos[min(len(self.egos) - 1, max(0, round(time_s / STEP_S)))]

    def other(self, time_s: float, actor: int = 0) -> Other:
        seen = self.others[actor]
        return seen[min(len(seen) - 1, max(0, round(time_s / STEP_S)))]

    def ttc_s(self, time_s: float, actor: int = 0) -> float:
        """Time to collision with the speeds of that moment; a large number when they do not close in."""
        seen = self.other(time_s, actor)
        return seen.gap_m / -seen.along_mps if seen.along_mps < -0.01 else 999.0

    # ------------------------------------------------------------ the device

    def series(self, path: str) -> Series:
        """Every value that the device showed for a path: stamps in ns, values."""
        if path not in self.net.paths:
            raise DeviceError(f"the submission declares the feature, but its map has no {path}")
        return self.net.series(self.net.paths[path], self.rows)

    def known(self, paths: Iterable[str]) -> list[str]:
        """Those that the device's map has: it need not have every function."""
        return [path for path in paths if path in self.net.paths]

    def seconds(self, time_ns: int) -> float:
        return (time_ns - self.coupling.start_ns) / 1e9

    def first(self, path: str, value: object, after_s: float = 0.0) -> float | None:
        """When the device first showed a value, in s; None if it never did."""
        series = self.series(path)
        for time_ns, one in zip(series.time_ns.tolist(), series.values, strict=True):
            if same(one, value) and self.seconds(time_ns) >= after_s:  # type: ignore[arg-type]
                return self.seconds(time_ns)
        return None

    def values(self, path: str, after_s: float = 0.0, until_s: float = 1e9) -> list[float]:
        """The numbers that the device sent for a path in a stretch of time."""
        series = self.series(path)
        kept = zip(series.time_ns.tolist(), series.values, strict=True)
        return [float(v) for t, v in kept if after_s <= self.seconds(t) <= until_s]

    def steepest(self, path: str, over_s: float, times: float = 1.0) -> float:
        """The largest mean change of a number that the device sent over a stretch of time: per second, either way."""
        series, factor = self.series(path), times / over_s
        stamps, values = series.time_ns.tolist(), [float(v) for v in series.values]
        worst, first = 0.0, 0
        for time_ns, value in zip(stamps, values, strict=True):
            while stamps[first] < time_ns - round(over_s * 1e9) - 1000:
                first += 1
            if time_ns - stamps[first] > 0.9e9 * over_s:
                worst = max(worst, abs(value - values[first]) * factor)
        return worst

    # ------------------------------------------------------------ the rig

    def prove(self) -> None:
        """Raises Late when the loop did not keep its cycles: then nobody knows what the device was answering to."""
        loop = Loop(self.coupling)
        for sender in loop.senders:
            if any(f.kind == "lost" and f.channel in sender.channels for f in self.case.faults):
                continue
            sent = self.rows[(self.rows["id"] == sender.layout.id) & (self.rows["flags"] & TX != 0)]
            period_ns = sender.period_steps * STEP_NS
            due = self.coupling.start_ns + np.arange(len(sent)) * period_ns
            wanted = 1 + (loop.end_ns - loop.start_ns) // period_ns
            if len(sent) > wanted - 1 and sent["time_ns"][1] - sent["time_ns"][0] < period_ns / 2:
                due -= period_ns  # the last one from before the start was still on the wire: it is none of the loop's
            if len(sent) < wanted - 1:
                raise Late(f"the closed loop sent {len(sent)} of {wanted} frames {sender.layout.name}")
            late_s = float((sent["time_ns"] - due).max()) / 1e9
            if late_s > MOST_LATE_S:
                raise Late(f"the closed loop was up to {late_s * 1e3:.0f} ms late: the host is overloaded")


# ---------------------------------------------------------------- driving


def drive(vehicle: Vehicle, case: Scenario) -> Drive:
    """Drive a case of a scenario to its end, the device in the loop; once more where the bench did not keep its cycles.

    Only that decides, whatever the device did. Raises RigError, with what was wrong each time, when it did not then either.
    """
    try:
        return driven(vehicle, case, COUPLE)
    except Late as late:
        try:
            return driven(vehicle, case, AGAIN)
        except RigError as error:
            raise RigError(f"{late}; driven again: {error}") from error


def driven(vehicle: Vehicle, case: Scenario, call: str) -> Drive:
    """Drive it once. Raises Late when the bench did not keep its cycles."""
    net = vehicle.find(BRAKING)[0]
    start_ns = vehicle.time_ns + round(LEAD_S * 1e9)
    coupled = replace(coupling(case, net.codec, net.paths, net.interface, start_ns), call=call)
    loop = Loop(coupled)
    net.changed.update(sender.layout.name for sender in loop.senders)
    loop.start(net.bus.couple(loop))
    coupled = replace(coupled, start_ns=loop.start_ns)
    case_of = {"case": json.dumps(documents.dump(case)), "bus": net.name}
    vehicle.note("driven", port=net.name, call=call, time_ns=loop.start_ns, context=case_of)
    vehicle.time_ns = loop.end_ns
    vehicle.until(net.bus, vehicle.time_ns)
    for sender in loop.senders:  # at once, so that the device misses none of them
        net.values.pop(sender.layout.name, None)
        net.transmit(sender.layout.name)
    found = Drive(net, coupled, vehicle.between(net, coupled.start_ns, vehicle.time_ns))
    found.prove()
    return found
