"""What object-level sensors report of the plant: late, noisy, with gaps, and wrong where the scenario says so.

Every random number comes from the case's seed, a fixed number for each sample, so that the same case sees the same.
"""

import random
from collections.abc import Iterator

from harness.driving.plant import STEP_S, Other, Plant
from harness.driving.scenario import MOST_ACTORS, Fault
from harness.model import Value

EGO, OBJECTS, LANES = "ego", "objects", "lanes"
SEES_M = (-60.0, 160.0)
KINDS = {
    "car": "Car",
    "pedestrian": "Pedestrian",
    "child": "Pedestrian",
    "bicycle": "Bicycle",
    "motorcycle": "Motorcycle",
}
SPEED, SPEED_VALID = "Vehicle.Speed", "Vehicle.IsSpeedValid"
YAW_RATE, ACCELERATION = "Vehicle.AngularVelocity.Yaw", "Vehicle.Acceleration.Longitudinal"
PERCEPTION = "Vehicle.ADAS.Perception"
LANE = f"{PERCEPTION}.Lane"
DEGREE = 57.29577951308232
PATHS = {
    EGO: (SPEED, SPEED_VALID, YAW_RATE, ACCELERATION),
    OBJECTS: (
        f"{PERCEPTION}.State",
        f"{PERCEPTION}.Latency",
        *(
            f"{PERCEPTION}.Object{n}.{what}"
            for n in range(1, MOST_ACTORS + 1)
            for what in ("IsTracked", "Kind", "Confidence", "Distance", "Lateral", "RelativeSpeed", "LateralSpeed")
        ),
    ),
    LANES: (f"{LANE}.LeftOffset", f"{LANE}.RightOffset", f"{LANE}.Heading", f"{LANE}.Curvature", f"{LANE}.IsDetected"),
}
WORDS = (  # what of them is said in words, and so must be in a submission's value tables
    *((f"{PERCEPTION}.State", word) for word in ("Ok", "Blind")),
    *(
        (f"{PERCEPTION}.Object{n}.Kind", word)
        for n in range(1, MOST_ACTORS + 1)
        for word in sorted(set(KINDS.values()))
    ),
)


class Sensing:
    """The sensors of one case; `values(channel)` is what they report now, by VSS path."""

    def __init__(self, plant: Plant) -> None:
        self.plant, self.case = plant, plant.case
        self.random = random.Random(f"{plant.case.id}/{plant.case.seed}")

    def faults(self, channel: str, kind: str) -> Iterator[Fault]:
        """Those of a kind that are at work now."""
        now_s = self.plant.time_s
        for fault in self.case.faults:
            if fault.kind == kind and fault.channel == channel and fault.at_s <= now_s < fault.at_s + fault.for_s:
                yield fault

    def values(self, channel: str) -> dict[str, Value]:
        return {EGO: self.ego, OBJECTS: self.objects, LANES: self.lanes}[channel]()

    def ego(self) -> dict[str, Value]:
        ego = self.plant.history[-1]
        return {
            SPEED: ego.speed_mps * 3.6,
            SPEED_VALID: not any(self.faults(EGO, "invalid")),
            YAW_RATE: ego.yaw_rate_radps * DEGREE,
            ACCELERATION: ego.accel_mps2,
        }

    def lanes(self) -> dict[str, Value]:
        ego, half = self.plant.history[-1], self.case.lane_m / 2
        noise = self.random.gauss(0, self.case.sensors.noise_m / 5)
        return {
            f"{LANE}.LeftOffset": half - ego.lateral_m + noise,
            f"{LANE}.RightOffset": -half - ego.lateral_m + noise,
            f"{LANE}.Heading": -ego.heading_rad,
            f"{LANE}.Curvature": self.plant.road_1pm,
            f"{LANE}.IsDetected": not any(self.faults(LANES, "blind")),
        }

    def objects(self) -> dict[str, Value]:
        latency_s = self.case.sensors.latency_s + sum(f.value for f in self.faults(OBJECTS, "late"))
        blind = any(self.faults(OBJECTS, "blind"))
        found: dict[str, Value] = {
            f"{PERCEPTION}.State": "Blind" if blind else "Ok",
            f"{PERCEPTION}.Latency": latency_s * 1000,
        }
        ego = self.plant.history[max(0, len(self.plant.history) - 1 - round(latency_s / STEP_S))]
        for n in range(MOST_ACTORS):
            seen = self.plant.other(self.case.actors[n], ego) if n < len(self.case.actors) else None
            kind = self.case.actors[n].kind if n < len(self.case.actors) else "car"
            found |= self.slot(n, seen, kind, blind)
        return found

    def slot(self, n: int, seen: Other | None, kind: str, blind: bool) -> dict[str, Value]:
        """One place in the object list; ghosts take the last."""
        sensors, gauss = self.case.sensors, self.random.gauss
        dropped = self.random.random() < sensors.dropout
        noise = (gauss(0, sensors.noise_m), gauss(0, sensors.noise_m), gauss(0, sensors.noise_mps))
        for ghost in self.faults(OBJECTS, "ghost"):
            if n == MOST_ACTORS - 1:
                seen, dropped = Other(ghost.value, 0.0, -self.plant.speed, 0.0), False
        here = f"{PERCEPTION}.Object{n + 1}"
        if seen is None or blind or dropped or not SEES_M[0] <= seen.gap_m <= SEES_M[1]:
            return {f"{here}.IsTracked": False}
        nearer_m = sum(f.value for f in self.faults(OBJECTS, "jump")) if n == 0 else 0.0
        return {
            f"{here}.IsTracked": True,
            f"{here}.Kind": KINDS[kind],
            f"{here}.Confidence": 100 * sensors.confidence,
            f"{here}.Distance": seen.gap_m - nearer_m + noise[0],
            f"{here}.Lateral": seen.left_m + noise[1],
            f"{here}.RelativeSpeed": seen.along_mps + noise[2],
            f"{here}.LateralSpeed": seen.across_mps,
        }
