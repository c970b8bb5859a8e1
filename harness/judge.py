"""Turn a run's record into a verdict. Pure: no clock, no files, no pytest; it recomputes every outcome from measurements.

Decision rule (ISO/IEC 17025:2017, 7.8.6): a value within the rig's uncertainty of a limit is inconclusive, so MISS; otherwise
it passes inside the limits, the limits included, and fails outside.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Decision, Event, Judged, Limit, Measure, Measured, Outcome, Plan, PlannedRequirement, Verdict

WORST_FIRST = (Outcome.FAIL, Outcome.ERROR, Outcome.MISS, Outcome.PASS)
RAISED = {"device": Outcome.FAIL, "suite": Outcome.ERROR, "rig": Outcome.MISS}
DEAF = "; nothing at all was heard of the device, and nothing shows that this bench hears: check wiring, bit rate, supply, image"
NS_PER = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
MOST_WAIT_MS = 50.0  # what a host may do to a bench before a device can be blamed for what it did then
ROUNDING = 1e-9  # relative; a limit that is computed from recorded numbers may differ in the last bit


def judge(plan: Plan, events: Iterable[Event], *, hears: bool = True) -> Verdict:
    """The verdict on a plan's combination, from the events of its record.

    `hears`: it is certain that the bench hears a device that speaks: it is virtual, or its golden item answered just before. Order: a fault of the run gives VOID; a mandatory FAIL gives REFUSED; a mandatory ERROR or MISS gives VOID; else CERTIFIED.
    """
    by_requirement: dict[str, list[Event]] = defaultdict(list)
    faults: list[str] = []
    closed = False
    on_target: set[object] = set()
    for event in events:
        if event.what == "fault":
            faults.append(event.why or "unnamed fault")
        closed = closed or event.what == "closed"
        if event.what == "opened" and event.context:
            on_target |= {v for k, v in event.context.items() if k.partition(":")[0] == "image_sha256"}
            held = str(event.context.get("fence", ""))
            if plan.fenced and held.startswith("unfenced"):
                faults.append(f"the profile takes no item that runs {held}")
        if event.requirement is not None:
            by_requirement[event.requirement].append(event)
    if not closed:
        faults.append("the run did not come to its end")
    claimed = {digest for name, digest in plan.digests.items() if name.startswith("artefact:")}
    if not claimed or not claimed <= on_target:
        faults.append("the item is not identified: nothing says that the submitted image was on the target")
    judged = tuple(one(p, by_requirement[p.requirement.id], plan, hears) for p in plan.requirements)
    mandatory = {j.outcome for j in judged if j.level == "mandatory"}
    return Verdict(
        decision=decide(faults, mandatory),
        plan=plan.id,
        combination=plan.combination,
        manifest_sha256=plan.manifest_sha256,
        profile=plan.profile,
        rig=plan.rig,
        rig_kind=plan.rig_kind,
        faults=tuple(faults),
        requirements=judged,
    )


def decide(faults: Sequence[str], mandatory: set[Outcome]) -> Decision:
    """
    >>> decide([], {Outcome.PASS, Outcome.FAIL, Outcome.MISS})
    <Decision.REFUSED: 'refused'>
    >>> decide(["lost frames"], {Outcome.FAIL}), decide([], {Outcome.MISS}), decide([], set())
    (<Decision.VOID: 'void'>, <Decision.VOID: 'void'>, <Decision.VOID: 'void'>)
    """
    if faults or not mandatory:
        return Decision.VOID
    if Outcome.FAIL in mandatory:
        return Decision.REFUSED
    return Decision.CERTIFIED if mandatory == {Outcome.PASS} else Decision.VOID


def one(planned: PlannedRequirement, events: Sequence[Event], plan: Plan, hears: bool) -> Judged:
    """One requirement: the worst of how its tests ended and of everything that they measured."""
    requirement = planned.requirement
    reasons: list[tuple[Outcome, str]] = []
    for test in planned.tests:
        reasons.extend(how_it_ended(test, [e for e in events if e.test == test], hears))
    uncertainty_ns: dict[str, int] = defaultdict(int)
    for event in events:
        if event.what == "clock" and event.port:
            uncertainty_ns[event.port] = max(uncertainty_ns[event.port], event.uncertainty_ns or 0)
    measured: list[Measured] = []
    for measure in requirement.measures:
        found = [e for e in events if e.what == "measured" and e.name == measure.name]
        measured.extend(against_limits(measure, e, uncertainty_ns, plan.clock_ms * 1e6) for e in found)
        if len(found) < measure.at_least and not any(o in (Outcome.FAIL, Outcome.MISS) for o, _ in reasons):
            reasons.append(
                (Outcome.ERROR, f"{measure.name} was measured {len(found)} times; {measure.at_least} are required")
            )
    reasons.extend((m.outcome, in_words(m)) for m in measured)
    stood_ms = max((waited_ms(e) for e in events), default=0.0)
    if stood_ms > MOST_WAIT_MS:
        held_up = f"the host let the bench or the item wait for {stood_ms:.0f} ms, so that it is held against nobody"
        reasons = [(o, f"{text}; {held_up}" if o is Outcome.FAIL else text) for o, text in reasons]
    if stood_ms > MOST_WAIT_MS or any(
        e.what == "health" for e in events
    ):  # what a bench in trouble saw is held against nobody
        reasons = [(Outcome.MISS if o is Outcome.FAIL else o, text) for o, text in reasons]
    outcome = worst(o for o, _ in reasons) if reasons else Outcome.MISS
    reason = "; ".join(dict.fromkeys(text for o, text in reasons if o is outcome and outcome is not Outcome.PASS))
    return Judged(
        requirement=requirement.id, level=planned.level, outcome=outcome, reason=reason, measured=tuple(measured)
    )


def waited_ms(event: Event) -> float:
    """How long the host let the owner of a bus, or the item, wait for a CPU during a test, in ms; 0 where nobody said."""
    said = (event.context or {}).get("waited_ms", 0.0) if event.what == "clock" else 0.0
    return said if isinstance(said, float) and math.isfinite(said) else 0.0


def how_it_ended(test: str, events: Sequence[Event], hears: bool) -> list[tuple[Outcome, str]]:
    """A test that never ended is a MISS; what it raised says whose fault it was; an unhealthy bus makes it a MISS."""
    ended = [e for e in events if e.what == "ended"]
    found = [(RAISED[e.raised], e.why or e.raised) for e in ended if e.raised not in (None, "silence")]
    for e in ended:
        if e.raised == "silence":
            found.append((Outcome.FAIL, e.why or "silence") if hears else (Outcome.MISS, f"{e.why}{DEAF}"))
    found += [(Outcome.MISS, e.why or "the bus was not healthy") for e in events if e.what == "health"]
    if not ended:
        started = any(e.what == "started" for e in events)
        found.append((Outcome.MISS, f"{test} {'never ran to its end' if started else 'never ran'}"))
    elif not found:
        found.append((Outcome.PASS, ""))
    return found


def against_limits(measure: Measure, event: Event, uncertainty_ns: dict[str, int], promised_ns: float) -> Measured:
    """One measurement held against its limits."""
    context = dict(event.context or {})
    value = float("nan") if event.value is None else event.value
    try:
        low, high = number(measure.low, context), number(measure.high, context)
        uncertainty = of_measure(measure, context, uncertainty_ns, promised_ns)
        outcome = compare(value, low, high, uncertainty)
    except (KeyError, TypeError, ValueError):
        low = high = None
        uncertainty, outcome = 0.0, Outcome.ERROR
    return Measured(
        name=measure.name,
        value=value,
        unit=measure.unit,
        low=low,
        high=high,
        uncertainty=uncertainty,
        outcome=outcome,
        context=context,
    )


def number(limit: float | Limit | None, context: Mapping[str, Any]) -> float | None:
    """A limit as a number, from what was recorded with the measurement."""
    if isinstance(limit, Limit):  # a plan has its parameters resolved: what is left is of something that was recorded
        return float(context[limit.of or ""]) * limit.times + limit.plus
    return limit


def of_measure(
    measure: Measure, context: Mapping[str, Any], uncertainty_ns: dict[str, int], promised_ns: float
) -> float:
    """The uncertainty of a value, in its own unit: the sum over its two stamps."""
    if not measure.clocks:
        return 0.0
    each = [max(uncertainty_ns[c], promised_ns) for c in measure.clocks]
    total_ns = 2 * each[0] if len(each) == 1 else sum(each)
    if measure.unit == "%":
        return 100 * total_ns / (float(context[measure.per or ""]) * 1e6)
    return total_ns / NS_PER[measure.unit]


def compare(value: float, low: float | None, high: float | None, uncertainty: float) -> Outcome:
    """
    >>> compare(2.0, 0, 2.0, 0.0), compare(2.1, 0, 2.0, 0.0), compare(1.99, None, 2.0, 0.05)
    (<Outcome.PASS: 'pass'>, <Outcome.FAIL: 'fail'>, <Outcome.MISS: 'miss'>)
    >>> compare(float("nan"), 0, 1, 0.0)
    <Outcome.ERROR: 'error'>
    """
    if not math.isfinite(value):
        return Outcome.ERROR
    limits = [limit for limit in (low, high) if limit is not None]
    if uncertainty and any(abs(value - limit) < uncertainty for limit in limits):
        return Outcome.MISS
    slack = ROUNDING * max(1.0, *(abs(limit) for limit in limits))
    below, above = low is not None and value < low - slack, high is not None and value > high + slack
    return Outcome.FAIL if below or above else Outcome.PASS


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    return min(outcomes, key=WORST_FIRST.index, default=Outcome.MISS)


@dataclass(frozen=True, kw_only=True)
class Words:
    """A measurement's figures as people read them: with the unit in `value`, `allowed` and `unsure`, without it in the limits."""

    value: str
    low: str
    high: str
    allowed: str
    unsure: str


