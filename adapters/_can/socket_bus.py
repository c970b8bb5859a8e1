"""A bus of the kernel (SocketCAN): its stamps, its broadcast manager for what is cyclic, its count of what was lost.

The socket is python-can's; what goes through it does not. Sources: Linux Documentation/networking/can.rst; linux/can.h, can/bcm.h.
"""

import select
import socket
import struct
import time
from typing import Any

import can

from adapters._can.state import Condition
from harness.can.messages import message
from harness.can.trace import Trace
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX

FRAME = struct.Struct("=IBB2x")  # identifier, length, flags of FD; then the data
CLASSIC, FLEXIBLE = 8, 64
STAMP = struct.Struct("@qq")
BCM_HEAD = struct.Struct("@3I4l2I0q")  # opcode, flags, count, two intervals (s, us), identifier, number of frames
TX_SETUP, TX_DELETE = 1, 2
SETTIMER, STARTTIMER, ANNOUNCE, FD_FRAMES = 0x0001, 0x0002, 0x0004, 0x0800
MOST_PAYLOADS = 256
SO_TIMESTAMPNS, SO_RXQ_OVFL = 35, 40
MSG_CONFIRM = 0x800
LAG_NS = 2_000_000  # between the stamp of a frame and its place in the socket's queue
RECEIVE_BUFFER = 8_000_000
MOST_AT_ONCE = 4096  # frames, before the owner looks at what else is due


