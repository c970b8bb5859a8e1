"""What comes in is lost, late, frozen, corrupt, wrong or doubtful: off in time, shown, nothing unwanted, back again."""

from harness.marks import requirement

STATE, TELLTALE = "Vehicle.ADAS.System.State", "Vehicle.ADAS.System.Telltale"
BRAKING, STEERS = "Vehicle.ADAS.AEB.IsBraking", "Vehicle.ADAS.LKA.IsSteering"
CONTROLS = "Vehicle.ADAS.ACC.IsControlling"
MODES = ("Vehicle.ADAS.FCW.IsOptical", "Vehicle.ADAS.FCW.IsAcoustic", "Vehicle.ADAS.FCW.IsHaptic")


def degrade(vehicle, drive, cases, parameters, measure):
    """Drive with a fault; measure safe state, telltale, actuations once it has settled, recovery."""
    for case in cases:
        driven, fault = drive(case), case.faults[0]
        context = {"fault": fault.kind, "channel": fault.channel}
        if driven.first(CONTROLS, True) is None:
            vehicle.complain("cruise control is switched on and never takes control")
        safe = driven.first(STATE, "Degraded", fault.at_s)
        if safe is None:
            vehicle.complain(f"{STATE} does not become Degraded when {fault.channel} are {fault.kind}")
        measure("safe_ms", 1000 * (safe - fault.at_s), **context)
        lit = driven.first(TELLTALE, "On", fault.at_s)
        if lit is None:
            vehicle.complain(f"{TELLTALE} does not come on when {fault.channel} are {fault.kind}")
        measure("telltale_ms", 1000 * (lit - fault.at_s), **context)
        end = fault.at_s + fault.for_s
        affected = (STEERS,) if fault.channel == "lanes" else (BRAKING, CONTROLS, STEERS)
        acted = sum(any(driven.values(path, safe + parameters.settle_s, end)) for path in affected)
        measure("actuations", acted, **context)
        again = driven.first(STATE, "Ready", end)
        if again is None:
            vehicle.complain(f"{STATE} does not become Ready again after {fault.channel} were {fault.kind}")
        measure("recovery_ms", 1000 * (again - end), **context)


@requirement("DEG-LOST-001")
def test_lost_inputs(vehicle, drive, scenarios, parameters, measure):
    cases = [c for name in ("DEG-LOST-OBJECTS", "DEG-LOST-EGO", "DEG-LOST-LANES") for c in scenarios[name]]
    degrade(vehicle, drive, cases, parameters, measure)


@requirement("DEG-LATE-001")
def test_late_objects(vehicle, drive, scenarios, parameters, measure):
    degrade(vehicle, drive, scenarios["DEG-LATE"], parameters, measure)


@requirement("DEG-FROZEN-001")
def test_frozen_objects(vehicle, drive, scenarios, parameters, measure):
    degrade(vehicle, drive, scenarios["DEG-FROZEN"], parameters, measure)


@requirement("DEG-CORRUPT-001")
def test_corrupt_inputs(vehicle, drive, scenarios, parameters, measure):
    degrade(vehicle, drive, (*scenarios["DEG-CORRUPT-OBJECTS"], *scenarios["DEG-CORRUPT-EGO"]), parameters, measure)


@requirement("DEG-SPEED-001")
def test_invalid_ego_speed(vehicle, drive, scenarios, parameters, measure):
    degrade(vehicle, drive, scenarios["DEG-SPEED"], parameters, measure)


@requirement("DEG-BLIND-001")
def test_blind_sensors(vehicle, drive, scenarios, parameters, measure):
    degrade(vehicle, drive, scenarios["DEG-BLIND"], parameters, measure)


def reactions(drive, measure, *, warnings=True):
    if warnings:
        measure("warnings", sum(drive.first(mode, True) is not None for mode in MODES))
    measure("brakings", int(drive.first(BRAKING, True) is not None))


@requirement("DEG-GHOST-001")
def test_ghost(drive, scenarios, measure):
    for case in scenarios["DEG-GHOST"]:
        reactions(drive(case), measure)


@requirement("DEG-JUMP-001")
def test_jump(drive, scenarios, measure):
    for case in scenarios["DEG-JUMP"]:
        reactions(drive(case), measure)


@requirement("DEG-UNSURE-001")
def test_unsure_object(drive, scenarios, measure):
    for case in scenarios["DEG-UNSURE"]:
        reactions(drive(case), measure, warnings=False)
