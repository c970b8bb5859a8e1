"""The life of a certificate: issued by the lab, approved by another person, suspended, reinstated, revoked, renewed; each step in a signed list."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness import certificate, certify, record, rejudge, verdicts
from harness.errors import BadInput
from harness.model import Decision, Outcome
from programme import inheritance, timestamp, waivers
from programme.folder import Folder, encoded
from programme.session import Session
from programme.verifier import UTC_FORM, VALID, Checked, Key, NotValid, Policy, moment, opened, verify
from programme.verifier import inherited as of_sources

PROVISIONAL, CHALLENGED, SUSPENDED, REVOKED, RENEWED = "provisional", "challenged", "suspended", "revoked", "renewed"
STEPS = {  # what may follow what, and whose word it needs
    "suspend": ((VALID, CHALLENGED), SUSPENDED, ("lab", "approver")),
    "reinstate": ((SUSPENDED, CHALLENGED), VALID, ("approver",)),
    "revoke": ((PROVISIONAL, VALID, SUSPENDED, CHALLENGED), REVOKED, ("lab", "approver")),
}
MOST_REASON = 500


def issue(session: Session, run: Path, waived: Sequence[str] = (), inherited: Sequence[str] = ()) -> str:
    """Issue a certificate of a run that is judged anew here, signed by the lab: provisional until somebody else approves it. Returns its digest.

    `waived`: digests of waivers, for what failed in the run. `inherited`: digests of certificates, for what its rig could not decide.
    Raises BadInput where the run, or one of those, gives no certificate.
    """
    folder, by = session.folder, of_role(session, "lab")
    sources = [folder.find(one) for one in inherited]
    stated = of_run(folder, run, [folder.find(one, "waivers") for one in waived], sources, session.now)
    with folder.changing():
        return provisional(session, stated, by, None)


def renew(session: Session, wanted: str, run: Path) -> str:
    """Issue another certificate of the same run, with a new time; the old one holds until the new one is approved. Returns the new digest."""
    folder, by = session.folder, of_role(session, "lab")
    old = folder.find(wanted)
    stated = as_stated(folder, old, run, session.now)
    with folder.changing():
        state = entry_of(folder.listed(), old)["state"]
        if state != VALID:
            raise BadInput(f"{old[:12]} is {state}: only what is valid is renewed")
        return provisional(session, stated, by, old)


def approve(session: Session, wanted: str, run: Path) -> str:
    """Sign as the second person, after the run was judged anew: from here on it is valid. Returns its digest."""
    folder, now, by = session.folder, session.now, of_role(session, "approver")
    digest = folder.find(wanted)
    as_stated(folder, digest, run, now)
    with folder.changing():
        listed = folder.listed()
        entry = entry_of(listed, digest)
        if entry["state"] != PROVISIONAL:
            raise BadInput(
                f"{digest[:12]} is {entry['state']} since {entry['since']}: only what is provisional is approved"
            )
        if entry["by"] == by.person:
            raise BadInput(f"{by.person} issued it: somebody else has to approve it")
        envelope = folder.envelope(digest)
        payload = base64.b64decode(envelope["payload"])
        renews = json.loads(payload)["predicate"]["life"]["renews"]
        old = entry_of(listed, renews) if renews else None
        if old and old["state"] != VALID:
            raise BadInput(
                f"{renews[:12]}, which it renews, is {old['state']} since {old['since']}: look into that first"
            )
        folder.keep(folder.certificate_file(digest), folder.sign(payload, session.key, envelope["signatures"]))
        moved(entry, VALID, by, now, "")
        if old:
            moved(old, RENEWED, by, now, f"by {digest}")
        folder.publish(listed["entries"], session.key, session.now)
    return digest


def step(session: Session, what: str, wanted: str, reason: str) -> str:
    """Suspend, reinstate or revoke, with a reason: one line of at most MOST_REASON characters. Returns its digest; raises BadInput.

    `what`: one of STEPS. `wanted`: the first digits of the certificate's digest.
    """
    before, after, roles = STEPS[what]
    folder = session.folder
    by = folder.who(session.key)
    if by.role not in roles:
        raise BadInput(f"{by.person} is of role {by.role}; to {what} takes {' or '.join(roles)}")
    if not reason.strip() or len(reason) > MOST_REASON or not reason.isprintable():
        raise BadInput(f"a reason is needed: one line of at most {MOST_REASON} characters")
    digest = folder.find(wanted)
    with folder.changing():
        listed = folder.listed()
        entry = entry_of(listed, digest)
        if entry["state"] not in before:
            raise BadInput(f"{digest[:12]} is {entry['state']}: to {what}, it has to be {' or '.join(before)}")
        moved(entry, after, by, session.now, reason)
        folder.publish(listed["entries"], session.key, session.now)
    return digest


def challenge(session: Session, wanted: str, run: Path) -> str:
    """Bring a record of the very same combination that says otherwise: not valid until it is looked into. Returns the digest.

    The record's own measurements are not believed: the suites run again on its traces.
    """
    folder = session.folder
    by = folder.who(session.key)
    digest = folder.find(wanted)
    stated = json.loads(payload_of(folder, digest))
    reason = contradiction(stated, run)
    with folder.changing():
        listed = folder.listed()
        entry = entry_of(listed, digest)
        if entry["state"] != VALID:
            raise BadInput(f"{digest[:12]} is {entry['state']}: only what is valid is challenged")
        moved(entry, CHALLENGED, by, session.now, reason)
        folder.publish(listed["entries"], session.key, session.now)
    return digest


def contradiction(stated: dict[str, Any], run: Path) -> str:
    """What a record of the same combination has fail that the certificate has pass, in words. Raises BadInput when there is nothing such."""
    subject, told = stated["subject"][0], stated["predicate"]
    plan, seal = record.load_plan(run / verdicts.RECORD), verdicts.of_record(run / verdicts.RECORD).record_sha256
    if plan.manifest_sha256 != subject["digest"]["sha256"] or plan.profile != told["profile"]:
        what = f"{subject['name']} by {told['profile']}"
        raise BadInput(f"{run}: is about another combination, or another profile, than {what}: it contradicts nothing")
    verdict = rejudge.rejudge(run / verdicts.RECORD)
    if verdict.decision is not Decision.REFUSED:
        raise BadInput(f"{run}: judged anew from its traces, it is {verdict.decision.value}, and contradicts nothing")
    passed = {r["id"] for r in told["requirements"] if r["outcome"] == "pass"}
    failing = [j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL and j.requirement in passed]
    if not failing:
        raise BadInput(f"{run}: what fails in it is not what the certificate has as passed")
    return f"record {seal[:16]} on {plan.rig}: {', '.join(failing)}"[:MOST_REASON]


def restate(session: Session) -> Path:
    """Sign the same list with a new date. Returns its file."""
    folder = session.folder
    folder.who(session.key)
    with folder.changing():
        return folder.publish(folder.listed()["entries"], session.key, session.now)


def check(
    folder: Folder, file: Path, now: datetime, status: Path | None = None, manifest_sha256: str | None = None
) -> Checked:
    """A certificate that holds. Raises BadInput with the reason when it does not."""
    policy, authority = Policy(folder.keys, folder.programme.kind, manifest_sha256), folder.programme.timestamps
    try:
        raw, listed = file.read_bytes(), status.read_bytes() if status else folder.fresh(now)
        found = verify(raw, listed, policy, now=now)
        if authority:
            told, persons = found.statement["predicate"]["life"], {key.keyid: key.person for key in folder.keys}
            span = moment(told["issued"]), moment(told["valid_until"])
            timestamp.check(json.loads(raw)["signatures"], persons, folder.path / authority.root, *span)
        return found
    except OSError as error:
        raise BadInput(f"{error.filename}: cannot be read: {error.strerror}") from None
    except NotValid as error:
        raise BadInput(f"{file}: {error}") from None


def check_record(found: Checked, run: Path) -> None:
    """The record is the one that the certificate names, and the suites, run again on its traces, come to what it states. Raises BadInput."""
    folder = run / verdicts.RECORD if (run / verdicts.RECORD).is_dir() else run
    stated = found.statement["predicate"]
    if record.alterations(folder) or verdicts.of_record(folder).record_sha256 != stated["record"]["sha256"]:
        raise BadInput(f"{run}: is not the record that the certificate names, or was altered")
    outcomes = {j.requirement: j.outcome.value for j in rejudge.rejudge(folder).requirements}
    wrong = []
    for one in stated["requirements"]:
        wanted = Outcome.FAIL.value if one["outcome"] == "waived" else one["outcome"]
        if outcomes.get(one["id"]) != wanted:
            wrong.append(
                f"{run}: {one['id']} is {outcomes.get(one['id'], 'not there')} by its traces, and {one['outcome']} in the certificate"
            )
    if wrong:
        raise BadInput(wrong)


# ---------------------------------------------------------------- the parts


def of_role(session: Session, role: str) -> Key:
    found = session.folder.who(session.key)
    if found.role != role:
        raise BadInput(f"{found.person} is of role {found.role}; this takes the role {role}")
    return found


def of_run(folder: Folder, run: Path, waived: Sequence[str], sources: Sequence[str], now: datetime) -> dict[str, Any]:
    """What a run's record, these waivers, and these certificates that it inherits from, make a certificate state, judged anew."""
    certify.must_be_sealed(run / verdicts.RECORD)
    plan, verdict = record.load_plan(run / verdicts.RECORD), verdicts.of_record(run / verdicts.RECORD)
    certificate.check_certifiable(plan, verdict, Decision.REFUSED if waived else Decision.CERTIFIED)
    kind = "virtual" if plan.rig_kind in certificate.VIRTUAL else "hardware"
    if kind != folder.programme.kind:
        raise BadInput(f"{run}: a {kind} rig's run, and the programme is for {folder.programme.kind} rigs")
    stated = certificate.statement(plan, verdict, certify.opened(run / verdicts.RECORD), certify.tested(run))
    if waived:
        stated = waivers.applied(stated, [waivers.load(folder, one) for one in waived], now)
    if sources:
        held = {one: check(folder, folder.certificate_file(one), now).statement for one in sources}
        stated = inheritance.applied(stated, held, folder.programme.inheritance, now)
    return stated


