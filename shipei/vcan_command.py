"""`shipei vcan -- COMMAND`: any command where SocketCAN exists, by the first way that works."""

import sys
from typing import Annotated, Any

import typer

from harness.batch.campaign import WAYS
from harness.documents import meant
from harness.errors import BadInput, Fault
from rigs.images.packages import Refused
from shipei import show
from shipei.command import Json, command
from shipei.vcan import preload
from shipei.vcan.host import Host
from shipei.vcan.qemu import Qemu
from shipei.vcan.uml import Uml
from shipei.vcan.ways import DEAD, Died, Wanted, Way, mistakes

PASSED = {"allow_interspersed_args": False, "ignore_unknown_options": False}


def ways(wanted: str | None) -> list[Way]:
    """The ways to try, in their order."""
    every: list[Way] = [Host(), Uml(), Qemu()]
    if wanted is not None and wanted not in WAYS:
        raise BadInput(f"--way {wanted!r}: unknown{meant(wanted, WAYS)}; one of {', '.join(WAYS)}")
    return [w for w in every if wanted in (None, w.name)]


def tell(what: str) -> None:
    """On standard error: standard output is the command's."""
    sys.stderr.write(f"shipei vcan: {what}\n")
    sys.stderr.flush()


def vcan(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="What to run; or `setup`, to fetch and build all for later."),
    ],
    bus: Annotated[list[str] | None, typer.Option("--bus", help="A bus; default vcan0 and vcan1.")] = None,
    fd: Annotated[bool, typer.Option("--fd/--no-fd", help="Buses with CAN FD.")] = True,
    way: Annotated[str | None, typer.Option("--way", help="host, uml or qemu; default: the first that works.")] = None,
    memory: Annotated[str, typer.Option("--memory", help="Of a guest kernel, such as 512M or 2G.")] = "1G",
    cpu: Annotated[int | None, typer.Option("--cpu", min=0, help="The CPU that a guest kernel is pinned to.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="On the host's kernel: in a network namespace of its own.")
    ] = False,
    preloaded: Annotated[
        bool, typer.Option("--preload", help="No kernel CAN: raw sockets mapped onto the user-space hub.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Run a command where SocketCAN exists: on the host's kernel, in User-Mode Linux, or in QEMU, whichever works first."""
    wanted = Wanted(
        command=tuple(arguments), buses=tuple(bus or ("vcan0", "vcan1")), fd=fd, memory=memory, cpu=cpu, private=private
    )
    wrong = mistakes(wanted)
    if wrong:
        raise BadInput(wrong)
    if arguments == ["setup"]:
        return setup(ways(way), as_json)
    if preloaded:
        try:
            return preload.run(wanted, tell)
        except Refused as why:
            raise Fault(str(why)) from None
    return first_that_works(ways(way), wanted)


def first_that_works(tried: list[Way], wanted: Wanted) -> int:
    """The command's exit code; 125 when its kernel died. Raises Fault, with every reason, when no way works."""
    reasons: list[str] = []
    for way in tried:
        try:
            what = way.check(wanted, tell)
            tell(f"{what}; {', '.join(wanted.buses)}" + (f" ({'; '.join(reasons)})" if reasons else ""))
            return way.run(wanted)
        except Refused as why:
            reasons.append(str(why))
        except Died as words:
            tell(f"the kernel died under the command; its last words:\n{words}")
            return DEAD
    raise Fault("no way to SocketCAN works here: " + "; ".join(reasons))


def setup(tried: list[Way], as_json: bool) -> int:
    """Fetch and build what each way needs; 3 if none is ready afterwards."""
    found: dict[str, Any] = {}
    ready = False
    for way in tried:
        try:
            found[way.name] = dict(way.setup(tell))
            ready = True
        except Refused as why:
            found[way.name] = f"no: {why}"
    try:
        found["preload"] = str(preload.library())
    except Refused as why:
        found["preload"] = f"no: {why}"
    show.plain(found if as_json else lines(found), as_json)
    return 0 if ready else 3


def lines(found: dict[str, Any]) -> dict[str, Any]:
    """For people: one line each."""
    return {k: "; ".join(f"{n}: {s}" for n, s in v.items()) if isinstance(v, dict) else v for k, v in found.items()}


def add_to(app: typer.Typer) -> None:
    command(app, "vcan", context_settings=PASSED)(vcan)
