"""`shipei publish`: a programme's certificates and verdicts as a static site."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from programme.folder import Folder
from publication import write
from publication.job import Edition
from shipei import show
from shipei.certificate_command import HERE, Where, now
from shipei.command import Json


def publish_command(
    site: Annotated[Path, typer.Argument(metavar="SITE", help="The site's file (`shipei schema site --example`).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for a web server; written anew.")] = Path(
        "site"
    ),
    programme: Where = HERE,
    folder: Annotated[
        Path | None, typer.Option("--runs", help="Runs whose verdicts are shown where no certificate speaks.")
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(help="The folder for another origin: the Allure reports of the runs that are shown.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Write what vendors released: matrix, pages, API, CSV, feed, badges, and all that it takes to verify. Nothing else is on it."""
    with show.counting(as_json, "judging runs anew") as step:
        edition = Edition(site=write.load(site), folder=Folder(programme), now=now(), runs=folder)
        entries = write.write(output, edition, reports, step)
    states = Counter(one.state for one in entries)
    show.plain({"site": str(output / "index.html"), "combinations": len(entries), **states}, as_json)
    return 0
