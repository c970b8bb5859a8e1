"""ISO 15765-2 as a tester speaks it, frame by frame, right and wrong: every frame is a bench's frame on the wire, every time is the wire's."""

from dataclasses import dataclass

from harness.can.trace import Rows
from harness.errors import DeviceError, SuiteError
from harness.model import DiagnosticsInterface
from harness.ports import BRS, EXT, FD, Frame
from harness.vehicle.observation import MS
from harness.vehicle.restbus import Restbus
from harness.vehicle.vehicle import Vehicle

SINGLE, FIRST, CONSECUTIVE, FLOW = range(4)
CONTINUE, WAIT, OVERFLOW = range(3)
FRAME_BYTES = 8
FD_LENGTHS = (
    8,
    12,
    16,
    20,
    24,
    32,
    48,
    64,
)  # what a frame of CAN FD can have, from eight bytes on (ISO 11898-1, table 5)
N_BS_S, N_CR_S = 1.0, 1.0  # until a flow control and until a consecutive frame must have come (ISO 15765-2, table 17)
RESERVED_GAP_MS = 127.0
MOST_WAITS = 100  # N_WFTmax: how often the device may make us wait


@dataclass(frozen=True, kw_only=True)
class Got:
    """A frame of the device: when it was on the wire, and its bytes."""

    time_ns: int
    data: bytes

    @property
    def kind(self) -> int:
        return self.data[0] >> 4 if self.data else -1


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A whole message of the device, and the frames that it came in."""

    data: bytes
    frames: tuple[Got, ...]

    @property
    def first_ns(self) -> int:
        return self.frames[0].time_ns

    @property
    def last_ns(self) -> int:
        return self.frames[-1].time_ns


def gap_ms(separation: int) -> float:
    """The separation time of a flow control's third byte, in ms (ISO 15765-2, 9.6.5.4); what is reserved counts as the longest.

    >>> [gap_ms(b) for b in (0, 10, 0x7F, 0xF1, 0xF9, 0x80, 0xFA)]
    [0.0, 10.0, 127.0, 0.1, 0.9, 127.0, 127.0]
    """
    if separation <= 0x7F:
        return float(separation)
    return (separation - 0xF0) / 10 if 0xF1 <= separation <= 0xF9 else RESERVED_GAP_MS


def first_frame(payload: bytes, length: int | None = None, room: int = FRAME_BYTES) -> bytes:
    """A first frame; `length`: what it says of the whole, where that is not true. Over 4095 by the escape (ISO 15765-2, 9.6.3).

    `room`: the bytes of a frame behind its address byte.

    >>> first_frame(bytes(20)).hex(), first_frame(bytes(20), 5000).hex()
    ('1014000000000000', '1000000013880000')
    """
    size = len(payload) if length is None else length
    head = bytes([FIRST << 4 | size >> 8, size & 255]) if size <= 0xFFF else b"\x10\x00" + size.to_bytes(4, "big")
    return head + payload[: room - len(head)]


def consecutive_frames(payload: bytes, room: int = FRAME_BYTES) -> list[bytes]:
    """All that follow a first frame.

    >>> [frame.hex() for frame in consecutive_frames(bytes(range(15)))]
    ['21060708090a0b0c', '220d0e']
    """
    parts = range(room - 2, len(payload), room - 1)
    return [bytes([CONSECUTIVE << 4 | n & 15]) + payload[at : at + room - 1] for n, at in enumerate(parts, 1)]


class Transport:
    """A tester's side of one pair of identifiers, classic CAN or CAN FD as declared; its address byte, where frames have one, is added and
    taken off here."""

    def __init__(self, vehicle: Vehicle, diagnostics: DiagnosticsInterface) -> None:
        self.vehicle, self.told = vehicle, diagnostics
        self.net: Restbus = vehicle.networks[diagnostics.bus]
        self.lengths = FD_LENGTHS if diagnostics.fd else FD_LENGTHS[:1]
        self.rooms = tuple(length - len(diagnostics.ahead()) for length in self.lengths)  # behind the address byte
        self.short, self.room = self.rooms[0], self.rooms[-1]
        self.flags = (EXT if diagnostics.extended else 0) | (FD | BRS if diagnostics.fd else 0)

    # ------------------------------------------------------------ frames

    def put(self, data: bytes, *, functional: bool = False, filled: bool = True, address: int | None = None) -> int:
        """A frame of ours; when it was on the wire. `address`: its address byte, where that is another than declared."""
        identifier = self.told.functional if functional else self.told.request
        if identifier is None:
            raise SuiteError("the submission declares no functional identifier: interface.diagnostics.functional")
        ahead = self.told.ahead(functional=functional) if address is None else bytes([address])
        whole = (ahead + data)[: self.lengths[-1]]
        if filled:
            length = next(length for length in self.lengths if length >= len(whole))
            whole = whole.ljust(length, bytes([self.told.padding]))
        frame = Frame(id=identifier, flags=self.flags, data=whole)
        return self.vehicle.send_raw(self.told.bus, frame).time_ns

    def next(self, within_s: float) -> Got | None:
        """The device's next diagnostic frame after now; without one the time has passed."""
        start_ns = self.vehicle.time_ns
        until_ns = start_ns + round(within_s * 1e9)

        def following(rows: Rows) -> Got | None:
            return next(iter(self.theirs(rows)), None)

        found: Got | None = self.vehicle.search(self.net, [self.told.response], following, start_ns, until_ns)
        self.vehicle.time_ns = until_ns if found is None else found.time_ns
        return found

    def theirs(self, rows: Rows) -> list[Got]:
        """The device's diagnostic frames among these, without their address byte."""
        ahead = self.told.theirs
        frames = self.every(rows)
        return [Got(time_ns=f.time_ns, data=f.data[len(ahead) :]) for f in frames if f.data.startswith(ahead)]

    def every(self, rows: Rows) -> list[Got]:
        """Those with the identifier of its answers, as they were on the wire."""
        rows = self.net.of_device(rows)
        rows = rows[rows["id"] == self.told.response]
        return [Got(time_ns=int(r["time_ns"]), data=r["data"].tobytes()[: r["length"]]) for r in rows]

    def during(self, seconds: float) -> list[Got]:
        """All of them from now on, for some seconds."""
        return self.theirs(self.vehicle.watch(self.told.bus, seconds))

    def flow(self, state: int = CONTINUE, block: int = 0, separation: int = 0) -> int:
        """A flow control of ours."""
        return self.put(bytes([FLOW << 4 | state, block, separation]))

    # ------------------------------------------------------------ whole messages

    def send(self, payload: bytes, *, functional: bool = False) -> int:
        """A whole message; when its last frame was on the wire. Raises DeviceError when no flow control lets it go on."""
        if len(payload) < self.short:
            return self.put(bytes([len(payload)]) + payload, functional=functional)
        if self.told.fd and len(payload) <= self.room - 2:
            return self.put(bytes([0, len(payload)]) + payload, functional=functional)
        self.put(self.first(payload))
        frames, sent_ns = self.following(payload), self.vehicle.time_ns
        while frames:
            allowed, gap_s = self.cleared()
            for data in frames[: allowed or len(frames)]:
                sent_ns = self.put(data)
                if gap_s:
                    self.vehicle.pass_time(gap_s)
            del frames[: allowed or len(frames)]
        return sent_ns

    def first(self, payload: bytes, length: int | None = None) -> bytes:
        """The first frame of a message; see `first_frame`."""
        return first_frame(payload, length, self.room)

    def following(self, payload: bytes) -> list[bytes]:
        """The consecutive frames of a message."""
        return consecutive_frames(payload, self.room)

    def cleared(self) -> tuple[int, float]:
        """The device's flow control: (how many frames it takes, 0 for all; the separation in s)."""
        for _ in range(MOST_WAITS):
            got = self.next(N_BS_S)
            if got is None:
                raise DeviceError(f"no flow control within {N_BS_S:g} s")
            if got.kind == FLOW and len(got.data) >= 3 and got.data[0] & 15 == CONTINUE:
                return got.data[1], gap_ms(got.data[2]) / 1e3
            if got.kind != FLOW or got.data[0] & 15 != WAIT:
                raise DeviceError(f"not a flow control that lets us send: {got.data.hex()}")
        raise DeviceError(f"told to wait {MOST_WAITS} times, and never to go on")

    def receive(self, within_s: float) -> Payload | None:
        """The device's next whole message, for which we clear it to send; None when none begins within the limit.

        Raises DeviceError when it breaks off or does not follow the rules.
        """
        head = self.next(within_s)
        if head is None:
            return None
        if (message := self.single(head.data)) is not None:
            return Payload(data=message, frames=(head,))
        if head.kind != FIRST or len(head.data) not in self.rooms:
            raise DeviceError(f"neither a single nor a first frame: {head.data.hex()}")
        self.flow()
        return self.rest(head, ())

    def single(self, data: bytes) -> bytes | None:
        """The message of a single frame, or None (ISO 15765-2, 9.6.2): on CAN FD longer ones have their length in the second byte."""
        if len(data) <= self.short:
            return data[1 : 1 + data[0]] if data and 0 < data[0] < len(data) else None
        held = self.told.fd and data[0] == 0 and self.short <= data[1] <= len(data) - 2
        return data[2 : 2 + data[1]] if held else None

    def rest(self, head: Got, frames: tuple[Got, ...]) -> Payload:
        """What follows a first frame, beside what has come already."""
        size = (head.data[0] & 15) << 8 | head.data[1]
        data, found = head.data[2:] + b"".join(f.data[1:] for f in frames), [head, *frames]
        while len(data) < size:
            got = self.next(N_CR_S)
            if got is None:
                raise DeviceError(f"{len(data)} of {size} bytes came, and then nothing for {N_CR_S:g} s")
            number = len(found) & 15
            if got.data[0] != CONSECUTIVE << 4 | number:
                raise DeviceError(f"consecutive frame {number} should come, not {got.data.hex()}")
            data += got.data[1:]
            found.append(got)
        return Payload(data=data[:size], frames=tuple(found))

    def apart_ms(self, frames: tuple[Got, ...]) -> list[float]:
        """Between the starts of frames that follow each other."""
        return [(b.time_ns - a.time_ns) / MS for a, b in zip(frames[:-1], frames[1:], strict=True)]
