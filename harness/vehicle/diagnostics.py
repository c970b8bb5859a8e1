"""A diagnostic tester (ISO 14229-1) on the device's own bus: requests, answers with their times on the wire, silence with proof of life."""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from harness.errors import DeviceError, SuiteError
from harness.model import Authentication, DiagnosticsInterface, Key, Record, SecurityLevel
from harness.vehicle.isotp import Payload, Transport
from harness.vehicle.observation import MS
from harness.vehicle.vehicle import Vehicle

NEGATIVE, SUPPRESS = 0x7F, 0x80
DEFAULT, PROGRAMMING = 1, 2
SESSION_DID = 0xF186
LATE_S = 1.0  # so much later than it declares an answer is still waited for: a late one is measured and not missing
SILENT_S = 0.15  # so long beside P2 nothing comes, and it is silence: the bus and the bench need theirs
MOST_PENDING = 100
HMAC_SHA256 = bytes.fromhex("06082A864886F70D0209").ljust(16, b"\0")  # as service 29 names it: its OID, filled up
AUTHENTICATED = 0x12  # what a right proof is answered with (ISO 14229-1:2020, B.5)
RETRY_S = 0.1  # between two requests to one who may not be there yet
LONG = 2  # times what it declares a reset is waited for, so that a late one is measured
LONGEST = 10  # times, where it may be late: only the reset's own requirement says so
PRESENT = b"\x3e\x00"
PRESENT_S = 2.0  # between two TesterPresent
PAST_S3 = 1.2
MOST_SHOWN = 200  # characters of what was found


