"""A campaign: submissions x rigs x profiles in one file; which of those are cells, and what is known of each already.

Nothing is kept beside the runs: a cell is done when a sealed run of exactly its plan lies in the campaign's folder, and what changes a
plan (a submission, a rig, a suite) makes it open again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness import certificate, certify, documents, record, verdicts
from harness import plan as planning
from harness.documents import Document
from harness.errors import BadInput
from harness.inputs import inputs, suite
from harness.inputs import submission as submissions
from harness.inputs.rig import RigFile, locate
from harness.inputs.rig import read as read_rig
from harness.inputs.submission import Submitted
from harness.model import Decision, Plan, Rig, Verdict, noun

T = TypeVar("T")
WAYS = ("host", "uml", "qemu")


@noun
class CampaignRig:
    """A rig of a campaign; with `vcan`, it runs inside `shipei vcan`, by the way that is named or the first that works.

    It takes every submission that is its chip and a form that it runs, or of those only the ones that a pattern of `submissions` means.
    `memory` is that of the guest kernel, such as 2G.
    """

    rig: str
    vcan: bool = False
    way: str | None = None
    memory: str | None = None
    submissions: tuple[str, ...] = ()


@noun
class Campaign:
    """What is certified: every submission on every rig that is its chip, for each profile; its own where none is named.

    Paths are relative to the file; `submissions` may hold patterns (*). `at_once`: cells at a time; a cell for each CPU by default. Beside
    several whose time is real goes one in simulated time, behind them.
    """

    name: str
    submissions: tuple[str, ...]
    rigs: tuple[CampaignRig, ...]
    profiles: tuple[str, ...] = ()
    at_once: int | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One certification of a campaign: its inputs, its plan, and the rig it needs."""

    submission: Path
    rig_file: Path
    rig: Rig
    profile: str | None
    where: CampaignRig
    plan: Plan

    @property
    def title(self) -> str:
        return f"{self.plan.vendor} {self.plan.combination} on {self.plan.rig}, {self.plan.profile}"

    @property
    def short(self) -> str:
        return f"{self.plan.vendor} {self.plan.combination.application.name} on {self.plan.rig}"

    @property
    def simulated(self) -> bool:
        """Whether its time is simulated: it computes, waits for nothing, and nothing is lost if it waits."""
        return self.rig.kind == "simulated"

    @property
    def computes(self) -> bool:
        """Whether it keeps a CPU busy: simulated time does, and a guest kernel needs one for itself."""
        return self.simulated or self.where.vcan

    @property
    def tests(self) -> int:
        return len({t for p in self.plan.requirements for t in p.tests})

    @property
    def buses(self) -> tuple[str, ...]:
        """The kernel's channels that its rig uses."""
        ports = self.rig.ports.values()
        found = [p["channel"] for p in ports if p.get("interface") == "socketcan"]
        return tuple(dict.fromkeys(str(c) for c in found))


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a cell ended: its run and verdict; without them, what was said instead. `earlier`: an earlier call ran it."""

    cell: Cell
    code: int
    run: Path | None = None
    verdict: Verdict | None = None
    seconds: float = 0.0
    earlier: bool = False
    says: str = ""

    @property
    def decision(self) -> str:
        return self.verdict.decision.value if self.verdict else "void"


# ---------------------------------------------------------------- the file


def load(file: Path, key: Path | None = None) -> tuple[Campaign, list[Cell]]:
    """Read a campaign and plan all of its cells; raise BadInput with every mistake of every input."""
    document = documents.read(file)
    loaded = documents.load(Campaign, document)
    if loaded is None:
        raise BadInput(document.mistakes)
    given = list(submissions_of(document, loaded, file.parent))
    rig_files = check(document, loaded, file.parent)
    if document.mistakes:
        raise BadInput(document.mistakes)
    profiles: list[str | None] = [beside(file.parent, p) for p in loaded.profiles]
    mistakes: list[str] = []
    read = {one: found for one in given if (found := collected(mistakes, submissions.read, one)) is not None}
    rigs = [(where, collected(mistakes, read_rig, f)) for where, f in zip(loaded.rigs, rig_files, strict=True)]
    if mistakes:
        raise BadInput(mistakes)
    cells: list[Cell] = []
    for submission, submitted in read.items():
        for where, rig in rigs:
            if where.submissions and not any(submission in file.parent.glob(p) for p in where.submissions):
                continue
            for profile in profiles or [None]:
                cells += collected(mistakes, cells_of, submission, submitted, where, rig, profile) or []
    for cell in cells:
        collected(mistakes, certificate.check_key, cell.plan, key)
    mistakes += alone(document, read, rig_files, cells) if not mistakes else []
    if mistakes:
        raise BadInput(mistakes)
    return loaded, cells


def collected(mistakes: list[str], call: Callable[..., T], *arguments: Any) -> T | None:
    """What a call returns; None where it raises BadInput, whose mistakes are kept, each once."""
    try:
        return call(*arguments)
    except BadInput as error:
        mistakes += [m for m in error.mistakes if m not in mistakes]
        return None


def submissions_of(document: Document, campaign: Campaign, folder: Path) -> Iterator[Path]:
    """The folders that the patterns mean, each once."""
    seen: set[Path] = set()
    for n, pattern in enumerate(campaign.submissions):
        found = sorted(folder.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        found = [f for f in found if submissions.locate(f).is_file()]
        if not found:
            document.mistake(("submissions", n), f"no submission: {pattern}")
        for one in found:
            if one.resolve() not in seen:
                seen.add(one.resolve())
                yield one


def check(document: Document, campaign: Campaign, folder: Path) -> list[Path]:
    """The rigs' files; and what is wrong with the rest."""
    found = []
    if not submissions.PLAIN.fullmatch(campaign.name):
        document.mistake(("name",), f"{campaign.name!r} should be 1 to 64 letters, digits or . _ + -: a folder's name")
    if campaign.at_once is not None and campaign.at_once < 1:
        document.mistake(("at_once",), f"at_once should be 1 or more, not {campaign.at_once}")
    for key in ("submissions", "rigs"):
        if not getattr(campaign, key):
            document.mistake((key,), f"{key} should name at least one")
    for n, one in enumerate(campaign.rigs):
        if one.way is not None and one.way not in WAYS:
            document.mistake(("rigs", n, "way"), f"unknown way {one.way!r}{documents.meant(one.way, WAYS)}")
        try:
            found.append(locate(beside(folder, one.rig)))
        except BadInput as error:
            document.mistake(("rigs", n, "rig"), str(error))
    return found


