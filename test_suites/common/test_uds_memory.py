"""ISO 14229-1: trouble codes from their failure to their clearing, communication that is silenced, routines."""

from contextlib import contextmanager

from harness.marks import requirement
from harness.vehicle.diagnostics import DEFAULT, LONG, Nrc, few, told

FAILED, CONFIRMED = 0x01, 0x08
SOUND_S = 0.5  # until the device has seen that a message is there again


def listed(codes):
    return " ".join(f"{code:06X}:{status:02X}" for code, status in codes.items())


@contextmanager
def lost(vehicle, trouble, seconds):
    """The message of a trouble code does not come, for so long already."""
    bus = next(b for b, net in vehicle.networks.items() if trouble.lost in net.codec.messages)
    with vehicle.silent(bus, trouble.lost):
        vehicle.pass_time(seconds)
        yield


def fail(vehicle, tester, trouble, times=3.0):
    """The trouble came, for so many times as long as it takes, and went; the codes in between."""
    with lost(vehicle, trouble, times * trouble.after_ms / 1e3):
        found = tester.troubles()
    vehicle.pass_time(SOUND_S)
    return found


# ---------------------------------------------------------------- trouble codes


@requirement("UDS-DTC-001")
def test_a_lost_message_is_a_trouble_code_until_it_is_cleared(vehicle, tester, interface, parameters, measure):
    vehicle.pass_time(parameters.cycle_s)  # the device has looked for every trouble since it started
    for trouble in interface.diagnostics.troubles:
        tester.clear_troubles()
        code = f"{trouble.code:06X}"
        measure("early", int(tester.troubles().get(trouble.code, 0) & (FAILED | CONFIRMED) != 0), code=code)
        status = fail(vehicle, tester, trouble, parameters.times).get(trouble.code, 0)
        measure("not_failed", int(status & (FAILED | CONFIRMED) != FAILED | CONFIRMED), code=code, status=status)
        status = tester.troubles().get(trouble.code, 0)
        measure("not_healed", int(status & FAILED != 0), code=code, status=status)
        measure("forgotten", int(status & CONFIRMED == 0), code=code, status=status)
    tester.clear_troubles()


@requirement("UDS-DTC-002")
def test_cleared_trouble_codes_are_gone(vehicle, tester, interface, measure):
    trouble = interface.diagnostics.troubles[0]
    fail(vehicle, tester, trouble)
    tester.clear_troubles()
    measure("left", len(tester.troubles(CONFIRMED | FAILED)), when="at once")
    vehicle.pass_time(SOUND_S)
    tester.reset()
    measure("left", len(tester.troubles(CONFIRMED | FAILED)), when="after a reset")
    fail(vehicle, tester, trouble)
    tester.positive(b"\x14" + trouble.code.to_bytes(3, "big"))
    measure("left", int(trouble.code in tester.troubles(CONFIRMED)), when="cleared by itself")


@requirement("UDS-DTC-003")
def test_trouble_codes_stay_as_they_are_while_their_setting_is_off(vehicle, tester, interface, measure):
    trouble = interface.diagnostics.troubles[0]
    long_s = 3 * trouble.after_ms / 1e3
    tester.clear_troubles()
    for ended in ("85 01", "the session"):
        tester.in_session_of(0x85)
        tester.positive(b"\x85\x02")
        with lost(vehicle, trouble, long_s):
            measure("set_anyway", int(trouble.code in tester.troubles(FAILED)), ended_by=ended)
        vehicle.pass_time(SOUND_S)
        tester.positive(b"\x85\x01" if ended == "85 01" else bytes([0x10, DEFAULT]))
        found = fail(vehicle, tester, trouble)
        measure("stayed_off", int(trouble.code not in found), ended_by=ended, codes=listed(found))
        tester.in_session_of(0x85)
        tester.positive(b"\x85\x01")
        tester.enter(DEFAULT)
        tester.clear_troubles()


@requirement("UDS-DTC-004")
def test_a_trouble_code_has_its_snapshot(vehicle, tester, interface, measure):
    trouble, snapshot = interface.diagnostics.troubles[0], interface.diagnostics.snapshot
    tester.clear_troubles()
    code = trouble.code.to_bytes(3, "big")
    none = tester.positive(b"\x19\x04" + code + b"\xff").data
    measure("before_any", int(len(none) > 6), answer=none.hex())
    fail(vehicle, tester, trouble)
    data = tester.positive(b"\x19\x04" + code + b"\xff").data
    record = data[6:]  # number, how many identifiers, the identifier, its data
    there = len(record) == 4 + snapshot.length and record[2:4] == snapshot.did.to_bytes(2, "big")
    measure("missing", int(not there or not any(record[4:])), answer=data.hex())
    refused = tester.wrong([(b"\x19\x04\xab\xcd\xef\xff", Nrc.RANGE), (b"\x19\x04" + code, Nrc.LENGTH)])
    measure("wrong_answers", len(refused), which=few(refused))
    tester.clear_troubles()


@requirement("UDS-DTC-005")
def test_reports_of_trouble_codes_agree(vehicle, tester, interface, measure):
    declared = {t.code for t in interface.diagnostics.troubles}
    fail(vehicle, tester, interface.diagnostics.troubles[0])
    for mask in (0xFF, CONFIRMED, FAILED, 0x00):
        count = tester.positive(bytes([0x19, 0x01, mask])).data
        found = tester.troubles(mask)
        says = int.from_bytes(count[4:6], "big")
        measure("disagreeing", int(len(count) != 6 or says != len(found)), mask=mask, says=says, codes=listed(found))
        wrong = [c for c, s in found.items() if not s & mask]
        measure("disagreeing", len(wrong), mask=mask, codes=listed(found))
    supported = tester.positive(b"\x19\x0a").data[3:]
    codes = {int.from_bytes(supported[n : n + 3], "big") for n in range(0, len(supported), 4)}
    measure("undeclared", len(codes ^ declared), codes=" ".join(f"{c:06X}" for c in sorted(codes)))
    tester.clear_troubles()


