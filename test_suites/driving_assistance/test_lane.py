"""Leaving the lane: warned of, prevented, and left to a driver who means it."""

from harness.driving.scenario import EGO_WIDTH_M
from harness.marks import requirement

WARNING = {"left": "Vehicle.ADAS.LDW.Left.IsWarning", "right": "Vehicle.ADAS.LDW.Right.IsWarning"}
STEERS, CURVATURE = "Vehicle.ADAS.LKA.IsSteering", "Vehicle.ADAS.LKA.CurvatureRequest"


def side_of(case):
    return "left" if case.steering[0].drift_mps > 0 else "right"


def beyond_m(drive, time_s, side):
    """How far the wheel on that side is beyond the marking."""
    lateral = drive.ego(time_s).lateral_m
    return (lateral if side == "left" else -lateral) + EGO_WIDTH_M / 2 - drive.case.lane_m / 2


@requirement("LDW-WARN-001")
def test_warns_of_a_drift(vehicle, drive, scenarios, measure):
    for case in (*scenarios["LDW-DRIFT"], *scenarios["LDW-SLOW-DRIFT"], *scenarios["LDW-CURVE"]):
        driven, side = drive(case), side_of(case)
        warned = driven.first(WARNING[side], True)
        if warned is None:
            vehicle.complain(f"no warning of a drift to the {side} with {abs(case.steering[0].drift_mps)} m/s")
        measure("beyond_m", beyond_m(driven, warned, side), side=side, drift_mps=abs(case.steering[0].drift_mps))


@requirement("LDW-QUIET-001")
def test_does_not_warn_of_a_lane_change(drive, scenarios, measure):
    for case in scenarios["LDW-LANE-CHANGE"]:
        driven = drive(case)
        measure("warnings", sum(driven.first(path, True) is not None for path in WARNING.values()))


@requirement("LKA-KEEP-001")
def test_keeps_the_wheels_in(drive, scenarios, measure):
    for case in scenarios["LKA-DRIFT"]:
        driven, side = drive(case), side_of(case)
        farthest = max(beyond_m(driven, k / 100, side) for k in range(int(100 * case.duration_s)))
        measure("beyond_m", farthest, side=side, ego_kmh=case.ego_kmh)


@requirement("LKA-LIMITS-001")
def test_steers_gently(vehicle, drive, scenarios, parameters, measure):
    for case in scenarios["LKA-DRIFT"]:
        driven = drive(case)
        if driven.first(STEERS, True) is None:
            vehicle.complain(f"lane keeping never steers at {case.ego_kmh:g} km/h")
        square = driven.ego(0).speed_mps ** 2
        measure("lateral_mps2", square * max(map(abs, driven.values(CURVATURE))), ego_kmh=case.ego_kmh)
        jerk = driven.steepest(CURVATURE, parameters.jerk_over_s, times=square)
        measure("jerk_mps3", jerk, ego_kmh=case.ego_kmh)


@requirement("LKA-YIELD-001")
def test_lets_the_driver_change_lanes(drive, scenarios, measure):
    for case in scenarios["LDW-LANE-CHANGE"]:
        driven = drive(case)
        measure("interventions", int(driven.first(STEERS, True) is not None))