class Nrc(IntEnum):
    """Negative response codes (ISO 14229-1, A.1)."""

    SERVICE = 0x11
    SUBFUNCTION = 0x12
    LENGTH = 0x13
    CONDITIONS = 0x22
    SEQUENCE = 0x24
    RANGE = 0x31
    SECURITY = 0x33
    AUTHENTICATION = 0x34
    KEY = 0x35
    ATTEMPTS = 0x36
    DELAY = 0x37
    OWNERSHIP = 0x58
    NOT_ACCEPTED = 0x70
    SUSPENDED = 0x71
    COUNTER = 0x73
    PENDING = 0x78
    SUBFUNCTION_IN_SESSION = 0x7E
    SESSION = 0x7F
    SPEED = 0x88
    GEAR = 0x90
    VOLTAGE = 0x93


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the device answered, with how long it took on the wire, in ms: from the end of the request to the first answer, and from each
    responsePending to the next."""

    data: bytes
    first_ms: float
    next_ms: tuple[float, ...] = ()
    payload: Payload

    @property
    def code(self) -> int | None:
        """The negative response code, or None."""
        return self.data[2] if self.data[0] == NEGATIVE and len(self.data) > 2 else None

    @property
    def positive(self) -> bool:
        return self.data[0] != NEGATIVE


def told(request: bytes, answer: Answer | None) -> str:
    """An exchange in a few words.

    >>> told(b"\\x3e\\x00", None)
    '3e00: silence'
    """
    return f"{request.hex()[:16]}: {answer.data.hex()[:16] if answer else 'silence'}"


def few(found: Sequence[str]) -> str:
    """Some of what was found, for a measurement."""
    return "; ".join(found)[:MOST_SHOWN]


class Tester(Transport):
    """One tester; what it does not say, it does by the device's declared timing."""

    def __init__(self, vehicle: Vehicle, diagnostics: DiagnosticsInterface) -> None:
        super().__init__(vehicle, diagnostics)
        self.answer_s = diagnostics.p2_ms / 1e3 + LATE_S
        self.silent_s = diagnostics.p2_ms / 1e3 + SILENT_S

    # ------------------------------------------------------------ requests

    def attempt(self, request: bytes, *, functional: bool = False, within_s: float | None = None) -> Answer | None:
        """The final answer to a request, or None where none began within the limit (by default long after P2)."""
        return self.answer_to(self.send(request, functional=functional), within_s or self.answer_s)

    def answer_to(self, asked_ns: int, within_s: float) -> Answer | None:
        """What the device answers to what was sent last."""
        got, since_ns, gaps = self.receive(within_s), asked_ns, []
        for _ in range(MOST_PENDING):
            if got is None:
                break
            gaps.append((got.first_ns - since_ns) / MS)
            if got.data[0] != NEGATIVE or got.data[2:] != bytes([Nrc.PENDING]):
                return Answer(data=got.data, first_ms=gaps[0], next_ms=tuple(gaps[1:]), payload=got)
            since_ns = got.last_ns
            got = self.receive(self.told.p2_star_ms / 1e3 + LATE_S)
        if gaps:
            raise DeviceError(f"responsePending {len(gaps)} times, and no final answer")
        return None

    def ask(self, request: bytes, *, functional: bool = False) -> Answer:
        """The final answer to a request. Raises DeviceError when there is none."""
        answer = self.attempt(request, functional=functional)
        if answer is None:
            raise DeviceError(f"no answer to {request.hex()} within {self.answer_s:g} s")
        return answer

    def positive(self, request: bytes) -> Answer:
        """A positive answer. Raises DeviceError for another."""
        answer = self.ask(request)
        if not answer.positive or answer.data[0] != request[0] + 0x40:
            raise DeviceError(f"{request.hex()} was answered with {answer.data.hex()}")
        return answer

    def silence(self, request: bytes, *, functional: bool = False) -> Answer | None:
        """What came although nothing should; where nothing came, the device has shown afterwards that it lives."""
        answer = self.attempt(request, functional=functional, within_s=self.silent_s)
        self.alive()
        return answer

    def alive(self) -> None:
        """It answers TesterPresent. Raises DeviceError, with how its frames and console are, when it does not."""
        if self.attempt(PRESENT) is None:
            dead = self.vehicle.heard_nothing()
            how = "its buses and its console are silent too" if dead else "while it sends its other messages"
            raise DeviceError(f"it does not answer TesterPresent any more, {how}")

    def wrong(self, requests: Iterable[tuple[bytes, int | None]]) -> list[str]:
        """The exchanges that are not as they should be: for each request its negative response code, or None for a positive answer."""
        found = []
        for request, code in requests:
            answer = self.attempt(request)
            if answer is None or answer.code != code or (code is None and answer.data[0] != request[0] + 0x40):
                found.append(told(request, answer))
        self.alive()
        return found

    # ------------------------------------------------------------ sessions, security

    def enter(self, session: int) -> Answer:
        """Change the session, by way of the default one. Raises DeviceError when it is refused."""
        if session != DEFAULT:
            self.positive(bytes([0x10, DEFAULT]))
        return self.positive(bytes([0x10, session]))

    def other_session(self) -> int:
        """The first declared session beside the default one."""
        found = next((s for s in self.told.sessions if s != DEFAULT), None)
        if found is None:
            raise SuiteError(
                "the submission declares no session beside the default one: interface.diagnostics.sessions"
            )
        return found

    def session(self) -> int:
        """Which session it is in (data identifier F186)."""
        return self.positive(b"\x22" + SESSION_DID.to_bytes(2, "big")).data[3]

    def keep(self, seconds: float) -> None:
        """Nothing but TesterPresent for so long, without answers."""
        left_s = seconds
        while left_s > 0:
            self.vehicle.pass_time(min(PRESENT_S, left_s))
            self.put(bytes([2, 0x3E, SUPPRESS]))
            left_s -= PRESENT_S

    def outwait_session(self) -> None:
        """Send nothing until S3 has ended the session, and a fifth longer (UDS-SESSION-002 measures when it does)."""
        self.vehicle.pass_time(PAST_S3 * self.told.s3_ms / 1e3)

    def level(self) -> SecurityLevel:
        """The first declared level."""
        if not self.told.security:
            raise SuiteError("the submission declares no level: interface.diagnostics.security")
        return self.told.security[0]

    def in_session_of(self, sid: int) -> None:
        """The first session that a service is declared for."""
        service = self.told.service(sid)
        if service is None:
            raise SuiteError(f"the submission declares no service {sid:02X}: interface.diagnostics.services")
        self.enter(service.sessions[0])

    def seed(self) -> bytes:
        """A seed of the first level."""
        return self.positive(bytes([0x27, self.level().level])).data[2:]

    def unlock(self) -> bytes:
        """With the declared key, which is returned. Raises DeviceError when it is refused."""
        level = self.level()
        if level.key is None:
            raise SuiteError("the submission declares no key: interface.diagnostics.security")
        seed = self.seed()
        key = key_of(seed, level.key)
        if any(seed):
            self.positive(bytes([0x27, level.level + 1]) + key)
        return key

    def try_wrong_key(self) -> Answer:
        """A key that is wrong whatever the seed: every bit of the right one, or of the seed, is another."""
        level = self.level()
        seed = self.seed()
        near = key_of(seed, level.key) if level.key else seed.ljust(level.key_length, b"\0")[: level.key_length]
        return self.ask(bytes([0x27, level.level + 1]) + bytes(b ^ 0xFF for b in near))

    def authentication(self) -> Authentication:
        """What is declared of it."""
        if self.told.authentication is None:
            raise SuiteError("the submission declares none: interface.diagnostics.authentication")
        return self.told.authentication

    def challenge(self) -> bytes:
        """What the device wants to have proven (29 05). Raises DeviceError when it is refused, or has another form."""
        data = self.positive(b"\x29\x05\x00" + HMAC_SHA256).data
        end = 21 + int.from_bytes(data[19:21], "big")  # behind its return value, the algorithm, and the length
        if data[3:19] != HMAC_SHA256 or len(data) != end + 2 + int.from_bytes(data[end : end + 2], "big"):
            raise DeviceError(f"29 05 was answered with {data.hex()}, which is no challenge for {HMAC_SHA256.hex()}")
        return data[21:end]

    def authenticate(self) -> None:
        """With the declared secret. Raises DeviceError when it is refused."""
        request = proof_of(self.challenge(), self.authentication())
        answer = self.positive(request)
        if answer.data[1:3] != bytes([0x06, AUTHENTICATED]):
            raise DeviceError(f"the right proof was answered with {answer.data.hex()}")

    def reset(self) -> None:
        """A hard reset, whether it is answered or not; afterwards it answers again. Raises DeviceError when it is refused, and when
        nobody answers for long."""
        self.in_session_of(0x11)
        answer = self.attempt(b"\x11\x01")
        if answer is not None and not answer.positive:
            raise DeviceError(f"1101 was answered with {answer.data.hex()}")
        self.answers(within_s=LONGEST * self.told.reset_s)

    def answers(self, *, within_s: float) -> int:
        """Until it answers TesterPresent, which it is asked for until it does; when its answer came.

        Raises DeviceError when none came within the limit.
        """
        until_ns = self.vehicle.time_ns + round(within_s * 1e9)
        while self.vehicle.time_ns < until_ns:
            if (answer := self.attempt(PRESENT, within_s=RETRY_S)) is not None:
                return answer.payload.first_ns
        raise DeviceError(f"no answer to TesterPresent from {self.told.response:#x} within {within_s:g} s")

    def freeze(self) -> int:
        """Make the application hang by the declared requests; when the last was sent. Raises DeviceError when one is refused."""
        if not self.told.freeze:
            raise SuiteError(
                "the submission declares no requests by which its application hangs: interface.diagnostics.freeze"
            )
        sent_ns = 0
        for request in map(bytes.fromhex, self.told.freeze):
            sent_ns = self.send(request)
            answer = self.answer_to(sent_ns, self.answer_s)
            if answer is None or not answer.positive:
                raise DeviceError(f"no positive answer to {told(request, answer)}")
        return sent_ns

    # ------------------------------------------------------------ data, trouble codes

    def read(self, did: int) -> bytes:
        """A record. Raises DeviceError when it is not read."""
        request = b"\x22" + did.to_bytes(2, "big")
        answer = self.positive(request)
        if answer.data[1:3] != request[1:]:
            raise DeviceError(f"{request.hex()} was answered with {answer.data.hex()}")
        return answer.data[3:]

    def writable(self) -> Record:
        """The first record that may be written."""
        found = next((r for r in self.told.data if r.writable), None)
        if found is None:
            raise SuiteError("the submission declares no writable record: interface.diagnostics.data")
        return found

    def clear_troubles(self) -> None:
        self.positive(b"\x14\xff\xff\xff")

    def troubles(self, mask: int = 0xFF) -> dict[int, int]:
        """Trouble codes with a status in the mask, and their status (reportDTCByStatusMask)."""
        data = self.positive(bytes([0x19, 0x02, mask])).data[3:]
        if len(data) % 4:
            raise DeviceError(f"trouble codes come in four bytes each, and {len(data)} came")
        return {int.from_bytes(data[n : n + 3], "big"): data[n + 3] for n in range(0, len(data), 4)}


def proof_of(challenge: bytes, declared: Authentication) -> bytes:
    """The request that proves the secret to who gave a challenge (verifyProofOfOwnershipUnidirectional).

    >>> proof_of(bytes(16), Authentication(secret="00" * 16, records=())).hex()[:40]
    '290606082a864886f70d02090000000000000020'
    """
    proof = hmac.digest(bytes.fromhex(declared.secret), challenge, "sha256")
    return (
        b"\x29\x06" + HMAC_SHA256 + len(proof).to_bytes(2, "big") + proof + bytes(4)
    )  # no challenge back, nothing more


def key_of(seed: bytes, key: Key) -> bytes:
    """The key to a seed.

    >>> key_of(bytes(4), Key(secret="00" * 16)).hex()
    'aa7855e1'
    """
    return hmac.new(bytes.fromhex(key.secret), seed, hashlib.sha256).digest()[: key.length]
