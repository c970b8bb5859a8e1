"""Sign a verdict and check a certificate: an in-toto Statement (v1) in a DSSE envelope, by Ed25519 or ECDSA on P-256.

A virtual rig's certificate says so in its subject's name and in its predicate type, and carries the demo key's signature. The
demo key is derived from a published sentence: anyone can sign with it, so it proves that nothing was altered by
accident and not who signed.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from harness import documents
from harness.errors import BadInput, shown
from harness.model import (
    Certificate,
    CertifiedRig,
    Decision,
    Event,
    Judged,
    Measured,
    Outcome,
    Plan,
    Predicate,
    Quantity,
    RecordDigest,
    Requirement,
    Setting,
    Shown,
    Unchecked,
    Verdict,
)
from harness.record import write_json
from harness.signing import keys

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE = "urn:shipei:certificate:v1"
VIRTUAL_PREDICATE = "urn:shipei:virtual-certificate:v1"
DEMO_SENTENCE = b"shipei demo key: everyone has it, it vouches for nobody"
VIRTUAL = ("simulated", "virtual")
MOST_NAMED = 20  # of what is not looked at; all of it is counted, and stands in the plan
MAX_BYTES = 4_000_000


def demo_key() -> Ed25519PrivateKey:
    """The key that everyone has."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(DEMO_SENTENCE).digest())


def statement(plan: Plan, verdict: Verdict, opened: Sequence[Event], tested: str = "") -> dict[str, Any]:
    """The in-toto statement about a certified combination. `opened` is what each port said when it opened, `tested` when its record was sealed."""
    virtual = plan.rig_kind in VIRTUAL
    name = f"{'virtual:' if virtual else ''}{plan.vendor}:{plan.combination}"
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": plan.manifest_sha256}}],
        "predicateType": VIRTUAL_PREDICATE if virtual else PREDICATE,
        "predicate": documents.dump(predicate(plan, verdict, opened, tested)),
    }


def predicate(plan: Plan, verdict: Verdict, opened: Sequence[Event], tested: str) -> Predicate:
    """What is stated, without the dates of issue and validity, which a signature adds."""
    of_plan = {p.requirement.id: p.requirement for p in plan.requirements}
    uncertainty_ms = {str(e.port): (e.uncertainty_ns or 0) / 1e6 for e in opened}
    contexts = [dict(e.context) for e in opened if e.context]
    return Predicate(
        evidence=f"{plan.rig_kind} rig" if plan.rig_kind in VIRTUAL else "hardware rig",
        combination=plan.combination,
        vendor=plan.vendor,
        profile=plan.profile,
        effort=plan.effort,
        rig=CertifiedRig(name=plan.rig, kind=plan.rig_kind, uncertainty_ms=uncertainty_ms),
        instruments=plan.instruments,
        golden_checked=plan.bracketed,
        image=tuple({k: v for k, v in one.items() if k != "fence"} for one in contexts),
        fence=tuple(str(one["fence"]) for one in contexts if "fence" in one),
        inputs=dict(plan.digests),
        plan=plan.id,
        record=RecordDigest(sha256=verdict.record_sha256),
        decision=verdict.decision.value,
        decision_rule="a value within the rig's uncertainty of a limit is inconclusive",
        requirements=tuple(required(j, of_plan[j.requirement]) for j in verdict.requirements),
        settings=settings_of(plan),
        unchecked={k: Unchecked(count=len(v), names=v[:MOST_NAMED]) for k, v in plan.unchecked.items()},
        not_applicable=plan.not_applicable,
        not_decidable=plan.not_decidable,
        tested=tested,
    )


def required(judged: Judged, requirement: Requirement) -> Shown:
    """A requirement as it was decided: its source, and of each quantity the worst value."""
    by_name: dict[str, list[Measured]] = {}
    for one in judged.measured:
        by_name.setdefault(one.name, []).append(one)
    worst = {name: min(found, key=room) for name, found in by_name.items()}
    return Shown(
        id=judged.requirement,
        level=judged.level,
        outcome=judged.outcome.value,
        source=requirement.source,
        trust=requirement.trust,
        measures=tuple(
            Quantity(
                name=name, unit=one.unit, low=one.low, high=one.high, worst=one.value, uncertainty=one.uncertainty,
                count=len(by_name[name]),
            )
            for name, one in worst.items()
        ),
    )  # fmt: skip


def room(measured: Measured) -> float:
    """How far a value is from the nearer of its limits; negative outside."""
    distances = [measured.high - measured.value] if measured.high is not None else []
    distances += [measured.value - measured.low] if measured.low is not None else []
    return min(distances, default=math.inf)


def settings_of(plan: Plan) -> tuple[Setting, ...]:
    """Every setting of the submission that took effect."""
    taken = [(p.requirement.id, name, value) for p in plan.requirements for name, value in p.settings.items()]
    return tuple(Setting(requirement=one, parameter=name, value=value) for one, name, value in taken)