def as_stated(folder: Folder, digest: str, run: Path, now: datetime) -> dict[str, Any]:
    """What the record says now, if that is what the certificate says. Raises BadInput."""
    told = json.loads(payload_of(folder, digest))
    told["predicate"].pop("life", None)
    waived = [one["sha256"] for one in told["predicate"].get("waivers", ())]
    sources = dict.fromkeys(one["from"] for one in told["predicate"].get("inherited", ()))
    stated = of_run(folder, run, waived, list(sources), now)
    if encoded(told) != encoded(stated):
        raise BadInput(f"{run}: judged anew, its record does not say what the certificate states: not signed")
    return stated


def payload_of(folder: Folder, digest: str) -> bytes:
    return base64.b64decode(folder.envelope(digest)["payload"])


def provisional(session: Session, stated: dict[str, Any], by: Key, renews: str | None) -> str:
    """Sign, keep and list a new certificate; within `changing`. Returns its digest; raises BadInput where it is there already.

    `renews`: the digest of the certificate whose place it takes once it is approved.
    """
    folder, now = session.folder, session.now
    ends = [moment(one["valid_until"]) for one in stated["predicate"].get("waivers", ())]
    ends += [moment(one["until"]) for one in stated["predicate"].get("inherited", ())]
    until = min([now + timedelta(days=folder.programme.certificate_days), *ends])  # no waiver runs out before it
    stated["predicate"]["life"] = {
        "programme": folder.programme.name,
        "issued": now.strftime(UTC_FORM),
        "valid_until": until.strftime(UTC_FORM),
        "renews": renews,
    }
    payload = encoded(stated)
    digest = hashlib.sha256(payload).hexdigest()
    entries = folder.listed()["entries"]
    if any(one["certificate"] == digest for one in entries):
        raise BadInput(f"{digest[:12]} was issued already, at this very second")
    folder.keep(folder.certificate_file(digest), folder.sign(payload, session.key))
    entry: dict[str, Any] = {"certificate": digest, "history": []}  # and not what it is about: the list is public
    moved(entry, PROVISIONAL, by, now, f"renews {renews}" if renews else "")
    folder.publish([*entries, entry], session.key, now)
    return digest


