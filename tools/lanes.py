"""Run lanes of tests one after another, each under its limit, and end with a row for each.

python -m tools.lanes LANE... [-- PYTEST OPTION...]
python -m tools.lanes --stale: what has changed since its lane or its build was run; exit code 1 where something has
"""

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import digests, mutation

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "lanes.json"
COUNTS = re.compile(r"^=* ?(\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s")
LIMITS_S = {  # lane: the seconds after which it is ended, and after which one of its tests is
    "unit": (1200, 60),
    "smoke": (900, 300),
    "realtime": (2400, 900),
    "bench": (2400, 900),
    "guests": (2400, 900),
    "containers": (1800, 900),
    "boards": (2400, 1800),
    "network": (1800, 900),
    "proofs": (3600, 1800),
}
BESIDE = {"unit", "proofs"}  # lanes whose tests use no clock of the host: two at a time
EVERYTHING = (
    "shipei",
    "harness",
    "adapters",
    "test_suites",
    "dbc",
    "registry",
    "rigs",
    "reports",
    "store",
    "programme",
    "publication",
)
COVERS = {
    "realtime": ("shipei", "harness", "adapters", "test_suites", "dbc", "rigs/ecus", "rigs/hub.yaml", "tests/realtime"),
    "bench": ("shipei", "harness", "adapters", "rigs/desk", "rigs/ecus", "tests/bench"),
    "guests": ("shipei", "harness", "adapters", "rigs/images/packages.py", "rigs/vcan.yaml", "tests/guests"),
    "containers": ("shipei", "harness", "adapters", "rigs/container.yaml", "tests/containers"),
    "boards": ("shipei", "harness", "adapters", "rigs/images", "rigs/ecus", "tests/boards"),
    "network": ("reports", "store", "publication", "pyproject.toml", "tests/network"),
    "proofs": (*EVERYTHING, "tests/proofs"),
}  # what a lane's result is about; where that has changed since, it is stale

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shipei"  # of one clone as of the next


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Commands that run one after another, and the seconds after which one that still runs is ended."""

    commands: tuple[tuple[str, ...], ...]
    limit_s: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a lane ended: its exit code (124: it took too long), pytest's counts, its seconds."""

    lane: str
    code: int
    counts: str
    seconds: float

    def row(self) -> str:
        said = "green" if self.code == 0 else f"red, exit code {self.code}"
        if self.code == 124:
            said = f"red, ended after {LANES[self.lane].limit_s} s, its limit"
        return f"{self.lane:<11}{said:<34}{self.seconds:6.0f} s   {self.counts}"


def python(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *words)


def pytest_of(lane: str, seed: int | None = None) -> tuple[str, ...]:
    """Return the command that runs a lane: its folder, in the order of its files, or in an order drawn by a seed."""
    workers = ("-n", "2", "--dist", "loadscope") if lane in BESIDE else ()
    order = ("-p", "no:randomly") if seed is None else (f"--randomly-seed={seed}",)
    limits = (
        f"--timeout={LIMITS_S[lane][1]}",
        "--override-ini=timeout_func_only=true",
    )  # fixtures: the lane's own limit
    return python("pytest", "-q", "--durations=10", *order, *limits, *workers, f"tests/{lane}")


LANES = {
    "lint": Lane(commands=(python("ruff", "check", "."), python("ruff", "format", "--check", ".")), limit_s=60),
    "types": Lane(commands=(python("mypy", "--cache-dir", str(CACHE / "mypy")),), limit_s=200),
    **{lane: Lane(commands=(pytest_of(lane),), limit_s=limits[0]) for lane, limits in LIMITS_S.items()},
}


def run(command: Sequence[str], limit_s: float) -> tuple[int, str]:
    """Run a command under its limit, showing what it says; return its exit code and pytest's counts."""
    counts = ""
    with subprocess.Popen(
        ["timeout", "--kill-after=10", str(limit_s), *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            print(line, end="", flush=True)
            found = COUNTS.match(line)
            counts = found[1] if found else counts
    return process.returncode, counts


def run_lane(name: str, options: Sequence[str]) -> Result:
    """Run a lane to its end, or to the end of its first red command."""
    lane, began, counts, code = LANES[name], time.monotonic(), "", 0
    print(f"\n---- {name}", flush=True)
    for command in lane.commands:
        code, counts = run([*command, *(options if name in LIMITS_S else ())], lane.limit_s)
        if code:
            break
    return Result(lane=name, code=code, counts=counts, seconds=time.monotonic() - began)


# ---------------------------------------------------------------- what is kept of slow lanes


def kept() -> dict[str, dict[str, str]]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def digest(lane: str) -> str:
    return digests.of_files(digests.files_of((*COVERS[lane], "tests/support")))[:16]


def keep(result: Result) -> None:
    """Write a slow lane's result down, with the digest of what it is about."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    row = {"counts": result.counts, "digest": digest(result.lane), "seconds": f"{result.seconds:.0f}", "date": today}
    rows = {**kept(), result.lane: row}
    RESULTS.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n", encoding="utf-8")


def stale() -> list[str]:
    """Return a line for each slow lane whose last green result is not of these sources."""
    rows = kept()
    changed = [lane for lane in COVERS if lane not in rows or rows[lane]["digest"] != digest(lane)]
    return [
        f"{lane} (changed since {rows[lane]['date']})" if lane in rows else f"{lane} (no result)" for lane in changed
    ]


def told_stale() -> list[str]:
    """Return what no result of today stands for: slow lanes, entries of the table of defective builds."""
    waiting = stale()
    lines = ["stale lanes: " + ", ".join(waiting)] if waiting else []
    return lines + ([said] if (said := mutation.said_stale()) else [])


def report(results: Sequence[Result], tries: Counter[str], lanes_s: float) -> None:
    """Print a row for each lane, the times, the lanes that are stale, and last the tries of real time."""
    make_s = time.time() - float(os.environ.get("LANES_SINCE") or time.time())
    print("\n" + "\n".join(result.row() for result in results))
    print(f"{'installation':<45}{max(0.0, make_s - lanes_s):6.0f} s\n{'lanes':<45}{lanes_s:6.0f} s")
    for line in told_stale():
        print(line)
    if tries:
        print(f"in real time: {tries.total()} certifications, {tries['void']} void")


def main(words: Sequence[str]) -> int:
    at = list(words).index("--") if "--" in words else len(words)
    names, options = words[:at], words[at + 1 :]
    if names == ["--stale"]:
        print("\n".join(told := told_stale()) or "nothing is stale")
        return 1 if told else 0
    unknown = [name for name in names if name not in LANES]
    if unknown or not names:
        print(f"unknown lanes: {', '.join(unknown) or '(none given)'}; there are {', '.join(LANES)}", file=sys.stderr)
        return 2
    began, results = time.monotonic(), []
    with tempfile.NamedTemporaryFile("r", prefix="lanes-") as tried:
        os.environ["LANES_TRIES"] = tried.name
        for name in names:
            results.append(run_lane(name, options))
            if name in COVERS and results[-1].code == 0 and not options:
                keep(results[-1])
        tries = Counter(line.partition("\t")[0] for line in tried)
    report(results, tries, time.monotonic() - began)
    return 1 if any(result.code for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
