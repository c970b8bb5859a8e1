"""What a test is given: live ports, the vehicle, its tester, a drive, measure; and what is written down of each."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import judge
from harness.bring_up import SETTLE_S, around, switch_on, wait_ready
from harness.driving import drive as driving
from harness.driving.drive import Drive
from harness.driving.scenario import Scenario, cases, catalogue
from harness.errors import DeviceError, RigError, SuiteError
from harness.inputs import rig
from harness.inputs.rig import RigFile
from harness.inputs.submission import Submitted
from harness.model import Event, Interface, Plan, PlannedRequirement, Value
from harness.paths import memory_of_rig
from harness.ports import Bench, Fenced, Hosted, Identified, Power, Replayed
from harness.record import Recorder
from harness.vehicle import identity
from harness.vehicle.diagnostics import DEFAULT, Tester
from harness.vehicle.programmer import Programmer
from harness.vehicle.vehicle import Vehicle


@dataclass
class Run:
    """What one pytest session certifies, and where it writes."""

    plan: Plan
    submitted: Submitted
    rig: RigFile
    record_folder: Path
    recorder: Recorder
    test: str | None = None
    requirement: str | None = None
    vehicle: Vehicle | None = None
    ready: bool = False  # the device was, at least once
    events: list[Event] = field(default_factory=list)  # of the test that runs

    def write(self, what: str, **fields: Any) -> None:
        self.events.append(self.recorder.write(what, requirement=self.requirement, test=self.test, **fields))


RUN = pytest.StashKey[Run]()
PLANNED = pytest.StashKey[PlannedRequirement]()


# ---------------------------------------------------------------- what a test is given


@pytest.fixture(scope="session")
def ports(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """The rig's live ports, by the names in its file; opened once, closed in reverse."""
    run = pytestconfig.stash[RUN]

    def tell(what: str) -> None:
        run.recorder.write("opening", why=what)

    bench = Bench(
        item=run.submitted.item,
        work=tmp_path_factory.mktemp("work"),
        evidence=run.record_folder,
        ports={},
        memory=memory_of_rig(run.plan.rig),
        tell=tell,
    )
    with rig.opened(run.rig, bench) as live:
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
    if isinstance(port, Fenced):
        found["fence"] = port.fence
    return found | (digests or {"image_sha256": port.arrival.sha256})


@pytest.fixture(scope="session")
def powered(pytestconfig: pytest.Config, ports: Mapping[str, Any]) -> Vehicle:
    """The vehicle, its restbus running and the device switched on and ready.

    Raises DeviceError when the device does not get ready.
    """
    run = pytestconfig.stash[RUN]
    run.vehicle = around(ports, run.submitted, run.write)
    try:
        switch_on(run.vehicle, ports, run.plan.ready_s)
    except DeviceError:
        health(run, run.vehicle, provoked=False)
        raise
    run.ready = True
    return run.vehicle


@pytest.fixture
def vehicle(request: pytest.FixtureRequest, powered: Vehicle) -> Iterator[Vehicle]:
    """The vehicle with everything at its start value; after a fresh power cycle where the test is marked so."""
    run, ports = request.config.stash[RUN], request.getfixturevalue("ports")
    replayed = [p.replay_from(run.test or "") for p in ports.values() if isinstance(p, Replayed)]
    powered.time_ns = replayed[0] if replayed else powered.now_ns()
    run.write("started", time_ns=powered.time_ns)
    try:
        if request.node.get_closest_marker("fresh"):
            powered.power_cycle()
            wait_ready(powered, run.plan.ready_s)
        yield powered
        powered.restore()
        powered.pass_time(SETTLE_S)
    finally:
        held_up_ms = health(run, powered, provoked=bool(request.node.get_closest_marker("provokes")))
    if held_up_ms > judge.MOST_WAIT_MS:
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
    return pytestconfig.stash[RUN].submitted.submission.interface


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
    found = Programmer(tester, {p.kind: (run.submitted.folder / p.path).read_bytes() for p in packages})
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

    return write


# ---------------------------------------------------------------- after a test


def health(run: Run, live: Vehicle, *, provoked: bool) -> float:
    """After every test: no lost frame, no error, every controller active (unless provoked), the device alive or dead by itself.

    Return how long the owner of a bus, or the item, waited for a CPU of the host meanwhile, in ms.
    """
    item_ns = live.power_port.stall_ns() if isinstance(live.power_port, Hosted) else 0
    waited_ns = item_ns
    for name, net in live.networks.items():
        found = net.bus.health()
        waited_ns = max(waited_ns, found.waited_ns)
        run.write(
            "clock",
            port="bus",
            name=name,
            uncertainty_ns=net.bus.uncertainty_ns + max(found.stall_ns, item_ns) + found.clock_ns,
            context={"drift_ppm": found.drift_ppm, "waited_ms": max(found.waited_ns, item_ns) / 1e6},
        )
        if found.lost:
            run.recorder.write("fault", why=f"{name}: {found.lost} frames were lost")
        if (found.errors or found.state != "active") and not provoked:
            run.write(
                "health", port=name, why=f"{name}: the bench's controller is {found.state}, {found.errors} error frames"
            )
    for role, port in (("console", live.console_port), ("power", live.power_port)):
        if port is not None:
            run.write("clock", port=role, uncertainty_ns=port.uncertainty_ns, context={"waited_ms": item_ns / 1e6})
    trouble = live.console_port.trouble() if live.console_port is not None else ""
    if trouble:
        run.write("health", port="console", why=trouble)
    if live.power_port is not None:
        note_fault(run, live.power_port)
    return waited_ns / 1e6


def note_fault(run: Run, power: Power) -> None:
    """A device that died by another hand is a fault of the run, whatever its silence looked like in a test."""
    try:
        power.check()
    except RigError as error:
        run.write("health", port="power", why=str(error))
        run.recorder.write("fault", why=str(error))
