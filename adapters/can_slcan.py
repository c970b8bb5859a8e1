"""A CAN bus as LAWICEL's text protocol (SLCAN) on a unix socket: for emulated boards that have a second serial line and no controller.

One line of text a frame, both ways: tIIILDD.. and TIIIIIIIILDD.., r and R for remote frames. The emulator connects to the socket;
between two lives of the item nobody is there, and frames go to nobody, as on a bus where the item has no supply.
"""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from adapters._can.cycles import Cycles, TimedCycles
from adapters.can_python import owned
from harness.can.trace import Trace
from harness.errors import given
from harness.model import noun
from harness.ports import EXT, FD, RTR, TX, Bench
from harness.processes import go_along
from harness.record import trace_of

KINDS = {"t": 0, "T": EXT, "r": RTR, "R": EXT | RTR}
LETTERS = {flags: letter for letter, flags in KINDS.items()}
END = b"\r"
CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
LONGEST_LINE = 64
SEND_BUFFER = 4608  # small: a frame that lies in it is late
OLD_NS = 50_000_000  # a frame that nobody took for so long is lost, as on a bus
TALKS_NS = (
    100_000_000  # an item that sent within this time is awake, and what it does not take is held against the bench
)


def line_of(identifier: int, flags: int, data: bytes) -> bytes:
    r"""
    >>> line_of(0x120, 0, b"\x01\xff"), line_of(0x18DA60F1, EXT, b"")
    (b't120201FF\r', b'T18DA60F10\r')
    """
    digits = 8 if flags & EXT else 3
    return f"{LETTERS[flags & (EXT | RTR)]}{identifier:0{digits}X}{len(data):X}{data.hex().upper()}\r".encode()


def frame_of(line: bytes) -> tuple[int, int, bytes] | None:
    """(identifier, flags, data), or None for a line that is no frame: an acknowledgement, half a frame, noise.

    >>> frame_of(b"t120201FF"), frame_of(b"z"), frame_of(b"t12020"), frame_of(b"r1234")
    ((288, 0, b'\\x01\\xff'), None, None, (291, 32, b''))
    """
    flags = KINDS.get(line[:1].decode("ascii", "replace"))
    if flags is None:
        return None
    head = 9 if flags & EXT else 4
    try:
        identifier, length = int(line[1:head], 16), int(line[head : head + 1], 16)
        data = b"" if flags & RTR else bytes.fromhex(line[head + 1 :].decode("ascii"))
    except ValueError:
        return None
    if length > 8 or (not flags & RTR and len(data) != length):
        return None
    return identifier, flags, data


class SlcanWire:
    """The owner's side of such a bus: it listens on the socket."""

    def __init__(self, trace: Trace, path: str) -> None:
        self.trace = trace
        self.stall_ns, self.errors, self.lost = 0, 0, 0
        self.ours: set[int] = set()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(1)
        self.item: socket.socket | None = None
        self.waiting: deque[tuple[int, int, int, bytes]] = deque()  # (since, id, flags, data)
        self.cut = b""  # the rest of a line that went out in part
        self.text = b""
        self.heard_ns = 0

    def cycles(self) -> Cycles:
        return TimedCycles(self.transmit)

    def state(self) -> str:
        return "active"

    def clock(self) -> dict[str, Any]:
        """Stamps are CLOCK_MONOTONIC, taken where the bytes come out of the emulator."""
        return {}

    def beat(self) -> None:
        self.deliver()

    # ------------------------------------------------------------ to the item

    def transmit(self, identifier: int, flags: int, data: bytes) -> None:
        if flags & FD:
            raise ValueError("SLCAN lines carry classic frames only")
        self.waiting.append((time.monotonic_ns(), identifier, flags, data))
        self.deliver()

    def deliver(self) -> None:
        """What the item takes now; what it did not take for too long is lost. Both are stamped as of now."""
        while self.waiting or self.cut:
            if self.item is not None and not self.push():
                break
            if self.waiting:
                _, identifier, flags, data = self.waiting.popleft()
                self.trace.append(time.monotonic_ns(), identifier, flags | TX, data)
        now_ns = time.monotonic_ns()
        while self.waiting and now_ns - self.waiting[0][0] > OLD_NS:
            _, identifier, flags, data = self.waiting.popleft()
            self.trace.append(now_ns, identifier, flags | TX, data)
            self.lost += now_ns - self.heard_ns < TALKS_NS

    def push(self) -> bool:
        """Hand over the rest of a cut line, then the first frame that waits; False when the item does not take it now."""
        if self.cut and (not self.hand_over(self.cut) or self.cut):
            return False
        return self.hand_over(line_of(*self.waiting[0][1:])) if self.waiting else True

    def hand_over(self, line: bytes) -> bool:
        """False when the item takes nothing of it; what it does not take of a line that it began is cut off, for later."""
        try:
            sent = given(self.item).send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError:
            self.gone()
            return True
        self.cut = line[sent:]
        return True

    def gone(self) -> None:
        if self.item is not None:
            self.item.close()
        self.item, self.text, self.cut = None, b"", b""

    # ------------------------------------------------------------ from the item

    def receive(self, timeout_s: float) -> None:
        sources: list[Any] = [self.listener, 0, *([self.item] if self.item is not None else [])]
        readable = select.select(sources, [], [], timeout_s)[0]
        now_ns = time.monotonic_ns()
        if self.listener in readable:
            self.gone()
            self.item = self.listener.accept()[0]
            self.item.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self.heard_ns = 0
        elif self.item is not None and self.item in readable:
            self.take(now_ns)
        self.trace.captured(now_ns)

    def take(self, now_ns: int) -> None:
        try:
            chunk = given(self.item).recv(65536)
        except OSError:
            chunk = b""
        if not chunk:
            self.gone()
            return
        *lines, self.text = (self.text + chunk).split(END)
        self.text = self.text[-LONGEST_LINE:]
        for line in lines:
            found = frame_of(line)
            if found is not None:
                if not self.heard_ns:
                    go_along(self.peer())
                self.heard_ns = now_ns
                self.trace.append(now_ns, *found)

    def peer(self) -> int:
        """The emulator's process."""
        told = given(self.item).getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        return int(CREDENTIALS.unpack(told)[0])

    def close(self) -> None:
        self.gone()
        self.listener.close()


@noun
class Slcan:
    """A bus of an emulated board, as text on a unix socket of the bench's; the board's port connects to it."""

    is_bus: ClassVar[bool] = True
    abilities: ClassVar[tuple[str, ...]] = ()  # a serial line carries less than a CAN bus
    opens: ClassVar[tuple[str, ...]] = ("bus",)
    virtual: ClassVar[bool] = False

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Any]:
        bench.work.mkdir(parents=True, exist_ok=True)
        path = Path(bench.work) / f"{name}.sock"
        line, trace = {"interface": "shipei_slcan", "channel": str(path)}, trace_of(bench.evidence, name)
        with owned(line, name, trace, bench.loops) as bus:
            bus.socket = str(path)
            yield bus
