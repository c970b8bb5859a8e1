"""Vehicles beside and behind that a mirror does not show."""

from harness.driving.scenario import EGO_LENGTH_M, EGO_WIDTH_M, SIZE_M
from harness.marks import requirement

WARNING = {"left": "Vehicle.ADAS.BSD.Left.IsWarning", "right": "Vehicle.ADAS.BSD.Right.IsWarning"}
OTHER_LENGTH_M, OTHER_WIDTH_M = SIZE_M["car"]


def entered_s(drive, parameters):
    """When the other vehicle came into the zone: beside the ego vehicle, or up to so far behind it."""
    nearest, farthest = parameters.side_m
    for k, other in enumerate(drive.others[0]):
        front = other.gap_m + OTHER_LENGTH_M
        side = abs(other.left_m) - (EGO_WIDTH_M + OTHER_WIDTH_M) / 2
        if (
            -(EGO_LENGTH_M + parameters.rear_m) <= front
            and other.gap_m <= -EGO_LENGTH_M / 2
            and nearest <= side <= farthest
        ):
            return k / 100
    return None


def delay_ms(vehicle, drive, parameters):
    """From the other vehicle's entry to the signal on its side; 0 where the signal was there before."""
    side = "left" if drive.case.actors[0].lateral_m > 0 else "right"
    entered, warned = entered_s(drive, parameters), drive.first(WARNING[side], True)
    if warned is None:
        vehicle.complain(f"a vehicle in the blind spot on the {side} is never signalled")
    return max(0.0, 1000 * (warned - entered)), side


@requirement("BSD-WARN-001")
def test_signals_a_passing_car(vehicle, drive, scenarios, parameters, measure):
    for case in scenarios["BSD-PASSED"]:
        driven = drive(case)
        delay, side = delay_ms(vehicle, driven, parameters)
        closing = case.actors[0].speed_kmh - case.ego_kmh
        measure("delay_ms", delay, side=side, closing_kmh=closing)
        other = WARNING["right" if side == "left" else "left"]
        measure("other_side", int(driven.first(other, True) is not None), side=side, closing_kmh=closing)


@requirement("BSD-FREE-001")
def test_does_not_signal_what_is_elsewhere(drive, scenarios, measure):
    for case in scenarios["BSD-FREE"]:
        driven = drive(case)
        measure("warnings", sum(driven.first(path, True) is not None for path in WARNING.values()))


@requirement("BSD-OVERTAKE-001")
def test_signals_a_car_that_falls_behind(vehicle, drive, scenarios, parameters, measure):
    for case in scenarios["BSD-OVERTAKING"]:
        driven = drive(case)
        measure("delay_ms", delay_ms(vehicle, driven, parameters)[0])
