"""A CAN bus behind any interface that python-can knows; a process of its own owns it (adapters._can.owner)."""

import json
import re
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from adapters._can import timing
from adapters._process.subprocesses import Process, end, start_module
from harness.can.trace import Reader, Rows
from harness.errors import RigError, given
from harness.model import noun
from harness.ports import Bench, Coupled, Cycle, Frame, Health, StandsOn
from harness.record import trace_of

START_S, ANSWER_S, HANG_S = 20.0, 10.0, 10.0
POLL_S = 0.002
OPENING_S = 0.2
CHECK_BUS = "Check the bit rate, the termination (60 ohms between CAN-H and CAN-L with the power off), the wiring, and that the other side is on"
NOT_ACTIVE = {
    "active": f"another bit rate is on the bus, or the line is disturbed. {CHECK_BUS}",
    "passive": f"the controller is error-passive at once: nobody acknowledges, or another bit rate is on the bus. {CHECK_BUS}",
    "off": "the controller is bus-off: something drives the bus against it. Check CAN-H and CAN-L for a short or a swap, the bit rate",
}
WANTED = ("fd", "bitrate", "data_bitrate", "sample_point", "data_sample_point", "listen_only")


class SteadyReader(Reader):
    """A trace whose owner is writing it: its fields only grow, and one that read less than before is read as it was."""

    def __init__(self, file: Path) -> None:
        self._greatest: dict[int, int] = {}
        super().__init__(file)

    def _field(self, offset: int) -> int:
        self._greatest[offset] = max(super()._field(offset), self._greatest.get(offset, 0))
        return self._greatest[offset]


class OwnedBus:
    """The test process's side of a bus that another process owns."""

    reader: Reader

    def __init__(self, process: Process, name: str) -> None:
        self.process, self.name, self.channel = process, name, ""  # the channel where it is the kernel's
        self.socket = ""  # where an emulated board connects to it
        self.uncertainty_ns = 0
        self._said = b""

    # ------------------------------------------------------------ the port

    def send(self, frame: Frame) -> None:
        self.order(do="send", id=frame.id, flags=frame.flags, data=frame.data.hex())

    def cycle(self, identifier: int, cycle: Cycle | None) -> None:
        if cycle is None:
            self.order(do="stop", id=identifier)
        else:
            payloads = [p.hex() for p in cycle.payloads]
            self.order(do="cycle", id=identifier, period_ns=cycle.period_ns, payloads=payloads, flags=cycle.flags)

    def also_ours(self, identifier: int) -> None:
        """Another socket of the bench sends this identifier: its frames are ours."""
        self.order(do="ours", id=identifier)
        self.answer(ANSWER_S)

    def couple(self, loop: Coupled) -> int:
        self.order(do="couple", loop=loop.plain())
        return int(self.answer(ANSWER_S)["start_ns"])

    def rows(self, start: int = 0) -> Rows:
        return self.reader.rows(start)

    def now_ns(self) -> int:
        return self.reader.until_ns

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        wanted, last_ns, moved = set(ids), self.reader.until_ns, time.monotonic()
        while True:
            until = self.reader.until_ns
            count = self.reader.count
            if count > seen:
                new = self.reader.rows(seen)[: count - seen]  # more may have come since they were counted
                if not wanted or not wanted.isdisjoint(new["id"].tolist()):
                    return count
                seen = count
            if until >= until_ns:
                return self.reader.count
            if until > last_ns:
                last_ns, moved = until, time.monotonic()
            elif time.monotonic() - moved > HANG_S:
                raise RigError(f"the owner of bus {self.name} has not moved for {HANG_S} s")
            self.alive()
            time.sleep(POLL_S)

    def health(self) -> Health:
        self.order(do="health")
        return Health(**self.answer(ANSWER_S))

    # ------------------------------------------------------------ the owner

    def order(self, **order: Any) -> None:
        self.alive()
        pipe = given(self.process.stdin)
        try:
            pipe.write(json.dumps(order).encode() + b"\n")
            pipe.flush()
        except OSError as error:
            raise RigError(f"the owner of bus {self.name} is gone: {error}") from error

    def answer(self, within_s: float) -> dict[str, Any]:
        """The owner's next line; what it says went wrong is raised."""
        pipe = given(self.process.stdout)
        deadline = time.monotonic() + within_s
        while b"\n" not in self._said:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([pipe], [], [], left)[0]:
                raise RigError(f"the owner of bus {self.name} did not answer within {within_s} s")
            chunk = pipe.read1(65536)  # type: ignore[attr-defined]
            if not chunk:
                raise RigError(f"the owner of bus {self.name} ended with code {self.process.wait()}")
            self._said += chunk
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise RigError(f"bus {self.name}: {found['error']}")
        return found

    def alive(self) -> None:
        code = self.process.poll()
        if code is not None:
            why = self.answer(0.1).get("error", "") if code == 3 else f"it ended with code {code}"
            raise RigError(f"the owner of bus {self.name} is gone: {why}")


