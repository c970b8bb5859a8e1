"""The vehicle and the traffic around it as physics: deterministic, exact between the moments at which something changes.

Along the road: a demand takes effect after a pure delay, then acceleration follows it on a ramp, within limits. Across it: a
kinematic single-track on a road of constant curvature. Pure: no clock, no bus, no noise.
"""

import bisect
import math
from dataclasses import dataclass

from harness.driving.scenario import EGO_LENGTH_M, EGO_WIDTH_M, SIZE_M, Actor, Scenario, start_of

STEP_S = 0.01
STEER_IN_S = 0.5  # how long the driver takes to turn into a drift, and out of it


@dataclass(frozen=True, slots=True)
class Ego:
    """The ego vehicle at one moment: seconds, metres, m/s, radians; lateral and heading relative to its lane, left positive."""

    time_s: float
    along_m: float
    speed_mps: float
    accel_mps2: float
    lateral_m: float
    heading_rad: float
    curvature_1pm: float  # of its path

    @property
    def yaw_rate_radps(self) -> float:
        return self.speed_mps * self.curvature_1pm


@dataclass(frozen=True, slots=True)
class Other:
    """Another road user at one moment, seen from the ego vehicle's front: gap to its rear, its middle to the left, its speeds."""

    gap_m: float
    left_m: float
    along_mps: float
    across_mps: float


class Plant:
    """The ego vehicle of a scenario; `demand` and `steer` say what it is asked, `advance` lets time pass."""

    def __init__(self, case: Scenario) -> None:
        self.case, self.actuators = case, case.actuators
        self.road_1pm = 1 / case.radius_m if case.radius_m else 0.0
        self.time_s = self.along_m = self.accel = self.target = 0.0
        self.speed = case.ego_kmh / 3.6
        self.lateral_m = self.heading = self.assist = self.assist_target = 0.0
        self.demands: list[tuple[float, float]] = []  # when it takes effect, acceleration
        self.steers: list[tuple[float, float]] = []  # when it takes effect, curvature
        self.pulses = pulses(case)
        self.history = [self.now()]

    def now(self) -> Ego:
        return Ego(
            self.time_s,
            self.along_m,
            self.speed,
            self.accel,
            self.lateral_m,
            self.heading,
            self.road_1pm + self.driver() + self.assist,
        )

    # ------------------------------------------------------------ what it is asked

    def demand(self, time_s: float, accel_mps2: float) -> None:
        """An acceleration (negative: braking) asked for at this time."""
        limited = max(-self.actuators.decel_mps2, min(self.actuators.accel_mps2, accel_mps2))
        bisect.insort(self.demands, (time_s + self.actuators.delay_s, limited), key=lambda one: one[0])

    def steer(self, time_s: float, curvature_1pm: float) -> None:
        """A curvature asked for at this time, on top of what the driver steers."""
        bisect.insort(self.steers, (time_s + self.actuators.steering_delay_s, curvature_1pm), key=lambda one: one[0])

    # ------------------------------------------------------------ time

    def advance(self) -> None:
        """One step; what it was like after it is added to the history."""
        end_s = STEP_S * len(self.history)
        while self.time_s < end_s - 1e-9:
            while self.demands and self.demands[0][0] <= self.time_s + 1e-9:
                self.target = self.demands.pop(0)[1]
            until_s = min(end_s, self.demands[0][0]) if self.demands else end_s
            self.move(until_s - self.time_s)
        self.time_s = end_s
        self.turn(STEP_S)
        self.history.append(self.now())

    def move(self, seconds: float) -> None:
        """At most `seconds` along the road, up to the next moment at which jerk or speed change their law: exact."""
        ramp = self.actuators.decel_mps2 / self.actuators.ramp_s
        missing = self.target - self.accel
        jerk = math.copysign(ramp, missing) if missing else 0.0
        dt = min(seconds, abs(missing) / ramp) if missing else seconds
        if self.speed <= 0 and self.accel <= 0 and self.target <= 0:
            self.speed, self.accel, self.time_s = 0.0, 0.0, self.time_s + seconds
            return
        after = self.speed + self.accel * dt + jerk * dt * dt / 2
        if after < 0:
            dt = min(dt, stops_after(self.speed, self.accel, jerk))
            after = 0.0
        self.along_m += self.speed * dt + self.accel * dt * dt / 2 + jerk * dt**3 / 6
        reached = missing and dt >= abs(missing) / ramp - 1e-12
        self.accel = self.target if reached else self.accel + jerk * dt
        self.speed = after
        if after == 0 and self.accel < 0:
            self.accel = 0.0
            if self.target < 0:  # it stands, and its brakes hold it
                dt = seconds
        self.time_s += dt

    def turn(self, dt: float) -> None:
        """Across the road, for one step."""
        while self.steers and self.steers[0][0] <= self.time_s + 1e-9:
            self.assist_target = self.steers.pop(0)[1]
        most = self.actuators.steering_rate_1pms * dt
        self.assist += max(-most, min(most, self.assist_target - self.assist))
        self.heading += self.speed * (self.driver() + self.assist) * dt
        self.lateral_m += self.speed * math.sin(self.heading) * dt

    def driver(self) -> float:
        """The curvature that the driver adds to the road's."""
        return sum(k for start, end, k in self.pulses if start <= self.time_s < end)

    # ------------------------------------------------------------ what is around

    def other(self, actor: Actor, ego: Ego) -> Other:
        """A road user at the same moment, in the ego vehicle's own directions."""
        ahead_m, left_m, along, across = place_of(self.case, actor, ego.time_s)
        ahead_m -= ego.along_m
        left_m -= ego.lateral_m - self.road_1pm * ahead_m * ahead_m / 2
        cos, sin = math.cos(ego.heading_rad), math.sin(ego.heading_rad)
        return Other(
            ahead_m * cos + left_m * sin,
            left_m * cos - ahead_m * sin,
            along - ego.speed_mps * cos,
            across - ego.speed_mps * sin,
        )


