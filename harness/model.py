"""The nouns: plain frozen data that every other module passes along; what a device speaks, what a bench is, what a run comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeVar, dataclass_transform

T = TypeVar("T")
Value = bool | int | float | str


@dataclass_transform(frozen_default=True, kw_only_default=True)
def noun(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass; read from a file it takes no unknown key and no other type."""
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


# ---------------------------------------------------------------- what a device speaks


@noun
class E2e:
    """End-to-end protection of one message (AUTOSAR PRS_E2EProtocol); offsets follow the profile's standard layout."""

    message: str
    profile: Literal["P01", "P02", "P04", "P05", "P06", "P07", "P11"]
    data_id: int | None = None
    data_ids: tuple[int, ...] = ()  # P02: sixteen, by counter
    max_delta_counter: int = 2  # how far the counter may be ahead of that of the last frame


@noun
class Supervision:
    """How the device shows that a message it needs is lost or invalid, and after how long."""

    message: str
    timeout_ms: float
    signal: str
    value: str


@noun
class SentOnEvent:
    """A message that the device sends because something happened: what to set to make it happen, and how soon it sends."""

    message: str
    trigger: Mapping[str, Value]  # VSS path: value; all of one message
    within_ms: float


@noun
class NetworkManagement:
    """AUTOSAR CanNm on one bus (SWS CANNetworkManagement, 7.2 and 10.2): the device's node and message, everybody's identifiers, the timers.

    `release` is what to set so that the device itself needs the network no more.
    """

    message: str
    first: int
    last: int
    node: int
    repeat_ms: float  # CanNmRepeatMessageTime
    timeout_ms: float  # CanNmTimeoutTime
    wait_bus_sleep_ms: float  # CanNmWaitBusSleepTime
    release: Mapping[str, Value]


@noun
class BusInterface:
    """What the device speaks on one CAN bus."""

    dbc: str
    node: str
    bitrate: int
    vss: str | None = None
    fd: bool = False
    data_bitrate: int | None = None
    e2e: tuple[E2e, ...] = ()
    supervised: tuple[Supervision, ...] = ()
    events: tuple[SentOnEvent, ...] = ()
    nm: NetworkManagement | None = None


@noun
class Login:
    """What a console asks for before it lets somebody in, and the answers."""

    user: str
    password: str = ""
    prompt: str = "login:"
    password_prompt: str = "Password:"


@noun
class Dialogue:
    """A line that is typed on the console, and what a line of the answer looks like: plain text, with ^ and $ for its start and end."""

    type: str
    answer: str


@noun
class ConsoleInterface:
    """Boot stages in their order, and the line that says ready: plain text, with ^ and $ for line start and end.

    A device that waits for somebody to type before it says anything is woken with Enter: `knock`.
    """

    boot: tuple[str, ...]
    ready: str
    login: Login | None = None
    dialogue: tuple[Dialogue, ...] = ()
    knock: bool = False


@noun
class Identification:
    """What a data identifier reads on the item that is claimed (ISO 14229-1, 11.2); `text` in ASCII."""

    did: int
    text: str


@noun
class Service:
    """A diagnostic service that the device has (ISO 14229-1, 9 to 16), its sub-functions, and the sessions that it is in."""

    sid: int
    subfunctions: tuple[int, ...] = ()
    sessions: tuple[int, ...] = (1, 3)


@noun
class Record:
    """A record of so many bytes that is read by its identifier (ISO 14229-1, 11.2), and written where it is `writable` (11.7).

    With `security` writing needs that level unlocked.
    """

    did: int
    length: int
    writable: bool = False
    security: int | None = None


@noun
class Key:
    """How a key follows from a seed: the first bytes of its HMAC-SHA256 with a secret, in hexadecimal."""

    secret: str
    length: int = 4
    algorithm: Literal["hmac-sha256"] = "hmac-sha256"


@noun
class SecurityLevel:
    """A level of security access (ISO 14229-1, 10.4): `level` is the sub-function that asks for its seed.

    After so many wrong `attempts` it is locked for `delay_s`. Without a key nobody here can unlock it.
    """

    level: int
    seed_length: int
    key_length: int
    attempts: int = 3
    delay_s: float = 10.0
    key: Key | None = None


@noun
class Authentication:
    """Service 29 by challenge and response (ISO 14229-1:2020, 10.6): the proof is the HMAC-SHA256 of the device's challenge with a secret.

    Its `records` are read by who is authenticated, and by nobody else.
    """

    secret: str
    records: tuple[Record, ...]
    challenge_length: int = 16
    algorithm: Literal["hmac-sha256"] = "hmac-sha256"


@noun
class Routine:
    """A routine (ISO 14229-1, 14.2); one that `takes_s` is answered with responsePending meanwhile."""

    rid: int
    security: int | None = None
    takes_s: float = 0.0


