"""How a run stands for others to see: certified by a certificate that holds and is of this record, refused or void by a record that was sealed here; else not verified."""

from dataclasses import dataclass
from pathlib import Path

from harness import certificate, certify, record, verdicts
from harness.errors import BadInput
from harness.model import Decision, Plan, Verdict

UNVERIFIED = "unverified"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A run's plan, its verdict by its record, and what may be said of it: certified, refused, void, or unverified and why."""

    plan: Plan
    verdict: Verdict
    state: str
    why: str = ""


def of(run: Path, key: Path | None = None) -> Standing:
    """How a run stands. `key`: the lab's, for a hardware rig's certificate. Raises BadInput where the folder holds no whole record."""
    folder = run / verdicts.RECORD
    plan, verdict = record.load_plan(folder), verdicts.of_record(folder)
    certified, virtual = verdict.decision is Decision.CERTIFIED, plan.rig_kind in certificate.VIRTUAL
    why = "" if certified and not virtual else certify.unsealed(folder)  # anyone signs with the demo key
    why = why or (not_certified(run, plan, verdict, key) if certified else "")
    state = UNVERIFIED if why else verdict.decision.value
    return Standing(plan=plan, verdict=verdict, state=state, why=why)


def not_certified(run: Path, plan: Plan, verdict: Verdict, key: Path | None) -> str:
    """Why the run's certificate does not say what its record does; empty if it does."""
    if plan.rig_kind == "replay":
        return "a recording shows no device: it is never certified"
    virtual = plan.rig_kind in certificate.VIRTUAL
    if not virtual and key is None:
        return "a hardware rig's certificate is verified with the lab's key: --key FILE"
    try:
        stated = certificate.verify(
            run / verdicts.CERTIFICATE, None if virtual else key, plan.manifest_sha256
        ).statement
    except BadInput as error:
        return str(error)
    said, predicate = {"plan": plan.id, "profile": plan.profile, "record": verdict.record_sha256}, stated["predicate"]
    found = {
        **{k: predicate.get(k) for k in ("plan", "profile")},
        "record": (predicate.get("record") or {}).get("sha256"),
    }
    others = [what for what, value in said.items() if found[what] != value]
    if (stated["predicateType"] == certificate.VIRTUAL_PREDICATE) is not virtual:
        others.append("rig")
    return f"{run / verdicts.CERTIFICATE}: is of another {', '.join(others)}" if others else ""
