"""Carry a campaign out: several cells at a time, each a `shipei certify` of its own on a CPU of its own."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import certify, record, verdicts
from harness.batch import campaign
from harness.batch.campaign import Cell, Done
from harness.certify import Terms
from harness.errors import BadInput, given
from harness.processes import die_with_parent, environment, go_last, take_lock
from harness.verdicts import EXIT

RUNS = "runs"
LAST_LINES = 5
END_S = 15.0


class Watch:
    """Told of cells as they start, go on and end; does nothing by itself."""

    def started(self, cell: Cell) -> None: ...

    def test(self, cell: Cell, count: int, name: str) -> None: ...

    def ended(self, done: Done) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """How a campaign is carried out: so many cells at a time, what is decided already once more or not, each on these terms, with a report or not."""

    at_once: int
    again: bool = False
    terms: Terms = field(default_factory=Terms)
    report: bool = True


def run(cells: Sequence[Cell], folder: Path, order: Order, watch: Watch) -> list[Done]:
    """Certify what is not certified or refused yet; how every cell stands, in the campaign's order.

    What the host could not decide beside other cells is run once more at the end, alone.
    """
    runs = folder / RUNS
    with claimed(folder):
        earlier: dict[int, Done] = {}
        if not order.again:
            earlier = {c: d for c in range(len(cells)) if (d := campaign.known(cells[c], runs, order.terms.key))}
        for done in earlier.values():
            watch.ended(done)
        workers = Workers(cells, runs, order, watch)
        found = workers.work([n for n in range(len(cells)) if n not in earlier])
        undecided = [n for n, done in found.items() if order.at_once > 1 and could_not_tell(done)]
        found |= Workers(cells, runs, replace(order, at_once=1), watch).work(undecided)
    return [(earlier | found)[n] for n in range(len(cells))]


def could_not_tell(done: Done) -> bool:
    """Whether it is void for nothing but measurements that this host, with others on it, could not decide: once more, alone."""
    return done.verdict is not None and done.decision == "void" and not done.verdict.faults


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """One call at a time carries a campaign out."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        if not take_lock(lock):
            lock.seek(0)
            raise BadInput(f"{folder}: this campaign is running already ({lock.read().strip()})")
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}\n")
        lock.flush()
        yield


