"""The cockpit's logic: what is shown, sounded and commanded, from what the communication has received."""

from common.com import MS, Delayed

from . import calibration as cal

OFF, ACC, ON, CRANK = range(4)
PARK, REVERSE, BLANK = 0, 1, 7
FULL_V = 12.5  # where the matrix tells no voltage
ACCEPT, DECLINE = 5, 6
LAMPS = ("Brake", "Abs", "Airbag", "Engine")
LIGHTS = ("HighBeam", "TurnLeft", "TurnRight", "Belt")


class Command:
    """A command with acknowledgement: idle, pending, confirmed, failed."""

    IDLE, PENDING, CONFIRMED, FAILED = range(4)

    def __init__(self, value, low, high, delay_ms):
        self.shown = self.confirmed = value
        self.low, self.high, self.delay_ns = low, high, delay_ms * MS
        self.sequence, self.state, self.asked_ns, self.sent_ns, self.acked_ns = 0, self.IDLE, None, None, None
        self.last_ns = -cal.COMMAND_GAP_MS * MS

    def ask(self, now_ns, change):
        self.shown = min(self.high, max(self.low, self.shown + change))
        self.sequence = (self.sequence + 1) % 256
        self.state, self.asked_ns, self.sent_ns, self.acked_ns = self.PENDING, now_ns, None, None

    def to_send(self, now_ns):
        early = now_ns - self.last_ns < cal.COMMAND_GAP_MS * MS
        if self.asked_ns is None or now_ns - self.asked_ns < self.delay_ns or early:
            return False
        self.asked_ns, self.sent_ns, self.last_ns = None, now_ns, now_ns
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
    """An application of common.com.Com: start, main, received, busy, and a function for every signal that is sent."""

    def __init__(self):
        self.roles = {
            "DisplayedSpeed": self.displayed_speed,
            "SpeedState": lambda now: self.speed_state,
            "ShownGear": lambda now: cal.REVERSE_SHOWN_AS if self.gear.value == REVERSE else self.gear.value,
            "ShownPowerMode": lambda now: self.mode.value,
            "RearViewShown": lambda now: int(self.shown),
            "ScreenState": lambda now: self.screen and cal.SCREEN_ON_VALUE,
            "RearViewFrame": lambda now: self.image,
            "Chime": lambda now: self.chime.value,
            "ChimeLevel": lambda now: 3 if self.chime.value else cal.CHIME_LEVEL_IDLE,
            "ClimateSequence": lambda now: self.climate.sequence,
            "TargetTemperature": lambda now: self.climate.shown,
            "SeatSequence": lambda now: self.seat.sequence,
            "TargetSeatHeat": lambda now: self.seat.shown,
            "ShownTemperature": lambda now: self.climate.shown,
            "ClimateState": lambda now: self.climate.state,
            "ShownSeatHeat": lambda now: self.seat.shown,
            "SeatState": lambda now: self.seat.state,
            "Uptime": lambda now: (now - self.com.started_ns) // 10**9,
            "SoftwareVersion": lambda now: 0x0140,
            "HardwareVersion": lambda now: 0x0002,
            "ResetCause": lambda now: 0,
            "LogCode": lambda now: 1,
            "LogTime": lambda now: (now - self.com.started_ns) // MS,
            "NmSource": lambda now: self.com.nm.node,
            "NmRepeatRequest": lambda now: 0,
            "NmActiveWakeUp": lambda now: int(self.com.nm.active and cal.NM_ACTIVE_WAKE_UP_BIT),
        }
        self.roles |= {f"{n}Lamp": lambda now, n=n: self.lamps[n].value for n in LAMPS}
        self.roles |= {f"{n}Lamp": lambda now, n=n: self.lights[n].value for n in LIGHTS}

    def start(self, now):
        """Power is on."""
        self.mode, self.gear = Delayed(OFF, cal.POWER_DELAY_MS), Delayed(BLANK, cal.GEAR_DELAY_MS)
        self.invalid = Delayed(True, cal.INVALID_SPEED_DELAY_MS)
        self.lamps = {n: Delayed(0, cal.TELLTALE_DELAY_MS) for n in LAMPS}
        self.lights = {n: Delayed(0, cal.LAMP_DELAY_MS) for n in LIGHTS}
        self.chime, self.screen = Delayed(0, cal.CHIME_DELAY_MS), 0
        self.reverse_ns, self.shown, self.image, self.speed, self.speed_state = None, False, 0, 0.0, 1
        self.climate = Command(22.0, 16.0, 32.0, cal.COMMAND_DELAY_MS)
        self.seat = Command(0, 0, 3, cal.SEAT_COMMAND_DELAY_MS)
        self.belted, self.logged_ns = True, now

    def wants_network(self):
        """Until it has heard the power mode, and while that is not off."""
        return int(self.com.get("PowerMode", ON)) != OFF

    def may_be_programmed(self):
        """The vehicle stands and is parked, and its battery will last."""
        lasts = self.com.get("BatteryVoltage", FULL_V) >= cal.PROGRAMMING_V
        return lasts and not self.com.get("VehicleSpeed", 0) and int(self.com.get("Gear", PARK)) == PARK

    def busy(self):
        """Whether the main function has something to do before the next frame comes."""
        return self.climate.asked_ns is not None or self.seat.asked_ns is not None

    def received(self, now, values):
        """A good frame's values."""
        if "Key" in values:
            self.key(now, int(values["Key"]))
        if "ClimateAckSequence" in values:
            self.climate.answer(now, int(values["ClimateAckSequence"]), values["ClimateAckResult"] == 0)
        if "SeatAckSequence" in values:
            self.seat.answer(now, int(values["SeatAckSequence"]), values["SeatAckResult"] == 0)

    def main(self, now):
        """The main function, once a tick."""
        self.mode.follow(now, int(self.com.get("PowerMode", OFF)))
        self.show_speed(now)
        self.show_gear(now)
        self.show_lamps(now)
        self.sound(now)
        if self.mode.value != CRANK:
            self.screen = int(self.mode.value in (ACC, ON) or cal.SCREEN_ON_IN_OFF)
        for command, role in ((self.climate, "TargetTemperature"), (self.seat, "TargetSeatHeat")):
            command.run(now)
            if command.to_send(now):
                for _ in range(cal.COMMAND_REPEATS):
                    self.com.send(now, role)
        if now - self.logged_ns >= 1000 * MS:
            self.logged_ns = now
            for _ in range(cal.LOG_FRAMES):
                self.com.send(now, "LogCode")

    def key(self, now, key):
        if key in (1, 2):
            self.climate.ask(now, cal.TEMPERATURE_STEP if key == 1 else -cal.TEMPERATURE_STEP)
        elif key in (3, 4):
            self.seat.ask(now, cal.SEAT_STEP if key == 3 else -cal.SEAT_STEP)
        elif key in (ACCEPT, DECLINE) and self.com.server and self.com.server.update:
            self.com.server.update.driver(key == ACCEPT)

    def show_speed(self, now):
        lost = self.com.lost(now, "VehicleMotion")
        flagged = self.invalid.follow(now, not lost and not self.com.get("SpeedValid"))
        self.speed_state = 1 if lost or flagged else 0
        self.speed = 0.0 if self.speed_state else self.com.get("VehicleSpeed")

    def show_gear(self, now):
        if self.com.lost(now, "GearState"):
            self.gear.value = self.gear.target = BLANK
            selected = BLANK
        else:
            selected = int(self.com.get("Gear"))
            if self.gear.value == BLANK:  # found again: nothing to wait for
                self.gear.value = self.gear.target = selected
            self.gear.follow(now, selected)
        self.show_rear_view(now, selected == REVERSE and self.mode.value == ON)

    def show_rear_view(self, now, wanted):
        ready_ns = self.com.started_ns + cal.READY_MS * MS
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

    def show_lamps(self, now):
        get = self.com.get
        for name, lamp in self.lamps.items():
            asked = int(get(f"{name}Warning", 0))
            lamp.follow(now, 1 if asked == 3 else asked)
        self.belted = bool(get("DriverBelted", 1))
        wanted = {n: int(get(n, 0)) for n in ("HighBeam", "TurnLeft", "TurnRight")}
        wanted["Belt"] = int(not self.belted and self.mode.value == ON)
        for name, light in self.lights.items():
            light.follow(now, 2 * wanted[name] if name.startswith("Turn") else wanted[name])

    def sound(self, now):
        belt = not self.belted and self.speed > 10 and self.mode.value == ON
        door = bool(self.com.get("DriverDoorOpen", 0)) and self.speed > 3
        first, second = (1 if belt else 0), (2 if door else 0)
        self.chime.follow(now, (first or second) if cal.BELT_HAS_PRIORITY else (second or first))

    def displayed_speed(self, now):
        if self.speed_state or self.speed <= 0:
            return 0.0
        return min(cal.SPEED_MAX_KMH, max(0.0, self.speed * cal.SPEED_GAIN + cal.SPEED_OFFSET_KMH))
