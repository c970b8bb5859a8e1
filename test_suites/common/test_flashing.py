"""A new application over diagnostics (ISO 14229-1, 15): its sequence, what must be refused, and power that goes at any moment."""

import itertools

from harness.marks import requirement
from harness.vehicle.diagnostics import DEFAULT, PRESENT, Nrc, few, told

EDGE = 0.05  # from the start of the erasing until power goes
BOOTING = (0.05, 0.3)  # after the reset, until power goes: while the new software boots for the first time
MID = 0.5  # of the blocks


def refused(tester, request, codes):
    """The exchange, unless it is refused with one of these codes."""
    answer = tester.attempt(request)
    return [] if answer is not None and answer.code in codes else [told(request, answer)]


def begun(programmer, data):
    """Opened, erased and announced; the blocks."""
    programmer.open()
    programmer.erase()
    programmer.announce(len(data))
    return programmer.blocks(data)


def never_runs(programmer, data, measure, **context):
    """A package is found bad, cannot be activated, and what ran runs on."""
    before = programmer.version()
    measure("taken", int(programmer.takes(data)), **context)
    activated = programmer.tester.ask(programmer.routine(programmer.told.activate))
    measure("activated", int(programmer.is_good(activated)), **context)
    programmer.restart()
    version = programmer.version()
    measure("running", int(version != before), **context, version=version)


# ---------------------------------------------------------------- the sequence


@requirement("FLASH-SEQUENCE-001")
def test_a_package_that_was_programmed_runs_and_so_does_the_one_before_it(programmer, measure):
    for kind in ("update", "current"):
        programmer.install(kind)
        version = programmer.version()
        measure("other_versions", int(version != programmer.told.package(kind).version), package=kind, version=version)


@requirement("FLASH-LOCKED-001")
def test_nothing_is_programmed_without_a_key(programmer, tester, measure):
    flashing = programmer.told
    tester.enter(flashing.session)
    asked = [programmer.routine(rid) for rid in (flashing.erase, flashing.check, flashing.activate)]
    asked += [programmer.download(256), b"\x36\x01\x00", b"\x37"]
    found = tester.wrong((request, Nrc.SECURITY) for request in asked)
    measure("wrong_answers", len(found), asked=len(asked), which=few(found))


@requirement("FLASH-SESSION-001")
def test_its_routines_are_refused_in_other_sessions(programmer, tester, interface, measure):
    flashing = programmer.told
    for session in interface.diagnostics.sessions:
        tester.enter(session)
        if session in interface.diagnostics.service(0x27).sessions:
            tester.unlock()
        answers = [
            (r, tester.ask(r)) for r in map(programmer.routine, (flashing.erase, flashing.check, flashing.activate))
        ]
        found = [told(request, answer) for request, answer in answers if answer.positive]
        measure("granted", len(found), session=session, which=few(found))


@requirement("FLASH-ORDER-001")
def test_steps_out_of_their_order_are_refused(programmer, tester, measure):
    flashing, data = programmer.told, programmer.packages["update"]
    early = (Nrc.CONDITIONS, Nrc.SEQUENCE, Nrc.NOT_ACCEPTED)
    check, activate = programmer.routine(flashing.check), programmer.routine(flashing.activate)
    programmer.open()
    found = refused(tester, b"\x36\x01\x00", (Nrc.SEQUENCE,)) + refused(tester, b"\x37", (Nrc.SEQUENCE,))
    for request in (programmer.download(len(data)), check, activate):
        found += refused(tester, request, early)
    measure("wrong_answers", len(found), when="before it is erased", which=few(found))
    tester.positive(begun(programmer, data)[0])
    found = refused(tester, b"\x37", (Nrc.SEQUENCE,))
    for request in (check, activate):
        found += refused(tester, request, early)
    measure("wrong_answers", len(found), when="after one block", which=few(found))


# ---------------------------------------------------------------- blocks


@requirement("FLASH-BLOCK-001")
def test_blocks_with_a_wrong_counter_are_refused_and_the_transfer_goes_on(programmer, tester, measure):
    blocks = begun(programmer, programmer.packages["update"])
    found = refused(tester, blocks[1], (Nrc.COUNTER,))
    for n, block in enumerate(blocks):
        tester.positive(block)
        if n + 2 < len(blocks):
            found += refused(tester, blocks[n + 2], (Nrc.COUNTER,))
    measure("wrong_answers", len(found), which=few(found))
    tester.positive(b"\x37")
    good = programmer.is_good(tester.ask(programmer.routine(programmer.told.check)))
    measure("spoilt", int(not good))


