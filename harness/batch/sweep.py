"""Where does a function begin to fail? Drive one scenario over a grid of conditions, then close in on the boundary.

Every point is a fresh item on a fresh simulated rig with a seed of its own, so that the numbers do not depend on how many
workers there are or in which order they came; and a sweep that was stopped goes on where it was.
"""

import csv
import hashlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import documents
from harness import plan as plans
from harness.bring_up import SETTLE_S, around, switch_on
from harness.documents import meant
from harness.driving import drive as driving
from harness.driving.closed_loop import BRAKES
from harness.driving.drive import Drive
from harness.driving.scenario import EGO_WIDTH_M, Scenario, cases, catalogue, with_values, wrong_ranges, wrong_starts
from harness.errors import BadInput, Fault
from harness.inputs import rig
from harness.inputs import submission as submissions
from harness.paths import SUITES
from harness.ports import Bench
from harness.vehicle.vehicle import Vehicle

AXES: Mapping[str, tuple[str, tuple[float, float, int], str]] = {  # name -> field, (from, to, points), unit
    "latency": ("sensors.latency_s", (0.0, 0.6, 7), "s"),
    "dropout": ("sensors.dropout", (0.0, 0.6, 7), ""),
    "noise": ("sensors.noise_m", (0.0, 1.5, 7), "m"),
    "speed_noise": ("sensors.noise_mps", (0.0, 3.0, 7), "m/s"),
    "confidence": ("sensors.confidence", (0.2, 1.0, 9), ""),
    "ego_speed": ("ego_kmh", (20.0, 80.0, 7), "km/h"),
    "target_speed": ("actors.0.speed_kmh", (0.0, 60.0, 7), "km/h"),
    "gap": ("actors.0.gap_m", (10.0, 60.0, 6), "m"),
    "lateral": ("actors.0.lateral_m", (-2.0, 2.0, 9), "m"),
    "brake_delay": ("actuators.delay_s", (0.05, 0.4, 8), "s"),
}
CLOSER = 5  # halvings of the grid's step on the way to the boundary
READY_S = 30.0
MOST_POINTS = 20_000
WARNINGS = ("Vehicle.ADAS.FCW.IsOptical", "Vehicle.ADAS.FCW.IsAcoustic", "Vehicle.ADAS.FCW.IsHaptic")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One condition that is varied: its name, the scenario's field, its values in rising order."""

    name: str
    field: str
    values: tuple[float, ...]
    unit: str


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is driven: a scenario, its axes, how many seeds a point, and the quantity that must not exceed a limit."""

    submission: Path
    scenario: Scenario
    axes: tuple[Axis, ...]
    seeds: int
    quantity: str
    limit: float

    def case(self, values: Sequence[float], seed: int) -> Scenario:
        named = {axis.field: value for axis, value in zip(self.axes, values, strict=True)}
        return replace(with_values(self.scenario, named), runs=1, seed=self.scenario.seed + seed)


Point = dict[str, Any]  # values, seed, and what was measured


def axis(text: str) -> Axis:
    """An axis as people write it: `latency`, `latency=0:0.3:7` (from, to, points), `latency=0,0.1,0.3`, or a field's name.

    >>> axis("latency=0:0.3:4").values
    (0.0, 0.1, 0.2, 0.3)
    >>> axis("actors.0.speed_kmh=20,30").field
    'actors.0.speed_kmh'
    """
    name, given, written = text.partition("=")
    field, (low, high, number), unit = AXES.get(name, (name, (0.0, 0.0, 0), name.rpartition("_")[2]))
    if not given and name not in AXES:
        raise BadInput(f"--over {text}: no such axis{meant(name, AXES)}; or write FIELD=VALUES")
    try:
        if ":" in written:
            low, high, number = (float(p) if n < 2 else int(p) for n, p in enumerate(written.split(":")))  # type: ignore[assignment]
        if given and ":" not in written:
            values = tuple(sorted({float(v) for v in written.split(",")}))
        else:
            values = tuple(round(low + n * (high - low) / (number - 1), 9) for n in range(number))
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"--over {text}: should be NAME, NAME=FROM:TO:POINTS or NAME=VALUE,VALUE,...") from None
    if len(values) < 2:
        raise BadInput(f"--over {text}: needs at least two values")
    return Axis(name=name, field=field, values=values, unit=unit)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A sweep as people ask for it: a scenario's id, axes as `axis` reads them, FIELD=NUMBER for what does not vary, QUANTITY=NUMBER as the limit."""

    scenario: str
    over: Sequence[str]
    fixed: Sequence[str] = ()
    seeds: int = 1
    limit: str = ""


