"""The whole pipeline for one submission on one rig: plan, run, judge, sign; everything in one numbered folder of runs/."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness import certificate, compare, record, verdicts
from harness import plan as plans
from harness.bench import claim
from harness.bench.claim import Hold
from harness.commissioning import golden
from harness.compare import Comparison
from harness.errors import BadInput
from harness.inputs import rig
from harness.inputs.inputs import Inputs, taken
from harness.inputs.rig import RigFile
from harness.inputs.suite import profile_file
from harness.model import Decision, Event, Plan, Verdict
from harness.paths import sha256
from harness.plan import product_digests
from harness.rejudge import rejudge
from harness.run import Watch, new_folder, run, sealer
from harness.signing import seals
from harness.verdicts import CERTIFICATE, RECORD


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What a certification left behind; `certificate` is None unless the verdict is certified, `compared` where no run of its kin was before."""

    folder: Path
    plan: Plan
    verdict: Verdict
    certificate: Path | None
    compared: Comparison | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms: a profile other than the submission's, only requirements whose id starts with something (never signed), the lab's key,
    how long to wait for the bench in s.
    """

    profile: str | None = None
    only: str | None = None
    key: Path | None = None
    wait_s: float = 0.0


def folder_name(plan: Plan) -> str:
    return f"{plan.vendor}-{str(plan.combination).replace('/', '-')}-{plan.rig}"


def certify(
    submission: Path,
    rig_name: str,
    runs: Path,
    terms: Terms | None = None,
    watch: Watch = lambda test: None,
) -> Certified:
    """Plan, run, judge and, if certified, sign. Raises BadInput before anything is written when an input is wrong, and RigError
    when the bench is not free in time."""
    terms = terms or Terms()
    with planned(submission, rig_name, terms) as (plan, given):
        certificate.check_key(plan, terms.key)
        folder = carry_out(plan, given, runs, terms.wait_s, watch)
    return replace(decide(folder, terms.key), compared=compare.against_last(folder, runs))


@contextmanager
def planned(submission: Path, rig_name: str, terms: Terms) -> Iterator[tuple[Plan, Inputs]]:
    """The plan of what is submitted on a rig, and the private copies that it is of. Raises BadInput when an input is wrong."""
    with taken(submission, rig.locate(rig_name), profile_file(terms.profile) if terms.profile else None) as given:
        yield plans.make(given, terms.only), given


def carry_out(plan: Plan, given: Inputs, runs: Path, wait_s: float, watch: Watch) -> Path:
    """Run a plan on its rig, held meanwhile, into a new folder in `runs`, which is returned; nothing is judged."""
    with bench(given.rig, str(plan.combination), wait_s, watch) as hold:
        folder = new_folder(runs, folder_name(plan))
        run(plan, given, folder / RECORD, watch, hold)
    return folder


def unsealed(folder: Path) -> str:
    """Why a record is not one that this installation sealed at the end of a run; empty if it is."""
    digests = folder / record.DIGESTS
    plan = record.load_plan(folder)
    why = seals.wrong(folder / record.SEAL, sha256(digests) if digests.is_file() else "", sealer(plan))
    return f"{folder}: {why}, so that nobody knows whose it is" if why else ""


def must_be_sealed(folder: Path) -> None:
    """Raises BadInput for a record that this installation did not seal at the end of a run."""
    if why := unsealed(folder):
        raise BadInput(f"{why}: `shipei rejudge` judges its evidence again; it is never signed")


def decide(folder: Path, key: Path | None = None) -> Certified:
    """Judge a run's sealed record, and sign if it is certified and not signed yet."""
    must_be_sealed(folder / RECORD)
    plan, verdict = record.load_plan(folder / RECORD), verdicts.of_record(folder / RECORD)
    verdicts.write(folder, verdict)
    signed = folder / CERTIFICATE if verdict.decision is Decision.CERTIFIED else None
    if signed and not signed.is_file():
        certificate.write(signed, certificate.sign(plan, verdict, opened(folder / RECORD), key, tested(folder)))
    return Certified(folder=folder, plan=plan, verdict=verdict, certificate=signed)


@contextmanager
def bench(rig: RigFile, what: str, wait_s: float, watch: Watch) -> Iterator[Hold]:
    """The rig for oneself, if it is qualified; with its golden check, if it has one."""
    golden.must_be_qualified(rig)
    with claim.held(rig, what, wait_s=wait_s, tell=watch) as hold:
        hold.golden = golden.golden_check(rig, hold, watch)
        yield hold


def opened(folder: Path) -> tuple[Event, ...]:
    """What each port said when it opened: its uncertainty, and how the image arrived."""
    return tuple(e for e in record.events(folder) if e.what == "opened")


def tested(run: Path) -> str:
    """When a run's record was sealed."""
    return seals.at(run / RECORD / record.SEAL)


def sign_run(folder: Path, key: Path | None, watch: Watch = lambda test: None) -> Path:
    """Sign a run whose record is sealed, after its suites ran again on the recorded evidence: neither verdict.json nor events are believed."""
    must_be_sealed(folder / RECORD)
    plan, verdict = record.load_plan(folder / RECORD), verdicts.of_record(folder / RECORD)
    others = [name for name, digest in product_digests(plan.suites).items() if plan.digests.get(name) != digest]
    if others:
        raise BadInput(f"{folder}: was made by another version of {', '.join(others)}; that version signs it")
    certificate.check_certifiable(plan, verdict)
    again = rejudge(folder / RECORD, watch)
    if again.decision is not Decision.CERTIFIED:
        raise BadInput(
            [f"{folder}: its evidence, judged again, comes to {again.decision.value}", *verdicts.troubles(again)]
        )
    file = folder / CERTIFICATE
    certificate.write(file, certificate.sign(plan, verdict, opened(folder / RECORD), key, tested(folder)))
    return file
