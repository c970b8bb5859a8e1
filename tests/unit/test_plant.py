"""The plant is the physics of the closed forms: braking distances, ramps, following of curves, and nothing random."""

import math

import pytest

from harness.driving.plant import STEP_S, Plant, place_of, touching
from harness.driving.scenario import Actor, Actuators, Scenario, Steering
from harness.model import Source

NOWHERE = Source(document="", clause="")


def case(ego_kmh, actors=(), duration_s=8.0, **fields):
    return Scenario(
        id="T", en="", zh="", source=NOWHERE, trust="P", ego_kmh=ego_kmh, duration_s=duration_s, actors=actors, **fields
    )


def driven(scenario, demands=(), steers=()):
    plant = Plant(scenario)
    for time_s, accel in demands:
        plant.demand(time_s, accel)
    for time_s, curvature in steers:
        plant.steer(time_s, curvature)
    for _ in range(round(scenario.duration_s / STEP_S)):
        plant.advance()
    return plant


def impact_kmh(ego_kmh, ttc_s, demand=9.0):
    """Brake when the time to collision with a stationary car is ttc_s."""
    scenario = case(ego_kmh, (Actor(gap_m=ego_kmh / 3.6 * 3),))
    plant = driven(scenario, [(3 - ttc_s, -demand)])
    seen = [plant.other(scenario.actors[0], ego) for ego in plant.history]
    k = next((k for k, other in enumerate(seen) if touching(scenario.actors[0], other)), None)
    if k is None:
        return 0.0
    part = seen[k - 1].gap_m / (seen[k - 1].gap_m - seen[k].gap_m)
    return -3.6 * (seen[k - 1].along_mps + part * (seen[k].along_mps - seen[k - 1].along_mps))


def needed_ttc_s(ego_kmh, delay_s=0.10, ramp_s=0.40, decel=9.0):
    """Delay, ramp, full braking, worked out by hand."""
    v, jerk = ego_kmh / 3.6, decel / ramp_s
    after = v - jerk * ramp_s**2 / 2
    return (v * delay_s + v * ramp_s - jerk * ramp_s**3 / 6 + after**2 / (2 * decel)) / v


def test_no_contact_at_42_needs_a_ttc_of_0_94():
    assert needed_ttc_s(42) == pytest.approx(0.943, abs=0.001)
    assert impact_kmh(42, 0.95) == 0
    assert impact_kmh(42, needed_ttc_s(42) + 1e-3) == 0
    assert 0 < impact_kmh(42, 0.93) < 7


def test_braking_at_0_90_from_60_hits_at_35_4():
    assert impact_kmh(60, 0.90) == pytest.approx(35.4, abs=0.05)


@pytest.mark.parametrize("ego_kmh", [10, 30, 42, 55, 60, 80])
def test_the_stopping_distance_is_the_closed_form(ego_kmh):
    stopped = driven(case(ego_kmh), [(1.0, -9.0)]).history[-1]
    assert stopped.speed_mps == 0
    assert stopped.along_m == pytest.approx(ego_kmh / 3.6 * (1.0 + needed_ttc_s(ego_kmh)), abs=1e-6)


def test_a_demand_is_limited_delayed_and_ramped():
    history = driven(case(60), [(0.5, -20.0)]).history
    assert history[60].accel_mps2 == 0  # 0.10 s after the demand
    assert history[80].accel_mps2 == pytest.approx(-4.5)
    assert history[100].accel_mps2 == pytest.approx(-9.0)


def test_other_actuators_brake_otherwise():
    slow = Actuators(delay_s=0.3, ramp_s=1.0, decel_mps2=6.0)
    assert driven(case(60, actuators=slow), [(0.0, -9.0)]).history[-1].along_m == pytest.approx(
        60 / 3.6 * needed_ttc_s(60, 0.3, 1.0, 6.0), abs=1e-6
    )


def test_released_brakes_let_it_roll_on():
    history = driven(case(60), [(0.5, -5.0), (1.5, 0.0)]).history
    assert history[-1].speed_mps == pytest.approx(60 / 3.6 - 5.0, abs=1e-6)  # the ramps are alike, so they cancel


def test_a_drift_is_as_fast_as_it_says_and_ends():
    history = driven(case(72, steering=(Steering(at_s=1.0, drift_mps=0.5, for_s=2.0),))).history
    assert (history[250].lateral_m - history[200].lateral_m) / 0.5 == pytest.approx(0.5, rel=0.01)
    assert history[400].lateral_m == pytest.approx(history[800].lateral_m, abs=0.02)
    assert history[-1].lateral_m == pytest.approx(1.0, rel=0.05)


def test_a_steered_curve_has_its_radius():
    history = driven(case(72), steers=[(0.0, 0.01)]).history
    turned = history[-1].heading_rad - history[200].heading_rad
    assert turned == pytest.approx(20 * 0.01 * 6.0, rel=1e-3)
    assert history[300].yaw_rate_radps == pytest.approx(0.2)


def test_in_a_curve_what_is_ahead_in_the_lane_is_seen_beside():
    scenario = case(60, (Actor(gap_m=50.0, lateral_m=0.0),), radius_m=250.0)
    plant = Plant(scenario)
    assert plant.other(scenario.actors[0], plant.history[0]).left_m == pytest.approx(50**2 / 2 / 250)


def test_actors_brake_to_their_speed_cross_and_change_lanes():
    scenario = case(0)
    braking = Actor(gap_m=10.0, speed_kmh=72, accel_mps2=-4.0, accel_at_s=1.0)
    assert place_of(scenario, braking, 10.0) == pytest.approx((10 + 20 + 50, 0, 0, 0))
    cutting_in = Actor(gap_m=10.0, speed_kmh=36, lateral_m=3.5, moves_to_m=0.0, moves_at_s=2.0, moves_over_s=3.5)
    assert place_of(scenario, cutting_in, 3.75) == pytest.approx((47.5, 1.75, 10, -1.0))
    crossing = case(36, (Actor(kind="child", ttc_s=4.0, crossing_kmh=5.0),))
    assert place_of(crossing, crossing.actors[0], 4.0)[:2] == pytest.approx((40.0, 0.0))


def test_the_same_again_is_the_same():
    first, second = (driven(case(53), [(0.333, -3.0), (0.9, -7.0)], [(0.2, 0.004)]).history for _ in range(2))
    assert first == second
    assert all(math.isfinite(e.along_m) for e in first)
