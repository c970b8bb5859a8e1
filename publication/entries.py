"""What a site shows: for each combination, profile and rig one state, from the programme's lists where they know it, else from its newest run."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import certificate, compare, record, verdicts
from harness.model import Decision
from programme import life
from programme.folder import Folder
from programme.verifier import VALID
from publication.job import Edition

OF_LIST = {  # what the programme says of a certificate, in the words of the matrix
    "provisional": "running",
    "challenged": "revoked",
    "suspended": "revoked",
    "revoked": "revoked",
    "renewed": "expired",
    "expired": "expired",
}
HOLDS = ("certified", "waived")
ID_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A combination beside the last certified one of its kin; `against` is that certificate's digest.

    `drifts`: quantities that moved by more than both runs are unsure of, in words; None where one of the records is not at hand.
    """

    against: str
    subject: str
    failing: tuple[str, ...]
    passing: tuple[str, ...]
    inputs: tuple[str, ...]
    drifts: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One combination by one profile on one rig; `certificate` and `record` are digests, `life` what became of the certificate, `inputs` the
    digests of all that went into it, `kin` what another version of it shares (see `compare.kin`), `earlier` what was said of it before, oldest first."""

    id: str
    subject: str
    vendor: str
    chip: str
    os: str
    application: str
    profile: str
    rig: str
    virtual: bool
    state: str
    detail: str
    since: str
    valid_until: str
    passed: int
    requirements: tuple[Mapping[str, Any], ...]
    manifest: str
    certificate: str
    record: str
    life: tuple[Mapping[str, Any], ...]
    inputs: Mapping[str, str]
    kin: tuple[str, ...]
    earlier: tuple[Mapping[str, str], ...] = ()
    regression: Regression | None = None

    @property
    def holds(self) -> bool:
        """Whether somebody may rely on it."""
        return self.state in HOLDS


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a combination stands: its state, in words why, and of a certificate its dates, digest and life, as in Entry; empty where there is none."""

    state: str
    detail: str
    since: str = ""
    valid_until: str = ""
    certificate: str = ""
    life: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Public:
    """What may be shown today: each combination once, by subject; every certificate, oldest first; where the run of a record is."""

    entries: tuple[Entry, ...]
    certificates: tuple[Entry, ...]
    runs: Mapping[str, Path]


Step = Callable[[int, int], None]  # so many of so many runs were looked at


def collect(edition: Edition, step: Step = lambda done, of: None) -> Public:
    """Return everything that is public in an edition. Raises BadInput where the programme's files do not hold."""
    places: dict[str, Path] = {}
    issued = [e for e in of_programme(edition.folder, edition.now) if edition.public(e.subject)]
    spoken_of = {e.record for e in issued}
    told = of_runs(edition.runs, edition.folder.programme.kind, places, step) if edition.runs else ()
    told = [e for e in told if edition.public(e.subject) and e.record not in spoken_of]
    same: dict[str, list[Entry]] = {}
    for one in (*told, *issued):  # the newest state of the newest certificate decides
        same.setdefault(one.id, []).append(one)
    found = [replace(all_[-1], earlier=tuple(map(brief, all_[:-1]))) for all_ in same.values()]
    read = lru_cache(maxsize=8)(compare.read)  # many are held against the same certified run
    were_valid: dict[tuple[str, ...], list[Entry]] = {}
    for one in issued:
        if any(step["state"] == VALID for step in one.life):
            were_valid.setdefault(one.kin, []).append(one)
    found = [replace(one, regression=regression(one, were_valid.get(one.kin, ()), places, read)) for one in found]
    return Public(
        entries=tuple(sorted(found, key=lambda e: (e.subject, e.profile, e.rig))),
        certificates=tuple(issued),
        runs=places,
    )


def brief(one: Entry) -> dict[str, str]:
    """What a combination's page says of what came before."""
    return {key: getattr(one, key) for key in ("state", "detail", "since", "certificate", "record")}


def regression(
    one: Entry, kin: Iterable[Entry], places: Mapping[str, Path], read: Callable[[Path], compare.Run]
) -> Regression | None:
    """Beside the last certificate of its kin that was valid before it; drifted values where both records are at hand."""
    before = [e for e in kin if e.certificate != one.certificate]
    if one.certificate:
        before = [e for e in before if e.life[0]["since"] <= one.life[0]["since"] and e.record != one.record]
    if not before:
        return None
    last = before[-1]
    was, now = ({r["id"]: r["outcome"] for r in e.requirements} for e in (last, one))
    both = [places.get(e.record) for e in (last, one)]
    drifts = None
    if both[0] and both[1]:
        drifts = tuple(
            f"{d.requirement} {d.name}: {d.before:g} → {d.after:g} {d.unit} (± {d.uncertainty:g})"
            for d in compare.compare(*(read(folder) for folder in both if folder)).drifts
        )
    return Regression(
        against=last.certificate,
        subject=last.subject,
        failing=tuple(sorted(k for k, o in now.items() if o not in ("pass", "inherited") and was.get(k) == "pass")),
        passing=tuple(sorted(k for k, o in now.items() if o == "pass" and was.get(k, "pass") != "pass")),
        inputs=tuple(sorted(k for k in {*one.inputs, *last.inputs} if one.inputs.get(k) != last.inputs.get(k))),
        drifts=drifts,
    )


