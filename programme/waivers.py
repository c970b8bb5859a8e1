"""A failure that is known, and for whose sake a certificate is not withheld for a while: asked for by the lab, approved by another person."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.documents import meant
from harness.errors import BadInput
from programme.folder import MOST_DAYS, Folder, encoded
from programme.session import Session
from programme.verifier import STATEMENT, UTC_FORM, NotValid, moment, opened, statement

WAIVER = "urn:shipei:waiver:v1"
MOST_TEXT = 500


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """What a waiver says, and who signed it. `scope`: a certificate's subject, * for any part of chip, OS or application."""

    sha256: str
    scope: str
    requirements: tuple[str, ...]
    reason: str
    issue: str
    issued: str
    valid_until: str
    requested_by: str
    approved_by: str  # empty until somebody did

    def state(self, now: datetime) -> str:
        if moment(self.valid_until) <= now:
            return "expired"
        return "valid" if self.approved_by else "requested"

    def told(self) -> dict[str, Any]:
        """As a certificate cites it."""
        return {key: value for key, value in vars(self).items() if key != "issued"} | {
            "requirements": list(self.requirements)
        }


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a waiver is asked for: of which subjects (`scope`, as in Waiver) and requirements, why it does no harm, where it is being mended,
    and for how many days."""

    scope: str
    requirements: Sequence[str]
    reason: str
    issue: str
    days: int


def request(session: Session, asked: Request) -> str:
    """Ask for a waiver, as the lab. Returns its digest; raises BadInput with every mistake."""
    folder, now = session.folder, session.now
    by = folder.who(session.key)
    mistakes = [f"{by.person} is of role {by.role}; this takes the role lab"] if by.role != "lab" else []
    mistakes += wrong(folder, asked)
    if mistakes:
        raise BadInput(mistakes)
    told = {
        "scope": asked.scope,
        "requirements": sorted(set(asked.requirements)),
        "reason": asked.reason,
        "issue": asked.issue,
        "requested_by": by.person,
        "issued": now.strftime(UTC_FORM),
        "valid_until": (now + timedelta(days=asked.days)).strftime(UTC_FORM),
    }
    subject = {"name": asked.scope, "digest": {"sha256": hashlib.sha256(asked.scope.encode()).hexdigest()}}
    payload = encoded({"_type": STATEMENT, "subject": [subject], "predicateType": WAIVER, "predicate": told})
    digest = hashlib.sha256(payload).hexdigest()
    with folder.changing():
        if file_of(folder, digest).exists():
            raise BadInput(f"{digest[:12]} was asked for already, at this very second")
        folder.keep(file_of(folder, digest), folder.sign(payload, session.key))
    return digest


def wrong(folder: Folder, asked: Request) -> list[str]:
    """Return every mistake in a request, in words."""
    found, scope = [], asked.scope
    vendor, _, combination = scope.rpartition(":")
    if not vendor or "*" in vendor or combination.count("/") != 2 or any(c in scope for c in "?[]"):
        found.append(
            f"scope {scope!r} should be a certificate's subject, VENDOR:CHIP/OS/APPLICATION, with * in the last three alone"
        )
    waivable = folder.programme.waivable
    for one in asked.requirements:
        if one not in waivable:
            found.append(
                f"{one} is not among what {folder.path / 'programme.yaml'} has as waivable{meant(one, waivable)}"
            )
    if not asked.requirements:
        found.append("which requirement? --requirement ID")
    for name, text in (("reason", asked.reason), ("issue", asked.issue)):
        if not text.strip() or len(text) > MOST_TEXT or not text.isprintable():
            found.append(f"{name} should be one line of at most {MOST_TEXT} characters")
    if not 1 <= asked.days <= MOST_DAYS:
        found.append(f"days should be 1 to {MOST_DAYS}, not {asked.days}")
    return found


def approve(session: Session, wanted: str) -> str:
    """Agree to a waiver, as an approver who did not ask for it. Returns its digest; raises BadInput where that may not be."""
    folder = session.folder
    by = folder.who(session.key)
    digest = folder.find(wanted, "waivers")
    asked = load(folder, digest)
    if by.role != "approver":
        raise BadInput(f"{by.person} is of role {by.role}; this takes the role approver")
    if by.person == asked.requested_by:
        raise BadInput(f"{by.person} asked for it: somebody else has to approve it")
    if (state := asked.state(session.now)) != "requested":
        raise BadInput(f"{digest[:12]} is {state}: only what is requested is approved")
    with folder.changing():
        envelope = json.loads(file_of(folder, digest).read_bytes())
        payload, _ = opened(json.dumps(envelope).encode(), folder.keys, "the waiver")
        folder.keep(file_of(folder, digest), folder.sign(payload, session.key, envelope["signatures"]))
    return digest


def load(folder: Folder, digest: str) -> Waiver:
    """A waiver, whose signatures are what they should be. Raises BadInput."""
    file = file_of(folder, digest)
    try:
        payload, persons = opened(file.read_bytes(), folder.keys, str(file))
        told = statement(payload, WAIVER, str(file))["predicate"]
        found = Waiver(
            sha256=hashlib.sha256(payload).hexdigest(),
            scope=str(told["scope"]),
            requirements=tuple(map(str, told["requirements"])),
            reason=str(told["reason"]),
            issue=str(told["issue"]),
            issued=str(told["issued"]),
            valid_until=str(told["valid_until"]),
            requested_by=str(told["requested_by"]),
            approved_by=min(persons["approver"] - {told["requested_by"]}, default=""),
        )
        moment(found.valid_until)
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    except (NotValid, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{file}: not a waiver: {error}") from None
    if found.sha256 != digest or found.requested_by not in persons["lab"]:
        raise BadInput(f"{file}: not what its name says, or not signed by {found.requested_by}, who asked for it")
    return found


def listed(folder: Folder) -> list[Waiver]:
    """Every waiver of the programme, oldest first."""
    files = (folder.path / "waivers").glob("*.json")
    return sorted((load(folder, f.stem) for f in files), key=lambda one: (one.issued, one.sha256))


def file_of(folder: Folder, digest: str) -> Path:
    return folder.path / "waivers" / f"{digest}.json"


def applied(stated: dict[str, Any], waivers: Sequence[Waiver], now: datetime) -> dict[str, Any]:
    """The statement of a refused run as a certificate's: what failed and is waived is told so. Raises BadInput unless that is everything."""
    subject, predicate = stated["subject"][0]["name"], stated["predicate"]
    for one in waivers:
        if (state := one.state(now)) != "valid":
            raise BadInput(f"the waiver {one.sha256[:12]} is {state}")
        if not fnmatchcase(subject, one.scope):
            raise BadInput(f"the waiver {one.sha256[:12]} is for {one.scope}, not for {subject}")
    named = {requirement for one in waivers for requirement in one.requirements}
    outcomes, left = [], []
    for requirement in predicate["requirements"]:
        outcome = requirement["outcome"]
        if requirement["level"] == "mandatory" and outcome != "pass":
            if outcome != "fail" or requirement["id"] not in named:
                left.append(f"{requirement['id']} is {outcome}, and no waiver is for that")
            outcome = "waived"
        outcomes.append(requirement | {"outcome": outcome})
    if left:
        raise BadInput(left)
    told = predicate | {"decision": "certified", "requirements": outcomes, "waivers": [one.told() for one in waivers]}
    return stated | {"predicate": told}