@requirement("FLASH-BLOCK-002")
def test_a_block_whose_answer_was_lost_is_taken_again_and_written_once(programmer, tester, measure):
    found = []
    for block in begun(programmer, programmer.packages["update"]):
        tester.positive(block)
        again = tester.ask(block)
        found += [] if again.positive else [told(block, again)]
    measure("refused", len(found), which=few(found))
    ended = tester.ask(b"\x37")
    good = ended.positive and programmer.is_good(tester.ask(programmer.routine(programmer.told.check)))
    measure("spoilt", int(not good))


@requirement("FLASH-RANGE-001")
def test_what_does_not_fit_is_refused(programmer, tester, measure):
    data = programmer.packages["update"]
    programmer.open()
    programmer.erase()
    fits = programmer.download(len(data))
    elsewhere = fits[:3] + bytes(b ^ 0xFF for b in fits[3:7]) + fits[7:]
    outside = (Nrc.RANGE, Nrc.NOT_ACCEPTED)
    found = []
    for request in (programmer.download(0), programmer.download(0xFFFFFFFF), elsewhere):
        found += refused(tester, request, outside)
    found += refused(tester, fits[:2] + b"\x00" + fits[3:], (Nrc.RANGE, Nrc.LENGTH, Nrc.NOT_ACCEPTED))
    found += refused(tester, fits[:-1], (Nrc.LENGTH, *outside))
    measure("wrong_answers", len(found), what="announced", which=few(found))
    programmer.announce(1)
    found = refused(tester, b"\x36\x01\x00\x00", (Nrc.SEQUENCE, Nrc.RANGE, Nrc.SUSPENDED))
    found += refused(tester, b"\x36\x01" + bytes(programmer.block_bytes), (Nrc.LENGTH, Nrc.RANGE))
    measure("wrong_answers", len(found), what="transferred", which=few(found))


# ---------------------------------------------------------------- packages that must not run