def of_programme(folder: Folder, now: datetime) -> Iterable[Entry]:
    """Every certificate, in the order in which they came."""
    for listed in life.overview(folder, now):
        stated = json.loads(base64.b64decode(folder.envelope(listed["certificate"])["payload"]))
        predicate = stated["predicate"]
        state = OF_LIST.get(listed["state"]) or ("waived" if predicate.get("waivers") else "certified")
        detail = listed["state"] if listed["state"] not in (state, VALID) else ""
        heir = "; ".join(f"{one['id']} inherited from {one['subject']}" for one in predicate.get("inherited", ()))
        standing = Standing(
            state=state,
            detail=": ".join(filter(None, (detail, listed["reason"]))) or heir,
            since=listed["since"],
            valid_until=listed["valid_until"],
            certificate=listed["certificate"],
            life=tuple(listed["history"]),
        )
        yield entry(stated, standing)


def of_runs(runs: Path, kind: str, places: dict[str, Path], step: Step) -> Iterable[Entry]:
    """Every run, oldest first: refused, void, or certified and waiting for a certificate. Where each record is goes into `places`."""
    files = sorted(runs.glob("*/*/verdict.json"), key=lambda f: (f.parent.parent.name, int(f.parent.name)))
    for n, file in enumerate(files, 1):
        step(n, len(files))
        folder = file.parent / verdicts.RECORD
        plan, verdict = record.load_plan(folder), verdicts.of_record(folder)
        if plan.rig_kind == "replay" or ("virtual" if plan.rig_kind in certificate.VIRTUAL else "hardware") != kind:
            continue
        places[verdict.record_sha256] = file.parent
        waits = verdict.decision is Decision.CERTIFIED
        stated = certificate.statement(plan, verdict, ())
        reasons = {j.requirement: j.reason for j in verdict.requirements}
        for one in stated["predicate"]["requirements"]:
            one["reason"] = reasons[one["id"]]
        standing = Standing(
            state="running" if waits else verdict.decision.value,
            detail="passed; no certificate was issued yet" if waits else "; ".join(verdict.faults),
        )
        yield entry(stated, standing)


def entry(stated: Mapping[str, Any], standing: Standing) -> Entry:
    """Return the entry of a certificate's statement (in-toto), or of what would be one, with how it stands."""
    subject, told = stated["subject"][0], stated["predicate"]
    key = "\n".join((subject["digest"]["sha256"], told["profile"], told["rig"]["name"]))
    chip, system, application = (told["combination"][k] for k in ("chip", "os", "application"))
    return Entry(
        id=hashlib.sha256(key.encode()).hexdigest()[:ID_DIGITS],
        subject=subject["name"],
        vendor=told["vendor"],
        chip=f"{chip['name']} {chip['revision']}",
        os=f"{system['name']} {system['version']}",
        application=f"{application['name']} {application['version']}",
        profile=told["profile"],
        rig=told["rig"]["name"],
        virtual=subject["name"].startswith("virtual:"),
        state=standing.state,
        detail=standing.detail,
        since=standing.since,
        valid_until=standing.valid_until,
        passed=sum(r["outcome"] == "pass" for r in told["requirements"]),
        requirements=(*told["requirements"], *map(inherited, told.get("inherited", ()))),
        manifest=subject["digest"]["sha256"],
        certificate=standing.certificate,
        record=told["record"]["sha256"],
        life=standing.life,
        inputs=told["inputs"],
        kin=(told["vendor"], chip["name"], system["name"], application["name"], told["profile"].rpartition("-")[0]),
    )


def inherited(one: Mapping[str, str]) -> dict[str, str]:
    """A result of another certificate, as a requirement's row: from where, and until when."""
    said = f"{one['layer']}: {one['subject']}, {one['from'][:16]}, until {one['until'][:10]}"
    return {"id": one["id"], "level": one["layer"], "outcome": "inherited", "reason": said}


def nearest(one: Entry, held: Iterable[Entry]) -> Entry | None:
    """Of the vendor's entries that hold, the one that shares most with this one: where to look for why not."""

    def shared(other: Entry) -> int:
        return sum(getattr(other, k) == getattr(one, k) for k in ("chip", "os", "application", "profile"))

    return max((e for e in held if e.id != one.id), key=shared, default=None)
