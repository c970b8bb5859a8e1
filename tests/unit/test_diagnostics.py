"""What a submission says of its diagnostics: every mistake with its line; and a device that never lets the tester go on."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.can.trace import ROW, Trace, load
from harness.errors import BadInput, DeviceError
from harness.inputs import submission
from harness.model import DiagnosticsInterface
from harness.ports import EXT
from harness.vehicle import diagnostics
from harness.vehicle.isotp import FLOW, WAIT, Got, Transport
from harness.vehicle.observation import MS
from rigs.ecus import build
from rigs.ecus.common import ed25519
from rigs.ecus.common.diagnostics import Server


@pytest.fixture
def folder(tmp_path):
    return build.build(tmp_path / "submission")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("functional: 0x7DF\n", "functional: 0x7DF\n    functional_target: 0x1FE\n", r"functional_target is the address byte of requests to all: it needs"),
        ("functional: 0x7DF\n", "functional: 0x7DF\n    addressing: mixed\n    target: 1\n    functional_target: 0x1FE\n", r"functional_target should be one byte, not 0x1fe"),
        ("sid: 0x14}", "sid: 0x114}", r"sid should be 0 to 0xff, not 0x114"),
        ("sid: 0x14}", "sid: 0x22}", r"sid 0x22 is declared twice"),
        ("did: 0x0120", "did: 0x0110", r"did 0x110 is declared twice"),
        ("lost: GearState", "lost: GearStat", r"'GearStat' is not supervised on body \(did you mean 'GearState'"),
        ("writable: true, security: 1", "writable: true, security: 3", r"there is no level 3 in security"),
        ("level: 1, seed", "level: 2, seed", r"a level is the odd sub-function that asks for its seed"),
        ("secret: 7368", "secret: xy68", r"secret should be bytes in hexadecimal"),
        ("functional: 0x7DF", "functional: 0x8DF", r"functional should be 0 to 0x7ff, not 0x8df"),
        ("functional: 0x7DF", "order: [session, length]", r"should name session, length, subfunction, security and range"),
        ("    functional: 0x7DF\n", "", r"functional_addressing needs interface.diagnostics.functional"),
        ("functional: 0x7DF", "sessions: [1]", r"diagnostic_sessions needs a session beside the default one"),
        ("secret: 736869706569206b6e6f777320746869", "secret: 736869706569206b6e6f77732074686", r"secret should be bytes in hexadecimal"),
        ("records: [{did: 0x0130, length: 8}]", "records: []", r"should name a record at least"),
        ("records: [{did: 0x0130, length: 8}]", "records: [{did: 0x0120, length: 8}]", r"did 0x120 is in data too, which everybody reads"),
        ("records: [{did: 0x0130, length: 8}]", "records: [{did: 0x0130, length: 8}]\n      challenge_length: 0", r"challenge_length should be 1 to 256, not 0"),
        ("      - {sid: 0x29, subfunctions: [0, 5, 6, 8], sessions: [3]}\n", "", r"authentication needs the service 0x29"),
        ("      - {sid: 0x28, subfunctions: [0, 3], sessions: [3]}\n", "", r"communication_control needs the service 0x28"),
        ("    snapshot: {did: 0x0100, length: 4}\n", "", r"trouble_codes needs interface.diagnostics.snapshot"),
        ("functional: 0x7DF\n", "functional: 0x7DF\n    fd: true\n", r"body is no bus of CAN FD, says interface\.buses\.body"),
        ("padding: 0xCC", "padding: 0x1CC", r"padding should be one byte, not 0x1cc"),
        ("ageing_cycles: 3", "ageing_cycles: 0", r"ageing_cycles should be 1 to 255, not 0"),
        ("    ageing_cycles: 3\n", "", r"trouble_ageing needs interface.diagnostics.ageing_cycles"),
        (", writable: true, security: 1", "", r"diagnostic_writing needs a record that is writable"),
        (", key: {secret: 736869706569207265666572656e6365}", "", r"security_key needs a level with a key"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(folder, old, new, said):
    file = folder / "submission.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        submission.load(folder)
    told = "\n".join(caught.value.mistakes)
    assert re.search(said, told), told
    assert all(re.match(r".+:\d+: ", line) for line in caught.value.mistakes), told


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("path: packages/older.bin", "path: ../older.bin", r"'../older.bin' leads outside the submission's folder"),
        ("path: packages/older.bin", "path: packages/odder.bin", r"no such file: packages/odder.bin"),
        ("{kind: older,", "{kind: never_ready,", r"there are two packages of kind never_ready"),
        ("{kind: older,", "{kind: never_ready,", r"rollback_protection needs a package of kind older"),
        ("{kind: current,", "{kind: oldest,", r"packages\.0\.kind: should be 'current'.* not 'oldest' \(did you mean 'older'"),
        ('packages/update.bin, version: "1.5.0"', 'packages/update.bin, version: "1.4.0"', r"has the version of the current one, 1\.4\.0"),
        ('packages/current.bin, version: "1.4.0"', 'packages/current.bin, version: "1.4.1"', r"the current package is 1\.4\.1, and 0xf189 reads 1\.4\.0"),
        ('packages/older.bin, version: "1.3.2"', 'packages/older.bin, version: ""', r"should be 1 to 64 printable ASCII characters"),
        ("      - {sid: 0x36, sessions: [2]}\n", "", r"flashing needs the service 0x36"),
        ("{sid: 0x37, sessions: [2]}", "{sid: 0x37}", r"the service 0x37 is not declared for the session 2"),
        ("      did: 0xF189\n      packages", "      did: 0x1F189\n      packages", r"did should be 0 to 0xFFFF, not 0x1f189"),
        ("{Vehicle.Speed: 5}", "{Vehicle.Sped: 5}", r"no map has Vehicle.Sped \(did you mean 'Vehicle.Speed'"),
        ("agree: {Vehicle.Cabin.Infotainment.HMI.Key: Accept}", "agree: {Vehicle.Key: Accept}", r"no map has Vehicle.Key"),
        ("release: {Vehicle.LowVoltageSystemState", "release: {Vehicle.LowVoltageSystem", r"no map has Vehicle.LowVoltageSystem"),
        ("      did: 0xF189\n      packages", "      did: 0xF189\n      boots: 0\n      packages", r"boots should be 1 or more, not 0"),
    ],
)  # fmt: skip
def test_a_mistake_of_its_programming_is_named_with_its_line(folder, old, new, said):
    test_a_mistake_is_named_with_its_line(folder, old, new, said)


def test_a_package_is_small_and_not_empty(folder):
    (folder / "packages" / "older.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"packages/older.bin should have 1 to 16777216 bytes"):
        submission.load(folder)


@settings(max_examples=20, deadline=None)
@given(message=st.binary(max_size=300), seed=st.binary(min_size=32, max_size=32), at=st.integers(0, 511))
def test_the_devices_signatures_are_those_of_a_well_known_library(message, seed, at):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert ed25519.holds(public, message, signature)
    changed = bytearray(signature)
    changed[at // 8] ^= 1 << at % 8
    assert not ed25519.holds(public, message, bytes(changed))
    assert not ed25519.holds(public, message + b"\0", signature)


def test_features_of_diagnostics_need_diagnostics(folder):
    file = folder / "submission.yaml"
    text = file.read_text(encoding="utf-8")
    begin, end = text.index("  diagnostics:  "), text.rindex("profile:")
    file.write_text(text[:begin] + text[end:], encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        submission.load(folder)
    assert len(caught.value.mistakes) == 20
    assert all("needs interface.diagnostics" in m for m in caught.value.mistakes)


def test_frames_that_came_at_one_instant_are_all_heard(tmp_path):
    """As a serial line brings them: the consecutive frames of one answer in one piece; the trace gives each a stamp of its own."""
    written = Trace(tmp_path / "body.rows", "body")
    for time_ns, first in zip((10, 20, 20, 20, 30), (0x10, 0x21, 0x22, 0x23, 0x02), strict=True):
        written.append(time_ns, 0x7A8, 0, bytes([first]).ljust(8, b"\0"))
    written.close()
    rows, whole = load(tmp_path / "body.rows")
    assert whole

    class Vehicle:
        time_ns = 0

        def __init__(self):
            self.networks = {"body": self}

        def of_device(self, rows):
            return rows

        def search(self, net, ids, find, start_ns, until_ns):
            for one in rows[(rows["time_ns"] > start_ns) & (rows["time_ns"] <= until_ns)]:
                if (found := find(np.array([one], ROW))) is not None:
                    return found
            return None

    heard = Transport(Vehicle(), DiagnosticsInterface(bus="body", request=0x7A0, response=0x7A8))
    assert [got.data[0] for got in iter(lambda: heard.next(1.0), None)] == [0x10, 0x21, 0x22, 0x23, 0x02]


class Answering:
    """A vehicle whose one bus is a diagnostic server of the reference ECUs', frame by frame, a millisecond apart."""

    time_ns = 0

    def __init__(self, spec):
        self.server, self.networks, self.frames, self.asked = (
            Server(spec, {0xF189: b"1" * 40}, None),
            {"body": self},
            [],
            [],
        )

    def of_device(self, rows):
        return rows

    def send_raw(self, bus, frame):
        self.time_ns += MS
        self.asked.append(frame.data)
        how = self.server.is_mine(frame.id, bool(frame.flags & EXT))
        self.frames += self.server.receive(self.time_ns, frame.data, how)
        return SimpleNamespace(time_ns=self.time_ns)

    def search(self, net, ids, find, start_ns, until_ns):
        for now in range(start_ns, until_ns, MS):
            self.frames += self.server.step(now)
            if self.frames:
                _, identifier, _, data = self.frames.pop(0)
                row = np.zeros(1, ROW)
                row["time_ns"], row["id"], row["length"] = now + MS, identifier, len(data)
                row["data"][0, : len(data)] = np.frombuffer(data, np.uint8)
                return find(row)
        return None


