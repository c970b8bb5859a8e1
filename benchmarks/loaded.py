"""Real-time verdicts while other processes load both cores: no false refusal, few void; and a slow build is still refused."""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rigs.ecus import build

RUNS = 20
PROFILE = """name: loaded
version: "1"
suites: [common, cockpit]
mandatory: [CAN-CYCLE-001, CAN-MATRIX-001, CAN-VALUES-001]
conditional: [BOOT-READY-001, E2E-SENT-001, CAN-TIMEOUT-001, COCKPIT-SPEED-001, COCKPIT-TELLTALE-002]
limit_s: 120
"""


def burn():
    while True:
        sum(range(100_000))


def measure():
    burners = [multiprocessing.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)]
    for burner in burners:
        burner.start()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "loaded.yaml").write_text(PROFILE)
            good = verdicts(folder, "good", {})
            slow = verdicts(folder, "slow", {"CYCLE_MS": '{"ClusterStatus": 60}'})
    finally:
        for burner in burners:
            burner.terminate()
    return [
        [
            f"{RUNS} real-time runs of the reference, both cores loaded",
            counted(good),
            "must be: 0 refused, at most 2 void",
            "",
        ],
        [
            f"{RUNS} of a build 20 % over its cycle time, likewise",
            counted(slow),
            "must be: 0 certified, at least 18 refused",
            "",
        ],
    ]


def counted(found):
    return ", ".join(f"{found.count(d)} {d}" for d in ("certified", "refused", "void"))


def verdicts(folder, name, constants):
    submission = build.build(folder / name, constants)
    found = []
    for _ in range(RUNS):
        command = [sys.executable, "-m", "harness", "certify", str(submission), "--rig", "hub", "--no-report", "--json"]
        command += ["--runs", str(folder / "runs"), "--profile", str(folder / "loaded.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        verdict = json.loads(done.stdout)
        found.append(verdict["decision"])
        reasons = [
            f"{j['requirement']} {j['outcome']}: {j['reason'][:150]}"
            for j in verdict["requirements"]
            if j["outcome"] != "pass"
        ]
        print("   ", name, verdict["decision"], verdict["faults"], *reasons, flush=True)
    return found
