"""The communication of a reference ECU, without a clock and without a bus: time and frames come in, frames and console text go out.

`step(now_ns, frames)` runs everything that is due up to now; `due_ns` is when it wants to be called again, `tick_ns` when it
does if a frame comes before: the main function looks at frames only then. A frame is (time_ns, id, flags, data), with the flags
of the stepper protocol. What the ECU is for stands in its application, which Com asks for three things: `start(now)`,
`main(now)` once a tick, and `roles`, a function for every signal that it sends.
"""

from .diagnostics import Server
from .frames import E2E, Message

MS = 1_000_000
EXT, FD, BRS, RTR = 2, 4, 8, 32


class Input:
    """One supervised message: its newest good values, and when they came."""

    def __init__(self, message, timeout_ms, cal):
        self.message, self.timeout_ns, self.cal = message, timeout_ms * MS if timeout_ms else None, cal
        self.good_ns, self.counter, self.healed_ns = None, None, None

    def accept(self, now_ns, data):
        """The frame's values by role, or None when its protection says that it is not to be believed."""
        if self.message.e2e:
            protection = E2E[self.message.e2e["profile"]]
            counter = protection.counter(data)
            if self.cal.CHECK_CRC and not protection.holds(data, self.message.e2e):
                return None
            step = 1 if self.counter is None else (counter - self.counter) % protection.period
            self.counter = counter
            if self.cal.CHECK_COUNTER and not 1 <= step <= 2:
                return None
        if self.expired(now_ns):
            self.healed_ns = now_ns + self.cal.HEAL_MS * MS
        self.good_ns = now_ns
        return self.message.unpack(data)

    def lost(self, now_ns):
        return self.expired(now_ns) or now_ns < self.healed_ns

    def expired(self, now_ns):
        return self.good_ns is None or (self.timeout_ns is not None and now_ns - self.good_ns > self.timeout_ns)


class Delayed:
    """A value that follows its target after a delay."""

    def __init__(self, value, delay_ms):
        self.value, self.delay_ns, self.target, self.since = value, delay_ms * MS, value, None

    def follow(self, now_ns, target):
        if target != self.target:
            self.target, self.since = target, now_ns
        if self.since is not None and now_ns - self.since >= self.delay_ns:
            self.value, self.since = self.target, None
        return self.value