@requirement("FLASH-TRUNCATED-001")
def test_a_package_that_is_not_whole_does_not_run(programmer, tester, measure):
    data = programmer.packages["update"]
    blocks = begun(programmer, data)
    for block in blocks[:-1]:
        tester.positive(block)
    measure("ended_early", int(tester.ask(b"\x37").positive))
    never_runs(programmer, data[:-1], measure, bytes=len(data) - 1)
    never_runs(programmer, data[: len(data) // 2], measure, bytes=len(data) // 2)


@requirement("FLASH-INTEGRITY-001")
def test_a_package_with_one_bit_changed_does_not_run(programmer, parameters, measure):
    data = programmer.packages["update"]
    flips = round(parameters.flips)
    for n in range(flips):
        at = (len(data) - 1) * n // (flips - 1)
        changed = data[:at] + bytes([data[at] ^ 1 << n % 8]) + data[at + 1 :]
        never_runs(programmer, changed, measure, byte=at)


@requirement("FLASH-KEY-001")
def test_a_package_that_somebody_else_signed_does_not_run(programmer, measure):
    never_runs(programmer, programmer.packages["foreign_key"], measure)


@requirement("FLASH-OLDER-001")
def test_an_older_package_does_not_come_back(programmer, measure):
    never_runs(programmer, programmer.packages["older"], measure)


@requirement("FLASH-HARDWARE-001")
def test_a_package_for_other_hardware_does_not_run(programmer, measure):
    never_runs(programmer, programmer.packages["other_hardware"], measure)


@requirement("FLASH-RETRY-001")
def test_after_a_bad_package_a_good_one_is_taken(programmer, tester, measure):
    data = programmer.packages["update"]
    programmer.takes(data[:-1] + bytes([data[-1] ^ 1]))
    answer = tester.ask(programmer.routine(programmer.told.erase))
    measure("refused", int(not programmer.is_good(answer)), answer=answer.data.hex())
    programmer.restart()
    programmer.install("update")
    version = programmer.version()
    measure("other_versions", int(version != programmer.told.package("update").version), version=version)


# ---------------------------------------------------------------- power, time, boots


def cut(vehicle, programmer, parameters):
    """Power goes and comes back; what runs then."""
    vehicle.power_cycle()
    programmer.up(within_s=parameters.ready_s)
    return programmer.version()


def half_way(programmer, tester, steps, data):
    """Every way to be in the middle: after each step, while it erases; (what, the rest to do)."""
    for n in range(steps):
        yield next(itertools.islice(programmer.steps(data), n, None))
    programmer.open()
    tester.send(programmer.routine(programmer.told.erase))
    tester.vehicle.pass_time(EDGE)
    yield "while it erases"
    for after_s in BOOTING:
        for _ in programmer.steps(data):
            pass
        tester.attempt(b"\x11\x01")
        tester.vehicle.pass_time(after_s)
        yield f"{after_s:g} s after its reset"


@requirement("FLASH-POWER-001")
def test_whenever_power_goes_the_old_or_the_new_software_runs(vehicle, programmer, tester, parameters, measure):
    data, both = programmer.packages["update"], [programmer.told.package(k).version for k in ("current", "update")]
    steps = sum(1 for _ in programmer.steps(data))
    cut(vehicle, programmer, parameters)
    programmer.restore()
    vehicle.pass_time(parameters.settle_s)
    for where in half_way(programmer, tester, steps, data):
        version = cut(vehicle, programmer, parameters)
        measure("neither", int(version not in both), cut=where, version=version)
        programmer.restore()
        vehicle.pass_time(parameters.settle_s)  # where no console says that it is ready
    programmer.install("update")
    version = programmer.version()
    measure("other_versions", int(version != both[1]), version=version)


@requirement("FLASH-ABORT-001")
def test_a_transfer_that_was_left_alone_is_over(programmer, tester, measure):
    before = programmer.version()
    blocks = begun(programmer, programmer.packages["update"])
    half = round(MID * len(blocks))
    for block in blocks[:half]:
        tester.positive(block)
    tester.outwait_session()
    measure("sessions_left", int(tester.session() != DEFAULT))
    programmer.open()
    found = refused(tester, blocks[half], (Nrc.SEQUENCE,))
    measure("went_on", len(found), which=few(found))
    programmer.restart()
    version = programmer.version()
    measure("running", int(version != before), version=version)


@requirement("FLASH-ROLLBACK-001")
def test_software_that_never_gets_ready_is_given_up(vehicle, programmer, tester, parameters, measure):
    before = programmer.version()
    for _ in programmer.steps(programmer.packages["never_ready"]):
        pass
    start_ns = vehicle.time_ns
    tester.attempt(b"\x11\x01")
    vehicle.pass_time(parameters.settle_s)
    tester.answers(within_s=parameters.back_s)
    measure("boots", vehicle.boots(start_ns) - 1, declared=programmer.told.boots)
    version = programmer.version()
    measure("running", int(version != before), version=version)


@requirement("FLASH-PERSIST-001")
def test_new_software_stays(vehicle, programmer, parameters, measure):
    programmer.install("update")
    wanted = programmer.told.package("update").version
    for n in range(programmer.told.boots + 1):
        programmer.restart()
        vehicle.pass_time(parameters.settle_s)
        measure("other_versions", int(programmer.version() != wanted), reset=n + 1)
    version = cut(vehicle, programmer, parameters)
    measure("other_versions", int(version != wanted), version=version)


@requirement("FLASH-CONDITION-001")
def test_nothing_is_programmed_where_it_would_be_dangerous(vehicle, programmer, tester, parameters, measure):
    enter = bytes([0x10, programmer.told.session])
    for condition in programmer.told.conditions:
        vehicle.set_all(condition)
        vehicle.pass_time(parameters.settle_s)
        tester.enter(DEFAULT)
        found = refused(tester, enter, (Nrc.CONDITIONS, Nrc.SPEED, Nrc.GEAR, Nrc.VOLTAGE))
        measure("entered", len(found), condition=few([f"{k}: {v}" for k, v in condition.items()]), answer=few(found))
        vehicle.restore()
        vehicle.pass_time(parameters.settle_s)
        tester.enter(DEFAULT)
        measure("refused", int(not tester.ask(enter).positive))


@requirement("FLASH-CONSENT-001")
def test_without_the_driver_nothing_is_activated(programmer, tester, measure):
    before, activate = programmer.version(), programmer.routine(programmer.told.activate)
    if not programmer.takes(programmer.packages["update"]):
        tester.vehicle.complain("its check finds the package to update to bad")
    measure("activated", int(programmer.is_good(tester.ask(activate))), driver="has not answered")
    programmer.decline()
    measure("activated", int(programmer.is_good(tester.ask(activate))), driver="has declined")
    programmer.restart()
    version = programmer.version()
    measure("running", int(version != before), version=version)
    programmer.install("update")
    version = programmer.version()
    measure("other_versions", int(version != programmer.told.package("update").version), version=version)


@requirement("FLASH-BACKGROUND-001")
def test_while_it_is_programmed_it_goes_on(vehicle, programmer, tester, parameters, measure):
    bus = tester.net.name
    net = vehicle.networks[bus]
    before = net.snapshot(vehicle.watch(bus, parameters.watch_s))
    blocks = begun(programmer, programmer.packages["update"])
    tester.positive(blocks[0])
    silent = net.fell_silent(before, net.snapshot(vehicle.watch(bus, parameters.watch_s)))
    measure("silent_messages", len(silent), which=" ".join(silent))
    measure("unanswered", int(tester.attempt(PRESENT) is None))
