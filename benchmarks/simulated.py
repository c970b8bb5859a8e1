"""How much faster than real time the whole cockpit certification is in simulated time, and on the hub, where it is real time."""

import tempfile
import time
from pathlib import Path

from harness import certify, verdicts
from harness.can import trace
from rigs.ecus import build


def measure():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        submission = build.build(folder / "s")
        walls, simulated_s = [], 0.0
        for _ in range(3):
            start = time.perf_counter()
            done = certify.certify(submission, "sim", folder / "runs")
            walls.append(time.perf_counter() - start)
            rows, _ = trace.load(done.folder / "record" / "trace-body.bin")
            simulated_s = (rows["time_ns"][-1] - 1_000_000_000) / 1e9
            assert done.certificate
        start = time.perf_counter()
        real = certify.certify(submission, "hub", folder / "runs")
        assert real.certificate, verdicts.troubles(real.verdict)
        real_s = time.perf_counter() - start
    return [
        [
            f"certify the cockpit in simulated time ({simulated_s:.0f} s of bus time, {len(done.plan.requirements)} requirements)",
            f"{min(walls):.1f} s from plan to signature",
            "real time",
            f"{simulated_s / min(walls):.0f}x real time; {real_s / min(walls):.0f}x the same on the hub ({real_s:.0f} s)",
        ]
    ]
