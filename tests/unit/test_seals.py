"""What was planned is what is judged, and only what this installation sealed at the end of a run is ever signed."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import certificate, certify, documents, record, rejudge, verdicts
from harness import plan as plans
from harness.errors import BadInput
from harness.inputs.inputs import taken
from harness.inputs.suite import profile_file
from harness.model import Decision, Outcome
from harness.paths import RIGS, state_folder
from harness.run import run
from harness.signing import keys, seals
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
    with pytest.raises(BadInput, match="of another installation"):
        certify.sign_run(made["certified"], None)
    (state_folder("seals") / f"{seals.VIRTUAL_RIGS}-bench-7.pub").write_bytes(public)  # the lab knows that one
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
    keys_of = [seals.key_of(owner) for owner in (seals.VIRTUAL_RIGS, "bench-1", "bench-2")]
    assert len({keys.public_pem(key) for key in keys_of}) == 3
    for file in state_folder("seals").glob("*.pem"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state_folder("seals").stat().st_mode) == 0o700


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


def test_a_sealed_run_is_signed_once_more_the_same(made, tmp_path):
    folder = copied(made, "certified", tmp_path)
    before = (folder / "certificate.json").read_bytes()
    os.unlink(folder / "certificate.json")
    certify.sign_run(folder, None)
    assert (folder / "certificate.json").read_bytes() == before
    assert (
        certificate.verify(folder / "certificate.json")["predicate"]["plan"] == record.load_plan(folder / "record").id
    )
    assert documents.dump(record.load_plan(folder / "record"))["signable"]
