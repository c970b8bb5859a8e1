"""The cockpit's logic, without a clock and without a bus: time and frames come in, frames and console text go out.

`step(now_ns, frames)` runs everything that is due up to now; `due_ns` is when it wants to be called again, `tick_ns` when it
does if a frame comes before: its main function looks at frames only then.
A frame is (time_ns, id, flags, data), with the flags of the stepper protocol.
"""

from . import calibration as cal
from .frames import Message, p01_crc, p05_crc

MS = 1_000_000
EXT, FD, RTR = 2, 4, 32
OFF, ACC, ON, CRANK = range(4)
PARK, REVERSE, BLANK = 0, 1, 7
LAMPS = ("Brake", "Abs", "Airbag", "Engine")


class Input:
    """One supervised message: its newest good values, and when they came."""

    def __init__(self, message, timeout_ms):
        self.message, self.timeout_ns = message, timeout_ms * MS if timeout_ms else None
        self.values, self.good_ns, self.counter, self.healed_ns = None, None, None, None

    def accept(self, now_ns, data):
        if self.message.e2e:
            _, data_id = self.message.e2e
            if cal.CHECK_CRC and p01_crc(data, data_id) != data[0]:
                return
            counter = data[1] & 0x0F
            step = 1 if self.counter is None else (counter - self.counter) % 15
            self.counter = counter
            if cal.CHECK_COUNTER and not 1 <= step <= 2:
                return
        if self.expired(now_ns):
            self.healed_ns = now_ns + cal.HEAL_MS * MS
        self.values, self.good_ns = self.message.unpack(data), now_ns

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


class Command:
    """A command with acknowledgement: idle, pending, confirmed, failed."""

    IDLE, PENDING, CONFIRMED, FAILED = range(4)

    def __init__(self, value, low, high, delay_ms):
        self.shown = self.confirmed = value
        self.low, self.high, self.delay_ns = low, high, delay_ms * MS
        self.sequence, self.state, self.asked_ns, self.sent_ns, self.acked_ns = 0, self.IDLE, None, None, None

    def ask(self, now_ns, change):
        self.shown = min(self.high, max(self.low, self.shown + change))
        self.sequence = (self.sequence + 1) % 256
        self.state, self.asked_ns, self.sent_ns, self.acked_ns = self.PENDING, now_ns, None, None

    def to_send(self, now_ns):
        if self.asked_ns is None or now_ns - self.asked_ns < self.delay_ns:
            return False
        self.asked_ns, self.sent_ns = None, now_ns
        return True

    def answer(self, now_ns, sequence, ok):
        if self.state == self.PENDING and sequence == self.sequence:
            if ok:
                self.acked_ns = now_ns
            else:
                self.fail()

    def run(self, now_ns):
        if self.state != self.PENDING:
            return
        if self.acked_ns is not None:
            if now_ns - self.acked_ns >= cal.CONFIRM_DELAY_MS * MS:
                self.state, self.confirmed = self.CONFIRMED, self.shown
        elif self.sent_ns is not None and now_ns - self.sent_ns >= cal.COMMAND_TIMEOUT_MS * MS:
            self.fail()

    def fail(self):
        self.state = self.FAILED
        if cal.REVERT_ON_FAILURE:
            self.shown = self.confirmed


