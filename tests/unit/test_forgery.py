"""What was planned is what is judged, and only what this installation sealed at the end of a run is ever signed."""

import base64
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner
from typer.testing import CliRunner

from harness import certificate, certify, processes, record, rejudge, verdicts
from harness import plan as plans
from harness.errors import BadInput
from harness.inputs import submission as submissions
from harness.inputs.inputs import taken
from harness.inputs.suite import profile_file
from harness.model import Decision, Outcome
from harness.paths import RIGS, state_folder
from harness.run import run
from harness.signing import keys, seals
from reports import badge, matrix, plot
from reports.evidence import Track
from rigs.ecus import build
from shipei.cli import app

PROFILE = """name: few
version: "1"
suites: [common, cockpit]
mandatory: [BOOT-READY-001, COCKPIT-SPEED-001, COCKPIT-CLIMATE-001]
"""
DEFECTS = {"SPEED_OFFSET_KMH": "7.3", "CONFIRM_DELAY_MS": "20000"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "few.yaml").write_text(PROFILE)
    terms = certify.Terms(profile=str(folder / "few.yaml"))
    return {
        "certified": certify.certify(build.build(folder / "s"), "sim", folder / "runs", terms).folder,
        "refused": certify.certify(build.build(folder / "bad", DEFECTS), "sim", folder / "runs", terms).folder,
        "profile": folder / "few.yaml",
        "submission": folder / "s",
    }


def copied(made, which, folder):
    return Path(shutil.copytree(made[which], folder / "run"))


def passing(made, record_folder):
    """Put the events of a device that passes in the place of its own, and make the list of digests fit."""
    (own,), (other,) = (
        [d for what, d in record.load_plan(folder).digests.items() if what.startswith("artefact:")]
        for folder in (record_folder, made["certified"] / "record")
    )
    events = (made["certified"] / "record" / record.EVENTS).read_text()
    (record_folder / record.EVENTS).write_text(events.replace(other, own))
    return record.close(record_folder)


# ---------------------------------------------------------------- what nobody sealed


def test_a_refused_run_whose_events_were_edited_and_closed_anew_is_neither_judged_nor_signed(made, tmp_path):
    folder = copied(made, "refused", tmp_path)
    passing(made, folder / "record")
    assert verdicts.of_record(folder / "record").decision is Decision.CERTIFIED
    for word in ("judge", "sign"):
        done = CliRunner().invoke(app, [word, str(folder)])
        assert (done.exit_code, "its seal is of another record" in done.stderr) == (2, True)
    assert not (folder / "certificate.json").exists()


def test_even_with_the_seal_made_anew_its_evidence_is_not_signed(made, tmp_path):
    folder = copied(made, "refused", tmp_path)
    digest = passing(made, folder / "record")
    (folder / "record" / record.SEAL).unlink()
    seals.put(folder / "record" / record.SEAL, digest, seals.VIRTUAL_RIGS)
    with pytest.raises(BadInput, match="judged again, comes to refused") as caught:
        certify.sign_run(folder, None)
    assert any("COCKPIT-SPEED-001" in what for what in caught.value.mistakes)


def test_a_record_without_a_seal_is_rejudged_and_never_signed(made, tmp_path):
    folder = copied(made, "certified", tmp_path)
    (folder / "record" / record.SEAL).unlink()
    with pytest.raises(BadInput, match="it has no seal, so that nobody knows whose it is: `shipei rejudge`"):
        certify.sign_run(folder, None)
    assert rejudge.rejudge(folder / "record").decision is Decision.CERTIFIED


def test_a_record_of_another_installation_is_never_signed_unless_the_lab_knows_that_one(made, tmp_path, monkeypatch):
    public = keys.public_pem(seals.key_of(seals.VIRTUAL_RIGS))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(BadInput, match="nobody here has a key for it"):
        certify.sign_run(made["certified"], None)
    (state_folder("seals") / f"{seals.VIRTUAL_RIGS}@bench-7.pub").write_bytes(public)  # the lab knows that one
    assert certify.unsealed(made["certified"] / "record") == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("{}", "cannot be read"),
        ("[1, 2]", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ('{"payload": "e30=", "payloadType": "x", "signatures": []}', "of another installation"),
        ("x" * 20_000, "it has no seal"),
    ],
)
def test_a_seal_that_is_none_says_so(made, tmp_path, text, why):
    folder = copied(made, "certified", tmp_path)
    (folder / "record" / record.SEAL).write_text(text)
    assert why in certify.unsealed(folder / "record")


