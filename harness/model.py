"""The nouns: plain frozen data that every other module passes along."""

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import Literal

from harness.interface import Interface, Value, noun


class Outcome(Enum):
    """How one requirement ended, and so who acts next."""

    PASS = "pass"  # nobody
    FAIL = "fail"  # the vendor: the device is wrong
    ERROR = "error"  # the suite's author: the test is wrong
    MISS = "miss"  # the lab: it never ran to an end, or the rig cannot tell


class Decision(Enum):
    """What the whole run says about the combination."""

    CERTIFIED = "certified"
    REFUSED = "refused"
    VOID = "void"


# ---------------------------------------------------------------- what a vendor hands in


@noun
class Chip:
    """A chip or board and its revision, in the registry's spelling."""

    name: str
    revision: str


@noun
class Software:
    """An operating system, application or service with its exact version."""

    name: str
    version: str


@noun
class Combination:
    """What a certificate is about: one chip, one OS, one application (and services, where there are any).

    >>> str(Combination(chip=Chip(name="sim", revision="1"), os=Software(name="cpython", version="3.11"),
    ...                 application=Software(name="cockpit", version="1.4.0")))
    'sim-1/cpython-3.11/cockpit-1.4.0'
    """

    chip: Chip
    os: Software
    application: Software
    services: tuple[Software, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.chip.name}-{self.chip.revision}"]
        parts += [f"{s.name}-{s.version}" for s in (self.os, self.application, *self.services)]
        return "/".join(parts)


@noun
class Artefact:
    """One file that claims the combination, with the digest that it must have.

    An application is a program, or a container image (docker save, OCI). A complete image consists of a boot loader, a disk, both,
    or of a microcontroller's firmware.
    """

    role: Literal["application", "bootloader", "disk", "firmware"]
    path: str
    sha256: str
    form: Literal["program", "container"] = "program"


@noun
class Submission:
    """What a vendor hands in: a combination, the exact bytes that claim it, what it does and what it speaks."""

    vendor: str
    combination: Combination
    artefacts: tuple[Artefact, ...]
    features: Mapping[str, Mapping[str, Value]]
    interface: Interface
    profile: str


@noun
class Item:
    """The item under test as a rig sees it: files by role, and the interface that they speak."""

    files: Mapping[str, str]
    interface: Interface


# ---------------------------------------------------------------- what is demanded


@noun
class Source:
    """Where a requirement comes from."""

    document: str
    clause: str


@noun
class Limit:
    """A limit that is not one number: `times` x (a recorded quantity, or a parameter) + `plus`."""

    of: str | None = None
    parameter: str | None = None
    times: float = 1.0
    plus: float = 0.0


@noun
class Measure:
    """One quantity that a requirement is decided by. `clocks` are the ports whose stamps it stands on."""

    name: str
    unit: str
    low: float | Limit | None = None
    high: float | Limit | None = None
    at_least: int = 1
    clocks: tuple[str, ...] = ()
    per: str | None = None  # for a unit of %: the recorded quantity, in ms, that is 100 %


@noun
class Applies:
    """When a requirement is planned: the submission declares this feature."""

    feature: str


@noun
class Needs:
    """What a rig must offer: ports, a clock at least this exact, and what its buses must be able to do.

    faults: frames can be destroyed on them; overload: they carry as many frames as fit.
    """

    ports: tuple[str, ...] = ()
    clock_ms: float | None = None
    buses: tuple[Literal["faults", "overload"], ...] = ()


@noun
class Requirement:
    """One sentence with its numbers, its source and its trust tag; its limits are data."""

    id: str
    en: str
    zh: str
    source: Source
    trust: Literal["V", "V-sum", "S", "M", "P"]
    measures: tuple[Measure, ...]
    applies: Applies | None = None
    needs: Needs = field(default_factory=Needs)
    parameters: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    full: Mapping[str, float] = field(default_factory=dict)  # parameters with full effort


Effort = Literal["ci", "full"]


