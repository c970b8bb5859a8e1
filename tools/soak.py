"""Run lanes again and again on a host that is kept busy, and write what came of it into CONTRIBUTING.md.

python -m tools.soak [LANE=TIMES...]: without words smoke=20 unit=3. Four processes spin beside it; each round of `unit` has an order of its own
(pytest-randomly, a seed a round). Rounds that are done are kept in runs/soak, so that a soak that was stopped goes on where it was.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from harness.paths import ROOT
from tools import digests, lanes

KEPT, PAGE = ROOT / "runs" / "soak", ROOT / "CONTRIBUTING.md"
SPINNING = 4
ASKED = {"smoke": 20, "unit": 3}
LIMIT_S = 1800  # a round
MARKS = ("<!-- soak -->\n", "<!-- soaked -->\n")


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep CPUs busy with processes that only spin; they end with the block."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def round_of(lane: str, number: int) -> dict[str, object]:
    """Run one round of a lane, in an order of its own where the lane only computes; return what came of it."""
    began = time.monotonic()
    code, counts = lanes.run(lanes.pytest_of(lane, seed=number if lane in lanes.BESIDE else None), LIMIT_S)
    return {"code": code, "counts": counts, "seconds": round(time.monotonic() - began)}


def soak(lane: str, times: int) -> list[dict[str, object]]:
    """Run the rounds of a lane that are not kept of these sources yet; return all of them."""
    sources = digests.of_files(digests.files_of((*lanes.EVERYTHING, f"tests/{lane}", "tests/support")))[:16]
    folder = KEPT / sources
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, times + 1):
        file = folder / f"{lane}-{number}.json"
        if not file.is_file():
            print(f"---- {lane}, round {number} of {times}", flush=True)
            file.write_text(json.dumps(round_of(lane, number)), encoding="utf-8")
    return [json.loads((folder / f"{lane}-{n}.json").read_text(encoding="utf-8")) for n in range(1, times + 1)]


def table(rounds: dict[str, list[dict[str, object]]]) -> str:
    """Return the rows for people: how often each lane was green, and how long it took."""
    today = datetime.now(UTC).date().isoformat()
    rows = [
        f"| lane | green | tests | longest ({SPINNING} processes spinning on {os.cpu_count()} cores, {today}) |",
        "|---|---|---|---|",
    ]
    for lane, done in rounds.items():
        green = [r for r in done if r["code"] == 0]
        longest = max(int(str(r["seconds"])) for r in done)
        rows.append(f"| {lane} | {len(green)} of {len(done)} | {done[-1]['counts']} | {longest} s |")
    return "\n".join(rows) + "\n"


def main(words: Sequence[str]) -> int:
    asked = dict(word.split("=", 1) for word in words) or {lane: str(times) for lane, times in ASKED.items()}
    with busy(SPINNING):
        rounds = {lane: soak(lane, int(times)) for lane, times in asked.items()}
    print(text := table(rounds))
    if not words:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
        PAGE.write_text(before + MARKS[0] + text + MARKS[1] + rest.partition(MARKS[1])[2], encoding="utf-8")
    return 0 if all(r["code"] == 0 for done in rounds.values() for r in done) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