def sign(plan: Plan, verdict: Verdict, opened: Sequence[Event], key_file: Path | None, tested: str = "") -> Certificate:
    """A certificate; raises BadInput when the verdict cannot be certified or the key does not fit the rig.

    `tested`: when the record was sealed; calibrations are held against that day.
    """
    check_certifiable(plan, verdict)
    check_key(plan, key_file, tested[:10])
    key = demo_key() if key_file is None else keys.load(key_file)
    now = datetime.now(UTC)
    dates = {"issued": now, "valid_until": now + timedelta(days=plan.valid_days)}
    stated = statement(plan, verdict, opened, tested)
    stated["predicate"] |= {name: one.isoformat(timespec="seconds") for name, one in dates.items()}
    payload = json.dumps(stated, ensure_ascii=False, sort_keys=True).encode()
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signatures={})
    envelope.sign(CryptoSigner(key))
    found = envelope.to_dict()
    return Certificate(
        payload=found["payload"],
        payloadType=found["payloadType"],
        signatures=tuple(dict(s) for s in found["signatures"]),
    )


def check_certifiable(plan: Plan, verdict: Verdict, decision: Decision = Decision.CERTIFIED) -> None:
    """Raises BadInput unless a certificate may be made of it; with waivers, of a refused verdict."""
    if verdict.decision is not decision:
        what = (
            "only a certified combination gets a certificate"
            if decision is Decision.CERTIFIED
            else "there is nothing to waive"
        )
        raise BadInput(f"the verdict is {verdict.decision.value}: {what}")
    if not plan.signable:
        raise BadInput("the plan left requirements out by hand (--only): such a record is never signed")
    if plan.rig_kind == "replay":
        raise BadInput("a replay is not evidence of its own: sign the original record's verdict")


def check_key(plan: Plan, key_file: Path | None, day: str = "") -> None:
    """A virtual rig's certificates carry the demo key, a hardware rig's the lab's; raises BadInput for anything else, and for a rig whose
    runs no certificate of hardware may lean on. `day`: of the test (ISO 8601), else today.
    """
    virtual = plan.rig_kind in VIRTUAL
    if virtual and key_file is not None:
        raise BadInput(f"the rig {plan.rig} is virtual: its certificates carry the demo key, not {key_file}")
    if not virtual and key_file is None:
        raise BadInput("a hardware rig's certificate needs the lab's key: --key FILE (make one with `shipei key new`)")
    if key_file is None:
        return
    if keys.public_pem(keys.load(key_file)) == keys.public_pem(demo_key()):
        raise BadInput(
            f"{key_file}: is the demo key, which everyone has: a hardware rig's certificate needs the lab's own"
        )
    if lacking := lacked(plan, day or datetime.now(UTC).date().isoformat()):
        raise BadInput([f"the rig {plan.rig} cannot give a certificate of hardware: {what}" for what in lacking])


def lacked(plan: Plan, day: str) -> list[str]:
    """What a bench lacks that a certificate of hardware leans on: instruments whose calibration stands, and its golden item's check."""
    found = [] if plan.instruments else ["its file names no instruments (instruments: [...], with valid_until)"]
    for one in plan.instruments:
        if one.valid_until is None or one.valid_until < day:
            stands = "has no valid_until" if one.valid_until is None else f"ran out on {one.valid_until}"
            found.append(f"the calibration of {one.what} ({one.maker} {one.type}, {one.serial}) {stands}")
    if not plan.bracketed:
        found.append("no golden item is checked around its runs (golden: {submission: ..., check: [...]})")
    return found


