"""What the driver reads: speed, gear, telltales, rear view."""

from harness.marks import requirement

SPEED, SPEED_VALID = "Vehicle.Speed", "Vehicle.IsSpeedValid"
SHOWN_SPEED, SPEED_STATE = "Vehicle.Cabin.Cluster.DisplayedSpeed", "Vehicle.Cabin.Cluster.SpeedState"
GEAR, SHOWN_GEAR = "Vehicle.Powertrain.Transmission.SelectedGear", "Vehicle.Cabin.Cluster.DisplayedGear"
PARK, REVERSE, NEUTRAL, DRIVE = 126, -1, 0, 127
TELLTALE = "Vehicle.Cabin.Cluster.Telltale"
REAR_VIEW, IMAGE = "Vehicle.Cabin.RearView.IsShown", "Vehicle.Cabin.RearView.FrameCounter"


@requirement("COCKPIT-SPEED-001")
def test_display_never_under_reads(vehicle, parameters, measure):
    for true_kmh in (*parameters.true_speeds_kmh, 0.8 * parameters.max_kmh):
        vehicle.set(SPEED, true_kmh)
        shown_kmh = vehicle.settled(SHOWN_SPEED, within_s=parameters.settle_s)
        measure("speed_error", shown_kmh - true_kmh, true_speed=true_kmh)


@requirement("COCKPIT-SPEED-002")
def test_an_invalid_speed_is_no_number(vehicle, parameters, measure):
    vehicle.set(SPEED, 50.0)
    vehicle.expect(SPEED_STATE, "Normal", within_s=2.0)
    invalid = vehicle.set(SPEED_VALID, False)
    measure("invalid_shown_ms", vehicle.expect(SPEED_STATE, "Invalid", within_s=5.0).after_ms(invalid))
    valid = vehicle.set(SPEED_VALID, True)
    measure("valid_shown_ms", vehicle.expect(SPEED_STATE, "Normal", within_s=5.0).after_ms(valid))


@requirement("COCKPIT-TELLTALE-001")
def test_safety_telltales_follow(vehicle, measure):
    for name in ("Brake", "ABS", "Airbag"):
        for value, quantity in (("On", "on_ms"), ("Off", "off_ms")):
            asked = vehicle.set(f"{TELLTALE}.{name}.Request", value)
            measure(
                quantity, vehicle.expect(f"{TELLTALE}.{name}.State", value, within_s=3.0).after_ms(asked), telltale=name
            )


@requirement("COCKPIT-TELLTALE-002")
def test_lamp_telltales_follow(vehicle, measure):
    lamps = (
        ("HighBeam", "Vehicle.Body.Lights.Beam.High.IsOn", "On"),
        ("IndicatorLeft", "Vehicle.Body.Lights.DirectionIndicator.Left.IsSignaling", "Flash"),
        ("IndicatorRight", "Vehicle.Body.Lights.DirectionIndicator.Right.IsSignaling", "Flash"),
    )
    for name, lamp, lit in lamps:
        for on, value, quantity in ((True, lit, "on_ms"), (False, "Off", "off_ms")):
            asked = vehicle.set(lamp, on)
            measure(
                quantity, vehicle.expect(f"{TELLTALE}.{name}.State", value, within_s=3.0).after_ms(asked), telltale=name
            )


@requirement("COCKPIT-GEAR-001")
def test_the_selected_gear_is_shown(vehicle, measure):
    for gear in (DRIVE, NEUTRAL, REVERSE, PARK):
        selected = vehicle.set(GEAR, gear)
        measure("shown_ms", vehicle.expect(SHOWN_GEAR, gear, within_s=3.0).after_ms(selected), gear=gear)


@requirement("COCKPIT-REARVIEW-001")
def test_rear_view_comes_and_stays(vehicle, parameters, measure):
    for _ in range(int(parameters.repetitions)):
        vehicle.set(GEAR, DRIVE)
        vehicle.expect(REAR_VIEW, False, within_s=2.0)
        reverse = vehicle.set(GEAR, REVERSE)
        shown = vehicle.expect(REAR_VIEW, True, within_s=3 * parameters.response_s)
        measure("response_s", shown.after_ms(reverse) / 1000)
        counted, stays = vehicle.during_all([IMAGE, REAR_VIEW], parameters.stay_s)
        measure("interruptions", sum(not v for v in stays.values))
        frames = sum((b - a) % 256 for a, b in zip(counted.values, counted.values[1:], strict=False))
        measure("image_frames_per_s", frames / ((counted.time_ns[-1] - counted.time_ns[0]) / 1e9))


@requirement("COCKPIT-REARVIEW-002")
def test_rear_view_during_start(vehicle, interface, parameters, measure):
    vehicle.set(GEAR, REVERSE)
    vehicle.power_cycle()
    ready = vehicle.console_line(interface.console.ready, within_s=30.0)
    shown = vehicle.expect(REAR_VIEW, True, within_s=3 * parameters.response_s)
    measure("response_s", (shown.time_ns - ready.time_ns) / 1e9)
