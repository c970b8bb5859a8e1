"""Does this certificate hold, today? One file, with nothing but `cryptography` beside the standard library: copy it where you need it.

    keys = [Key("Li Wei", "lab", lab_pem), Key("Wang Fang", "approver", approver_pem)]
    checked = verify(certificate, status, Policy(keys, kind="virtual"), now=datetime.now(UTC))

All of it is bytes in and an exception out: no file, no network, no clock of its own. A certificate is an in-toto Statement (v1) in a
DSSE envelope (v1). It holds when a lab and an approver, two persons, signed it, when it says that what was mandatory passed, when today lies
in its time, and when the newest status list that they signed says of it: valid. Whatever is not said so is denied.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
CERTIFICATE = {"hardware": "urn:shipei:certificate:v1", "virtual": "urn:shipei:virtual-certificate:v1"}
STATUS_LIST = "urn:shipei:status-list:v1"
ROLES = ("lab", "approver")
VALID = "valid"
UTC_FORM = "%Y-%m-%dT%H:%M:%SZ"
MOST_BYTES = 16_000_000
CLOCKS_APART = timedelta(minutes=5)  # so far ahead of ours the clock of who signed may be


class NotValid(Exception):
    """Why it does not hold, for people."""


@dataclass(frozen=True)
class Key:
    """Who may sign, as what; `public` is PEM, Ed25519 or ECDSA on P-256."""

    person: str
    role: str
    public: bytes

    @property
    def keyid(self) -> str:
        """The SHA-256 of the key's SubjectPublicKeyInfo (DER), in hexadecimal."""
        return hashlib.sha256(self.loaded().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def loaded(self) -> Any:
        try:
            found = load_pem_public_key(self.public)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise NotValid(f"the key of {self.person} is no public key in PEM: {error}") from None
        on_p256 = isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, ec.SECP256R1)
        if not on_p256 and not isinstance(found, ed25519.Ed25519PublicKey):
            raise NotValid(f"the key of {self.person} is neither Ed25519 nor ECDSA on P-256")
        return found

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this signature is this key's."""
        key = self.loaded()
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Checked:
    """A certificate that holds: what it states, who signed, and what the status list says of it."""

    statement: dict[str, Any]
    sha256: str  # of its payload: its name in the status list
    persons: tuple[str, ...]
    entry: dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """Whose word is taken, and for what; what a certificate has to meet to hold.

    `keys`: of all who may sign. `kind`: hardware or virtual, what the programme is for. `manifest_sha256`: it must be about that combination.
    `least_number`: of a status list seen before; an older one is not taken.
    """

    keys: Sequence[Key]
    kind: str
    manifest_sha256: str | None = None
    least_number: int = 0


def verify(certificate: bytes, status: bytes, policy: Policy, *, now: datetime) -> Checked:
    """Check a certificate, beside a status list, against a policy; raises NotValid with the reason unless everything is right.

    `certificate`, `status`: DSSE envelopes, JSON as it lies in its file. `now`: with a time zone.
    """
    if len({key.keyid for key in policy.keys}) < len(policy.keys):
        raise NotValid("two of the programme's persons have the same key")
    payload, persons = opened(certificate, policy.keys, "the certificate")
    stated = statement(payload, CERTIFICATE[policy.kind], "the certificate")
    passed(stated)
    in_time(stated, now)
    subject = stated["subject"][0]
    if policy.manifest_sha256 is not None and subject["digest"]["sha256"] != policy.manifest_sha256:
        raise NotValid(f"the certificate is about another combination: its subject is {subject['name']}")
    missing = [role for role in ROLES if not persons[role]]
    if missing:
        raise NotValid(f"the certificate was not signed by {' and '.join(f'a person of role {r}' for r in missing)}")
    if len(persons["lab"] | persons["approver"]) < len(ROLES):
        raise NotValid(f"the certificate was signed by one person twice: {', '.join(persons['lab'])}")
    digest = hashlib.sha256(payload).hexdigest()
    listed = status_list(status, policy.keys, now=now, least_number=policy.least_number)
    entry = next((one for one in listed["entries"] if one["certificate"] == digest), None)
    if entry is None:
        raise NotValid(f"the status list of {listed['issued']} does not know the certificate {digest[:12]}")
    if entry["state"] != VALID:
        why = f", {entry['reason']}" if entry.get("reason") else ""
        raise NotValid(f"the certificate is {entry['state']} since {entry['since']}{why}")
    inherited(stated, listed["entries"])
    return Checked(stated, digest, tuple(sorted(persons["lab"] | persons["approver"])), entry)


def status_list(status: bytes, keys: Sequence[Key], *, now: datetime, least_number: int = 0) -> dict[str, Any]:
    """What a signed list says of all certificates, if it is fresh: issued, next_update, number, entries. Raises NotValid."""
    payload, persons = opened(status, keys, "the status list")
    if not any(persons.values()):
        raise NotValid("the status list was signed by nobody of the programme")
    found: dict[str, Any] = statement(payload, STATUS_LIST, "the status list")["predicate"]
    try:
        issued, until, number = moment(found["issued"]), moment(found["next_update"]), int(found["number"])
        for one in found["entries"]:
            _ = str(one["certificate"]), str(one["state"]), str(one["since"])
    except (KeyError, TypeError, ValueError):
        raise NotValid("the status list is not complete") from None
    if issued > now + CLOCKS_APART:
        raise NotValid(f"the status list is of {found['issued']}, and that is still to come")
    if now >= until:
        raise NotValid(f"the status list was to be renewed by {found['next_update']}: get the newest one")
    if number < least_number:
        raise NotValid(f"the status list is number {number}; number {least_number} was seen already")
    return found


