"""Containers in tests: certify an image, what the engine and the record then hold."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from adapters._container import image
from adapters._container.engine import LABEL, owner_token
from adapters.container import ContainerTarget
from harness import documents
from harness.model import Interface, Item, Verdict
from harness.paths import RIGS
from harness.ports import Bench
from tests.support.certified import decided

PROFILE = """name: short
version: "1"
suites: [common, cockpit]
mandatory: [CAN-MATRIX-001]
conditional: [BOOT-READY-001, COCKPIT-SPEED-001]
limit_s: 90
ready_s: {ready_s}
"""
RUN_S = 200


def start(submission, runs, profile, rig="container"):
    command = [sys.executable, "-m", "harness", "certify", str(submission), "--rig", str(rig), "--runs", str(runs)]
    options = ["--profile", str(profile), "--no-report", "--json"]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def certified(submission, runs, profile, rig="container"):
    """(exit code, run's folder, verdict, standard error)."""
    process = start(submission, runs, profile, rig)
    _, said = process.communicate(timeout=RUN_S)
    files = sorted(Path(runs).glob("*/*/verdict.json"), key=lambda f: int(f.parent.name))
    assert files, said
    run = files[-1].parent
    return process.returncode, run, documents.loads(Verdict, (run / "verdict.json").read_bytes(), str(run)), said


def certifies(submission, runs, profile, rig="container"):
    """The run's folder. A host that stalls may make a run inconclusive, and nothing else."""
    return decided(runs, submission, "--profile", str(profile), rig=str(rig), limit_s=RUN_S)[0]


def left(engine):
    """Containers and volumes of ours, and images in quarantine."""
    names = [t for i in engine.images.list() for t in i.tags if t.startswith(image.QUARANTINE)]
    names += [v.name for v in engine.volumes.list(filters={"label": LABEL})]
    return names + [c.name for c in engine.containers.list(all=True, filters={"label": LABEL})]


def console_of(run):
    """What came over the console, whatever lines it had."""
    chunks = [json.loads(line)[1] for line in (run / "record" / "console.jsonl").read_text().splitlines()]
    return bytes.fromhex("".join(chunks)).decode(errors="replace")


def events_of(run):
    return [json.loads(line) for line in (run / "record" / "container.jsonl").read_text().splitlines()]


def on_engine(folder, address):
    """A rig of containers on that very engine."""
    text = (RIGS / "container.yaml").read_text()
    (folder / "container.yaml").write_text(text.replace("memory_mb: 256", f"engine: '{address}', memory_mb: 256"))
    return folder / "container.yaml"


def ours(folder):
    """(owner, settings) of a container without buses."""
    nothing = Item(files={}, interface=Interface(buses={}))
    bench = Bench(item=nothing, work=folder, evidence=folder, ports={}, memory=folder)
    (folder / "hub.sock").touch()
    token = owner_token()
    return token, ContainerTarget().settings(SimpleNamespace(path=folder / "hub.sock"), bench, token)


def running(engine, process, within_s=60):
    """The container of the item, once it runs."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and process.poll() is None:
        for one in engine.containers.list(filters={"label": LABEL}, ignore_removed=True):
            if one.attrs["Config"]["Image"] and "SHIPEI_CONSOLE=/dev/ttyS0" in (one.attrs["Config"]["Env"] or ()):
                return one
        time.sleep(0.05)
    raise AssertionError("no container came up")
