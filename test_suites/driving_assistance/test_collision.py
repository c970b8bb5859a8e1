"""Warning and emergency braking, and leaving both alone."""

from harness.marks import requirement

BRAKING, DEMAND = "Vehicle.ADAS.AEB.IsBraking", "Vehicle.ADAS.AEB.DecelerationRequest"
MODES = ("Vehicle.ADAS.FCW.IsOptical", "Vehicle.ADAS.FCW.IsAcoustic", "Vehicle.ADAS.FCW.IsHaptic")


def failed_runs(drive, cases, parameters):
    """The part of the runs, in %, whose impact is faster than the limit for their speed; and what each run came to."""
    limits = dict(zip(parameters.speeds_kmh, parameters.impact_max_kmh, strict=True))
    impacts = [(case, drive(case).impact_kmh()) for case in cases]
    failed = sum(impact > limits[case.ego_kmh] for case, impact in impacts)
    runs = ", ".join(f"{case.ego_kmh:g}: {impact:.1f}" for case, impact in impacts)
    return 100 * failed / len(cases), runs


@requirement("AEB-CCRS-001")
def test_stationary_car(drive, scenarios, parameters, measure):
    failed, runs = failed_runs(drive, scenarios["AEB-CCRS"], parameters)
    measure("failed_runs", failed, impacts_kmh=runs)


@requirement("AEB-CCRM-001")
def test_moving_car(drive, scenarios, parameters, measure):
    failed, runs = failed_runs(drive, scenarios["AEB-CCRM"], parameters)
    measure("failed_runs", failed, impacts_kmh=runs)


@requirement("AEB-PED-001")
def test_crossing_child(drive, scenarios, parameters, measure):
    failed, runs = failed_runs(drive, scenarios["AEB-PED"], parameters)
    measure("failed_runs", failed, impacts_kmh=runs)


@requirement("AEB-BIKE-001")
def test_crossing_bicycle(drive, scenarios, parameters, measure):
    failed, runs = failed_runs(drive, scenarios["AEB-BIKE"], parameters)
    measure("failed_runs", failed, impacts_kmh=runs)


def lead_s(vehicle, drive):
    """How long the warning comes before the braking."""
    braking = drive.first(BRAKING, True)
    warnings = [at for mode in MODES if (at := drive.first(mode, True)) is not None]
    if braking is None:
        vehicle.complain(f"no emergency braking in {drive.case.id} at {drive.case.ego_kmh:g} km/h")
    if not warnings:
        vehicle.complain(f"no warning in {drive.case.id} at {drive.case.ego_kmh:g} km/h")
    return braking - min(warnings)


@requirement("AEB-WARN-001")
def test_warning_before_braking_for_a_car(vehicle, drive, scenarios, measure):
    for case in scenarios["AEB-ALONE"]:
        measure("lead_s", lead_s(vehicle, drive(case)), ego_kmh=case.ego_kmh)


@requirement("AEB-WARN-002")
def test_warning_not_after_braking_for_people(vehicle, drive, scenarios, measure):
    for name, ego_kmh in (("AEB-PED", 42), ("AEB-BIKE", 38)):
        case = next(c for c in scenarios[name] if c.ego_kmh == ego_kmh)
        measure("lead_s", lead_s(vehicle, drive(case)), scenario=name)


@requirement("AEB-MODES-001")
def test_warning_reaches_two_senses(drive, scenarios, measure):
    for case in scenarios["AEB-ALONE"]:
        driven = drive(case)
        measure("modes", sum(driven.first(mode, True) is not None for mode in MODES))


@requirement("AEB-DEMAND-001")
def test_braking_is_strong(vehicle, drive, scenarios, measure):
    for case in scenarios["AEB-ALONE"]:
        driven = drive(case)
        braking = driven.first(BRAKING, True)
        if braking is None:
            vehicle.complain("no emergency braking")
        measure("demand_mps2", max(driven.values(DEMAND, braking, braking + 0.5)))


def count(drive, measure, *, warnings=True):
    """How often the device warned and braked; more than never is too often."""
    if warnings:
        measure("warnings", sum(drive.first(mode, True) is not None for mode in MODES), scenario=drive.case.id)
    measure("brakings", int(drive.first(BRAKING, True) is not None), scenario=drive.case.id)


@requirement("AEB-FALSE-001")
def test_pedestrian_beside_the_road(drive, scenarios, measure):
    for case in scenarios["FR-PED"]:
        count(drive(case), measure)


@requirement("AEB-FALSE-002")
def test_oncoming_motorcycle(drive, scenarios, measure):
    for case in scenarios["FR-PTW"]:
        count(drive(case), measure)


@requirement("AEB-FALSE-003")
def test_driver_steers_around(drive, scenarios, measure):
    for case in scenarios["FR-STEER"]:
        count(drive(case), measure, warnings=False)


@requirement("AEB-FALSE-004")
def test_parked_outside_a_curve(drive, scenarios, measure):
    for case in scenarios["FR-CURVE"]:
        count(drive(case), measure)


def ttc_at_warning(vehicle, drive, case):
    driven = drive(case)
    warnings = [at for mode in MODES if (at := driven.first(mode, True)) is not None]
    if not warnings:
        vehicle.complain(f"no warning in {case.id}")
    return driven.ttc_s(min(warnings))


@requirement("FCW-LVS-001")
def test_warning_of_a_stationary_car(vehicle, drive, scenarios, measure):
    for case in scenarios["FCW-LVS"]:
        measure("ttc_s", ttc_at_warning(vehicle, drive, case))


@requirement("FCW-LVD-001")
def test_warning_of_a_braking_car(vehicle, drive, scenarios, measure):
    for case in scenarios["FCW-LVD"]:
        measure("ttc_s", ttc_at_warning(vehicle, drive, case))


@requirement("FCW-LVM-001")
def test_warning_of_a_slower_car(vehicle, drive, scenarios, measure):
    for case in scenarios["FCW-LVM"]:
        measure("ttc_s", ttc_at_warning(vehicle, drive, case))
