"""ISO 14229-1: sessions and their time, resets, what is answered and what is refused, in which order, again and again."""

import itertools

from harness.marks import requirement
from harness.vehicle.crash_signatures import crashes
from harness.vehicle.diagnostics import DEFAULT, LONG, PRESENT, SUPPRESS, Nrc, few, told

NO_SERVICE = {*range(0x40, 0x80), *range(0xC0, 0x100)}  # of answers, not of requests (ISO 14229-1, table 2)
REST = {0x19: b"\xff", 0x28: b"\x01", 0x2F: b"\0\0\0", 0x31: b"\0\0"}  # what makes a request with a sub-function whole
FIXED = {
    0x10: b"\x01",
    0x11: b"\x01",
    0x27: b"\x01",
    0x28: b"\0\x01",
    0x29: b"\0",
    0x3E: b"\0",
    0x85: b"\x01",
    0x14: b"\xff\xff\xff",
}
MOST_RECORDS = 4  # that are read in turn
WHOLE = (0x37,)  # by its identifier alone; what may follow is the vendor's


@requirement("UDS-SESSION-001")
def test_every_session_is_entered_and_told(tester, interface, measure):
    declared = [round(interface.diagnostics.p2_ms), round(interface.diagnostics.p2_star_ms / 10)]
    for session in (*interface.diagnostics.sessions, *interface.diagnostics.sessions):
        answer = tester.enter(session)
        times = [int.from_bytes(answer.data[n : n + 2], "big") for n in (2, 4)]
        measure("wrong_sessions", int(answer.data[1] != session or tester.session() != session), session=session)
        measure("wrong_times", int(len(answer.data) != 6 or times != declared), session=session, told=answer.data.hex())


@requirement("UDS-SESSION-002")
def test_sessions_that_nobody_declared_are_refused(tester, interface, measure):
    service = interface.diagnostics.service(0x10)
    others = [s for s in range(1, 128) if s not in (*service.subfunctions, *interface.diagnostics.sessions)]
    found = tester.wrong((bytes([0x10, s]), Nrc.SUBFUNCTION) for s in others)
    measure("wrong_answers", len(found), asked=len(others), which=few(found))
    measure("sessions_left", int(tester.session() != DEFAULT))


@requirement("UDS-SUPPRESS-001")
def test_what_is_to_be_done_in_silence_is_done_in_silence(tester, measure):
    measure("answers", int(tester.silence(bytes([0x3E, SUPPRESS])) is not None), request="3e80")
    other = tester.other_session()
    quiet = bytes([0x10, SUPPRESS | other])
    measure("answers", int(tester.silence(quiet) is not None), request=quiet.hex())
    measure("not_done", int(tester.session() != other))
    refused = tester.attempt(bytes([0x10, SUPPRESS | 0x7E]))
    measure("not_refused", int(refused is None or refused.code != Nrc.SUBFUNCTION), answer=told(b"\x10\xfe", refused))


@requirement("UDS-S3-001")
def test_session_ends_when_nobody_asks_any_more(vehicle, tester, interface, parameters, measure):
    s3_s, other = interface.diagnostics.s3_ms / 1e3, tester.other_session()
    tester.enter(other)
    vehicle.pass_time((1 - parameters.tolerance) * s3_s)
    measure("ended_early", int(tester.session() != other))
    tester.enter(other)
    vehicle.pass_time((1 + parameters.tolerance) * s3_s)
    measure("ended_late", int(tester.session() != DEFAULT))


@requirement("UDS-S3-002")
def test_tester_present_keeps_the_session(tester, interface, parameters, measure):
    other = tester.other_session()
    tester.enter(other)
    tester.keep(parameters.times * interface.diagnostics.s3_ms / 1e3)
    measure("ended", int(tester.session() != other))


