"""A cyclic message beside a busy Python thread: when its frames were on the hub, ours and python-can's own task, in one run."""

import tempfile
import threading
import time
from pathlib import Path

import can
import numpy as np

from adapters.can_python import owned
from adapters.hub import running
from harness.ports import Cycle

PERIOD_MS, SECONDS = 10, 20
OURS, THEIRS = 0x100, 0x200


def busy(over):
    """A test that computes: pure Python, all of the time."""
    found = 0
    while not over.is_set():
        found += sum(n * n for n in range(1000))
    return found


def error_us(rows, identifier):
    """99th percentile of how far a gap is from the period, in us."""
    stamps = rows["time_ns"][rows["id"] == identifier]
    assert len(stamps) > SECONDS * 1000 / PERIOD_MS * 0.5
    return float(np.percentile(np.abs(np.diff(stamps) - PERIOD_MS * 1e6), 99)) / 1000


def measure():
    over = threading.Event()
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "hub.sock") as hub:
        where = {"interface": "shipei_hub", "channel": str(hub.path), "bus": "bench"}
        with (
            owned({**where, "receive_own_messages": True}, "bench", Path(name) / "trace.bin") as port,
            can.Bus(**where) as peer,
        ):
            port.cycle(OURS, Cycle(id=OURS, period_ns=PERIOD_MS * 1_000_000, payloads=(bytes(8),)))
            message = can.Message(arbitration_id=THEIRS, is_extended_id=False, data=bytes(8))
            task = peer.send_periodic(message, PERIOD_MS / 1000)
            thread = threading.Thread(target=busy, args=(over,))
            thread.start()
            time.sleep(SECONDS)
            over.set()
            thread.join()
            task.stop()
            rows = port.rows().copy()
    ours, theirs = error_us(rows, OURS), error_us(rows, THEIRS)
    return [
        [
            f"a message every {PERIOD_MS} ms beside a busy Python thread: 99th percentile of the error",
            f"{ours:.0f} us",
            f"python-can's own task {theirs:.0f} us",
            f"{theirs / ours:.0f}x less",
        ]
    ]
