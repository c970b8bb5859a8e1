"""Complete images booted for real and judged over the console: what only a boot shows, and who it says it is."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from harness import certify, rejudge
from harness.model import Chip, Combination, Decision, Outcome, Software
from harness.paths import ROOT
from harness.vehicle import crash_signatures, identity
from rigs.images import build, linux
from tests.support.boards import REFERENCE, image, quiet

AT_ONCE = 3
DEFECTIVE = yaml.safe_load((ROOT / "rigs" / "images" / "defects.yaml").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- defects that only a boot shows


def twins():
    """What all twins differ in, as one image."""
    found = {}
    for one in DEFECTIVE:
        for key, value in one.get("twin", {}).items():
            found[key] = {**found.get(key, {}), **value} if isinstance(value, dict) else value
    return found


def booted(folder, name, defect: Mapping[str, object], claims: Mapping[str, object]):
    made = build.build(
        folder / name, build.catalogue()[REFERENCE], quiet, linux.Defect(**defect), profile="boot-1.0", **claims
    )
    return certify.certify(made, "qemu-arm64", folder / "runs").verdict


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Every defective image and the twins booted and judged, some at a time."""
    folder = tmp_path_factory.mktemp("defects")
    cases = {one["name"]: (one.get("defect", {}), one.get("claims", {})) for one in DEFECTIVE}
    cases["twins"] = (twins(), {})
    script = "import sys, json; from pathlib import Path; from tests import test_emulated as t; v = t.booted(Path(sys.argv[1]), *json.loads(sys.argv[2])); "
    script += "print(json.dumps([v.decision.value, list(v.faults), {j.requirement: [j.outcome.value, j.reason] for j in v.requirements}]))"

    def run(name):
        given = json.dumps([name, *cases[name]])
        command = [sys.executable, "-c", script, str(folder / name), given]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(cases, pool.map(run, cases), strict=True))


@pytest.mark.parametrize("one", DEFECTIVE, ids=lambda one: one["name"])
def test_a_defective_image_is_refused_or_void_by_exactly_the_right_requirement(one, verdicts):
    decision, faults, outcomes = verdicts[one["name"]]
    others = {r: said for r, said in outcomes.items() if said[0] != "pass"}
    if "void" in one:
        assert (decision, others) == ("void", {})
        assert any(fault.startswith(one["void"]) for fault in faults)
    else:
        assert (decision, sorted(others), faults) == ("refused", sorted(one["fails"]), []), others
        assert {said[0] for said in others.values()} == {"fail"}


def test_their_twins_just_inside_are_certified(verdicts):
    decision, faults, outcomes = verdicts["twins"]
    assert (decision, faults) == ("certified", []), {r: s for r, s in outcomes.items() if s[0] != "pass"}


def test_an_image_that_answers_something_else_is_refused(tmp_path):
    folder = image(tmp_path, "u-boot-arm64")
    file, declared = folder / "u-boot.bin", folder / "submission.yaml"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"aarch64-linux-gnu-gcc", b"aarch64-linux-gnu-xcc"))
    declared.write_text(declared.read_text().replace(build.digest(before), build.digest(file.read_bytes())))
    verdict = certify.certify(folder, "qemu-arm64", tmp_path / "runs").verdict
    failed = {j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL}
    assert (verdict.decision, failed) == (Decision.REFUSED, {"CONSOLE-ANSWER-001"})


# ---------------------------------------------------------------- identity, signatures

CLAIM = Combination(
    chip=Chip(name="qemu-virt-a53", revision="1"),
    os=Software(name="linux", version="6.1"),
    application=Software(name="cluster", version="2.0.0"),
)
RIGHT = ["[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]", "Linux version 6.1.0-50-arm64 (gcc)"]


@pytest.mark.parametrize(
    ("lines", "ready", "said"),
    [
        (RIGHT, True, []),
        ([], False, []),
        (RIGHT[:1], True, ["the console never says 'Linux version', so nothing shows that linux 6.1 ran"]),
        (RIGHT[1:], True, ["the console never tells the architecture, so nothing shows that qemu-virt-a53 (aarch64) was the chip"]),
        (["Linux version 6.12.1-arm64", RIGHT[0]], False, ["the console says Linux version 6.12.1-arm64, and the submission claims linux 6.1"]),
        ([*RIGHT, "x86/fpu: x87"], True, ["the console is that of x86_64, and the chip qemu-virt-a53 is aarch64"]),
    ],
)  # fmt: skip
def test_what_the_console_says_is_held_against_the_claim(lines, ready, said):
    assert identity.contradictions(CLAIM, lines, ready=ready) == said