WITHOUT_CONTROLLER = ("shipei_hub", "virtual", "udp_multicast")
VCAN = re.compile(r"v(x)?can\d*")  # as whoever makes them calls them


@noun
class PythonCan:
    """Any interface that python-can knows; `on` names a hub port, for interface shipei_hub. Sample points in percent of a bit."""

    interface: str
    channel: str | None = None
    on: str | None = None
    fd: bool = False
    bitrate: int | None = None
    data_bitrate: int | None = None
    sample_point: float | None = None
    data_sample_point: float | None = None
    listen_only: bool = False
    sleep_after_open: float | None = (
        None  # s, of interface slcan: how long the adapter takes to listen; python-can's 2 s by default
    )
    is_bus: ClassVar[bool] = True
    opens: ClassVar[tuple[str, ...]] = ("bus",)

    @property
    def virtual(self) -> bool:
        """Whether no CAN controller is behind it, as far as its names tell: a hub, an interface of vcan, python-can's own buses in memory and on UDP."""
        return self.interface in WITHOUT_CONTROLLER or (
            self.interface == "socketcan" and VCAN.match(self.channel or "") is not None
        )

    def stands_on(self) -> StandsOn:
        return {"on": ("hub",)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[OwnedBus]:
        trace = trace_of(bench.evidence, name)
        with owned(self.settings(name, bench), name, trace, bench.loops) as bus:
            if self.interface == "socketcan":
                bus.channel = self.channel or ""
            yield bus

    def settings(self, name: str, bench: Bench) -> dict[str, Any]:
        """The arguments of can.Bus. Raises RigError when the interface cannot do what is wanted, or does something else."""
        found: dict[str, Any] = {"interface": self.interface, "receive_own_messages": True}
        if self.on is not None:
            return found | {"channel": str(bench.ports[self.on].path), "bus": name} | ({"fd": True} if self.fd else {})
        if self.channel is None:
            raise RigError(f"port {name} needs a channel, or `on: HUB`")
        wanted = {k: getattr(self, k) for k in WANTED}
        if self.interface == "socketcan":
            different = timing.differences(self.channel, wanted)
            if different:
                mend = timing.setup_command(self.channel, wanted)
                raise RigError(
                    f"port {name}: {self.channel} is not set up as the rig file says: {'; '.join(different)}. {mend}"
                )
        if self.sleep_after_open is not None:
            found["sleep_after_open"] = self.sleep_after_open
        return found | {"channel": self.channel} | timing.settings(self.interface, wanted)


@contextmanager
def owned(bus: dict[str, Any], name: str, trace: Path, loops: str = "") -> Iterator[OwnedBus]:
    """Start a bus's owner, which makes loops as `loops` says; end it afterwards. Raises RigError when it does not open, or ended by itself."""
    told = {"bus": bus, "name": name, "trace": str(trace), "loops": loops}
    process = start_module("adapters._can.owner", json.dumps(told))
    try:
        port = OwnedBus(process, name)
        port.answer(START_S)
        with closing(SteadyReader(trace)) as port.reader:
            prove(port)
            yield port
        if process.poll() is None:
            port.order(do="close")
        code = process.wait(ANSWER_S)
        if code:
            raise RigError(f"the owner of bus {name} ended with code {code}")
    finally:
        end(process)


def prove(port: OwnedBus) -> None:
    """Watch the clock for a moment: it must move, and how unsteadily it does is the bus's uncertainty."""
    port.wait(1 << 60, time.monotonic_ns())
    port.health()
    port.wait(1 << 60, time.monotonic_ns() + round(OPENING_S * 1e9))
    found = port.health()
    if found.state != "active" or found.errors:
        raise RigError(f"{found.errors} error frames within {OPENING_S} s of opening: {NOT_ACTIVE[found.state]}")
    port.uncertainty_ns = 200_000 + found.stall_ns
