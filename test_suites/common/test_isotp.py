"""ISO 15765-2: how the device takes messages apart and puts them together, and what it does when the other side breaks the rules."""

from statistics import median

from harness.marks import requirement
from harness.ports import FD, TX
from harness.vehicle.isotp import CONSECUTIVE, CONTINUE, FIRST, FLOW, N_BS_S, N_CR_S, OVERFLOW, WAIT, gap_ms

LATER = 1.2  # times the limit after which the other side has given up
KINDLESS = range(4, 16)
SHOWN = 200


def long_request(tester):
    """A request of a first frame and three more: a record, asked for again and again."""
    return b"\x22" + tester.told.data[0].did.to_bytes(2, "big") * -(-(3 * tester.room - 4) // 2)


def long_answer(tester):
    """A request whose answer takes a first frame and four more: the longest record, as often as that needs."""
    record = max(tester.told.data, key=lambda r: r.length)
    return b"\x22" + record.did.to_bytes(2, "big") * -(-4 * tester.room // (record.length + 2))


def began(tester, request):
    """A request's first frame, cleared to go on."""
    tester.put(tester.first(request))
    tester.cleared()
    return tester.following(request)


def head_of_answer(vehicle, tester):
    """The first frame of a long answer, which waits for us."""
    tester.send(long_answer(tester))
    head = tester.next(tester.answer_s)
    if head is None or head.kind != FIRST:
        vehicle.complain(f"a long answer should begin with a first frame, not {head.data.hex() if head else 'silence'}")
    return head


def following(frames):
    return [f for f in frames if f.kind == CONSECUTIVE]


def shown(frames):
    return " ".join(f.data.hex() for f in frames)[:SHOWN]


@requirement("ISOTP-FLOW-001")
def test_flow_control_comes_in_time_and_means_something(vehicle, tester, measure):
    request = long_request(tester)
    asked_ns = tester.put(tester.first(request))
    flow = tester.next(N_BS_S)
    if flow is None or flow.kind != FLOW or len(flow.data) < 3:
        vehicle.complain(f"a flow control should follow a first frame, not {flow.data.hex() if flow else 'silence'}")
    measure("flow_ms", (flow.time_ns - asked_ns) / 1e6)
    separation = flow.data[2]
    reserved = separation > 0x7F and not 0xF1 <= separation <= 0xF9
    measure("reserved_values", int(reserved) + int(flow.data[0] & 15 > OVERFLOW), flow=flow.data.hex())
    for data in tester.following(request):
        tester.put(data)
        vehicle.pass_time(gap_ms(separation) / 1e3)
    tester.receive(tester.answer_s)
    tester.alive()


@requirement("ISOTP-SEQUENCE-001")
def test_wrong_sequence_number_ends_a_message(tester, measure):
    request = long_request(tester)
    right = tester.following(request)
    broken = {"skipped": right[1:], "repeated": [right[0], *right], "swapped": [right[1], right[0], *right[2:]]}
    for how, frames in broken.items():
        began(tester, request)
        for data in frames:
            tester.put(data)
        measure("answers", len(tester.during(tester.silent_s)), how=how)
        tester.alive()


@requirement("ISOTP-LOST-001")
def test_message_that_does_not_go_on_is_given_up(vehicle, tester, measure):
    first, *others = began(tester, long_request(tester))
    tester.put(first)
    vehicle.pass_time(LATER * N_CR_S)
    for data in others:
        tester.put(data)
    measure("answers", len(tester.during(tester.silent_s)))
    tester.alive()


@requirement("ISOTP-ABORT-001")
def test_new_request_takes_the_place_of_an_unfinished_one(tester, measure):
    left = began(tester, long_request(tester))
    measure("unanswered", int(tester.attempt(b"\x3e\x00") is None), new="single frame")
    for data in left:
        tester.put(data)
    measure("answers_to_old", len(tester.during(tester.silent_s)))
    began(tester, long_request(tester))
    measure("unanswered", int(tester.attempt(long_request(tester)) is None), new="first frame")


@requirement("ISOTP-GAP-001")
def test_consecutive_frames_keep_the_separation_that_is_asked_for(vehicle, tester, measure):
    for separation in (0, 10, 20, 0xF5, 0x80):
        wanted_ms = gap_ms(separation)
        head = head_of_answer(vehicle, tester)
        tester.flow(CONTINUE, 0, separation)
        apart_ms = tester.apart_ms(tester.rest(head, ()).frames[1:])
        measure("short_ms", wanted_ms - min(apart_ms), asked_ms=wanted_ms)
        measure("long_ms", median(apart_ms) - 1.1 * wanted_ms, asked_ms=wanted_ms)


@requirement("ISOTP-BLOCK-001")
def test_block_size_is_kept(vehicle, tester, parameters, measure):
    head = head_of_answer(vehicle, tester)
    tester.flow(CONTINUE, 2, 0)
    block = following(tester.during(parameters.listen_s))
    measure("frames_beyond", abs(len(block) - 2), block=shown(block))
    tester.flow()
    measure("bytes", len(tester.rest(head, tuple(block)).data))
    tester.alive()


@requirement("ISOTP-WAIT-001")
def test_waits_when_told_to(vehicle, tester, parameters, measure):
    head = head_of_answer(vehicle, tester)
    for _ in range(3):
        tester.flow(WAIT)
        early = following(tester.during(parameters.listen_s))
        measure("frames_meanwhile", len(early), frames=shown(early))
    tester.flow()
    measure("bytes", len(tester.rest(head, ()).data))
    tester.alive()


@requirement("ISOTP-OVERFLOW-001")
def test_sends_nothing_to_who_has_no_room(vehicle, tester, parameters, measure):
    head_of_answer(vehicle, tester)
    tester.flow(OVERFLOW)
    frames = following(tester.during(parameters.listen_s))
    measure("frames", len(frames), frames=shown(frames))
    tester.alive()


@requirement("ISOTP-NOFLOW-001")
def test_gives_up_sending_without_flow_control(vehicle, tester, parameters, measure):
    head_of_answer(vehicle, tester)
    frames = following(tester.during(LATER * N_BS_S))
    tester.flow()
    frames += following(tester.during(parameters.listen_s))
    measure("frames", len(frames), frames=shown(frames))
    tester.alive()


@requirement("ISOTP-OVERSIZE-001")
def test_message_without_end_does_no_harm(tester, measure):
    for size in (0xFFF, 0x1000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
        tester.put(tester.first(bytes(tester.room), size))
        frames = tester.during(tester.silent_s)
        others = [f for f in frames if f.kind != FLOW]
        measure("answers", len(others), size=size, frames=shown(others))
        tester.alive()


@requirement("ISOTP-PADDING-001")
def test_every_frame_is_filled_as_declared(vehicle, tester, measure):
    start_ns = vehicle.time_ns
    tester.attempt(long_request(tester))
    tester.attempt(long_answer(tester))
    tester.alive()
    frames = tester.theirs(vehicle.between(tester.net, start_ns, vehicle.time_ns))
    singles = [f for f in frames if f.kind == 0]
    unfilled = [f for f in singles if set(f.data[len(tester.single(f.data) or b"") + 1 :]) - {tester.told.padding}]
    flows = [f for f in frames if f.kind == FLOW and set(f.data[3:]) - {tester.told.padding}]
    measure("short_frames", sum(len(f.data) not in tester.rooms for f in frames), frames=len(frames))
    measure("other_fillers", len(unfilled) + len(flows), frames=shown(unfilled + flows))


@requirement("ISOTP-MALFORMED-001")
def test_frames_that_are_no_message_are_not_answered(tester, measure):
    """A length of 0 and of more than fits, a frame shorter than it says, a first frame for what fits a single one, kinds of none."""
    frames = [
        bytes(1),
        b"\x08" + bytes(7),
        b"\x0f" + bytes(7),
        b"\x10\x05\x3e\x00",
        b"\x21\x3e\x00",
        b"\x33" + bytes(7),
    ]
    frames += [bytes([kind << 4 | 2, 0x3E, 0]) for kind in KINDLESS]
    for data in frames:
        tester.put(data)
        measure("answers", len(tester.during(tester.silent_s)), frame=data.hex())
    for data in (b"", b"\x02\x3e", b"\x07\x22\xf1\x86"):
        tester.put(data, filled=False)
        measure("answers", len(tester.during(tester.silent_s)), frame=f"{data.hex()} and no more")
    tester.alive()


@requirement("ISOTP-FUNCTIONAL-001")
def test_request_to_all_does_not_end_a_message_to_one(tester, measure):
    left = began(tester, long_request(tester))
    tester.put(b"\x02\x3e\x80", functional=True)
    asked_ns = 0
    for data in left:
        asked_ns = tester.put(data)
    measure("unanswered", int(tester.answer_to(asked_ns, tester.answer_s) is None))
    tester.put(b"\x10\x14" + bytes(6), functional=True)
    measure("answers_to_first_frame", len(tester.during(tester.silent_s)))
    tester.alive()


@requirement("ISOTP-ADDRESS-001")
def test_frames_carry_their_address_byte(vehicle, tester, measure):
    start_ns = vehicle.time_ns
    mine, to_all = (tester.told.ahead(functional=f)[0] for f in (False, True))
    for other in sorted({0, (mine + 1) % 256, mine ^ 0x80, 0xFF} - {mine, to_all}):
        tester.put(b"\x02\x3e\x00", address=other)
        measure("answers", len(tester.every(vehicle.watch(tester.told.bus, tester.silent_s))), address=f"{other:02X}")
        tester.alive()
    tester.attempt(long_answer(tester))
    theirs = tester.every(vehicle.between(tester.net, start_ns, vehicle.time_ns))
    others = [f for f in theirs if not f.data.startswith(tester.told.theirs)]
    measure("other_addresses", len(others), frames=len(theirs))


@requirement("ISOTP-FD-001")
def test_frames_of_can_fd_carry_longer_messages(vehicle, tester, measure):
    """Requests in a single frame of every length there is, and an answer of several frames that are all as long but the last."""
    start_ns, did = vehicle.time_ns, tester.told.data[0].did.to_bytes(2, "big")
    for room in tester.rooms[1:]:
        asked = b"\x22" + did * ((room - 3) // 2)
        measure("unanswered", int(tester.attempt(asked) is None), bytes=len(asked))
    answer = tester.ask(long_answer(tester)).payload
    *whole, last = [len(f.data) for f in answer.frames]
    measure(
        "other_lengths", sum(length != whole[0] for length in whole) + (last > whole[0]), lengths=str([*whole, last])
    )
    measure("short_first_frames", int(whole[0] != tester.room), bytes=whole[0])
    rows = vehicle.between(tester.net, start_ns, vehicle.time_ns)
    theirs = rows[(rows["id"] == tester.told.response) & (rows["flags"] & TX == 0)]
    measure("classic_frames", int((theirs["flags"] & FD == 0).sum()), frames=len(theirs))


@requirement("ISOTP-FD-002")
def test_single_frames_of_can_fd_that_lie_about_their_length_are_not_answered(tester, measure):
    """A length of 0, of what fits eight bytes, of more than the frame has; and a length in the first byte of a longer frame."""
    present = b"\x3e\x00"
    lies = [b"\x00\x00" + present, b"\x00\x02" + present, b"\x00\x3f" + present, b"\x02" + present]
    for frame in lies:
        tester.put(frame.ljust(tester.rooms[1], bytes([tester.told.padding])))
        measure("answers", len(tester.during(tester.silent_s)), frame=frame.hex())
    tester.put(b"\x00\x02" + present)  # and in eight bytes
    measure("answers", len(tester.during(tester.silent_s)), frame="00023e00 in eight bytes")
    tester.alive()
