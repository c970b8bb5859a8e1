"""`shipei vcan --preload`: a program that opens SocketCAN talks on our hub, where the kernel has no CAN."""

import subprocess
import sys

SHIPEI = [sys.executable, "-m", "harness"]
TALK = """
import can
a = can.Bus(interface="socketcan", channel="vcan0", fd=True)
b = can.Bus(interface="socketcan", channel="vcan0", fd=True, receive_own_messages=True)
a.send(can.Message(arbitration_id=0x123, data=b"hello", is_extended_id=False))
print(b.recv(20).data.decode())
b.send(can.Message(arbitration_id=0x18DAF110, data=bytes(48), is_fd=True, bitrate_switch=True))
got = a.recv(20)
print(hex(got.arbitration_id), got.is_fd, got.bitrate_switch, len(got.data), b.recv(20).is_rx)
a.shutdown()
b.shutdown()
"""


def preload(*command):
    return subprocess.run([*SHIPEI, "vcan", "--preload", "--", *command], capture_output=True, text=True, timeout=120)


def test_two_buses_of_python_can_hear_each_other():
    done = preload(sys.executable, "-c", TALK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["hello", "0x18daf110 True True 48 False"]


def test_the_commands_own_exit_code_comes_through():
    assert preload("sh", "-c", "exit 12").returncode == 12
