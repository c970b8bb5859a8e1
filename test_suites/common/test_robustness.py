"""What the device must endure on its buses: foreign frames, overload, and errors that its own controller counts."""

from harness.can.frames import RECOVERY_BITS
from harness.marks import fresh, provokes, requirement
from harness.ports import BRS, ERROR, FD, RTR, TX, Frame

PASSIVE_AFTER, OFF_AFTER = 16, 32  # frames destroyed in a row: 128 and 256 transmit errors (ISO 11898-1:2015, 12.1)


@requirement("CAN-UNKNOWN-001")
def test_unknown_identifiers_change_nothing(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        undisturbed(vehicle, bus, unknown(vehicle.networks[bus], interface.reserved(bus)), parameters, measure)


@requirement("CAN-LENGTH-001")
def test_wrong_lengths_change_nothing(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        frames = [Frame(id=m.frame_id, flags=net.flags(m.name), data=b"\xff" * shorter(m.length)) for m in heard(net)]
        undisturbed(vehicle, bus, frames, parameters, measure)


@requirement("CAN-REMOTE-001")
def test_remote_requests_change_nothing(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        frames = [Frame(id=m.frame_id, flags=net.flags(m.name) | RTR, data=b"") for m in heard(net) if not m.is_fd]
        undisturbed(vehicle, bus, frames, parameters, measure)


@requirement("CAN-FORMAT-002")
def test_the_other_format_changes_nothing(vehicle, interface, parameters, measure):
    for bus, description in interface.buses.items():
        if description.fd:
            net = vehicle.networks[bus]
            frames = [
                Frame(id=m.frame_id, flags=net.flags(m.name) ^ (FD | BRS), data=b"\xff" * m.length)
                for m in heard(net)
                if m.length <= 8
            ]
            undisturbed(vehicle, bus, frames, parameters, measure)


@requirement("CAN-OVERLOAD-001")
def test_overload_is_survived(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        before = net.snapshot(vehicle.watch(bus, parameters.watch_s))
        start_ns = vehicle.time_ns
        with vehicle.flooded(bus, parameters.load_percent):
            vehicle.pass_time(parameters.flood_s)
        vehicle.pass_time(parameters.recovery_s)
        after = net.snapshot(vehicle.watch(bus, parameters.watch_s))
        measure_silence(vehicle, measure, before, after, bus=bus)
        measure("unexpected_boots", vehicle.boots(start_ns), bus=bus)


@requirement("CAN-PASSIVE-001")
@provokes
@fresh
def test_an_error_passive_device_goes_on(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        before, _ = destroyed(vehicle, bus, PASSIVE_AFTER, parameters.watch_s)
        after = vehicle.networks[bus].snapshot(vehicle.watch(bus, parameters.watch_s))
        measure_silence(vehicle, measure, before, after, bus=bus)


@requirement("CAN-BUSOFF-001")
@provokes
@fresh
def test_a_device_that_left_the_bus_comes_back(vehicle, interface, parameters, measure):
    for bus, description in interface.buses.items():
        start_ns = vehicle.time_ns
        before, off_ns = destroyed(vehicle, bus, OFF_AFTER, parameters.watch_s)
        back_ns = vehicle.first_frame(bus, after_ns=off_ns, within_s=10 * parameters.recovery_ms / 1000)
        measure("away_ms", (back_ns - off_ns) / 1e6, least_ms=RECOVERY_BITS * 1000 / description.bitrate)
        after = vehicle.networks[bus].snapshot(vehicle.watch(bus, parameters.watch_s))
        measure_silence(vehicle, measure, before, after, bus=bus)
        measure("unexpected_boots", vehicle.boots(start_ns), bus=bus)


# ---------------------------------------------------------------- what is sent, and what it did


def undisturbed(vehicle, bus, frames, parameters, measure):
    """Send them; every signal that the device sends must be as before."""
    net = vehicle.networks[bus]
    before = net.snapshot(vehicle.watch(bus, parameters.watch_s))
    for frame in frames:
        vehicle.send_raw(bus, frame)
    after = net.snapshot(vehicle.watch(bus, parameters.watch_s))
    changed = sorted(s for s, v in before.items() if s in after and after[s] != v)
    measure("changed_signals", len(changed), bus=bus, sent=len(frames), which=" ".join(changed))
    measure_silence(vehicle, measure, before, after, bus=bus, sent=len(frames))


def measure_silence(vehicle, measure, before, after, *, bus, **context):
    """Which messages fell silent between two snapshots of the signals."""
    silent = vehicle.networks[bus].fell_silent(before, after)
    measure("silent_messages", len(silent), bus=bus, **context, which=" ".join(silent))


def heard(net):
    """The messages that others send."""
    return [m for m in net.codec.messages.values() if net.interface.node not in m.senders]


def unknown(net, reserved):
    """Frames with identifiers that nobody in the matrix has."""
    known = {m.frame_id for m in net.codec.messages.values()} | reserved
    return [Frame(id=i, data=b"\xff" * 8) for i in (0x001, 0x3FF, 0x5A5, 0x7FE) if i not in known]


def shorter(length):
    """The next shorter length that a frame can have (ISO 11898-1: above 8 bytes not every one)."""
    return max(n for n in (*range(9), 12, 16, 20, 24, 32, 48) if n < length)


def destroyed(vehicle, bus, frames, watch_s):
    """Destroy the device's next frames; what it sent before, and the stamp of the last error frame."""
    net = vehicle.networks[bus]
    vehicle.awake(bus)
    before = net.snapshot(vehicle.watch(bus, watch_s))
    vehicle.destroy(bus, frames)
    rows = vehicle.watch(bus, watch_s)
    errors = rows["time_ns"][(rows["flags"] & ERROR != 0) & (rows["flags"] & TX == 0)]
    if len(errors) < frames:
        vehicle.complain(f"the device sent {len(errors)} frames in {watch_s} s, and {frames} were to be destroyed")
    vehicle.time_ns = int(errors[frames - 1])
    return before, vehicle.time_ns