@requirement("UDS-P2-001")
def test_answers_within_the_time_that_it_tells(tester, parameters, measure):
    advertised_ms = int.from_bytes(tester.enter(DEFAULT).data[2:4], "big")
    requests = itertools.cycle([PRESENT, b"\x22\xf1\x86", b"\x10\x01", b"\x22\xff\xff", b"\x3e\x7f"])
    took_ms = sorted(tester.ask(next(requests)).first_ms for _ in range(round(parameters.times)))
    at = round(0.95 * (len(took_ms) - 1))
    measure("late_ms", took_ms[-1] - advertised_ms, of="slowest", took_ms=took_ms[-1], p95_ms=took_ms[at])


@requirement("UDS-RESET-001")
def test_resets_after_it_has_answered_and_comes_back(vehicle, tester, interface, measure):
    service = interface.diagnostics.service(0x11)
    for kind in (k for k in (1, 3) if k in service.subfunctions):
        tester.enter(service.sessions[-1])
        answer = tester.attempt(bytes([0x11, kind]))
        since_ns = answer.payload.last_ns if answer else vehicle.time_ns
        measure("unanswered", int(answer is None or answer.data != bytes([0x51, kind])), kind=kind)
        back_ns = tester.answers(within_s=LONG * interface.diagnostics.reset_s)
        measure("reset_s", (back_ns - since_ns) / 1e9, kind=kind, declared_s=interface.diagnostics.reset_s)
        measure("sessions_left", int(tester.session() != DEFAULT), kind=kind)


@requirement("UDS-PRESENT-001")
def test_tester_present_takes_nothing_else(tester, measure):
    wanted = {b"\x3e\x00": None, b"\x3e\x01": Nrc.SUBFUNCTION, b"\x3e\x7f": Nrc.SUBFUNCTION, b"\x3e": Nrc.LENGTH}
    found = tester.wrong([*wanted.items(), (b"\x3e\x00\x00", Nrc.LENGTH)])
    measure("wrong_answers", len(found), which=few(found))


@requirement("UDS-SERVICES-001")
def test_services_that_nobody_declared_are_not_there(tester, interface, measure):
    declared = {s.sid for s in interface.diagnostics.services}
    for session in interface.diagnostics.sessions:
        tester.enter(session)
        asked = [bytes([sid, *rest]) for sid in range(256) if sid not in declared for rest in ((), (1,), (0, 0, 0))]
        answers = [(request, tester.attempt(request)) for request in asked if request[0] not in NO_SERVICE]
        answers += [(r, tester.silence(r)) for r in asked if r[0] in NO_SERVICE and r[0] % 16 == 1]
        found = [
            told(r, a)
            for r, a in answers
            if (a is None or a.code != Nrc.SERVICE) and not (a is None and r[0] in NO_SERVICE)
        ]
        measure("undeclared", len(found), session=session, asked=len(answers), which=few(found))


@requirement("UDS-SERVICES-002")
def test_services_are_refused_outside_their_sessions(tester, interface, measure):
    for session in interface.diagnostics.sessions:
        tester.enter(session)
        elsewhere = [s for s in interface.diagnostics.services if session not in s.sessions]
        found = tester.wrong((bytes([s.sid]) + FIXED.get(s.sid, b"\x01\xf1\x86"), Nrc.SESSION) for s in elsewhere)
        measure("wrong_answers", len(found), session=session, which=few(found))


@requirement("UDS-LENGTH-001")
def test_requests_too_short_and_too_long_are_refused(tester, interface, measure):
    for service in (s for s in interface.diagnostics.services if s.sid not in WHOLE):
        tester.in_session_of(service.sid)
        sid = bytes([service.sid])
        asked = [sid] + ([sid + FIXED[service.sid] + b"\0"] if service.sid in FIXED else [])
        asked += [sid + b"\xf1", sid + b"\xf1\x86\xf1"] if service.sid == 0x22 else []
        found = tester.wrong((request, Nrc.LENGTH) for request in asked)
        measure("wrong_answers", len(found), service=f"{service.sid:02X}", which=few(found))


