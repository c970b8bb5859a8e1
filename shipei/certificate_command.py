"""`shipei certificate`: certificates with a life, in the folder of a programme."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import plan
from harness.errors import BadInput
from harness.inputs import submission as submissions
from harness.signing import keys
from programme import life
from programme.folder import Folder
from programme.session import Session
from shipei import show
from shipei.command import Json, command

certificate_app = typer.Typer(
    help="Certificates with a life: issued, approved by a second person, suspended, revoked, renewed.",
    no_args_is_help=True,
)
Where = Annotated[Path, typer.Option("--programme", help="Its folder, with programme.yaml.")]
Wanted = Annotated[str, typer.Argument(metavar="CERTIFICATE", help="A certificate's digest, or its first digits.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder; its record is judged anew.")]
OwnKey = Annotated[
    str, typer.Option("--key", help="Your private key: a file, or pkcs11:token=…;object=…?module-path=… of a token.")
]
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file whose first line is the key's passphrase, or the token's PIN."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is published.")]
HERE = Path("programme")


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def opened(programme: Path, key: str, passphrase: Path | None) -> Session:
    """Open a programme's folder as the person whose private key this is, now."""
    return Session(Folder(programme), keys.signer(key, passphrase), now())


def done(folder: Folder, digest: str, as_json: bool) -> int:
    """What became of a certificate."""
    entry = next(one for one in life.overview(folder, now()) if one["certificate"] == digest)
    said = {key: entry[key] for key in ("certificate", "subject", "state", "since", "by", "reason", "valid_until")}
    links = {"file": str(folder.certificate_file(digest)), "status": str(folder.newest())}
    show.plain({key: value for key, value in (said | links).items() if value}, as_json)
    return 0


@command(certificate_app, "issue")
def issue_command(
    run: Run,
    key: OwnKey,
    waived: Annotated[
        list[str] | None, typer.Option("--waiver", help="A waiver's digest, for what failed; again for more.")
    ] = None,
    inherited: Annotated[
        list[str] | None,
        typer.Option(
            "--inherit", help="A valid certificate's digest, for what this rig could not decide; again for more."
        ),
    ] = None,
    programme: Where = HERE,
    passphrase: Passphrase = None,
    as_json: Json = False,
) -> int:
    """Judge a run's record anew and sign for the lab; provisional until a second person approves."""
    session = opened(programme, key, passphrase)
    return done(session.folder, life.issue(session, run, waived or (), inherited or ()), as_json)


def with_run(name: str, act: Callable[[Session, str, Path], str], doc: str) -> None:
    """A command about a certificate and a run whose record is judged anew."""

    def acting(
        wanted: Wanted,
        run: Run,
        key: OwnKey,
        programme: Where = HERE,
        passphrase: Passphrase = None,
        as_json: Json = False,
    ) -> int:
        session = opened(programme, key, passphrase)
        return done(session.folder, act(session, wanted, run), as_json)

    acting.__doc__ = doc
    command(certificate_app, name)(acting)


with_run(
    "approve",
    life.approve,
    "Judge the record anew, as the second person, and sign too: from here on the certificate is valid.",
)
with_run("renew", life.renew, "Issue it again for another time; the old one holds until the new one is approved.")
with_run(
    "challenge",
    life.challenge,
    "A record of the same combination that fails by its traces: not valid until it is looked into.",
)


def change(name: str, doc: str) -> None:
    """A command that moves a certificate to another state."""

    def changing(
        wanted: Wanted,
        reason: Reason,
        key: OwnKey,
        programme: Where = HERE,
        passphrase: Passphrase = None,
        as_json: Json = False,
    ) -> int:
        session = opened(programme, key, passphrase)
        return done(session.folder, life.step(session, name, wanted, reason), as_json)

    changing.__doc__ = doc
    command(certificate_app, name)(changing)


change("suspend", "Not valid until it is reinstated: while a challenge is looked into, for instance.")
change("reinstate", "Valid again after it was suspended; takes an approver.")
change("revoke", "Not valid any more, for ever.")


@command(certificate_app, "status")
def status_command(key: OwnKey, programme: Where = HERE, passphrase: Passphrase = None, as_json: Json = False) -> int:
    """Sign the status list anew, with today's date: who verifies takes no list that has run out."""
    file = life.restate(opened(programme, key, passphrase))
    show.plain({"status": str(file)}, as_json)
    return 0


@command(certificate_app, "list")
def list_command(programme: Where = HERE, as_json: Json = False) -> int:
    """Every certificate of the programme and its state, as the newest list has it."""
    found = life.overview(Folder(programme), now())
    show.as_data(found) if as_json else show.certificates(found)
    return 0


@command(certificate_app, "show")
def show_command(wanted: Wanted, programme: Where = HERE, as_json: Json = False) -> int:
    """One certificate: what it is about, its dates, who signed, and everything that became of it."""
    folder = Folder(programme)
    digest = folder.find(wanted)
    entry: dict[str, Any] = next((e for e in life.overview(folder, now()) if e["certificate"] == digest), {})
    if not entry:
        raise BadInput(f"{digest[:12]} is not in the status list: it was never issued here")
    show.as_data(entry) if as_json else show.certificate_life(entry)
    return 0


@command(certificate_app, "verify")
def verify_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate.")],
    programme: Where = HERE,
    status: Annotated[
        Path | None, typer.Option("--status", help="The newest status list, where it is not in the folder.")
    ] = None,
    submission: Annotated[Path | None, typer.Option("--submission", help="It must be about this submission.")] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Its record: the suites run again on the traces, and come to the same."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Does it hold today: two persons' signatures, its dates, and a fresh status list that says valid. Exits with 2 if not."""
    digest = plan.manifest_sha256(submissions.load(submission)) if submission else None
    found = life.check(Folder(programme), file, now(), status, digest)
    if record:
        life.check_record(found, record)
    if as_json:
        show.as_data(dataclasses.asdict(found))
    else:
        show.plain(
            {
                "holds": found.statement["subject"][0]["name"],
                "signed by": ", ".join(found.persons),
                "valid until": found.statement["predicate"]["life"]["valid_until"],
                **({"judged again": f"{record}, from its traces: the same"} if record else {}),
            },
            False,
        )
    return 0
