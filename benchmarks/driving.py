"""How much faster than real time driving assistance is certified, and how long a thousand scenario runs of 10 s take."""

import tempfile
import time
from pathlib import Path

from harness import certify
from harness.batch import sweep
from harness.can import trace
from rigs.ecus import build

RUNS = 1000


def measure():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        submission = build.build(folder / "s", ecu="driving_assistance-a")
        start = time.perf_counter()
        done = certify.certify(submission, "sim", folder / "runs")
        wall = time.perf_counter() - start
        assert done.certificate
        rows, _ = trace.load(done.folder / "record" / "trace-adas.bin")
        simulated_s = (rows["time_ns"][-1] - 1_000_000_000) / 1e9
        over, fixed = ["dropout=0:0.9:50", "noise=0:0.5:20"], ["ego_speed=42", "duration_s=10"]
        many = sweep.make(submission, sweep.Order(scenario="AEB-CCRS", over=over, fixed=fixed))
        start = time.perf_counter()
        book = sweep.Book(folder / "points.jsonl")
        with sweep.ProcessPoolExecutor() as pool:
            points = [(d, n) for d in many.axes[0].values for n in many.axes[1].values]
            sweep.drive_all(many, book, pool, points, lambda done, of: None)
        took = time.perf_counter() - start
        assert len(book.points) == RUNS
        assert not any("fault" in p for p in book.points.values())
    return [
        [
            f"certify driving assistance in simulated time ({simulated_s:.0f} s of bus time, {len(done.plan.requirements)} requirements)",
            f"{wall:.1f} s from plan to signature",
            "real time",
            f"{simulated_s / wall:.0f}x real time",
        ],
        [
            f"{RUNS} scenario runs of 10 s, each a fresh item, two processes",
            f"{took:.0f} s",
            f"real time {RUNS * 10} s",
            f"{RUNS * 10 / took:.0f}x real time",
        ],
    ]