def test_the_key_of_seals_is_its_owners_alone_and_another_for_each_bench():
    keys_of = [seals.key_of(owner) for owner in (seals.VIRTUAL_RIGS, "bench-1", "bench-1-2")]
    assert len({keys.public_pem(key) for key in keys_of}) == 3
    assert [keys.public_pem_of(key) for key in seals.known("bench-1")] == [keys.public_pem(keys_of[1])]
    for file in state_folder("seals").glob("*.pem"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_users_who_share_a_bench_have_keys_of_their_own_and_know_each_others_seals(tmp_path, monkeypatch):
    digest, file = "0" * 64, tmp_path / "seal.json"
    for user in ("ann", "bob"):
        monkeypatch.setenv("LOGNAME", user)
        seals.put(file, digest, "bench-9")
        assert (state_folder("seals") / f"bench-9@{user}.pem").is_file()
    monkeypatch.setenv("LOGNAME", "ann")
    assert seals.wrong(file, digest, "bench-9") == ""
    assert seals.wrong(file, digest, "bench-8") == "nobody here has a key for it"
    assert not list(state_folder("seals").glob("bench-8*"))


def test_a_record_that_cannot_be_sealed_is_not_begun(made, tmp_path, monkeypatch):
    (tmp_path / "state" / "shipei").mkdir(parents=True)
    (tmp_path / "state" / "shipei" / "seals").write_text("no folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with taken(made["submission"], RIGS / "sim.yaml", profile_file(str(made["profile"]))) as given:
        plan = plans.make(given)
        with pytest.raises(BadInput, match="no key to seal records with"):
            run(plan, given, tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_a_bench_without_a_golden_item_can_refuse_by_its_record_as_it_did_by_itself(made, tmp_path):
    """A device that speaks, and does not do what it should, is not silent: also where all of its frames are there from the beginning."""
    folder = copied(made, "refused", tmp_path)
    plan = folder / "record" / record.PLAN
    plan.write_text(plan.read_text().replace('"rig_kind": "simulated"', '"rig_kind": "bench"'))
    record.close(folder / "record")
    again = {j.requirement: j for j in rejudge.rejudge(folder / "record").requirements}
    assert again["COCKPIT-CLIMATE-001"].outcome is Outcome.FAIL
    assert "did not become 'Confirmed'" in again["COCKPIT-CLIMATE-001"].reason


# ---------------------------------------------------------------- what somebody wrote into while it ran


def test_a_plan_that_an_image_wrote_over_is_not_judged_and_a_matrix_that_did_not_run_is_not_certified(made, tmp_path):
    """Somebody writes into the record as soon as the first test has started."""
    spoilt = []

    def watch(test):
        if "::" in test and not spoilt:
            file = tmp_path / "record" / record.PLAN
            spoilt.append(json.loads(file.read_text()))
            file.write_text(json.dumps(spoilt[0] | {"requirements": spoilt[0]["requirements"][:1]}))
            (tmp_path / "record" / record.INPUTS / "cockpit-a.dbc").write_text('VERSION ""\n')

    with taken(made["submission"], RIGS / "sim.yaml", profile_file(str(made["profile"]))) as given:
        plan = plans.make(given)
        run(plan, given, tmp_path / "record", watch)
    assert spoilt
    assert record.load_plan(tmp_path / "record") == plan
    verdict = verdicts.of_record(tmp_path / "record")
    assert (verdict.decision, len(verdict.requirements)) == (Decision.VOID, 3)
    assert set(verdict.faults) >= {
        "somebody wrote into the plan while it was carried out",
        "dbc:body changed while the run went on",
    }


def test_an_input_that_changed_after_the_plan_was_made_is_not_run(made, tmp_path):
    with taken(made["submission"], RIGS / "sim.yaml", profile_file(str(made["profile"]))) as given:
        plan = plans.make(given)
        copy = given.submitted.folder / "cockpit-a.dbc"
        copy.chmod(0o644)
        copy.write_text(copy.read_text() + "\n")
        with pytest.raises(BadInput, match="dbc:body changed since the plan was made"):
            run(plan, given, tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_a_run_of_another_version_of_the_suites_is_not_signed(made, tmp_path, monkeypatch):
    monkeypatch.setattr(certify, "product_digests", lambda suites: {"harness": "another"})
    with pytest.raises(BadInput, match="made by another version of harness"):
        certify.sign_run(made["certified"], None)


def stated_in(file):
    return json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))["predicate"]


def test_a_sealed_run_is_signed_once_more_to_the_same_but_for_the_day_of_issue(made, tmp_path):
    folder = copied(made, "certified", tmp_path)
    before = stated_in(folder / "certificate.json")
    (folder / "certificate.json").unlink()
    certify.sign_run(folder, None)
    after = stated_in(folder / "certificate.json")
    assert {k for k in before if before[k] != after[k]} <= {"issued", "valid_until"}
    assert after["tested"] == seals.at(folder / "record" / record.SEAL)


def test_nothing_of_a_shell_reaches_the_pytest_that_judges_and_what_was_loaded_is_recorded(made, monkeypatch):
    told = json.loads((made["certified"] / "record" / record.LOADED).read_text())
    assert {"harness.pytest_plugin", "harness.fixtures"} <= set(told["plugins"])
    assert not [name for name in told["plugins"] if name in ("xdist", "randomly", "timeout", "hypothesispytest")]
    shell = {
        "PYTEST_PLUGINS": "evil",
        "PYTEST_ADDOPTS": "-p evil",
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONSTARTUP": "/x",
    }
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", "/lab/adapters")
    found = processes.environment()
    assert not shell.keys() & found.keys()
    assert found["PYTHONPATH"].endswith(":/lab/adapters")  # where a lab's own adapters lie


@pytest.mark.parametrize("name", ["rig.yaml", "./RIG.yaml", "submission.yaml", "rig.yaml/matrix.dbc"])
def test_a_matrix_called_like_a_file_of_the_record_is_refused_when_it_is_read(made, tmp_path, name):
    folder = Path(shutil.copytree(made["submission"], tmp_path / "s"))
    if "/" in name and name.endswith("dbc"):
        (folder / "rig.yaml").mkdir()
    if not (folder / name).exists():
        shutil.copyfile(folder / "cockpit-a.dbc", folder / name)
    file = folder / "submission.yaml"
    file.write_text(file.read_text().replace("dbc: cockpit-a.dbc", f"dbc: {name}"))
    with pytest.raises(BadInput, match="a record keeps a file of its own by this name"):
        submissions.read(folder)


@pytest.mark.parametrize("which", ["submission.yaml", "cockpit-a.dbc", "cockpit-a.vss_dbc.json", "cockpit-1.4.0.pyz"])
def test_a_pipe_in_a_submission_is_not_waited_for(made, tmp_path, which):
    folder = Path(shutil.copytree(made["submission"], tmp_path / "s"))
    (folder / which).unlink()
    os.mkfifo(folder / which)
    with pytest.raises(BadInput, match="is no regular file|no such file"):
        submissions.read(folder)


def test_a_link_does_not_tell_what_stands_in_a_file_of_the_labs(made, tmp_path):
    folder = Path(shutil.copytree(made["submission"], tmp_path / "s"))
    (tmp_path / "secret").write_text("password: [hunter2")
    (folder / "submission.yaml").unlink()
    (folder / "submission.yaml").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match="is a link that leads outside") as caught:
        submissions.read(folder)
    assert "hunter2" not in str(caught.value)


def test_thousands_of_mistakes_cost_no_time_and_fill_no_screen(made, tmp_path):
    folder = Path(shutil.copytree(made["submission"], tmp_path / "s"))
    many = {f"Speeed{n}": {"type": "sensor", "datatype": "float", "dbc2vss": {"signal": "x"}} for n in range(6_000)}
    (folder / "cockpit-a.vss_dbc.json").write_text(
        json.dumps({"Vehicle": {"type": "branch", "children": many}}, indent=0)
    )
    done = CliRunner().invoke(app, ["submission", "check", str(folder)])
    assert done.exit_code == 2
    assert "more, or that many at least" in done.stderr
    assert len(done.stderr.splitlines()) < 110


# ---------------------------------------------------------------- what is published


@pytest.fixture
def runs(made, tmp_path):
    """A folder of runs with the certified one as 1, the refused one, of the same combination by its names, as 2."""
    folder = tmp_path / "runs" / made["certified"].parent.name
    for number, which in (("1", "certified"), ("2", "refused")):
        shutil.copytree(made[which], folder / number)
    return folder


def tiles(runs, **options):
    found = matrix.collect(runs.parent, **options)
    return {c.run.rpartition("/")[2]: c.state for c in found.cells}, found.left_out


def test_a_refused_image_that_claims_the_same_combination_has_a_tile_of_its_own(runs):
    assert tiles(runs) == ({"1": "certified", "2": "refused"}, ())


def test_what_is_written_beside_a_record_moves_no_tile(runs, tmp_path):
    shutil.copyfile(runs / "1" / "verdict.json", tmp_path / "kept")
    shutil.copyfile(runs / "2" / "verdict.json", runs / "1" / "verdict.json")
    shutil.copyfile(tmp_path / "kept", runs / "2" / "verdict.json")
    shutil.copyfile(runs / "1" / "certificate.json", runs / "2" / "certificate.json")
    assert tiles(runs) == ({"1": "certified", "2": "refused"}, ())
    badge.write(runs / "2", tmp_path)
    assert "refused, virtual rig" in (tmp_path / "badge.svg").read_text()
    assert "certified" not in (tmp_path / "badge.json").read_text()


@pytest.mark.parametrize("what", ["record", "plan", "profile"])
def test_a_certificate_of_another_record_is_no_certificate_of_this_one(runs, what):
    """With the demo key anyone signs anything; that it is about this run is not theirs to say."""
    file = runs / "1" / "certificate.json"
    stated = json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))
    stated["predicate"][what] = {"sha256": "0" * 64} if what == "record" else "another"
    envelope = Envelope(payload=json.dumps(stated).encode(), payload_type=certificate.PAYLOAD_TYPE, signatures={})
    envelope.sign(CryptoSigner(certificate.demo_key()))
    file.write_text(json.dumps(envelope.to_dict()))
    (cell,) = (c for c in matrix.collect(runs.parent).cells if c.run.endswith("/1"))
    assert (cell.state, f"is of another {what}" in cell.why) == ("unverified", True)


