"""What the console and the bus show when power comes on."""

import itertools

from harness.console import matches
from harness.marks import fresh, requirement
from harness.vehicle.crash_signatures import LOOP, crashes
from harness.vehicle.disclosure import secret_in

MOST_SHOWN = 200  # characters of what was said, in a measurement
OFF_S = (0.1, 0.5, 1.0, 5.0)


@requirement("BOOT-STAGES-001")
def test_every_stage_once_and_in_order(vehicle, interface, parameters, measure):
    stages = (*interface.console.boot, interface.console.ready)
    on_ns = vehicle.power_cycle()
    vehicle.ready(within_s=parameters.whole_boot_s)
    lines = vehicle.console_lines(on_ns, vehicle.time_ns)
    seen = [(n, line) for line in lines for n, stage in enumerate(stages) if matches(stage, line.text)]
    said = [n for n, _ in seen]
    for n, line in seen:
        measure("stage_s", (line.time_ns - on_ns) / 1e9, stage=stages[n], said=line.text[:MOST_SHOWN])
    measure("stages_missing", len(set(range(len(stages))) - set(said)))
    measure("stages_repeated", len(said) - len(set(said)))
    measure("stages_out_of_order", sum(a > b for a, b in itertools.pairwise(said)))


@requirement("BOOT-READY-001")
def test_first_frame_and_ready_line(vehicle, interface, parameters, measure):
    on_ns = vehicle.power_cycle()
    ready = vehicle.ready(within_s=max(30.0, 2 * parameters.ready_s))
    measure("ready_s", (ready.time_ns - on_ns) / 1e9)
    first = min(vehicle.first_frame(bus, after_ns=on_ns, within_s=30.0) for bus in interface.buses)
    measure("first_frame_s", (first - on_ns) / 1e9)


@requirement("BOOT-CRASH-001")
def test_no_crash_and_no_second_boot(vehicle, interface, parameters, measure):
    vehicle.pass_time(parameters.watch_s)
    lines = vehicle.console_lines(vehicle.on_ns, vehicle.time_ns)
    trouble(lines, interface, measure, boots=1)


def trouble(lines, interface, measure, *, boots):
    """What these lines tell of crashes, and of boots beyond those that the bench asked for."""
    found = crashes(line.text for line in lines)
    again = [line for line in lines if matches(interface.console.boot[0], line.text)][boots:]
    measure("crash_lines", len(found), said="; ".join(found)[:MOST_SHOWN])
    measure("unexpected_boots", len(again), kind="boot loop" if len(again) >= LOOP else "reset" if again else "none")


@requirement("BOOT-RESTART-001")
def test_gets_ready_every_time(vehicle, interface, parameters, measure):
    for turn in range(round(parameters.times)):
        off_s = OFF_S[turn % len(OFF_S)]
        on_ns = vehicle.power_cycle(off_s)
        ready = vehicle.ready(within_s=2 * parameters.ready_s)
        measure("ready_s", (ready.time_ns - on_ns) / 1e9, off_s=off_s)
        said = [
            line
            for line in vehicle.console_lines(on_ns, vehicle.time_ns)
            if matches(interface.console.boot[0], line.text)
        ]
        measure("unexpected_boots", len(said) - 1, off_s=off_s)


@requirement("BOOT-CLOCK-001")
def test_clock_runs_right(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        message = min((m for m in net.sent_by_device() if m.cycle_time), key=lambda m: m.cycle_time)
        stamps_ns = net.from_device(message.name, vehicle.watch(bus, parameters.watch_s)).time_ns
        if len(stamps_ns) < 3:
            vehicle.complain(f"{message.name} came {len(stamps_ns)} times in {parameters.watch_s:g} s")
        span_ms = float(message.cycle_time * (len(stamps_ns) - 1))
        measured_ms = (stamps_ns[-1] - stamps_ns[0]) / 1e6
        measure("deviation", 100 * (span_ms / measured_ms - 1), message=message.name, span_ms=span_ms)


@requirement("BOOT-SOAK-001")
def test_operating_system_keeps_running(vehicle, interface, parameters, measure):
    """Whatever else was asked of it meanwhile; what is said before is BOOT-CRASH-001's."""
    vehicle.pass_time(max(0.0, parameters.soak_s - (vehicle.time_ns - vehicle.on_ns) / 1e9))
    start_ns = vehicle.on_ns + round(1e9 * parameters.from_s)
    trouble(vehicle.console_lines(start_ns, vehicle.time_ns), interface, measure, boots=0)


@requirement("CONSOLE-SECRETS-001")
def test_console_tells_no_secrets(vehicle, measure):
    lines = [line.text for line in vehicle.console_lines(0, vehicle.time_ns)]
    found = [text[:MOST_SHOWN] for text in lines if secret_in(text)]
    measure("lines_with_secrets", len(found), lines=len(lines), which=" / ".join(found[:3]))


@requirement("BOOT-LOGIN-001")
def test_console_runs_nothing_unasked(vehicle, parameters, measure):
    for number in (11, 22, 33):
        typed_ns = vehicle.time_ns
        vehicle.type_line("")
        vehicle.type_line(f"echo shipei-$(({number} + 1))")
        vehicle.pass_time(parameters.listen_s)
        heard = [line.text for line in vehicle.console_lines(typed_ns, vehicle.time_ns)]
        ran = sum(f"shipei-{number + 1}" in text for text in heard)
        measure("commands_run", ran, said="; ".join(heard)[:MOST_SHOWN])


@requirement("BOOT-WATCHDOG-001")
@fresh
def test_watchdog_bites(vehicle, tester, interface, parameters, measure):
    frozen_ns = tester.freeze()
    again = vehicle.console_line(interface.console.boot[0], within_s=2 * parameters.timeout_s + parameters.whole_boot_s)
    measure("reset_s", (again.time_ns - frozen_ns) / 1e9)
    vehicle.ready(within_s=parameters.whole_boot_s)


@requirement("CONSOLE-ANSWER-001")
def test_console_answers(vehicle, interface, parameters, measure):
    for one in interface.console.dialogue:
        asked_ns = vehicle.type_line(one.type)
        answer = vehicle.console_line(one.answer, within_s=2 * parameters.answer_s)
        measure("answer_s", (answer.time_ns - asked_ns) / 1e9, typed=one.type, said=answer.text[:MOST_SHOWN])
