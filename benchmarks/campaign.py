"""A campaign of four real-time cells on the hub: one, two and four rigs at a time."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rigs.ecus import build

PROFILE = """name: {name}
version: "1"
suites: [common, cockpit]
mandatory: [CAN-MATRIX-001]
conditional: [BOOT-READY-001, COCKPIT-SPEED-001, COCKPIT-TELLTALE-001, COCKPIT-GEAR-001]
limit_s: 120
"""
CAMPAIGN = "name: four\nsubmissions: [submissions/*]\nrigs: [{rig: hub}]\nprofiles: [./one.yaml, ./other.yaml]\n"


def seconds(folder, at_once):
    """How long it took, and how many of the four were certified."""
    command = [
        sys.executable,
        "-m",
        "harness",
        "campaign",
        str(folder / "campaign.yaml"),
        "--campaigns",
        str(folder / f"at-{at_once}"),
    ]
    start = time.monotonic()
    done = subprocess.run(
        [*command, "--at-once", str(at_once), "--no-report", "--json"], capture_output=True, text=True
    )
    took = time.monotonic() - start
    return took, sum(c["decision"] == "certified" for c in json.loads(done.stdout)["cells"])


def measure():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ecu in ("cockpit-a", "cockpit-b"):
            build.build(folder / "submissions" / ecu, ecu=ecu)
        for profile in ("one", "other"):
            (folder / f"{profile}.yaml").write_text(PROFILE.format(name=profile))
        (folder / "campaign.yaml").write_text(CAMPAIGN)
        alone, good = seconds(folder, 1)
        rows = []
        for at_once in (2, 4):
            took, certified = seconds(folder, at_once)
            rows.append((
                f"campaign of 4 real-time cells, {at_once} rigs at a time on two cores", f"{took:.0f} s, {certified} of 4 certified",
                f"one at a time {alone:.0f} s, {good} of 4", f"{alone / took:.1f}x",
            ))  # fmt: skip
    return rows
