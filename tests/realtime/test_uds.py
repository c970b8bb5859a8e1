"""Diagnostics: our transport and the ECU's against other people's, every addressing, and the port on a simulated and a real bus."""

import threading
from contextlib import ExitStack, contextmanager

import can
import isotp
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from udsoncan import Response
from udsoncan.services import Authentication

from adapters.can_python import PythonCan
from adapters.hub import Hub
from adapters.uds import UdsOverCan
from harness.errors import DeviceError, RigError
from harness.inputs import rig, submission
from harness.model import BusInterface, DiagnosticsInterface, Interface, Item
from harness.paths import RIGS
from harness.ports import Bench, Diagnostics
from harness.vehicle.diagnostics import AUTHENTICATED, HMAC_SHA256, proof_of
from rigs.ecus import build
from rigs.ecus.common.transport import Transport

REQUEST, RESPONSE = 0x7A0, 0x7A8


# ---------------------------------------------------------------- the ECU's transport against can-isotp


class Wire:
    """The ECU's transport and can-isotp's, wired back to back; time is steps of a millisecond."""

    def __init__(self, block_size, separation_ms, tx_dl=8):
        fd = tx_dl > 8
        self.ecu = Transport(padding=0x55, block_size=block_size, separation_ms=separation_ms, fd=fd)
        self.to_tester, self.to_ecu, self.requests, self.errors = [], [], [], []
        self.now = 0
        address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=REQUEST, rxid=RESPONSE)
        params = {"blocksize": block_size, "stmin": 0, "tx_padding": 0xAA, "override_receiver_stmin": 0} | {
            "can_fd": fd,
            "tx_data_length": tx_dl,
        }
        self.tester = isotp.TransportLayerLogic(
            rxfn=lambda timeout: self.to_tester.pop(0) if self.to_tester else None,
            txfn=lambda message: self.to_ecu.append(bytes(message.data)),
            address=address,
            params=params,
            error_handler=self.errors.append,
        )

    def run(self, done, steps=20_000):
        for _ in range(steps):
            if done():
                return
            self.now += 1_000_000
            self.tester.process()
            frames = []
            while self.to_ecu:
                request, at_once = self.ecu.receive(self.now, self.to_ecu.pop(0))
                frames += at_once
                if request is not None:
                    self.requests.append(request)
            frames += self.ecu.due(self.now)
            self.to_tester += [isotp.CanMessage(RESPONSE, data=frame, is_fd=self.ecu.room > 8) for frame in frames]
        raise AssertionError(f"not done; {self.errors}")


@settings(max_examples=60, deadline=None)
@given(
    payload=st.binary(min_size=1, max_size=600),
    block_size=st.integers(0, 20),
    separation_ms=st.integers(0, 2),
    tx_dl=st.sampled_from([8, 12, 48, 64]),
)
def test_what_can_isotp_sends_the_ecu_receives_and_the_other_way(payload, block_size, separation_ms, tx_dl):
    wire = Wire(block_size, separation_ms, tx_dl)
    wire.tester.send(payload)
    wire.run(lambda: wire.requests)
    assert wire.requests == [payload]
    wire.to_tester += [isotp.CanMessage(RESPONSE, data=f, is_fd=tx_dl > 8) for f in wire.ecu.send(wire.now, payload)]
    wire.run(wire.tester.available)
    assert bytes(wire.tester.recv()) == payload
    assert not wire.errors


def test_the_longest_request_and_one_that_is_too_long():
    wire = Wire(0, 0)
    wire.tester.send(bytes(4095))
    wire.run(lambda: wire.requests)
    assert len(wire.requests[0]) == 4095
    ecu = Transport()
    _, frames = ecu.receive(0, bytes([0x10, 0x00, 0, 0, 0x20, 0, 1, 2]))  # escape: longer than it can be
    assert frames == [b"\x32\x00\x00" + bytes([0xCC] * 5)]  # overflow
    assert ecu.receive(0, b"\x21\1\2\3\4\5\6\7") == (None, [])  # a consecutive frame of nothing


def test_frames_of_can_fd_that_lie_about_their_length_are_no_messages():
    ecu = Transport(fd=True)
    asked = b"\x22" + bytes(range(2, 10))
    assert ecu.receive(0, (b"\0\x09" + asked).ljust(12, b"\xcc")) == (asked, [])
    for frame in (b"\0\0" + asked, b"\0\x07" + asked, b"\0\x0b" + asked, b"\x02" + asked):
        assert ecu.receive(0, frame.ljust(12, b"\xcc")) == (None, []), frame.hex()
    assert ecu.receive(0, (b"\0\x09" + asked).ljust(13, b"\xcc")) == (None, [])  # there is no frame of 13 bytes
    assert ecu.receive(0, b"\x10\x3e".ljust(64, b"\0")) == (None, [])  # 62 bytes fit a single frame of 64
    assert ecu.receive(0, b"\x10\x3f".ljust(64, b"\0"))[1][0][:1] == b"\x30"
    assert Transport().receive(0, (b"\0\x09" + asked).ljust(12, b"\xcc")) == (None, [])  # and on classic CAN none


