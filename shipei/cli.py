"""`shipei`: every stage as a command, and the whole as one. Exit codes: 0 certified, 1 refused, 2 your mistake, 3 void or ours."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import certificate, certify, documents, plan, record, rejudge, verdicts
from harness.batch import sweep
from harness.batch.campaign import Campaign
from harness.certify import Terms
from harness.documents import meant
from harness.errors import BadInput
from harness.inputs import archive as intake
from harness.inputs import inputs, rig, suite
from harness.inputs import submission as submissions
from harness.model import (
    Certificate,
    Event,
    Manifest,
    Plan,
    Profile,
    Requirement,
    Rig,
    Submission,
    Verdict,
)
from harness.paths import EXAMPLES, sha256
from harness.signing import keys
from harness.verdicts import EXIT
from programme.folder import Programme
from publication.job import Site
from reports.job import ReportJob
from shipei import campaign_command, show, vcan_command
from shipei.certificate_command import OwnKey, Passphrase, certificate_app
from shipei.ci_command import ci_command
from shipei.command import (
    Json,
    KeyFile,
    ProfileName,
    PublicKeyFile,
    Report,
    RigName,
    Runs,
    SubmissionPath,
    Verbose,
    Wait,
    command,
)
from shipei.compare_command import compare_command
from shipei.images_command import images_app
from shipei.judge_log_command import judge_log_command
from shipei.odx_command import odx_command
from shipei.publish_command import publish_command
from shipei.rig_commands import rig_app
from shipei.store_command import store_app
from shipei.trace_command import trace_app
from shipei.waiver_command import waiver_app

app = typer.Typer(
    help="Certify a software image on a chip x OS x application, and show why.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
submission_app = typer.Typer(help="What vendors hand in.", no_args_is_help=True)
key_app = typer.Typer(help="Signing keys.", no_args_is_help=True)
app.add_typer(rig_app, name="rig")
app.add_typer(submission_app, name="submission")
app.add_typer(images_app, name="images")
app.add_typer(key_app, name="key")
app.add_typer(certificate_app, name="certificate")
app.add_typer(waiver_app, name="waiver")
app.add_typer(store_app, name="store")
app.add_typer(trace_app, name="trace")
command(app, "judge-log")(judge_log_command)
command(app, "compare")(compare_command)
command(app, "ci")(ci_command)
command(app, "publish")(publish_command)
command(submission_app, "odx")(odx_command)
vcan_command.add_to(app)
campaign_command.add_to(app)

NOUNS: dict[str, Any] = {
    "submission": Submission,
    "rig": Rig,
    "profile": Profile,
    "requirements": tuple[Requirement, ...],
    "plan": Plan,
    "record": Event,
    "manifest": Manifest,
    "verdict": Verdict,
    "certificate": Certificate,
    "campaign": Campaign,
    "programme": Programme,
    "report": ReportJob,
    "site": Site,
}


@command(app, "certify")
def certify_command(
    submission: SubmissionPath,
    rig_name: RigName = "sim",
    folder: Runs = Path("runs"),
    profile: ProfileName = None,
    key: KeyFile = None,
    wait_s: Wait = 0.0,
    report: Report = True,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Plan, run, judge, sign and report: the whole way from a submission to a certificate."""
    with show.progress(as_json, verbose=verbose) as watch:
        done = certify.certify(submission, rig_name, folder, Terms(profile=profile, key=key, wait_s=wait_s), watch)
    links = show.views(done.folder, report, as_json, key)
    show.verdict(done.verdict, done.plan, {"run": str(done.folder), "certificate": done.certificate, **links}, as_json)
    return EXIT[done.verdict.decision]


@command(app, "demo")
def demo_command(
    ecus: Annotated[
        list[str] | None, typer.Argument(metavar="[ECU]...", help="reference ECUs; all of them if none is named")
    ] = None,
    folder: Runs = Path("runs"),
    rig_name: RigName = "sim",
    report: Report = True,
    as_json: Json = False,
) -> int:
    """Build the reference ECUs of two vendors and certify them; ends with the matrix."""
    from rigs.ecus import build

    for ecu in ecus or ():
        if ecu not in build.ECUS:
            raise BadInput(f"there is no reference ECU {ecu!r}{meant(ecu, build.ECUS)}")
    codes = []
    for ecu in ecus or build.ECUS:
        built = build.build(folder / "submissions" / ecu, ecu=ecu)
        with show.progress(as_json, ecu) as watch:
            done = certify.certify(built, rig_name, folder, watch=watch)
        links = show.views(done.folder, report, as_json)
        links = {"run": str(done.folder), "certificate": done.certificate, **links}
        show.verdict(done.verdict, done.plan, links, as_json, brief=len(ecus or build.ECUS) > 1)
        codes.append(EXIT[done.verdict.decision])
    _, files = show.matrix(folder, as_json=as_json)
    if not as_json:
        show.plain(files, as_json)
    return max(codes)


