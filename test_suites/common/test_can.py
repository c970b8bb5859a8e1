"""What every device owes its communication matrix."""

import numpy as np

from harness.marks import requirement
from harness.ports import BRS, EXT, FD

PEAK_NS = 100_000_000  # the window of a peak load


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


@requirement("CAN-FORMAT-001")
def test_frames_have_the_declared_format(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        rows = net.of_device(vehicle.watch(bus, parameters.watch_s))
        for message in net.sent_by_device():
            found = rows["flags"][rows["id"] == message.frame_id] & (EXT | FD | BRS)
            measure("wrong_formats", int(np.sum(found != net.flags(message.name))), message=message.name)


@requirement("CAN-MUX-001")
def test_every_page_comes_and_no_other(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net = vehicle.networks[bus]
        paged = [m for m in net.sent_by_device() if net.pages(m.name) and m.cycle_time]
        rows = vehicle.watch(
            bus, max((parameters.rounds * len(net.pages(m.name)) * m.cycle_time for m in paged), default=0) / 1000
        )
        for message in paged:
            selector = next(s.name for s in message.signals if s.is_multiplexer)
            seen = {int(raw) for raw in net.from_device(message.name, rows).signals[selector].raw}
            measure("pages_missing", len(set(net.pages(message.name)) - seen), message=message.name)
            measure("pages_undeclared", len(seen - set(net.pages(message.name))), message=message.name)


@requirement("CAN-LOAD-001")
def test_bus_load(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        rows = vehicle.watch(bus, parameters.watch_s)
        loads = vehicle.networks[bus].load(rows, PEAK_NS)[:-1]  # the last window is cut off
        measure("mean_percent", sum(loads) / len(loads), bus=bus)
        measure("peak_percent", max(loads), bus=bus)


@requirement("CAN-EVENT-001")
def test_an_event_is_told_once_and_soon(vehicle, interface, parameters, measure):
    for bus, event in events(interface):
        happened = trigger(vehicle, event)
        sent = vehicle.networks[bus].from_device(event.message, vehicle.watch(bus, parameters.watch_s)).time_ns
        measure("frames", len(sent), message=event.message)
        if len(sent):
            context = {"allowed_ms": event.within_ms, "message": event.message}
            measure("after_ms", (sent[0] - happened.time_ns) / 1e6, **context)


@requirement("CAN-EVENT-002")
def test_events_keep_their_distance(vehicle, interface, parameters, measure):
    for bus, event in events(interface):
        distance_ms = delay_ms(vehicle.networks[bus].codec.messages[event.message])
        start_ns = vehicle.time_ns
        for _ in range(round(parameters.times)):
            trigger(vehicle, event)
            vehicle.pass_time((distance_ms or event.within_ms) / 3000)
        vehicle.watch(bus, parameters.watch_s)
        rows = vehicle.between(vehicle.networks[bus], start_ns, vehicle.time_ns)
        sent = vehicle.networks[bus].from_device(event.message, rows).time_ns
        measure("frames", len(sent), message=event.message)
        context = {"distance_ms": float(distance_ms), "message": event.message}
        for gap_ns in np.diff(sent):
            measure("gap_ms", gap_ns / 1e6, **context)


def events(interface):
    """Everything that the device sends because something happened."""
    return [(bus, event) for bus, description in interface.buses.items() for event in description.events]


def trigger(vehicle, event):
    """Make it happen: by a frame of its own, or in the cycle of the message that says it."""
    path = next(iter(event.trigger))
    net, mapped = vehicle.find(path)
    return (
        vehicle.set_all(event.trigger) if net.codec.messages[mapped.message].cycle_time else vehicle.send(event.trigger)
    )


def delay_ms(message):
    """The least time between two frames of a message, by the matrix; 0 where it says none."""
    found = message.dbc.attributes.get("GenMsgDelayTime") if message.dbc else None
    return found.value if found else 0


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
