"""`shipei store`: keep runs by their content, find them, give them out again, and say what is wrong with what is kept."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import BadInput
from shipei import show
from shipei.command import Json, command
from store import listing, runs
from store.layout import Layout

store_app = typer.Typer(help="Evidence: runs kept by content, in an OCI image layout.", no_args_is_help=True)
StoreFolder = Annotated[Path, typer.Option("--store", help="Where it lies.")]
Wanted = Annotated[str, typer.Argument(metavar="RECORD", help="A record's digest, or its first digits.")]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="Without TLS; on this host always.")]
HERE = Path("evidence")


def with_oras() -> Any:
    try:
        from store import registry
    except ImportError:
        raise BadInput("registries need oras: pip install 'shipei[registry]'") from None
    return registry


@command(store_app, "add")
def add_command(
    given: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs' folders.")],
    store: StoreFolder = HERE,
    as_json: Json = False,
) -> int:
    """Keep runs: sealed record, verdict, certificate; what is there already is not written twice."""
    known, mistakes = [], list[str]()
    for run in given:
        try:
            known.append((run, runs.checked(run)))
        except BadInput as error:
            mistakes += error.mistakes
    if mistakes:
        raise BadInput([*mistakes, "nothing was added"])
    show.plain({str(run): runs.add(Layout(store), run, told)[0]["digest"] for run, told in known}, as_json)
    return 0


@command(store_app, "list")
def list_command(
    store: StoreFolder = HERE,
    combination: Annotated[str, typer.Option("--combination", help="Only those whose combination contains this.")] = "",
    decision: Annotated[str, typer.Option("--decision", help="certified, refused or void.")] = "",
    as_json: Json = False,
) -> int:
    """The runs that are kept, in the order in which they came."""
    found = [dataclasses.asdict(one) for one in listing.listed(Layout.opened(store), combination, decision)]
    show.as_data(found) if as_json else show.kept_runs(found)
    return 0


@command(store_app, "get")
def get_command(
    wanted: Wanted,
    folder: Annotated[Path, typer.Argument(help="A new folder for the run.")],
    store: StoreFolder = HERE,
    as_json: Json = False,
) -> int:
    """Write a run's folder out again; every byte is checked on its way."""
    found = runs.get(Layout.opened(store), wanted, folder)
    show.plain({"run": str(folder), "digest": found["digest"]}, as_json)
    return 0


@command(store_app, "push")
def push_command(
    wanted: Wanted,
    to: Annotated[str, typer.Argument(metavar="HOST/NAME[:TAG]", help="A repository of any OCI registry.")],
    store: StoreFolder = HERE,
    plain_http: PlainHttp = False,
    as_json: Json = False,
) -> int:
    """Send a record, its verdict and its certificate to a registry; what is there already is not sent again."""
    registry = with_oras()
    found = registry.push(Layout.opened(store), wanted, registry.Repository(to, plain_http))
    show.plain({"digest": found["digest"], "at": f"{to.partition('@')[0]}@{found['digest']}"}, as_json)
    return 0


@command(store_app, "pull")
def pull_command(
    at: Annotated[str, typer.Argument(metavar="HOST/NAME@DIGEST", help="Or HOST/NAME:TAG.")],
    store: StoreFolder = HERE,
    plain_http: PlainHttp = False,
    as_json: Json = False,
) -> int:
    """Take a record and what refers to it from a registry; it is judged before it is kept."""
    registry = with_oras()
    found = registry.pull(Layout(store), registry.Repository(at, plain_http))
    show.plain({"digest": found["digest"], "store": str(store)}, as_json)
    return 0


@command(store_app, "verify")
def verify_command(store: StoreFolder = HERE, as_json: Json = False) -> int:
    """Read everything that is kept and name what was altered or is missing, and whose it is."""
    kept = Layout.opened(store)
    wrong = list(runs.verify(kept))
    if wrong:
        raise BadInput(wrong)
    show.plain({"store": str(store), "artefacts": len(kept.index()), "wrong": 0}, as_json)
    return 0


@command(store_app, "gc")
def gc_command(store: StoreFolder = HERE, as_json: Json = False) -> int:
    """Remove content that nothing names any more, such as what a killed `add` left."""
    count, freed = Layout.opened(store).collect()
    show.plain({"removed": count, "bytes": freed}, as_json)
    return 0
