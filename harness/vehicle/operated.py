"""What an operator has of the device, beside its buses: the supply, the console and the clock."""

from collections.abc import Callable, Mapping

from harness.console import matcher
from harness.errors import DeviceError, RigError, SuiteError
from harness.model import Interface
from harness.ports import Clock, Console, Line, Power
from harness.vehicle.crash_signatures import diagnosis
from harness.vehicle.restbus import Restbus

MS = 1_000_000
CONSOLE_SLICE_NS = 50 * MS
KNOCK_NS = 500 * MS
NEVER = 1 << 60  # a row number that no trace reaches


class Operated:
    """A device that is switched, listened to and typed to. It keeps one point in time, `time_ns`; waiting starts there."""

    def __init__(
        self,
        networks: Mapping[str, Restbus],
        console: Console | None,
        power: Power | None,
        interface: Interface,
        note: Callable[..., None] = lambda what, **fields: None,
    ) -> None:
        self.networks, self.interface = networks, interface
        self.console_port, self.power_port, self.note = console, power, note
        self.time_ns = self.on_ns = 0  # on_ns: when power last came on
        self.waited_ns = 0  # until when something was last waited for that did not come

    @staticmethod
    def until(clock: Clock, until_ns: int) -> None:
        """Let time pass until everything stamped before until_ns has been kept."""
        while clock.now_ns() < until_ns:
            clock.wait(NEVER, until_ns)

    def now_ns(self) -> int:
        """The latest reading of any bus; of the clock, where there is none."""
        return max((net.bus.now_ns() for net in self.networks.values()), default=0) or self.clock.now_ns()

    @property
    def clock(self) -> Clock:
        """Of the first bus; of the console, where there is no bus."""
        for net in self.networks.values():
            return net.bus
        if isinstance(self.console, Clock):
            return self.console
        raise RigError("an item without a bus can only be tested where its console has a clock: in real time")

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

    def power_cycle(self, off_s: float = 0.2) -> int:
        """Supply off and on again; the stamp of power-on."""
        power = self.power
        off_ns = power.off()
        self.time_ns = max(self.time_ns, off_ns)
        self.pass_time(off_s)
        self.time_ns = self.on_ns = power.on()
        return self.time_ns

    def ready(self, *, within_s: float, since_ns: int | None = None) -> Line:
        """The declared ready line, from now on or since an earlier moment; who waits for somebody is woken with Enter until it says it."""
        said = self.interface.console
        if said is None:
            raise SuiteError("the submission declares no console; the requirement must need one")
        start_ns = self.time_ns if since_ns is None else since_ns
        until_ns = self.time_ns + round(within_s * 1e9)
        while said.knock and until_ns - self.time_ns > KNOCK_NS:
            try:
                return self.console_line(said.ready, within_s=KNOCK_NS / 1e9, since_ns=start_ns)
            except DeviceError:
                self.time_ns += KNOCK_NS
                self.type_line("")
        left_s = max(KNOCK_NS, until_ns - self.time_ns) / 1e9
        try:
            return self.console_line(said.ready, within_s=left_s, since_ns=start_ns)
        except DeviceError as error:
            heard = [line.text for line in self.console_lines(start_ns, until_ns)]
            raise DeviceError(f"{error}{diagnosis(heard, said.boot[:1])}") from None

    def type_line(self, text: str) -> int:
        """Type a line on the console, with Enter; the stamp of when it was typed."""
        typed_ns = self.console.write(f"{text}\n")
        self.note("called", port="console", call="write", time_ns=typed_ns)
        self.time_ns = max(self.time_ns, typed_ns)
        return typed_ns

    def pass_time(self, seconds: float) -> None:
        """Let wire time pass."""
        self.time_ns += round(seconds * 1e9)
        self.until(self.clock, self.time_ns)

    def console_line(self, pattern: str, *, within_s: float, since_ns: int | None = None) -> Line:
        """The first console line from now on (or since an earlier moment) that matches, if it comes within the limit.

        Raises DeviceError with the last lines heard.
        """
        start_ns = self.time_ns if since_ns is None else since_ns
        until_ns = self.time_ns + round(within_s * 1e9)
        clock, fits = self.clock, matcher(pattern)
        read, at_ns = 0, start_ns
        while True:
            lines = self.console.lines(read)
            read += len(lines)
            for line in lines:
                if start_ns <= line.time_ns <= until_ns and fits(line.text):
                    self.time_ns = max(self.time_ns, line.time_ns)
                    return line
            if at_ns >= until_ns:
                self.waited_ns = until_ns
                heard = [one.text for one in self.console_lines(start_ns, until_ns)][-5:]
                raise DeviceError(f"no line {pattern!r} on the console within {within_s} s; last heard {heard}")
            at_ns = min(until_ns, at_ns + CONSOLE_SLICE_NS)
            self.until(clock, at_ns)

    def said(self, start_ns: int) -> list[str]:
        """What the console said since; nothing where nobody reads one."""
        if self.interface.console is None or self.console_port is None:
            return []
        return [line.text for line in self.console_lines(start_ns, self.time_ns)]

    def boots(self, start_ns: int) -> int:
        """How often the device said its first boot stage since."""
        fits = matcher(self.interface.console.boot[0] if self.interface.console else "")
        return sum(map(fits, self.said(start_ns)))

    def console_lines(self, start_ns: int, until_ns: int) -> list[Line]:
        """What the console said between two stamps."""
        return [line for line in self.console.lines() if start_ns <= line.time_ns <= until_ns]