def moved(entry: dict[str, Any], state: str, by: Key, now: datetime, reason: str) -> None:
    """Another state of an entry; the ones before stay in its history."""
    entry |= {"state": state, "since": now.strftime(UTC_FORM), "by": by.person, "reason": reason}
    entry["history"] = [*entry["history"], {key: entry[key] for key in ("state", "since", "by", "reason")}]


def entry_of(listed: dict[str, Any], digest: str) -> dict[str, Any]:
    found: dict[str, Any] | None = next((one for one in listed["entries"] if one["certificate"] == digest), None)
    if found is None:
        raise BadInput(f"{digest[:12]} is not in the status list")
    return found


def overview(folder: Folder, now: datetime) -> list[dict[str, Any]]:
    """Every certificate as the newest list has it, with what it is about and who signed, oldest first; what has run out is expired."""
    found = []
    entries = folder.listed()["entries"]
    for entry in entries:
        raw = json.dumps(folder.envelope(entry["certificate"])).encode()
        payload, persons = opened(raw, folder.keys, entry["certificate"])
        stated = json.loads(payload)
        subject, until = stated["subject"][0], stated["predicate"]["life"]["valid_until"]
        about = {"subject": subject["name"], "manifest": subject["digest"]["sha256"], "valid_until": until}
        now_is = {"state": entry["state"], "reason": entry["reason"]}
        if entry["state"] == VALID:
            now_is = as_of(stated, entries, entry["reason"], now)
        found.append(entry | about | now_is | {"signed_by": sorted(set().union(*persons.values()))})
    return found


def as_of(stated: dict[str, Any], entries: Sequence[dict[str, Any]], reason: str, now: datetime) -> dict[str, str]:
    """What is listed as valid is expired when its time is over, and suspended while what it inherits from does not hold."""
    if stated["predicate"]["life"]["valid_until"] <= now.strftime(UTC_FORM):
        return {"state": "expired", "reason": reason}
    try:
        of_sources(stated, entries)
    except NotValid as error:
        return {"state": SUSPENDED, "reason": str(error)}
    return {"state": VALID, "reason": reason}