@noun
class TroubleCode:
    """A trouble code that the device keeps when a message of its partners does not come for `after_ms`."""

    code: int
    lost: str
    after_ms: float = 1000.0


@noun
class Snapshot:
    """What is frozen with a trouble code: one record, of so many bytes."""

    did: int
    length: int


@noun
class Package:
    """An update in the form that the device takes, and what it is for: to be taken, or to be refused or given up, and for that alone.

    current: the very software that is claimed; update: another version that is taken; older: one that may not come back (rollback index);
    foreign_key: signed by somebody else; other_hardware: made for another device; never_ready: taken, and it never gets ready.
    """

    kind: Literal["current", "update", "older", "foreign_key", "other_hardware", "never_ready"]
    path: str
    version: str  # what the device then says of itself, in ASCII


@noun
class Consent:
    """What the driver does to agree to new software, or to decline it: VSS path: value, all of one message, sent once."""

    agree: Mapping[str, Value]
    decline: Mapping[str, Value]


@noun
class Flashing:
    """How the device takes a new application (ISO 14229-1, 15): routines by their identifiers, answered with one status byte, 0 for good.

    The sequence: the session, security access, erase, 34, 36 ..., 37, check, activate, reset. Each of `conditions` forbids the session.
    With `consent` nothing is activated before the driver has agreed.
    """

    did: int  # of the version that runs
    packages: tuple[Package, ...]
    session: int = 2
    erase: int = 0xFF00
    check: int = 0x0202
    activate: int = 0xFF01
    address: int = 0
    boots: int = 3  # after so many that do not get ready it goes back
    conditions: tuple[Mapping[str, Value], ...] = ()  # VSS path: value; while it is so, nothing is programmed
    consent: Consent | None = None

    def package(self, kind: str) -> Package | None:
        """The package of a kind."""
        return next((p for p in self.packages if p.kind == kind), None)


@noun
class DiagnosticsInterface:
    """Where the device answers diagnostic requests (ISO 15765-2, 10.3): identifiers, addressing, the filler of short frames; and what it
    declares to answer (ISO 14229-1).

    `target` and `source` are address bytes: of extended addressing both, of mixed the address extension in `target`; requests to all
    carry `functional_target` in its place. `order`: which of
    two violations is told, the first of these.
    """

    bus: str
    request: int
    response: int
    extended: bool = False
    fd: bool = False
    padding: int = 0xCC
    addressing: Literal["normal", "extended", "mixed"] = "normal"
    target: int | None = None
    source: int | None = None
    functional_target: int | None = None
    identification: tuple[Identification, ...] = ()
    freeze: tuple[str, ...] = ()  # requests, in hexadecimal, after which the application hangs: for the watchdog's test
    functional: int | None = None
    sessions: tuple[int, ...] = (1, 3)  # those that the application enters itself
    p2_ms: float = 50.0
    p2_star_ms: float = 5000.0
    s3_ms: float = 5000.0
    reset_s: float = 2.0  # until it answers again
    order: tuple[Literal["session", "length", "subfunction", "security", "range"], ...] = (
        "session",
        "subfunction",
        "length",
        "security",
        "range",
    )
    services: tuple[Service, ...] = ()
    data: tuple[Record, ...] = ()
    security: tuple[SecurityLevel, ...] = ()
    authentication: Authentication | None = None
    routines: tuple[Routine, ...] = ()
    troubles: tuple[TroubleCode, ...] = ()
    snapshot: Snapshot | None = None
    ageing_cycles: int | None = (
        None  # operation cycles without its failure, after which a trouble code is not confirmed any more
    )
    flashing: Flashing | None = None

    def ahead(self, *, functional: bool = False) -> bytes:
        """The address byte ahead of a frame to the device (ISO 15765-2, 10.3); none with normal addressing."""
        target = self.target if not functional or self.functional_target is None else self.functional_target
        return b"" if self.addressing == "normal" or target is None else bytes([target])

    @property
    def theirs(self) -> bytes:
        """The address byte ahead of a frame of the device's; none with normal addressing."""
        return bytes([self.source]) if self.addressing == "extended" and self.source is not None else self.ahead()

    def service(self, sid: int) -> Service | None:
        """What is declared of a service."""
        return next((s for s in self.services if s.sid == sid), None)