@command(app, "desk")
def desk_command(
    folder: Annotated[Path, typer.Argument(help="Where its devices appear, and its rig file.")],
    as_json: Json = False,
) -> int:
    """Put up a simulated bench to try rig files on: supply, console, CAN adapter, a board with a boot loader. Until Ctrl-C."""
    from shipei.desk import main as desk

    return desk([str(folder)])


@command(app, "sweep")
def sweep_command(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario's id, such as AEB-CCRS.")],
    submission: Annotated[Path, typer.Option("--submission", "-s", help="The submission's folder or submission.yaml.")],
    over: Annotated[
        list[str],
        typer.Option("--over", help=f"{', '.join(sweep.AXES)}; or NAME=FROM:TO:POINTS, NAME=VALUE,VALUE; FIELD=..."),
    ],
    fixed: Annotated[list[str] | None, typer.Option("--set", help="FIELD=NUMBER, for what does not vary.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How often each point is driven.")] = 1,
    fails_above: Annotated[str, typer.Option("--fails-above", help="QUANTITY=NUMBER; default impact_kmh=0.")] = "",
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one for every CPU.")] = 0,
    folder: Annotated[Path, typer.Option("--sweeps", help="Where sweeps are kept.")] = Path("sweeps"),
    as_json: Json = False,
) -> int:
    """Find where a driving function begins to fail; draws the boundary. Goes on where it was stopped."""
    order = sweep.Order(scenario=scenario, over=over, fixed=fixed or (), seeds=seeds, limit=fails_above)
    wanted = sweep.make(submission, order)
    output = folder / sweep.folder_name(wanted)
    with show.counting(as_json, scenario) as watch:
        found = sweep.run(wanted, output, workers, watch)
    show.sweep(found, output, as_json)
    return 0


def profile_of(named: str | None) -> Path | None:
    """The file of a profile other than the submission's own."""
    return suite.profile_file(named) if named else None


@command(app, "plan")
def plan_command(
    submission: SubmissionPath,
    rig_name: RigName = "sim",
    profile: ProfileName = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Requirements whose id starts with this; never signable.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the plan here.")] = None,
    as_json: Json = False,
) -> int:
    """Decide what would be tested, by which limits, from which exact inputs."""
    decided = plan.make(inputs.load(submission, rig.locate(rig_name), profile_of(profile)), only)
    if output:
        record.write_json(output, documents.dump(decided))
    show.plan(decided, output, as_json)
    return 0


@command(app, "run")
def run_command(
    submission: SubmissionPath,
    rig_name: RigName = "sim",
    folder: Runs = Path("runs"),
    profile: ProfileName = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Requirements whose id starts with this; never signable.")
    ] = None,
    wait_s: Wait = 0.0,
    as_json: Json = False,
) -> int:
    """Plan and carry out the tests; leaves a sealed record and no verdict."""
    terms = Terms(profile=profile, only=only)
    with certify.planned(submission, rig_name, terms) as (decided, given), show.progress(as_json) as watch:
        kept = certify.carry_out(decided, given, folder, wait_s, watch) / verdicts.RECORD
    show.plain({"record": str(kept), "sha256": sha256(kept / record.DIGESTS)}, as_json)
    return 0


@command(app, "judge")
def judge_command(run: Annotated[Path, typer.Argument(help="A run's folder.")], as_json: Json = False) -> int:
    """Recompute the verdict from a run's record and write it."""
    certify.must_be_sealed(run / verdicts.RECORD)
    found = verdicts.of_record(run / verdicts.RECORD)
    verdicts.write(run, found)
    decided = record.load_plan(run / verdicts.RECORD)
    show.verdict(found, decided, {"run": str(run)}, as_json)
    return EXIT[found.decision]


@command(app, "rejudge")
def rejudge_command(
    folder: Annotated[Path, typer.Argument(metavar="RECORD", help="A record's folder, or the run that holds it.")],
    as_json: Json = False,
) -> int:
    """Run the suites again on the recorded traces, without a rig, and judge anew."""
    folder = folder / verdicts.RECORD if (folder / verdicts.RECORD).is_dir() else folder
    with show.progress(as_json) as watch:
        found = rejudge.rejudge(folder, watch)
    show.verdict(found, record.load_plan(folder), {"record": str(folder)}, as_json)
    return EXIT[found.decision]


@command(app, "sign")
def sign_command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")], key: KeyFile = None, as_json: Json = False
) -> int:
    """Judge a run's evidence anew and, if it is certified, sign a certificate."""
    with show.progress(as_json) as watch:
        signed = certify.sign_run(run, key, watch)
    show.plain({"certificate": str(signed)}, as_json)
    return 0


DEMO_SIGNED = 4  # the exit code of a certificate that holds, and that anyone could have signed


