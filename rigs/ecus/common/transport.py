"""ISO 15765-2 on the device's side, without a clock: frames in, requests out; answers in, frames out. One tester at a time."""

MS = 1_000_000
SINGLE, FIRST, CONSECUTIVE, FLOW = range(4)
CONTINUE, WAIT, OVERFLOW = range(3)
TIMEOUT_NS = 1000 * MS  # N_Bs and N_Cr
MOST_BYTES = 4095


class Transport:
    """Classic CAN, normal addressing, every frame filled up to eight bytes."""

    def __init__(self, padding=0xCC, block_size=0, separation_ms=0):
        self.padding, self.block_size, self.separation_ms = padding, block_size, separation_ms
        self.forget()

    def forget(self):
        """Whatever was under way is over."""
        self.coming, self.wanted, self.number, self.left, self.heard_ns = b"", 0, 0, 0, None
        self.going, self.sent_number, self.allowed, self.gap_ns, self.due_ns = b"", 0, 0, 0, None
        self.asked_ns = None

    def filled(self, data):
        return bytes(data).ljust(8, bytes([self.padding]))

    # ------------------------------------------------------------ in

    def receive(self, now, data):
        """One frame; returns (a whole request or None, frames to send at once)."""
        if not data:
            return None, []
        kind, low = data[0] >> 4, data[0] & 15
        if kind == SINGLE and 0 < low < len(data):
            self.wanted = 0
            return bytes(data[1 : 1 + low]), []
        if kind == FIRST and len(data) == 8:
            return None, self.begin(now, (low << 8) + data[1], bytes(data[2:]))
        if kind == CONSECUTIVE and self.wanted:
            return self.go_on(now, low, bytes(data[1:]))
        if kind == FLOW and self.going and self.asked_ns is not None and len(data) >= 3:
            self.flow(now, low, data[1], data[2])
        return None, []

    def begin(self, now, size, data):
        if size > MOST_BYTES or size < 8:
            return [self.filled([FLOW << 4 | OVERFLOW, 0, 0])] if size > MOST_BYTES else []
        self.coming, self.wanted, self.number, self.left, self.heard_ns = data, size, 1, self.block_size, now
        return [self.clear_to_send()]

    def go_on(self, now, number, data):
        if number != self.number or now - self.heard_ns > TIMEOUT_NS:
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
        if state == WAIT:
            self.asked_ns = now
        elif state == CONTINUE:
            self.asked_ns, self.allowed = None, block_size or 1 << 30
            self.gap_ns = separation * MS if separation < 0x80 else (separation - 0xF0) * 100_000
            self.due_ns = now
        else:
            self.going, self.asked_ns = b"", None

    # ------------------------------------------------------------ out

    def send(self, now, payload):
        """An answer; returns the frames that go at once. The rest follows from `due`."""
        if len(payload) < 8:
            return [self.filled([len(payload), *payload])]
        self.going, self.sent_number, self.asked_ns, self.due_ns = payload[6:], 1, now, None
        return [bytes([FIRST << 4 | len(payload) >> 8, len(payload) & 255, *payload[:6]])]

    def due(self, now):
        """Consecutive frames that are due by now."""
        frames = []
        if self.asked_ns is not None and now - self.asked_ns > TIMEOUT_NS:
            self.going, self.asked_ns = b"", None
        while self.going and self.due_ns is not None and self.due_ns <= now:
            frames.append(self.filled([CONSECUTIVE << 4 | self.sent_number, *self.going[:7]]))
            self.going, self.sent_number = self.going[7:], (self.sent_number + 1) & 15
            self.allowed -= 1
            self.due_ns += self.gap_ns
            if not self.allowed and self.going:
                self.asked_ns, self.due_ns = now, None
        return frames
