"""Adaptive cruise control: follow, stop, keep to one's own lane, within limits."""

from harness.marks import requirement

BRAKING = "Vehicle.ADAS.AEB.IsBraking"
CONTROLS, ACCELERATION = "Vehicle.ADAS.ACC.IsControlling", "Vehicle.ADAS.ACC.AccelerationRequest"


def must_control(vehicle, drive):
    if drive.first(CONTROLS, True) is None:
        vehicle.complain("cruise control is switched on and never takes control")


def gap_s(drive, time_s, actor=0):
    return drive.other(time_s, actor).gap_m / max(drive.ego(time_s).speed_mps, 0.1)


@requirement("ACC-FOLLOW-001")
def test_follows_with_a_gap(vehicle, drive, scenarios, parameters, measure):
    for case in scenarios["ACC-FOLLOWING"]:
        driven = drive(case)
        must_control(vehicle, driven)
        measure("gap_s", min(gap_s(driven, k / 10) for k in range(int(10 * case.duration_s))))
        settled = driven.ego(parameters.settled_s).speed_mps * 3.6
        measure("speed_error_kmh", settled - case.actors[0].speed_kmh)


@requirement("ACC-CUTIN-001")
def test_opens_the_gap_after_a_cut_in(vehicle, drive, scenarios, measure):
    for case in scenarios["ACC-CUT-IN"]:
        driven = drive(case)
        must_control(vehicle, driven)
        measure("contacts", int(driven.contact is not None))
        measure("brakings", int(driven.first(BRAKING, True) is not None))
        measure("gap_s", gap_s(driven, case.duration_s))


@requirement("ACC-STOP-001")
def test_stops_behind_a_stopping_car(vehicle, drive, scenarios, measure):
    for case in scenarios["ACC-STOP"]:
        driven = drive(case)
        must_control(vehicle, driven)
        measure("contacts", int(driven.contact is not None))
        measure("brakings", int(driven.first(BRAKING, True) is not None))
        measure("speed_kmh", driven.ego(case.duration_s).speed_mps * 3.6)


@requirement("ACC-TARGET-001")
def test_follows_its_own_lane(vehicle, drive, scenarios, measure):
    for case in scenarios["ACC-TARGETS"]:
        driven = drive(case)
        must_control(vehicle, driven)
        measure("speed_error_kmh", driven.ego(case.duration_s).speed_mps * 3.6 - case.actors[0].speed_kmh)


@requirement("ACC-CURVE-001")
def test_follows_in_a_curve(vehicle, drive, scenarios, measure):
    for case in scenarios["ACC-CURVE"]:
        driven = drive(case)
        must_control(vehicle, driven)
        measure("speed_error_kmh", driven.ego(case.duration_s).speed_mps * 3.6 - case.actors[0].speed_kmh)


@requirement("ACC-LIMITS-001")
def test_demands_stay_within_limits(vehicle, drive, scenarios, parameters, measure):
    for name in ("ACC-CUT-IN", "ACC-STOP", "ACC-FREE"):
        for case in scenarios[name]:
            driven = drive(case)
            must_control(vehicle, driven)
            series = driven.series(ACCELERATION)
            points = [
                (driven.seconds(t), float(v)) for t, v in zip(series.time_ns.tolist(), series.values, strict=True)
            ]
            decel, allowed = worst_braking(driven, points, parameters)
            measure("decel_mps2", decel, allowed_mps2=allowed, scenario=name)
            measure("accel_mps2", max(v for _, v in points), scenario=name)
            measure("jerk_mps3", driven.steepest(ACCELERATION, parameters.jerk_over_s), scenario=name)


def worst_braking(drive, points, parameters):
    """(the demand that comes closest to its limit or goes farthest beyond it, that limit)."""
    span = parameters.fast_mps - parameters.slow_mps

    def allowed(time_s):
        part = min(1.0, max(0.0, (drive.ego(time_s).speed_mps - parameters.slow_mps) / span))
        return parameters.slow_decel_mps2 + part * (parameters.fast_decel_mps2 - parameters.slow_decel_mps2)

    return max(((-v, allowed(t)) for t, v in points), key=lambda one: one[0] - one[1])
