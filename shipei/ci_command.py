"""`shipei ci`: certify in a vendor's pipeline, hold it against the last certified run, and leave what pipelines show."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import certify, documents
from harness.certify import Terms
from harness.errors import BadInput
from harness.inputs import submission as submissions
from harness.model import Outcome
from harness.verdicts import EXIT
from reports import badge, ctrf, summary
from reports.evidence import Evidence
from shipei import show
from shipei.command import Json, KeyFile, ProfileName, Report, RigName, Runs, SubmissionPath, Wait

PLACE = {Outcome.FAIL: "error", Outcome.ERROR: "error", Outcome.MISS: "warning"}


def ci_command(
    submission: SubmissionPath,
    rig_name: RigName = "sim",
    folder: Runs = Path("runs"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Where summary, JUnit, CTRF and badge go.")] = Path(
        "ci"
    ),
    profile: ProfileName = None,
    key: KeyFile = None,
    wait_s: Wait = 0.0,
    report: Report = False,
    as_json: Json = False,
) -> int:
    """Certify, for a pipeline: summary.md, junit.xml, ctrf.json, badge.svg; on GitHub the job's summary, annotations and outputs too.

    Keep --runs in the pipeline's cache: the run is held against the last certified one that lies there.
    """
    try:
        with show.progress(as_json) as watch:
            done = certify.certify(submission, rig_name, folder, Terms(profile=profile, key=key, wait_s=wait_s), watch)
    except BadInput as error:
        if on_github():
            for mistake in error.mistakes:
                say("error", "mistake in the input", mistake, *place(mistake))
        raise
    links = show.views(done.folder, report, as_json, key)
    files = written(done, output, Path(links["junit"]), key)
    if on_github():
        tell_github(done.folder, submission, output)
    links = {"run": str(done.folder), "certificate": done.certificate, **links, **files}
    show.verdict(done.verdict, done.plan, links, as_json)
    return EXIT[done.verdict.decision]


def written(done: certify.Certified, output: Path, junit: Path, key: Path | None) -> dict[str, Any]:
    run = done.folder
    output.mkdir(parents=True, exist_ok=True)
    page = output / "summary.md"
    page.write_text(summary.markdown(run, done.compared), encoding="utf-8")
    shutil.copyfile(junit, output / "junit.xml")
    return {"summary": page, "ctrf": ctrf.write(run, output / "ctrf.json"), **badge.write(run, output, key)}


# ---------------------------------------------------------------- GitHub


def on_github() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def tell_github(run: Path, submission: Path, output: Path) -> None:
    """The job's summary and outputs by the files that it names; an annotation for whatever did not pass, where its feature is declared."""
    evidence = Evidence(run)
    for name, content in (
        ("GITHUB_STEP_SUMMARY", (output / "summary.md").read_text(encoding="utf-8")),
        ("GITHUB_OUTPUT", f"decision={evidence.verdict.decision.value}\nrun={run}\n"),
    ):
        if os.environ.get(name):
            with Path(os.environ[name]).open("a", encoding="utf-8") as sink:
                sink.write(content)
    where = declared_at(submission)
    for judged in evidence.verdict.requirements:
        if judged.outcome is not Outcome.PASS:
            requirement = evidence.planned[judged.requirement].requirement
            file, line = where(requirement.applies.feature if requirement.applies else "")
            say(PLACE[judged.outcome], f"{judged.requirement} {judged.outcome.value}", f"{requirement.en} {judged.reason}", file, line)  # fmt: skip
    for fault in evidence.verdict.faults:
        say("warning", "fault of the run", fault)


def declared_at(submission: Path) -> Callable[[str], tuple[str, str]]:
    """Where a feature stands in the submission: file, line."""
    document = documents.read(submissions.locate(submission))

    def where(feature: str) -> tuple[str, str]:
        file, _, line = document.where(("features", feature)).rpartition(":")
        return file, line

    return where


def place(mistake: str) -> tuple[str, str]:
    """File and line at the head of a mistake, as far as it has them.

    >>> place("a/submission.yaml:12: no such chip"), place("no such folder")
    (('a/submission.yaml', '12'), ('', ''))
    """
    file, _, rest = mistake.partition(":")
    line = rest.partition(":")[0]
    return (file, line) if line.isdigit() else ("", "")


def say(kind: str, title: str, message: str, file: str = "", line: str = "") -> None:
    """A workflow command of GitHub Actions; whatever others wrote is text in it."""
    options = {"file": file, "line": line, "title": title}
    told = ",".join(f"{key}={escaped(value, ':,')}" for key, value in options.items() if value)
    sys.stderr.write(f"::{kind} {told}::{escaped(message)}\n")


def escaped(said: str, more: str = "") -> str:
    """As the runner reads it back: no line of it can be a command of its own.

    >>> escaped("50 %\\n::error::x", ":,")
    '50 %25%0A%3A%3Aerror%3A%3Ax'
    """
    for character in ("%", "\r", "\n", *more):
        said = said.replace(character, f"%{ord(character):02X}")
    return said