@command(app, "verify")
def verify_command(
    file: Annotated[Path, typer.Argument(metavar="CERTIFICATE")],
    key: Annotated[Path | None, typer.Option("--key", help="The lab's public key; without it, the demo key.")] = None,
    submission: Annotated[Path | None, typer.Option("--submission", help="It must be about this submission.")] = None,
    as_json: Json = False,
) -> int:
    """Check a certificate: signature, form, subject. Says what is wrong, and exits with 2, if it does not hold; with 4 if only the demo key,
    which everyone has, signed it.
    """
    found = certificate.verify(file, key)
    if submission:
        given = submissions.read(submission)
        certificate.must_be_about(file, found, plan.manifest_sha256(given.submission), given.digests)
    show.certificate(found, as_json)
    return DEMO_SIGNED if found.demo else 0


@command(app, "report")
def report_command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="A test report by this file (`shipei schema report --example`).")
    ] = None,
    key: PublicKeyFile = None,
    as_json: Json = False,
) -> int:
    """Build the report of a run from its record: Allure, JUnit, a page for every requirement; or a test report as PDF."""
    record.load_plan(run / verdicts.RECORD)
    if key is not None:
        keys.verifying(key)
    links = {"pdf": show.test_report(run, pdf)} if pdf else show.views(run, True, as_json, key)
    show.plain(links, as_json)
    return 3 if any(name in links for name in ("junit_missing", "page_missing")) else 0


@command(app, "export")
def export_command(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    form: Annotated[str, typer.Option("--format", help="blf, asc, log (candump), csv, trc.")] = "blf",
    as_json: Json = False,
) -> int:
    """Write a run's traces in the form of other tools, beside its record."""
    show.plain(show.exported(run, form), as_json)
    return 0


@command(app, "matrix")
def matrix_command(folder: Runs = Path("runs"), key: PublicKeyFile = None, as_json: Json = False) -> int:
    """The compatibility matrix of all runs, here and as Markdown, HTML and JSON. A tile is certified by a certificate that holds."""
    _, links = show.matrix(folder, key, as_json=as_json)
    if as_json:
        sys.stdout.write((folder / "matrix.json").read_text(encoding="utf-8"))
    else:
        show.plain(links, False)
    return 0


@command(app, "schema")
def schema_command(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(NOUNS)}.")],
    example: Annotated[bool, typer.Option("--example", help="A commented example instead of the schema.")] = False,
    as_json: Json = True,
) -> int:
    """The JSON Schema of a format, for editors; or a commented example of it."""
    if name not in NOUNS:
        raise BadInput(f"unknown format {name!r}{documents.meant(name, NOUNS)}")
    if example:
        sys.stdout.write((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    else:
        sys.stdout.write(json.dumps(documents.schema(NOUNS[name]), indent=1, ensure_ascii=False) + "\n")
    return 0


@command(submission_app, "new")
def submission_new(folder: Annotated[Path, typer.Argument()], as_json: Json = False) -> int:
    """Write a commented submission.yaml to start from."""
    show.plain({"submission": str(intake.new(folder))}, as_json)
    return 0


@command(submission_app, "check")
def submission_check(submission: SubmissionPath, as_json: Json = False) -> int:
    """Say everything that is wrong with a submission at once."""
    loaded = submissions.load(submission)
    suite.load_profile(suite.profile_file(loaded.profile))
    show.plain({"combination": str(loaded.combination), "manifest_sha256": plan.manifest_sha256(loaded)}, as_json)
    return 0


@command(submission_app, "pack")
def submission_pack(
    submission: SubmissionPath,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("submission.zip"),
    as_json: Json = False,
) -> int:
    """Check a submission and put exactly the files that it names into an archive, the same bytes every time."""
    show.plain({"archive": str(output), "sha256": intake.pack(submission, output)}, as_json)
    return 0


@command(submission_app, "unpack")
def submission_unpack(
    archive: Annotated[Path, typer.Argument()], folder: Annotated[Path, typer.Argument()], as_json: Json = False
) -> int:
    """Take in an archive: nothing leaves the folder, nothing runs, sizes are limited; then check the submission."""
    show.plain({"submission": str(intake.unpack(archive, folder))}, as_json)
    return 0


@command(key_app, "new")
def key_new(
    file: Annotated[Path, typer.Argument(help="Where to write the private key.")],
    kind: Annotated[str, typer.Option("--kind", help=f"{' or '.join(keys.KINDS)}.")] = "ed25519",
    passphrase: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Keep it with the first line of this file.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Make a key pair for the lab, or for a person of a programme."""
    show.plain({"private": str(file), "public": str(keys.new(file, kind, passphrase))}, as_json)
    return 0


@command(key_app, "public")
def key_public(key: OwnKey, passphrase: Passphrase = None, as_json: Json = False) -> int:
    """The public half of a key, also of one in a token, as PEM."""
    found = keys.public_pem(keys.signer(key, passphrase)).decode()
    show.as_data({"public": found}) if as_json else sys.stdout.write(found)
    return 0


def main() -> None:
    """The console script."""
    app()
