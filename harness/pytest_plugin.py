"""The one place where pytest and the harness meet: choose the planned tests, give them ports, write down what happens."""

import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import attribution, documents, judge, plan, record
from harness.bench import claim
from harness.bench.logged import LoggedPower
from harness.driving import drive as driving
from harness.driving.drive import Drive
from harness.driving.scenario import Scenario, cases, catalogue
from harness.errors import BadInput, RigError, SuiteError
from harness.inputs import rig
from harness.inputs import submission as submissions
from harness.inputs.suite import profile_file
from harness.model import Event, Interface, Outcome, Plan, PlannedRequirement, Submission, Value
from harness.paths import SUITES, memory_of_rig
from harness.ports import Bench, Hosted, Identified, Power, Replayed
from harness.record import Recorder
from harness.vehicle import identity
from harness.vehicle.bus_view import Network
from harness.vehicle.diagnostics import DEFAULT, Tester
from harness.vehicle.programmer import Programmer
from harness.vehicle.vehicle import Vehicle

SETTLE_S = 0.5


@dataclass
class Run:
    """What one pytest session certifies, and where it writes."""

    plan: Plan
    submission: Submission
    folder: Path  # of the submission
    rig_file: Path
    record_folder: Path
    recorder: Recorder
    test: str | None = None
    requirement: str | None = None
    vehicle: Vehicle | None = None
    ready: bool = False  # the device was, at least once

    def write(self, what: str, **fields: Any) -> None:
        self.recorder.write(what, requirement=self.requirement, test=self.test, **fields)


RUN = pytest.StashKey[Run]()
PLANNED = pytest.StashKey[PlannedRequirement]()
MEASURED = pytest.StashKey[list[Event]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("shipei")
    group.addoption("--rig", help="the bench to run on: sim, hub, or a rig file")
    group.addoption("--submission", type=Path, help="the submission's folder or submission.yaml")
    group.addoption("--profile", help="a profile other than the submission's own")
    group.addoption(
        "--only", metavar="REQ", help="only requirements whose id starts with this; such a record cannot be signed"
    )
    group.addoption("--plan", type=Path, help="a plan that `shipei plan` wrote (used by `shipei run`)")
    group.addoption("--record", type=Path, help="the folder to write the record to")


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "requirement(id): the requirement that this test decides",
        "fresh: the test starts with a power cycle",
        "provokes: the test disturbs the bus on purpose",
    ):
        config.addinivalue_line("markers", line)
    option = config.option
    if option.plan is None and option.rig is None and option.submission is None:
        return
    if option.rig is None or option.submission is None:
        raise pytest.UsageError("certification tests need both --rig and --submission")
    try:
        config.stash[RUN] = start_run(config)
    except (BadInput, RigError) as error:
        raise pytest.UsageError(str(error)) from None


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


def have_rig(config: pytest.Config, rig_file: Path) -> None:
    """By hand too a bench is held: its lock, its lease, its guard, until pytest ends."""
    stack = ExitStack()
    stack.enter_context(claim.held(rig.load(rig_file), rig_file, "pytest by hand", tell=say))
    config.add_cleanup(stack.close)


