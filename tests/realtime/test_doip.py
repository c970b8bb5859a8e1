"""Diagnostics over Ethernet: the port against an entity of ours, whole, mute, refusing, and gone."""

import socket
import struct
import threading
from contextlib import contextmanager, suppress

import pytest

from adapters.uds_doip import UdsOverDoip
from harness.errors import DeviceError, RigError
from harness.model import Interface, Item
from harness.ports import Bench, Diagnostics

ENTITY, TESTER = 0x0010, 0x0E80
ACTIVATE, ACTIVATED, MESSAGE, ACK, NACK = 0x0005, 0x0006, 0x8001, 0x8002, 0x8003


class Entity(threading.Thread):
    """A DoIP entity (ISO 13400-2): activates routing and answers each request with its reverse, after one that is pending."""

    def __init__(self, *, refuses=False, mute=False, unknown=False, endless=False, closes_after=None):
        super().__init__(daemon=True)
        self.refuses, self.mute, self.unknown, self.endless, self.closes_after = (
            refuses,
            mute,
            unknown,
            endless,
            closes_after,
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.connections = self.listener.getsockname()[1], 0

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream, suppress(OSError):
                self.serve(connection, stream)

    def serve(self, connection, stream):
        answered = 0
        while head := stream.read(8):
            _, _, kind, size = struct.unpack(">BBHI", head)
            body = stream.read(size)
            if kind == ACTIVATE:
                self.connections += 1
                said = body[:2] + struct.pack(">HBI", ENTITY, 0x00 if self.refuses else 0x10, 0)
                self.send(connection, ACTIVATED, said)
            elif kind == MESSAGE:
                source, target = body[:2], body[2:4]
                self.send(
                    connection, NACK if self.unknown else ACK, target + source + (b"\x03" if self.unknown else b"\x00")
                )
                pending = bytes([0x7F, body[4], 0x78])
                said = [] if self.mute or self.unknown else [pending] * 200 if self.endless else [pending, body[:3:-1]]
                for answer in said:
                    self.send(connection, MESSAGE, target + source + answer)
                answered += 1
                if answered == self.closes_after:
                    return

    def send(self, connection, kind, body):
        connection.sendall(struct.pack(">BBHI", 2, 0xFD, kind, len(body)) + body)


@contextmanager
def asked(tmp_path, recipe):
    bench = Bench(
        item=Item(files={}, interface=Interface(buses={})), work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path
    )
    with recipe.open("diag", bench) as port:
        yield port


@contextmanager
def entity(**how):
    found = Entity(**how)
    found.start()
    yield found
    found.listener.shutdown(socket.SHUT_RDWR)  # which ends its accept
    found.join(5)
    found.listener.close()


def test_requests_are_answered_over_one_connection(tmp_path):
    with (
        entity() as there,
        asked(tmp_path, UdsOverDoip(address="127.0.0.1", target=ENTITY, source=TESTER, port=there.port)) as port,
    ):
        assert isinstance(port, Diagnostics)
        for size in (2, 3, 300, 5000):
            request = b"\x22" + bytes(n % 251 for n in range(size - 1))
            answer = port.ask(request, within_s=2.0)
            assert (answer.data, answer.pending) == (request[::-1], 1)
            assert 0 <= answer.time_ns - answer.asked_ns < 2_000_000_000
        assert there.connections == 1


def test_a_connection_that_the_device_has_closed_is_made_again(tmp_path):
    with (
        entity(closes_after=1) as there,
        asked(tmp_path, UdsOverDoip(address="127.0.0.1", target=ENTITY, port=there.port)) as port,
    ):
        for _ in range(3):
            assert port.ask(b"\x3e\x00", within_s=2.0).data == b"\x00\x3e"
        assert there.connections == 3


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"mute": True}, "3e 00: no answer from 0x0010 at 127.0.0.1 port .* within 0.3 s: "),
        ({"unknown": True}, "rejected with negative acknowledge code: 3"),
        ({"endless": True}, "100 times it says that it needs longer, and it never answers"),
        ({"refuses": True}, "it refuses to activate routing, with code 0x00"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, how, said):
    with (
        entity(**how) as there,
        asked(tmp_path, UdsOverDoip(address="127.0.0.1", target=ENTITY, port=there.port)) as port,
        pytest.raises(DeviceError, match=said),
    ):
        port.ask(b"\x3e\x00", within_s=0.3)


def test_nobody_there_a_wrong_address_and_a_missing_package(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        number = nobody.getsockname()[1]
    with (
        asked(tmp_path, UdsOverDoip(address="127.0.0.1", target=ENTITY, port=number)) as port,
        pytest.raises(DeviceError, match="refused"),
    ):
        port.ask(b"\x3e\x00", within_s=0.3)
    with (
        pytest.raises(RigError, match="address should be an IPv4 or IPv6 address, not 'ecu'"),
        asked(tmp_path, UdsOverDoip(address="ecu", target=1)),
    ):
        pass
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(RigError, match=r"pip install 'shipei\[doip\]'"),
        asked(tmp_path, UdsOverDoip(address="127.0.0.1", target=1)),
    ):
        pass