SEEN = {  # lines as kernels and systems write them
    "[   30.1] Kernel panic - not syncing: sysrq triggered crash": "panic",
    "[   33.9] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---": "panic",
    "[   12.0] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000": "oops",
    "[   12.0] Internal error: Oops: 0000000096000044 [#1] SMP": "oops",
    "[   12.0] BUG: kernel NULL pointer dereference, address: 0000000000000000": "oops",
    "[   12.0] Oops [#1]": "oops",
    "[   12.0] general protection fault, probably for non-canonical address 0xdead": "oops",
    "[   12.0] invalid opcode: 0000 [#1] PREEMPT SMP": "oops",
    "[   12.0] kernel BUG at mm/slub.c:4321!": "oops",
    "[   60.0] watchdog: soft lockup - CPU#0 stuck for 26s!": "lockup",
    "[   60.0] NMI watchdog: Watchdog detected hard LOCKUP on cpu 0": "lockup",
    "[   60.0] rcu: INFO: rcu_preempt self-detected stall on CPU": "lockup",
    "[   60.0] rcu_sched detected stalls on CPUs/tasks": "lockup",
    "[   60.0] rcu_preempt detected stalls on CPUs/tasks": "lockup",
    "[  140.0] INFO: task ecu:88 blocked for more than 120 seconds.": "lockup",
    "[   61.0] Out of memory: Killed process 88 (ecu) total-vm:100kB": "out of memory",
    "[   61.0] ecu invoked oom-killer: gfp_mask=0x140dca": "out of memory",
    "[   61.0] oom-kill:constraint=CONSTRAINT_NONE,task=ecu": "out of memory",
    "[   61.0] Memory cgroup out of memory: Killed process 88": "out of memory",
    "[    1.0] Initramfs unpacking failed: read error": "file system",
    "[    1.0] EXT4-fs error (device vda1): ext4_lookup:1855": "file system",
    "[    1.0] EXT2-fs error (device vda1): ext2_lookup": "file system",
    "[    1.0] SQUASHFS error: Unable to read page": "file system",
    "[    1.0] I/O error, dev vda, sector 2048 op 0x0:(READ)": "file system",
    "[    1.0] VFS: Unable to mount root fs on unknown-block(0,0)": "file system",
    "[    1.0] JBD2: Detected IO errors while flushing file data": "file system",
    "[    1.0] UBIFS error (ubi0:0 pid 1): ubifs_read_node": "file system",
    "07-12 10:00:00 E AndroidRuntime: FATAL EXCEPTION: main": "process",
    "*** *** *** *** *** *** *** *** *** *** *** ***": "process",
    "Traceback (most recent call last):": "process",
    "/etc/start: line 3: 88 Segmentation fault": "process",
    "ecu[88]: segfault at 0 ip 0000 sp 0000 error 4": "process",
    "hilog: appfreeze com.example": "process",
    "hilog: cppcrash 88": "process",
    "hilog: jscrash com.example": "process",
    "### ERROR ### Please RESET the board ###": "boot loader",
    '"Synchronous Abort" handler, esr 0x96000010': "boot loader",
    "Bad Linux ARM64 Image magic!": "boot loader",
    "Wrong Image Format for bootm command": "boot loader",
    "panic - not syncing: out of ideas": "panic",
    "ABORTED: panic": "panic",
    "task hung in kernel": "lockup",
}  # fmt: skip


@pytest.mark.parametrize("line", SEEN)
def test_a_signature_finds_its_line(line):
    assert crash_signatures.kind_of(line) == SEEN[line]


def test_every_signature_has_a_line_that_shows_it():
    texts = {text for kind in crash_signatures.SIGNATURES.values() for text in kind}
    assert {t for t in texts if not any(t in line for line in SEEN)} == set()


def test_a_boot_loop_is_named_where_a_device_does_not_get_ready():
    said = ["U-Boot 2023.01", "Kernel panic - not syncing: VFS"] * 3
    assert crash_signatures.diagnosis(said, ["^U-Boot 2"]).startswith("; boot loop: it booted 3 times; panic: ")


# ---------------------------------------------------------------- a console without a bus, again from its record


def test_a_console_only_run_is_judged_again_from_its_record(tmp_path):
    folder = image(tmp_path, "u-boot-arm64")
    done = certify.certify(folder, "qemu-arm64", tmp_path / "runs")
    assert done.verdict.decision is Decision.CERTIFIED, done.verdict
    again = rejudge.rejudge(done.folder / "record")
    assert again.decision is Decision.CERTIFIED