def write(file: Path, certificate: Certificate) -> None:
    write_json(file, documents.dump(certificate))


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A certificate that holds: its statement; whose key signed it, by the SHA-256 of that key (SubjectPublicKeyInfo, DER); whether that is the demo key."""

    statement: dict[str, Any]
    fingerprint: str
    whose: str
    demo: bool


def verify(file: Path, public: Path | None = None, manifest_sha256: str | None = None) -> Verified:
    """A certificate that holds; raises BadInput with the reason when it does not.

    Without `public` the signature must be the demo key's, and then the certificate must call itself virtual.
    """
    parsed = strictly(file, keys.read(file), "not JSON, so not a certificate")
    if not isinstance(parsed, dict) or not {"payload", "payloadType", "signatures"} <= set(parsed):
        raise BadInput(f"{file}: not a DSSE envelope: it needs payload, payloadType and signatures")
    if parsed["payloadType"] != PAYLOAD_TYPE:
        raise BadInput(f"{file}: its payload type is {shown(parsed['payloadType'])!r}, not {PAYLOAD_TYPE}")
    key = keys.verifying(public) if public else demo_key().public_key()
    demo = keys.public_pem_of(key) == keys.public_pem(demo_key())
    if public and demo:
        raise BadInput(f"{public}: is the demo key, which everyone has: leave --key out, or name the lab's own")
    whose = "the demo key" if public is None else str(public)
    check_signature(file, parsed, key, whose)
    stated = checked_statement(file, base64.b64decode(parsed["payload"]))
    if demo and stated["predicateType"] != VIRTUAL_PREDICATE:
        raise BadInput(f"{file}: says it is from a hardware rig, but only the demo key signed it: anyone could have")
    found = Verified(statement=stated, fingerprint=keys.fingerprint(key), whose=whose, demo=demo)
    if manifest_sha256:
        must_be_about(file, found, manifest_sha256, {})
    return found


def must_be_about(file: Path, found: Verified, manifest_sha256: str, digests: Mapping[str, str]) -> None:
    """Raises BadInput when a certificate is about another combination, or about the same one with other inputs: another interface, other settings."""
    (subject,) = found.statement["subject"]
    if subject["digest"]["sha256"] != manifest_sha256:
        raise BadInput(f"{file}: is about another combination: its subject is {shown(subject['name'])}")
    inputs = found.statement["predicate"]["inputs"]
    others = [what for what, digest in digests.items() if inputs.get(what) != digest]
    if others:
        raise BadInput(f"{file}: is about the same images with another {', another '.join(others)}")


def strictly(file: Path, raw: bytes, otherwise: str) -> Any:
    """JSON without names that stand twice, without NaN, within Python's depth; raises BadInput."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name stands twice")
        return found

    def no_number(text: str) -> None:
        raise ValueError(f"{text} is no number")

    try:
        if len(raw) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return json.loads(raw, object_pairs_hook=once, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: {otherwise} ({shown(error)})") from None


def check_signature(file: Path, parsed: Mapping[str, Any], public: keys.PublicKey, whose: str) -> None:
    key: Key = SSlibKey.from_crypto(public)
    try:
        signatures = [{**s, "keyid": s.get("keyid") or key.keyid} for s in parsed["signatures"]]
        if not any(s["keyid"] == key.keyid for s in signatures):
            raise BadInput(f"{file}: was not signed with {whose}")
        Envelope.from_dict({**parsed, "signatures": signatures}).verify([key], 1)
    except VerificationError:
        raise BadInput(
            f"{file}: the signature does not belong to the content: it was altered, or signed by another key"
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        raise BadInput(f"{file}: not a DSSE envelope: {error}") from None


def checked_statement(file: Path, payload: bytes) -> dict[str, Any]:
    """The payload, if it is one of our statements about exactly one certified combination, with our fields and no others, and not expired."""
    found = strictly(file, payload, "signed, but its statement is not JSON")
    try:
        if found["_type"] != STATEMENT or found["predicateType"] not in (PREDICATE, VIRTUAL_PREDICATE):
            raise BadInput(f"{file}: signed, but not a shipei certificate ({shown(found['predicateType'])})")
        if len(found["subject"]) != 1:
            raise BadInput(
                f"{file}: has {len(found['subject'])} subjects; a certificate is about exactly one combination"
            )
        (subject,) = found["subject"]
        strange = [set(found) - {"_type", "subject", "predicateType", "predicate"}, set(subject) - {"name", "digest"}]
        if any(strange) or set(subject["digest"]) != {"sha256"}:
            raise BadInput(
                f"{file}: signed, but has fields that no certificate has: {shown(sorted(set().union(*strange)))}"
            )
        if not (isinstance(subject["name"], str) and isinstance(subject["digest"]["sha256"], str)):
            raise TypeError
        named = subject["name"].startswith("virtual:")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise BadInput(f"{file}: signed, but its statement is not complete") from None
    try:
        stated = documents.loads(Predicate, json.dumps(found["predicate"]), "predicate")
    except BadInput as error:
        raise BadInput(f"{file}: signed, but its statement is not ours: {shown(error.mistakes[0])}") from None
    check_stated(file, stated, found["predicateType"] == VIRTUAL_PREDICATE, named)
    return cast(dict[str, Any], found)


def check_stated(file: Path, stated: Predicate, virtual: bool, named_virtual: bool) -> None:
    """Raises BadInput for a predicate that contradicts itself, or has expired."""
    outcomes = {r.outcome for r in stated.requirements if r.level == "mandatory"}
    if stated.decision != Decision.CERTIFIED.value or outcomes != {Outcome.PASS.value}:
        raise BadInput(f"{file}: signed, but its own outcomes do not make a certificate")
    evidence = f"{stated.rig.kind} rig" if virtual else "hardware rig"
    if virtual is not (stated.rig.kind in VIRTUAL) or stated.evidence != evidence or named_virtual is not virtual:
        raise BadInput(f"{file}: signed, but it contradicts itself about its evidence")
    if stated.valid_until and not stands(stated.valid_until):
        raise BadInput(f"{file}: expired on {shown(stated.valid_until)}")


def stands(until: str) -> bool:
    """Whether a moment is still to come; what is none, with its time zone, has passed."""
    try:
        return datetime.fromisoformat(until) >= datetime.now(UTC)
    except (ValueError, TypeError):
        return False
