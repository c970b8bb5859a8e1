"""What an attacker on the bus or at the diagnostic socket must not reach: domain catalogue, 3.11; UN R155, annex 5."""

import random

from harness.marks import fresh, requirement
from harness.ports import EXT, Frame
from harness.vehicle.crash_signatures import crashes
from harness.vehicle.diagnostics import DEFAULT, PRESENT, PROGRAMMING, few, told

KEEPS_OUT = {
    0x11,
    0x27,
    0x2E,
    0x31,
    0x34,
    0x36,
    0x37,
}  # of random requests: what resets, locks out, or changes the device for good
MEMORY = (b"\x23\x14\x00\x00\x00\x00\x10", b"\x3d\x14\x00\x00\x00\x00\x01\x00", b"\x2f\xf1\x86\x00")
TRANSFER = (
    b"\x34\x00\x44\x00\x00\x00\x00\x00\x00\x01\x00",
    b"\x35\x00\x44\x00\x00\x00\x00\x00\x00\x01\x00",
    b"\x36\x01\x00",
    b"\x37",
)
SEED = 155  # the same attack every time
TOGETHER = 50  # random frames in a row


def still_itself(vehicle, measure, start_ns, **context):
    """No crash and no boot since, as far as there is a console that tells."""
    found = crashes(vehicle.said(start_ns))
    measure("unexpected_boots", vehicle.boots(start_ns), **context)
    measure("crash_lines", len(found), said=few(found), **context)


def still_sends(vehicle, bus, before, measure, parameters, **context):
    """Every message that it sent before."""
    net = vehicle.networks[bus]
    silent = net.fell_silent(before, net.snapshot(vehicle.watch(bus, parameters.watch_s)))
    measure("silent_messages", len(silent), bus=bus, **context, which=" ".join(silent))


def random_frame(chance, known, spare):
    """Half of the frames with an identifier of the matrix, half with any; lengths and data at random."""
    while True:
        if chance.random() < 0.5:
            identifier, flags = chance.choice(known)
        else:
            flags = EXT if chance.random() < 0.3 else 0
            identifier = chance.randrange(1 << (29 if flags else 11))
        if identifier not in spare:
            return Frame(id=identifier, flags=flags, data=chance.randbytes(chance.randrange(9)))


@requirement("SEC-FUZZ-001")
@fresh
def test_random_frames_do_no_lasting_harm(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net, chance = vehicle.networks[bus], random.Random(SEED)
        spare = interface.reserved(bus)
        known = [(m.frame_id, EXT if m.is_extended_frame else 0) for m in net.codec.messages.values()]
        before, start_ns = net.snapshot(vehicle.watch(bus, parameters.watch_s)), vehicle.time_ns
        for _ in range(round(parameters.frames / TOGETHER)):
            vehicle.send_all(bus, [random_frame(chance, known, spare) for _ in range(TOGETHER)])
        vehicle.pass_time(parameters.recovery_s)
        still_sends(vehicle, bus, before, measure, parameters, sent=parameters.frames)
        still_itself(vehicle, measure, start_ns, bus=bus)


@requirement("SEC-FUZZ-002")
def test_random_requests_do_no_harm(vehicle, tester, interface, parameters, measure):
    chance, start_ns, malformed, dead = random.Random(SEED), vehicle.time_ns, [], 0
    services = [s for s in range(0x40) if s not in KEEPS_OUT]
    declared = [s.sid for s in interface.diagnostics.services if s.sid not in KEEPS_OUT]
    for _ in range(round(parameters.requests)):
        sid = chance.choice(declared if chance.random() < 0.7 else services)
        request = bytes([sid]) + chance.randbytes(chance.randrange(2 * tester.short))
        if sid == 0x10 and len(request) > 1 and request[1] & 0x7F == PROGRAMMING:
            continue  # it leaves for its boot loader
        answer = tester.attempt(request, within_s=tester.silent_s)
        if answer is None:
            dead += int(tester.attempt(PRESENT) is None)
        negative = answer is not None and not answer.positive
        if negative and (len(answer.data) != 3 or answer.data[1] != sid):
            malformed.append(told(request, answer))
    measure("malformed_answers", len(malformed), sent=parameters.requests, which=few(malformed))
    tester.alive()
    measure("unanswered", dead)
    still_itself(vehicle, measure, start_ns)


@requirement("SEC-SPOOF-001")
@fresh
def test_others_with_its_own_identifiers_do_not_silence_it(vehicle, interface, parameters, measure):
    for bus in interface.buses:
        net, start_ns = vehicle.networks[bus], vehicle.time_ns
        spare = interface.reserved(bus)
        before = net.snapshot(vehicle.watch(bus, parameters.watch_s))
        mine = [m for m in net.codec.messages.values() if net.interface.node in m.senders and m.frame_id not in spare]
        for _ in range(round(parameters.rounds)):
            for message in mine:
                data = bytes(message.length)
                vehicle.send_raw(bus, Frame(id=message.frame_id, flags=net.flags(message.name), data=data))
        still_sends(vehicle, bus, before, measure, parameters)
        still_itself(vehicle, measure, start_ns, bus=bus)


@requirement("SEC-REPLAY-001")
def test_a_key_that_was_heard_opens_nothing_again(tester, measure):
    level = tester.level()
    for between in ("a new seed", "a reset"):
        tester.in_session_of(0x27)
        heard = tester.unlock()
        if between == "a reset":
            tester.reset()
        tester.in_session_of(0x27)
        tester.seed()
        answer = tester.ask(bytes([0x27, level.level + 1]) + heard)
        measure("opened", int(answer.positive), after=between, answer=answer.data.hex())
        tester.in_session_of(0x27)
        tester.unlock()


@requirement("SEC-ACCESS-001")
def test_locked_it_gives_nothing_away(tester, interface, measure):
    """Memory, transfers, secured records and routines, in every session that can be had without a key."""
    diagnostics = interface.diagnostics
    secured = [b"\x2e" + r.did.to_bytes(2, "big") + bytes(r.length) for r in diagnostics.data if r.security is not None]
    secured += [b"\x31\x01" + r.rid.to_bytes(2, "big") for r in diagnostics.routines if r.security is not None]
    before = {r.did: tester.read(r.did) for r in diagnostics.data}
    for session in diagnostics.sessions:
        tester.enter(session)
        answers = [(request, tester.attempt(request)) for request in (*MEMORY, *TRANSFER, *secured)]
        given = [told(request, answer) for request, answer in answers if answer is not None and answer.positive]
        measure("granted", len(given), session=session, asked=len(answers), which=few(given))
    tester.enter(DEFAULT)
    changed = [f"{did:04X}" for did, value in before.items() if tester.read(did) != value]
    measure("changed", len(changed), which=" ".join(changed))