@noun
class Profile:
    """A versioned list of requirements that a certificate of that name stands for.

    Its effort says how long is soaked and how often is repeated: as long as a CI job may take, or in full.
    """

    name: str
    version: str
    suites: tuple[str, ...]
    mandatory: tuple[str, ...] = ()
    conditional: tuple[str, ...] = ()  # mandatory where the feature is declared
    recommended: tuple[str, ...] = ()
    effort: Effort = "ci"
    limit_s: float = 600.0  # wall-clock limit for the run
    ready_s: float = 30.0  # how long a device may take to be ready before the tests give it up


@noun
class Instrument:
    """An instrument that a result leans on, and until when its calibration stands (ISO/IEC 17025:2017, 6.4); dates YYYY-MM-DD."""

    what: str
    maker: str
    type: str
    serial: str
    calibrated: str | None = None
    valid_until: str | None = None
    certificate: str | None = None


# ---------------------------------------------------------------- what is decided before the run


@noun
class PlannedRequirement:
    """A requirement of the plan: its criterion with every parameter resolved, and the tests that decide it."""

    requirement: Requirement
    level: Literal["mandatory", "recommended"]
    tests: tuple[str, ...]


@noun
class LeftOut:
    """A requirement of the profile that is not planned, and why."""

    id: str
    reason: str


@noun
class Plan:
    """Everything that is decided before the run, with the digest of every input."""

    id: str
    combination: Combination
    vendor: str
    manifest_sha256: str
    profile: str
    rig: str
    rig_kind: str
    clock_ms: float
    requirements: tuple[PlannedRequirement, ...]
    not_applicable: tuple[LeftOut, ...]
    not_decidable: tuple[LeftOut, ...]
    digests: Mapping[str, str]
    suites: tuple[str, ...]
    limit_s: float
    effort: Effort = "ci"
    ready_s: float = 30.0
    signable: bool = True
    instruments: tuple[Instrument, ...] = ()
    bracketed: bool = False  # a golden item is checked before and after


# ---------------------------------------------------------------- what comes out


@noun
class Measured:
    """One recorded value held against its limits, by the judge."""

    name: str
    value: float
    unit: str
    low: float | None
    high: float | None
    uncertainty: float
    outcome: Outcome
    context: Mapping[str, Value] = field(default_factory=dict)


@noun
class Judged:
    """One requirement's outcome and everything it follows from."""

    requirement: str
    level: Literal["mandatory", "recommended"]
    outcome: Outcome
    reason: str
    measured: tuple[Measured, ...]


@noun
class Verdict:
    """Certified, refused or void, from one outcome per requirement and the faults of the run itself."""

    decision: Decision
    plan: str
    combination: Combination
    manifest_sha256: str
    profile: str
    rig: str
    rig_kind: str
    faults: tuple[str, ...]
    requirements: tuple[Judged, ...]
    record_sha256: str = ""


@noun
class Certificate:
    """A DSSE envelope around an in-toto statement, as it lies on disk."""

    payload: str
    payloadType: str
    signatures: tuple[Mapping[str, str], ...]


Around = Literal["opening", "opened", "planned", "fault", "closed"]
During = Literal["started", "called", "driven", "measured", "clock", "health", "ended"]


@noun
class Event:
    """One line of a record's events.jsonl. Every planned test is written down before anything runs.

    driven: a bus started a closed loop at time_ns; its case stands in context. opening: what takes long before anything runs, in `why`.
    """

    what: Around | During
    time_ns: int | None = None  # of the rig's clock
    requirement: str | None = None
    test: str | None = None
    port: str | None = None
    call: str | None = None
    name: str | None = None
    unit: str | None = None
    value: float | None = None
    uncertainty_ns: int | None = None
    context: Mapping[str, Value] | None = None
    raised: Literal["device", "silence", "rig", "suite"] | None = None
    why: str | None = None


@noun
class Manifest:
    """What a record consists of: its files with their sha256, and whether a tail is missing."""

    files: Mapping[str, str]
    missing_tail: tuple[str, ...] = ()
