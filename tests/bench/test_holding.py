"""One rig, one run; left safe however it is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import processes
from harness.bench import claim, guard
from harness.errors import RigError
from harness.inputs import rig
from harness.paths import ROOT, memory_of_rig
from rigs.ecus import build
from tests.support.desk import SHORT, desk
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


RELAY = """import sys, pathlib
what, file = sys.argv[1], pathlib.Path(sys.argv[2])
if what == "state":
    print(file.read_text())
else:
    file.write_text(what)
"""


@pytest.fixture
def bench(tmp_path):
    """A rig file whose supply is a program, and the file that says how it is switched."""
    (tmp_path / "relay.py").write_text(RELAY)
    (tmp_path / "relay").write_text("on")

    def command(what):
        return json.dumps([sys.executable, str(tmp_path / "relay.py"), what, str(tmp_path / "relay")])

    file = tmp_path / "bench.yaml"
    file.write_text(
        'name: bench\nkind: bench\nchip: {name: sim, revision: "1"}\nclock_ms: 1.0\nports:\n'
        f'  power: {{use: "adapters.power_command:CommandPower", on: {command("on")}, off: {command("off")},'
        f" state: {command('state')}}}\n"
    )
    return file, tmp_path / "relay"


def hold(file, **options):
    return claim.held(rig.read(file), "a test", **options)


# ---------------------------------------------------------------- the lock


def test_a_bench_that_is_taken_is_refused_with_owner_and_age_and_waited_for_when_asked(bench):
    file, _ = bench
    said = []
    with (
        hold(file),
        pytest.raises(RigError, match=r"the bench bench is taken by .*\(pid \d+, a test\) for 0 min; --wait"),
        hold(file),
    ):
        pass
    code = f"""
import sys, time
from pathlib import Path
from harness.bench import claim
from harness.inputs import rig
file = Path({str(file)!r})
with claim.held(rig.read(file), "another run"):
    print("mine", flush=True)
    sys.stdin.readline()
"""

    def release(what):
        said.append(what)
        if "waiting" in what and not other.stdin.closed:
            other.stdin.close()

    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as other:
        assert other.stdout.readline() == b"mine\n"
        with hold(file, wait_s=60, tell=release):
            assert other.wait(30) == 0
    assert any("waiting for the bench bench, taken by" in what and "another run" in what for what in said)


def test_a_dead_owners_lock_is_taken_over(bench):
    file, relay = bench
    code = f"""
import os, signal
from pathlib import Path
from harness.bench import claim
from harness.inputs import rig
file = Path({str(file)!r})
with claim.held(rig.read(file), "doomed"):
    Path({str(relay)!r}).write_text("on")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    said = []
    with hold(file, wait_s=20, tell=said.append):  # its guard holds the lock until the supply is safe
        assert relay.read_text() == "off"
    text = "; ".join(said)
    assert "taking over the bench bench from a run that died" in text
    assert "the last harness here died at" in text
    assert "power: " in text
    assert not (memory_of_rig("bench") / guard.LEFT).exists()


def test_virtual_rigs_are_everybodys_at_once():
    sim = ROOT / "rigs" / "sim.yaml"
    with hold(sim), hold(sim):
        pass


def test_a_bench_that_cannot_be_made_safe_is_not_started(bench):
    file, relay = bench
    relay.unlink()
    relay.mkdir()
    with (
        pytest.raises(RigError, match="cannot be made safe, so nothing is started: power: .*ended with code 1"),
        hold(file),
    ):
        pass


def test_a_guard_that_was_killed_is_replaced(bench):
    file, relay = bench
    with hold(file) as held:
        os.kill(held.guard.process.pid, signal.SIGKILL)
        held.guard.process.wait()
        relay.write_text("on")
    assert relay.read_text() == "off"


# ---------------------------------------------------------------- kill -9 of the harness, in the middle of a run


def test_a_harness_that_is_killed_leaves_the_supply_safe_and_the_bench_free(tmp_path):
    submission = build.build(tmp_path / "s")
    (tmp_path / "short.yaml").write_text(SHORT)
    with desk(tmp_path / "bench") as here:
        command = [
            "certify",
            submission,
            "--rig",
            here.rig,
            "--runs",
            tmp_path / "runs",
            "--profile",
            tmp_path / "short.yaml",
        ]
        run = subprocess.Popen(
            [sys.executable, "-m", "harness", *map(str, command), "--no-report"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: here.powered and list(tmp_path.glob("runs/*/*/record/trace-body.bin")), within_s=120)
        below = processes.below(run.pid)
        run.kill()
        run.wait()
        until(lambda: not here.powered, within_s=120)
        said = []
        with hold(here.rig, wait_s=30, tell=said.append):
            assert "the last harness here died" in "; ".join(said)
        alive = [p for p in below if Path(f"/proc/{p}/cmdline").exists() and Path(f"/proc/{p}/cmdline").read_bytes()]
        assert not alive
