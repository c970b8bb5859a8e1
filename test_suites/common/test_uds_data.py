"""ISO 14229-1: records that are read and written, and the security access in front of them."""

from harness.marks import requirement
from harness.vehicle.diagnostics import DEFAULT, LONG, Nrc, few, told

SHOWN = 200
ODD = 0x9E37  # steps through all identifiers without a pattern


def read(did):
    return b"\x22" + did.to_bytes(2, "big")


def write(record, value):
    return b"\x2e" + record.did.to_bytes(2, "big") + value


# ---------------------------------------------------------------- records


@requirement("UDS-READ-001")
def test_every_declared_record_is_read(tester, interface, measure):
    texts = {i.did: i.text for i in interface.diagnostics.identification}
    for session in interface.diagnostics.sessions:
        tester.enter(session)
        for record in interface.diagnostics.data:
            value = tester.read(record.did)
            wrong = record.did in texts and value != texts[record.did].encode()
            measure("wrong_lengths", int(len(value) != record.length), did=f"{record.did:04X}", bytes=len(value))
            measure("wrong_values", int(wrong), did=f"{record.did:04X}")


@requirement("UDS-READ-002")
def test_records_that_nobody_declared_are_not_there(tester, interface, parameters, measure):
    diagnostics = interface.diagnostics
    declared = {0xF186, *(r.did for r in diagnostics.data), *(i.did for i in diagnostics.identification)}
    if diagnostics.authentication:
        declared |= {r.did for r in diagnostics.authentication.records}
    near = {did + n for did in declared for n in (-1, 1)}
    spread = {n * ODD % 0x10000 for n in range(round(parameters.identifiers))}
    asked = sorted((near | spread) - declared)
    tester.enter(diagnostics.sessions[-1])
    found = tester.wrong((read(did), Nrc.RANGE) for did in asked if 0 <= did <= 0xFFFF)
    measure("undeclared", len(found), asked=len(asked), which=few(found))


@requirement("UDS-READ-003")
def test_several_records_are_read_at_once(tester, interface, measure):
    first, last = interface.diagnostics.data[0], interface.diagnostics.data[-1]
    separate = [d.did.to_bytes(2, "big") + tester.read(d.did) for d in (first, last)]
    both = tester.ask(read(first.did) + last.did.to_bytes(2, "big"))
    measure("wrong_answers", int(both.data != b"\x62" + b"".join(separate)), answer=both.data.hex()[:SHOWN])
    partly = tester.ask(read(first.did) + b"\xff\xfe")
    measure("wrong_answers", int(partly.data != b"\x62" + separate[0]), answer=partly.data.hex()[:SHOWN])


@requirement("UDS-WRITE-001")
def test_what_is_written_is_read_even_after_power_was_away(vehicle, tester, interface, measure):
    record = tester.writable()
    before = tester.read(record.did)
    value = bytes(b ^ 0x5A for b in before)
    open_for_writing(tester, record)
    tester.positive(write(record, value))
    measure("not_written", int(tester.read(record.did) != value), after="writing")
    tester.reset()
    measure("not_written", int(tester.read(record.did) != value), after="a reset")
    if vehicle.power_port is not None:
        vehicle.power_cycle()
        tester.answers(within_s=interface.diagnostics.reset_s * LONG)
        measure("not_written", int(tester.read(record.did) != value), after="power was away")
    open_for_writing(tester, record)
    tester.positive(write(record, before))


def open_for_writing(tester, record):
    """In the session of writing, with the level of security that the record needs."""
    tester.in_session_of(0x2E)
    if record.security is not None:
        tester.unlock()


@requirement("UDS-WRITE-002")
def test_nothing_is_written_that_may_not_be(tester, interface, measure):
    record = tester.writable()
    before = tester.read(record.did)
    value = bytes(b ^ 0x5A for b in before)
    read_only = next(r for r in interface.diagnostics.data if not r.writable)
    tester.in_session_of(0x2E)
    locked = [(write(record, value), Nrc.SECURITY)] if record.security is not None else []
    found = tester.wrong(locked)
    open_for_writing(tester, record)
    too_short = [(write(record, value[:-1]), Nrc.LENGTH)] if record.length > 1 else []
    asked = [*too_short, (write(record, value + b"\0"), Nrc.LENGTH)]
    asked += [(write(read_only, bytes(read_only.length)), Nrc.RANGE), (b"\x2e\xff\xfe\0", Nrc.RANGE)]
    found += tester.wrong(asked)
    measure("wrong_answers", len(found), which=few(found))
    measure("changed", int(tester.read(record.did) != before))


