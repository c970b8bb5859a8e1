"""A million frames as BLF: written and read as columns, beside python-can's writer and reader, values compared."""

import tempfile
import time
from pathlib import Path

import can
import numpy as np

from harness.can import blf
from harness.can.messages import of_row
from harness.can.trace import ROW

FRAMES = 1_000_000
PEER_FRAMES = 200_000  # python-can's time is linear; a fifth of the frames is enough of it


def frames():
    generator = np.random.default_rng(1)
    rows = np.zeros(FRAMES, ROW)
    rows["time_ns"] = np.cumsum(generator.integers(100_000, 400_000, FRAMES))
    rows["id"] = generator.choice(generator.integers(0, 0x7FF, 60), FRAMES)
    rows["length"] = 8
    rows["data"][:, :8] = generator.integers(0, 256, (FRAMES, 8), dtype=np.uint8)
    return rows


def timed(work):
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def peer_write(rows, file):
    with can.BLFWriter(str(file)) as writer:
        for row in rows:
            writer(of_row(row))


def peer_read(file):
    with can.BLFReader(str(file)) as reader:
        return [(m.arbitration_id, bytes(m.data), m.timestamp) for m in reader]


def measure():
    rows, messages = frames(), PEER_FRAMES
    with tempfile.TemporaryDirectory() as name:
        file, small = Path(name) / "a.blf", Path(name) / "b.blf"
        wrote = min(timed(lambda: blf.write(rows, file))[0] for _ in range(3))
        read, found = min((timed(lambda: blf.read(file)) for _ in range(5)), key=lambda one: one[0])
        assert (found == rows).all()
        peer_wrote, _ = timed(lambda: peer_write(rows[:messages], small))
        blf.write(rows[:messages], small)
        peer_took, seen = timed(lambda: peer_read(small))
    same = all(
        identifier == row["id"] and data == row["data"][:8].tobytes() and abs(stamp - row["time_ns"] / 1e9) < 1e-6
        for (identifier, data, stamp), row in zip(seen, rows[:messages], strict=True)
    )
    assert same
    return [
        [
            f"BLF: read {FRAMES:,} frames, written by us",
            f"{FRAMES / read / 1e6:.1f} M frames/s",
            f"python-can {messages / peer_took / 1e6:.2f} M frames/s",
            f"{peer_took / messages * FRAMES / read:.0f}x, values identical",
        ],
        [
            f"BLF: write {FRAMES:,} frames",
            f"{FRAMES / wrote / 1e6:.1f} M frames/s",
            f"python-can {messages / peer_wrote / 1e6:.2f} M frames/s (with its messages made from the trace)",
            f"{peer_wrote / messages * FRAMES / wrote:.0f}x",
        ],
    ]
