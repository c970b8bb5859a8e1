"""Carry out a plan: pytest as a child on the rig, watched by its clock and its events; leaves a sealed record, whatever happens."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import documents, processes, record
from harness.bench.claim import Hold
from harness.can import trace
from harness.errors import BadInput
from harness.inputs import submission as submissions
from harness.model import Plan, Submission
from harness.paths import ROOT, SUITES, sha256

POLL_S = 0.05
GRACE_S = 5.0
MIN_FREE_BYTES = 200_000_000
Watch = Callable[[str], None]


GoldenCheck = Callable[[Path], list[str]]  # checks the golden item into a new folder; what was wrong


def run(
    plan: Plan,
    submission_path: Path,
    rig_file: Path,
    folder: Path,
    watch: Watch = lambda test: None,
    hold: Hold | None = None,
    golden: GoldenCheck | None = None,
) -> str:
    """Run a plan into a new record folder; returns the sealed record's digest.

    `watch` is called with the name of each test that starts, and with what takes long before. `hold` is the bench, if it must be
    held; `golden` is done before and after. Never raises for what goes wrong in the run: it is in the record.
    """
    file, rig_file, folder = submissions.locate(submission_path), rig_file.resolve(), folder.resolve()
    submission = submissions.load(file)
    with tempfile.TemporaryDirectory(prefix="shipei-") as work:
        taken = take_in(submission, file, Path(work) / "submission", plan)
        folder.mkdir(parents=True)
        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            folder.rmdir()
            raise BadInput(f"{folder}: less than {MIN_FREE_BYTES // 10**6} MB are free on this disk")
        record.write_json(folder / record.PLAN, documents.dump(plan))
        keep_inputs(submission, file, rig_file, folder / record.INPUTS)
        faults: list[str] = []  # those of the golden checks are in their own records, and judged from there
        if not (golden and golden(folder / record.BEFORE)):
            faults = execute(plan, taken, rig_file, folder, Path(work), watch, hold)
            faults += hold.make_safe() if hold else []
            if golden and not (hold and hold.lost()):
                golden(folder / record.AFTER)
    return finish(folder, faults)


def keep_inputs(submission: Submission, file: Path, rig_file: Path, inputs: Path) -> None:
    """The record carries what a later reader needs to judge again: everything but the artefacts themselves."""
    inputs.mkdir()
    shutil.copyfile(file, inputs / "submission.yaml")
    shutil.copyfile(rig_file, inputs / "rig.yaml")
    for name in submission.interface.files:
        (inputs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.parent / name, inputs / name)


def take_in(submission: Submission, file: Path, target: Path, plan: Plan) -> Path:
    """A private copy of the submission; what runs is this copy, and its digests are the plan's."""
    target.mkdir()
    for name in ("submission.yaml", *(a.path for a in submission.artefacts), *submission.interface.files):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file if name == "submission.yaml" else file.parent / name, target / name)
    for artefact in submission.artefacts:
        if sha256(target / artefact.path) != plan.digests[f"artefact:{artefact.role}"]:
            raise BadInput(f"{artefact.path} changed between plan and run")
    return target / "submission.yaml"


def execute(
    plan: Plan, submission: Path, rig_file: Path, folder: Path, work: Path, watch: Watch, hold: Hold | None = None
) -> list[str]:
    """The child and its supervision; returns the run's faults."""
    command = [
        *(sys.executable, "-m", "pytest", *(str(SUITES / name) for name in plan.suites)),
        *("-q", "--noconftest", "-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "--assert=plain"),
        *("-c", os.devnull, f"--rootdir={ROOT}", "--import-mode=importlib", f"--basetemp={work / 'pytest'}"),
        *("--plan", str(folder / record.PLAN), "--record", str(folder), "--rig", str(rig_file)),
        *("--submission", str(submission)),
    ]
    environment = {
        **processes.environment(),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with processes.owned(), (folder / "pytest.log").open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=work,
            start_new_session=True,
            preexec_fn=in_child,
        )
        try:
            return supervise(child, plan.limit_s, folder / record.EVENTS, watch, hold)
        finally:
            processes.end(child.pid)
            child.wait()


def in_child() -> None:
    processes.die_with_parent()
    processes.keep_place()


def supervise(
    child: "subprocess.Popen[bytes]", limit_s: float, events: Path, watch: Watch, hold: Hold | None
) -> list[str]:
    """Wait for the child within the limit and as long as the bench is ours, telling which tests start."""
    deadline, seen = time.monotonic() + limit_s, 0
    while child.poll() is None:
        seen = tell(events, seen, watch)
        lost = hold.lost() if hold else ""
        if lost or time.monotonic() > deadline:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
            return [lost or f"the run did not end within its limit of {limit_s:g} s"]
        try:
            child.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue
    tell(events, seen, watch)
    if child.returncode < 0:
        return [f"the test process was killed by signal {-child.returncode}"]
    return (
        [] if child.returncode in (0, 1) else [f"the test process ended with code {child.returncode}; see pytest.log"]
    )


def tell(events: Path, seen: int, watch: Watch) -> int:
    """Report tests that started since byte `seen`."""
    if not events.is_file():
        return seen
    with events.open("rb") as stream:
        stream.seek(seen)
        for line in stream:
            if not line.endswith(b"\n"):
                break
            seen += len(line)
            if line.startswith(b'{"what": "started"'):
                watch(line.split(b'"test": "')[1].split(b'"')[0].decode())
            elif line.startswith(b'{"what": "opening"'):
                watch(json.loads(line)["why"])
    return seen


def finish(folder: Path, faults: list[str]) -> str:
    """Add what the supervisor saw, cut torn tails, seal."""
    mend(folder / record.EVENTS)
    recorder = record.Recorder(folder)
    for fault in faults:
        recorder.write("fault", why=fault)
    recorder.close()
    torn = tuple(name for file in sorted(folder.glob("trace-*.bin")) if (name := cut_tail(file)))
    return record.seal(folder, torn)


def mend(events: Path) -> None:
    """Drop a last line that a kill cut off."""
    if events.is_file():
        raw = events.read_bytes()
        if raw and not raw.endswith(b"\n"):
            events.write_bytes(raw[: raw.rfind(b"\n") + 1])


def cut_tail(file: Path) -> str:
    """Cut a trace whose owner was killed to the frames that are whole; names it, or is empty if it was whole."""
    rows, whole = trace.load(file)
    if whole:
        return ""
    with file.open("r+b") as stream:
        stream.truncate(trace.HEADER + len(rows) * trace.ROW.itemsize)
    return f"{file.name}: its owner was killed after {len(rows)} frames"


def new_folder(root: Path, name: str) -> Path:
    """runs/<name>/<number>: the next free one, made."""
    parent = root / name
    parent.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(p.name) for p in parent.iterdir() if p.name.isdigit()), default=0)
    while True:
        try:
            (parent / str(number)).mkdir()
            return parent / str(number)
        except FileExistsError:
            number += 1