def words(measured: Measured) -> Words:
    """
    >>> words(Measured(name="ready_s", value=3.25, unit="s", low=None, high=3, uncertainty=0.0012, outcome=Outcome.FAIL))
    Words(value='3.25 s', low='', high='3', allowed='at most 3 s', unsure='0.0012 s')
    """
    unit = "" if measured.unit == "1" else f" {measured.unit}"
    low, high = ("" if limit is None else format(limit, "g") for limit in (measured.low, measured.high))
    allowed = f"at most {high}" if not low else f"at least {low}" if not high else f"{low} to {high}"
    return Words(
        value=f"{measured.value:.6g}{unit}",
        low=low,
        high=high,
        allowed=f"{allowed}{unit}",
        unsure=f"{measured.uncertainty:.3g}{unit}",
    )


def in_words(measured: Measured) -> str:
    """
    >>> in_words(Measured(name="ready_s", value=3.2, unit="s", low=0, high=3, uncertainty=0, outcome=Outcome.FAIL))
    'ready_s is 3.2 s, allowed 0 to 3 s'
    """
    said = words(measured)
    text = f"{measured.name} is {said.value}, allowed {said.allowed}"
    if measured.outcome is Outcome.MISS:
        text += f"; inconclusive, this rig is exact to {said.unsure}"
    if measured.outcome is Outcome.ERROR:
        text += f"; its limits cannot be worked out from {measured.context}"
    where = ", ".join(f"{k}={v}" for k, v in measured.context.items() if isinstance(v, str))
    return f"{text} ({where})" if where else text
