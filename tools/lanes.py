"""Run lanes of tests one after another, each under its limit, and end with a row for each.

python -m tools.lanes LANE... [-- PYTEST OPTION...]
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNTS = re.compile(r"^=* ?(\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s")


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Commands that run one after another, and the seconds after which one that still runs is ended."""

    commands: tuple[tuple[str, ...], ...]
    limit_s: int


def python(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *words)


def files(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/{name}.py" for name in names)


UNIT = files(
    "test_annex", "test_architecture", "test_asc", "test_blf", "test_certificate", "test_closed_loop", "test_compare", "test_console",
    "test_diagnostics", "test_doctests", "test_exchange", "test_formats", "test_inheritance", "test_intake", "test_logs", "test_odx",
    "test_plant", "test_programme", "test_programme_malice", "test_protection", "test_publish", "test_ready", "test_scenario",
    "test_scenario_page", "test_signals", "test_simulation", "test_store", "test_timestamp", "test_trouble_page", "test_waivers",
)  # fmt: skip
PRELOAD = "test_a_python_can_program_sees_the_same_on_the_hub_as_on_a_kernel[--preload]"
TESTS = {
    "unit": ("-n", "2", "--dist", "loadscope", *UNIT),
    "smoke": (f"tests/test_vcan.py::{PRELOAD}", "tests/test_vcan.py::test_what_preload_lacks_it_says"),
    "realtime": files(
        "contracts/test_ports", "test_can_bench", "test_ci", "test_cli", "test_descendants", "test_docs", "test_doip", "test_hub",
        "test_realtime", "test_uds",
    ),
    "bench": files(
        "test_bench_faults", "test_desk", "test_golden", "test_holding", "test_leases", "test_power", "test_rig_new", "test_serial"
    ),
    "guests": files("test_campaign", "test_vcan"),
    "containers": files("test_containers", "test_images"),
    "boards": files("test_boards", "test_emulated", "test_flashers", "test_image_builds", "test_native", "test_virtual"),
    "network": files(
        "test_hsm", "test_pdf", "test_reports", "test_site_browser", "test_store_registry", "test_wheel"
    ),
    "proofs": files("test_driving", "test_judge_log", "test_mutants", "test_pipeline", "test_store_crashes", "test_sweep"),
}  # fmt: skip
LIMITS_S = {"unit": 400, "smoke": 200, "realtime": 2400, "proofs": 3600}
LANES = {
    "lint": Lane(commands=(python("ruff", "check", "."), python("ruff", "format", "--check", ".")), limit_s=60),
    "types": Lane(commands=(python("mypy"),), limit_s=200),
    **{
        name: Lane(commands=(python("pytest", "-q", "--durations=10", *tests),), limit_s=LIMITS_S.get(name, 1800))
        for name, tests in TESTS.items()
    },
}


def run(command: Sequence[str], limit_s: float, tell: Callable[[str], object] = print) -> tuple[int, str]:
    """Run a command in a group of its own, telling its lines; return its exit code and pytest's counts. 124: it took too long."""
    deadline = time.monotonic() + limit_s
    process = subprocess.Popen(
        ["timeout", "--kill-after=10", str(limit_s), *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1,
    )  # fmt: skip
    counts = ""
    assert process.stdout is not None
    for line in process.stdout:
        tell(line.rstrip("\n"))
        found = COUNTS.match(line)
        counts = found[1] if found else counts
    code = process.wait()
    return (124 if time.monotonic() >= deadline and code else code), counts


def outcome(code: int, limit_s: int) -> str:
    if code == 124:
        return f"ended after {limit_s} s, its limit"
    return "green" if code == 0 else f"red, exit code {code}"


def run_lane(name: str, options: Sequence[str]) -> tuple[bool, str]:
    """Run a lane to its end, or to the end of its first red command; return whether it is green, and its row."""
    lane, began = LANES[name], time.monotonic()
    print(f"\n---- {name}", flush=True)
    for command in lane.commands:
        code, counts = run([*command, *(options if name in TESTS else ())], lane.limit_s)
        if code:
            break
    return code == 0, f"{name:<11}{outcome(code, lane.limit_s):<34}{time.monotonic() - began:6.0f} s   {counts}"


def main(words: Sequence[str]) -> int:
    at = list(words).index("--") if "--" in words else len(words)
    names, options = words[:at], words[at + 1 :]
    unknown = [name for name in names if name not in LANES]
    if unknown or not names:
        print(f"unknown lanes: {', '.join(unknown) or '(none given)'}; there are {', '.join(LANES)}", file=sys.stderr)
        return 2
    began, results = time.monotonic(), []
    for name in names:
        results.append(run_lane(name, options))
    print("\n" + "\n".join(row for _, row in results))
    lanes_s = time.monotonic() - began
    make_s = time.time() - float(os.environ.get("LANES_SINCE") or time.time())
    print(f"{'installation':<45}{max(0.0, make_s - lanes_s):6.0f} s\n{'lanes':<45}{lanes_s:6.0f} s")
    return 0 if all(green for green, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
