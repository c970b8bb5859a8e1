"""ISO 15765-2 on the device's side, without a clock: frames in, requests out; answers in, frames out. One tester at a time."""

MS = 1_000_000
SINGLE, FIRST, CONSECUTIVE, FLOW = range(4)
CONTINUE, WAIT, OVERFLOW = range(3)
TIMEOUT_NS = 1000 * MS  # N_Bs and N_Cr
CLASSIC_BYTES, FD_BYTES = 8, 64
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
MOST_BYTES = 4095
FRAME_NS = 1_000_000  # a frame takes less, with those that go before it; the separation begins behind it
LONGEST_GAP_NS = 127 * MS  # what reserved separation times stand for
BEHAVIOUR = {  # what a build may differ in
    "FILLER_XOR": 0,
    "FLOW_DELAY_MS": 0,
    "CHECKS_SEQUENCE": True,
    "GIVES_UP_RECEIVING": True,
    "GIVES_UP_SENDING": True,
    "GAP_EXTRA_MS": 0,
    "BLOCKS": True,
    "WAITS": True,
    "ABORTS_ON_OVERFLOW": True,
    "HANGS_ON_OVERSIZE_MS": 0,
    "NEW_REQUEST_ABORTS": True,
    "TAKES_EMPTY": False,
    "TAKES_LONG_SINGLES": True,  # of more than eight bytes, on CAN FD
    "TAKES_BAD_ESCAPES": False,
    "ANSWERS_CLASSIC": False,  # in frames of eight bytes, on CAN FD
    "LENGTHS_VARY": False,  # of the consecutive frames, on CAN FD
}


def addresses(spec):
    """The address bytes ahead of frames to us, to all, and from us (ISO 15765-2, 10.3); nothing with normal addressing."""
    how, ours = spec.get("addressing", "normal"), bytes([spec.get("target") or 0])
    if how == "normal":
        return b"", b"", b""
    to_all = spec.get("functional_target")
    return ours, ours if to_all is None else bytes([to_all]), bytes([spec["source"]]) if how == "extended" else ours


