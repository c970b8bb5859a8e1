"""Where pytest and the harness meet: choose the planned tests, write down what happens (what a test is given: harness.fixtures)."""

import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from harness import attribution, documents, fixtures, judge, plan, record
from harness.bench import claim
from harness.errors import BadInput, RigError
from harness.fixtures import PLANNED, RUN, Run
from harness.inputs import inputs, rig
from harness.inputs import submission as submissions
from harness.inputs.rig import RigFile
from harness.inputs.suite import profile_file
from harness.model import Event, Outcome, PlannedRequirement
from harness.paths import SUITES
from harness.record import Recorder


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.register(fixtures)
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


def have_rig(config: pytest.Config, said: RigFile) -> None:
    """By hand too a bench is held: its lock, its lease, its guard, until pytest ends."""
    stack = ExitStack()
    stack.enter_context(claim.held(said, "pytest by hand", tell=say))
    config.add_cleanup(stack.close)


def start_run(config: pytest.Config) -> Run:
    option = config.option
    if option.plan is not None:  # whoever made the plan has checked its inputs
        submitted, said = submissions.read(option.submission, artefacts=False), rig.read(Path(option.rig))
        decided, folder = record.load_plan(option.plan.parent), option.record
        read = dict(submitted.digests) | ({} if said.rig.kind == "replay" else {"rig": said.document.sha256})
        if changed := [what for what, digest in read.items() if decided.digests.get(what) != digest]:
            raise RigError(f"not what was planned any more: {', '.join(changed)}")
    else:
        profile = profile_file(option.profile) if option.profile else None
        given = inputs.load(option.submission, rig.locate(option.rig), profile)
        submitted, said = given.submitted, given.rig
        decided = plan.make(given, option.only or "")
        have_rig(config, said)
        folder = option.record or Path(tempfile.mkdtemp(prefix="shipei-by-hand-"))
        folder.mkdir(parents=True, exist_ok=True)
        record.write_json(folder / record.PLAN, documents.dump(decided))
    return Run(plan=decided, submitted=submitted, rig=said, record_folder=folder, recorder=Recorder(folder))


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
            item.stash[PLANNED] = planned
            chosen.append(item)
        elif item in ours:
            left.append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left)


def name_of(item: pytest.Item) -> str:
    return f"{item.path.parent.name}/{item.path.name}::{item.name}"


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What takes part in the judging pytest stands in the record: its plugins, and where its modules come from."""
    run = session.config.stash.get(RUN, None)
    if run is not None:
        plugins = [
            name for name, one in session.config.pluginmanager.list_name_plugin() if one and not name.isdecimal()
        ]
        told = {"python": sys.version.split()[0], "plugins": sorted(plugins), "path": sys.path}
        record.write_json(run.record_folder / record.LOADED, told)


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


# ---------------------------------------------------------------- what is written about a test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    run, planned = item.config.stash.get(RUN, None), item.stash.get(PLANNED, None)
    if run is None or planned is None:
        return (yield)
    run.test, run.requirement, run.events = name_of(item), planned.requirement.id, []
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
        show(run, planned, report)
    elif report.when == "teardown":
        run.write("ended")
    return report


def show(run: Run, planned: PlannedRequirement, report: pytest.TestReport) -> None:
    """For the eye of whoever runs pytest by hand: what the judge would say of this test so far."""
    ended = Event(what="ended", requirement=run.requirement, test=run.test)
    judged = judge.one(replace(planned, tests=(run.test or "",)), [*run.events, ended], run.plan, hears=True)
    if judged.outcome is not Outcome.PASS:
        report.outcome, report.longrepr = "failed", f"{planned.requirement.en}\n{judged.reason}"
