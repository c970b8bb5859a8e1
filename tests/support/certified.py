"""Certifications in real time: started as a command, tried again only where the record says that the host stalled."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from harness import documents
from harness import record as records
from harness.inputs import suite
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
SHOWN = 14  # conditional requirements of a cockpit a seed and vendor, beside all that every ECU must meet
DRIVEN = 4  # requirements of driving assistance a seed and vendor; `python -m tools.real_time` drives them all
SEED = int(os.environ.get("SEEDS", "1").partition(",")[0])  # which part of a profile; the same from day to day
STALLED_NS = 15_000_000  # a bus's clock that the host made unsurer than this, so that a timing may not be decided
TRIES = 3


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
    return file.parent, documents.loads(Verdict, file.read_bytes(), str(file))


def asked_of(ecu):
    """The requirements that its declared features ask for."""
    line, _, vendor = ecu.rpartition("-")
    declared = yaml.safe_load((ECUS / line / vendor / "submission.yaml").read_text(encoding="utf-8"))["features"]
    known = [r for one in suite.all_suites().values() for r in one.requirements.values()]
    return {r.id for r in known if not r.applies or not r.applies.feature or r.applies.feature in declared}


def part_profile(file, ecu, but=()):
    """A profile of a part of its line by seed, another for each vendor; never with what is in `but`."""
    driving = "driving" in ecu
    profile = suite.load_profile(suite.profile_file("driving-assistance-1.0" if driving else "cockpit-1.0"))
    chance, asked = random.Random(f"{SEED} {ecu}"), asked_of(ecu)
    names = [n for n in profile.conditional if n in asked and n not in but]
    if driving:
        names = [n for n in names if n.partition("-")[0] not in ("BOOT", "CONSOLE", "E2E", "CAN", "NM")]
        file.write_text(DRIVING.format(chosen=", ".join(chance.sample(names, DRIVEN))))
    else:
        chosen = ", ".join(chance.sample(names, SHOWN))
        file.write_text(COCKPIT.format(mandatory=", ".join(profile.mandatory), chosen=chosen))
    return "--profile", str(file)


def note_try(what, how):
    """One line for whoever counts: `make test` ends with the tries and voids of its lanes (LANES_TRIES names the file)."""
    print(f"{what}: {how}", flush=True)
    if file := os.environ.get("LANES_TRIES"):
        with Path(file).open("a") as stream:
            stream.write(f"{how}\t{what}\n")


def stalled_ns(run):
    """The record's own figure: how unsure the host made the clock of a bus, at its worst."""
    events = records.events(run / "record")
    return max((e.uncertainty_ns or 0 for e in events if e.what == "clock" and e.port == "bus"), default=0)


def decided(folder, submission, *options, decision="certified", limit_s=500, **how):
    """A run that came to `decision`, tried again where it was void or inconclusive and its record says why: a host that stalled.

    Whatever else came out fails at once: no device is refused because of the host.
    """
    for attempt in range(TRIES):
        runs = folder / f"runs-{attempt}"
        runs.parent.mkdir(parents=True, exist_ok=True)
        process = start(submission, runs, *options, **how)
        try:
            out, err = process.communicate(timeout=limit_s)
        finally:
            process.kill()  # of one that has ended nothing is left to kill
        assert process.returncode != 2, err
        run, verdict = verdict_of(runs)
        note_try(f"{submission.parent.name}/{submission.name}", verdict.decision.value)
        if verdict.decision.value == decision:
            assert json.loads(out)["decision"] == decision
            return run, verdict
        assert verdict.decision.value == "void", (verdict.decision, others(verdict), err)
        assert not [j for j in verdict.requirements if j.outcome in (Outcome.FAIL, Outcome.ERROR)], others(verdict)
        late = any(
            "the host is overloaded" in j.reason for j in verdict.requirements
        )  # a drive's own figure is in its reason
        assert late or stalled_ns(run) > STALLED_NS, (
            f"void on a host that stalled {stalled_ns(run)} ns",
            others(verdict),
        )
    raise AssertionError(f"the host stalled in {TRIES} runs: {others(verdict)}")


def tried(what, attempt):
    """Call `attempt(n)` until the command that it returns did not end void, three times at most."""
    for n in range(TRIES):
        done = attempt(n)
        note_try(what, {0: "certified", 1: "refused", 3: "void"}.get(done.returncode, f"exit code {done.returncode}"))
        if done.returncode != 3:
            break
    return done


def others(verdict):
    """What did not pass, and why."""
    return {j.requirement: j.reason for j in verdict.requirements if j.outcome is not Outcome.PASS}, verdict.faults


def certified_run(folder, ecu="cockpit-a", *options, **how):
    """A certified run of a reference in real time; (its folder, its verdict)."""
    return decided(folder, build.build(folder / "s", ecu=ecu), *options, **how)