@requirement("UDS-SUBFUNCTION-001")
def test_sub_functions_that_nobody_declared_are_refused(tester, interface, measure):
    for service in (s for s in interface.diagnostics.services if s.subfunctions and s.sid != 0x10):
        tester.in_session_of(service.sid)
        others = [n for n in range(128) if n not in service.subfunctions]
        rest = REST.get(service.sid, b"")
        found = tester.wrong((bytes([service.sid, n]) + rest, Nrc.SUBFUNCTION) for n in others)
        measure("wrong_answers", len(found), service=f"{service.sid:02X}", asked=len(others), which=few(found))


@requirement("UDS-FUNCTIONAL-001")
def test_request_to_all_is_answered_only_where_that_tells_something(tester, interface, measure):
    measure("unanswered", int(tester.attempt(b"\x3e\x00", functional=True) is None))
    elsewhere = next((s.sid for s in interface.diagnostics.services if DEFAULT not in s.sessions), None)
    requests = [b"\xba\x00", b"\x3e\x55", b"\x22\xff\xfe", *([bytes([elsewhere, 1])] if elsewhere else [])]
    for request in requests:
        answer = tester.silence(request, functional=True)
        measure("answers", int(answer is not None), request=request.hex(), answer=told(request, answer))


@requirement("UDS-ORDER-001")
def test_of_two_violations_the_declared_one_is_told(tester, interface, measure):
    order, codes = (
        interface.diagnostics.order,
        {"session": Nrc.SESSION, "length": Nrc.LENGTH, "subfunction": Nrc.SUBFUNCTION},
    )
    service = next((s for s in interface.diagnostics.services if DEFAULT not in s.sessions), None)
    wanted = []
    if service is not None:
        wanted.append((bytes([service.sid]), codes[min(("session", "length"), key=order.index)]))
    wanted.append((b"\x3e\x55\x00", codes[min(("length", "subfunction"), key=order.index)]))
    found = tester.wrong(wanted)
    measure("wrong_answers", len(found), order=" ".join(order), which=few(found))


@requirement("UDS-STATE-001")
def test_answers_do_not_depend_on_what_was_asked_before(tester, parameters, measure):
    did = tester.told.data[0].did.to_bytes(2, "big")
    requests = [b"\x3e\x00", b"\x22" + did, b"\x22\xff\xff", b"\x10\x01", b"\x3e", b"\xba", b"\x3e\x7f", b"\x10\x7f"]
    usual = {r: tester.ask(r).code for r in requests}
    found, asked = [], 0
    for _ in range(round(parameters.rounds)):
        for one, other in itertools.product(requests, requests):
            for request in (one, other):
                answer = tester.attempt(request)
                asked += 1
                if answer is None or answer.code != usual[request]:
                    found.append(f"{told(request, answer)} after {one.hex()}")
    measure("other_answers", len(found), asked=asked, which=few(found))


@requirement("UDS-SOAK-001")
def test_ten_requests_a_second_are_answered_for_long(vehicle, tester, interface, parameters, measure):
    diagnostics, start_ns, took_ms, unanswered = interface.diagnostics, vehicle.time_ns, [], []
    requests = itertools.cycle(
        [PRESENT, *(b"\x22" + r.did.to_bytes(2, "big") for r in diagnostics.data[:MOST_RECORDS])]
    )
    for n in range(round(parameters.soak_s * parameters.per_s)):
        vehicle.pass_time(max(0.0, n / parameters.per_s - (vehicle.time_ns - start_ns) / 1e9))
        request = next(requests)
        answer = tester.attempt(request)
        if answer is None:
            unanswered.append(f"{request.hex()} at {(vehicle.time_ns - start_ns) / 1e9:.1f} s")
        else:
            took_ms.append(answer.first_ms)
    took_ms.sort()
    measure("unanswered", len(unanswered), which=few(unanswered))
    if took_ms:
        p95_ms = took_ms[round(0.95 * (len(took_ms) - 1))]
        measure("late_ms", took_ms[-1] - diagnostics.p2_ms, of="slowest", took_ms=took_ms[-1], p95_ms=p95_ms)
    found = crashes(vehicle.said(start_ns))
    measure("unexpected_boots", vehicle.boots(start_ns))
    measure("crash_lines", len(found), said=few(found))