class Cockpit:
    def __init__(self, network):
        self.inputs = {}
        for name, spec in network["receives"].items():
            message = Message(name, spec)
            self.inputs[message.id, message.extended] = Input(message, cal.TIMEOUT_MS.get(name))
        self.by_name = {i.message.name: i for i in self.inputs.values()}
        self.outputs = {name: Message(name, spec) for name, spec in network["sends"].items()}
        self.due_ns = 0
        self.started_ns = None

    # ------------------------------------------------------------ time

    def start(self, now_ns):
        """Power is on."""
        self.started_ns = self.tick_ns = self.due_ns = now_ns
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
        self.counters, self.seen, self.mute_until_ns, self.late = {}, [], 0, False
        self.mode, self.gear = Delayed(OFF, cal.POWER_DELAY_MS), Delayed(BLANK, cal.GEAR_DELAY_MS)
        self.invalid = Delayed(True, cal.INVALID_SPEED_DELAY_MS)
        self.lamps = {n: Delayed(0, cal.TELLTALE_DELAY_MS) for n in LAMPS}
        self.lights = {n: Delayed(0, cal.LAMP_DELAY_MS) for n in ("HighBeam", "TurnLeft", "TurnRight", "Belt")}
        self.chime, self.screen = Delayed(0, cal.CHIME_DELAY_MS), 0
        self.reverse_ns, self.shown, self.image, self.speed = None, False, 0, 0.0
        self.climate = Command(22.0, 16.0, 32.0, cal.COMMAND_DELAY_MS)
        self.seat = Command(0, 0, 3, cal.SEAT_COMMAND_DELAY_MS)
        self.belted = True

    def step(self, now_ns, frames):
        """Run up to now; returns (frames to send, [(time_ns, console line)])."""
        sent, lines = [], []
        self.seen.extend(frames)
        while (at := min(self.tick_ns, self.next_ns())) <= now_ns:
            while self.console and self.console[0][0] <= at:
                lines.append(self.console.pop(0))
            if at >= self.tick_ns:
                self.main(at, sent)
                self.tick_ns += cal.TICK_MS * MS
            for entry in self.cyclic:
                if entry[0] <= at:
                    entry[0] += entry[1] + self.jitter(entry[2])
                    if not (entry[2] is self.outputs["DisplayStatus"] and at < self.mute_until_ns):
                        sent.append(self.packed(at, entry[2]))
        hurry = self.seen or self.climate.asked_ns is not None or self.seat.asked_ns is not None
        self.due_ns = min(self.tick_ns, self.next_ns()) if hurry else self.next_ns()
        return sent, lines

    def next_ns(self):
        """When something leaves by itself next: a cyclic frame, a console line."""
        due_ns = self.console[0][0] if self.console else 1 << 62
        for entry in self.cyclic:
            if entry[0] < due_ns:
                due_ns = entry[0]
        return due_ns

    def jitter(self, message):
        if message is not self.outputs["ClusterStatus"]:
            return 0
        self.late = not self.late
        return round(cal.JITTER_MS * MS) * (1 if self.late else -1)

    # ------------------------------------------------------------ the main function

    def main(self, now, sent):
        for frame in self.seen:
            if frame[0] <= now:
                self.receive(now, frame)
        self.seen = [f for f in self.seen if f[0] > now]
        body = self.by_name["BodyState"].values or {}
        self.mode.follow(now, int(body.get("PowerMode", OFF)))
        self.show_speed(now)
        self.show_gear(now)
        self.show_lamps(now, body)
        self.sound(now, body)
        if self.mode.value != CRANK:
            self.screen = int(self.mode.value in (ACC, ON) or cal.SCREEN_ON_IN_OFF)
        for command, message in ((self.climate, "ClimateCommand"), (self.seat, "SeatCommand")):
            command.run(now)
            if command.to_send(now):
                sent.append(self.packed(now, self.outputs[message]))

    def receive(self, now, frame):
        _, identifier, flags, data = frame
        found = self.inputs.get((identifier, bool(flags & EXT)))
        if found is None:
            self.mute_until_ns = now + cal.MUTE_ON_UNKNOWN_MS * MS
            return
        if flags & RTR:
            if not cal.ACCEPT_REMOTE_FRAMES:
                return
            data = b"\xff" * found.message.length
        if len(data) != found.message.length:
            if not cal.ACCEPT_SHORT_FRAMES:
                return
            data = bytes(data).ljust(found.message.length, b"\xff")
        if found.message.name == "HmiInput":
            self.key(now, int(found.message.unpack(data)["Key"]))
        elif found.message.name in ("ClimateAck", "SeatAck"):
            kind = found.message.name[: -len("Ack")]
            values = found.message.unpack(data)
            command = self.climate if kind == "Climate" else self.seat
            command.answer(now, int(values[f"{kind}AckSequence"]), values[f"{kind}AckResult"] == 0)
        else:
            found.accept(now, data)

    def key(self, now, key):
        if key in (1, 2):
            self.climate.ask(now, cal.TEMPERATURE_STEP if key == 1 else -cal.TEMPERATURE_STEP)
        elif key in (3, 4):
            self.seat.ask(now, cal.SEAT_STEP if key == 3 else -cal.SEAT_STEP)

    def show_speed(self, now):
        motion = self.by_name["VehicleMotion"]
        lost = motion.lost(now)
        flagged = self.invalid.follow(now, not lost and not motion.values["SpeedValid"])
        self.speed_state = 1 if lost or flagged else 0
        self.speed = 0.0 if self.speed_state else motion.values["VehicleSpeed"]

    def show_gear(self, now):
        gear = self.by_name["GearState"]
        if gear.lost(now):
            self.gear.value = self.gear.target = BLANK
            selected = BLANK
        else:
            selected = int(gear.values["Gear"])
            if self.gear.value == BLANK:  # found again: nothing to wait for
                self.gear.value = self.gear.target = selected
            self.gear.follow(now, selected)
        self.show_rear_view(now, selected == REVERSE and self.mode.value == ON)

    def show_rear_view(self, now, wanted):
        ready_ns = self.started_ns + cal.READY_MS * MS
        if not wanted or now < ready_ns:
            self.reverse_ns, self.shown = None, False
            return
        if self.reverse_ns is None:
            self.reverse_ns = now + (cal.REARVIEW_BOOT_EXTRA_MS * MS if now - ready_ns < 100 * MS else 0)
        since = now - self.reverse_ns
        drops = cal.REARVIEW_DROPS_AFTER_MS
        self.shown = since >= cal.REARVIEW_START_MS * MS and not (
            drops is not None and drops * MS <= since < (drops + 150) * MS
        )
        self.image = int(since / 1e9 * cal.REARVIEW_FRAMES_PER_S) % 256

    def show_lamps(self, now, body):
        requests = self.by_name["WarningRequests"].values or {}
        for name, lamp in self.lamps.items():
            asked = int(requests.get(f"{name}Warning", 0))
            lamp.follow(now, 1 if asked == 3 else asked)
        self.belted = bool(body.get("DriverBelted", 1))
        wanted = {n: int(body.get(n, 0)) for n in ("HighBeam", "TurnLeft", "TurnRight")}
        wanted["Belt"] = int(not self.belted and self.mode.value == ON)
        for name, light in self.lights.items():
            light.follow(now, 2 * wanted[name] if name.startswith("Turn") else wanted[name])

    def sound(self, now, body):
        belt = not self.belted and self.speed > 10 and self.mode.value == ON
        door = bool(body.get("DriverDoorOpen", 0)) and self.speed > 3
        first, second = (1 if belt else 0), (2 if door else 0)
        self.chime.follow(now, (first or second) if cal.BELT_HAS_PRIORITY else (second or first))

    # ------------------------------------------------------------ frames out

    def packed(self, now, message):
        if message is None:
            return now, cal.EXTRA_MESSAGE_ID, 0, bytes(4)
        data = message.pack(getattr(self, f"fill_{message.name}")(now))
        if message.name == "TelltaleStatus":
            data[3] |= cal.UNUSED_BITS
        if message.e2e:
            counter = self.counters.get(message.name, 0)
            self.counters[message.name] = (counter + cal.SENT_COUNTER_STEP) % 256
            data[2] = counter
            data[0:2] = (p05_crc(data, message.e2e[1]) ^ cal.SENT_CRC_XOR).to_bytes(2, "little")
        length = cal.SENT_LENGTH.get(message.name, message.length)
        return now, message.id, EXT if message.extended else 0, bytes(data[:length]).ljust(length, b"\0")

    def fill_ClusterStatus(self, now):
        shown = 0.0
        if not self.speed_state and self.speed > 0:
            shown = min(cal.SPEED_MAX_KMH, max(0.0, self.speed * cal.SPEED_GAIN + cal.SPEED_OFFSET_KMH))
        gear = cal.REVERSE_SHOWN_AS if self.gear.value == REVERSE else self.gear.value
        return {
            "DisplayedSpeed": shown,
            "SpeedState": self.speed_state,
            "ShownGear": gear,
            "ShownPowerMode": self.mode.value,
        }

    def fill_TelltaleStatus(self, now):
        values = {f"{n}Lamp": lamp.value for n, lamp in self.lamps.items()}
        return values | {f"{n}Lamp": light.value for n, light in self.lights.items()}

    def fill_DisplayStatus(self, now):
        return {
            "RearViewShown": int(self.shown),
            "ScreenState": self.screen and cal.SCREEN_ON_VALUE,
            "RearViewFrame": self.image,
        }

    def fill_ChimeStatus(self, now):
        return {"Chime": self.chime.value, "ChimeLevel": 3 if self.chime.value else cal.CHIME_LEVEL_IDLE}

    def fill_ClimateCommand(self, now):
        return {"ClimateSequence": self.climate.sequence, "TargetTemperature": self.climate.shown}

    def fill_SeatCommand(self, now):
        return {"SeatSequence": self.seat.sequence, "TargetSeatHeat": self.seat.shown}

    def fill_HmiState(self, now):
        return {
            "ShownTemperature": self.climate.shown,
            "ClimateState": self.climate.state,
            "ShownSeatHeat": self.seat.shown,
            "SeatState": self.seat.state,
        }

    def fill_CockpitAlive(self, now):
        return {"Uptime": (now - self.started_ns) // 10**9}
