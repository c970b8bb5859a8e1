"""`shipei rig`: check a bench, qualify it, see how it stands."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.bench import claim
from harness.commissioning import check, discover, golden
from harness.inputs import rig
from harness.inputs import submission as submissions
from harness.model import Item
from harness.run import new_folder
from harness.verdicts import EXIT
from rigs.ecus import build
from shipei import show
from shipei.command import Json, Runs, Wait, command

rig_app = typer.Typer(help="Benches.", no_args_is_help=True)


def reference_item(work: Path) -> Item:
    """The reference cockpit, speaking every bus that a reference ECU speaks."""
    built = [build.build(work / ecu, ecu=ecu) for ecu in ("driving_assistance-a", "cockpit-a")]
    items = [submissions.read(submission).item for submission in built]
    buses = {name: bus for one in items for name, bus in one.interface.buses.items()}
    return replace(items[-1], interface=replace(items[-1].interface, buses=buses))


@command(rig_app, "new")
def rig_new_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the rig file.")],
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take the first of everything.")] = False,
    as_json: Json = False,
) -> int:
    """List the CAN channels, serial ports and instruments that are plugged in, ask a little, and write a commented rig file."""
    devices = discover.plugged_in()
    if not as_json:
        show.devices(devices)
    ask = (lambda question, default: default) if yes or as_json else show.ask
    written = discover.write(file, devices, ask)
    show.plain({"rig": str(written), "next": f"shipei rig check {written}"}, as_json)
    return 0


@command(rig_app, "check")
def rig_check_command(
    rig_name: Annotated[str, typer.Argument(metavar="RIG", help="sim, hub, or a rig file.")],
    submission: Annotated[
        Path | None, typer.Option("--submission", help="Check with this item on it, and listen to it.")
    ] = None,
    long: Annotated[
        bool, typer.Option("--long", help="Measure ports that are wired together; shows the histogram.")
    ] = False,
    flash: Annotated[bool, typer.Option("--flash", help="Also put the image on the device.")] = False,
    wait_s: Wait = 0.0,
    as_json: Json = False,
) -> int:
    """Read a rig file, open every port with an item on it, and say what works, what does not, and what to look at."""
    said = rig.read(rig.locate(rig_name))
    given = submissions.read(submission) if submission is not None else None
    with show.progress(as_json) as watch, claim.held(said, "check", wait_s=wait_s, tell=watch, looking=True):
        found = check.check(said, given, reference_item, check.Extent(long=long, flash=flash), watch)
    show.rig(found, as_json)
    return 0 if found.ok else 3


@command(rig_app, "qualify")
def rig_qualify_command(
    rig_name: Annotated[str, typer.Argument(metavar="RIG", help="A rig file that names a golden item.")],
    folder: Runs = Path("runs"),
    wait_s: Wait = 0.0,
    as_json: Json = False,
) -> int:
    """Certify the rig's golden item whole; the rig is qualified if that succeeds, and marked bad if not."""
    said = rig.read(rig.locate(rig_name))
    with show.progress(as_json) as watch, claim.held(said, "qualify", wait_s=wait_s, tell=watch) as hold:
        target = new_folder(folder, f"qualify-{said.rig.name}")
        plan, found = golden.qualify(said, target, hold, watch)
    show.verdict(found, plan, {"run": str(target)}, as_json)
    return EXIT[found.decision]


@command(rig_app, "status")
def rig_status_command(
    rig_name: Annotated[str, typer.Argument(metavar="RIG", help="A rig file.")], as_json: Json = False
) -> int:
    """Whether a rig is free, qualified, marked bad, or was left by a harness that died."""
    show.plain(golden.status(rig.read(rig.locate(rig_name)).rig), as_json)
    return 0
