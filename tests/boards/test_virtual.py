"""Every emulated combination decided by real boots, as `make campaign` does; and a board on the kernel's CAN."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from harness.batch import campaign
from harness.paths import ROOT
from rigs.images import build

LIMIT_S = 2400
BOARDS = {"qemu-arm64", "qemu-pc", "qemu-riscv64", "qemu-mps2", "qemu-microbit"}
ON_KERNEL_CAN = """name: kernel-can
version: "1"
suites: [common, cockpit]
mandatory: [CAN-CYCLE-001, CAN-MATRIX-001, E2E-SENT-001, COCKPIT-SPEED-001]
limit_s: 300
ready_s: 120
"""


def shipei(*arguments, timeout=LIMIT_S):
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


def test_every_emulated_combination_is_certified_by_a_real_boot_and_the_matrix_shows_it(tmp_path):
    """The boards of `make campaign`; its other cells are certified by the tests of their rigs."""
    built = shipei("images", "build", tmp_path / "virtual", "--campaign", "--json")
    assert built.returncode == 0, built.stderr
    whole = Path(json.loads(built.stdout)["campaign"])
    _, cells = campaign.load(whole)
    assert {c.rig.name for c in cells} == {"sim", "hub", "vcan", "container", *BOARDS}
    assert len({c.plan.manifest_sha256 for c in cells}) == 6 + 4 + len(build.catalogue())
    boards = yaml.safe_load(whole.read_text())
    chosen = sorted({c.submission.name for c in cells if c.rig.name in BOARDS})
    boards["submissions"] = chosen
    boards["rigs"] = [r for r in boards["rigs"] if r["rig"] in BOARDS]
    file = whole.with_name("boards.yaml")
    file.write_text(yaml.safe_dump(boards))
    done = shipei("campaign", file, "--campaigns", tmp_path / "campaigns", "--no-report")
    found = json.loads((tmp_path / "campaigns" / "virtual" / "campaign.json").read_text())["cells"]
    others = [(c["rig"], c["combination"], c["decision"], c["not_passed"], c["faults"], c["says"]) for c in found]
    assert (done.returncode, [o for o in others if o[2] != "certified"]) == (0, []), done.stderr[-2000:]
    matrix = json.loads((tmp_path / "campaigns" / "virtual" / "runs" / "matrix.json").read_text())
    assert len({c["manifest_sha256"] for c in matrix}) == len(chosen)


def test_a_board_with_a_controller_on_kernel_can(tmp_path):
    """QEMU's Kvaser controller joined to a vcan, in whatever kernel `shipei vcan` finds."""
    name = "qemu-virt-a53-linux6.1-cluster-c"
    folder = build.build(tmp_path / name, build.catalogue()[name], lambda what: None)
    profile = tmp_path / "kernel-can.yaml"
    profile.write_text(ON_KERNEL_CAN)
    certify = [sys.executable, "-m", "harness", "certify", folder, "--rig", "qemu-arm64-vcan", "--profile", profile]
    done = shipei(
        "vcan", "--memory", "2G", "--no-fd", "--", *certify, "--runs", tmp_path / "runs", "--no-report", timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
