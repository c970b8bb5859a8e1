"""The judge: what a requirement comes to, from the events of its test."""

from dataclasses import replace

import pytest

from harness.judge import judge
from harness.model import (
    Chip,
    Combination,
    Decision,
    Event,
    Measure,
    Outcome,
    Plan,
    PlannedRequirement,
    Requirement,
    Software,
    Source,
)

TEST = {"requirement": "CAN-REMOTE-001", "test": "common/test_robustness.py::test_one"}
CHANGED = Measure(name="changed_signals", unit="1", low=0, high=0)
OPENED = Event(what="opened", port="power", context={"image_sha256": "d"})


def plan(*measures, level="mandatory"):
    requirement = Requirement(
        id=TEST["requirement"], en="", zh="", source=Source(document="", clause=""), trust="P", measures=measures
    )
    combination = Combination(
        chip=Chip(name="sim", revision="1"),
        os=Software(name="cpython", version="3.11"),
        application=Software(name="cockpit", version="1"),
    )
    return Plan(
        id="p", combination=combination, vendor="v", manifest_sha256="m", profile="x-1.0", rig="hub", rig_kind="virtual",
        clock_ms=1.0, requirements=(PlannedRequirement(requirement=requirement, level=level, tests=(TEST["test"],)),),
        not_applicable=(), not_decidable=(), digests={"artefact:application": "d"}, suites=("common",), limit_s=60.0,
    )  # fmt: skip


def judged(*events, measures=(CHANGED,)):
    run = [OPENED, Event(what="started", **TEST), *events, Event(what="ended", **TEST), Event(what="closed")]
    return judge(plan(*measures), run)


def measured(value, name="changed_signals", **fields):
    return Event(what="measured", name=name, value=float(value), **TEST, **fields)


def clock(waited_ms=None, uncertainty_ns=1_000_000):
    context = {"drift_ppm": 0.0} | ({} if waited_ms is None else {"waited_ms": waited_ms})
    return Event(what="clock", port="bus", name="body", uncertainty_ns=uncertainty_ns, context=context, **TEST)


def test_a_device_is_not_refused_for_what_it_did_while_the_host_held_the_bench_up():
    """Found by a busy machine: the bench's own frames came late, a good cockpit showed their loss, and was refused for it."""
    verdict = judged(measured(2), clock(waited_ms=180.0))
    assert verdict.decision is Decision.VOID
    assert verdict.requirements[0].outcome is Outcome.MISS
    assert "changed_signals is 2" in verdict.requirements[0].reason
    assert "let the bench or the item wait for 180 ms" in verdict.requirements[0].reason


@pytest.mark.parametrize("waited_ms", [None, 0.0, 50.0])
def test_a_host_that_keeps_up_excuses_nobody(waited_ms):
    verdict = judged(measured(2), clock(waited_ms=waited_ms))
    assert verdict.decision is Decision.REFUSED
    assert "held" not in verdict.requirements[0].reason


def test_what_a_device_did_right_on_a_busy_host_stays_right():
    assert judged(measured(0), clock(waited_ms=180.0)).decision is Decision.CERTIFIED


def test_words_of_a_record_that_are_no_figures_excuse_nobody():
    for said in ("much", float("nan"), float("inf"), 10**400, True):
        assert judged(measured(2), clock(waited_ms=said)).decision is Decision.REFUSED
    stranger = Event(what="measured", name="changed_signals", value=2.0, context={"waited_ms": 900.0}, **TEST)
    assert judged(stranger, clock()).decision is Decision.REFUSED


def test_a_defect_is_seen_beside_a_test_that_was_held_up():
    """Another requirement's stall is its own."""
    other = {"requirement": "OTHER-001", "test": "common/test_other.py::test_other"}
    held_up = Event(what="clock", port="bus", name="body", context={"waited_ms": 900.0}, **other)
    assert judged(measured(2), clock(), held_up).decision is Decision.REFUSED


def test_a_value_beside_its_limit_is_inconclusive_by_the_clocks_of_its_test():
    measures = (Measure(name="reaction_ms", unit="ms", low=0, high=100, clocks=("bus",)),)
    for value, outcome in ((95, Outcome.PASS), (99, Outcome.MISS), (101, Outcome.MISS), (105, Outcome.FAIL)):
        found = judged(measured(value, name="reaction_ms"), clock(uncertainty_ns=1_000_000), measures=measures)
        assert found.requirements[0].outcome is outcome, value


def test_a_measurement_that_is_missing_is_the_suites_error_and_a_test_that_never_ended_the_labs():
    assert judged().requirements[0].outcome is Outcome.ERROR
    begun = [OPENED, Event(what="started", **TEST), measured(0), Event(what="closed")]
    found = judge(plan(CHANGED), begun)
    assert found.requirements[0].outcome is Outcome.MISS
    assert found.decision is Decision.VOID


@pytest.mark.parametrize(
    ("fenced", "held", "decision"),
    [
        (True, "unfenced: no namespaces", Decision.VOID),
        (False, "unfenced: no namespaces", Decision.CERTIFIED),
        (True, "namespaces of its own", Decision.CERTIFIED),
    ],
)
def test_a_profile_may_take_no_item_that_runs_unfenced(fenced, held, decision):
    opened = replace(OPENED, context={**OPENED.context, "fence": held})
    run = [opened, Event(what="started", **TEST), measured(0), Event(what="ended", **TEST), Event(what="closed")]
    found = judge(replace(plan(CHANGED), fenced=fenced), run)
    assert found.decision is decision
    assert any("takes no item that runs unfenced: no namespaces" in fault for fault in found.faults) is (
        decision is Decision.VOID
    )
