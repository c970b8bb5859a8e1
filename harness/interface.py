"""What a device speaks: its buses, its console, its diagnostics; and what a noun is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, dataclass_transform

T = TypeVar("T")
Value = bool | int | float | str


@dataclass_transform(frozen_default=True, kw_only_default=True)
def noun(cls: type[T]) -> type[T]:
    """A frozen, keyword-only dataclass; read from a file it takes no unknown key and no other type."""
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


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