@pytest.mark.parametrize(
    ("how", "ahead", "to_all", "back"),
    [
        ({}, "", "", ""),
        ({"addressing": "extended", "target": 0x30, "source": 0xF1, "functional_target": 0xFE}, "30", "fe", "f1"),
        ({"addressing": "mixed", "target": 0x77}, "77", "77", "77"),
    ],
)
def test_every_addressing_is_spoken_and_understood(how, ahead, to_all, back):
    told = DiagnosticsInterface(bus="body", request=0x7A0, response=0x7A8, functional=0x7DF, **how)
    vehicle = Answering({"padding": 0xCC, "extended": False, **dataclasses.asdict(told), "security": ()})
    asking = diagnostics.Tester(vehicle, told)
    assert asking.ask(b"\x22" + b"\xf1\x89" * 6).data == b"\x62" + (b"\xf1\x89" + b"1" * 40) * 6
    assert {data[: len(ahead) // 2].hex() for data in vehicle.asked} == {ahead}
    assert asking.ask(b"\x3e\x00", functional=True).data == b"\x7e\x00"
    assert vehicle.asked[-1].hex().startswith(f"{to_all}023e00")
    asking.put(b"\x02\x3e\x00")
    assert vehicle.frames[0][3].hex().startswith(f"{back}027e00")
    assert all(len(data) == 8 for data in vehicle.asked)
    vehicle.frames.clear()
    if how:
        assert asking.attempt(b"\x3e\x00") is not None
        asking.put(b"\x02\x3e\x00", address=0x55)
        assert asking.next(0.2) is None


class Clock:
    time_ns = 0

    def heard_nothing(self):
        return True


def scripted(kind, *frames):
    """A tester whose device answers with these frames, the last of them for ever."""

    class Scripted(kind):
        def __init__(self):
            self.vehicle, self.answer_s, self.silent_s = Clock(), 1.0, 0.1
            self.told, self.rooms, self.short, self.room = build_told(), (8,), 8, 8
            self.left = list(frames)

        def put(self, data, **_):
            return 0

        def next(self, within_s):
            return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    return Scripted()


def build_told():
    class Told:
        p2_star_ms, fd = 100.0, False

    return Told()


def test_a_device_that_makes_us_wait_for_ever_is_given_up():
    waits = scripted(Transport, Got(time_ns=0, data=bytes([FLOW << 4 | WAIT, 0, 0])))
    with pytest.raises(DeviceError, match="told to wait 100 times"):
        waits.send(bytes(20))


def test_a_device_whose_answer_is_pending_for_ever_is_given_up():
    pending = scripted(diagnostics.Tester, Got(time_ns=0, data=bytes.fromhex("037f3e78")))
    with pytest.raises(DeviceError, match="responsePending 100 times, and no final answer"):
        pending.attempt(diagnostics.PRESENT)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([None], "no flow control within 1 s"),
        ([Got(time_ns=0, data=b"\x32\x00\x00")], "not a flow control that lets us send: 320000"),
        ([Got(time_ns=0, data=b"\x02\x7e\x00")], "not a flow control that lets us send: 027e00"),
    ],
)
def test_what_is_no_flow_control_is_told(frames, said):
    with pytest.raises(DeviceError, match=said):
        scripted(Transport, *frames).send(bytes(20))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (["0840"], "neither a single nor a first frame: 0840"),
        (["1014620120000000", "2200000000000000"], "consecutive frame 1 should come, not 22"),
        (["1014620120000000", None], "6 of 20 bytes came, and then nothing for 1 s"),
    ],
)
def test_an_answer_that_breaks_the_rules_is_told(frames, said):
    given = [f and Got(time_ns=0, data=bytes.fromhex(f)) for f in frames]
    with pytest.raises(DeviceError, match=said):
        scripted(Transport, *given).receive(1.0)