def test_udsoncan_and_the_tester_authenticate_in_the_same_bytes(tmp_path):
    from rigs.ecus.common.services import Application

    folder = build.build(tmp_path / "s")
    spec = yaml.safe_load((folder / "submission.yaml").read_text())["interface"]["diagnostics"]
    spec = {"extended": False} | {k: v for k, v in spec.items() if k != "flashing"}
    declared = submission.load(folder).interface.diagnostics.authentication
    ecu = Application(spec, lambda what: "here", lambda now: 0, {})
    ecu.enter(0, 3)

    def exchange(task, **words):
        request = Authentication.make_request(authentication_task=task, **words)
        answer = ecu.answer(1, request.get_payload())
        return request.get_payload(), Authentication.interpret_response(Response.from_payload(answer)).service_data

    assert exchange(8)[1].return_value == 4  # by challenge and response, with a symmetric key
    asked, given = exchange(5, communication_configuration=0, algorithm_indicator=HMAC_SHA256)
    assert (asked, given.algorithm_indicator) == (b"\x29\x05\x00" + HMAC_SHA256, HMAC_SHA256)
    assert ecu.answer(1, b"\x22\x01\x30") == b"\x7f\x22\x34"
    request = proof_of(given.challenge_server, declared)
    proof = request[20:-4]
    sent, done = exchange(6, algorithm_indicator=HMAC_SHA256, proof_of_ownership_client=proof)
    assert (sent, done.return_value) == (request, AUTHENTICATED)
    assert ecu.answer(1, b"\x22\x01\x30")[:3] == b"\x62\x01\x30"
    assert exchange(0)[1].return_value == 0x10
    assert ecu.answer(1, b"\x22\x01\x30") == b"\x7f\x22\x34"


def test_a_lost_consecutive_frame_ends_the_request():
    ecu = Transport()
    ecu.receive(0, bytes([0x10, 20, *range(6)]))
    assert ecu.receive(1, bytes([0x22, *range(7)])) == (None, [])
    assert ecu.receive(2, bytes([0x22, *range(7)])) == (None, [])
    assert ecu.receive(3, b"\x02\x3e\x00") == (b"\x3e\x00", [])


# ---------------------------------------------------------------- the port


@contextmanager
def on_sim(ecu, tmp_path):
    """The port on the simulated rig, with that reference ECU on it."""
    folder = build.build(tmp_path / ecu, ecu=ecu)
    item = submission.read(folder).item
    text = (RIGS / "sim.yaml").read_text() + '  diag: {use: "adapters.uds:UdsOverCan"}\n'
    (tmp_path / "sim-diag.yaml").write_text(text)
    bench = Bench(item=item, work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path)
    with rig.opened(rig.read(tmp_path / "sim-diag.yaml"), bench) as ports:
        ports["power"].on()
        bus = ports[item.interface.diagnostics.bus]
        bus.wait(1 << 60, bus.now_ns() + 400_000_000)
        yield ports["diag"], item


@pytest.mark.parametrize("ecu", build.ECUS)
def test_every_reference_identifies_itself_in_simulated_time(ecu, tmp_path):
    """11 and 29 bits, classic and FD buses, both paddings; stamps from the wire, on the simulated clock."""
    with on_sim(ecu, tmp_path) as (diag, item):
        assert isinstance(diag, Diagnostics)
        wanted = item.interface.diagnostics.identification[0]
        answer = diag.ask(b"\x22" + wanted.did.to_bytes(2, "big"), within_s=1.0)
        assert answer.data[3:] == wanted.text.encode()
        assert 0 < answer.time_ns - answer.asked_ns < 50_000_000  # P2
        assert diag.ask(b"\x10\x03", within_s=1.0).data == bytes.fromhex("5003003201f4")
        assert diag.ask(b"\x31\x01\xff\x00", within_s=1.0).data == b"\x7f\x31\x31"
        assert diag.ask(b"\x22" + wanted.did.to_bytes(2, "big") * 3, within_s=1.0).data.count(wanted.text.encode()) == 3


