"""The communication of a reference ECU, without a clock and without a bus: time and frames come in, frames and console text go out.

`step(now_ns, frames)` runs everything that is due up to now; `due_ns` is when it wants to be called again, `tick_ns` when it
does if a frame comes before: the main function looks at frames only then. A frame is (time_ns, id, flags, data), with the flags
of the stepper protocol. What the ECU is for stands in its application, which Com asks for these things: `start(now)`,
`main(now)` once a tick, `roles`, a function for every signal that it sends, where there is network management
`wants_network()`, and where it can be programmed `may_be_programmed()`.
"""

from .diagnostics import DEFAULT
from .frames import E2E, Message
from .nm import Nm
from .services import Application

MS = 1_000_000
WATCHDOG_MS = 400  # until an application that hangs is reset
EXT, FD, BRS, RTR, ERROR = 2, 4, 8, 32, 64
PASSIVE, BUS_OFF = 0x20000004, 0x20000040  # error frames of its controller, as linux/can/error.h numbers them


class Input:
    """One supervised message: its newest good values, and when they came."""

    def __init__(self, message, timeout_ms, cal):
        self.message, self.timeout_ns, self.cal = message, timeout_ms * MS if timeout_ms else None, cal
        self.forget()

    def forget(self):
        """Nothing has come yet."""
        self.good_ns, self.counter, self.healed_ns = None, None, None

    def accept(self, now_ns, data, others):
        """The frame's values by role, or None when its protection says that it is not to be believed.

        `others` are the protections of other messages: whoever believes one of them lets a sender pass for another.
        """
        if self.message.e2e:
            protection = E2E[self.message.e2e["profile"]]
            counter = protection.counter(data)
            believed = [self.message.e2e] + [r for n, r in others.items() if n in self.cal.ACCEPTED_DATA_IDS_OF]
            if self.cal.CHECK_CRC and not any(protection.holds(data, rule) for rule in believed):
                return None
            step = 1 if self.counter is None else (counter - self.counter) % protection.period
            self.counter = counter
            if self.cal.CHECK_COUNTER and not 1 <= step <= self.cal.MOST_COUNTER_STEP:
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
        self.rules = {name: i.message.e2e for name, i in self.by_name.items() if i.message.e2e}
        self.outputs = {spec["name"]: Message(spec) for spec in network["sends"]}
        spec = network.get("diagnostics")
        self.server = Application(spec, self.leave, self.uptime_ms, cal.UDS) if spec else None
        self.nm = Nm(network["nm"], cal) if network.get("nm") else None
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
        message = next(m for m in self.outputs.values() if role in m.signals)
        if self.may_send(now, message):
            self.sent.append(self.packed(now, message))

    # ------------------------------------------------------------ time

    def start(self, now_ns):
        """Power is on."""
        cal = self.cal
        self.started_ns = self.tick_ns = self.due_ns = now_ns
        self.leaves = self.dies_ns = None
        if self.server:
            self.server.restart(now_ns)
        if self.nm:
            self.nm.start(now_ns)
        self.console = [(now_ns + ms * MS, text) for ms, text in cal.BOOT_STAGES]
        self.console.append((now_ns + cal.READY_MS * MS, cal.READY_LINE))
        if cal.PANIC_AT_MS is not None:
            self.console.append((now_ns + cal.PANIC_AT_MS * MS, "Kernel panic - not syncing: demonstration"))
        if cal.REBOOT_AT_MS is not None:
            self.console.append((now_ns + cal.REBOOT_AT_MS * MS, cal.BOOT_STAGES[0][1]))
        self.console.sort()
        if self.server and self.server.update:
            self.boot(now_ns)
        com_ns = now_ns + cal.COM_START_MS * MS
        self.cyclic = []
        for n, message in enumerate(m for m in self.outputs.values() if m.cycle_ms and m.name not in cal.NEVER_SENT):
            period = round(cal.CYCLE_MS.get(message.name, message.cycle_ms) * MS)
            self.cyclic.append([com_ns + n * cal.TICK_MS * MS, period, message])
            message.leave_out(cal.PAGES_NEVER_SENT, cal.PAGES_BESIDES)
        if cal.EXTRA_MESSAGE_ID is not None:
            self.cyclic.append([com_ns, 100 * MS, None])
        self.counters, self.values, self.seen, self.mute_until_ns, self.late = {}, {}, [], 0, False
        self.off_until_ns = com_ns
        for one in self.inputs.values():
            one.forget()
        self.application.start(now_ns)

    def boot(self, now):
        """What runs comes out of a slot; an application that never gets ready is reset by its watchdog."""
        self.server.update.boot()
        _, gets_ready = self.server.update.running()
        if not gets_ready:
            self.dies_ns = now + (self.cal.READY_MS + WATCHDOG_MS) * MS
            self.console = [line for line in self.console if line[1] != self.cal.READY_LINE]

    def die(self, now):
        """An application that hangs: its boot loader and kernel have said something, and then nobody does anything."""
        lines = [line for line in self.console if line[0] <= now]
        self.console = self.console[len(lines) :]
        self.leaves = ("reset", None) if now >= self.dies_ns else None
        self.due_ns = now + MS if self.leaves else min([self.dies_ns, *(line[0] for line in self.console)])
        self.tick_ns = 1 << 62
        return [], lines

    def step(self, now_ns, frames):
        """Run up to now; returns (frames to send, [(time_ns, console line)])."""
        if self.dies_ns is not None:
            return self.die(now_ns)
        self.sent, lines = [], []
        self.seen.extend(frames)
        tick_ns = self.cal.TICK_MS * MS
        while (at := min(self.tick_ns, self.next_ns())) <= now_ns:
            while self.console and self.console[0][0] <= at:
                lines.append(self.console.pop(0))
            if at >= self.tick_ns:
                self.receive_all(at)
                self.application.main(at)
                self.manage(at)
                self.tick_ns += tick_ns
            if self.server and self.server.due_ns() <= at:
                self.sent += self.server.step(at)
            for entry in self.cyclic:
                if entry[0] <= at:
                    entry[0] += entry[1] + self.jitter(entry[2])
                    if self.may_send(at, entry[2]):
                        self.sent.append(self.packed(at, entry[2]))
        hurry = self.seen or self.application.busy() or (self.nm and self.nm.wake_ns is not None)
        self.due_ns = min(self.tick_ns, self.next_ns()) if hurry else self.next_ns()
        return self.sent, lines

    def next_ns(self):
        """When something leaves by itself next: a cyclic frame, a console line."""
        due_ns = self.console[0][0] if self.console else 1 << 62
        if self.server:
            due_ns = min(due_ns, self.server.due_ns())
        for entry in self.cyclic:
            if entry[0] < due_ns:
                due_ns = entry[0]
        return due_ns

    def manage(self, now):
        """Trouble codes and network management, once a tick: its own message goes out at once when it wakes up."""
        if self.server:
            self.server.main(now, lambda message: self.lost(now, message))
            if self.server.update and now - self.started_ns >= self.cal.READY_MS * MS:
                self.server.update.is_ready()
        if not self.nm:
            return
        self.nm.main(now, self.application.wants_network() or bool(self.server and self.server.current != DEFAULT))
        if self.nm.entered:
            self.nm.entered = False
            for entry in self.cyclic:
                if entry[2] is not None and entry[2].name == self.nm.message:
                    entry[0] = max(now, self.started_ns + self.cal.COM_START_MS * MS)

    def may_send(self, now, message):
        if now < self.off_until_ns or (message is None and self.nm and self.nm.asleep()):
            return False
        if message is None:
            return True
        if self.server and not self.server.may_send(bool(self.nm) and message.name == self.nm.message):
            return False
        if now < self.mute_until_ns and message.name in self.cal.MUTED:
            return False
        if not self.nm:
            return True
        return self.nm.sends() if message.name == self.nm.message else self.nm.may_send()

    def jitter(self, message):
        if message is None or message.name not in self.cal.JITTER_MS:
            return 0
        self.late = not self.late
        return round(self.cal.JITTER_MS[message.name] * MS) * (1 if self.late else -1)

    # ------------------------------------------------------------ frames in

    def receive_all(self, now):
        due = [f for f in self.seen if f[0] <= now]
        self.seen = [f for f in self.seen if f[0] > now]
        if self.cal.MOST_FRAMES_PER_TICK is not None and len(due) > self.cal.MOST_FRAMES_PER_TICK:
            self.cyclic = []  # its queue has run over, and nobody thought of that
        for frame in due:
            self.receive(now, frame)

    def receive(self, now, frame):
        _, identifier, flags, data = frame
        if flags & ERROR:
            self.controller(now, identifier)
            return
        if self.nm:
            self.nm.heard(now, identifier, data)
        if self.cal.SILENCED_BY_OWN_ID and any(m.id == identifier for m in self.outputs.values()):
            self.cyclic = []
        found = self.inputs.get((identifier, bool(flags & EXT)))
        if found is None:
            self.unknown(now, identifier, flags, data)
            return
        length = found.message.length
        if bool(flags & FD) != found.message.fd and not flags & RTR and not self.cal.ACCEPT_OTHER_FORMAT:
            return
        if flags & RTR:
            if not self.cal.ACCEPT_REMOTE_FRAMES:
                return
            data = b"\xff" * length
        if self.cal.STOPPED_BY_EMPTY_FRAME and not data:
            self.cyclic = []
        if len(data) != length:
            if not self.cal.ACCEPT_SHORT_FRAMES:
                return
            data = bytes(data).ljust(length, b"\xff")
        values = found.accept(now, data, self.rules)
        if values is not None:
            self.values.update(values)
            self.application.received(now, values)

    def controller(self, now, what):
        """Its controller says how it is: off the bus, it is started again after a while."""
        if what == BUS_OFF:
            self.off_until_ns = now + self.cal.BUS_OFF_RECOVERY_MS * MS
        elif what == PASSIVE and self.cal.SILENT_WHEN_PASSIVE:
            self.off_until_ns = 1 << 62

    def unknown(self, now, identifier, flags, data):
        if self.nm and identifier in self.nm.ids:
            return
        how = self.server and self.server.is_mine(identifier, bool(flags & EXT))
        if how:
            if not flags & RTR:
                self.sent += self.server.receive(now, bytes(data), how)
        else:
            self.mute_until_ns = now + self.cal.MUTE_ON_UNKNOWN_MS * MS

    def leave(self, what):
        """What the diagnostic server asks for."""
        if what == "reset":
            self.leaves = ("reset", None)
        elif what == "programming":
            self.board()
            self.leaves = ("reset", None)
        if self.board:
            return "elsewhere"
        if self.server.update and (self.application.may_be_programmed() or self.server.does["PROGRAMS_ANYTIME"]):
            return "here"
        return "nowhere"

    def uptime_ms(self, now):
        return (now - self.started_ns) // MS

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
        flags ^= cal.SENT_FLAGS_XOR.get(message.name, 0)
        return now, message.id, flags, bytes(data[:length]).ljust(length, b"\0")
