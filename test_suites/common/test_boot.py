"""What the console and the bus show when power comes on."""

import itertools

from harness.console import matches
from harness.marks import fresh, requirement
from harness.signatures import crashes


@requirement("BOOT-STAGES-001")
def test_every_stage_once_and_in_order(vehicle, interface, measure):
    stages = (*interface.console.boot, interface.console.ready)
    on_ns = vehicle.power_cycle()
    vehicle.console_line(interface.console.ready, within_s=30.0)
    said = [
        n
        for line in vehicle.console_lines(on_ns, vehicle.time_ns)
        for n, s in enumerate(stages)
        if matches(s, line.text)
    ]
    measure("stages_missing", len(set(range(len(stages))) - set(said)))
    measure("stages_repeated", len(said) - len(set(said)))
    measure("stages_out_of_order", sum(a > b for a, b in itertools.pairwise(said)))


@requirement("BOOT-READY-001")
def test_first_frame_and_ready_line(vehicle, interface, parameters, measure):
    on_ns = vehicle.power_cycle()
    ready = vehicle.console_line(interface.console.ready, within_s=max(30.0, 2 * parameters.ready_s))
    measure("ready_s", (ready.time_ns - on_ns) / 1e9)
    first = min(vehicle.first_frame(bus, after_ns=on_ns, within_s=30.0) for bus in interface.buses)
    measure("first_frame_s", (first - on_ns) / 1e9)


@requirement("BOOT-CRASH-001")
@fresh
def test_no_crash_and_no_second_boot(vehicle, interface, parameters, measure):
    ready_ns = vehicle.time_ns
    vehicle.pass_time(parameters.watch_s)
    lines = vehicle.console_lines(ready_ns + 1, vehicle.time_ns)
    measure("crash_lines", len(crashes(line.text for line in lines)))
    measure("unexpected_boots", sum(matches(interface.console.boot[0], line.text) for line in lines))
