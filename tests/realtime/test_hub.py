"""The hub: python-can's interface, across processes, nothing lost silently, nobody hears himself, FD."""

import json
import socket
import subprocess
import sys
import threading
import time

import can
import pytest

from adapters.hub import MAX_QUEUED, running
from adapters.hub_bus import HubBus
from harness.can.trace import ROW


@pytest.fixture
def hub(tmp_path):
    with running(tmp_path / "hub.sock") as found:
        yield str(found.path)


def bus(hub, **options):
    return can.Bus(interface="shipei_hub", channel=hub, bus="body", **options)


def test_a_message_arrives_whole_and_stamped_and_the_sender_does_not_hear_it(hub):
    sent = can.Message(
        arbitration_id=0x18DAF110, is_extended_id=True, is_fd=True, bitrate_switch=True, data=bytes(range(48))
    )
    with bus(hub) as one, bus(hub) as two:
        before = time.monotonic()
        one.send(sent)
        got = two.recv(2)
        assert got.equals(sent, timestamp_delta=None, check_channel=False, check_direction=False)
        assert before <= got.timestamp <= time.monotonic()
        assert one.recv(0.05) is None


def test_a_remote_frame_keeps_its_length(hub):
    with bus(hub) as one, bus(hub) as two:
        one.send(can.Message(arbitration_id=0x10, is_extended_id=False, is_remote_frame=True, dlc=4))
        got = two.recv(2)
        assert (got.is_remote_frame, got.dlc) == (True, 4)


def test_own_messages_come_back_as_sent_where_asked_for(hub):
    with bus(hub, receive_own_messages=True) as one:
        one.send(can.Message(arbitration_id=1, data=b"x"))
        assert one.recv(2).is_rx is False


def test_buses_are_apart(hub):
    with bus(hub) as one, can.Bus(interface="shipei_hub", channel=hub, bus="adas") as other:
        one.send(can.Message(arbitration_id=1))
        assert other.recv(0.1) is None


def test_filters_work(hub):
    with bus(hub) as one, bus(hub, can_filters=[{"can_id": 2, "can_mask": 0x7FF}]) as two:
        for identifier in (1, 2, 3):
            one.send(can.Message(arbitration_id=identifier, is_extended_id=False))
        assert two.recv(2).arbitration_id == 2
        assert two.recv(0.1) is None


def test_across_processes_everyone_sees_the_same_order(hub):
    count, senders = 2000, 3
    code = (
        "import can,sys\n"
        f"with can.Bus(interface='shipei_hub', channel={hub!r}, bus='body', listen=False) as b:\n"
        f"  for n in range({count}): b.send(can.Message(arbitration_id=int(sys.argv[1]), data=n.to_bytes(4,'big')))\n"
    )
    with bus(hub) as one, bus(hub) as two:
        children = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(senders)]
        seen = [
            [(m.arbitration_id, bytes(m.data)) for _ in range(count * senders) if (m := b.recv(20))] for b in (one, two)
        ]
        assert [c.wait(20) for c in children] == [0] * senders
    assert len(seen[0]) == count * senders
    assert seen[0] == seen[1]
    for n in range(senders):
        mine = [data for identifier, data in seen[0] if identifier == n]
        assert mine == sorted(mine)


def test_who_does_not_read_is_told_so_and_nobody_else_suffers(hub):
    with bus(hub, listen=False) as sender, HubBus(hub, bus="body") as reader, HubBus(hub, bus="body") as sleeper:
        block = bytes(ROW.itemsize * 4096)
        got = 0
        stop = threading.Event()

        def read():
            nonlocal got
            while not stop.is_set():
                got += len(reader.recv_block(0.1))

        thread = threading.Thread(target=read)
        thread.start()
        blocks = (MAX_QUEUED + 30_000_000) // len(block)
        for _ in range(blocks):
            sender.send_block(block, 10)
        deadline = time.monotonic() + 20
        while got < blocks * 4096 and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        thread.join()
        assert got == blocks * 4096
        with pytest.raises(can.CanOperationError, match="frames were lost|closed"):
            while True:
                sleeper.recv_block(5)


@pytest.mark.parametrize("hello", [b"GET / HTTP/1.1\r\n", b"{}\n", b'{"shipei_hub": 2, "bus": "x"}\n', b"x" * 5000])
def test_who_speaks_something_else_is_refused_and_the_hub_lives_on(hub, hello):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(5)
        stranger.connect(hub)
        stranger.sendall(hello)
        answer = stranger.recv(1000)
        assert not answer or "error" in json.loads(answer)
    test_own_messages_come_back_as_sent_where_asked_for(hub)


def test_a_frame_that_claims_too_many_bytes_ends_its_sender_only(hub):
    with bus(hub) as reader:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(hub)
            stranger.sendall(b'{"shipei_hub": 1, "bus": "body"}\n')
            stranger.settimeout(5)
            stranger.recv(1000)
            record = bytearray(ROW.itemsize)
            record[15] = 200
            stranger.sendall(record)
            assert stranger.recv(1000) == b""
        assert reader.recv(0.1) is None


def test_no_hub_is_an_initialization_error(tmp_path):
    with pytest.raises(can.CanInitializationError, match="no hub on"):
        bus(str(tmp_path / "nothing.sock"))
