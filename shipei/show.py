"""What people see of the pipeline on a terminal: tables, progress, links; or the same as JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich import markup
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from harness import compare, documents, record, verdicts
from harness.can import logs, trace
from harness.can.log import Log
from harness.certificate import Verified
from harness.commissioning.check import Found
from harness.commissioning.discover import Device
from harness.documents import meant
from harness.errors import MOST_MISTAKES, BadInput, printable
from harness.judge import words
from harness.model import Decision, Outcome, Plan, Verdict
from reports import allure, junit, pages, pdf
from reports import matrix as matrices
from reports import sweep as sweeps
from reports.job import ReportJob

FORMS = ("blf", "asc", "log", "csv", "trc")
STYLE = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.ERROR: "magenta",
    Outcome.MISS: "yellow",
    Decision.CERTIFIED: "bold green",
    Decision.REFUSED: "bold red",
    Decision.VOID: "bold yellow",
}
ACTS = {
    Decision.CERTIFIED: "nobody has to act",
    Decision.REFUSED: "the vendor acts",
    Decision.VOID: "the lab acts; this says nothing about the device",
}


def console() -> Console:
    return Console(highlight=False, soft_wrap=False)


def escape(text: str) -> str:
    """Text that somebody else may have written: no markup, and no orders to the terminal."""
    return markup.escape(printable(text, but="\n"))


def one_line(text: str) -> str:
    """The same, where it must not begin a line of its own."""
    return markup.escape(printable(text))


def as_data(data: Any) -> None:
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n")


def problem(kind: str, messages: list[str], as_json: bool) -> None:
    """Tell people what went wrong, on standard error; and machines, on standard output."""
    if len(messages) > MOST_MISTAKES:
        messages = [*messages[:MOST_MISTAKES], f"and {len(messages) - MOST_MISTAKES} more, or that many at least"]
    if as_json:
        as_data({"error": kind, "messages": messages})
    title = {"input": f"{len(messages)} mistake{'s' * (len(messages) != 1)} in the input", "rig": "the rig failed"}.get(
        kind, kind
    )
    told = f"shipei: {title}\n" + "".join(f"  {m}\n" for m in messages)
    sys.stderr.write(printable(told, but="\n"))


def plain(data: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        as_data(dict(data))
    else:
        out = console()
        for key, value in data.items():
            if value is not None:
                out.print(f"[bold]{key}[/]  {escape(str(value))}", soft_wrap=True)


def columns() -> tuple[ProgressColumn, ...]:
    """Of every bar."""
    return (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


@contextmanager
def progress(as_json: bool, what: str = "", *, verbose: bool = False) -> Iterator[Callable[[str], None]]:
    """A bar that names the test that runs; on standard error, silent with --json or without a terminal. Verbose: a line a test."""
    bar = Progress(
        *columns(),
        console=Console(stderr=True),
        disable=as_json or not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=None)
        said = {""}

        def watch(test: str) -> None:  # a test that starts, or what takes long before
            if "::" not in test and test not in said and not as_json and not sys.stderr.isatty():
                sys.stderr.write(f"{test}\n")
                said.add(test)
            if verbose and "::" in test:
                sys.stderr.write(f"{test}\n")
                sys.stderr.flush()
            bar.update(task, advance=int("::" in test), description=f"{what} {test}".strip())

        yield watch


@contextmanager
def counting(as_json: bool, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for so many of so many; on standard error, silent with --json or without a terminal."""
    out = Console(stderr=True)
    with Progress(*columns(), console=out, disable=as_json or not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def sweep(found: dict[str, Any], folder: Path, as_json: bool) -> None:
    """Where a function begins to fail, as a table; and where the numbers and the picture are."""
    links = {"picture": sweeps.write(found, folder), "numbers": folder / "points.csv", "data": folder / "sweep.json"}
    if as_json:
        as_data({**found, "links": {k: str(v) for k, v in links.items()}})
        return
    out, (first, *others) = console(), found["axes"]
    limit = ", ".join(f"{q} above {v:g}" for q, v in found["fails_above"].items())
    out.print(f"[bold]{found['scenario']}[/]: where it begins to fail ({limit})")
    table = Table()
    for one in others:
        table.add_column(f"{one['name']} {one['unit']}".strip())
    table.add_column(f"{first['name']} {first['unit']}".strip())
    table.add_column("fails")
    for edge in found["boundary"]:
        where = " .. ".join(f"{v:g}" for v in edge["between"]) or "-"
        table.add_row(*(f"{v:g}" for v in edge["rest"]), where, edge["fails"])
    out.print(table)
    for point in found["points"]:
        if "fault" in point:
            out.print(f"[yellow]{escape(str(point['values']))}:[/] {escape(point['fault'])}")
    plain(links, False)


def verdict(found: Verdict, plan: Plan, links: Mapping[str, Any], as_json: bool, *, brief: bool = False) -> None:
    """The verdict table: a row a requirement, then who acts, then where everything lies. Brief: of what did not pass only."""
    if as_json:
        as_data({**documents.dump(found), "links": {k: str(v) for k, v in links.items() if v is not None}})
        return
    out = console()
    table = Table(title=f"{plan.combination} on {plan.rig}, profile {plan.profile}", title_justify="left")
    for name, options in (("requirement", {"no_wrap": True}), ("outcome", {}), ("worst measurement", {})):
        table.add_column(name, **options)  # type: ignore[arg-type]
    sentences = {p.requirement.id: p.requirement.en for p in plan.requirements}
    for judged in found.requirements:
        said = worst_margin(judged.measured) if judged.measured else ""
        if brief and judged.outcome is Outcome.PASS:
            continue
        if judged.outcome is not Outcome.PASS:
            said = f"{sentences[judged.requirement]}\n{escape(judged.reason)}"
        style = STYLE[judged.outcome]
        mark = judged.outcome.name + ("" if judged.level == "mandatory" else " (recommended)")
        table.add_row(judged.requirement, f"[{style}]{mark}[/]", said)
    if table.row_count:
        out.print(table)
    for fault in found.faults:
        out.print(f"[yellow]fault of the run:[/] {escape(fault)}")
    for left in (*plan.not_applicable, *plan.not_decidable):
        out.print(f"[dim]not tested: {left.id}: {escape(left.reason)}[/]")
    passed = sum(j.outcome is Outcome.PASS for j in found.requirements)
    what = f"{plan.vendor} {plan.combination}: {passed} of {len(found.requirements)} requirements, " if brief else ""
    signed = "" if plan.signable else " (of this plan; it is never signed)"
    out.print(f"[{STYLE[found.decision]}]{found.decision.value.upper()}[/]  {what}{ACTS[found.decision]}{signed}")
    plain(links, False)


def worst_margin(measured: Any) -> str:
    """The measurement that came closest to a limit, in words."""

    def margin(m: Any) -> float:
        span = (
            (m.high - m.low)
            if m.low is not None and m.high is not None and m.high > m.low
            else abs(m.high or m.low or 1) or 1
        )
        gaps = [
            g
            for g in (m.high - m.value if m.high is not None else None, m.value - m.low if m.low is not None else None)
            if g is not None
        ]
        return float(min(gaps, default=0.0) / span)

    m = min(measured, key=margin)
    said = words(m)
    return f"{m.name} {said.value}  [dim]({said.low}..{said.high})[/]"


def plan(decided: Plan, output: Path | None, as_json: bool) -> None:
    if as_json:
        as_data(documents.dump(decided))
        return
    out = console()
    table = Table(title=f"{decided.combination} on {decided.rig}, profile {decided.profile}", title_justify="left")
    for name in ("requirement", "level", "source", "trust", "sentence"):
        table.add_column(name)
    for p in decided.requirements:
        r = p.requirement
        table.add_row(r.id, p.level, f"{r.source.document} {r.source.clause}", r.trust, r.en)
    out.print(table)
    for left in (*decided.not_applicable, *decided.not_decidable):
        out.print(f"not tested: {left.id}: {left.reason}")
    if output:
        out.print(f"written to {output}")


def certificate(found: Verified, as_json: bool) -> None:
    """Who signed it, first; then what it says, its evidence by its type."""
    statement, signer = found.statement, {"fingerprint": found.fingerprint, "whose": found.whose, "demo": found.demo}
    if as_json:
        as_data({"signed_by": signer, **statement})
        return
    predicate, out = statement["predicate"], console()
    out.print(f"signed by SHA256 {found.fingerprint}, {escape(found.whose)}", soft_wrap=True)
    out.print(f"[bold green]holds[/]  {one_line(statement['subject'][0]['name'])}")
    out.print(
        f"profile {one_line(predicate['profile'])}, {len(predicate['requirements'])} requirements, evidence: {one_line(predicate['evidence'])}"
    )
    if predicate.get("valid_until"):
        out.print(f"tested {one_line(predicate['tested'][:10])}, valid until {one_line(predicate['valid_until'][:10])}")
    else:
        out.print("of the old form: without dates, limits and values")
    for one in predicate.get("fence", ()):
        unfenced = one.startswith("unfenced")
        out.print(f"[yellow]the item ran {one_line(one)}[/]" if unfenced else f"the item ran behind {one_line(one)}")
    if found.demo:
        out.print(
            "[yellow]virtual: from a virtual rig and signed with the demo key, which everyone has: it proves nothing about who signed[/]"
        )


def devices(found: list[Device]) -> None:
    """What is plugged in."""
    table = Table(title="plugged in", title_justify="left")
    for name in ("kind", "what", "opens with"):
        table.add_column(name)
    for one in found:
        table.add_row(one.kind, escape(one.what), escape(", ".join(f"{k}: {v}" for k, v in one.fields.items())))
    console().print(
        table if found else "no CAN channel, serial port or instrument is plugged in, or their drivers are missing"
    )


def ask(question: str, default: str) -> str:
    """At the terminal, on standard error."""
    return str(typer.prompt(question, default=default, err=True))


def rig(found: Found, as_json: bool) -> None:
    """A row a port; and the histogram of each loop-back."""
    rows = list(found.rows.values())
    if as_json:
        loops = [{"pair": loop.pair, "lost": loop.lost, "histogram_us": loop.histogram()} for loop in found.loops]
        as_data({"ports": rows, "loops": loops})
        return
    table = Table()
    for name in ("port", "recipe", "", "says"):
        table.add_column(name)
    for row in rows:
        table.add_row(row["port"], row["use"], "[green]ok[/]" if row["ok"] else "[red]no[/]", escape(row["says"]))
    console().print(table)
    for loop in found.loops:
        most = max((n for _, _, n in loop.histogram()), default=1)
        console().print(f"[bold]{' to '.join(loop.pair)}[/], from its stamp there to its stamp here:")
        for low, high, n in loop.histogram():
            console().print(f"{low:9.0f} .. {high:9.0f} us {n:6d} {'█' * round(40 * n / most)}")


def views(run: Path, report: bool, as_json: bool, key: Path | None = None) -> dict[str, Any]:
    """Build what people look at from a run; what cannot be built is said and changes nothing else. `key`: the lab's."""
    links: dict[str, Any] = dict(compare.told(run))

    def missing(name: str, why: str) -> None:
        sys.stderr.write(printable(f"shipei: the {name} is missing: {why}") + "\n")
        links[f"{name}_missing"] = why

    def allure_report() -> Path | None:
        built = allure.write(run)
        if built.problem:
            missing("report", built.problem)
        return built.index

    builders: dict[str, Callable[[], Path | None]] = {
        "junit": lambda: junit.write(run),
        "page": lambda: pages.write(run, key),
    }
    for name, build in (builders | ({"report": allure_report} if report else {})).items():
        try:
            links[name] = build()
        except (
            Exception
        ) as error:  # a verdict is decided, and whatever a text of somebody's does to a picture is none of its business
            missing(name, f"{type(error).__name__}: {error}")
    return links


def test_report(run: Path, file: Path) -> Path:
    """A run's test report as PDF, by a job's file."""
    document = documents.read(file)
    job = documents.load(ReportJob, document)
    if job is None:
        raise BadInput(document.mistakes)
    return pdf.write(run, job, file.parent)


def exported(run: Path, form: str) -> dict[str, Any]:
    """The traces of a run's record as files of another form, by bus."""
    if form not in FORMS:
        raise BadInput(f"--format {form}: unknown{meant(form, FORMS)}")
    traces = record.traces(run / verdicts.RECORD)
    if not traces:
        raise BadInput(f"{run}: no run with traces")
    found = {}
    for bus, file in traces.items():
        found[bus] = run / f"{bus}.{form}"
        rows = trace.load(file)[0]
        logs.write(Log(rows=rows, channels=[bus]), found[bus])
    return found


def matrix(runs: Path, key: Path | None = None, *, as_json: bool) -> tuple[matrices.Matrix, dict[str, Any]]:
    """Write the matrix of a folder of runs, and show it; what is left out of it is said beside."""
    found, files = matrices.write(runs, key)
    if not as_json:
        console().print(matrices.table(found.cells))
    for why in (*(f"{c.run}: {c.why}" for c in found.cells if c.why), *found.left_out):
        sys.stderr.write(printable(f"shipei: {why}", but="\n") + "\n")
    return found, {f"matrix_{kind}": file for kind, file in files.items()}


def recording(found: dict[str, Any]) -> None:
    """What a recording holds: a row a channel; what could not be read below."""
    table = Table(title=f"{escape(found['file'])}: {found['frames']} frames", title_justify="left")
    for name in ("channel", "frames", "identifiers", "s", "frames/s", "CAN FD", "errors", "sent"):
        table.add_column(name, justify="left" if name == "channel" else "right")
    for row in found["channels"]:
        table.add_row(*(escape("" if value is None else str(value)) for value in row.values()))
    console().print(table)
    if found["out_of_order"]:
        console().print(f"{found['out_of_order']} stamps are before the one in front of them")
    lost(found["lost"])


def kept_runs(found: list[dict[str, Any]]) -> None:
    """A row for a run in a store."""
    table = Table()
    for name in ("record", "combination", "vendor", "profile", "rig", "decision", "certificate"):
        table.add_column(name, overflow="fold")
    for one in found:
        said = (one["digest"][7:19], *(one[k] for k in ("combination", "vendor", "profile", "rig", "decision")))
        table.add_row(*map(escape, said), "yes" if one["certified"] else "")
    console().print(table)


def certificates(found: list[dict[str, Any]]) -> None:
    """A row for a certificate of a programme."""
    table = Table()
    for name in ("certificate", "subject", "state", "since", "valid until", "signed by"):
        table.add_column(name, overflow="fold")
    for one in found:
        said = (one["certificate"][:12], one["subject"], one["state"], one["since"][:10], one["valid_until"][:10])
        table.add_row(*map(escape, (*said, ", ".join(one["signed_by"]))))
    console().print(table)


def waivers(found: list[dict[str, Any]]) -> None:
    """A row for a waiver of a programme."""
    table = Table()
    for name in ("waiver", "scope", "requirements", "state", "until", "requested by", "approved by", "reason"):
        table.add_column(name, overflow="fold")
    for one in found:
        said = (one["sha256"][:12], one["scope"], ", ".join(one["requirements"]), one["state"], one["valid_until"][:10])
        table.add_row(*map(escape, (*said, one["requested_by"], one["approved_by"], one["reason"])))
    console().print(table)


def certificate_life(entry: Mapping[str, Any]) -> None:
    """One certificate, and a row for each of its states."""
    certificates([dict(entry)])
    table = Table()
    for name in ("since", "state", "by", "reason"):
        table.add_column(name, overflow="fold")
    for one in entry["history"]:
        table.add_row(*map(escape, (one["since"], one["state"], one["by"], one["reason"])))
    console().print(table)


def decoded(table: list[dict[str, Any]], gone: list[str], output: Path | None) -> None:
    """A row a signal."""
    shown = Table()
    for name in ("message", "signal", "values", "low", "high", "last", "unit"):
        shown.add_column(name, justify="right" if name in ("values", "low", "high", "last") else "left")
    for row in table:
        numbers = (
            f"{row[k]:.6g}" if isinstance(row.get(k), float) else str(row.get(k, "")) for k in ("low", "high", "last")
        )
        shown.add_row(row["message"], row["signal"], str(row["count"]), *map(escape, numbers), escape(row["unit"]))
    console().print(shown)
    if output is not None:
        console().print(f"values  {escape(str(output))}")
    lost(gone)


def notes(sentences: Sequence[str]) -> None:
    """What else is to be known."""
    for one in sentences:
        console().print(f"[yellow]note[/]  {escape(one)}")


def lost(sentences: list[str]) -> None:
    """What of a recording could not be read."""
    for one in sentences:
        console().print(f"[yellow]lost[/]  {escape(one)}")
