"""Carry out a plan: pytest as a child on the rig, watched by its clock and its events; leaves a sealed record, whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import documents, processes, record
from harness.bench.claim import Hold
from harness.can import trace
from harness.errors import BadInput
from harness.inputs.inputs import Inputs
from harness.inputs.submission import Submitted
from harness.model import Interface, Plan
from harness.paths import ROOT, SUITES, scratch, sha256
from harness.plan import product_digests
from harness.signing import seals

POLL_S = 0.05
GRACE_S = 5.0
MIN_FREE_BYTES = 200_000_000
Watch = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of pytest: a plan, of the submission in a file, on a rig, into a record's folder; `work` is a folder for what is not kept."""

    plan: Plan
    submission: Path
    rig_file: Path
    folder: Path
    work: Path


def run(plan: Plan, given: Inputs, folder: Path, watch: Watch = lambda test: None, hold: Hold | None = None) -> str:
    """Run a plan of inputs that were taken into a new record folder, and seal it; returns the record's digest.

    `watch` is called with the name of each test that starts, and with what takes long before. `hold` is the bench, if it must be
    held; its golden check is done before and after. Never raises for what goes wrong in the run: it is in the record.
    """
    rig_file, folder = given.rig.file.resolve(), folder.resolve()
    golden = hold.golden if hold else None
    seals.key_of(sealer(plan))  # before anything runs: a record that cannot be sealed is worth nothing
    with scratch("shipei-") as work:
        folder.mkdir(parents=True)
        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            folder.rmdir()
            raise BadInput(f"{folder}: less than {MIN_FREE_BYTES // 10**6} MB are free on this disk")
        record.write_json(folder / record.PLAN, documents.dump(plan))
        keep_inputs(given.submitted, rig_file, folder / record.INPUTS)
        planned = (folder / record.PLAN).read_bytes()
        if changed := differing(plan, folder, given.submitted.submission.interface):
            shutil.rmtree(folder)
            raise BadInput([f"{what} changed since the plan was made" for what in changed])
        submission = given.submitted.folder / record.SUBMISSION
        job = Job(plan=plan, submission=submission, rig_file=rig_file, folder=folder, work=work)
        faults: list[str] = []  # those of the golden checks are in their own records, and judged from there
        if not (golden and golden(folder / record.BEFORE)):
            faults = execute(job, watch, hold)
            faults += hold.make_safe() if hold else []
            if golden and not (hold and hold.lost()):
                golden(folder / record.AFTER)
        if not (folder / record.PLAN).is_file() or (folder / record.PLAN).read_bytes() != planned:
            (folder / record.PLAN).write_bytes(planned)
            faults.append("somebody wrote into the plan while it was carried out")
        changed = differing(plan, folder, given.submitted.submission.interface)
        faults += [f"{what} changed while the run went on" for what in changed]
        digest = finish(folder, faults)
        seals.put(folder / record.SEAL, digest, sealer(plan))
    return digest


def sealer(plan: Plan) -> str:
    """Whose key seals a plan's record: a bench's own, or that of all virtual rigs."""
    return plan.rig if plan.rig_kind == "bench" else seals.VIRTUAL_RIGS


def differing(plan: Plan, folder: Path, interface: Interface) -> list[str]:
    """Which inputs of a plan are others now: those that lie in the record's folder, and our own."""
    inputs = folder / record.INPUTS
    files = {"rig": record.RIG, "submission": record.SUBMISSION}
    for name, bus in interface.buses.items():
        files |= {f"dbc:{name}": bus.dbc} | ({f"vss:{name}": bus.vss} if bus.vss else {})
    found = {what: sha256(inputs / name) if (inputs / name).is_file() else "" for what, name in files.items()}
    return [what for what, digest in (found | product_digests(plan.suites)).items() if plan.digests.get(what) != digest]


def keep_inputs(submitted: Submitted, rig_file: Path, inputs: Path) -> None:
    """The record carries what a later reader needs to judge again: everything but the artefacts themselves."""
    inputs.mkdir()
    shutil.copyfile(rig_file, inputs / record.RIG)
    for name in (record.SUBMISSION, *submitted.submission.interface.files):
        (inputs / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(submitted.folder / name, inputs / name)


def execute(job: Job, watch: Watch, hold: Hold | None = None) -> list[str]:
    """The child and its supervision; returns the run's faults."""
    plan, folder = job.plan, job.folder
    command = [
        *(sys.executable, "-m", "pytest", *(str(SUITES / name) for name in plan.suites)),
        *("-q", "--noconftest", "-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "--assert=plain"),
        *("-c", os.devnull, f"--rootdir={ROOT}", "--import-mode=importlib", f"--basetemp={job.work / 'pytest'}"),
        *("--plan", str(folder / record.PLAN), "--record", str(folder), "--rig", str(job.rig_file)),
        *("--submission", str(job.submission)),
    ]
    environment = {
        **processes.environment(),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with processes.owned(), (folder / record.LOG).open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=job.work,
            start_new_session=True,
            preexec_fn=in_child,
        )
        try:
            return supervise(child, plan.limit_s, record.Tail(folder), watch, hold)
        finally:
            processes.end(child.pid)
            child.wait()


def in_child() -> None:
    processes.die_with_parent()
    processes.keep_place()


def supervise(
    child: "subprocess.Popen[bytes]", limit_s: float, tail: record.Tail, watch: Watch, hold: Hold | None
) -> list[str]:
    """Wait for the child within the limit and as long as the bench is ours, telling which tests start."""
    deadline = time.monotonic() + limit_s
    while child.poll() is None:
        tell(tail, watch)
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
    tell(tail, watch)
    if child.returncode < 0:
        return [f"the test process was killed by signal {-child.returncode}"]
    return (
        [] if child.returncode in (0, 1) else [f"the test process ended with code {child.returncode}; see pytest.log"]
    )


def tell(tail: record.Tail, watch: Watch) -> None:
    for what in tail.read():
        watch(what)


def finish(folder: Path, faults: list[str]) -> str:
    """Add what the supervisor saw, cut torn tails, write down the digests."""
    record.mend(folder)
    recorder = record.Recorder(folder)
    for fault in faults:
        recorder.write("fault", why=fault)
    recorder.close()
    torn = tuple(name for file in record.traces(folder).values() if (name := cut_tail(file)))
    return record.close(folder, torn)


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
