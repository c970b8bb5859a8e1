"""Decide everything before a run: what is tested, by which limits, on which rig, from which exact inputs."""

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import rfc8785

from harness import documents
from harness.documents import meant
from harness.errors import BadInput
from harness.inputs import rig as rigs
from harness.inputs import submission as submissions
from harness.inputs import suite
from harness.model import (
    Effort,
    Item,
    LeftOut,
    Limit,
    Measure,
    Plan,
    PlannedRequirement,
    Profile,
    Requirement,
    Rig,
    Submission,
)
from harness.paths import DBC, REGISTRY, ROOT, SUITES, sha256, sha256_of_folder

T = TypeVar("T")


def make(submission_path: Path, rig_file: Path, profile_file: Path | None = None, only: str | None = None) -> Plan:
    """Load all inputs and plan the run; raise BadInput with every mistake of all of them at once.

    `only` plans the requirements whose id starts with it (or with one of several, by commas), for work by hand and for short
    checks; such a plan can never be signed.
    """
    mistakes: list[str] = []

    def collect(load: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return load(*arguments)
        except BadInput as error:
            mistakes.extend(error.mistakes)
            return None

    collect(suite.all_suites)
    submission = collect(submissions.load, submission_path)
    rig = collect(rigs.load, rig_file)
    profile = None
    if submission is not None:
        profile_file = profile_file or collect(suite.profile_file, submission.profile)
        profile = collect(suite.load_profile, profile_file) if profile_file else None
    if submission is None or rig is None or profile is None or profile_file is None or mistakes:
        raise BadInput(mistakes)
    fits(submission, submissions.locate(submission_path), rig, rig_file)
    return settle(submission, submissions.locate(submission_path), rig, rig_file, profile, profile_file, only)


def fits(submission: Submission, submission_file: Path, rig: Rig, rig_file: Path) -> None:
    """The rig must be the chip that is claimed and have every bus that the submission speaks."""
    document = documents.read(submission_file)
    chip = submission.combination.chip
    if chip != rig.chip:
        document.mistake(
            ("combination", "chip"),
            f"claims the chip {chip.name} {chip.revision}, but the rig {rig.name} is {rig.chip.name} {rig.chip.revision}",
        )
    for name, bus in submission.interface.buses.items():
        port = rig.ports.get(name)
        if port is None:
            document.mistake(
                ("interface", "buses", name), f"the rig {rig.name} has no port {name!r}{meant(name, rig.ports)}"
            )
        elif "bitrate" in port and port["bitrate"] != bus.bitrate:
            what = f"bitrate {bus.bitrate}, but port {name} of the rig {rig.name} runs at {port['bitrate']}"
            document.mistake(("interface", "buses", name, "bitrate"), what)
    for n, artefact in enumerate(submission.artefacts):
        form = submissions.form_of(artefact)
        if form not in forms(rig_file):
            takes = " or ".join(sorted(forms(rig_file)))
            document.mistake(
                ("artefacts", n), f"the rig {rig.name} runs {a_or_an(takes)}, and {artefact.path} is {a_or_an(form)}"
            )
    if document.mistakes:
        raise BadInput(document.mistakes)
    calibrated(rig, rig_file)


def forms(rig_file: Path) -> set[str]:
    """What a rig runs; a bench, whose flasher takes what it is given, everything but a complete image."""
    found = {form for one in rigs.recipes(rig_file).values() if (form := getattr(one, "form", None)) is not None}
    return found or {"program", "container"}


def abilities(rig_file: Path) -> set[str]:
    """What every bus of a rig can do beside sending and receiving; an ordinary bus can be overloaded."""
    buses = [one for one in rigs.recipes(rig_file).values() if getattr(one, "is_bus", False)]
    found = [set(getattr(one, "abilities", ("overload",))) for one in buses]
    return set.intersection(*found) if found else set()


def runs(rig_file: Path, submission: Submission) -> bool:
    """Whether a rig runs what is submitted, as far as its form goes."""
    return all(submissions.form_of(a) in forms(rig_file) for a in submission.artefacts)


def a_or_an(noun: str) -> str:
    """
    >>> a_or_an("image"), a_or_an("program")
    ('an image', 'a program')
    """
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def calibrated(rig: Rig, rig_file: Path) -> None:
    """No result may lean on an instrument whose calibration has run out (ISO/IEC 17025:2017, 6.4.7)."""
    document, today = documents.read(rig_file), datetime.now(UTC).date().isoformat()
    for n, instrument in enumerate(rig.instruments):
        if instrument.valid_until is not None and instrument.valid_until < today:
            text = f"the calibration of {instrument.what} ({instrument.maker} {instrument.type}, {instrument.serial}) ran out on"
            document.mistake(("instruments", n, "valid_until"), f"{text} {instrument.valid_until}: have it calibrated")
    if document.mistakes:
        raise BadInput(document.mistakes)


def settle(
    submission: Submission,
    submission_file: Path,
    rig: Rig,
    rig_file: Path,
    profile: Profile,
    profile_file: Path,
    only: str | None,
) -> Plan:
    """Put together the plan of a submission, a rig and a profile that fit each other."""
    planned, not_applicable, not_decidable = choose(submission, rig, profile, only, abilities(rig_file))
    if not planned:
        raise BadInput(
            f"no requirement of {profile.name} {profile.version} starts with {only!r}{meant(only or '', (*profile.mandatory, *profile.conditional, *profile.recommended))}"
        )
    digests = digests_of(submission, submission_file, rig_file, profile, profile_file)
    name = hashlib.sha256(rfc8785.dumps({"digests": digests, "only": only})).hexdigest()[:16]
    return Plan(
        id=name,
        combination=submission.combination,
        vendor=submission.vendor,
        manifest_sha256=manifest_sha256(submission),
        profile=f"{profile.name}-{profile.version}",
        rig=rig.name,
        rig_kind=rig.kind,
        clock_ms=rig.clock_ms,
        requirements=tuple(planned),
        not_applicable=tuple(not_applicable),
        not_decidable=tuple(not_decidable),
        digests=digests,
        suites=profile.suites,
        effort=profile.effort,
        limit_s=profile.limit_s,
        ready_s=profile.ready_s,
        signable=only is None,
        instruments=rig.instruments,
        bracketed=rig.golden is not None and rig.golden.bracket,
    )


Level = Literal["mandatory", "recommended"]
Chosen = tuple[list[PlannedRequirement], list[LeftOut], list[LeftOut]]


def choose(submission: Submission, rig: Rig, profile: Profile, only: str | None, abilities: Collection[str]) -> Chosen:
    """The profile's requirements: planned with their parameters, not applicable, not decidable on this rig.

    `abilities`: what every bus of the rig can do beside sending and receiving.
    """
    known = {i: (s, r) for s in suite.all_suites().values() for i, r in s.requirements.items()}
    chosen: Chosen = ([], [], [])
    mistakes = []
    for level in ("mandatory", "conditional", "recommended"):
        for one in getattr(profile, level):
            owner, requirement = known[one]
            if only and not one.startswith(tuple(only.split(","))):
                continue
            feature = requirement.applies.feature if requirement.applies else ""
            lacking = cannot_decide(requirement, rig, abilities)
            if feature and feature not in submission.features:
                chosen[1].append(LeftOut(id=one, reason=f"feature {feature} is not declared"))
                if level == "mandatory":
                    mistakes.append(f"{one} is mandatory in {profile.name}, but feature {feature!r} is not declared")
            elif lacking:
                chosen[2].append(LeftOut(id=one, reason=lacking))
                if level != "recommended":
                    mistakes.append(f"{one} is {level} in {profile.name}, but {lacking}")
            else:
                tests = tuple(f"{owner.name}/{t}" for t in owner.tests[one])
                settled = resolved(requirement, submission.features.get(feature, {}), profile.effort)
                kept: Level = "recommended" if level == "recommended" else "mandatory"
                chosen[0].append(PlannedRequirement(requirement=settled, level=kept, tests=tests))
    if mistakes:
        raise BadInput(mistakes)
    return chosen


def cannot_decide(requirement: Requirement, rig: Rig, abilities: Collection[str]) -> str:
    """Why this rig cannot decide a requirement; empty if it can."""
    for ability in requirement.needs.buses:
        if ability not in abilities:
            return f"it needs buses that can do {ability}, and those of the rig {rig.name} cannot"
    needed = requirement.needs.clock_ms
    if needed is not None and rig.clock_ms > needed:
        return f"it needs a clock exact to {needed} ms, and the rig {rig.name} promises {rig.clock_ms} ms"
    missing = [p for p in requirement.needs.ports if p not in rig.ports]
    return f"the rig {rig.name} has no port {', '.join(missing)}" if missing else ""


def resolved(requirement: Requirement, declared: Mapping[str, Any], effort: Effort = "ci") -> Requirement:
    """The requirement with the submission's declared figures in place of defaults, and numbers for parameter limits.

    What full effort changes comes before what is declared.

    >>> from harness.model import Source
    >>> r = Requirement(id="R-1", en="", zh="", source=Source(document="d", clause="1"), trust="P",
    ...                 parameters={"ready_s": 10.0},
    ...                 measures=(Measure(name="ready_s", unit="s", high=Limit(parameter="ready_s", times=2)),))
    >>> resolved(r, {"ready_s": 3.0}).measures[0].high
    6.0
    """
    wanted = {**requirement.parameters, **(requirement.full if effort == "full" else {})}
    parameters = {k: declared.get(k, v) for k, v in wanted.items()}

    def number(limit: float | Limit | None) -> float | Limit | None:
        if isinstance(limit, Limit) and limit.parameter is not None:
            return float(parameters[limit.parameter]) * limit.times + limit.plus
        return limit

    def settled(measure: Measure) -> Measure:
        return dataclasses.replace(measure, low=number(measure.low), high=number(measure.high))

    return dataclasses.replace(requirement, parameters=parameters, measures=tuple(map(settled, requirement.measures)))


def manifest(submission: Submission) -> bytes:
    """The combination's manifest (RFC 8785): what it is, and the digest of every artefact that claims it."""
    return rfc8785.dumps(
        {
            "vendor": submission.vendor,
            "combination": documents.dump(submission.combination),
            "artefacts": [{"role": a.role, "sha256": a.sha256.lower()} for a in submission.artefacts],
        }
    )


def manifest_sha256(submission: Submission) -> str:
    """The key of everything published about a combination."""
    return hashlib.sha256(manifest(submission)).hexdigest()


def digests_of(
    submission: Submission, submission_file: Path, rig_file: Path, profile: Profile, profile_file: Path
) -> dict[str, str]:
    """The digest of every input, the harness itself and its adapters among them."""
    folder = submission_file.parent
    found = {"submission": sha256(submission_file), "rig": sha256(rig_file), "profile": sha256(profile_file)}
    found |= {f"artefact:{a.role}": a.sha256.lower() for a in submission.artefacts}
    for name, bus in submission.interface.buses.items():
        found[f"dbc:{name}"] = sha256(folder / bus.dbc)
        if bus.vss:
            found[f"vss:{name}"] = sha256(folder / bus.vss)
    flashing = submission.interface.flashing
    for package in flashing.packages if flashing else ():
        found[f"package:{package.kind}"] = sha256(folder / package.path)
    return found | product_digests(profile.suites)


def product_digests(suites: tuple[str, ...]) -> dict[str, str]:
    """What of our own takes part in a verdict: suites, catalogue, registry, harness, adapters."""
    found = {f"suite:{name}": sha256_of_folder(SUITES / name, "*.py", "*.yaml") for name in suites}
    found["vss"] = sha256(DBC / "vss.yaml")
    found["registry"] = sha256_of_folder(REGISTRY, "*.yaml")
    found["harness"] = sha256_of_folder(ROOT / "harness", "*.py")
    found["adapters"] = sha256_of_folder(ROOT / "adapters", "*.py")
    return found


def item_of(submission: Submission, folder: Path) -> Item:
    """The item under test, its files by role."""
    return Item(files={a.role: str(folder / a.path) for a in submission.artefacts}, interface=submission.interface)