def beside(folder: Path, named: str) -> str:
    """A name of what comes with the product as it is; a file from the campaign's folder.

    >>> beside(Path("/c"), "hub"), beside(Path("/c"), "bench.yaml")
    ('hub', '/c/bench.yaml')
    """
    return str(folder / named) if "/" in named or named.endswith((".yaml", ".yml")) else named


def cells_of(
    submission: Path, submitted: Submitted, where: CampaignRig, rig: RigFile, profile: str | None
) -> list[Cell]:
    """The cell of a submission on a rig, or none if the rig is another chip or runs another form."""
    said = submitted.submission
    if said.combination.chip != rig.rig.chip or not submitted.forms <= rig.forms:
        return []
    wanted = suite.read_profile(suite.profile_file(profile or said.profile))
    plan = planning.make(inputs.together(submitted, rig, wanted))
    return [Cell(submission=submission, rig_file=rig.file, rig=rig.rig, profile=profile, where=where, plan=plan)]


def alone(
    document: Document, given: Mapping[Path, Submitted], rig_files: Sequence[Path], cells: list[Cell]
) -> list[str]:
    """What would never be certified, and rigs that would never be used."""
    found = []
    for submission, submitted in given.items():
        if not any(c.submission == submission for c in cells):
            chip = submitted.submission.combination.chip
            found.append(
                f"{document.where(('rigs',))}: no rig is {chip.name} {chip.revision}, the chip of {submission}"
            )
    for n, file in enumerate(rig_files):
        if not any(c.rig_file == file for c in cells):
            found.append(f"{document.where(('rigs', n))}: no submission is for the chip of {file.name}")
    return found


# ---------------------------------------------------------------- what is known already


def known(cell: Cell, runs: Path, key: Path | None) -> Done | None:
    """The newest run of exactly this plan that was sealed here, judged anew; a run that nobody had judged yet is, now. None where it is to be run:
    there is none, or it is void, which says nothing."""
    folders = [f for f in (runs / certify.folder_name(cell.plan)).glob("*") if f.name.isdigit()]
    for folder in sorted(folders, key=lambda f: int(f.name), reverse=True):
        place = folder / verdicts.RECORD
        if not (place / record.DIGESTS).is_file() or record.load_plan(place).id != cell.plan.id:
            continue
        if certify.unsealed(place):
            continue
        verdict = certify.decide(folder, key).verdict
        if verdict.decision is Decision.VOID:
            return None
        return Done(
            cell=cell, code=int(verdict.decision is Decision.REFUSED), run=folder, verdict=verdict, earlier=True
        )
    return None