@requirement("UDS-DTC-006")
def test_groups_that_are_not_there_are_not_cleared(tester, measure):
    asked = [(b"\x14\xab\xcd\xef", Nrc.RANGE), (b"\x14\x00\x00\x01", Nrc.RANGE), (b"\x14\xff\xff", Nrc.LENGTH)]
    found = tester.wrong(asked)
    measure("wrong_answers", len(found), which=few(found))


@requirement("UDS-DTC-007")
def test_trouble_codes_outlive_their_power(vehicle, tester, interface, measure):
    trouble = interface.diagnostics.troubles[0]
    tester.clear_troubles()
    fail(vehicle, tester, trouble)
    asked = b"\x19\x04" + trouble.code.to_bytes(3, "big") + b"\xff"
    before = tester.positive(asked).data[6:]
    vehicle.power_cycle()
    tester.answers(within_s=LONG * interface.diagnostics.reset_s)
    found = tester.troubles(CONFIRMED)
    measure("forgotten", int(trouble.code not in found), codes=listed(found))
    after = tester.positive(asked).data[6:]
    measure("other_snapshots", int(after != before), before=before.hex(), after=after.hex())
    tester.clear_troubles()


@requirement("UDS-DTC-008")
def test_trouble_codes_age(vehicle, tester, interface, parameters, measure):
    trouble, declared = interface.diagnostics.troubles[0], interface.diagnostics.ageing_cycles
    tester.clear_troubles()
    fail(vehicle, tester, trouble)
    cycles = 0
    while trouble.code in tester.troubles(CONFIRMED) and cycles < declared + parameters.more_cycles:
        tester.reset()
        vehicle.pass_time(parameters.cycle_s)
        cycles += 1
    measure("cycles_more", cycles - declared, cycles=cycles, declared=declared)
    tester.clear_troubles()


# ---------------------------------------------------------------- communication


def heard(vehicle, tester, seconds):
    """How many frames the device sends, beside those of diagnostics and network management."""
    rows = tester.net.of_device(vehicle.watch(tester.net.name, seconds))
    nm = tester.net.interface.nm
    other = (rows["id"] != tester.told.response) & ((rows["id"] < nm.first) | (rows["id"] > nm.last) if nm else True)
    return int(other.sum())


def silenced(vehicle, tester):
    tester.in_session_of(0x28)
    tester.positive(b"\x28\x03\x01")
    vehicle.pass_time(0.1)


@requirement("UDS-CONTROL-001")
def test_communication_is_silenced_and_comes_back(vehicle, tester, parameters, measure):
    silenced(vehicle, tester)
    measure("frames_in_silence", heard(vehicle, tester, parameters.listen_s))
    tester.positive(b"\x28\x00\x01")
    measure("frames_afterwards", heard(vehicle, tester, parameters.listen_s), ended_by="28 00")
    silenced(vehicle, tester)
    tester.enter(DEFAULT)
    measure("frames_afterwards", heard(vehicle, tester, parameters.listen_s), ended_by="10 01")


@requirement("UDS-CONTROL-002")
def test_silence_ends_with_its_session(vehicle, tester, parameters, measure):
    silenced(vehicle, tester)
    tester.outwait_session()
    measure("frames_afterwards", heard(vehicle, tester, parameters.listen_s), ended_by="S3")
    silenced(vehicle, tester)
    tester.reset()
    measure("frames_afterwards", heard(vehicle, tester, parameters.listen_s), ended_by="a reset")


# ---------------------------------------------------------------- routines


@requirement("UDS-ROUTINE-001")
def test_routines_start_stop_and_tell_in_their_order(tester, interface, measure):
    for routine in interface.diagnostics.routines:
        tester.in_session_of(0x31)
        rid = routine.rid.to_bytes(2, "big")
        if routine.security is not None:
            found = tester.wrong([(b"\x31\x01" + rid, Nrc.SECURITY)])
            measure("wrong_answers", len(found), rid=rid.hex(), which=few(found))
            tester.unlock()
        early = [(b"\x31" + bytes([n]) + rid, Nrc.SEQUENCE) for n in (2, 3)]
        found = tester.wrong([*early, (b"\x31\x01" + rid, None), (b"\x31\x03" + rid, None), (b"\x31\x02" + rid, None)])
        measure("wrong_answers", len(found), rid=rid.hex(), which=few(found))
    found = tester.wrong([(b"\x31\x01\xab\xcd", Nrc.RANGE), (b"\x31\x01\xab", Nrc.LENGTH)])
    measure("wrong_answers", len(found), which=few(found))


@requirement("UDS-P2-002")
def test_a_long_routine_says_that_it_goes_on(tester, interface, measure):
    for routine in (r for r in interface.diagnostics.routines if r.takes_s):
        tester.in_session_of(0x31)
        if routine.security is not None:
            tester.unlock()
        request, session = b"\x31\x01" + routine.rid.to_bytes(2, "big"), tester.session()
        answer = tester.ask(request)
        measure("not_positive", int(not answer.positive), answer=told(request, answer))
        measure("never_pending", int(not answer.next_ms), rid=f"{routine.rid:04X}")
        for took_ms in answer.next_ms:
            measure("next_ms", took_ms, rid=f"{routine.rid:04X}", declared_ms=interface.diagnostics.p2_star_ms)
        measure("sessions_left", int(tester.session() != session))