def test_seed_and_key_lock_after_three_wrong_keys_and_a_session_ends(tmp_path):
    with on_sim("cockpit-a", tmp_path) as (diag, _):
        assert diag.ask(b"\x27\x01", within_s=1.0).data == b"\x7f\x27\x7f"
        diag.ask(b"\x10\x03", within_s=1.0)
        codes = []
        for _ in range(3):
            diag.ask(b"\x27\x01", within_s=1.0)
            codes.append(diag.ask(b"\x27\x02\0\0\0\0", within_s=1.0).data[2])
        assert codes == [0x35, 0x35, 0x36]
        assert diag.ask(b"\x27\x01", within_s=1.0).data == b"\x7f\x27\x37"
        diag.link.bus.wait(1 << 60, diag.link.bus.now_ns() + 5_100_000_000)  # S3
        assert diag.ask(b"\x22\xf1\x86", within_s=1.0).data == b"\x62\xf1\x86\x01"


def test_nobody_answers_says_what_was_heard(tmp_path):
    said = r"3e 80: no answer from 0x7a8 within 0.2 s.*heard .*7A0 \[8\] 02 3E 80"
    with on_sim("cockpit-a", tmp_path) as (diag, _), pytest.raises(DeviceError, match=said):
        diag.ask(b"\x3e\x80", within_s=0.2)


def test_a_submission_without_diagnostics_or_their_bus(tmp_path):
    silent = Item(files={}, interface=Interface(buses={}))
    where = DiagnosticsInterface(bus="body", request=1, response=2)
    no_bus = Item(files={}, interface=Interface(buses={}, diagnostics=where))
    for item, said in ((silent, "says nothing of diagnostics"), (no_bus, "are on bus 'body'; put that port above it")):
        bench = Bench(item=item, work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path)
        with pytest.raises(RigError, match=said), UdsOverCan().open("diag", bench):
            pass


ADDRESSINGS = {
    "normal 11 bits": ({}, (isotp.AddressingMode.Normal_11bits, {})),
    "normal 29 bits": ({"extended": True}, (isotp.AddressingMode.Normal_29bits, {})),
    "FD": ({"fd": True}, (isotp.AddressingMode.Normal_11bits, {})),
    "extended 11 bits": (
        {"addressing": "extended", "target": 0x55, "source": 0xF1},
        (isotp.AddressingMode.Extended_11bits, {"target_address": 0xF1, "source_address": 0x55}),
    ),
    "extended 29 bits": (
        {"addressing": "extended", "target": 0x55, "source": 0xF1, "extended": True},
        (isotp.AddressingMode.Extended_29bits, {"target_address": 0xF1, "source_address": 0x55}),
    ),
    "mixed": (
        {"addressing": "mixed", "target": 0x99},
        (isotp.AddressingMode.Mixed_11bits, {"address_extension": 0x99}),
    ),
}


def serve(hub, mode, extra, fd, ready, over):
    """Somebody else's ISO-TP stack at the other end: it answers each request with its reverse, after asking to wait once."""
    with can.Bus(interface="shipei_hub", channel=hub, bus="body") as bus:
        address = isotp.Address(mode, txid=RESPONSE, rxid=REQUEST, **extra)
        stack = isotp.CanStack(
            bus, address=address, params={"can_fd": fd, "tx_data_length": 64 if fd else 8, "tx_padding": 0, "stmin": 0}
        )
        ready.set()
        while not over.is_set():
            stack.process(0.01)
            if stack.available():
                request = stack.recv()
                for answer in (bytes([0x7F, request[0], 0x78]), bytes(reversed(request))):
                    stack.send(answer)
                    while stack.transmitting():
                        stack.process(0.01)


@pytest.mark.parametrize("name", ADDRESSINGS)
def test_every_addressing_in_real_time_against_somebody_elses_stack(name, tmp_path):
    ours, (mode, extra) = ADDRESSINGS[name]
    where = DiagnosticsInterface(bus="body", request=REQUEST, response=RESPONSE, **ours)
    body = BusInterface(dbc="", node="", bitrate=500_000, fd=True, data_bitrate=2_000_000)
    item = Item(files={}, interface=Interface(buses={"body": body}, diagnostics=where))
    recipes = {"hub": Hub(), "body": PythonCan(interface="shipei_hub", on="hub"), "diag": UdsOverCan()}
    ports, ready, over = {}, threading.Event(), threading.Event()
    with ExitStack() as stack:
        for port, recipe in recipes.items():
            bench = Bench(item=item, work=tmp_path, evidence=tmp_path, ports=ports, memory=tmp_path)
            ports[port] = stack.enter_context(recipe.open(port, bench))
        given = (str(ports["hub"].path), mode, extra, where.fd, ready, over)
        peer = threading.Thread(target=serve, args=given, daemon=True)
        peer.start()
        stack.callback(peer.join, 5)
        stack.callback(over.set)
        assert ready.wait(30)
        for size in (3, 7, 8, 40, 300):
            request = bytes([0x22]) + bytes(n % 251 for n in range(size - 1))
            answer = ports["diag"].ask(request, within_s=3.0)
            assert answer.data == bytes(reversed(request)), size
            assert answer.pending == 1
            assert answer.time_ns > answer.asked_ns > 0
