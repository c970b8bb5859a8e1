"""The vehicle around the device: names instead of bytes, VSS paths instead of names, waiting and measuring on wire time.

Every result follows from the stamps in the trace alone. A `Vehicle` keeps one point in time, `time_ns`: the stamp of the last
thing that it did or saw. Waiting starts there. So the same test on the recorded trace gives the same values.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from harness import shape, vss
from harness.closed_loop import BRAKING, Loop, coupling
from harness.console import matches
from harness.drive import Drive
from harness.errors import DeviceError, RigError, SuiteError
from harness.interface import Interface, Supervision
from harness.model import Value
from harness.network import Network, Series
from harness.ports import TX, Console, Frame, Line, Power
from harness.scenario import Scenario
from harness.seen import Seen, same, summary
from harness.shape import meant
from harness.trace import Rows, of_ids

MS = 1_000_000
WIRE_S = 2.0  # how long a frame of ours may take to appear on the wire before the rig is at fault
LEAD_S = 0.2  # from here to a scenario's start, so that a real-time bus has it in time
CONSOLE_SLICE_NS = 50 * MS
SILENT_NS = 1000 * MS  # so long without a frame or a line is silence, whatever the device was to do
NEVER = 1 << 60  # a row number that no trace reaches


class Vehicle:
    """All buses of the device and its console and supply, by the words of the field."""

    def __init__(
        self,
        networks: Mapping[str, Network],
        console: Console | None,
        power: Power | None,
        interface: Interface,
        note: Callable[..., None] = lambda what, **fields: None,
    ) -> None:
        self.networks, self.interface = networks, interface
        self.console_port, self.power_port, self.note = console, power, note
        self.by_path = {path: (net, mapped) for net in networks.values() for path, mapped in net.paths.items()}
        self.time_ns = 0

    # ------------------------------------------------------------ driving the device

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

    def put_on_wire(self, net: Network, message: str, signals: Sequence[str] = ()) -> int:
        """Start or change a message's cycle; the stamp at which its new payload (with these signals) was first seen."""
        return self.on_wire(net, message, net.carrying(message, signals, net.transmit(message)))

    def on_wire(self, net: Network, message: str, payloads: Sequence[bytes]) -> int:
        wanted = {p.ljust(64, b"\0") for p in payloads}
        identifier = net.codec.messages[message].frame_id

        def sent(rows: Rows) -> int | None:
            for row in rows[(rows["id"] == identifier) & (rows["flags"] & TX != 0)]:
                if row["data"].tobytes() in wanted:
                    return int(row["time_ns"])
            return None

        found: int | None = self.search(net, [identifier], sent, self.time_ns, self.time_ns + round(WIRE_S * 1e9))
        if found is None:
            raise RigError(f"our frame {message} did not appear on {net.name} within {WIRE_S} s: is the bus alive?")
        return found

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

        def sent(rows: Rows) -> int | None:
            for row in rows[(rows["id"] == frame.id) & (rows["flags"] & TX != 0)]:
                if row["length"] == len(frame.data) and row["data"].tobytes().startswith(frame.data):
                    return int(row["time_ns"])
            return None

        found = self.search(net, [frame.id], sent, self.time_ns, self.time_ns + round(WIRE_S * 1e9))
        if found is None:
            raise RigError(f"our frame {frame.id:X} did not appear on {bus} within {WIRE_S} s: is the bus alive?")
        self.time_ns = found
        return Seen(time_ns=found, value=0)

    @contextmanager
    def silent(self, bus: str, message: str) -> Iterator[None]:
        """Do not send a message of ours; send it again afterwards (if the test fails in between, when it is restored)."""
        net = self.networks[bus]
        net.changed.add(message)
        net.bus.cycle(net.codec.messages[message].frame_id, None)
        yield
        self.time_ns = self.put_on_wire(net, message)

    @contextmanager
    def tampered(self, bus: str, message: str, *, crc: int = 0, frozen: bool = False) -> Iterator[Seen]:
        """Send a protected message with its CRC XORed by `crc`, or with a frozen counter; right again afterwards."""
        net = self.networks[bus]
        net.changed.add(message)
        good = net.payloads(message)
        bad = (good[0],) if frozen else tuple(bytes((p[0] ^ crc, *p[1:])) for p in good)
        net.transmit(message, bad)
        yield Seen(time_ns=self.on_wire(net, message, bad), value=0)
        self.time_ns = self.put_on_wire(net, message)

    def drive(self, case: Scenario) -> Drive:
        """Drive a case of a scenario to its end, the device in the loop.

        Raises RigError when the bench did not keep its cycles.
        """
        net = self.find(BRAKING)[0]
        coupled = coupling(case, net.codec, net.paths, net.interface, self.time_ns + round(LEAD_S * 1e9))
        self.note("driven", time_ns=coupled.start_ns, context={"case": json.dumps(shape.dump(case)), "bus": net.name})
        loop = Loop(coupled)
        net.changed.update(sender.layout.name for sender in loop.senders)
        net.bus.couple(loop)
        self.time_ns = loop.end_ns
        self.heard(net, self.time_ns)
        for sender in loop.senders:  # at once, so that the device misses none of them
            net.values.pop(sender.layout.name, None)
            net.transmit(sender.layout.name)
        driven = Drive(net, coupled, self.between(net, coupled.start_ns, self.time_ns))
        driven.prove()
        return driven

    def restore(self) -> None:
        """Everything that a test set goes back to its start value, on the wire."""
        for net in self.networks.values():
            for message in net.reset():
                self.time_ns = max(self.time_ns, self.put_on_wire(net, message))

    # ------------------------------------------------------------ watching the device

    def expect(self, path: str, value: Value, *, within_s: float, after: Seen | None = None) -> Seen:
        """The first frame after `after` (default: now) in which the device shows this value.

        Raises DeviceError, with what was heard instead, when there is none within the limit.
        """
        start_ns = after.time_ns if after else self.time_ns
        until_ns = start_ns + round(within_s * 1e9)
        net, mapped = self.find(path)

        def shown(rows: Rows) -> Seen | None:
            series = net.series(mapped, rows)
            for time_ns, one in zip(series.time_ns, series.values, strict=True):
                if same(one, value):
                    return Seen(time_ns=int(time_ns), value=one)
            return None

        found: Seen | None = self.search(net, net.ids(mapped.message), shown, start_ns, until_ns)
        if found is None:
            heard = net.series(mapped, self.between(net, start_ns, until_ns)).values
            raise DeviceError(f"{path} did not become {value!r} within {within_s} s; heard {summary(heard)}")
        self.time_ns = found.time_ns
        return found

    def next(self, path: str, *, within_s: float) -> Seen:
        """The next frame that carries a path, whatever its value (for messages that the device sends on an event)."""
        net, mapped = self.find(path)
        until_ns = self.time_ns + round(within_s * 1e9)

        def any_value(rows: Rows) -> Seen | None:
            series = net.series(mapped, rows)
            return Seen(time_ns=int(series.time_ns[0]), value=series.values[0]) if len(series.values) else None

        found: Seen | None = self.search(net, net.ids(mapped.message), any_value, self.time_ns, until_ns)
        if found is None:
            raise DeviceError(f"no {mapped.message} (for {path}) within {within_s} s")
        self.time_ns = found.time_ns
        return found

    def at(self, path: str, seen: Seen) -> Value:
        """The value that the same moment's frame carries for another path of its message."""
        net, mapped = self.find(path)
        series = net.series(mapped, self.between(net, seen.time_ns - 1, seen.time_ns))
        if not len(series.values):
            raise SuiteError(f"{path} is not in the frame at {seen.time_s} s")
        return series.values[-1]

    def settled(self, path: str, *, within_s: float) -> Value:
        """The last value shown when the time is over. Raises DeviceError when the device showed none."""
        series = self.during(path, within_s)
        if not len(series.values):
            raise DeviceError(f"no frame with {path} within {within_s} s")
        return series.values[-1]

    def during(self, path: str, seconds: float) -> Series:
        """Every value of a path from now on, for some seconds."""
        net, mapped = self.find(path)
        return net.series(mapped, self.watch(net.name, seconds))

    def during_all(self, paths: Sequence[str], seconds: float) -> list[Series]:
        """The values of several paths of one bus over the same stretch of time."""
        places = [self.find(path) for path in paths]
        rows = self.watch(places[0][0].name, seconds)
        return [net.series(mapped, rows) for net, mapped in places]

    def complain(self, what: str) -> None:
        """The device did not do what was expected: say so as its fault."""
        raise DeviceError(what)

    def first_frame(self, bus: str, *, after_ns: int, within_s: float) -> int:
        """The stamp of the device's first frame on a bus after a moment."""
        net = self.networks[bus]

        def any_frame(rows: Rows) -> int | None:
            theirs = net.of_device(rows)
            return int(theirs["time_ns"][0]) if len(theirs) else None

        found: int | None = self.search(net, [], any_frame, after_ns, after_ns + round(within_s * 1e9))
        if found is None:
            raise DeviceError(f"no frame on {bus} within {within_s} s of power-on")
        return found

    def watch(self, bus: str, seconds: float) -> Rows:
        """Every frame on a bus from now on, for some seconds."""
        net = self.networks[bus]
        start_ns = self.time_ns
        self.time_ns = start_ns + round(seconds * 1e9)
        self.heard(net, self.time_ns)
        return self.between(net, start_ns, self.time_ns)

    def healed(self, bus: str, supervision: Supervision, *, within_s: float) -> Seen:
        """The first frame after now in which the declared sign of a loss is gone."""
        net = self.networks[bus]
        found = self.sign(net, supervision, lambda label: label != supervision.value, within_s)
        if found is None:
            message = (
                f"{supervision.signal} stayed {supervision.value} for {within_s} s with good {supervision.message}"
            )
            raise DeviceError(message)
        self.time_ns = found.time_ns
        return found

    def sign(
        self, net: Network, supervision: Supervision, wanted: Callable[[str], bool], within_s: float
    ) -> Seen | None:
        """The first frame from now on whose supervision signal is as wanted."""
        owner = net.owner(supervision.signal)

        def shown(rows: Rows) -> Seen | None:
            decoded = net.from_device(owner, rows)
            labels = decoded.signals[supervision.signal].labels()
            for time_ns, label in zip(decoded.time_ns, labels, strict=True):
                if wanted(str(label)):
                    return Seen(time_ns=int(time_ns), value=str(label))
            return None

        found: Seen | None = self.search(net, net.ids(owner), shown, self.time_ns, self.time_ns + round(within_s * 1e9))
        return found

    def reaction(self, bus: str, supervision: Supervision, *, within_s: float) -> tuple[Seen, int]:
        """The device's declared sign that it lost a message, and the stamp of our last such frame before it."""
        net = self.networks[bus]
        start_ns = self.time_ns
        found = self.sign(net, supervision, lambda label: label == supervision.value, within_s)
        if found is None:
            message = f"{supervision.signal} did not become {supervision.value} within {within_s} s without a good {supervision.message}"
            raise DeviceError(message)
        self.time_ns = found.time_ns
        rows = net.bus.rows()
        ours = rows[(rows["id"] == net.codec.messages[supervision.message].frame_id) & (rows["flags"] & TX != 0)]
        before = ours["time_ns"][ours["time_ns"] <= found.time_ns]
        return found, int(before[-1]) if len(before) else start_ns

    # ------------------------------------------------------------ supply and console

    def power_cycle(self, off_s: float = 0.2) -> int:
        """Supply off and on again; the stamp of power-on."""
        power = self.power
        off_ns = power.off()
        self.time_ns = max(self.time_ns, off_ns)
        self.pass_time(off_s)
        self.time_ns = power.on()
        return self.time_ns

    def heard_nothing(self) -> bool:
        """Whether the device has been silent on every bus and on its console for a while now."""
        try:
            start_ns = max(net.bus.now_ns() for net in self.networks.values()) - SILENT_NS
            lines = self.console_port.lines() if self.console_port is not None else ()
            if any(line.time_ns >= start_ns for line in lines):
                return False
            found = (net.of_device(self.between(net, start_ns, NEVER)) for net in self.networks.values())
            return not any(len(rows) for rows in found)
        except RigError:
            return False

    @property
    def power(self) -> Power:
        if self.power_port is None:
            raise SuiteError("this rig has no power port; the requirement must say needs: {ports: [power]}")
        return self.power_port

    @property
    def console(self) -> Console:
        if self.console_port is None:
            raise SuiteError("this rig has no console port; the requirement must say needs: {ports: [console]}")
        return self.console_port

    def pass_time(self, seconds: float) -> None:
        """Let wire time pass."""
        self.watch(next(iter(self.networks)), seconds)

    def console_line(self, pattern: str, *, within_s: float) -> Line:
        """The first console line from now on that matches; raises DeviceError with the last lines heard."""
        start_ns, until_ns = self.time_ns, self.time_ns + round(within_s * 1e9)
        net = next(iter(self.networks.values()))
        read, at_ns = 0, start_ns
        while True:
            lines = self.console.lines(read)
            read += len(lines)
            for line in lines:
                if start_ns <= line.time_ns <= until_ns and matches(pattern, line.text):
                    self.time_ns = max(self.time_ns, line.time_ns)
                    return line
            if at_ns >= until_ns:
                heard = [one.text for one in self.console_lines(start_ns, until_ns)][-5:]
                raise DeviceError(f"no line {pattern!r} on the console within {within_s} s; last heard {heard}")
            at_ns = min(until_ns, at_ns + CONSOLE_SLICE_NS)
            self.heard(net, at_ns)

    def console_lines(self, start_ns: int, until_ns: int) -> list[Line]:
        """What the console said between two stamps."""
        return [line for line in self.console.lines() if start_ns <= line.time_ns <= until_ns]

    # ------------------------------------------------------------ inside

    def find(self, path: str) -> tuple[Network, vss.Mapped]:
        if path not in self.by_path:
            if path not in vss.catalogue():
                raise SuiteError(f"unknown VSS path {path}{meant(path, vss.catalogue())}")
            raise DeviceError(f"the submission declares the feature, but its map has no {path}")
        return self.by_path[path]

    def between(self, net: Network, start_ns: int, until_ns: int) -> Rows:
        """The frames stamped after start_ns and not after until_ns."""
        rows = net.bus.rows()
        stamps = rows["time_ns"]
        first, last = np.searchsorted(stamps, [start_ns, until_ns], "right")
        found: Rows = rows[first:last]
        return found

    def heard(self, net: Network, until_ns: int) -> None:
        """Let time pass until every frame stamped before until_ns is in the trace."""
        while net.bus.now_ns() < until_ns:
            net.bus.wait(NEVER, until_ns)

    def search(
        self, net: Network, ids: Sequence[int], find: Callable[[Rows], Any], start_ns: int, until_ns: int
    ) -> Any:
        """Ask `find` about the frames after start_ns as they come, until it finds something or until_ns has passed."""
        row = int(np.searchsorted(net.bus.rows()["time_ns"], start_ns, "right"))
        while True:
            now_ns = net.bus.now_ns()
            rows = net.bus.rows(row)
            row += len(rows)
            rows = rows[rows["time_ns"] <= until_ns]
            if ids and len(rows):
                rows = of_ids(rows, ids)
            if len(rows) and (found := find(rows)) is not None:
                return found
            if now_ns >= until_ns:
                return None
            net.bus.wait(row, until_ns, ids if ids else ())