class Com:
    def __init__(self, network, cal, application):
        self.cal, self.application = cal, application
        self.inputs = {}
        for spec in network["receives"]:
            message = Message(spec)
            self.inputs[message.id, message.extended] = Input(message, cal.TIMEOUT_MS.get(message.name), cal)
        self.by_name = {i.message.name: i for i in self.inputs.values()}
        self.outputs = {spec["name"]: Message(spec) for spec in network["sends"]}
        spec = network.get("diagnostics")
        known = {one["did"]: one["text"].encode() for one in spec["identification"]} if spec else {}
        self.server = Server(spec, known, self.leave) if spec else None
        self.board, self.leaves = None, None  # where there is one: who takes over to be programmed; and where it goes
        self.due_ns = 0
        self.started_ns = None
        application.com = self

    # ------------------------------------------------------------ what the application asks

    def get(self, role, otherwise=None):
        """The newest good value of a signal."""
        return self.values.get(role, otherwise)

    def lost(self, now, message):
        return self.by_name[message].lost(now)

    def send(self, now, role):
        """Send the message that carries this signal, now."""
        self.sent.append(self.packed(now, next(m for m in self.outputs.values() if role in m.signals)))

    # ------------------------------------------------------------ time

    def start(self, now_ns):
        """Power is on."""
        cal = self.cal
        self.started_ns = self.tick_ns = self.due_ns = now_ns
        self.leaves = None
        if self.server:
            self.server.restart(now_ns)
        self.console = [(now_ns + ms * MS, text) for ms, text in cal.BOOT_STAGES]
        self.console.append((now_ns + cal.READY_MS * MS, cal.READY_LINE))
        if cal.PANIC_AT_MS is not None:
            self.console.append((now_ns + cal.PANIC_AT_MS * MS, "Kernel panic - not syncing: demonstration"))
        if cal.REBOOT_AT_MS is not None:
            self.console.append((now_ns + cal.REBOOT_AT_MS * MS, cal.BOOT_STAGES[0][1]))
        self.console.sort()
        com_ns = now_ns + cal.COM_START_MS * MS
        self.cyclic = []
        for n, message in enumerate(m for m in self.outputs.values() if m.cycle_ms and m.name not in cal.NEVER_SENT):
            period = round(cal.CYCLE_MS.get(message.name, message.cycle_ms) * MS)
            self.cyclic.append([com_ns + n * cal.TICK_MS * MS, period, message])
        if cal.EXTRA_MESSAGE_ID is not None:
            self.cyclic.append([com_ns, 100 * MS, None])
        self.counters, self.values, self.seen, self.mute_until_ns, self.late = {}, {}, [], 0, False
        self.application.start(now_ns)

    def step(self, now_ns, frames):
        """Run up to now; returns (frames to send, [(time_ns, console line)])."""
        self.sent, lines = [], []
        self.seen.extend(frames)
        tick_ns = self.cal.TICK_MS * MS
        while (at := min(self.tick_ns, self.next_ns())) <= now_ns:
            while self.console and self.console[0][0] <= at:
                lines.append(self.console.pop(0))
            if at >= self.tick_ns:
                self.receive_all(at)
                self.application.main(at)
                self.tick_ns += tick_ns
            for entry in self.cyclic:
                if entry[0] <= at:
                    entry[0] += entry[1] + self.jitter(entry[2])
                    if at >= self.mute_until_ns or entry[2] is None or entry[2].name not in self.cal.MUTED:
                        self.sent.append(self.packed(at, entry[2]))
        if self.server and self.server.due_ns() <= now_ns:
            self.sent += self.server.step(now_ns)
        hurry = self.seen or self.application.busy()
        self.due_ns = min(self.tick_ns, self.next_ns()) if hurry else self.next_ns()
        return self.sent, lines

    def next_ns(self):
        """When something leaves by itself next: a cyclic frame, a console line."""
        due_ns = self.console[0][0] if self.console else 1 << 62
        if self.server:
            due_ns = min(due_ns, max(self.server.due_ns(), self.tick_ns))
        for entry in self.cyclic:
            if entry[0] < due_ns:
                due_ns = entry[0]
        return due_ns

    def jitter(self, message):
        if message is None or message.name not in self.cal.JITTER_MS:
            return 0
        self.late = not self.late
        return round(self.cal.JITTER_MS[message.name] * MS) * (1 if self.late else -1)

    # ------------------------------------------------------------ frames in

    def receive_all(self, now):
        for frame in self.seen:
            if frame[0] <= now:
                self.receive(now, frame)
        self.seen = [f for f in self.seen if f[0] > now]

    def receive(self, now, frame):
        _, identifier, flags, data = frame
        found = self.inputs.get((identifier, bool(flags & EXT)))
        if found is None:
            self.unknown(now, identifier, flags, data)
            return
        length = found.message.length
        if flags & RTR:
            if not self.cal.ACCEPT_REMOTE_FRAMES:
                return
            data = b"\xff" * length
        if len(data) != length:
            if not self.cal.ACCEPT_SHORT_FRAMES:
                return
            data = bytes(data).ljust(length, b"\xff")
        values = found.accept(now, data)
        if values is not None:
            self.values.update(values)
            self.application.received(now, values)

    def unknown(self, now, identifier, flags, data):
        if self.server and self.server.is_mine(identifier, bool(flags & EXT)):
            self.sent += self.server.receive(now, bytes(data))
        else:
            self.mute_until_ns = now + self.cal.MUTE_ON_UNKNOWN_MS * MS

    def leave(self, what):
        """What the diagnostic server asks for."""
        if what == "reset":
            self.leaves = ("reset", None)
        elif what == "programming":
            self.board()
            self.leaves = ("reset", None)
        return "elsewhere" if self.board else "nowhere"

    # ------------------------------------------------------------ frames out

    def packed(self, now, message):
        cal = self.cal
        if message is None:
            return now, cal.EXTRA_MESSAGE_ID, 0, bytes(4)
        data = message.pack(self.application.roles, now)
        data[-1] |= cal.UNUSED_BITS.get(message.name, 0)
        if message.e2e:
            counter = self.counters.get(message.name, 0)
            protection = E2E[message.e2e["profile"]]
            self.counters[message.name] = (counter + cal.SENT_COUNTER_STEP) % protection.period
            protection.protect(data, message.e2e, counter)
            data[0] ^= cal.SENT_CRC_XOR
        length = cal.SENT_LENGTH.get(message.name, message.length)
        flags = (EXT if message.extended else 0) | (FD | BRS if message.fd else 0)
        return now, message.id, flags, bytes(data[:length]).ljust(length, b"\0")
