"""Network management: AUTOSAR CanNm's states and timers (SWS CANNetworkManagement, 7.2), one network. Without a clock."""

MS = 1_000_000
BUS_SLEEP, PREPARE_BUS_SLEEP, REPEAT_MESSAGE, NORMAL, READY_SLEEP = range(5)
REPEAT_REQUEST = 1  # bit of the control bit vector, byte 1 of every NM message


class Nm:
    def __init__(self, spec, cal):
        self.cal, self.node, self.ids = cal, spec["node"], range(spec["first"], spec["last"] + 1)
        self.message = spec["message"]
        self.times = {t: spec[t] * MS for t in ("repeat_ms", "timeout_ms", "wait_bus_sleep_ms")}
        self.times |= {t: ms * MS for t, ms in cal.NM_TIMES.items()}

    def start(self, now):
        """Power is on: it wakes the others."""
        self.state, self.since, self.heard_ns = REPEAT_MESSAGE, now, now
        self.active, self.sleeps, self.wake_ns, self.entered = True, 0, None, True

    def enter(self, now, state):
        self.state, self.since = state, now
        if state == REPEAT_MESSAGE:
            self.heard_ns, self.entered = now, True
        if state == PREPARE_BUS_SLEEP:
            self.sleeps += 1

    def asleep(self):
        return self.state in (BUS_SLEEP, PREPARE_BUS_SLEEP)

    def may_send(self):
        """Whether application messages go out."""
        return not self.asleep()

    def sends(self):
        """Whether its own message goes out."""
        return self.state in (REPEAT_MESSAGE, NORMAL) or (self.state == READY_SLEEP and self.cal.NM_SENDS_WHEN_READY)

    def heard(self, now, identifier, data):
        """A frame of anybody."""
        cal = self.cal
        if identifier not in self.ids:
            if self.asleep() and cal.NM_WAKES_BY_ANY_FRAME:
                self.wake(now)
            return
        if not cal.NM_IGNORES_OTHERS:
            self.heard_ns = now
        deaf = self.state == PREPARE_BUS_SLEEP and cal.NM_DEAF_WHILE_PREPARING
        if self.asleep() and not deaf and self.sleeps <= cal.NM_WAKES_AT_MOST:
            self.wake(now)
        elif (
            self.state in (NORMAL, READY_SLEEP)
            and any(b & REPEAT_REQUEST for b in data[1:2])
            and not cal.NM_IGNORES_REPEAT_REQUEST
        ):
            self.enter(now, REPEAT_MESSAGE)

    def wake(self, now):
        if self.wake_ns is None:
            self.wake_ns = now + self.cal.NM_WAKE_DELAY_MS * MS

    def main(self, now, requested):
        """Once a tick; `requested`: whether the application wants the network."""
        if self.wake_ns is not None and now >= self.wake_ns:
            self.wake_ns, self.active = None, False
            self.enter(now, REPEAT_MESSAGE)
        if self.sends():
            self.heard_ns = now  # its own messages keep the network awake
        if self.asleep():
            if requested:
                self.active = True
                self.enter(now, REPEAT_MESSAGE)
            elif self.state == PREPARE_BUS_SLEEP and now - self.since >= self.times["wait_bus_sleep_ms"]:
                self.enter(now, BUS_SLEEP)
        elif self.state == REPEAT_MESSAGE:
            if now - self.since >= self.times["repeat_ms"]:
                self.enter(now, NORMAL if requested else READY_SLEEP)
        elif self.state == NORMAL and not requested:
            self.enter(now, READY_SLEEP)
        elif self.state == READY_SLEEP:
            if requested:
                self.enter(now, NORMAL)
            elif now - self.heard_ns >= self.times["timeout_ms"]:
                self.enter(now, PREPARE_BUS_SLEEP)
