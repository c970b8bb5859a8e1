"""Decide everything before a run: what is tested, by which limits, on which rig, from which exact inputs."""

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from typing import Any, Literal

import rfc8785

from harness import documents
from harness.documents import meant
from harness.errors import BadInput
from harness.inputs import suite, unchecked
from harness.inputs.inputs import Inputs
from harness.model import (
    Effort,
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


def make(given: Inputs, only: str | None = None) -> Plan:
    """Plan a run of these inputs; raise BadInput with every requirement that cannot be.

    `only` plans the requirements whose id starts with it (or with one of several, by commas), for work by hand and for short
    checks; such a plan can never be signed.
    """
    submission, rig, profile = given.submitted.submission, given.rig.rig, given.profile.profile
    planned, not_applicable, not_decidable = choose(submission, rig, profile, only, given.rig.abilities)
    if not planned:
        known = (*profile.mandatory, *profile.conditional, *profile.recommended)
        raise BadInput(
            f"no requirement of {profile.name} {profile.version} starts with {only!r}{meant(only or '', known)}"
        )
    left_out = without(given)
    digests = digests_of(given)
    name = hashlib.sha256(rfc8785.dumps({"digests": digests, "only": only})).hexdigest()[:16]
    return Plan(
        id=name,
        combination=submission.combination,
        vendor=submission.vendor,
        manifest_sha256=manifest_sha256(submission),
        profile=f"{profile.name}-{profile.version}" + (f" without {', '.join(left_out)}" if left_out else ""),
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
        fenced=profile.fenced,
        valid_days=profile.valid_days,
        unchecked=unchecked.of(given.submitted),
        signable=only is None,
        instruments=rig.instruments,
        bracketed=rig.golden is not None and rig.golden.bracket,
    )


def without(given: Inputs) -> list[str]:
    """The core features of the profile that are not declared. Raises BadInput where none is, or none of the profile's own domain."""
    profile, declared = given.profile.profile, given.submitted.submission.features
    where = given.submitted.document.where(("features",) if declared else ())
    missing = [feature for feature in profile.core if feature not in declared]
    if profile.core and len(missing) == len(profile.core):
        raise BadInput(f"{where}: {profile.name} stands for {', '.join(profile.core)}: none of them is declared")
    listed = {*profile.mandatory, *profile.conditional, *profile.recommended}
    own = {
        requirement.applies.feature
        for name, one in suite.all_suites().items()
        for requirement in one.requirements.values()
        if name in profile.suites and name != "common" and requirement.id in listed and requirement.applies
    }
    if own and not own & set(declared):
        raise BadInput(f"{where}: {profile.name} is about {', '.join(sorted(own))}: none of them is declared")
    return missing


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
                declared = submission.features.get(feature, {})
                taken = {name: float(value) for name, value in declared.items() if name in requirement.settable}
                settled = resolved(requirement, taken, profile.effort)
                kept: Level = "recommended" if level == "recommended" else "mandatory"
                chosen[0].append(PlannedRequirement(requirement=settled, level=kept, tests=tests, settings=taken))
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


def digests_of(given: Inputs) -> dict[str, str]:
    """The digest of every input, the harness itself and its adapters among them."""
    found = {"rig": given.rig.document.sha256, "profile": given.profile.sha256, **given.submitted.digests}
    return found | product_digests(given.profile.profile.suites)


def product_digests(suites: tuple[str, ...]) -> dict[str, str]:
    """What of our own takes part in a verdict: suites, catalogue, registry, harness, adapters."""
    found = {f"suite:{name}": sha256_of_folder(SUITES / name, "*.py", "*.yaml") for name in suites}
    found["vss"] = sha256(DBC / "vss.yaml")
    found["registry"] = sha256_of_folder(REGISTRY, "*.yaml")
    found["harness"] = sha256_of_folder(ROOT / "harness", "*.py")
    found["adapters"] = sha256_of_folder(ROOT / "adapters", "*.py")
    return found
