"""The reference ECUs in C: certified like the others, refused for a defect, and what their diagnostics and network management do."""

import hashlib
import random
import shutil
from pathlib import Path

import pytest

from adapters._process.stepper import Stepper
from harness import certify
from harness.model import Decision, Outcome
from reports import boot, drives, pages
from reports.evidence import Evidence
from rigs.ecus import native

MS = 1_000_000
REQUEST, RESPONSE, NM_OTHER, NM_OWN, LIGHTS = 0x760, 0x768, 0x421, 0x420, 0x130
SANITIZED = native.Target(
    compiler="gcc",
    packages="gcc libc6-dev",
    options=("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-static-libasan"),
)


class Ecu:
    """A cluster behind its stepper, its clock at `now` (ns)."""

    def __init__(self, artefact: Path, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        shutil.copy(artefact, work / "artefact")
        self.stepper, self.now = Stepper(work), 0
        self.frames, self.lines = [], []
        self.run(1)

    def run(self, ms, *sent):
        """So many milliseconds, with these frames (id, data) at their start; what it sent meanwhile."""
        before = len(self.frames)
        given = [(self.now, 0, identifier, 0, data) for identifier, data in sent]
        end = self.now + round(ms * MS)
        while self.now < end:
            self.now = min(end, self.now + 5 * MS)
            answer = self.stepper.step(self.now, given)
            self.frames += answer.sent
            self.lines += [text for _, text in answer.console]
            given = []
        return self.frames[before:]

    def ask(self, *request):
        """A request of one frame; the whole answer, with the frames of ISO 15765-2 put together."""
        data = bytes([len(request), *request]).ljust(8, b"\x55")
        return self.answer(self.run(10, (REQUEST, data)))

    def answer(self, frames):
        found = [f[4] for f in frames if f[2] == RESPONSE]
        if not found:
            return None
        if found[0][0] >> 4 == 0:
            return found[0][1 : 1 + found[0][0]]
        assert found[0][0] >> 4 == 1
        size, answer = (found[0][0] & 15) << 8 | found[0][1], found[0][2:]
        rest = self.run(30, (REQUEST, bytes([0x30, 0, 0]).ljust(8, b"\x55")))
        for n, frame in enumerate([f[4] for f in rest if f[2] == RESPONSE], 1):
            assert frame[0] == 0x20 | n & 15
            answer += frame[1:]
        return answer[:size]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return native.build(tmp_path_factory.mktemp("native") / "cluster", ecu="cluster-c")


@pytest.fixture
def ecu(built, tmp_path):
    found = Ecu(built / "cluster-2.0.0", tmp_path / "work")
    yield found
    found.stepper.kill()


# ---------------------------------------------------------------- certified, refused


@pytest.mark.parametrize("name", native.ECUS)
def test_an_ecu_in_c_is_certified_for_what_it_declares(name, tmp_path):
    done = certify.certify(native.build(tmp_path / "s", ecu=name), "sim", tmp_path / "runs")
    assert done.verdict.decision is Decision.CERTIFIED, [
        j for j in done.verdict.requirements if j.outcome is not Outcome.PASS
    ]
    left = {one.id for one in done.plan.not_applicable}
    assert {"cluster-c": "COCKPIT-CLIMATE-001", "assist-c": "ACC-FOLLOW-001"}[name] in left
    said = pages.write(done.folder).read_text()
    assert "启动 boot" in said
    assert f"SVC: {name.removesuffix('-c')} " in said
    evidence = Evidence(done.folder)
    assert [round(s.since_s, 3) >= 0 for s in boot.stages(evidence)] == [True, True]
    for drive in drives.of_requirement(evidence, "FCW-LVS-001") if name == "assist-c" else ():
        assert "<svg" in drives.picture(drive)  # though the device has no lane keeping and no blind spot


@pytest.mark.parametrize(
    ("constants", "fails"),
    [
        ({"SPEED_GAIN": "0.99", "SPEED_OFFSET_KMH": "0.5"}, {"COCKPIT-SPEED-001"}),
        ({"CHECK_CRC": "0"}, {"E2E-RECEIVED-001", "E2E-IDENTITY-001"}),
        ({"SENT_COUNTER_STEP": "2"}, {"E2E-SENT-001"}),
        ({"TELLTALE_DELAY_MS": "210"}, {"COCKPIT-TELLTALE-001"}),
        ({"CLOCK_PPM": "60000"}, {"CAN-CYCLE-001", "UDS-SECURITY-003", "UDS-SECURITY-004"}),
    ],
)
def test_a_defective_build_in_c_is_refused_by_name(constants, fails, tmp_path):
    done = certify.certify(native.build(tmp_path / "s", constants, ecu="cluster-c"), "sim", tmp_path / "runs")
    failed = {j.requirement for j in done.verdict.requirements if j.outcome is Outcome.FAIL and j.level == "mandatory"}
    assert (done.verdict.decision, failed) == (Decision.REFUSED, fails)


def test_a_constant_that_is_not_there_is_no_defect(tmp_path):
    with pytest.raises(KeyError, match="SPEED_GANE"):
        native.build(tmp_path / "s", {"SPEED_GANE": "1"}, ecu="cluster-c")


# ---------------------------------------------------------------- diagnostics


def test_sessions_and_identification(ecu):
    assert ecu.ask(0x10, 0x03) == bytes.fromhex("5003003201F4")
    assert ecu.ask(0x22, 0xF1, 0x89) == b"\x62\xf1\x892.0.0"
    assert ecu.ask(0x22, 0xF1, 0x86, 0xF1, 0x89) == b"\x62\xf1\x86\x03\xf1\x892.0.0"
    assert ecu.ask(0x22, 0x12, 0x34) == bytes([0x7F, 0x22, 0x31])
    assert ecu.ask(0x22, 0x12) == bytes([0x7F, 0x22, 0x13])
    assert ecu.ask(0x10, 0x02) == bytes([0x7F, 0x10, 0x22])
    assert ecu.ask(0x10, 0x04) == bytes([0x7F, 0x10, 0x12])
    assert ecu.ask(0x31, 0x01) == bytes([0x7F, 0x31, 0x11])


def test_tester_present_keeps_a_session_and_is_silent_when_asked_to_be(ecu):
    ecu.ask(0x10, 0x03)
    for _ in range(3):
        ecu.run(3000)
        assert ecu.ask(0x3E, 0x80) is None
    assert ecu.ask(0x22, 0xF1, 0x86) == b"\x62\xf1\x86\x03"
    ecu.run(5100)
    assert ecu.ask(0x22, 0xF1, 0x86) == b"\x62\xf1\x86\x01"


def key_of(seed):
    """As uds.c has it; the secret is the reference's."""
    x = int.from_bytes(seed, "big") ^ native.SECRET
    x = (x ^ x >> 16) * 0x7FEB352D & 0xFFFFFFFF
    x = (x ^ x >> 15) * 0x846CA68B & 0xFFFFFFFF
    return (x ^ x >> 16).to_bytes(4, "big")


def test_security_opens_with_the_right_key_and_locks_after_three_wrong_ones(ecu):
    assert ecu.ask(0x27, 0x01) == bytes([0x7F, 0x27, 0x7F])
    ecu.ask(0x10, 0x03)
    assert ecu.ask(0x27, 0x02, 1, 2, 3, 4) == bytes([0x7F, 0x27, 0x24])
    first, second = ecu.ask(0x27, 0x01)[2:], ecu.ask(0x27, 0x01)[2:]
    assert first != second
    assert ecu.ask(0x27, 0x02, *key_of(second)) == b"\x67\x02"
    assert ecu.ask(0x27, 0x01) == bytes([0x67, 0x01, 0, 0, 0, 0])
    ecu.ask(0x10, 0x03)
    codes = []
    for _ in range(3):
        ecu.ask(0x27, 0x01)
        codes.append(ecu.ask(0x27, 0x02, 1, 2, 3, 4)[2])
    assert codes == [0x35, 0x35, 0x36]
    assert ecu.ask(0x27, 0x01) == bytes([0x7F, 0x27, 0x37])


def test_a_reset_starts_it_anew(ecu):
    ecu.run(500)
    assert ecu.ask(0x11, 0x01) == b"\x51\x01"
    ecu.run(500)
    assert b"".join(ecu.lines).count(b"SVC: cluster 2.0.0") == 2


def test_a_frozen_application_says_and_sends_nothing_more(ecu):
    ecu.run(500)
    assert ecu.ask(0x11, 0x60) == bytes([0x7F, 0x11, 0x7F])
    ecu.ask(0x10, 0x03)
    assert ecu.ask(0x11, 0x60) == b"\x51\x60"
    assert ecu.run(5000) == []


def test_long_answers_and_requests_come_in_pieces(ecu):
    long = b"".join(bytes([0xF1, did]) for did in (0x89, 0x8C, 0x86, 0x89, 0x8C))
    request = b"\x22" + long
    first = bytes([0x10, len(request), *request[:6]])
    (flow,) = [f[4] for f in ecu.run(10, (REQUEST, first)) if f[2] == RESPONSE]
    assert flow[0] == 0x30
    answer = ecu.answer(ecu.run(10, (REQUEST, bytes([0x21, *request[6:]]).ljust(8, b"\x55"))))
    assert answer == b"\x62" + (b"\xf1\x892.0.0\xf1\x8cSHIPEI-0001\xf1\x86\x01\xf1\x892.0.0\xf1\x8cSHIPEI-0001")


def test_a_request_that_is_too_long_or_out_of_order_is_not_taken(ecu):
    (flow,) = [f[4] for f in ecu.run(10, (REQUEST, bytes([0x1F, 0xFF, *range(6)]))) if f[2] == RESPONSE]
    assert flow[0] == 0x32
    ecu.run(10, (REQUEST, bytes([0x10, 11, 0x22, 0xF1, 0x89, 0xF1, 0x8C, 0xF1])))
    assert ecu.answer(ecu.run(10, (REQUEST, bytes([0x22, 0x86, 0xF1, 0x89, 0xF1, 0x8C, 0, 0])))) is None
    assert ecu.ask(0x3E, 0x00) == b"\x7e\x00"


# ---------------------------------------------------------------- network management


def sent(frames):
    return {f[2] for f in frames}


def test_the_network_sleeps_when_nobody_needs_it_and_wakes_when_somebody_does(ecu):
    ignition_off, ignition_on = (LIGHTS, b"\x00"), (LIGHTS, b"\x08")
    assert {NM_OWN, 0x220} <= sent(ecu.run(2000, ignition_off))
    assert NM_OWN not in sent(ecu.run(1000, ignition_off))  # ready to sleep: others keep it awake, it does not
    assert 0x220 in sent(ecu.run(500, (NM_OTHER, bytes(8))))
    ecu.run(4500)
    assert ecu.run(3000) == []
    assert {NM_OWN, 0x220} <= sent(ecu.run(500, (NM_OTHER, bytes(8))))
    ecu.run(8000)
    assert ecu.run(1000) == []
    assert {NM_OWN, 0x220} <= sent(ecu.run(500, ignition_on))
    assert NM_OWN in sent(ecu.run(10000, ignition_on))


def test_a_request_to_repeat_and_a_wake_up_are_answered_at_once(ecu):
    ignition_off = (LIGHTS, b"\x00")
    ecu.run(2000, ignition_off)
    assert NM_OWN not in sent(ecu.run(400, (NM_OTHER, bytes(8))))
    assert NM_OWN in sent(ecu.run(20, (NM_OTHER, bytes((0x21, 1)).ljust(8, b"\0"))))
    ecu.run(8000)
    assert ecu.run(1000) == []
    assert NM_OWN in sent(ecu.run(20, (NM_OTHER, bytes(8))))


# ---------------------------------------------------------------- builds


@pytest.mark.parametrize("architecture", sorted(native.TARGETS))
def test_it_builds_for_every_target_and_the_same_bytes_again(architecture, tmp_path):
    mains = ("mps2.c",) if architecture == "cortex-m3" else native.LINUX
    digests = set()
    for n in range(2):
        (tmp_path / str(n)).mkdir()
        native.compiled(tmp_path / str(n) / "ecu", "assist-c", mains, native.TARGETS[architecture])
        digests.add(hashlib.sha256((tmp_path / str(n) / "ecu").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_missing_compiler_is_named_with_its_package(tmp_path):
    target = native.Target(compiler="no-such-gcc", packages="gcc-no-such")
    with pytest.raises(native.Unbuildable, match=r"there is no no-such-gcc: apt-get install gcc-no-such"):
        native.compiled(tmp_path / "ecu", "cluster-c", native.LINUX, target)


@pytest.mark.parametrize("name", native.ECUS)
def test_no_frame_makes_it_do_what_c_leaves_undefined(name, tmp_path, monkeypatch):
    monkeypatch.setattr("adapters._process.confine.LIMITS", {})  # the sanitizer wants much address space
    artefact = tmp_path / "ecu"
    native.compiled(artefact, name, native.LINUX, SANITIZED)
    ecu, chance = Ecu(artefact, tmp_path / "work"), random.Random(7)
    known = [0x110, 0x118, 0x120, 0x130, 0x140, 0x150, 0x420, 0x421, REQUEST, REQUEST + 1]
    for _ in range(4000):
        identifier = chance.choice(known)
        kinds = (0x00, 0x10, 0x20, 0x30, chance.randrange(256))
        data = bytes([chance.choice(kinds) | chance.randrange(16), *chance.randbytes(7)])[: chance.randrange(9)]
        ecu.run(5, (identifier, data))
    ecu.stepper.kill()
