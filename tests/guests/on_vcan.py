"""What our SocketCAN adapters promise, on a kernel's own buses. Not collected by itself: tests/guests/test_vcan.py runs it in `shipei vcan`."""

import socket
import struct
import time
from contextlib import contextmanager

import can
import isotp
import numpy as np
import pytest

from adapters._uds import kernel_isotp
from adapters.can_python import PythonCan
from harness.errors import DeviceError, RigError
from harness.model import DiagnosticsInterface, Interface, Item
from harness.ports import BRS, ERROR, EXT, FD, RTR, TX, Bench, Cycle, Frame

MS = 1_000_000
WHERE = DiagnosticsInterface(bus="body", request=0x710, response=0x718)


@contextmanager
def opened(tmp_path, **fields):
    bench = Bench(
        item=Item(files={}, interface=Interface(buses={})), work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path
    )
    with PythonCan(interface="socketcan", channel="vcan0", fd=True, **fields).open("body", bench) as bus:
        yield bus


@pytest.fixture
def bus(tmp_path):
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def other():
    with can.Bus(interface="socketcan", channel="vcan0", fd=True) as found:
        yield found


def rows_of(bus, identifier, count, within_s=5.0):
    """The first so many rows of an identifier."""
    until_ns = bus.now_ns() + round(within_s * 1e9)
    while True:
        rows = bus.rows()
        rows = rows[rows["id"] == identifier]
        if len(rows) >= count or bus.now_ns() >= until_ns:
            return rows[:count]
        bus.wait(len(bus.rows()), until_ns)


@pytest.mark.parametrize(
    ("flags", "data"), [(0, b"12345678"), (EXT, b""), (FD | BRS, bytes(48)), (EXT | FD, b"x" * 64), (RTR, b"")]
)
def test_what_we_send_arrives_and_comes_back_as_ours(bus, other, flags, data):
    before_ns = time.monotonic_ns()
    bus.send(Frame(id=0x123, flags=flags, data=data))
    got = other.recv(2)
    assert (got.arbitration_id, bytes(got.data), got.is_fd, got.is_extended_id) == (
        0x123,
        data,
        bool(flags & FD),
        bool(flags & EXT),
    )
    (row,) = rows_of(bus, 0x123, 1)
    assert int(row["flags"]) == flags | TX
    assert before_ns <= int(row["time_ns"]) <= time.monotonic_ns()


def test_what_others_send_is_not_ours_and_is_stamped_by_the_kernel(bus, other):
    for n in range(200):
        other.send(can.Message(arbitration_id=0x200, data=n.to_bytes(2, "big"), is_extended_id=False))
    rows = rows_of(bus, 0x200, 200)
    assert not (rows["flags"] & TX).any()
    assert [int.from_bytes(r["data"][:2].tobytes(), "big") for r in rows] == list(range(200))
    assert (rows["time_ns"][1:] >= rows["time_ns"][:-1]).all()
    assert bus.health().lost == 0


def test_cyclic_frames_come_from_the_kernel_each_payload_in_turn(bus, other):
    ring = tuple(bytes((n, 0xAA)) for n in range(16))
    bus.cycle(0x300, Cycle(id=0x300, period_ns=10 * MS, payloads=ring))
    rows = rows_of(bus, 0x300, 100)
    assert (rows["flags"] & TX != 0).all()
    assert [int(r["data"][0]) for r in rows] == [n % 16 for n in range(100)]
    gaps = (rows["time_ns"][1:] - rows["time_ns"][:-1]) / MS
    stalled_ns = bus.health().stall_ns
    assert stalled_ns > 2 * MS or 9.5 < gaps.mean() < 11.0, stalled_ns


def test_new_payloads_take_over_and_the_counter_goes_on(bus):
    def ring(mark, count=16):
        return tuple(bytes((n, mark)) for n in range(count))

    bus.cycle(0x300, Cycle(id=0x300, period_ns=10 * MS, payloads=ring(1)))
    rows_of(bus, 0x300, 20)
    bus.cycle(0x300, Cycle(id=0x300, period_ns=10 * MS, payloads=ring(2)))
    rows_of(bus, 0x300, 60)
    bus.cycle(
        0x300, Cycle(id=0x300, period_ns=10 * MS, payloads=ring(3, 32))
    )  # a longer ring, which the kernel does not change into
    rows = rows_of(bus, 0x300, 120)
    assert {int(r["data"][1]) for r in rows} == {1, 2, 3}
    counters = [int(r["data"][0]) % 16 for r in rows]
    assert counters == [n % 16 for n in range(120)]
    assert (rows["flags"] & TX != 0).all()
    bus.cycle(0x300, None)
    bus.health()
    count = len(bus.rows())
    bus.wait(1 << 60, bus.now_ns() + 100 * MS)
    assert len(bus.rows()) == count


