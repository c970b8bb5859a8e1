"""What the bench does to the device on its buses: values, frames, silence, faults; each returns when it was on the wire."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.can import vss
from harness.can.e2e import masquerade
from harness.can.frames import duration_ns
from harness.can.trace import Rows, of_ids
from harness.documents import meant
from harness.errors import DeviceError, RigError, SuiteError
from harness.model import Value
from harness.ports import TX, Cycle, Disturbing, Frame
from harness.vehicle.observation import Seen
from harness.vehicle.operated import Operated
from harness.vehicle.restbus import Restbus

WIRE_S = 2.0  # how long a frame of ours may take to appear on the wire before the rig is at fault
STOPS_S = 0.1  # until what the bench sent before has come onto the wire
FLOOD_ID = 0x000
BLOCK = 256  # frames looked at together: a record that is judged again has all of them at once


@dataclass(frozen=True, kw_only=True)
class Tampering:
    """What is wrong with a protected message: its CRC XORed by `crc`, its counter frozen or going up by `step`, or protected as
    another message (`foreign`).
    """

    crc: int = 0
    frozen: bool = False
    step: int = 1
    foreign: bool = False


class Stimulated(Operated):
    """A device that is sent to."""

    @cached_property
    def by_path(self) -> dict[str, tuple[Restbus, vss.Mapped]]:
        """Where every mapped path lives."""
        return {path: (net, mapped) for net in self.networks.values() for path, mapped in net.paths.items()}

    def set(self, path: str, value: Value) -> Seen:
        """Send this value from now on, in its message's cycle; returns its first appearance on the wire."""
        return self.set_all({path: value})

    def set_all(self, values: Mapping[str, Value]) -> Seen:
        """Several values at once; returns the last first appearance."""
        changed: dict[tuple[str, str], list[str]] = {}
        for path, value in values.items():
            net, mapped = self.find(path)
            net.put(mapped, value)
            changed.setdefault((net.name, mapped.message), []).append(mapped.signal)
        last = max(self.put_on_wire(self.networks[bus], m, signals) for (bus, m), signals in changed.items())
        self.time_ns = max(self.time_ns, last)
        return Seen(time_ns=last, value=next(iter(values.values())))

    def put_on_wire(self, net: Restbus, message: str, signals: Sequence[str] = ()) -> int:
        """Start or change a message's cycle; the stamp at which its new payload (with these signals) was first seen."""
        return self.on_wire(net, message, net.carrying(message, signals, net.transmit(message)))

    def on_wire(self, net: Restbus, message: str, payloads: Sequence[bytes]) -> int:
        wanted = {p.ljust(64, b"\0") for p in payloads}
        identifier = net.codec.messages[message].frame_id

        def sent(rows: Rows) -> int | None:
            for row in rows[(rows["id"] == identifier) & (rows["flags"] & TX != 0)]:
                if row["data"].tobytes() in wanted:
                    return int(row["time_ns"])
            return None

        return self.first_of_ours(net, identifier, sent, message)

    def send(self, values: Mapping[str, Value]) -> Seen:
        """One event frame with these values; all paths must be of one message."""
        places = [self.find(path) for path in values]
        net, first = places[0]
        if len({m.message for _, m in places}) != 1:
            raise SuiteError(f"{', '.join(values)} are not of one message")
        for (_, mapped), value in zip(places, values.values(), strict=True):
            net.put(mapped, value)
        payload = net.payload(first.message)
        net.bus.send(Frame(id=net.codec.messages[first.message].frame_id, data=payload, flags=net.flags(first.message)))
        self.time_ns = self.on_wire(net, first.message, [payload])
        return Seen(time_ns=self.time_ns, value=next(iter(values.values())))

    def send_raw(self, bus: str, frame: Frame) -> Seen:
        """One frame as it is, for what no DBC describes."""
        net = self.networks[bus]
        net.bus.send(frame)
        found = self.appeared(net, frame)
        self.time_ns = found.time_ns
        return found

    def send_all(self, bus: str, frames: Sequence[Frame]) -> Seen:
        """Frames as they are, as fast as the bus takes them; when the last of them was on the wire."""
        net = self.networks[bus]
        for frame in frames:
            net.bus.send(frame)
        found = self.appeared(net, frames[-1])
        self.time_ns = found.time_ns
        return found

    def appeared(self, net: Restbus, frame: Frame) -> Seen:
        """A raw frame of ours on the wire."""

        def sent(rows: Rows) -> int | None:
            for row in rows[(rows["id"] == frame.id) & (rows["flags"] & TX != 0)]:
                if row["length"] == len(frame.data) and row["data"].tobytes().startswith(frame.data):
                    return int(row["time_ns"])
            return None

        return Seen(time_ns=self.first_of_ours(net, frame.id, sent, f"{frame.id:X}"), value=0)

    def first_of_ours(self, net: Restbus, identifier: int, sent: Callable[[Rows], int | None], name: str) -> int:
        """When a frame of ours that was sent just now was first on the wire."""
        until_ns = max(self.time_ns, net.bus.now_ns()) + round(WIRE_S * 1e9)
        found: int | None = self.search(net, [identifier], sent, self.time_ns, until_ns)
        if found is None:
            stood_s = net.bus.health().stall_ns / 1e9
            still = f"; its owner stood still for {stood_s:.1f} s" if stood_s > WIRE_S / 2 else ""
            raise RigError(f"our frame {name} did not appear on {net.name} within {WIRE_S} s: is the bus alive?{still}")
        return found

    @contextmanager
    def silent(self, bus: str, message: str) -> Iterator[None]:
        """Do not send a message of ours; send it again afterwards (if the test fails in between, when it is restored)."""
        net = self.networks[bus]
        net.changed.add(message)
        net.bus.cycle(net.codec.messages[message].frame_id, None)
        yield
        self.time_ns = self.put_on_wire(net, message)

    @contextmanager
    def quiet(self, bus: str) -> Iterator[Seen]:
        """Nobody but the device sends, from the last frame of the bench on; afterwards the restbus as before."""
        net, start_ns = self.networks[bus], self.time_ns
        for message in net.restbus():
            net.changed.add(message.name)
            net.bus.cycle(message.frame_id, None)
        self.pass_time(STOPS_S)
        rows = self.between(net, start_ns, self.time_ns)
        ours = rows["time_ns"][rows["flags"] & TX != 0]
        yield Seen(time_ns=int(ours[-1]) if len(ours) else start_ns, value=0)
        for message in net.restbus():
            self.time_ns = max(self.time_ns, self.put_on_wire(net, message.name))

    @contextmanager
    def flooded(self, bus: str, percent: float) -> Iterator[Seen]:
        """Frames of the highest priority take so much of the bus."""
        frame = Frame(id=FLOOD_ID, data=b"\x55" * 8)
        took_ns = duration_ns(frame.id, frame.flags, frame.data, self.networks[bus].interface.bitrate, None)
        with self.cycling(bus, frame, took_ns * 100 / percent / 1e9) as first:
            yield first

    @contextmanager
    def cycling(self, bus: str, frame: Frame, period_s: float) -> Iterator[Seen]:
        """A raw frame again and again, for what no DBC describes; not any more afterwards, whatever happens."""
        net = self.networks[bus]
        cycle = Cycle(id=frame.id, period_ns=round(period_s * 1e9), payloads=(frame.data,), flags=frame.flags)
        net.bus.cycle(frame.id, cycle)
        try:
            yield self.appeared(net, frame)
        finally:
            net.bus.cycle(frame.id, None)

    def destroy(self, bus: str, frames: int) -> None:
        """The next frames that the device sends are destroyed on the wire, as by a node that does not agree with them."""
        port = self.networks[bus].bus
        if not isinstance(port, Disturbing):
            raise SuiteError(f"{bus} cannot destroy frames; the requirement must say needs: {{buses: [faults]}}")
        port.destroy(frames)

    @contextmanager
    def tampered(self, bus: str, message: str, wrong: Tampering) -> Iterator[Seen]:
        """Send a protected message wrongly; right again afterwards."""
        net = self.networks[bus]
        net.changed.add(message)
        rule = net.rules[message]
        good = net.payloads(message, masquerade(rule, net.interface.e2e) if wrong.foreign else rule, wrong.step)
        bad = (good[0],) if wrong.frozen else tuple(bytes((p[0] ^ wrong.crc, *p[1:])) for p in good)
        net.transmit(message, bad)
        yield Seen(time_ns=self.on_wire(net, message, bad), value=0)
        self.time_ns = self.put_on_wire(net, message)

    def restore(self) -> None:
        """Everything that a test set goes back to its start value, on the wire."""
        for net in self.networks.values():
            for message in net.reset():
                self.time_ns = max(self.time_ns, self.put_on_wire(net, message))

    # ------------------------------------------------------------ inside

    def find(self, path: str) -> tuple[Restbus, vss.Mapped]:
        if path not in self.by_path:
            if path not in vss.catalogue():
                raise SuiteError(f"unknown VSS path {path}{meant(path, vss.catalogue())}")
            raise DeviceError(f"the submission declares the feature, but its map has no {path}")
        return self.by_path[path]

    def between(self, net: Restbus, start_ns: int, until_ns: int) -> Rows:
        """The frames stamped after start_ns and not after until_ns."""
        rows = net.bus.rows()
        stamps = rows["time_ns"]
        first, last = np.searchsorted(stamps, [start_ns, until_ns], "right")
        found: Rows = rows[first:last]
        return found

    def search(
        self, net: Restbus, ids: Sequence[int], find: Callable[[Rows], Any], start_ns: int, until_ns: int
    ) -> Any:
        """Ask `find` about the frames after start_ns as they come, until it finds something or until_ns has passed."""
        row = int(np.searchsorted(net.bus.rows()["time_ns"], start_ns, "right"))
        while True:
            now_ns = net.bus.now_ns()
            rows = net.bus.rows(row)
            row += len(rows)
            rows = rows[: np.searchsorted(rows["time_ns"], until_ns, "right")]
            for first in range(0, len(rows), BLOCK):
                block = of_ids(rows[first : first + BLOCK], ids) if ids else rows[first : first + BLOCK]
                if len(block) and (found := find(block)) is not None:
                    return found
            if now_ns >= until_ns:
                self.waited_ns = until_ns
                return None
            net.bus.wait(row, until_ns, ids if ids else ())
