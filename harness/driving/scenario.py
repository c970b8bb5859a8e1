"""Traffic scenarios as data: what the ego vehicle meets, what its sensors do, what the driver does. No values in code.

Positions are along the road and across it, left positive. `gap_m` is from the ego vehicle's front to the other's rear, negative
when it is behind. A scenario varies over lists of values; a case is one combination of them with one seed.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from harness import documents
from harness.documents import Document, Path_, meant
from harness.errors import BadInput
from harness.model import Source, Value, noun

Kind = Literal["car", "pedestrian", "child", "bicycle", "motorcycle"]
SIZE_M: Mapping[str, tuple[float, float]] = {  # length, width
    "car": (4.5, 1.8),
    "pedestrian": (0.5, 0.6),
    "child": (0.4, 0.5),
    "bicycle": (1.8, 0.6),
    "motorcycle": (2.2, 0.8),
}
EGO_LENGTH_M, EGO_WIDTH_M, WHEELBASE_M = 4.8, 1.9, 2.8
MOST_CASES = 10_000
MOST_ACTORS = 4


@noun
class Actor:
    """Another road user: where it starts (a gap, or a time to collision), how it moves. It never reacts."""

    kind: Kind = "car"
    gap_m: float | None = None
    ttc_s: float | None = None  # time to collision at the start, with the speeds of the start
    speed_kmh: float = 0.0  # along the road
    lateral_m: float | None = None  # of its middle, from the middle of the ego lane; 0 where nothing crosses
    crossing_kmh: float = 0.0  # across the road, left positive; starts where it meets the ego vehicle's middle
    accel_mps2: float = 0.0
    accel_at_s: float = 0.0
    accel_to_kmh: float = 0.0  # where braking or accelerating ends
    moves_to_m: float | None = None  # a lane change to this lateral position
    moves_at_s: float = 0.0
    moves_over_s: float = 3.0


@noun
class Steering:
    """What the driver does with the wheel: from `at_s` the ego vehicle drifts across the lane, for `for_s`, then goes straight."""

    at_s: float
    drift_mps: float
    for_s: float = 60.0


@noun
class Sensors:
    """How well the object-level sensors see."""

    latency_s: float = 0.06
    dropout: float = 0.0  # probability that an object is missing in one frame
    noise_m: float = 0.05  # standard deviation of positions
    noise_mps: float = 0.05  # and of speeds
    confidence: float = 0.95


@noun
class Fault:
    """Something wrong with what the bench sends, for a while."""

    kind: Literal["lost", "late", "frozen", "corrupt", "ghost", "jump", "invalid", "blind"]
    channel: Literal["objects", "ego", "lanes"]
    at_s: float
    for_s: float
    value: float = 0.0  # late: s; ghost: m ahead; jump: m nearer


@noun
class Signal:
    """A signal that the driver or the rest of the vehicle sets, by its VSS path."""

    at_s: float
    path: str
    value: Value


@noun
class Actuators:
    """How the vehicle follows a demand: pure delay, then a ramp to full braking, and the limits."""

    delay_s: float = 0.10
    ramp_s: float = 0.40  # from nothing to decel_mps2
    decel_mps2: float = 9.0
    accel_mps2: float = 4.0
    steering_delay_s: float = 0.10
    steering_rate_1pms: float = 0.1  # of the curvature, per second


@noun
class Scenario:
    """One scenario; `vary` names fields ("ego_kmh", "actors.0.speed_kmh") with the values they take, in all combinations."""

    id: str
    en: str
    zh: str
    source: Source
    trust: Literal["V", "V-sum", "S", "M", "P"]
    ego_kmh: float
    duration_s: float
    radius_m: float = 0.0  # of the road, left positive; 0 is straight
    lane_m: float = 3.5
    actors: tuple[Actor, ...] = ()
    steering: tuple[Steering, ...] = ()
    sensors: Sensors = field(default_factory=Sensors)
    faults: tuple[Fault, ...] = ()
    signals: tuple[Signal, ...] = ()
    actuators: Actuators = field(default_factory=Actuators)
    vary: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    runs: int = 1  # how often each combination is driven, each time with another seed
    seed: int = 1


def load(file: Path) -> dict[str, Scenario]:
    """Every scenario of a file by id; raises BadInput with every mistake: shape, units, ranges, impossible starts."""
    document = documents.read(file)
    if not isinstance(document.data, list):
        raise BadInput(f"{file}:1: should be a list of scenarios")
    found: dict[str, Scenario] = {}
    for n in range(len(document.data)):
        one = documents.load(Scenario, document, (n,))
        if one is None:
            continue
        if one.id in found:
            document.mistake((n, "id"), f"scenario {one.id} is there already")
        found[one.id] = one
        check(document, (n,), one)
    if document.mistakes:
        raise BadInput(document.mistakes)
    return found


@cache
def catalogue(file: Path) -> Mapping[str, Scenario]:
    """The scenarios that lie beside a suite; empty where there are none."""
    return load(file) if file.is_file() else {}


def cases(scenario: Scenario) -> tuple[Scenario, ...]:
    """Every combination of what varies, as often as it is to be run: no `vary` left, each with its seed.

    >>> s = Scenario(id="S", en="", zh="", source=Source(document="d", clause="1"), trust="P", ego_kmh=0, duration_s=5,
    ...              vary={"ego_kmh": (20.0, 42.0)}, runs=2)
    >>> [(c.ego_kmh, c.seed) for c in cases(s)]
    [(20.0, 1), (20.0, 2), (42.0, 1), (42.0, 2)]
    """
    return tuple(
        replace(with_values(scenario, dict(zip(scenario.vary, values, strict=True))), runs=1, seed=scenario.seed + n)
        for values in itertools.product(*scenario.vary.values())
        for n in range(scenario.runs)
    )


def with_values(scenario: Scenario, values: Mapping[str, float]) -> Scenario:
    """The scenario with other values in the fields named; raises KeyError for a field that it does not have."""
    data = documents.dump(scenario) | {"vary": {}}
    for name, value in values.items():
        *way, last = name.split(".")
        at: Any = data
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if last not in at:
            raise KeyError(name)
        at[last] = value
    return documents.from_plain(Scenario, data)


# ---------------------------------------------------------------- what makes no sense


def check(document: Document, where: Path_, scenario: Scenario) -> None:
    """Ranges and starts of every case."""
    number = math.prod(len(v) for v in scenario.vary.values()) * scenario.runs
    if not 1 <= number <= MOST_CASES:
        document.mistake((*where, "vary"), f"{scenario.id}: {number} cases; 1 to {MOST_CASES} are allowed")
        return
    for name in scenario.vary:
        try:
            with_values(scenario, {name: scenario.vary[name][0]})
        except (KeyError, IndexError, ValueError, TypeError, BadInput):
            hint = meant(name.split(".")[-1], documents.keys_at(Scenario, ()))
            document.mistake((*where, "vary", name), f"{scenario.id}: there is no field {name!r} to vary{hint}")
            return
    said: set[tuple[Path_, str]] = set()
    for case in cases(replace(scenario, runs=1)):
        for place, what in (*wrong_ranges(case), *wrong_starts(case)):
            if (place, what) not in said:
                said.add((place, what))
                document.mistake((*where, *place), f"{scenario.id}: {what}")


def wrong_ranges(case: Scenario) -> Iterator[tuple[Path_, str]]:
    """Figures that cannot be meant so; most of them are a wrong unit."""
    numbers: list[tuple[Path_, float, float, float, str]] = [
        (("ego_kmh",), case.ego_kmh, 0, 250, "km/h"),
        (("duration_s",), case.duration_s, 0.5, 120, "s"),
        (("lane_m",), case.lane_m, 2.5, 6, "m"),
        (("sensors", "latency_s"), case.sensors.latency_s, 0, 2, "s (not ms)"),
        (("sensors", "dropout"), case.sensors.dropout, 0, 1, "(a probability)"),
        (("sensors", "confidence"), case.sensors.confidence, 0, 1, "(a probability)"),
        (("actuators", "delay_s"), case.actuators.delay_s, 0.02, 2, "s"),
        (("actuators", "ramp_s"), case.actuators.ramp_s, 0.01, 5, "s"),
    ]
    if case.radius_m:
        numbers.append((("radius_m",), abs(case.radius_m), 30, 100_000, "m"))
    for n, actor in enumerate(case.actors):
        numbers += [
            (("actors", n, "speed_kmh"), actor.speed_kmh, -150, 250, "km/h"),
            (("actors", n, "crossing_kmh"), actor.crossing_kmh, -60, 60, "km/h"),
            (("actors", n, "accel_mps2"), actor.accel_mps2, -12, 8, "m/s2"),
            (("actors", n, "gap_m"), actor.gap_m or 0.0, -300, 300, "m"),
        ]
    for n, fault in enumerate(case.faults):
        numbers.append((("faults", n, "at_s"), fault.at_s, 0, case.duration_s, "s"))
    for place, value, low, high, unit in numbers:
        if not low <= value <= high:
            yield place, f"{place[-1]} should be {low:g} to {high:g} {unit}, not {value:g}"


def wrong_starts(case: Scenario) -> Iterator[tuple[Path_, str]]:
    """Starts that no road could have."""
    if len(case.actors) > MOST_ACTORS:
        yield ("actors",), f"{len(case.actors)} actors; {MOST_ACTORS} are allowed"
    for n, actor in enumerate(case.actors):
        here: Path_ = ("actors", n)
        closing_kmh = case.ego_kmh - actor.speed_kmh
        if (actor.gap_m is None) == (actor.ttc_s is None):
            yield here, "an actor needs either gap_m or ttc_s"
        elif actor.ttc_s is not None and closing_kmh <= 0:
            text = f"no time to collision: the ego vehicle ({case.ego_kmh:g} km/h) does not close in on {actor.speed_kmh:g} km/h"
            yield (*here, "ttc_s"), text
        elif actor.crossing_kmh and closing_kmh <= 0:
            yield (*here, "crossing_kmh"), "they never meet: the ego vehicle does not close in"
        elif touches(case, actor):
            yield here, "it starts inside the ego vehicle"


def touches(case: Scenario, actor: Actor) -> bool:
    gap_m, lateral_m = start_of(case, actor)
    length_m, width_m = SIZE_M[actor.kind]
    return -(EGO_LENGTH_M + length_m) < gap_m < 0 and abs(lateral_m) < (EGO_WIDTH_M + width_m) / 2


def start_of(case: Scenario, actor: Actor) -> tuple[float, float]:
    """(gap, lateral position) in m at the start."""
    closing_mps = (case.ego_kmh - actor.speed_kmh) / 3.6
    gap_m = actor.gap_m if actor.gap_m is not None else closing_mps * (actor.ttc_s or 0.0)
    if actor.lateral_m is not None or not actor.crossing_kmh:
        return gap_m, actor.lateral_m or 0.0
    return gap_m, -actor.crossing_kmh / 3.6 * gap_m / closing_mps
