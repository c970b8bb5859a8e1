"""What every device owes its communication matrix."""

import numpy as np

from harness.marks import requirement
from harness.ports import EXT, RTR, Frame


@requirement("CAN-CYCLE-001")
def test_mean_cycle_time(vehicle, interface, parameters, measure):
    for message, stamps_ns in cyclic(vehicle, interface, parameters.periods):
        gaps = len(stamps_ns) - 1
        mean_ms = (stamps_ns[-1] - stamps_ns[0]) / gaps / 1e6
        error = 100 * (mean_ms / message.cycle_time - 1)
        measure("mean_cycle_error", error, message=message.name, span_ms=float(message.cycle_time * gaps))


@requirement("CAN-CYCLE-002")
def test_every_gap(vehicle, interface, parameters, measure):
    for message, stamps_ns in cyclic(vehicle, interface, parameters.periods):
        errors = 100 * (np.diff(stamps_ns) / 1e6 / message.cycle_time - 1)
        context = {"message": message.name, "cycle_ms": float(message.cycle_time)}
        measure("shortest_gap_error", errors.min(), **context)
        measure("longest_gap_error", errors.max(), **context)


def cyclic(vehicle, interface, periods):
    """Every cyclic message of the device with the stamps of its frames over so many of its periods."""
    for bus in interface.buses:
        net = vehicle.networks[bus]
        messages = [m for m in net.sent_by_device() if m.cycle_time]
        rows = vehicle.watch(bus, (periods + 2) * max(m.cycle_time for m in messages) / 1000)
        for message in messages:
            stamps_ns = net.from_device(message.name, rows).time_ns
            if len(stamps_ns) < 3:
                vehicle.complain(
                    f"{message.name} came {len(stamps_ns)} times in {periods:.0f} periods of the slowest message"
                )
            yield message, stamps_ns


@requirement("CAN-MATRIX-001")
def test_messages_are_those_of_the_matrix(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        rows = net.of_device(vehicle.watch(bus, parameters.watch_s))
        declared = {(m.frame_id, m.is_extended_frame): m for m in net.sent_by_device()}
        seen = [(int(r["id"]), bool(r["flags"] & EXT), int(r["length"])) for r in rows]
        known = {*declared, answers_on(interface.diagnostics)}
        undeclared = sorted({f"{i:X}" for i, ext, _ in seen if (i, ext) not in known})
        wrong = sorted(
            {declared[i, ext].name for i, ext, n in seen if (i, ext) in declared and n != declared[i, ext].length}
        )
        missing = [m.name for k, m in declared.items() if m.cycle_time and k not in {s[:2] for s in seen}]
        measure("undeclared_frames", len(undeclared), bus=bus, which=" ".join(undeclared))
        measure("wrong_lengths", len(wrong), bus=bus, which=" ".join(wrong))
        measure("missing_messages", len(missing), bus=bus, which=" ".join(missing))


def answers_on(diagnostics):
    """The identifier of the device's diagnostic answers, which no matrix lists."""
    return (diagnostics.response, diagnostics.extended) if diagnostics is not None else None


@requirement("CAN-VALUES-001")
def test_values_are_within_range_and_table(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        rows = net.of_device(vehicle.watch(bus, parameters.watch_s))
        decoded = net.codec.decode(rows)
        outside, unnamed, unused = [], [], []
        for message in net.sent_by_device():
            if message.name not in decoded:
                continue
            found = decoded[message.name]
            for signal in message.signals:
                column = found.signals[signal.name]
                keep = slice(None) if column.present is None else column.present
                values, raw = column.values[keep], column.raw[keep]
                named = np.isin(raw, list(column.choices)) if column.choices else np.zeros(len(raw), bool)
                low = -np.inf if signal.minimum is None else signal.minimum
                high = np.inf if signal.maximum is None else signal.maximum
                if np.any(((values < low) | (values > high)) & ~named):
                    outside.append(signal.name)
                if column.choices and not signal.unit and not named.all():
                    unnamed.append(signal.name)
            if net.unused_bits_set(message, rows):
                unused.append(message.name)
        measure("values_out_of_range", len(outside), bus=bus, which=" ".join(outside))
        measure("values_not_in_table", len(unnamed), bus=bus, which=" ".join(unnamed))
        measure("unused_bits_set", len(unused), bus=bus, which=" ".join(unused))


@requirement("CAN-TIMEOUT-001")
def test_a_lost_message_is_noticed_and_healed(vehicle, interface, parameters, measure):
    for bus, description in interface.buses.items():
        for supervision in description.supervised:
            with vehicle.silent(bus, supervision.message):
                shown, last_ns = vehicle.reaction(bus, supervision, within_s=5 * supervision.timeout_ms / 1000 + 1)
            allowed_ms = supervision.timeout_ms + parameters.tolerance_ms
            context = {"timeout_ms": supervision.timeout_ms, "allowed_ms": allowed_ms, "message": supervision.message}
            measure("reaction_ms", shown.after_ms(last_ns), **context)
            again_ns = vehicle.time_ns
            healed = vehicle.healed(bus, supervision, within_s=5.0)
            measure("heal_ms", healed.after_ms(again_ns), message=supervision.message)


@requirement("CAN-ROBUST-001")
def test_foreign_frames_change_nothing(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        for name, frames in disturbances(net, interface.diagnostics):
            before = net.snapshot(vehicle.watch(bus, parameters.watch_s))
            for frame in frames:
                vehicle.send_raw(bus, frame)
            after = net.snapshot(vehicle.watch(bus, parameters.watch_s))
            changed = sorted(s for s, v in before.items() if s in after and after[s] != v)
            silent = sorted({s.split(".")[0] for s in before} - {s.split(".")[0] for s in after})
            measure("changed_signals", len(changed), bus=bus, disturbance=name, which=" ".join(changed))
            measure("silent_messages", len(silent), bus=bus, disturbance=name, which=" ".join(silent))


def shorter(length):
    """The next shorter length that a frame can have (ISO 11898-1: above 8 bytes not every one)."""
    return max(n for n in (*range(9), 12, 16, 20, 24, 32, 48) if n < length)


def disturbances(net, diagnostics):
    """Frames that the matrix does not know: identifiers, lengths one byte short, remote requests."""
    known = {m.frame_id for m in net.codec.messages.values()}
    if diagnostics is not None:
        known |= {diagnostics.request, diagnostics.response}
    unknown = [i for i in (0x001, 0x3FF, 0x5A5, 0x7FE) if i not in known]
    heard = [m for m in net.codec.messages.values() if net.interface.node not in m.senders]
    yield "unknown identifier", [Frame(id=i, data=b"\xff" * 8) for i in unknown]
    yield (
        "short frame",
        [Frame(id=m.frame_id, flags=net.flags(m.name), data=b"\xff" * shorter(m.length)) for m in heard],
    )
    yield "remote frame", [Frame(id=m.frame_id, flags=net.flags(m.name) | RTR, data=b"") for m in heard if not m.is_fd]