# ---------------------------------------------------------------- security access


@requirement("UDS-SECURITY-001")
def test_right_key_unlocks(tester, measure):
    tester.in_session_of(0x27)
    measure("seeds_of_zero", int(not any(tester.seed())))
    tester.unlock()
    measure("not_unlocked", int(any(tester.seed())))


@requirement("UDS-SECURITY-002")
def test_another_session_locks_again(tester, measure):
    tester.in_session_of(0x27)
    tester.unlock()
    session = tester.session()
    tester.enter(DEFAULT)
    tester.enter(session)
    measure("still_unlocked", int(not any(tester.seed())), after="another session")
    tester.unlock()
    tester.positive(bytes([0x10, session]))
    measure("still_unlocked", int(not any(tester.seed())), after="the same session once more")


@requirement("UDS-SECURITY-003")
def test_too_many_wrong_keys_lock_even_over_a_reset(vehicle, tester, parameters, measure):
    level = tester.level()
    tester.in_session_of(0x27)
    asked_ns = vehicle.time_ns
    codes = []
    for _ in range(level.attempts):
        codes.append(tester.try_wrong_key().code)
        asked_ns = vehicle.time_ns
    measure(
        "wrong_codes",
        sum(c != w for c, w in zip(codes, wanted(level.attempts), strict=True)),
        codes=" ".join("positive" if c is None else f"{c:02X}" for c in codes),
    )
    ask = bytes([0x27, level.level])
    measure("not_locked", int(tester.ask(ask).code != Nrc.DELAY), after="the last attempt")
    tester.reset()
    tester.in_session_of(0x27)
    measure("not_locked", int(tester.ask(ask).code != Nrc.DELAY), after="a reset")
    wait_until(vehicle, tester, asked_ns + round((level.delay_s - parameters.margin_s) * 1e9))
    measure("not_locked", int(tester.ask(ask).code != Nrc.DELAY), after="most of the delay")
    wait_until(vehicle, tester, asked_ns + round((level.delay_s + parameters.margin_s) * 1e9))
    answer = tester.ask(ask)
    measure("still_locked", int(not answer.positive), answer=told(ask, answer))
    if level.key is not None and answer.positive:
        tester.unlock()  # and so nobody who comes later has fewer attempts


def wanted(attempts):
    """The codes of so many wrong keys."""
    return [Nrc.KEY] * (attempts - 1) + [Nrc.ATTEMPTS]


def wait_until(vehicle, tester, until_ns):
    """In the session, however long."""
    tester.keep(max(0.0, (until_ns - vehicle.time_ns) / 1e9))


@requirement("UDS-SECURITY-004")
def test_a_key_needs_a_seed_of_its_own(tester, measure):
    level = tester.level()
    tester.in_session_of(0x27)
    key = bytes([0x27, level.level + 1]) + b"\x5a" * level.key_length
    measure("wrong_answers", int(tester.ask(key).code != Nrc.SEQUENCE), before="any seed")
    tester.try_wrong_key()
    measure("wrong_answers", int(tester.ask(key).code != Nrc.SEQUENCE), before="a new seed")
    if level.key is not None:
        tester.unlock()


@requirement("UDS-SECURITY-005")
def test_seeds_do_not_repeat(vehicle, tester, parameters, measure):
    tester.in_session_of(0x27)
    seeds = []
    for _ in range(round(parameters.seeds)):
        seeds.append(tester.seed())
        vehicle.pass_time(parameters.apart_s)
    tester.reset()
    tester.in_session_of(0x27)
    seeds.append(tester.seed())
    bits = "".join(f"{b:08b}" for seed in seeds for b in seed)
    measure("repeated", len(seeds) - len(set(seeds)), of=len(seeds))
    measure("wrong_lengths", sum(len(s) != tester.level().seed_length for s in seeds))
    measure("ones", 100 * bits.count("1") / len(bits), bits=len(bits))