def make(submission: Path, order: Order) -> Sweep:
    """Put a sweep together; raises BadInput when a name, a field or a value makes no sense."""
    scenario, limit = order.scenario, order.limit
    submissions.load(submission)
    known = {k: s for f in sorted(SUITES.glob("*/scenarios.yaml")) for k, s in catalogue(f).items()}
    if scenario not in known:
        raise BadInput(f"there is no scenario {scenario!r}{meant(scenario, known)}")
    axes = tuple(axis(one) for text in order.over for one in parts(text))
    if not axes or len({a.field for a in axes}) != len(axes):
        raise BadInput("--over needs at least one axis, and each only once")
    base = cases(known[scenario])[0]
    for text in order.fixed:
        base = changed(base, text)
    quantity, _, most = limit.partition("=")
    if not quantity:
        quantity, most = ("impact_kmh", "0") if base.actors else ("beyond_m", "0.3")
    if quantity not in QUANTITIES:
        raise BadInput(f"--fails-above {limit}: no such quantity{meant(quantity, QUANTITIES)}")
    try:
        found = Sweep(
            submission=submission,
            scenario=base,
            axes=axes,
            seeds=order.seeds,
            quantity=quantity,
            limit=float(most or 0),
        )
    except ValueError:
        raise BadInput(f"--fails-above {limit}: should be QUANTITY=NUMBER") from None
    sensible(found)
    return found


def parts(text: str) -> list[str]:
    """The axes in one option.

    >>> parts("latency=0,0.1,dropout")
    ['latency=0,0.1', 'dropout']
    """
    return re.split(r",(?=[A-Za-z])", text)


def changed(case: Scenario, text: str) -> Scenario:
    """A case with FIELD=VALUE."""
    field, _, value = text.partition("=")
    field = AXES[field][0] if field in AXES else field
    try:
        return with_values(case, {field: float(value)})
    except (KeyError, IndexError, ValueError, TypeError):
        raise BadInput(f"--set {text}: should be FIELD=NUMBER with a field of the scenario") from None


def sensible(sweep: Sweep) -> None:
    """Every point must be a case that can be driven."""
    number = sweep.seeds
    for one in sweep.axes:
        number *= len(one.values)
    if not 1 <= number <= MOST_POINTS:
        raise BadInput(f"{number} points; 1 to {MOST_POINTS} are allowed")
    mistakes: dict[str, None] = {}
    for values in itertools.product(*(a.values for a in sweep.axes)):
        try:
            case = sweep.case(values, 0)
        except (KeyError, IndexError, TypeError):
            fields = ", ".join(a.field for a in sweep.axes)
            raise BadInput(f"--over: {sweep.scenario.id} has no field among {fields}, or not this one") from None
        mistakes |= {f"{sweep.scenario.id}: {what}": None for _, what in (*wrong_ranges(case), *wrong_starts(case))}
    if mistakes:
        raise BadInput(list(mistakes))


# ---------------------------------------------------------------- one point


def braking_ttc(drive: Drive) -> float | None:
    at = drive.first(BRAKES, True)
    return None if at is None or not drive.case.actors else round(drive.ttc_s(at), 6)


def warning_ttc(drive: Drive) -> float | None:
    warned = [at for path in WARNINGS if (at := drive.first(path, True)) is not None]
    return round(drive.ttc_s(min(warned)), 6) if warned and drive.case.actors else None


def beyond(drive: Drive) -> float:
    """How far a wheel went beyond the lane, at most."""
    return round(max(abs(e.lateral_m) for e in drive.egos) + EGO_WIDTH_M / 2 - drive.case.lane_m / 2, 6)


QUANTITIES: Mapping[str, Callable[[Drive], float | None]] = {
    "impact_kmh": lambda drive: round(drive.impact_kmh(), 6),
    "warning_ttc_s": warning_ttc,
    "braking_ttc_s": braking_ttc,
    "brakings": lambda drive: float(drive.first(BRAKES, True) is not None),
    "beyond_m": beyond,
}


def measure(sweep: Sweep, values: Sequence[float], seed: int) -> Point:
    """Drive one point and say what came out; a device or rig that failed says so in `fault`."""
    point: Point = {"values": list(values), "seed": seed}
    try:
        with fresh(sweep.submission) as vehicle:
            drive = driving.drive(vehicle, sweep.case(values, seed))
            point |= {name: quantity(drive) for name, quantity in QUANTITIES.items()}
    except Fault as error:
        point["fault"] = str(error)
    return point


@contextmanager
def fresh(submission: Path) -> Iterator[Vehicle]:
    """A vehicle whose item has just become ready, on a simulated rig of its own."""
    submitted = submissions.read(submission, artefacts=False)
    with tempfile.TemporaryDirectory(prefix="shipei-sweep-") as name:
        folder = Path(name)
        bench = Bench(item=submitted.item, work=folder, evidence=folder, ports={}, memory=folder)
        with rig.opened(rig.read(rig.locate("sim")), bench) as ports:
            vehicle = around(ports, submitted)
            switch_on(vehicle, ports, READY_S)
            vehicle.pass_time(SETTLE_S)
            yield vehicle


# ---------------------------------------------------------------- many points