def test_a_run_without_its_certificate_is_not_certified(runs):
    (runs / "1" / "certificate.json").unlink()
    assert tiles(runs)[0]["1"] == "unverified"


def test_a_hardware_tile_takes_a_certificate_and_the_labs_key(runs, tmp_path):
    plan = runs / "1" / "record" / record.PLAN
    plan.write_text(plan.read_text().replace('"rig_kind": "simulated"', '"rig_kind": "bench"'))
    seals.put(runs / "1" / "record" / record.SEAL, record.close(runs / "1" / "record"), "sim")
    public = keys.new(tmp_path / "lab.pem")
    for key, why in ((None, "is verified with the lab's key"), (public, "was not signed with")):
        (cell,) = (c for c in matrix.collect(runs.parent, key).cells if c.run.endswith("/1"))
        assert (cell.state, cell.virtual, why in cell.why) == ("unverified", False, True)


def test_a_made_up_record_under_a_demo_signature_is_no_certified_tile(runs):
    """With the demo key anyone signs; without a seal of ours nobody has run it."""
    record_folder = runs / "1" / "record"
    plan = json.loads((record_folder / record.PLAN).read_text())
    (record_folder / record.PLAN).write_text(json.dumps(plan | {"profile": "driving-assistance-1.0"}))
    (record_folder / record.SEAL).unlink()
    record.close(record_folder)
    decided, verdict = record.load_plan(record_folder), verdicts.of_record(record_folder)
    forged = certificate.sign(decided, verdict, certify.opened(record_folder), None)
    certificate.write(runs / "1" / "certificate.json", forged)
    (cell,) = (c for c in matrix.collect(runs.parent).cells if c.run.endswith("/1"))
    assert (cell.state, "it has no seal" in cell.why) == ("unverified", True)


