"""The main for real time: a client of the CAN hub, its console on standard output. Protocol: docs/submit-an-image.md."""

import json
import os
import select
import socket
import struct
import sys
import time

RECORD = struct.Struct("<qIHBB64s")


def run(core):
    """Until the hub is gone (None) or the core leaves (where to)."""
    hub = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    hub.connect(os.environ["SHIPEI_HUB"])
    bus = os.environ["SHIPEI_BUSES"].split()[0]
    hub.sendall(json.dumps({"shipei_hub": 1, "bus": bus, "listen": True, "echo": False}).encode() + b"\n")
    rest = b""
    while b"\n" not in rest:
        rest += hub.recv(4096)
    rest = rest.partition(b"\n")[2]
    core.start(time.monotonic_ns())
    frames = []
    while not core.leaves:
        sent, lines = core.step(time.monotonic_ns(), frames)
        if sent:
            hub.sendall(b"".join(RECORD.pack(0, i, flags, 0, len(data), data) for _, i, flags, data in sent))
        for _, text in lines:
            sys.stdout.write(text + "\r\n")
            sys.stdout.flush()
        frames = []
        left_s = max(0.0, (core.due_ns - time.monotonic_ns()) / 1e9)
        if select.select([hub], [], [], left_s)[0]:
            chunk = hub.recv(65536)
            if not chunk:
                return None
            rest += chunk
            while len(rest) >= RECORD.size:
                _, identifier, flags, _, length, data = RECORD.unpack_from(rest)
                rest = rest[RECORD.size :]
                frames.append((time.monotonic_ns(), identifier, flags, data[:length]))
    return core.leaves
