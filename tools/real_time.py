"""Certify the references in real time on the hub and in simulated time; write both outcomes of every requirement, docs/real-time.md.

python -m tools.real_time [ECU...]: about 10 minutes for the cockpits and 13 for driving assistance, both vendors at a time. CI drives a part of it every day.
"""

import datetime
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from harness import certify
from harness.model import Outcome
from harness.paths import ROOT
from rigs.ecus import build

PAGE = ROOT / "docs" / "real-time.md"
HEAD = """# The same verdicts in real time

Every reference ECU, whole profile, in simulated time and in real time on the hub: the outcome of each requirement, and the number of
its measurements. Written by `python -m tools.real_time` on {date}; the lane `realtime` certifies
a part of every line, drawn by a seed.
"""


def certified(ecu, rig):
    """(decision, {requirement: (outcome, measurements, reason)}) of a reference on a rig."""
    with tempfile.TemporaryDirectory(prefix="shipei-real-time-") as folder:
        verdict = certify.certify(build.build(Path(folder) / "s", ecu=ecu), rig, Path(folder) / "runs").verdict
    found = {j.requirement: (j.outcome, len(j.measured), j.reason) for j in verdict.requirements}
    return verdict.decision.value, found, verdict.faults


def rows(ecu, simulated, real):
    """The table of one reference, and what differs."""
    out = [f"\n## {ecu}", "", f"simulated: {simulated[0]}; real time: {real[0]} {'; '.join(real[2])}", ""]
    out += ["| requirement | simulated | real time | measurements |", "|---|---|---|---|"]
    wrong = [f"{ecu}: {fault}" for fault in (*simulated[2], *real[2])]
    for name, (outcome, count, _) in simulated[1].items():
        there = real[1].get(name)
        said = f"{there[0].value}" if there else "not decidable: the clock is not exact enough"
        counts = f"{count}, in real time {there[1]}" if there and there[1] != count else str(count)
        out.append(f"| {name} | {outcome.value} | {said} | {counts} |")
        if outcome is not Outcome.PASS or (there and there[0] is not outcome):
            wrong.append(f"{ecu}: {name}: {outcome.value}, in real time {said}: {there and there[2]}")
    return out, wrong


def main(ecus):
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = {(ecu, rig): pool.submit(certified, ecu, rig) for rig in ("hub", "sim") for ecu in ecus}
        found = {key: future.result() for key, future in running.items()}
    page, wrong = [HEAD.format(date=datetime.datetime.now(datetime.UTC).date())], []
    for ecu in ecus:
        table, different = rows(ecu, found[ecu, "sim"], found[ecu, "hub"])
        page += table
        wrong += different
    PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
    print("\n".join(wrong) or "the same outcomes in real time as in simulated time")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or build.ECUS))
