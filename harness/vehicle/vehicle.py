"""The vehicle around the device: names instead of bytes, VSS paths instead of names, waiting and measuring on wire time.

Every result follows from the stamps in the trace alone. A `Vehicle` keeps one point in time, `time_ns`: the stamp of the last
thing that it did or saw. Waiting starts there. So the same test on the recorded trace gives the same values.
"""

from collections.abc import Callable, Sequence

from harness.can.trace import Rows
from harness.errors import DeviceError, RigError, SuiteError
from harness.model import Supervision, Value
from harness.ports import TX
from harness.vehicle.bus_view import Series
from harness.vehicle.observation import Seen, same, summary
from harness.vehicle.operated import MS
from harness.vehicle.restbus import Restbus
from harness.vehicle.stimulated import Stimulated

SILENT_NS = 1000 * MS  # so long without a frame or a line is silence, whatever the device was to do


class Vehicle(Stimulated):
    """All buses of the device and its console and supply, by the words of the field."""

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

    def awake(self, bus: str, *, within_s: float = 30.0) -> None:
        """Until the device has sent its first frame on a bus since power-on: it may be ready on its console before."""
        self.time_ns = max(self.time_ns, self.first_frame(bus, after_ns=self.on_ns, within_s=within_s))

    def watch(self, bus: str, seconds: float) -> Rows:
        """Every frame on a bus from now on, for some seconds."""
        net = self.networks[bus]
        start_ns = self.time_ns
        self.time_ns = start_ns + round(seconds * 1e9)
        self.until(net.bus, self.time_ns)
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
        self, net: Restbus, supervision: Supervision, wanted: Callable[[str], bool], within_s: float
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

    def heard_nothing(self) -> bool:
        """Whether the device was silent on every bus and on its console for a while before the last thing that was done or waited for."""
        until_ns = max(self.time_ns, self.waited_ns)
        start_ns = until_ns - SILENT_NS
        try:
            lines = self.console_port.lines() if self.console_port is not None else ()
            if any(start_ns <= line.time_ns <= until_ns for line in lines):
                return False
            found = (net.of_device(self.between(net, start_ns, until_ns)) for net in self.networks.values())
            return not any(len(rows) for rows in found)
        except RigError:
            return False