def start_run(config: pytest.Config) -> Run:
    option = config.option
    rig_file = rig.locate(option.rig)
    if option.plan is not None:
        decided = record.load_plan(option.plan.parent)
        folder = option.record
    else:
        profile = profile_file(option.profile) if option.profile else None
        decided = plan.make(option.submission, rig_file, profile, only=option.only or "")
        have_rig(config, rig_file)
        folder = option.record or Path(tempfile.mkdtemp(prefix="shipei-by-hand-"))
        folder.mkdir(parents=True, exist_ok=True)
        record.write_json(folder / record.PLAN, documents.dump(decided))
    file = submissions.locate(option.submission)
    return Run(
        plan=decided,
        submission=submissions.load(file, artefacts=option.plan is None),
        folder=file.parent,
        rig_file=rig_file,
        record_folder=folder,
        recorder=Recorder(folder),
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only what is planned runs; what is planned is written down before anything runs."""
    ours = [item for item in items if item.path.is_relative_to(SUITES)]
    if not ours:
        return
    run = config.stash.get(RUN, None)
    if run is None:
        raise pytest.UsageError("certification tests need --rig and --submission (a skip would look green)")
    by_test = {test: planned for planned in run.plan.requirements for test in planned.tests}
    chosen, left = [], []
    for item in items:
        planned = by_test.get(name_of(item))
        if planned is not None:
            item.stash[PLANNED], item.stash[MEASURED] = planned, []
            chosen.append(item)
        elif item in ours:
            left.append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left)


def name_of(item: pytest.Item) -> str:
    return f"{item.path.parent.name}/{item.path.name}::{item.name}"


def pytest_collection_finish(session: pytest.Session) -> None:
    run = session.config.stash.get(RUN, None)
    if run is not None:
        for item in session.items:
            planned = item.stash.get(PLANNED, None)
            if planned is not None:
                run.recorder.write("planned", requirement=planned.requirement.id, test=name_of(item))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    run = session.config.stash.get(RUN, None)
    if run is not None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            run.recorder.write("closed")
        run.recorder.close()


def pytest_report_header(config: pytest.Config) -> str | None:
    run = config.stash.get(RUN, None)
    return f"shipei: {run.plan.combination} on {run.plan.rig}, record in {run.record_folder}" if run else None


# ---------------------------------------------------------------- what a test is given


@pytest.fixture(scope="session")
def ports(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """The rig's live ports, by the names in its file; opened once, closed in reverse."""
    run = pytestconfig.stash[RUN]
    item = plan.item_of(run.submission, run.folder)

    def tell(what: str) -> None:
        run.recorder.write("opening", why=what)

    bench = Bench(
        item=item,
        work=tmp_path_factory.mktemp("work"),
        evidence=run.record_folder,
        ports={},
        memory=memory_of_rig(run.plan.rig),
        tell=tell,
    )
    with rig.opened(run.rig_file, bench) as live:
        for name, port in live.items():
            run.recorder.write("opened", port=name, uncertainty_ns=int(port.uncertainty_ns), context=arrival(port))
        yield live
        said = [line.text for line in live["console"].lines()] if "console" in live else []
        for why in identity.contradictions(run.plan.combination, said, ready=run.ready and "console" in live):
            run.recorder.write("fault", why=why)
        for port in live.values():
            if isinstance(port, Power):
                note_fault(run, port)


def arrival(port: Any) -> dict[str, Value] | None:
    """How the image arrived, where this port knows."""
    if not isinstance(port, Identified):
        return None
    found: dict[str, Value] = {"image_arrived": port.arrival.how}
    digests = {f"image_sha256:{role}": digest for role, digest in port.arrival.parts.items()}
    return found | (digests or {"image_sha256": port.arrival.sha256})


@pytest.fixture(scope="session")
def powered(pytestconfig: pytest.Config, ports: Mapping[str, Any]) -> Vehicle:
    """The vehicle, its restbus running and the device switched on and ready.

    Raises DeviceError when the device does not get ready.
    """
    run = pytestconfig.stash[RUN]
    networks = {
        name: Network(name, ports[name], bus, run.folder) for name, bus in run.submission.interface.buses.items()
    }
    power = LoggedPower(ports["power"], run.write) if "power" in ports else None
    vehicle = Vehicle(networks, ports.get("console"), power, run.submission.interface, run.write)
    run.vehicle = vehicle
    for net in networks.values():
        net.start()
    vehicle.time_ns = vehicle.on_ns = power.on() if power else begin(run, ports, networks)
    wait_ready(vehicle, run.plan.ready_s)
    run.ready = True
    return vehicle


def begin(run: Run, ports: Mapping[str, Any], networks: Mapping[str, Network]) -> int:
    """Where a rig without a switchable supply begins; written down, so that it can be replayed."""
    replayed = [p.replay_from("") for p in ports.values() if isinstance(p, Replayed)]
    time_ns = replayed[0] if replayed else max(net.bus.now_ns() for net in networks.values())
    run.recorder.write("called", port="clock", call="begin", time_ns=time_ns)
    return time_ns


def wait_ready(vehicle: Vehicle, within_s: float) -> None:
    """By the ready line after power-on; where nobody reads a console, by the first diagnostic answer, else the first frame."""
    console, diagnostics = vehicle.interface.console, vehicle.interface.diagnostics
    if console is not None and vehicle.console_port is not None and vehicle.power_port is not None:
        vehicle.ready(within_s=within_s)
    elif diagnostics is not None:
        Tester(vehicle, diagnostics).answers(within_s=within_s)
    else:
        vehicle.time_ns = vehicle.first_frame(next(iter(vehicle.networks)), after_ns=vehicle.time_ns, within_s=within_s)


@pytest.fixture
def vehicle(request: pytest.FixtureRequest, powered: Vehicle) -> Iterator[Vehicle]:
    """The vehicle with everything at its start value; after a fresh power cycle where the test is marked so."""
    run, ports = request.config.stash[RUN], request.getfixturevalue("ports")
    replayed = [p.replay_from(run.test or "") for p in ports.values() if isinstance(p, Replayed)]
    powered.time_ns = replayed[0] if replayed else powered.now_ns()
    run.write("started", time_ns=powered.time_ns)
    if request.node.get_closest_marker("fresh"):
        powered.power_cycle()
        wait_ready(powered, run.plan.ready_s)
    yield powered
    powered.restore()
    powered.pass_time(SETTLE_S)
    if health(run, powered, provoked=bool(request.node.get_closest_marker("provokes"))) > judge.MOST_STALL_MS:
        powered.pass_time(SETTLE_S)  # what that did to the device is none of the next test's


@pytest.fixture
def parameters(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The requirement's parameters, with the submission's declared figures in place of defaults."""
    return SimpleNamespace(**request.node.stash[PLANNED].requirement.parameters)


@pytest.fixture
def scenarios(request: pytest.FixtureRequest) -> Mapping[str, tuple[Scenario, ...]]:
    """The cases of every scenario that lies beside the suite, by the scenario's id."""
    found = catalogue(request.node.path.parent / "scenarios.yaml")
    return {name: cases(scenario) for name, scenario in found.items()}


@pytest.fixture
def drive(vehicle: Vehicle) -> Callable[[Scenario], Drive]:
    """drive(case): drive a case of a scenario to its end, the device in the loop."""
    return partial(driving.drive, vehicle)


@pytest.fixture
def interface(pytestconfig: pytest.Config) -> Interface:
    """What the submission says that the device speaks."""
    return pytestconfig.stash[RUN].submission.interface


@pytest.fixture
def tester(vehicle: Vehicle, interface: Interface) -> Iterator[Tester]:
    """A diagnostic tester; before and after, the device is in its default session."""
    if interface.diagnostics is None:
        raise SuiteError("the submission says nothing of diagnostics: interface.diagnostics")
    found = Tester(vehicle, interface.diagnostics)
    found.enter(DEFAULT)
    yield found
    found.attempt(bytes([0x10, DEFAULT]), within_s=found.silent_s)


@pytest.fixture
def programmer(pytestconfig: pytest.Config, tester: Tester) -> Iterator[Programmer]:
    """Programs the device; afterwards the software that is claimed runs again."""
    run, flashing = pytestconfig.stash[RUN], tester.told.flashing
    packages = flashing.packages if flashing else ()
    found = Programmer(tester, {p.kind: (run.folder / p.path).read_bytes() for p in packages})
    yield found
    found.restore()


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """measure(name, value, **context): record one value of a measure that the requirement declares."""
    run, planned = request.config.stash[RUN], request.node.stash[PLANNED]
    units = {m.name: m.unit for m in planned.requirement.measures}

    def write(name: str, value: float, **context: Value) -> None:
        if name not in units:
            raise SuiteError(f"{planned.requirement.id} has no measure {name!r}; it has {', '.join(units)}")
        if not math.isfinite(value):
            raise SuiteError(f"{name} is {value}: not a number that can be judged")
        live = request.node.funcargs.get("vehicle")
        time_ns = live.time_ns if isinstance(live, Vehicle) else None
        run.write("measured", time_ns=time_ns, name=name, unit=units[name], value=float(value), context=context)
        request.node.stash[MEASURED].append(Event(what="measured", name=name, value=float(value), context=context))

    return write


# ---------------------------------------------------------------- what is written about a test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    run, planned = item.config.stash.get(RUN, None), item.stash.get(PLANNED, None)
    if run is None or planned is None:
        return (yield)
    run.test, run.requirement = name_of(item), planned.requirement.id
    try:
        return (yield)
    finally:
        run.test = run.requirement = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    run, planned = item.config.stash.get(RUN, None), item.stash.get(PLANNED, None)
    if run is None or planned is None:
        return report
    if call.excinfo is not None:
        error = call.excinfo.value
        run.write("ended", raised=attribution.whose(error, run.vehicle), why=attribution.why(error))
        if report.skipped:
            vars(report).pop("wasxfail", None)
            report.outcome, report.longrepr = "failed", "a certification test neither skips nor expects to fail"
    elif report.when == "call":
        show_limits(planned, item.stash[MEASURED], report)
    elif report.when == "teardown":
        run.write("ended")
    return report


def show_limits(planned: PlannedRequirement, measured: list[Event], report: pytest.TestReport) -> None:
    """For the eye of whoever runs pytest by hand; the verdict comes from the judge alone."""
    limits = {m.name: m for m in planned.requirement.measures}
    held = [judge.against_limits(limits[e.name or ""], e, Counter(), 0.0) for e in measured]
    problems = [judge.in_words(m) for m in held if m.outcome is not Outcome.PASS]
    times = Counter(e.name for e in measured)
    problems += [
        f"{m.name} was measured {times[m.name]} times; {m.at_least} are required"
        for m in limits.values()
        if times[m.name] < m.at_least
    ]
    if problems:
        report.outcome, report.longrepr = "failed", "\n".join([planned.requirement.en, *problems])


def health(run: Run, live: Vehicle, *, provoked: bool) -> float:
    """After every test: no lost frame, no error, every controller active (unless provoked), the device alive or dead by itself.

    Return how long the host held a bus or the item up meanwhile, in ms.
    """
    longest_ns = 0
    kept_waiting_ns = live.power_port.stall_ns() if isinstance(live.power_port, Hosted) else 0
    for name, net in live.networks.items():
        found = net.bus.health()
        stall_ns = max(found.stall_ns, kept_waiting_ns)
        longest_ns = max(longest_ns, stall_ns)
        run.write(
            "clock",
            port="bus",
            name=name,
            uncertainty_ns=net.bus.uncertainty_ns + stall_ns + found.clock_ns,
            context={"drift_ppm": found.drift_ppm, "stall_ms": stall_ns / 1e6},
        )
        if found.lost:
            run.recorder.write("fault", why=f"{name}: {found.lost} frames were lost")
        if (found.errors or found.state != "active") and not provoked:
            run.write(
                "health", port=name, why=f"{name}: the bench's controller is {found.state}, {found.errors} error frames"
            )
    for role, port in (("console", live.console_port), ("power", live.power_port)):
        if port is not None:
            run.write("clock", port=role, uncertainty_ns=port.uncertainty_ns)
    trouble = live.console_port.trouble() if live.console_port is not None else ""
    if trouble:
        run.write("health", port="console", why=trouble)
    if live.power_port is not None:
        note_fault(run, live.power_port)
    return longest_ns / 1e6


def note_fault(run: Run, power: Power) -> None:
    """A device that died by another hand is a fault of the run, whatever its silence looked like in a test."""
    try:
        power.check()
    except RigError as error:
        run.write("health", port="power", why=str(error))
        run.recorder.write("fault", why=str(error))
