"""`shipei rig`: check a bench, qualify it, see how it stands."""

from pathlib import Path
from typing import Annotated

import typer

from harness import holding, qualify, rig, rig_check, show
from harness.command import EXIT, Json, Runs, Wait, command
from harness.run import new_folder

rig_app = typer.Typer(help="Benches.", no_args_is_help=True)


@command(rig_app, "check")
def rig_check_command(
    rig_name: Annotated[str, typer.Argument(metavar="RIG", help="sim, hub, or a rig file.")],
    submission: Annotated[
        Path | None, typer.Option("--submission", help="Check with this item; else the reference cockpit.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Read a rig file, open every port with an item on it, and say what works."""
    found = rig_check.check(rig.locate(rig_name), submission)
    show.rig(found, as_json)
    return 0 if all(row["ok"] for row in found) else 3


@command(rig_app, "qualify")
def rig_qualify_command(
    rig_name: Annotated[str, typer.Argument(metavar="RIG", help="A rig file that names a golden item.")],
    folder: Runs = Path("runs"),
    wait_s: Wait = 0.0,
    as_json: Json = False,
) -> int:
    """Certify the rig's golden item whole; the rig is qualified if that succeeds, and marked bad if not."""
    rig_file = rig.locate(rig_name)
    loaded = rig.load(rig_file)
    with show.progress(as_json) as watch, holding.held(loaded, rig_file, "qualify", wait_s=wait_s, tell=watch) as hold:
        target = new_folder(folder, f"qualify-{loaded.name}")
        plan, found = qualify.qualify(loaded, rig_file, target, hold, watch)
    show.verdict(found, plan, {"run": str(target)}, as_json)
    return EXIT[found.decision]


@command(rig_app, "status")
def rig_status_command(
    rig_name: Annotated[str, typer.Argument(metavar="RIG", help="A rig file.")], as_json: Json = False
) -> int:
    """Whether a rig is free, qualified, marked bad, or was left by a harness that died."""
    show.plain(qualify.status(rig.load(rig.locate(rig_name))), as_json)
    return 0