def pulses(case: Scenario) -> list[tuple[float, float, float]]:
    """(from, to, curvature): the driver turns into a drift and, when it ends, out of it."""
    found, speed = [], max(case.ego_kmh / 3.6, 1.0)
    for one in case.steering:
        curvature = math.asin(max(-0.9, min(0.9, one.drift_mps / speed))) / STEER_IN_S / speed
        found.append((one.at_s, one.at_s + STEER_IN_S, curvature))
        found.append((one.at_s + one.for_s, one.at_s + one.for_s + STEER_IN_S, -curvature))
    return found


def stops_after(speed: float, accel: float, jerk: float) -> float:
    """How long until the speed is zero.

    >>> stops_after(10.0, -5.0, 0.0)
    2.0
    """
    if not jerk:
        return -speed / accel
    root = math.sqrt(max(0.0, accel * accel - 2 * jerk * speed))
    return min(t for t in ((-accel - root) / jerk, (-accel + root) / jerk) if t >= 0)


def place_of(case: Scenario, actor: Actor, time_s: float) -> tuple[float, float, float, float]:
    """(along from the ego vehicle's start, across, speed along, speed across) of a road user: m and m/s."""
    gap_m, lateral_m = start_of(case, actor)
    speed, end = actor.speed_kmh / 3.6, actor.accel_to_kmh / 3.6
    along, now = gap_m + speed * min(time_s, actor.accel_at_s), speed
    if time_s > actor.accel_at_s:
        dt = time_s - actor.accel_at_s
        changing = min(dt, (end - speed) / actor.accel_mps2) if actor.accel_mps2 else 0.0
        changing = max(0.0, changing)
        now = speed + actor.accel_mps2 * changing
        along += speed * changing + actor.accel_mps2 * changing**2 / 2 + now * (dt - changing)
    across, sideways = lateral_m + actor.crossing_kmh / 3.6 * time_s, actor.crossing_kmh / 3.6
    if actor.moves_to_m is not None:
        part = max(0.0, min(1.0, (time_s - actor.moves_at_s) / actor.moves_over_s))
        across = lateral_m + (actor.moves_to_m - lateral_m) * part
        sideways = (actor.moves_to_m - lateral_m) / actor.moves_over_s if 0 < part < 1 else 0.0
    return along, across, now, sideways


def touching(actor: Actor, seen: Other) -> bool:
    """Whether the two vehicles overlap."""
    length_m, width_m = SIZE_M[actor.kind]
    return -(EGO_LENGTH_M + length_m) < seen.gap_m <= 0 and abs(seen.left_m) < (EGO_WIDTH_M + width_m) / 2