def test_what_nobody_sealed_hides_no_verified_tile(runs):
    shutil.copytree(runs / "1", runs / "77")
    (runs / "77" / "record" / "more").write_text("x")
    record.close(runs / "77" / "record")
    found, left_out = tiles(runs)
    assert found == {"1": "certified", "2": "refused"}
    assert any("/77: " in one and "stands" in one for one in left_out)


@pytest.mark.parametrize("command", ["matrix", "report"])
def test_a_key_that_is_none_is_the_persons_mistake_and_no_tile_without_a_word(runs, tmp_path, command):
    (tmp_path / "bad.pub").write_text("x")
    where = {"matrix": ("--runs", runs.parent), "report": (runs / "1",)}[command]
    for key, said in (("nothere", "cannot be read"), (tmp_path / "bad.pub", "not a public key in PEM")):
        done = CliRunner().invoke(app, [command, *map(str, where), "--key", str(key)])
        assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_refusal_that_nobody_sealed_is_not_verified(runs):
    (runs / "2" / "record" / record.SEAL).unlink()
    assert tiles(runs) == ({"1": "certified", "2": "unverified"}, ())


def test_copies_and_broken_folders_are_left_out_by_name_and_end_nothing(runs):
    shutil.copytree(runs / "1", runs / "3")
    shutil.copytree(runs / "1", runs.parent / "somebody-else" / "1")
    shutil.copytree(runs / "2", runs / "old")
    shutil.copytree(runs / "2", runs / "4")
    (runs / "4" / "record" / record.PLAN).unlink()
    shutil.copytree(runs / "2", runs / "5")
    (runs / "5" / "record" / record.EVENTS).write_text("not json\n")
    found, left_out = tiles(runs)
    assert found == {"1": "certified", "2": "refused"}
    said = dict(one.split(": ", 1) for one in left_out)
    assert {name.rpartition("/")[2] for name in said if name.startswith(runs.name)} == {"3", "old", "4", "5"}
    assert "is a copy of" in said[f"{runs.name}/3"]
    assert "not an event" in said[f"{runs.name}/5"]
    assert "somebody-else/1" in said
    shown = matrix.write(runs.parent)[1]["html"].read_text()
    assert all(name in shown for name in said)


# ---------------------------------------------------------------- what is shown


def test_a_report_that_fails_is_said_and_never_changes_the_verdicts_exit_code(made, tmp_path, monkeypatch):
    def fail(*given):
        raise ValueError("bad \x1b[2J formula")

    monkeypatch.setattr("reports.pages.write", fail)
    monkeypatch.setattr("reports.allure.write", fail)
    how = ("--runs", tmp_path, "--no-report", "--profile", made["profile"])
    done = CliRunner().invoke(app, ["certify", str(made["submission"]), *map(str, how)])
    assert done.exit_code == 0, done.stderr
    assert "the page is missing: ValueError: bad \ufffd[2J formula" in done.stderr
    (run,) = (tmp_path).glob("*/1")
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 3
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 2


@pytest.mark.parametrize("text", ["$\\frac{$", "$x_$", "a $ b $ c", "$$"])
def test_what_a_vendor_calls_a_signal_is_no_formula(text):
    track = Track(name=text, sent_by_bench=True, time_s=[0.0, 1.0], values=[text, f"{text}{text}"])
    figure = plot.signals_figure([track], text, text)
    assert plot.as_svg(figure).startswith("<?xml")
    assert plot.as_png(figure)
