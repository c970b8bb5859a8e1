"""`shipei campaign FILE`: many combinations in one command, several at a time; goes on where it was stopped."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from harness.batch import campaign
from harness.batch import workers as campaign_run
from harness.batch.campaign import Cell, Done
from harness.certify import Terms
from reports import campaign as pages
from shipei import show
from shipei.command import Json, KeyFile, Report, Wait, command

STYLE = {"certified": "bold green", "refused": "bold red", "void": "bold yellow"}


class Lines(campaign_run.Watch):
    """A line for what starts and ends, where nobody watches a bar."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    def started(self, cell: Cell) -> None:
        self.say(f"started: {cell.title}")

    def ended(self, done: Done) -> None:
        before = "earlier: " if done.earlier else ""
        self.say(f"{before}{done.decision}: {done.cell.title}" + (f": {done.says}" if done.says else ""))

    def say(self, what: str) -> None:
        if not self.silent:
            sys.stderr.write(what + "\n")
            sys.stderr.flush()


class Bars(Lines):
    """A bar for the whole, and one for each cell that runs."""

    def __init__(self, bar: Progress, cells: int) -> None:
        super().__init__(silent=False)
        self.bar = bar
        self.whole = bar.add_task("cells", total=cells)
        self.tasks: dict[int, TaskID] = {}

    def started(self, cell: Cell) -> None:
        self.tasks[id(cell)] = self.bar.add_task(escape(cell.short), total=cell.tests)

    def test(self, cell: Cell, count: int, name: str) -> None:
        self.bar.update(self.tasks[id(cell)], completed=count)

    def ended(self, done: Done) -> None:
        if id(done.cell) in self.tasks:
            self.bar.remove_task(self.tasks.pop(id(done.cell)))
        self.bar.update(self.whole, advance=1)
        style = STYLE[done.decision]
        before = "earlier " if done.earlier else ""
        self.bar.console.print(f"{before}[{style}]{done.decision}[/] {escape(done.cell.title)} {escape(done.says)}")


@contextmanager
def watching(cells: int, as_json: bool) -> Iterator[campaign_run.Watch]:
    if as_json or not sys.stderr.isatty():
        yield Lines(as_json)
        return
    with Progress(*show.columns(), console=Console(stderr=True), transient=True) as bar:
        yield Bars(bar, cells)


def campaign_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The campaign's file; `shipei schema campaign --example`.")
    ],
    folder: Annotated[Path, typer.Option("--campaigns", help="Where campaigns are kept.")] = Path("campaigns"),
    at_once: Annotated[
        int | None,
        typer.Option("--at-once", min=1, help="Cells at a time; default: the file's, else one for each CPU."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run all cells, also those that are decided already.")] = False,
    key: KeyFile = None,
    wait_s: Wait = 0.0,
    report: Report = True,
    as_json: Json = False,
) -> int:
    """Certify every submission on every rig of a campaign, several at a time. Goes on where it was stopped. Exit code of the worst."""
    loaded, cells = campaign.load(file, key)
    output = folder / loaded.name
    at_once = campaign_run.default_at_once(at_once or loaded.at_once)
    terms = Terms(key=key, wait_s=wait_s)
    order = campaign_run.Order(at_once=at_once, again=again, terms=terms, report=report)
    with watching(len(cells), as_json) as watch:
        results = campaign_run.run(cells, output, order, watch)
    for done in results:  # a run that was decided before its pages were built
        if done.run and not (done.run / "page" / "index.html").is_file():
            show.views(done.run, report, True, key)
    files = pages.write(loaded.name, results, output, output / campaign_run.RUNS, key)
    if as_json:
        rows = [pages.data(d, output) for d in results]
        show.as_data({"name": loaded.name, "cells": rows, "links": {k: str(v) for k, v in files.items()}})
    else:
        table(results, output)
        show.plain(files, False)
    return max(d.code for d in results)


def table(results: list[Done], folder: Path) -> None:
    """A row a cell; then what kept each from being certified."""
    out, screen = Table(), show.console()
    for name in ("vendor", "application", "chip/OS", "rig", "verdict", "passed", "s"):
        out.add_column(name, overflow="fold")
    rows = [pages.data(done, folder) for done in results]
    for done, row in zip(results, rows, strict=True):
        took = "-" if done.earlier else f"{done.seconds:.0f}"
        platform, _, application = row["combination"].rpartition("/")
        verdict = f"[{STYLE[done.decision]}]{done.decision}[/]"
        passed = f"{row['passed']}/{row['requirements']}"
        out.add_row(row["vendor"], application, platform, row["rig"], verdict, passed, took)
    screen.print(out)
    for done, row in zip(results, rows, strict=True):
        why = ", ".join(row["not_passed"]) or "; ".join(row["faults"]) or row["says"]
        if done.decision != "certified":
            screen.print(
                f"[{STYLE[done.decision]}]{done.decision}[/] {escape(done.cell.title)}: {escape(why)}", soft_wrap=True
            )


def add_to(app: typer.Typer) -> None:
    command(app, "campaign")(campaign_command)