class Workers:
    """So many at a time; a bench that only one may have is given to one at a time.

    There may be more places than CPUs: for cells that mostly wait. One that computes takes as many places as come on a CPU, and has
    that CPU to itself. While there are cells whose time is real, one in simulated time goes behind them, in no place of theirs.
    """

    def __init__(self, cells: Sequence[Cell], runs: Path, order: Order, watch: Watch) -> None:
        self.cells, self.runs, self.order, self.watch = cells, runs.absolute(), order, watch
        self.free = list(range(order.at_once))
        self.cpus = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
        self.share = max(1, math.ceil(order.at_once / len(self.cpus)))
        self.running: dict[int, subprocess.Popen[str]] = {}
        self.stopped = threading.Event()

    def work(self, waiting: list[int]) -> dict[int, Done]:
        found: dict[int, Done] = {}
        going: dict[Future[Done], tuple[int, list[int]]] = {}
        with ThreadPoolExecutor(self.order.at_once + 1) as pool:
            try:
                while waiting or going:
                    while (chosen := self.next(waiting, [n for n, _ in going.values()])) is not None:
                        n, count = chosen
                        places = [self.free.pop(0) for _ in range(count)]
                        waiting.remove(n)
                        going[pool.submit(self.certify, n, places[0] if places else None)] = (n, places)
                    for future in wait(going, return_when=FIRST_COMPLETED).done:
                        n, places = going.pop(future)
                        self.free += places
                        found[n] = future.result()
                        self.watch.ended(found[n])
            except BaseException:
                self.stop()
                raise
        return found

    def next(self, waiting: list[int], going: list[int]) -> tuple[int, int] | None:
        """The first that may start now, and the places that it takes: none behind cells whose time is real."""
        taken = {self.cells[n].rig.name for n in going if self.cells[n].rig.one_at_a_time}
        real = self.order.at_once > 1 and any(not self.cells[n].simulated for n in (*waiting, *going))
        crowded = any(self.cells[n].simulated for n in going)
        for n in waiting:
            behind = real and self.cells[n].simulated
            count = 0 if behind else self.places(n)
            if self.cells[n].rig.name not in taken and (not crowded if behind else count <= len(self.free)):
                return n, count
        return None

    def places(self, n: int) -> int:
        return self.share if self.cells[n].computes else 1

    def stop(self) -> None:
        """Interrupt what runs: a run that is interrupted seals its record."""
        self.stopped.set()
        for child in list(self.running.values()):
            child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + END_S
        for child in list(self.running.values()):
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()

    # ------------------------------------------------------------ one cell

    def certify(self, n: int, slot: int | None) -> Done:
        """One cell, in a place of its own or, without one, behind the others."""
        cell, started = self.cells[n], time.monotonic()
        if self.stopped.is_set():
            return Done(cell=cell, code=3, says="interrupted")
        self.watch.started(cell)
        before = set(self.folders(cell))
        cpu = self.cpus[(slot or 0) % len(self.cpus)]
        alone = cell.computes and slot is not None  # an emulator and its bench on one CPU starve each other
        allowed = {cpu} if alone else set(self.cpus)
        child = self.running[n] = subprocess.Popen(
            self.command(cell, cpu), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", env=environment(), start_new_session=True,
            preexec_fn=lambda: pinned(allowed, last=slot is None),
        )  # fmt: skip
        said = self.listen(cell, child)
        code = child.wait()
        del self.running[n]
        done = self.ended(cell, code, before, said)
        return Done(**{**vars(done), "seconds": time.monotonic() - started})

    def command(self, cell: Cell, cpu: int) -> list[str]:
        shipei = [sys.executable, "-m", "harness"]
        inside = []
        if cell.where.vcan:
            buses = [word for bus in cell.buses for word in ("--bus", bus)]
            way = ["--way", cell.where.way] if cell.where.way else []
            way += ["--memory", cell.where.memory] if cell.where.memory else []
            inside = [*shipei, "vcan", "--private", "--cpu", str(cpu), *way, *buses, "--"]
        options = ["--profile", cell.profile] if cell.profile else []
        terms = self.order.terms
        options += ["--key", str(terms.key.absolute())] if terms.key else []
        options += [
            "--wait",
            str(terms.wait_s),
            "--report" if self.order.report else "--no-report",
            "--json",
            "--verbose",
        ]
        where = [str(cell.submission.absolute()), "--rig", str(cell.rig_file.absolute()), "--runs", str(self.runs)]
        return [*inside, *shipei, "certify", *where, *options]

    def listen(self, cell: Cell, child: "subprocess.Popen[str]") -> list[str]:
        """Its tests as they start; what else it says last."""
        said: list[str] = []
        count = 0
        with given(child.stderr) as lines:
            for line in lines:
                if "::" in line:
                    count += 1
                    self.watch.test(cell, count, line.strip())
                else:
                    said = [*said, line.rstrip()][-LAST_LINES:]
        return said

    def ended(self, cell: Cell, code: int, before: set[Path], said: list[str]) -> Done:
        """What it left: the run of this plan that was not there before."""
        for run in sorted(set(self.folders(cell)) - before, key=lambda f: int(f.name)):
            file = run / verdicts.RECORD / record.PLAN
            if not file.is_file() or record.load_plan(run / verdicts.RECORD).id != cell.plan.id:
                continue
            if (run / verdicts.VERDICT).is_file():
                verdict = verdicts.load(run)
                return Done(cell=cell, code=EXIT[verdict.decision], run=run, verdict=verdict)
        return Done(
            cell=cell, code=code if code > 0 else 3, says=" / ".join(s for s in said if s) or f"ended with {code}"
        )

    def folders(self, cell: Cell) -> list[Path]:
        return [f for f in (self.runs / certify.folder_name(cell.plan)).glob("*") if f.name.isdigit()]


def pinned(cpus: set[int], last: bool) -> None:
    """In the child."""
    die_with_parent()
    if last:
        go_last()
    if sys.platform == "linux":
        os.sched_setaffinity(0, cpus)


def default_at_once(wanted: int | None) -> int:
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return wanted or cpus
