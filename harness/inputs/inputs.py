"""Everything that a run is made of, loaded and checked once: submission, rig and profile, which fit each other."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from harness.documents import meant
from harness.errors import BadInput
from harness.inputs import rig as rigs
from harness.inputs import submission as submissions
from harness.inputs import suite
from harness.inputs.rig import RigFile
from harness.inputs.submission import Submitted
from harness.inputs.suite import ProfileFile

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A submission on a rig by a profile; `load` and `together` see to it that they fit."""

    submitted: Submitted
    rig: RigFile
    profile: ProfileFile


def load(submission: Path, rig: Path, profile: Path | None = None, *, into: Path | None = None) -> Inputs:
    """Load and check all inputs; raise BadInput with every mistake of all of them at once.

    Without a profile's file it is the submission's own. `into` is a new folder for private copies of what is submitted.
    """
    mistakes: list[str] = []

    def collect(load: Callable[..., T], *arguments: Any, **options: Any) -> T | None:
        try:
            return load(*arguments, **options)
        except BadInput as error:
            mistakes.extend(error.mistakes)
            return None

    collect(suite.all_suites)
    submitted = collect(submissions.read, submission, into=into)
    rig_file = collect(rigs.read, rig)
    found = None
    if submitted is not None:
        file = profile or collect(suite.profile_file, submitted.submission.profile)
        found = collect(suite.read_profile, file) if file else None
    if submitted is None or rig_file is None or found is None or mistakes:
        raise BadInput(mistakes)
    return together(submitted, rig_file, found)


@contextmanager
def taken(submission: Path, rig: Path, profile: Path | None = None) -> Iterator[Inputs]:
    """Load all inputs, with private copies of what is submitted: what is checked is what runs, whatever becomes of the rest."""
    with tempfile.TemporaryDirectory(prefix="shipei-inputs-") as name:
        yield load(submission, rig, profile, into=Path(name))


def together(submitted: Submitted, rig: RigFile, profile: ProfileFile) -> Inputs:
    """Put inputs together; raise BadInput with every reason why they do not fit each other."""
    mistakes = [*unfit(submitted, rig), *uncalibrated(rig)]
    if mistakes:
        raise BadInput(mistakes)
    return Inputs(submitted=submitted, rig=rig, profile=profile)


def unfit(submitted: Submitted, rig: RigFile) -> list[str]:
    """The rig must be the chip that is claimed, have every bus that the submission speaks, and run what is submitted."""
    document, submission, said = submitted.document, submitted.submission, rig.rig
    found: list[str] = []

    def mistake(where: tuple[str | int, ...], what: str) -> None:
        found.append(f"{document.where(where)}: {what}")

    chip = submission.combination.chip
    if chip != said.chip:
        other = f"{said.chip.name} {said.chip.revision}"
        mistake(
            ("combination", "chip"), f"claims the chip {chip.name} {chip.revision}, but the rig {said.name} is {other}"
        )
    for name, bus in submission.interface.buses.items():
        port = said.ports.get(name)
        if port is None:
            mistake(("interface", "buses", name), f"the rig {said.name} has no port {name!r}{meant(name, said.ports)}")
        elif "bitrate" in port and port["bitrate"] != bus.bitrate:
            what = f"bitrate {bus.bitrate}, but port {name} of the rig {said.name} runs at {port['bitrate']}"
            mistake(("interface", "buses", name, "bitrate"), what)
    for n, artefact in enumerate(submission.artefacts):
        form, takes = submissions.form_of(artefact), " or ".join(sorted(rig.forms))
        if form not in rig.forms:
            what = f"the rig {said.name} runs {a_or_an(takes)}, and {artefact.path} is {a_or_an(form)}"
            mistake(("artefacts", n), what)
    return found


def a_or_an(noun: str) -> str:
    """
    >>> a_or_an("image"), a_or_an("program")
    ('an image', 'a program')
    """
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def uncalibrated(rig: RigFile) -> list[str]:
    """No result may lean on an instrument whose calibration has run out (ISO/IEC 17025:2017, 6.4.7)."""
    today = datetime.now(UTC).date().isoformat()
    found = []
    for n, one in enumerate(rig.rig.instruments):
        if one.valid_until is not None and one.valid_until < today:
            what = f"the calibration of {one.what} ({one.maker} {one.type}, {one.serial}) ran out on {one.valid_until}: have it calibrated"
            found.append(f"{rig.document.where(('instruments', n, 'valid_until'))}: {what}")
    return found
