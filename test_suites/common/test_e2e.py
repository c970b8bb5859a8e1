"""End-to-end protection, sent and received."""

from harness.can.e2e import check, jumps
from harness.marks import requirement
from harness.vehicle.stimulated import Tampering

HEALED_S = 5.0


@requirement("E2E-SENT-001")
def test_sent_frames_are_protected(vehicle, interface, parameters, measure):
    for bus, description in interface.buses.items():
        net = vehicle.networks[bus]
        ours = {m.name: m for m in net.sent_by_device()}
        for rule in description.e2e:
            if rule.message not in ours:
                continue
            cycle_ms = ours[rule.message].cycle_time or 100
            rows = vehicle.watch(bus, parameters.frames * cycle_ms / 1000)
            payloads = net.sent_payloads(rule.message, rows)
            if len(payloads) < 3:
                vehicle.complain(f"{rule.message} came {len(payloads)} times in {parameters.frames:.0f} of its periods")
            measure("crc_errors", sum(not check(rule, p) for p in payloads), message=rule.message)
            measure("counter_jumps", jumps(rule, payloads), message=rule.message)


@requirement("E2E-RECEIVED-001")
def test_wrong_protection_is_a_loss(vehicle, interface, parameters, measure):
    for bus, supervision, _ in guarded(interface):
        for name, wrong in (("crc_reaction_ms", Tampering(crc=0xA5)), ("counter_reaction_ms", Tampering(frozen=True))):
            measure(name, lost_after_ms(vehicle, bus, supervision, wrong), **allowed(supervision, parameters))
            vehicle.healed(bus, supervision, within_s=HEALED_S)


@requirement("E2E-COUNTER-001")
def test_a_counter_too_far_ahead_is_a_loss(vehicle, interface, parameters, measure):
    for bus, supervision, rule in guarded(interface):
        ahead = Tampering(step=rule.max_delta_counter + 1)
        measure("reaction_ms", lost_after_ms(vehicle, bus, supervision, ahead), **allowed(supervision, parameters))
        vehicle.healed(bus, supervision, within_s=HEALED_S)


@requirement("E2E-COUNTER-002")
def test_lost_frames_within_the_limit_are_tolerated(vehicle, interface, parameters, measure):
    for bus, supervision, rule in guarded(interface):
        net = vehicle.networks[bus]
        with vehicle.tampered(bus, supervision.message, Tampering(step=rule.max_delta_counter)):
            watched_s = parameters.timeouts * supervision.timeout_ms / 1000
            signs = net.from_device(net.owner(supervision.signal), vehicle.watch(bus, watched_s))
        labels = [str(label) for label in signs.signals[supervision.signal].labels()]
        measure(
            "taken_as_lost", labels.count(supervision.value), message=supervision.message, step=rule.max_delta_counter
        )


@requirement("E2E-IDENTITY-001")
def test_another_data_id_is_a_loss(vehicle, interface, parameters, measure):
    for bus, supervision, _ in guarded(interface):
        shown_ms = lost_after_ms(vehicle, bus, supervision, Tampering(foreign=True))
        measure("reaction_ms", shown_ms, **allowed(supervision, parameters))
        vehicle.healed(bus, supervision, within_s=HEALED_S)


def guarded(interface):
    """(bus, supervision, protection) of every message that the device both supervises and checks."""
    for bus, description in interface.buses.items():
        rules = {rule.message: rule for rule in description.e2e}
        for supervision in description.supervised:
            if supervision.message in rules:
                yield bus, supervision, rules[supervision.message]


def lost_after_ms(vehicle, bus, supervision, wrong):
    """Protect a message wrongly; how long the device takes to show it as lost."""
    with vehicle.tampered(bus, supervision.message, wrong) as first_bad:
        shown, _ = vehicle.reaction(bus, supervision, within_s=5 * supervision.timeout_ms / 1000 + 1)
    return shown.after_ms(first_bad)


def allowed(supervision, parameters):
    return {"allowed_ms": supervision.timeout_ms + parameters.tolerance_ms, "message": supervision.message}
