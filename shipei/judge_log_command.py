"""`shipei judge-log`: a recording of another tool, judged by the requirements that only look."""

from pathlib import Path
from typing import Annotated

import typer

from harness.errors import BadInput
from harness.judge_log import Recording, Stretch, judge_log
from harness.verdicts import EXIT
from shipei import show
from shipei.command import Json, Runs, Verbose


def judge_log_command(
    log: Annotated[Path, typer.Argument(help="A recording: .blf .asc .log .csv .trc, or a run's trace-BUS.bin.")],
    submission: Annotated[Path, typer.Option("--submission", "-s", help="What was recorded: a submission's folder.")],
    bus: Annotated[
        list[str] | None,
        typer.Option("--bus", metavar="BUS=CHANNEL", help="Which channel is which bus, where that is not plain."),
    ] = None,
    from_s: Annotated[
        float, typer.Option("--from", min=0.0, metavar="S", help="From here on, in s from its start.")
    ] = 0.0,
    to_s: Annotated[float | None, typer.Option("--to", metavar="S", help="Up to here.")] = None,
    clock_ms: Annotated[float, typer.Option("--clock-ms", min=0.0, help="How exact the recorder's stamps are.")] = 1.0,
    folder: Runs = Path("runs"),
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Judge a recording of another tool. Nobody knows which device it is of, so nothing is signed."""
    stretch = Stretch(from_s=from_s, to_s=to_s)
    recording = Recording(file=log, channels=dict(map(pair, bus or ())), stretch=stretch, clock_ms=clock_ms)
    with show.progress(as_json, verbose=verbose) as watch:
        found = judge_log(recording, submission, folder, watch)
    links = show.views(found.folder, False, as_json) | ({"notes": list(found.notes)} if as_json else {})
    show.verdict(found.verdict, found.plan, {"run": str(found.folder), **links}, as_json)
    if not as_json:
        show.notes(found.notes)
    return EXIT[found.verdict.decision]


def pair(text: str) -> tuple[str, str]:
    """A bus and its channel.

    >>> pair("body=can0")
    ('body', 'can0')
    """
    bus, equals, channel = text.partition("=")
    if not bus or not equals or not channel:
        raise BadInput(f"--bus {text!r}: should be BUS=CHANNEL, such as body=can0")
    return bus, channel