class SocketWire:
    """A raw socket. Ours are the frames that the kernel confirms, that the broadcast manager sends, and those of `ours`."""

    def __init__(self, trace: Trace, bus: can.BusABC, channel: str) -> None:
        self.trace, self.bus, self.channel = trace, bus, channel
        self.socket: socket.socket = bus.socket  # type: ignore[attr-defined]
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        for option in (SO_TIMESTAMPNS, SO_RXQ_OVFL):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 1)
        self.stall_ns, self.errors, self.dropped = 0, 0, 0
        self.ours: set[int] = set()
        self.condition = Condition(bus, "socketcan", channel)
        self.manager = BroadcastManager(channel, self.drain)

    @property
    def lost(self) -> int:
        return self.condition.lost + self.dropped

    def cycles(self) -> "BroadcastManager":
        return self.manager

    def transmit(self, identifier: int, flags: int, data: bytes) -> None:
        self.bus.send(message(identifier, flags & ~TX, data))

    def beat(self) -> None:
        """The kernel's clock is ours."""

    def receive(self, timeout_s: float) -> None:
        select.select([self.socket.fileno(), 0], [], [], timeout_s)
        self.drain()

    def drain(self) -> None:
        """What is in the queue; all that was stamped a moment before is in the trace then, unless the bus is flooded."""
        until_ns = time.monotonic_ns() - LAG_NS
        offset_ns = time.time_ns() - time.monotonic_ns()
        for _ in range(MOST_AT_ONCE):
            try:
                data, extra, flags, _ = self.socket.recvmsg(80, 128, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            self.keep(data, extra, bool(flags & MSG_CONFIRM), offset_ns)
        else:
            until_ns = self.trace.last_ns
        self.trace.captured(max(until_ns, self.trace.last_ns), self.lost)

    def keep(self, raw: bytes, extra: list[Any], confirmed: bool, offset_ns: int) -> None:
        stamp_ns = time.monotonic_ns()
        for level, kind, value in extra:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, rest = STAMP.unpack(value[: STAMP.size])
                stamp_ns = seconds * 1_000_000_000 + rest - offset_ns
            elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                self.dropped = max(self.dropped, int.from_bytes(value[:4], "little"))
        identifier, flags, data = unpacked(raw)
        if flags & ERROR:
            self.errors += 1
            self.condition.error_frame(identifier, data)
        elif confirmed or identifier in self.ours or self.manager.sent(identifier, data):
            flags |= TX
        self.trace.append(stamp_ns, identifier, flags, b"" if flags & RTR else data)

    def state(self) -> str:
        self.condition.read()
        return self.condition.state

    def clock(self) -> dict[str, Any]:
        """Stamps are the host's own."""
        return {}


class BroadcastManager:
    """Cyclic frames by the kernel's timers: each identifier a ring of payloads, whatever this process is doing."""

    def __init__(self, channel: str, drain: Any) -> None:
        self.drain = drain
        self.socket = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM)
        self.socket.connect((channel,))
        self.known: dict[int, Ring] = {}

    def change(self, identifier: int, period_ns: int, payloads: list[bytes], flags: int, count: int) -> None:
        ring = Ring(period_ns, payloads[:MOST_PAYLOADS], flags)
        before = self.known.get(identifier)
        if before is None:
            ring.count = count
            self.setup(identifier, ring, SETTIMER | STARTTIMER | ANNOUNCE, 0)
        elif (before.period_ns, len(before.payloads), before.flags) == (period_ns, len(ring.payloads), flags):
            ring.count, ring.base, ring.older, ring.last_ns = before.count, before.base, before.payloads, before.last_ns
            self.setup(identifier, ring, 0, 0)
        else:  # the kernel takes no longer ring in place of a shorter one; the rhythm stays where the period does
            stopped = self.stop(identifier)
            ring.count, ring.older, ring.last_ns = stopped or 0, before.payloads, before.last_ns
            left_ns = ring.last_ns + period_ns - time.monotonic_ns() if period_ns == before.period_ns else 0
            self.setup(identifier, ring, SETTIMER | STARTTIMER | (ANNOUNCE if left_ns <= 0 else 0), max(0, left_ns))
        self.known[identifier] = ring

    def setup(self, identifier: int, ring: "Ring", what: int, first_ns: int) -> None:
        """TX_SETUP: `first_ns` until its first frame, then its period."""
        if what:
            ring.base = ring.count % len(ring.payloads)
        turned = ring.payloads[ring.base :] + ring.payloads[: ring.base]
        size = FLEXIBLE if ring.flags & FD else CLASSIC
        frames = b"".join(packed(identifier, ring.flags, p).ljust(FRAME.size + size, b"\0") for p in turned)
        what |= FD_FRAMES if ring.flags & FD else 0
        first_us, period_us = max(first_ns // 1000, 1) if first_ns else 0, ring.period_ns // 1000
        times = (first_us // 10**6, first_us % 10**6, period_us // 10**6, period_us % 10**6)
        number = raw_id(identifier, ring.flags)
        self.socket.send(BCM_HEAD.pack(TX_SETUP, what, int(first_ns > 0), *times, number, len(turned)) + frames)

    def stop(self, identifier: int) -> int | None:
        ring = self.known.get(identifier)
        if ring is None:
            return None
        what = FD_FRAMES if ring.flags & FD else 0
        self.socket.send(BCM_HEAD.pack(TX_DELETE, what, 0, 0, 0, 0, 0, raw_id(identifier, ring.flags), 0))
        self.drain()  # what is on its way still counts
        self.known.pop(identifier)
        return ring.count

    def sent(self, identifier: int, data: bytes) -> bool:
        """Whether a frame that the kernel does not confirm is one of these; then it is counted."""
        ring = self.known.get(identifier)
        if ring is None or not ring.has(data):
            return False
        ring.count += 1
        ring.last_ns = time.monotonic_ns()
        return True

    def send(self, now_ns: int) -> None:
        """The kernel does."""

    @property
    def due_ns(self) -> int | None:
        return None


class Ring:
    """One identifier's payloads in turn; `base` is where the kernel's ring begins, `older` those that may still be on their way."""

    def __init__(self, period_ns: int, payloads: list[bytes], flags: int) -> None:
        self.period_ns, self.payloads, self.flags = period_ns, payloads, flags
        self.older: list[bytes] = []
        self.count = self.base = self.last_ns = 0

    def has(self, data: bytes) -> bool:
        return data == self.payloads[self.count % len(self.payloads)] or data in self.payloads or data in self.older


def raw_id(identifier: int, flags: int) -> int:
    """With the flags of linux/can.h."""
    return identifier | (socket.CAN_EFF_FLAG if flags & EXT else 0) | (socket.CAN_RTR_FLAG if flags & RTR else 0)


def packed(identifier: int, flags: int, data: bytes) -> bytes:
    """struct can_frame or canfd_frame, without what follows the data."""
    fd = (4 if flags & FD else 0) | (1 if flags & BRS else 0) | (2 if flags & ESI else 0)
    return FRAME.pack(raw_id(identifier, flags), len(data), fd) + data


def unpacked(raw: bytes) -> tuple[int, int, bytes]:
    """(identifier, flags, data) of a frame as the kernel gives it.

    >>> unpacked(packed(0x18DAF110, EXT, b"abc").ljust(16, bytes(1)))
    (417001744, 2, b'abc')
    """
    number, length, fd = FRAME.unpack_from(raw)
    flags = EXT if number & socket.CAN_EFF_FLAG else 0
    flags |= (RTR if number & socket.CAN_RTR_FLAG else 0) | (ERROR if number & socket.CAN_ERR_FLAG else 0)
    if len(raw) > FRAME.size + CLASSIC:
        flags |= FD | (BRS if fd & 1 else 0) | (ESI if fd & 2 else 0)
    mask = socket.CAN_EFF_MASK if flags & (EXT | ERROR) else socket.CAN_SFF_MASK
    return number & mask, flags, raw[FRAME.size : FRAME.size + length]
