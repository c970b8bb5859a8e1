"""`shipei waiver`: failures that are known, asked for by the lab and approved by another person, for a while."""

import dataclasses
from typing import Annotated

import typer

from programme import waivers
from programme.folder import Folder
from shipei import show
from shipei.certificate_command import HERE, OwnKey, Passphrase, Where, now, opened
from shipei.command import Json, command

waiver_app = typer.Typer(
    help="Known failures that a certificate is given in spite of: signed by two persons, for a while.",
    no_args_is_help=True,
)
Wanted = Annotated[str, typer.Argument(metavar="WAIVER", help="A waiver's digest, or its first digits.")]


def done(folder: Folder, digest: str, as_json: bool) -> int:
    found = waivers.load(folder, digest)
    told = {**found.told(), "requirements": ", ".join(found.requirements), "state": found.state(now())}
    show.plain({key: value for key, value in told.items() if value}, as_json)
    return 0


@command(waiver_app, "request")
def request_command(
    requirement: Annotated[list[str], typer.Option("--requirement", help="What fails; again for more.")],
    scope: Annotated[
        str,
        typer.Option("--scope", help="VENDOR:CHIP/OS/APPLICATION of the certificate's subject; * in the last three."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why it does no harm.")],
    issue: Annotated[str, typer.Option("--issue", help="Where it is being mended.")],
    key: OwnKey,
    days: Annotated[int, typer.Option("--days", help="For how long.")] = 90,
    programme: Where = HERE,
    passphrase: Passphrase = None,
    as_json: Json = False,
) -> int:
    """Ask for a waiver, as the lab."""
    session = opened(programme, key, passphrase)
    asked = waivers.Request(scope=scope, requirements=requirement, reason=reason, issue=issue, days=days)
    return done(session.folder, waivers.request(session, asked), as_json)


@command(waiver_app, "approve")
def approve_command(
    wanted: Wanted, key: OwnKey, programme: Where = HERE, passphrase: Passphrase = None, as_json: Json = False
) -> int:
    """Agree to a waiver, as an approver who did not ask for it."""
    session = opened(programme, key, passphrase)
    return done(session.folder, waivers.approve(session, wanted), as_json)


@command(waiver_app, "list")
def list_command(programme: Where = HERE, as_json: Json = False) -> int:
    """Every waiver of the programme and its state."""
    found = [dataclasses.asdict(one) | {"state": one.state(now())} for one in waivers.listed(Folder(programme))]
    show.as_data(found) if as_json else show.waivers(found)
    return 0


@command(waiver_app, "show")
def show_command(wanted: Wanted, programme: Where = HERE, as_json: Json = False) -> int:
    """One waiver: for what, why, until when, by whom."""
    folder = Folder(programme)
    return done(folder, folder.find(wanted, "waivers"), as_json)