class Transport:
    """On classic CAN every frame is filled up to eight bytes, on CAN FD to the next length there is. What comes in and goes out here is
    without the `ahead` bytes of its address."""

    def __init__(self, padding=0xCC, block_size=0, separation_ms=0, behaviour=None, ahead=0, fd=False):
        self.padding, self.block_size, self.separation_ms = padding, block_size, separation_ms
        self.does = BEHAVIOUR | (behaviour or {})
        self.short = CLASSIC_BYTES - ahead  # what fits a frame of eight bytes
        self.rooms = [length - ahead for length in (FD_LENGTHS if fd else FD_LENGTHS[:1])]
        self.room = self.rooms[0 if self.does["ANSWERS_CLASSIC"] else -1]  # in a frame of ours
        self.forget()

    def forget(self):
        """Whatever was under way is over."""
        self.coming, self.wanted, self.number, self.left, self.heard_ns = b"", 0, 0, 0, None
        self.going, self.sent_number, self.allowed, self.gap_ns, self.due_ns = b"", 0, 0, 0, None
        self.asked_ns = None
        self.flow_ns = None  # when a delayed flow control is due
        self.hangs_until_ns = 0

    def filled(self, data):
        room = next(room for room in self.rooms if room >= len(data))
        return bytes(data).ljust(room, bytes([self.padding ^ self.does["FILLER_XOR"]]))

    def single(self, data):
        """The message of a single frame, or None (ISO 15765-2, 9.6.2): longer ones, on CAN FD, have their length in the second byte."""
        if not data or data[0] > 15:
            return None
        if len(data) <= self.short:
            empty = bytes(1) if data[0] == 0 and self.does["TAKES_EMPTY"] else None
            return bytes(data[1 : 1 + data[0]]) if 0 < data[0] < len(data) else empty
        bad = data[1] < self.short or data[1] > len(data) - 2
        if data[0] or len(data) not in self.rooms or not self.does["TAKES_LONG_SINGLES"]:
            return None
        return None if bad and not self.does["TAKES_BAD_ESCAPES"] else bytes(data[2 : 2 + data[1]]) or None

    # ------------------------------------------------------------ in

    def receive(self, now, data):
        """One frame; returns (a whole request or None, frames to send at once)."""
        if not data or now < self.hangs_until_ns:
            return None, []
        kind, low = data[0] >> 4, data[0] & 15
        busy = self.wanted and not self.does["NEW_REQUEST_ABORTS"] and now - self.heard_ns <= TIMEOUT_NS
        if busy and kind in (SINGLE, FIRST):
            return None, []
        if (message := self.single(data)) is not None:
            self.wanted = 0
            return message, []
        if kind == FIRST and len(data) in self.rooms:
            return None, self.begin(now, (low << 8) + data[1], bytes(data[2:]))
        if kind == CONSECUTIVE and self.wanted:
            return self.go_on(now, low, bytes(data[1:]))
        if kind == FLOW and self.going and self.asked_ns is not None and len(data) >= 3:
            self.flow(now, low, data[1], data[2])
        return None, []

    def begin(self, now, size, data):
        least = (
            self.short if len(data) + 2 == self.short else len(data) + 1
        )  # more than a single frame of that length holds
        if size < least:  # an escape to lengths that no memory of ours holds starts with 0
            self.hangs_until_ns = now + self.does["HANGS_ON_OVERSIZE_MS"] * MS if size == 0 else 0
            return [self.filled([FLOW << 4 | OVERFLOW, 0, 0])] if size == 0 else []
        self.coming, self.wanted, self.number, self.left, self.heard_ns = data, size, 1, self.block_size, now
        if self.does["FLOW_DELAY_MS"]:
            self.flow_ns = now + self.does["FLOW_DELAY_MS"] * MS
            return []
        return [self.clear_to_send()]

    def go_on(self, now, number, data):
        late = now - self.heard_ns > TIMEOUT_NS and self.does["GIVES_UP_RECEIVING"]
        if (number != self.number and self.does["CHECKS_SEQUENCE"]) or late:
            self.wanted = 0
            return None, []
        self.coming, self.number, self.heard_ns = self.coming + data, (number + 1) & 15, now
        if len(self.coming) >= self.wanted:
            request, self.wanted = self.coming[: self.wanted], 0
            return request, []
        self.left -= 1
        if self.left == 0 and self.block_size:
            self.left = self.block_size
            return None, [self.clear_to_send()]
        return None, []

    def clear_to_send(self):
        return self.filled([FLOW << 4 | CONTINUE, self.block_size, self.separation_ms])

    def flow(self, now, state, block_size, separation):
        if state == WAIT and self.does["WAITS"]:
            self.asked_ns = now
        elif state in (CONTINUE, WAIT) or not self.does["ABORTS_ON_OVERFLOW"]:
            self.asked_ns, self.allowed = None, (block_size if self.does["BLOCKS"] else 0) or 1 << 30
            self.gap_ns = self.gap_of(separation) + round(self.does["GAP_EXTRA_MS"] * MS)
            self.due_ns = now
        else:
            self.going, self.asked_ns = b"", None

    @staticmethod
    def gap_of(separation):
        """The separation time in ns (ISO 15765-2, 9.6.5.4); what is reserved counts as the longest."""
        if separation <= 0x7F:
            return separation * MS
        return (separation - 0xF0) * 100_000 if 0xF1 <= separation <= 0xF9 else LONGEST_GAP_NS

    # ------------------------------------------------------------ out

    def send(self, now, payload):
        """An answer; returns the frames that go at once. The rest follows from `due`."""
        self.going, self.asked_ns = b"", None
        if len(payload) < self.short:
            return [self.filled([len(payload), *payload])]
        if len(payload) <= self.room - 2 and self.room > self.short:
            return [self.filled([0, len(payload), *payload])]
        self.going, self.sent_number, self.asked_ns, self.due_ns = payload[self.room - 2 :], 1, now, None
        return [bytes([FIRST << 4 | len(payload) >> 8, len(payload) & 255, *payload[: self.room - 2]])]

    def due(self, now):
        """Consecutive frames that are due by now."""
        frames = []
        if self.flow_ns is not None and self.flow_ns <= now:
            self.flow_ns = None
            frames.append(self.clear_to_send())
        if self.asked_ns is not None and now - self.asked_ns > TIMEOUT_NS and self.does["GIVES_UP_SENDING"]:
            self.going, self.asked_ns = b"", None
        while self.going and self.due_ns is not None and self.due_ns <= now:
            room = self.short if self.does["LENGTHS_VARY"] and self.sent_number % 2 else self.room
            frames.append(self.filled([CONSECUTIVE << 4 | self.sent_number, *self.going[: room - 1]]))
            self.going, self.sent_number = self.going[room - 1 :], (self.sent_number + 1) & 15
            self.allowed -= 1
            self.due_ns = now + self.gap_ns + (FRAME_NS if self.gap_ns else 0)
            if not self.allowed and self.going:
                self.asked_ns, self.due_ns = now, None
        return frames

    def next_ns(self):
        """When something is due by itself."""
        found = [t for t in (self.flow_ns, self.due_ns if self.going else None) if t is not None]
        if self.going and self.asked_ns is not None and self.does["GIVES_UP_SENDING"]:
            found.append(self.asked_ns + TIMEOUT_NS + 1)
        return min(found, default=1 << 62)
