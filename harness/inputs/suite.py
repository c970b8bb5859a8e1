"""Load suites and profiles: what is demanded, and which tests decide it."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import documents
from harness.documents import meant
from harness.driving.scenario import catalogue
from harness.errors import BadInput
from harness.model import Limit, Profile, Requirement
from harness.paths import PROFILES, SUITES

LAW = ("V", "V-sum", "S", "M")  # tags of figures that a law or a standard has


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A folder: requirements by id, and for each the tests that decide it, as file::function."""

    name: str
    folder: Path
    requirements: Mapping[str, Requirement]
    tests: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class ProfileFile:
    """A profile that has been checked, and the digest of its file."""

    profile: Profile
    sha256: str


def load(folder: Path) -> Suite:
    """Read one suite; raise BadInput with every mistake, among them tests and requirements that lack each other."""
    file = folder / "requirements.yaml"
    document = documents.read(file)
    requirements: dict[str, Requirement] = {}
    if not isinstance(document.data, list):
        raise BadInput(f"{file}:1: should be a list of requirements")
    lines: dict[str, str] = {}
    for n in range(len(document.data)):
        found = documents.load(Requirement, document, (n,))
        if found is None:
            continue
        if found.id in requirements:
            document.mistake((n, "id"), f"requirement {found.id} is already on {lines[found.id]}")
        requirements[found.id], lines[found.id] = found, document.where((n,))
        check(document, n, found)
    decided, mistakes = tests_in(folder, requirements)
    try:
        catalogue(folder / "scenarios.yaml")
    except BadInput as error:
        mistakes += error.mistakes
    mistakes += [f"{lines[i]}: requirement {i} has no test" for i in requirements if i not in decided]
    if document.mistakes or mistakes:
        raise BadInput(document.mistakes + mistakes)
    return Suite(name=folder.name, folder=folder, requirements=requirements, tests=decided)


def check(document: documents.Document, n: int, requirement: Requirement) -> None:
    """Limits must be usable: at least one per measure, and parameters that exist."""
    if not requirement.measures:
        document.mistake((n, "measures"), f"{requirement.id} measures nothing, so no test could fail it")
    for m, measure in enumerate(requirement.measures):
        where: documents.Path_ = (n, "measures", m)
        if measure.low is None and measure.high is None:
            document.mistake(where, f"measure {measure.name} has neither low nor high")
        if measure.at_least < 1:
            document.mistake(where, f"measure {measure.name}: at_least should be 1 or more")
        for limit in (measure.low, measure.high):
            if not isinstance(limit, Limit):
                continue
            if (limit.of is None) == (limit.parameter is None):
                document.mistake(where, f"measure {measure.name}: a limit needs either `of` or `parameter`")
            if limit.parameter is not None and limit.parameter not in requirement.parameters:
                hint = meant(limit.parameter, requirement.parameters)
                document.mistake(where, f"measure {measure.name}: no parameter {limit.parameter!r}{hint}")
    check_settable(document, n, requirement)


def check_settable(document: documents.Document, n: int, requirement: Requirement) -> None:
    """What a submission may set has a range with the default in it; a figure of a law or a standard is only made tighter."""
    for name, (low, high) in requirement.settable.items():
        where: documents.Path_ = (n, "settable", name)
        default = requirement.parameters.get(name)
        if not isinstance(default, int | float):
            document.mistake(
                where, f"no single number {name!r} among the parameters{meant(name, requirement.parameters)}"
            )
        elif not 0 < low <= default <= high:
            document.mistake(where, f"{name} is {default:g}: not within {low:g} to {high:g}, or these are not above 0")
        elif requirement.trust in LAW:
            most = any(isinstance(m.high, Limit) and m.high.parameter == name for m in requirement.measures)
            least = any(isinstance(m.low, Limit) and m.low.parameter == name for m in requirement.measures)
            if (most and high > default) or (least and low < default):
                text = f"{name} is a figure of {requirement.source.document} ({requirement.trust}): a submission may only make it tighter"
                document.mistake(where, text)


def tests_in(folder: Path, known: Iterable[str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Find tests and their requirement marks without importing anything."""
    decided: dict[str, tuple[str, ...]] = {}
    mistakes: list[str] = []
    known = set(known)
    for file in sorted(folder.glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            ids = [i for d in node.decorator_list if (i := mark(d)) is not None]
            if len(ids) != 1:
                mistakes.append(f"{file}:{node.lineno}: {node.name} needs exactly one @requirement(...)")
            elif ids[0] not in known:
                mistakes.append(f"{file}:{node.lineno}: unknown requirement {ids[0]!r}{meant(ids[0], known)}")
            else:
                decided[ids[0]] = (*decided.get(ids[0], ()), f"{file.name}::{node.name}")
    return decided, mistakes


def mark(decorator: ast.expr) -> str | None:
    """The id in @requirement("ID")."""
    if (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.func.id == "requirement"
        and decorator.args
        and isinstance(decorator.args[0], ast.Constant)
    ):
        return str(decorator.args[0].value)
    return None


@cache
def all_suites(root: Path = SUITES) -> Mapping[str, Suite]:
    """Every suite that lies in a folder."""
    return {f.parent.name: load(f.parent) for f in sorted(root.glob("*/requirements.yaml"))}


def features() -> dict[str, list[Requirement]]:
    """Every feature that a submission can declare, with the requirements that apply to it."""
    found: dict[str, list[Requirement]] = {}
    for suite in all_suites().values():
        for requirement in suite.requirements.values():
            if requirement.applies is not None:
                found.setdefault(requirement.applies.feature, []).append(requirement)
    return found


def profile_file(name: str, folder: Path = PROFILES) -> Path:
    """The file of a profile such as cockpit-1.0, or a path to one."""
    if name.endswith(".yaml"):
        return Path(name)
    file = folder / f"{name}.yaml"
    if not file.is_file():
        raise BadInput(f"unknown profile {name!r}{meant(name, [f.stem for f in folder.glob('*.yaml')])}")
    return file


def load_profile(file: Path) -> Profile:
    """Read and check a profile."""
    return read_profile(file).profile


def read_profile(file: Path) -> ProfileFile:
    """Read a profile; every id must be a requirement of its suites, and stand in one list only."""
    document = documents.read(file)
    profile = documents.load(Profile, document)
    if profile is None:
        raise BadInput(document.mistakes)
    suites = all_suites()
    for n, name in enumerate(profile.suites):
        if name not in suites:
            document.mistake(("suites", n), f"unknown suite {name!r}{meant(name, suites)}")
    known = {i for name in profile.suites if name in suites for i in suites[name].requirements}
    for n, feature in enumerate(profile.core):
        if feature not in features():
            document.mistake(("core", n), f"unknown feature {feature!r}{meant(feature, features())}")
    listed: set[str] = set()
    for level in ("mandatory", "conditional", "recommended"):
        for n, one in enumerate(getattr(profile, level)):
            if one not in known:
                document.mistake((level, n), f"unknown requirement {one!r}{meant(one, known)}")
            if one in listed:
                document.mistake((level, n), f"{one} is listed twice")
            listed.add(one)
    if document.mistakes:
        raise BadInput(document.mistakes)
    return ProfileFile(profile=profile, sha256=document.sha256)
