"""The same in real time on the hub; and whatever is killed, at whatever moment: void, readable, never certified, no hang."""

import datetime
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from harness import certificate, descendants, rejudge, shape, suite
from harness import record as records
from harness.model import Outcome, Verdict
from harness.paths import ECUS
from rigs.ecus import build

SHORT = """name: short
version: "1"
suites: [common, cockpit]
mandatory: [CAN-MATRIX-001]
conditional: [BOOT-READY-001, COCKPIT-SPEED-001]
limit_s: 60
"""
DRIVING = """name: driving
version: "1"
suites: [common, driving_assistance]
mandatory: [CAN-MATRIX-001]
conditional: [{chosen}]
limit_s: 400
"""
COCKPIT = """name: cockpit-part
version: "1"
suites: [common, cockpit]
mandatory: [{mandatory}]
conditional: [{chosen}]
limit_s: 400
"""
SHOWN = 14  # conditional requirements of a cockpit a day and vendor, beside all that every ECU must meet
DRIVEN = 4  # requirements of driving assistance a day and vendor; `python -m tests.real_time` drives them all
KILLS = 25  # a day; another day, other moments
TARGETS = {"pytest": b"-m\0pytest", "bus": b"adapters.can_process", "artefact": b"item/artefact"}
RUN_S = 90


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    file = tmp_path_factory.mktemp("profile") / "short.yaml"
    file.write_text(SHORT)
    return file


def start(submission, runs, *options, rig="hub", within=()):
    """A certification; `within`: the words of another `shipei` command that runs it."""
    command = [
        *([sys.executable, "-m", "harness", *within] if within else []),
        sys.executable,
        "-m",
        "harness",
        "certify",
        str(submission),
        "--rig",
        rig,
        "--runs",
        str(runs),
        "--no-report",
        "--json",
    ]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_interrupts
    )


def hears_interrupts():
    """As at a terminal: a shell without job control starts what it puts into the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def verdict_of(runs):
    (file,) = Path(runs).glob("*/*/verdict.json")
    return file.parent, shape.loads(Verdict, file.read_bytes(), str(file))


def certified_run(folder, ecu="cockpit-a", *options, **how):
    """A certified run of a reference in real time. A host that stalls may make a run inconclusive, and nothing else."""
    submission = build.build(folder / "s", ecu=ecu)
    for attempt in range(3):
        done = start(submission, folder / f"runs-{attempt}", *options, **how)
        out, err = done.communicate(timeout=500)
        run, verdict = verdict_of(folder / f"runs-{attempt}")
        others = {j.requirement: j.reason for j in verdict.requirements if j.outcome is not Outcome.PASS}
        stalled = ("inconclusive", "the host is overloaded")
        assert all(any(s in reason for s in stalled) for reason in others.values()), others
        assert not verdict.faults, err
        if not others:
            assert (done.returncode, json.loads(out)["decision"]) == (0, "certified")
            return run, verdict
    raise AssertionError(f"the host stalled in three runs: {others}")


def test_the_reference_certifies_with_the_outcomes_of_simulated_time_and_rejudges_to_the_same(tmp_path):
    run, verdict = certified_run(tmp_path, "cockpit-a", *part_profile(tmp_path / "part.yaml", "cockpit-a"))
    statement = certificate.verify(run / "certificate.json")
    assert statement["subject"][0]["name"].startswith("virtual:")
    again = rejudge.rejudge(run / "record")
    assert again.requirements == verdict.requirements


def today():
    return datetime.datetime.now(datetime.UTC).date().toordinal()


def asked_of(ecu):
    """The requirements that its declared features ask for."""
    line, _, vendor = ecu.rpartition("-")
    declared = yaml.safe_load((ECUS / line / vendor / "submission.yaml").read_text(encoding="utf-8"))["features"]
    known = [r for one in suite.all_suites().values() for r in one.requirements.values()]
    return {r.id for r in known if not r.applies or not r.applies.feature or r.applies.feature in declared}


def part_profile(file, ecu, but=()):
    """A profile of a part of its line that changes from day to day, another for each vendor; never with what is in `but`."""
    driving = "driving" in ecu
    profile = suite.load_profile(suite.profile_file("driving-assistance-1.0" if driving else "cockpit-1.0"))
    chance, asked = random.Random(f"{today()} {ecu}"), asked_of(ecu)
    names = [n for n in profile.conditional if n in asked and n not in but]
    if driving:
        names = [n for n in names if n.partition("-")[0] not in ("BOOT", "CONSOLE", "E2E", "CAN", "NM")]
        file.write_text(DRIVING.format(chosen=", ".join(chance.sample(names, DRIVEN))))
    else:
        chosen = ", ".join(chance.sample(names, SHOWN))
        file.write_text(COCKPIT.format(mandatory=", ".join(profile.mandatory), chosen=chosen))
    return "--profile", str(file)


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
    return [p for p in descendants.below(root) if TARGETS[target] in cmdline(p)]


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
    seen = descendants.below(process.pid)
    killed = find(process.pid, target)
    for pid in killed:
        descendants.kill(pid)
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
    readable = bool(list(records.events(run / "record"))) and not records.broken_seal(run / "record")
    return target, delay_s, verdict.decision.value, left, readable and process.returncode == 3


def test_whatever_is_killed_the_run_is_void_and_readable_and_nothing_is_left(tmp_path, short):
    submission = build.build(tmp_path / "s")
    results = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seeds = range(today() % 2, 2 * (KILLS + 3), 2)
        running = [pool.submit(one_kill, seed, submission, short, tmp_path) for seed in seeds]
        results = [r for f in running if (r := f.result()) is not None]
    assert len(results) >= KILLS
    wrong = [r for r in results if r[2] != "void" or r[3] or not r[4]]
    assert not wrong, wrong


def test_an_interrupted_command_ends_what_it_started(tmp_path, short):
    process = start(build.build(tmp_path / "s"), tmp_path / "runs", "--profile", str(short))
    deadline = time.monotonic() + 30
    while not find(process.pid, "artefact") and time.monotonic() < deadline:
        time.sleep(0.05)
    seen = descendants.below(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert not [p for p in seen if cmdline(p)]
