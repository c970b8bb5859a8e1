"""Network management: AUTOSAR CanNm as seen from the bus, with everybody else silent or asking for the network."""

from contextlib import contextmanager

import numpy as np

from harness.marks import fresh, requirement
from harness.ports import Frame

ACTIVE_WAKE_UP, REPEAT_REQUEST = 0x10, 0x01  # of the control bit vector, byte 1 (SWS CANNetworkManagement, 7.4)
SLACK_S = 0.5
SILENT_S = 0.2


@requirement("NM-SLEEP-001")
def test_falls_asleep_when_nobody_needs_the_network(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        with released(vehicle, bus, nm) as since_ns:
            vehicle.watch(bus, watched_s(nm))
            rows = vehicle.between(vehicle.networks[bus], since_ns, vehicle.time_ns)
            others = not_of_nm(vehicle.networks[bus].of_device(rows), nm)
            if not len(others):
                vehicle.complain("the device fell silent before it was released")
            last_ns = of_nm(rows, nm)[-1] if len(of_nm(rows, nm)) else since_ns
            measure("silent_after_ms", (others[-1] - last_ns) / 1e6, timeout_ms=nm.timeout_ms)
            measure("frames_asleep", len(sent(vehicle, bus, parameters.asleep_s)), bus=bus)


@requirement("NM-AWAKE-001")
def test_stays_awake_while_another_node_asks(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        with released(vehicle, bus, nm):
            with asking(vehicle, bus, nm):
                vehicle.pass_time((nm.repeat_ms + nm.timeout_ms) / 1000 + SLACK_S)
                rows = sent(vehicle, bus, (nm.timeout_ms + nm.wait_bus_sleep_ms) / 1000 + SLACK_S)
            stamps = not_of_nm(rows, nm)
            measure("own_nm_frames", len(of_nm(rows, nm)), bus=bus)
            longest = np.diff(stamps).max() / 1e6 if len(stamps) > 1 else nm.timeout_ms
            measure("longest_silence_ms", longest, timeout_ms=nm.timeout_ms)


@requirement("NM-WAKE-001")
def test_wakes_by_a_message_of_another_node(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        with asleep(vehicle, bus, nm):
            woken = wake(vehicle, bus, nm)
            rows = sent(vehicle, bus, nm.repeat_ms / 1000 + SLACK_S)
            own, cycle_ms = of_nm(rows, nm), vehicle.networks[bus].codec.messages[nm.message].cycle_time
            if not len(own):
                vehicle.complain(f"no {nm.message} within {nm.repeat_ms / 1000 + SLACK_S} s of a wake-up")
            measure("first_ms", (own[0] - woken.time_ns) / 1e6, bus=bus)
            in_repeat = own[own < woken.time_ns + nm.repeat_ms * 1e6]
            measure("missing_frames", nm.repeat_ms / cycle_ms - len(in_repeat), bus=bus)


@requirement("NM-WAKE-002")
def test_wakes_while_it_prepares_to_sleep(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        with released(vehicle, bus, nm):
            until_silent(vehicle, bus, nm)
            vehicle.pass_time(nm.wait_bus_sleep_ms / 2000)
            woken = wake(vehicle, bus, nm)
            measure("first_ms", first_after(vehicle, bus, nm, woken), bus=bus)


@requirement("NM-WAKE-003")
def test_wakes_again_and_again(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        with asleep(vehicle, bus, nm):
            for turn in range(round(parameters.times)):
                woken = wake(vehicle, bus, nm)
                measure("first_ms", first_after(vehicle, bus, nm, woken), turn=turn)
                until_silent(vehicle, bus, nm)
                vehicle.pass_time(nm.wait_bus_sleep_ms / 1000)


@requirement("NM-QUIET-001")
def test_nothing_but_network_management_wakes_it(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        net = vehicle.networks[bus]
        with asleep(vehicle, bus, nm):
            for identifier in (0x001, 0x3FF):
                if not nm.first <= identifier <= nm.last:
                    vehicle.send_raw(bus, Frame(id=identifier, data=bytes(8)))
            measure("frames", len(sent(vehicle, bus, parameters.asleep_s)), bus=net.name)


@requirement("NM-REPEAT-001")
def test_a_request_to_repeat_is_answered(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        with released(vehicle, bus, nm):
            with asking(vehicle, bus, nm):
                vehicle.pass_time(nm.repeat_ms / 1000 + SLACK_S)
                asked = vehicle.send_raw(bus, message_of_another(vehicle, bus, nm, REPEAT_REQUEST))
                own = of_nm(sent(vehicle, bus, nm.repeat_ms / 1000), nm)
            if not len(own):
                vehicle.complain(f"no {nm.message} within {nm.repeat_ms / 1000} s of a repeat message request")
            measure("first_ms", (own[0] - asked.time_ns) / 1e6, bus=bus)


@requirement("NM-CONTENT-001")
@fresh
def test_its_message_says_who_it_is_and_who_woke_it(vehicle, interface, parameters, measure):
    for bus, nm in managed(interface):
        net = vehicle.networks[bus]
        vehicle.awake(bus)
        payloads = net.sent_payloads(nm.message, vehicle.watch(bus, parameters.watch_s))
        if not payloads:
            vehicle.complain(f"no {nm.message} within {parameters.watch_s} s")
        measure("wrong_nodes", sum(p[0] != nm.node for p in payloads), bus=bus)
        measure("not_told_active", sum(not p[1] & ACTIVE_WAKE_UP for p in payloads), bus=bus)
        with asleep(vehicle, bus, nm):
            wake(vehicle, bus, nm)
            passive = net.sent_payloads(nm.message, vehicle.watch(bus, nm.repeat_ms / 1000))
        measure("told_active", sum(bool(p[1] & ACTIVE_WAKE_UP) for p in passive), bus=bus)


# ---------------------------------------------------------------- the network around the device


def managed(interface):
    return [(bus, one.nm) for bus, one in interface.buses.items() if one.nm is not None]


@contextmanager
def released(vehicle, bus, nm):
    """Nobody needs the network any more: the device is told, then everybody else falls silent; the stamp of the former."""
    since_ns = vehicle.set_all(nm.release).time_ns
    vehicle.pass_time(SLACK_S)
    with vehicle.quiet(bus):
        yield since_ns
    vehicle.pass_time(SLACK_S)


@contextmanager
def asleep(vehicle, bus, nm):
    with released(vehicle, bus, nm):
        until_silent(vehicle, bus, nm)
        vehicle.pass_time(nm.wait_bus_sleep_ms / 1000 + SLACK_S)
        yield


def until_silent(vehicle, bus, nm):
    """Wait until the device sends nothing any more; its timers say when that must be."""
    start_ns = vehicle.time_ns
    while len(sent(vehicle, bus, SILENT_S)):
        if vehicle.time_ns - start_ns > watched_s(nm) * 1e9:
            vehicle.complain(f"the device still sends {watched_s(nm):.1f} s after nobody needs the network any more")


def watched_s(nm):
    """From its release to its silence, at most."""
    return (nm.repeat_ms + 1.1 * nm.timeout_ms) / 1000 + SLACK_S


def wake(vehicle, bus, nm):
    """Another node's message, once."""
    return vehicle.send_raw(bus, message_of_another(vehicle, bus, nm))


def first_after(vehicle, bus, nm, woken):
    """The device's first message of network management after a wake-up, in ms."""
    own = of_nm(sent(vehicle, bus, nm.repeat_ms / 1000), nm)
    if not len(own):
        vehicle.complain(f"no {nm.message} within {nm.repeat_ms / 1000} s of a wake-up")
    return (own[0] - woken.time_ns) / 1e6


def message_of_another(vehicle, bus, nm, control=0):
    """A message of network management of a node that the device is not."""
    own = vehicle.networks[bus].codec.messages[nm.message]
    identifier = nm.last if own.frame_id != nm.last else nm.first
    data = bytes((identifier & 0xFF, control)).ljust(own.length, b"\0")
    return Frame(id=identifier, flags=vehicle.networks[bus].flags(nm.message), data=data)


def asking(vehicle, bus, nm):
    """Another node asks for the network, in the cycle of the device's own message."""
    cycle_ms = vehicle.networks[bus].codec.messages[nm.message].cycle_time
    return vehicle.cycling(bus, message_of_another(vehicle, bus, nm), cycle_ms / 1000)


def sent(vehicle, bus, seconds):
    """What the device sends from now on."""
    return vehicle.networks[bus].of_device(vehicle.watch(bus, seconds))


def of_nm(rows, nm):
    """Stamps of the messages of network management among the device's frames."""
    return rows["time_ns"][(rows["id"] >= nm.first) & (rows["id"] <= nm.last)]


def not_of_nm(rows, nm):
    return rows["time_ns"][(rows["id"] < nm.first) | (rows["id"] > nm.last)]
