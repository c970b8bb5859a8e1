"""`shipei compare`: a run beside an earlier one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from harness import compare
from harness.compare import Change, Comparison, Drift, identified, plain
from harness.errors import BadInput
from harness.verdicts import EXIT
from shipei import show
from shipei.command import Json, Runs

MOST_SHOWN = 20


def compare_command(
    given: Annotated[
        list[Path],
        typer.Argument(metavar="[BEFORE] AFTER", help="A run; with one before it, that is what it is held against."),
    ],
    folder: Runs = Path("runs"),
    as_json: Json = False,
) -> int:
    """Hold a run against another, or against the last certified one of the same thing: outcomes, values beyond uncertainty, inputs.

    The exit code is that of the later run's verdict.
    """
    if len(given) > 2:
        raise BadInput(f"two runs are compared, not {len(given)}: [BEFORE] AFTER")
    after = compare.read(given[-1])
    before = compare.read(given[0] if len(given) == 2 else compare.last_certified(after, folder))
    found = compare.compare(before, after)
    show.as_data(plain(found)) if as_json else tell(found)
    return EXIT[after.verdict.decision]


def tell(found: Comparison) -> None:
    out = show.console()
    for side in ("before", "after"):
        one = identified(getattr(found, side))
        out.print(
            f"[bold]{side}[/]  {one['decision']}  {escape(one['combination'])} on {escape(one['rig'])}  {escape(one['run'])}",
            soft_wrap=True,
        )
    for line in found.inputs:
        out.print(f"[yellow]input[/]  {escape(line)}", soft_wrap=True)
    for title, changes, colour in (
        ("newly failing", found.failing, "red"),
        ("newly passing", found.passing, "green"),
        ("otherwise", found.others, "yellow"),
    ):
        if changes:
            out.print(outcomes(title, changes, colour))
    if found.drifts:
        out.print(drifts(found.drifts))
    if not (found.failing or found.passing or found.others or found.drifts):
        out.print("the same outcomes, and no value moved by more than both runs are unsure of")


def outcomes(title: str, changes: tuple[Change, ...], colour: str) -> Table:
    table = Table(title=f"[{colour}]{title}[/]", title_justify="left")
    for name in ("requirement", "level", "before", "after", "why"):
        table.add_column(name, overflow="fold")
    for one in changes:
        table.add_row(
            one.requirement, one.level, one.before or "not planned", one.after or "not planned", escape(one.reason)
        )
    return table


def drifts(found: tuple[Drift, ...]) -> Table:
    """Those that lost most of their room first."""
    more = f" ({len(found) - MOST_SHOWN} more with --json)" if len(found) > MOST_SHOWN else ""
    table = Table(title=f"moved beyond uncertainty{more}", title_justify="left")
    for name in ("requirement", "quantity", "before", "after", "unsure by", "room to the limit"):
        table.add_column(name, overflow="fold", justify="left" if name in ("requirement", "quantity") else "right")
    for one in found[:MOST_SHOWN]:
        unit = "" if one.unit == "1" else f" {one.unit}"
        left = [("" if r is None else f"{100 * r:.0f} %") for r in (one.room_before, one.room_after)]
        values = (f"{one.before:.4g}{unit}", f"{one.after:.4g}{unit}", f"{one.uncertainty:.2g}{unit}")
        table.add_row(one.requirement, escape(one.name), *values, " -> ".join(filter(None, left)))
    return table