@noun
class Interface:
    """What the device speaks: buses by name, a console, diagnostics."""

    buses: Mapping[str, BusInterface]
    console: ConsoleInterface | None = None
    diagnostics: DiagnosticsInterface | None = None

    @property
    def files(self) -> list[str]:
        """The files of the submission that say what is spoken: all but its artefacts."""
        found = [name for bus in self.buses.values() for name in (bus.dbc, bus.vss) if name]
        return found + [p.path for p in (self.flashing.packages if self.flashing else ())]

    @property
    def flashing(self) -> Flashing | None:
        """How it is programmed, where it is."""
        return self.diagnostics.flashing if self.diagnostics else None

    def reserved(self, bus: str) -> set[int]:
        """The identifiers of diagnostics and network management on a bus, which have requirements of their own."""
        nm, told = self.buses[bus].nm, self.diagnostics
        found = set(range(nm.first, nm.last + 1)) if nm else set()
        if told is not None and told.bus == bus:
            found |= {i for i in (told.request, told.response, told.functional) if i is not None}
        return found


# ---------------------------------------------------------------- what a run comes to


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
    settable: Mapping[str, tuple[float, float]] = field(
        default_factory=dict
    )  # those that a submission may set, from and to


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
    core: tuple[str, ...] = ()  # features that the bare name stands for: less earns a name that says what is left out
    effort: Effort = "ci"
    limit_s: float = 600.0  # wall-clock limit for the run
    ready_s: float = 30.0  # how long a device may take to be ready before the tests give it up
    fenced: bool = False  # a run in which nothing kept the item from the lab's things is void
    valid_days: int = 730  # how long a certificate by it stands


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
    """A requirement of the plan: its criterion with every parameter resolved, the tests that decide it, and which parameters are the submission's."""

    requirement: Requirement
    level: Literal["mandatory", "recommended"]
    tests: tuple[str, ...]
    settings: Mapping[str, float] = field(default_factory=dict)


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
    fenced: bool = False  # an item that ran unfenced makes the run void
    valid_days: int = 730
    unchecked: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # what is declared and cannot be looked at, and why


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


@noun
class Quantity:
    """What a requirement measures: the limits that were used, the worst value with its uncertainty in its own unit, and how many there were."""

    name: str
    unit: str
    low: float | None
    high: float | None
    worst: float
    uncertainty: float
    count: int


@noun
class Shown:
    """A requirement in a certificate."""

    id: str
    level: Literal["mandatory", "recommended"]
    outcome: str
    source: Source | None = None
    trust: str = ""
    measures: tuple[Quantity, ...] = ()


@noun
class CertifiedRig:
    """The rig that a certificate is from: the uncertainty of a stamp of each port, in ms."""

    name: str
    kind: str
    uncertainty_ms: Mapping[str, float]


@noun
class Setting:
    """A setting of the submission that took effect."""

    requirement: str
    parameter: str
    value: float


@noun
class Unchecked:
    """So many things that nobody looked at; some of their names."""

    count: int
    names: tuple[str, ...]


@noun
class RecordDigest:
    """Which record a certificate is of."""

    sha256: str


@noun
class Predicate:
    """What a certificate states of its subject. What older ones lack has a default; dates are ISO 8601 in UTC."""

    evidence: str
    combination: Combination
    vendor: str
    profile: str
    effort: str
    rig: CertifiedRig
    instruments: tuple[Instrument, ...]
    golden_checked: bool
    image: tuple[Mapping[str, Value], ...]
    inputs: Mapping[str, str]
    plan: str
    record: RecordDigest
    decision: str
    decision_rule: str
    requirements: tuple[Shown, ...]
    not_applicable: tuple[LeftOut, ...]
    not_decidable: tuple[LeftOut, ...]
    fence: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    unchecked: Mapping[str, Unchecked] = field(default_factory=dict)
    tested: str = ""
    issued: str = ""
    valid_until: str = ""


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


# ---------------------------------------------------------------- a bench


@noun
class Golden:
    """An item that is known to pass: the folder of its submission, from the rig file's; what of it is checked around each run.

    `profile`: what it qualifies by, instead of its own: the name of one, or a file, from the rig file's folder.
    """

    submission: str
    check: tuple[str, ...]  # requirements, or how their names begin
    bracket: bool = True  # check before and after every run; else only `shipei rig qualify` does
    profile: str | None = None


@noun
class Rig:
    """An ordered list of named ports, each opened by a recipe.

    `exclusive`: one run at a time (a bench's default). `lease` names the recipe that reserves it from a lab engine. `wired` are
    pairs of bus ports that are joined by a cable.
    """

    name: str
    kind: Literal["simulated", "virtual", "bench", "replay"]
    chip: Chip
    ports: Mapping[str, Mapping[str, object]]
    clock_ms: float  # the uncertainty of one stamp that this rig promises
    exclusive: bool | None = None
    instruments: tuple[Instrument, ...] = ()
    golden: Golden | None = None
    lease: Mapping[str, object] | None = None
    wired: tuple[tuple[str, str], ...] = ()

    @property
    def one_at_a_time(self) -> bool:
        return self.kind == "bench" if self.exclusive is None else self.exclusive
