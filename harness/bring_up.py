"""Bring a device up: the vehicle around a rig's open ports, its restbus running, the device switched on and ready."""

from collections.abc import Callable, Mapping
from typing import Any

from harness.bench.logged import LoggedPower
from harness.inputs.submission import Submitted
from harness.ports import Replayed
from harness.vehicle.diagnostics import Tester
from harness.vehicle.restbus import Restbus
from harness.vehicle.vehicle import Vehicle

SETTLE_S = 0.5  # until what was set, or went back, has reached everything

Note = Callable[..., None]  # one event, written down


def around(ports: Mapping[str, Any], submitted: Submitted, note: Note = lambda what, **fields: None) -> Vehicle:
    """Return the vehicle around a device that is still off; `note` writes down what is done to it."""
    interface = submitted.submission.interface
    networks = {
        name: Restbus(name, ports[name], bus, submitted.codecs[name], submitted.maps[name])
        for name, bus in interface.buses.items()
    }
    power = LoggedPower(ports["power"], note) if "power" in ports else None
    return Vehicle(networks, ports.get("console"), power, interface, note)


def switch_on(vehicle: Vehicle, ports: Mapping[str, Any], within_s: float) -> None:
    """Start the restbus, switch the device on and wait until it is ready. Raises DeviceError when it does not get ready."""
    for net in vehicle.networks.values():
        net.start()
    power = vehicle.power_port
    vehicle.time_ns = vehicle.on_ns = power.on() if power is not None else begin(vehicle, ports)
    wait_ready(vehicle, within_s)


def begin(vehicle: Vehicle, ports: Mapping[str, Any]) -> int:
    """Where a rig without a switchable supply begins; written down, so that it can be replayed."""
    replayed = [p.replay_from("") for p in ports.values() if isinstance(p, Replayed)]
    time_ns = replayed[0] if replayed else max(net.bus.now_ns() for net in vehicle.networks.values())
    vehicle.note("called", port="clock", call="begin", time_ns=time_ns)
    return time_ns


def wait_ready(vehicle: Vehicle, within_s: float) -> None:
    """By the ready line after power-on; where nobody reads a console, by the first diagnostic answer, else the first frame."""
    console, diagnostics = vehicle.interface.console, vehicle.interface.diagnostics
    if console is not None and vehicle.console_port is not None and vehicle.power_port is not None:
        vehicle.ready(within_s=within_s)
    elif diagnostics is not None:
        Tester(vehicle, diagnostics).answers(within_s=within_s)
    else:
        vehicle.time_ns = vehicle.first_frame(next(iter(vehicle.networks)), after_ns=vehicle.time_ns, within_s=within_s)
