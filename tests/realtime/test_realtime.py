"""The same in real time on the hub; and whatever is killed, at whatever moment: void, readable, never certified, no hang."""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import certificate, processes, rejudge
from harness import record as records
from harness.model import Outcome
from rigs.ecus import build
from tests.support.certified import DRIVEN, DRIVING, SHORT, SHOWN, certified_run, part_profile, start, verdict_of

KILLS = int(os.environ.get("KILLS", "6"))  # KILLS=50 before a release
TARGETS = {"pytest": b"-m\0pytest", "bus": b"adapters._can.owner", "artefact": b"item/artefact"}
RUN_S = 90


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    file = tmp_path_factory.mktemp("profile") / "short.yaml"
    file.write_text(SHORT)
    return file


def test_the_reference_certifies_with_the_outcomes_of_simulated_time_and_rejudges_to_the_same(tmp_path):
    run, verdict = certified_run(tmp_path, "cockpit-a", *part_profile(tmp_path / "part.yaml", "cockpit-a"))
    statement = certificate.verify(run / "certificate.json").statement
    assert statement["subject"][0]["name"].startswith("virtual:")
    again = rejudge.rejudge(run / "record")
    assert again.requirements == verdict.requirements


def in_part(ecu, folder):
    """A reference certified on the hub by a part of its profile; (its run, its verdict)."""
    folder.mkdir()
    return certified_run(folder, ecu, *part_profile(folder / "part.yaml", ecu))


def test_the_other_references_too(tmp_path):
    """Both lines, both vendors, beside each other on hubs of their own: what passes in simulated time passes in real time, and rejudges to
    the same measurements."""
    ecus = ("cockpit-b", "driving_assistance-a", "driving_assistance-b")
    with ThreadPoolExecutor(len(ecus)) as pool:
        found = list(pool.map(in_part, ecus, [tmp_path / e for e in ecus]))
    for ecu, (run, verdict) in zip(ecus, found, strict=True):
        assert rejudge.rejudge(run / "record").requirements == verdict.requirements
        assert len(verdict.requirements) >= (1 + DRIVEN if "driving" in ecu else SHOWN)


def test_braking_too_late_is_refused_in_real_time_too(tmp_path):
    profile = tmp_path / "braking.yaml"
    profile.write_text(DRIVING.format(chosen="AEB-CCRS-001, AEB-DEMAND-001"))
    built = build.build(tmp_path / "s", {"AEB_CAR_TTC_S": "0.9"}, ecu="driving_assistance-a")
    done = start(built, tmp_path / "runs", "--profile", str(profile))
    done.communicate(timeout=2 * RUN_S)
    _, verdict = verdict_of(tmp_path / "runs")
    assert done.returncode == 1
    assert {j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL} == {"AEB-CCRS-001"}


def test_one_constant_changed_inside_the_artefact_refuses(tmp_path, short):
    folder = build.build(tmp_path / "s", {"SPEED_OFFSET_KMH": "-0.9"})
    done = start(folder, tmp_path / "runs", "--profile", str(short))
    done.communicate(timeout=RUN_S)
    _, verdict = verdict_of(tmp_path / "runs")
    assert done.returncode == 1
    assert {j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL} == {"COCKPIT-SPEED-001"}


def test_an_artefact_that_resets_itself_is_started_again_and_found_out(tmp_path, short):
    folder = build.build(tmp_path / "s")
    artefact = folder / "cockpit-1.4.0.pyz"
    wrapped = tmp_path / "wrapped"
    wrapped.write_bytes(artefact.read_bytes())
    # a build that exits 300 ms after its ready line, again and again
    build.build(folder, {"PANIC_AT_MS": "700"})
    import hashlib
    import zipfile

    with zipfile.ZipFile(artefact) as archive:
        core = archive.read("common/hub.py").decode()
        files = {n: archive.read(n) for n in archive.namelist()}
    files["common/hub.py"] = core.replace(
        "sys.stdout.flush()\n", "sys.stdout.flush()\n            if 'panic' in text:\n                sys.exit(7)\n", 1
    ).encode()
    with artefact.open("wb") as stream:
        stream.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    file = folder / "submission.yaml"
    old = file.read_text().split("sha256: ")[1].split("}")[0]
    file.write_text(file.read_text().replace(old, hashlib.sha256(artefact.read_bytes()).hexdigest()))
    profile = tmp_path / "boot.yaml"
    profile.write_text(SHORT.replace("COCKPIT-SPEED-001", "BOOT-CRASH-001"))
    done = start(folder, tmp_path / "runs", "--profile", str(profile))
    done.communicate(timeout=RUN_S)
    _, verdict = verdict_of(tmp_path / "runs")
    found = {j.requirement: j for j in verdict.requirements}
    assert found["BOOT-CRASH-001"].outcome is Outcome.FAIL
    boots = [m.value for m in found["BOOT-CRASH-001"].measured if m.name == "unexpected_boots"]
    assert boots[0] >= 3
    assert done.returncode == 1


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def find(root, target):
    return [p for p in processes.below(root) if TARGETS[target] in cmdline(p)]


def one_kill(seed, submission, profile, folder):
    """Start a run, kill one of its processes at a random moment; what came of it. None if the run was over before."""
    chance = random.Random(seed)
    target, delay_s = list(TARGETS)[seed % len(TARGETS)], chance.uniform(0, 5)
    runs = folder / f"runs-{seed}"
    process = start(submission, runs, "--profile", str(profile))
    deadline = time.monotonic() + 30
    while not find(process.pid, target) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    time.sleep(delay_s)
    seen = processes.below(process.pid)
    killed = find(process.pid, target)
    if target == "artefact":  # from outside its fence: what ends inside has ended by itself
        killed = killed[-1:]
    for pid in killed:
        processes.kill(pid)
    try:
        process.communicate(timeout=RUN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return target, delay_s, "hung", [], False
    if not killed:
        return None
    left = [p for p in seen if cmdline(p) and b"python" in cmdline(p) and Path(f"/proc/{p}").exists()]
    run, verdict = verdict_of(runs)
    readable = bool(list(records.events(run / "record"))) and not records.alterations(run / "record")
    return target, delay_s, verdict.decision.value, left, readable and process.returncode == 3


def test_whatever_is_killed_the_run_is_void_and_readable_and_nothing_is_left(tmp_path, short):
    submission = build.build(tmp_path / "s")
    results = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(one_kill, seed, submission, short, tmp_path) for seed in range(KILLS)]
        results = [r for f in running if (r := f.result()) is not None]
    assert results, "every run was over before it could be killed"
    wrong = [r for r in results if r[2] != "void" or r[3] or not r[4]]
    assert not wrong, wrong


def test_an_interrupted_command_ends_what_it_started(tmp_path, short):
    process = start(build.build(tmp_path / "s"), tmp_path / "runs", "--profile", str(short))
    deadline = time.monotonic() + 30
    while not find(process.pid, "artefact") and time.monotonic() < deadline:
        time.sleep(0.05)
    seen = processes.below(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert not [p for p in seen if cmdline(p)]
