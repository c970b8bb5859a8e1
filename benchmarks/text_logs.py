"""A million frames of a candump log and of an ASC log, read as columns, beside python-can's readers, values compared."""

import tempfile
from pathlib import Path

import can

from benchmarks.blf import FRAMES, PEER_FRAMES, frames, timed
from harness.can import logs
from harness.can.log import Log

READERS = {"log": ("candump log", can.CanutilsLogReader), "asc": ("ASC", can.ASCReader)}


def peer_read(reader, file):
    with reader(str(file)) as opened:
        return [(m.arbitration_id, bytes(m.data), m.timestamp) for m in opened]


def measure():
    return [one(ending, *peer) for ending, peer in READERS.items()]


def one(ending, what, reader):
    rows = frames()
    with tempfile.TemporaryDirectory() as name:
        file, small = Path(name) / f"a.{ending}", Path(name) / f"b.{ending}"
        logs.write(Log(rows=rows, channels=["can0"]), file)
        logs.write(Log(rows=rows[:PEER_FRAMES], channels=["can0"]), small)
        took, found = min((timed(lambda: logs.read(file)) for _ in range(5)), key=lambda measured: measured[0])
        assert (found.rows["id"] == rows["id"]).all()
        assert (found.rows["data"] == rows["data"]).all()
        peer_took, seen = timed(lambda: peer_read(reader, small))
    start_ns = found.rows["time_ns"][0]
    assert all(
        identifier == row["id"]
        and data == row["data"][:8].tobytes()
        and abs(stamp - seen[0][2] - (row["time_ns"] - start_ns) / 1e9) < 2e-6
        for (identifier, data, stamp), row in zip(seen, found.rows[:PEER_FRAMES], strict=True)
    )
    return [
        f"{what}: read {FRAMES:,} frames",
        f"{FRAMES / took / 1e6:.1f} M frames/s",
        f"python-can {PEER_FRAMES / peer_took / 1e6:.2f} M frames/s",
        f"{peer_took / PEER_FRAMES * FRAMES / took:.0f}x, values identical",
    ]