def test_another_period_takes_over_at_once(bus):
    bus.cycle(0x300, Cycle(id=0x300, period_ns=10 * MS, payloads=(b"\0", b"\1")))
    rows_of(bus, 0x300, 10)
    bus.cycle(0x300, Cycle(id=0x300, period_ns=50 * MS, payloads=(b"\0", b"\1")))
    rows = rows_of(bus, 0x300, 30)
    assert [int(r["data"][0]) for r in rows] == [n % 2 for n in range(30)]
    gaps = (rows["time_ns"][1:] - rows["time_ns"][:-1]) / MS
    stalled_ns = bus.health().stall_ns
    assert stalled_ns > 2 * MS or abs(np.median(gaps[-15:]) - 50) < 3, stalled_ns


def test_who_sends_a_frame_of_ours_is_found_out(bus, other):
    """A cyclic frame of the bench with a payload that the bench never sends is somebody else's."""
    bus.cycle(0x300, Cycle(id=0x300, period_ns=50 * MS, payloads=(b"\0", b"\1")))
    rows_of(bus, 0x300, 2)
    other.send(can.Message(arbitration_id=0x300, data=b"\x77", is_extended_id=False))
    rows = rows_of(bus, 0x300, 6)
    assert [bytes(r["data"][:1]) for r in rows[rows["flags"] & TX == 0]] == [b"\x77"]


def test_fd_frames_are_cyclic_too(bus, other):
    bus.cycle(0x400, Cycle(id=0x400, period_ns=10 * MS, payloads=(bytes(48), bytes([1] * 48)), flags=FD | BRS))
    rows = rows_of(bus, 0x400, 10)
    assert (rows["flags"] == FD | BRS | TX).all()
    assert (rows["length"] == 48).all()


def test_an_interface_that_is_not_there_is_said(tmp_path):
    bench = Bench(
        item=Item(files={}, interface=Interface(buses={})), work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path
    )
    with (
        pytest.raises(RigError, match="vcan7: there is no such channel"),
        PythonCan(interface="socketcan", channel="vcan7").open("body", bench),
    ):
        pass


def test_error_frames_are_counted_and_tell_the_controllers_state(bus, other):
    """A controller error that the kernel's driver reports: error-passive, in the form of linux/can/error.h."""
    assert bus.health().errors == 0
    other.socket.send(struct.pack("=IBB2x8s", socket.CAN_ERR_FLAG | 0x04, 8, 0, b"\0\x10"))
    (row,) = rows_of(bus, 0x04, 1)
    assert int(row["flags"]) & (ERROR | TX) == ERROR
    found = bus.health()
    assert (found.errors, found.state) == (1, "passive")
    assert bus.health().errors == 0


# ---------------------------------------------------------------- kernel ISO-TP


class Server:
    """The device's side, by the kernel too: 0x7F .. 0x78 twice before a long answer, silence for 0x3E."""

    def __init__(self):
        self.link = isotp.socket()
        self.link.bind(
            "vcan0", isotp.Address(isotp.AddressingMode.Normal_11bits, txid=WHERE.response, rxid=WHERE.request)
        )
        self.link._socket.settimeout(5)

    def answer(self):
        request = self.link.recv()
        if request[0] == 0x22:
            for _ in range(2):
                self.link.send(bytes((0x7F, 0x22, 0x78)))
            self.link.send(b"\x62" + request[1:] + bytes(range(200)))


def test_kernel_iso_tp_carries_a_long_answer_with_its_stamps_from_the_trace(bus):
    import threading

    server = Server()
    thread = threading.Thread(target=server.answer)
    thread.start()
    with kernel_isotp.opened("uds", bus, WHERE) as port:
        found = port.ask(b"\x22\xf1\x90" + bytes(20), within_s=3.0)
    thread.join()
    server.link.close()
    assert found.data[-200:] == bytes(range(200))
    assert found.pending == 2
    rows = bus.rows()
    asked = rows[rows["id"] == WHERE.request]
    assert found.asked_ns == int(asked["time_ns"][0]) < found.time_ns
    assert (asked["flags"] & TX != 0).all()


def test_kernel_iso_tp_says_what_it_heard_when_nobody_answers(bus):
    with (
        kernel_isotp.opened("uds", bus, WHERE) as port,
        pytest.raises(DeviceError, match=r"no answer within 0.3 s.*heard .*710"),
    ):
        port.ask(b"\x3e\x00", within_s=0.3)
