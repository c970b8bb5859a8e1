"""End-to-end protection, sent and received."""

from harness.marks import requirement
from harness.protection import check, jumps


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
    for bus, description in interface.buses.items():
        protected = {rule.message for rule in description.e2e}
        for supervision in description.supervised:
            if supervision.message not in protected:
                continue
            allowed_ms = supervision.timeout_ms + parameters.tolerance_ms
            context = {"allowed_ms": allowed_ms, "message": supervision.message}
            for name, how in (("crc_reaction_ms", {"crc": 0xA5}), ("counter_reaction_ms", {"frozen": True})):
                with vehicle.tampered(bus, supervision.message, **how) as first_bad:
                    shown, _ = vehicle.reaction(bus, supervision, within_s=5 * supervision.timeout_ms / 1000 + 1)
                measure(name, shown.after_ms(first_bad), **context)
                vehicle.healed(bus, supervision, within_s=5.0)
