"""What the cockpit commands, sounds and follows: climate, seat, chimes, power modes."""

from harness.marks import requirement

KEY = "Vehicle.Cabin.Infotainment.HMI.Key"
HMI = "Vehicle.Cabin.Infotainment.HMI"
SPEED, BELTED = "Vehicle.Speed", "Vehicle.Cabin.Seat.Row1.DriverSide.IsBelted"
DOOR_OPEN, CHIME = "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", "Vehicle.Cabin.Cluster.Chime.Active"
POWER_MODE, SHOWN_MODE = "Vehicle.LowVoltageSystemState", "Vehicle.Cabin.Cluster.PowerMode"
SCREEN = "Vehicle.Cabin.Infotainment.HMI.ScreenState"
TEMPERATURE, HEATING = (
    "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature",
    "Vehicle.Cabin.Seat.Row1.DriverSide.Heating",
)


def acknowledge(vehicle, branch, command):
    """Answer a command as the body controller would."""
    sequence = vehicle.at(f"{branch}.Command.Sequence", command)
    return vehicle.send({f"{branch}.Acknowledgement.Sequence": sequence, f"{branch}.Acknowledgement.Result": "Ok"})


@requirement("COCKPIT-CLIMATE-001")
def test_temperature_is_commanded_and_confirmed(vehicle, measure):
    shown = vehicle.settled(f"{HMI}.Climate.DisplayedTemperature", within_s=0.5)
    for key, step in (("TemperatureUp", 0.5), ("TemperatureDown", -0.5)):
        pressed = vehicle.send({KEY: key})
        command = vehicle.next(TEMPERATURE, within_s=2.0)
        measure("command_ms", command.after_ms(pressed), key=key)
        answered = acknowledge(vehicle, "Vehicle.Cabin.HVAC", command)
        confirmed = vehicle.expect(f"{HMI}.Climate.State", "Confirmed", within_s=3.0)
        measure("confirm_ms", confirmed.after_ms(answered), key=key)
        shown += step
        measure("temperature_error", abs(vehicle.at(f"{HMI}.Climate.DisplayedTemperature", confirmed) - shown), key=key)


@requirement("COCKPIT-CLIMATE-002")
def test_silence_is_shown_as_failure(vehicle, measure):
    before = vehicle.settled(f"{HMI}.Climate.DisplayedTemperature", within_s=0.5)
    vehicle.send({KEY: "TemperatureUp"})
    command = vehicle.next(TEMPERATURE, within_s=2.0)
    failed = vehicle.expect(f"{HMI}.Climate.State", "Failed", within_s=5.0)
    measure("failed_s", failed.after_ms(command) / 1000)
    measure("reverted_error", abs(vehicle.at(f"{HMI}.Climate.DisplayedTemperature", failed) - before))


@requirement("COCKPIT-SEAT-001")
def test_seat_heating_is_commanded_and_confirmed(vehicle, measure):
    before = vehicle.settled(f"{HMI}.Seat.DisplayedHeating", within_s=0.5)
    key, step = ("SeatHeatUp", 1) if before < 3 else ("SeatHeatDown", -1)
    pressed = vehicle.send({KEY: key})
    command = vehicle.next(HEATING, within_s=2.0)
    measure("command_ms", command.after_ms(pressed))
    answered = acknowledge(vehicle, "Vehicle.Cabin.Seat", command)
    confirmed = vehicle.expect(f"{HMI}.Seat.State", "Confirmed", within_s=3.0)
    measure("confirm_ms", confirmed.after_ms(answered))
    measure("level_error", abs(vehicle.at(f"{HMI}.Seat.DisplayedHeating", confirmed) - before - step))


@requirement("COCKPIT-CHIME-001")
def test_belt_chime(vehicle, measure):
    vehicle.set(BELTED, False)
    vehicle.expect(CHIME, "None", within_s=2.0)
    moving = vehicle.set(SPEED, 30.0)
    measure("sounds_ms", vehicle.expect(CHIME, "Belt", within_s=3.0).after_ms(moving))
    belted = vehicle.set(BELTED, True)
    measure("ends_ms", vehicle.expect(CHIME, "None", within_s=3.0).after_ms(belted))


@requirement("COCKPIT-CHIME-002")
def test_belt_chime_has_priority(vehicle, parameters, measure):
    vehicle.set_all({SPEED: 30.0, DOOR_OPEN: True})
    measure("wrong_chimes", vehicle.settled(CHIME, within_s=parameters.settle_s) != "Door", calling="door")
    vehicle.set(BELTED, False)
    measure("wrong_chimes", vehicle.settled(CHIME, within_s=parameters.settle_s) != "Belt", calling="belt and door")


@requirement("COCKPIT-POWER-001")
def test_power_modes_are_followed(vehicle, parameters, measure):
    for mode, screen in (("ACC", "On"), ("OFF", "Off"), ("ACC", "On"), ("ON", "On"), ("START", "On"), ("ON", "On")):
        asked = vehicle.set(POWER_MODE, mode)
        measure("mode_ms", vehicle.expect(SHOWN_MODE, mode, within_s=3.0).after_ms(asked), mode=mode)
        measure("wrong_screens", vehicle.settled(SCREEN, within_s=parameters.follow_ms / 1000) != screen, mode=mode)
