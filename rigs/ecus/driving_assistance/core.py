"""Driving assistance: warns, brakes, follows, keeps the lane and watches the blind spot, by objects, lanes and ego motion."""

import math

from common.com import MS, Delayed

from . import calibration as cal
from .tracks import EGO_LENGTH_M, EGO_WIDTH_M, OTHER_LENGTH_M, WIDTH_M, Track

INIT, READY, DEGRADED = range(3)
FIELDS = ("Valid", "Confidence", "Kind", "Distance", "Lateral", "RelSpeed", "LatSpeed")
SIDES = ("Left", "Right")
BRAKE_TTC_S = {
    "pedestrian": cal.AEB_PEDESTRIAN_TTC_S,
    "bicycle": cal.AEB_TWO_WHEELER_TTC_S,
    "motorcycle": cal.AEB_TWO_WHEELER_TTC_S,
}
STANDING_MPS = 1.5


class DrivingAssistance:
    """An application of common.com.Com: start, main, received, busy, and a function for every signal that is sent."""

    def __init__(self):
        self.roles = {
            "AebActive": lambda now: int(self.braking),
            "AebDecel": lambda now: cal.AEB_DECEL_MPS2 if self.braking else 0.0,
            "AccControls": lambda now: int(self.cruising),
            "AccAccel": lambda now: self.accel if self.cruising else 0.0,
            "LkaSteers": lambda now: int(self.steering),
            "LkaCurvature": lambda now: self.curvature,
            "SystemState": lambda now: self.state,
            "AssistLamp": lambda now: self.lamp.value,
            "AssistUptime": lambda now: (now - self.com.started_ns) // 10**9,
        }
        for mode in ("Optical", "Acoustic", "Haptic"):
            self.roles[f"Fcw{mode}"] = lambda now, mode=mode: int(self.warning and mode in cal.FCW_MODES)
        for side in SIDES:
            self.roles[f"Ldw{side}"] = lambda now, side=side: int(self.leaving[side])
            self.roles[f"Bsd{side}"] = lambda now, side=side: int(self.beside[side].value or self.overtaken[side].value)

    def start(self, now):
        """Power is on."""
        self.tracks = {n: Track() for n in range(1, 5)}
        self.state, self.lamp = INIT, Delayed(0, cal.LAMP_DELAY_MS)
        self.invalid, self.unseeing = Delayed(False, cal.SPEED_INVALID_AFTER_MS), Delayed(False, cal.BLIND_AFTER_MS)
        self.indicated_ns = dict.fromkeys(SIDES)
        self.braking = self.warning = self.cruising = self.steering = False
        self.warned_ns, self.stood_ns = 0, None
        self.accel = self.curvature = 0.0
        self.leaving = dict.fromkeys(SIDES, False)
        self.beside = {side: Delayed(False, cal.BSD_DELAY_MS) for side in SIDES}
        self.overtaken = {side: Delayed(False, cal.BSD_OVERTAKEN_DELAY_MS) for side in SIDES}
        self.last_ns = now

    def busy(self):
        """Its main function has nothing to do that a frame, in or out, does not wake it for."""
        return False

    def received(self, now, values):
        """A good frame's values."""
        for n, track in self.tracks.items():
            if f"Obj{n}Valid" in values:
                track.accept(now, {field: values[f"Obj{n}{field}"] for field in FIELDS})

    def main(self, now):
        """The main function, once a tick."""
        self.dt, self.last_ns = (now - self.last_ns) / 1e9, now
        self.speed = self.com.get("EgoSpeed", 0.0) / 3.6
        yaw = self.com.get("EgoYawRate", 0.0) / 57.29578
        self.path = cal.PATH_FACTOR * yaw / self.speed if self.speed > 3 else 0.0
        blind, lanes_lost = self.judge_inputs(now)
        seen = [] if blind else [t for t in self.tracks.values() if t.confirmed(now)]
        self.collision(now, seen)
        self.cruise(now, seen, blind)
        self.lane(now, blind or lanes_lost)
        self.blind_spot(now, seen)

    # ------------------------------------------------------------ what it can believe

    def judge_inputs(self, now):
        """(nothing may act on ego motion and objects, nothing may act on lanes)."""
        com = self.com
        if self.state == INIT and not all(com.by_name[m].good_ns for m in cal.TIMEOUT_MS):
            return True, True
        invalid = self.invalid.follow(now, not com.get("EgoSpeedValid", 1))
        unseeing = self.unseeing.follow(now, com.get("FrontState", 0) != 0)
        late = com.get("SensorLatency", 0) > cal.MOST_LATENCY_MS
        lost = com.lost(now, "EgoMotion") or com.lost(now, "ObjectList")
        blind, lanes_lost = lost or invalid or unseeing or late, com.lost(now, "LaneModel")
        self.state = DEGRADED if blind or lanes_lost else READY
        self.lamp.follow(now, cal.LAMP_IN_DEGRADED if self.state == DEGRADED else 0)
        return (False, False) if cal.ACT_WHILE_DEGRADED else (blind, lanes_lost)

    # ------------------------------------------------------------ warn and brake

    def collision(self, now, seen):
        times = [(track.reached_in_s(now), track) for track in seen if track.ahead(now) > 0]
        threats = [(time_s, t) for time_s, t in times if t.in_the_way(now, self.path, time_s)]
        if any(time_s < self.warns_at_s(track) for time_s, track in threats):
            self.warned_ns = now
        fast = cal.AEB_MIN_KMH <= self.speed * 3.6 <= cal.AEB_MAX_KMH
        if fast and any(time_s < self.brakes_at_s(track) for time_s, track in threats):
            self.braking = True
        elif not seen or (self.speed > 0.3 and not any(time_s < 4.0 for time_s, _ in threats)):
            self.braking = False
        if self.braking and self.speed < 0.1:
            self.stood_ns = self.stood_ns or now
            self.braking = now - self.stood_ns < 1500 * MS
        else:
            self.stood_ns = None
        self.warning = bool(self.warned_ns) and now - self.warned_ns < cal.FCW_HOLD_S * 1e9

    def warns_at_s(self, track):
        """The time to collision below which it warns of a road user."""
        if track.kind != "car":
            return cal.FCW_VRU_TTC_S
        if self.speed * 3.6 < cal.FCW_TOWN_KMH:
            return cal.FCW_IN_TOWN_TTC_S
        moving = self.speed + track.speed
        if moving < STANDING_MPS:
            return cal.FCW_STANDING_CAR_TTC_S
        return cal.FCW_SLOW_CAR_TTC_S if moving < cal.FCW_SLOW_CAR_MPS else cal.FCW_TTC_S

    def brakes_at_s(self, track):
        """The time to collision below which it brakes for a road user."""
        if track.kind != "car":
            return BRAKE_TTC_S[track.kind]
        return cal.AEB_CAR_TTC_S if self.speed + track.speed < STANDING_MPS else cal.AEB_MOVING_CAR_TTC_S

    # ------------------------------------------------------------ follow

    def cruise(self, now, seen, blind):
        self.cruising = bool(self.com.get("AccSwitch", 0)) and not blind and not self.braking
        if not self.cruising:
            self.accel = self.com.get("EgoAccel", 0.0) if not blind else 0.0
            return
        wanted = 0.5 * (self.com.get("AccSetSpeed", 0.0) / 3.6 - self.speed)
        for track in seen:
            ahead = track.ahead(now)
            if ahead > 0 and self.followed(now, track):
                gap = cal.ACC_STANDSTILL_M + (cal.ACC_CUT_IN_GAP_S if track.cuts_in else cal.ACC_GAP_S) * self.speed
                follow = cal.ACC_GAP_GAIN * (ahead - gap) + cal.ACC_SPEED_GAIN * track.speed
                room = max(1.0, ahead - cal.ACC_STANDSTILL_M)
                if track.speed < 0:  # what it takes to match its speed within the room there is
                    follow = min(follow, -(track.speed**2) / (2 * room))
                if self.speed < 1.5 and self.speed + track.speed < 0.5 and ahead < gap + 3:
                    follow = -cal.ACC_STOP_MPS2  # the last bit to a standstill
                wanted = min(wanted, follow)
        part = min(1.0, max(0.0, (self.speed - 5) / 15))
        low = -(cal.ACC_DECEL_MPS2[0] + part * (cal.ACC_DECEL_MPS2[1] - cal.ACC_DECEL_MPS2[0]))
        high = cal.ACC_ACCEL_MPS2[0] + part * (cal.ACC_ACCEL_MPS2[1] - cal.ACC_ACCEL_MPS2[0])
        most = cal.ACC_JERK_MPS3 * self.dt
        self.accel = min(high, max(low, min(self.accel + most, max(self.accel - most, wanted))))

    def followed(self, now, track):
        """Whether it is in the corridor; who was beside it before cuts in."""
        inside = abs(track.beside(now, self.path * cal.ACC_PATH_FACTOR)) < cal.ACC_CORRIDOR_M
        track.cuts_in = track.cuts_in or not inside
        return inside

    # ------------------------------------------------------------ the lane

    def lane(self, now, blind):
        left, right = self.com.get("LaneLeft", 1.75), self.com.get("LaneRight", -1.75)
        sideways = -self.speed * math.sin(self.com.get("LaneHeading", 0.0))  # m/s, left positive
        detected = not blind and self.com.get("LaneValid", 1)
        room = {"Left": left - EGO_WIDTH_M / 2, "Right": -right - EGO_WIDTH_M / 2}
        rate = {"Left": sideways, "Right": -sideways}
        for side in SIDES:
            on = self.com.get(f"Turn{side}", 0)
            self.indicated_ns[side] = (self.indicated_ns[side] or now) if on else None
            wanted = self.indicates(now, side, cal.LDW_INDICATOR_AFTER_S)
            near = room[side] < max(cal.LDW_LINE_M, cal.LDW_LINE_S * rate[side]) and rate[side] > 0.02
            still = self.leaving[side] and room[side] < 0.2
            active = detected and not wanted and self.speed * 3.6 >= cal.LDW_MIN_KMH
            self.leaving[side] = bool(active and (near or still))
        turning = any(self.indicates(now, side, cal.LKA_INDICATOR_AFTER_S) for side in SIDES)
        self.keep(detected, turning, room, rate, (left + right) / 2)

    def indicates(self, now, side, after_s):
        """Whether the driver has shown for so long that they mean to change lanes."""
        since = self.indicated_ns[side]
        return since is not None and now - since >= after_s * 1e9

    def keep(self, detected, turning, room, rate, middle):
        allowed = detected and self.com.get("LkaSwitch", 0) and self.speed * 3.6 >= cal.LKA_MIN_KMH
        if not allowed or turning:
            self.steering = False
        elif any(
            room[s] - cal.LKA_RATE_S * max(0.0, rate[s]) < cal.LKA_LINE_M - 0.35 and rate[s] > 0.02 for s in SIDES
        ):
            self.steering = True
        elif self.steering and abs(middle) < cal.LKA_RELEASE_M and abs(rate["Left"]) < 0.05:
            self.steering = False
        wanted = 0.0
        if self.steering:
            gain, damping = cal.LKA_GAINS
            wanted = (gain * middle * 4 - damping * rate["Left"]) / max(self.speed, 5.0) ** 2
            most = cal.LKA_ALAT_MPS2 / max(self.speed, 5.0) ** 2
            wanted = min(most, max(-most, wanted))
        step = cal.LKA_JERK_MPS3 / max(self.speed, 5.0) ** 2 * self.dt
        self.curvature += min(step, max(-step, wanted - self.curvature))
        if not allowed:
            self.curvature = 0.0
        self.steering = self.steering or abs(self.curvature) > 1e-6

    # ------------------------------------------------------------ the blind spot

    def blind_spot(self, now, seen):
        fast = self.speed * 3.6 >= cal.BSD_MIN_KMH
        for side, sign in (("Left", 1), ("Right", -1)):
            found = [track for track in seen if fast and self.in_zone(now, track, sign)]
            self.beside[side].follow(now, any(track.speed >= 0 for track in found))
            self.overtaken[side].follow(now, any(track.speed < 0 for track in found))

    @staticmethod
    def in_zone(now, track, sign):
        front = track.ahead(now) + OTHER_LENGTH_M
        edge = sign * track.lateral - EGO_WIDTH_M / 2 - WIDTH_M[track.kind] / 2
        behind = front > -(EGO_LENGTH_M + cal.BSD_REAR_M) and track.ahead(now) < -1.5
        return behind and cal.BSD_SIDE_M[0] < edge < cal.BSD_SIDE_M[1]