# ---------------------------------------------------------------- the parts


def opened(envelope: bytes, keys: Sequence[Key], what: str) -> tuple[bytes, dict[str, set[str]]]:
    """The payload of a DSSE envelope, and the persons of each role whose signature it carries. Raises NotValid."""
    parsed = fields(envelope, what)
    try:
        payload = base64.b64decode(parsed["payload"], validate=True)
        given = [(str(s.get("keyid", "")), base64.b64decode(s["sig"], validate=True)) for s in parsed["signatures"]]
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error):
        raise NotValid(f"{what} is no DSSE envelope: payload and signatures are not base64") from None
    message = authenticated(PAYLOAD_TYPE, payload)
    persons: dict[str, set[str]] = {role: set() for role in ROLES}
    for key in keys:
        of_key = [signature for keyid, signature in given if keyid in ("", key.keyid)]
        if key.role in persons and any(key.signed(message, signature) for signature in of_key):
            persons[key.role].add(key.person)
        elif any(keyid == key.keyid for keyid, _ in given):
            raise NotValid(f"{what} was altered: the signature of {key.person} is not of this content")
    return payload, persons


def fields(envelope: bytes, what: str) -> dict[str, Any]:
    """A DSSE envelope's fields, as far as they have the right form."""
    if len(envelope) > MOST_BYTES:
        raise NotValid(f"{what} has {len(envelope)} bytes; {MOST_BYTES} are allowed")
    try:
        parsed = json.loads(envelope)
    except (ValueError, RecursionError):
        raise NotValid(f"{what} is not JSON: it was cut, or is something else") from None
    if not isinstance(parsed, dict) or not {"payload", "payloadType", "signatures"} <= set(parsed):
        raise NotValid(f"{what} is no DSSE envelope: it needs payload, payloadType and signatures")
    if parsed["payloadType"] != PAYLOAD_TYPE or not isinstance(parsed["signatures"], list):
        raise NotValid(f"{what} has the payload type {parsed['payloadType']!r}, not {PAYLOAD_TYPE}")
    return parsed


def authenticated(payload_type: str, payload: bytes) -> bytes:
    """The bytes that a DSSE signature is over (DSSE v1, PAE).

    >>> authenticated("t", b"abc")
    b'DSSEv1 1 t 3 abc'
    """
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def statement(payload: bytes, predicate_type: str, what: str) -> dict[str, Any]:
    """An in-toto statement of exactly this type. Raises NotValid."""
    try:
        found = json.loads(payload)
        kinds = found["_type"], found["predicateType"]
        predicate = found["predicate"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotValid(f"{what} is signed, but its statement is not complete") from None
    if kinds != (STATEMENT, predicate_type):
        raise NotValid(f"{what} is signed as {kinds[1]!r}, not as {predicate_type}")
    if not isinstance(predicate, dict):
        raise NotValid(f"{what} is signed, but its statement is not complete")
    return dict(found)


def passed(stated: dict[str, Any]) -> None:
    """It is about one combination, and every mandatory requirement passed, or is waived by a waiver that it cites."""
    try:
        (subject,) = stated["subject"]
        _ = str(subject["name"]), str(subject["digest"]["sha256"])
        predicate = stated["predicate"]
        mandatory = {str(r["id"]): r["outcome"] for r in predicate["requirements"] if r["level"] == "mandatory"}
        cited = {requirement for waiver in predicate.get("waivers", ()) for requirement in waiver["requirements"]}
        decision = predicate["decision"]
    except (KeyError, TypeError, ValueError):
        raise NotValid(
            "the certificate is signed, but not about exactly one combination and its requirements"
        ) from None
    waived = {requirement for requirement, outcome in mandatory.items() if outcome == "waived"}
    passed_too = "pass" in mandatory.values() and set(mandatory.values()) <= {"pass", "waived"}
    if decision != "certified" or not passed_too or not waived <= cited:
        raise NotValid("the certificate is signed, but its own outcomes do not make a certificate")


def inherited(stated: dict[str, Any], entries: Sequence[dict[str, Any]]) -> None:
    """What it inherits comes from certificates that hold themselves."""
    states = {one["certificate"]: one["state"] for one in entries}
    try:
        sources = [(str(one["id"]), str(one["from"])) for one in stated["predicate"].get("inherited", ())]
    except (KeyError, TypeError):
        raise NotValid("the certificate is signed, but does not say what it inherits from where") from None
    for requirement, source in sources:
        state = states.get(source, "not in the status list")
        if state != VALID:
            raise NotValid(f"the certificate inherits {requirement} from {source[:12]}, which is {state}")


def in_time(stated: dict[str, Any], now: datetime) -> None:
    """Today lies between its two dates."""
    life = stated["predicate"].get("life")
    try:
        ends = [moment(waiver["valid_until"]) for waiver in stated["predicate"].get("waivers", ())]
        ends += [moment(one["until"]) for one in stated["predicate"].get("inherited", ())]
        issued, until = moment(life["issued"]), min([moment(life["valid_until"]), *ends])
    except (KeyError, TypeError, ValueError):
        raise NotValid("the certificate does not say from when until when it is valid") from None
    if issued > now + CLOCKS_APART:
        raise NotValid(f"the certificate is of {life['issued']}, and that is still to come")
    if now >= until:
        raise NotValid(f"the certificate was valid until {until:{UTC_FORM}}")


def moment(text: str) -> datetime:
    """A time as this programme writes it; raises ValueError for another form.

    >>> moment("2026-11-27T21:30:00Z").isoformat()
    '2026-11-27T21:30:00+00:00'
    """
    return datetime.strptime(text, UTC_FORM).replace(tzinfo=UTC)