class Book:
    """The points that have been driven, on disk as they come, so that a sweep can be stopped and goes on."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.points: dict[tuple[tuple[float, ...], int], Point] = {}
        if file.is_file():
            for line in file.read_bytes().split(b"\n")[:-1]:  # what a kill cut off is driven again
                self.keep(json.loads(line))
            file.write_text("".join(json.dumps(p) + "\n" for p in self.points.values()), encoding="utf-8")

    def keep(self, point: Point) -> None:
        self.points[tuple(point["values"]), point["seed"]] = point

    def write(self, point: Point) -> None:
        self.keep(point)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(point) + "\n")

    def in_order(self) -> list[Point]:
        return [self.points[key] for key in sorted(self.points)]


Watch = Callable[[int, int], None]


def run(sweep: Sweep, folder: Path, workers: int = 0, watch: Watch = lambda done, of: None) -> dict[str, Any]:
    """Drive the grid, then towards the boundary; returns the points and the boundary, and writes them into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    book = Book(folder / "points.jsonl")
    workers = (
        workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count() or 1
    )
    with ProcessPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
        drive_all(sweep, book, pool, list(itertools.product(*(a.values for a in sweep.axes))), watch)
        for _ in range(CLOSER):
            drive_all(sweep, book, pool, between(sweep, book), watch)
    found = {
        "scenario": sweep.scenario.id,
        "axes": [{"name": a.name, "field": a.field, "unit": a.unit, "values": list(a.values)} for a in sweep.axes],
        "fails_above": {sweep.quantity: sweep.limit},
        "boundary": boundary(sweep, book),
        "points": book.in_order(),
    }
    (folder / "sweep.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_csv(sweep, book, folder / "points.csv")
    return found


def drive_all(
    sweep: Sweep, book: Book, pool: Executor | None, wanted: Iterable[tuple[float, ...]], watch: Watch
) -> None:
    """Those of the wanted points that have not been driven yet."""
    missing = [(v, s) for v in wanted for s in range(sweep.seeds) if (tuple(v), s) not in book.points]
    watch(0, len(missing))
    if pool is None:
        for n, (values, seed) in enumerate(missing):
            book.write(measure(sweep, values, seed))
            watch(n + 1, len(missing))
        return
    running = [pool.submit(measure, sweep, values, seed) for values, seed in missing]
    for n, future in enumerate(as_completed(running)):
        book.write(future.result())
        watch(n + 1, len(missing))


def failed(sweep: Sweep, book: Book, values: tuple[float, ...]) -> bool:
    """Whether any seed of a point failed; a point whose item or rig gave up did."""
    for seed in range(sweep.seeds):
        point = book.points[values, seed]
        value = point.get(sweep.quantity)
        if "fault" in point or (value is not None and value > sweep.limit):
            return True
    return False


def rows_of(sweep: Sweep, book: Book) -> dict[tuple[float, ...], list[float]]:
    """For every combination of the other axes, the values of the first that have been driven."""
    rows: dict[tuple[float, ...], set[float]] = {}
    for values, _ in book.points:
        rows.setdefault(values[1:], set()).add(values[0])
    return {rest: sorted(found) for rest, found in sorted(rows.items())}


def between(sweep: Sweep, book: Book) -> list[tuple[float, ...]]:
    """Half-way between every two neighbours of which one fails and one does not."""
    return [
        (round((low + high) / 2, 9), *rest)
        for rest, values in rows_of(sweep, book).items()
        for low, high in itertools.pairwise(values)
        if failed(sweep, book, (low, *rest)) != failed(sweep, book, (high, *rest))
    ]


def boundary(sweep: Sweep, book: Book) -> list[dict[str, Any]]:
    """Where it changes: between which two values of the first axis, at which values of the others, and which side fails.

    Where it does not change, `between` is empty and `fails` says everywhere or nowhere.
    """
    found: list[dict[str, Any]] = []
    for rest, values in rows_of(sweep, book).items():
        bad = [failed(sweep, book, (value, *rest)) for value in values]
        edges = [
            {"rest": list(rest), "between": [values[n], values[n + 1]], "fails": "above" if bad[n + 1] else "below"}
            for n in range(len(values) - 1)
            if bad[n] != bad[n + 1]
        ]
        found += edges or [{"rest": list(rest), "between": [], "fails": "everywhere" if bad[0] else "nowhere"}]
    return found


def write_csv(sweep: Sweep, book: Book, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*(f"{a.name} {a.unit}".strip() for a in sweep.axes), "seed", *QUANTITIES, "failed", "fault"])
        for point in book.in_order():
            values = tuple(point["values"])
            told = [point.get(q) for q in QUANTITIES]
            writer.writerow([*values, point["seed"], *told, int(failed(sweep, book, values)), point.get("fault", "")])


def folder_name(sweep: Sweep) -> str:
    """A folder of its own for the same item, scenario, axes and harness: what is there can be gone on with."""
    loaded = submissions.load(sweep.submission, artefacts=False)
    parts = [plans.manifest_sha256(loaded), documents.dump(sweep.scenario), sweep.seeds, sweep.quantity, sweep.limit]
    parts += [[a.field, *a.values] for a in sweep.axes]
    digests = plans.product_digests(())
    digest = hashlib.sha256(json.dumps([parts, digests], sort_keys=True).encode()).hexdigest()
    return f"{sweep.scenario.id}-{'-'.join(a.name for a in sweep.axes)}-{digest[:8]}"
