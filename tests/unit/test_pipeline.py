"""One submission, one rig, one command; and a verdict that can be judged again, whatever somebody does to its evidence."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness import certificate, certify, documents, record, rejudge, verdicts
from harness import plan as plans
from harness.can import decode, trace
from harness.errors import BadInput
from harness.inputs import inputs
from harness.inputs import submission as submissions
from harness.model import Decision, Outcome
from harness.paths import RIGS, sha256
from harness.ports import TX
from rigs.ecus import build
from tests.support.stores import PROFILE

CLUSTER = 0x200
PART = """name: part
version: "1"
suites: [common, cockpit]
mandatory: [BOOT-READY-001, CAN-CYCLE-001, CAN-MATRIX-001, COCKPIT-SPEED-001, UDS-READ-001]
"""


def certify_part(folder, constants=None, rig="sim"):
    """Certify a build of the reference by a few requirements of each kind; tests/proofs certifies by whole profiles."""
    (folder / "part.yaml").write_text(PART)
    return certify.certify(
        build.build(folder / "s", constants), rig, folder / "runs", certify.Terms(profile=str(folder / "part.yaml"))
    )


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    return certify_part(tmp_path_factory.mktemp("certified"))


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    return certify_part(tmp_path_factory.mktemp("refused"), {"SPEED_OFFSET_KMH": "7.3"})


@pytest.fixture
def run(certified, tmp_path):
    """A copy of the certified run, to be tampered with."""
    return Path(shutil.copytree(certified.folder, tmp_path / "run"))


def outcomes(verdict):
    return {j.requirement: j.outcome for j in verdict.requirements}


def rewrite(folder, change):
    file = folder / "record" / record.EVENTS
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))


def test_the_reference_is_certified_and_its_certificate_holds(certified):
    assert certified.verdict.decision is Decision.CERTIFIED
    statement = certificate.verify(certified.certificate, manifest_sha256=certified.plan.manifest_sha256).statement
    assert statement["subject"][0]["name"] == "virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0"
    assert statement["predicateType"] == "urn:shipei:virtual-certificate:v1"
    predicate = statement["predicate"]
    assert {r["outcome"] for r in predicate["requirements"]} == {"pass"}
    assert {"artefact:application", "rig", "dbc:body", "suite:common", "profile", "harness"} <= set(predicate["inputs"])
    assert predicate["rig"]["uncertainty_ms"] == {"power": 0, "console": 0, "body": 0}
    assert predicate["image"] == [
        {
            "image_arrived": "started from a private copy on the rig's host",
            "image_sha256": predicate["inputs"]["artefact:application"],
        }
    ]
    assert predicate["record"]["sha256"] == certified.verdict.record_sha256


def test_the_same_inputs_give_the_same_trace_byte_for_byte(certified, tmp_path):
    again = certify_part(tmp_path)
    first, second = ((r.folder / "record" / "trace-body.bin").read_bytes() for r in (certified, again))
    assert first == second
    assert again.plan == certified.plan


def test_rejudging_gives_every_measurement_again(certified, refused):
    for done in (certified, refused):
        found = rejudge.rejudge(done.folder / "record")
        assert found.requirements == done.verdict.requirements
        assert found.decision is done.verdict.decision


def test_a_sample_moved_across_the_limit_flips_the_rejudgement(run):
    """40 km/h shown as 39.9: only the raw trace says so; measurements, digests and verdict are as they were or made anew."""
    file = run / "record" / "trace-body.bin"
    rows, _ = trace.load(file)
    rows = rows.copy()
    chosen = np.flatnonzero((rows["id"] == CLUSTER) & (rows["data"][:, 3:5].copy().view("<u2")[:, 0] == 418))
    assert len(chosen) > 10
    rows["data"][chosen, 3:5] = np.frombuffer((399).to_bytes(2, "little"), np.uint8)
    head = file.read_bytes()[: trace.HEADER]
    file.write_bytes(head + rows.tobytes())
    assert verdicts.of_record(run / "record").decision is Decision.VOID  # the seal
    with pytest.raises(BadInput, match=r"trace-body.bin was altered after the run"):
        rejudge.rejudge(run / "record")
    record.close(run / "record")
    assert verdicts.of_record(run / "record").decision is Decision.CERTIFIED
    found = rejudge.rejudge(run / "record")
    assert found.decision is Decision.REFUSED
    assert {r for r, o in outcomes(found).items() if o is not Outcome.PASS} == {"COCKPIT-SPEED-001"}


def test_a_request_of_ours_that_is_gone_from_the_trace_is_a_miss_and_no_endless_search(run):
    file = run / "record" / "trace-body.bin"
    rows, _ = trace.load(file)
    last = np.flatnonzero((rows["id"] == 0x7A0) & (rows["flags"] & TX != 0))[-1]
    raw = bytearray(file.read_bytes()[: trace.HEADER])
    raw[trace.COUNT : trace.COUNT + 8] = trace.FIELD.pack(len(rows) - 1)
    file.write_bytes(bytes(raw) + np.delete(rows, last).tobytes())
    record.close(run / "record")
    found = rejudge.rejudge(run / "record")
    assert found.decision is Decision.VOID
    assert [
        "the record has no frame of ours" in j.reason for j in found.requirements if j.outcome is not Outcome.PASS
    ] == [True]


def test_a_measurement_moved_inside_the_limit_does_not_survive_the_rejudgement(refused, tmp_path):
    run = Path(shutil.copytree(refused.folder, tmp_path / "run"))

    def cheat(lines):
        for line in lines:
            if line.get("name") == "speed_error":
                line["value"] = 5.0 if line["value"] > 8 else line["value"]
            yield line

    rewrite(run, cheat)
    record.close(run / "record")
    assert verdicts.of_record(run / "record").decision is Decision.CERTIFIED
    assert rejudge.rejudge(run / "record").decision is Decision.REFUSED


def test_a_passed_test_without_its_measurements_is_an_error(run):
    rewrite(run, lambda lines: [e for e in lines if e.get("name") != "speed_error"])
    record.close(run / "record")
    verdict = verdicts.of_record(run / "record")
    assert (verdict.decision, outcomes(verdict)["COCKPIT-SPEED-001"]) == (Decision.VOID, Outcome.ERROR)
    with pytest.raises(BadInput, match="seal is of another record"):
        certify.sign_run(run, None)


@pytest.mark.parametrize("what", ["ended", "started", "closed"])
def test_a_test_or_run_that_did_not_end_is_a_miss(run, what):
    requirement = "CAN-CYCLE-001" if what != "closed" else None
    gone = {"ended", "started"} if what == "started" else {what}
    rewrite(run, lambda lines: [e for e in lines if not (e["what"] in gone and e.get("requirement") == requirement)])
    record.close(run / "record")
    verdict = verdicts.of_record(run / "record")
    assert verdict.decision is Decision.VOID
    if requirement:
        assert outcomes(verdict)[requirement] is Outcome.MISS


def test_every_planned_test_is_written_down_before_anything_runs(certified):
    found = [e.what for e in record.events(certified.folder / "record")]
    assert found[: len(certified.plan.requirements)] == ["planned"] * len(certified.plan.requirements)


def test_an_item_that_nothing_identifies_is_void(run):
    def forget(lines):
        for line in lines:
            if line["what"] == "opened":
                line.pop("context", None)
            yield line

    rewrite(run, forget)
    record.close(run / "record")
    verdict = verdicts.of_record(run / "record")
    assert verdict.decision is Decision.VOID
    assert "not identified" in verdict.faults[0]


def test_a_torn_last_line_is_not_an_event(run):
    file = run / "record" / record.EVENTS
    whole = len(list(record.events(run / "record")))
    file.write_bytes(file.read_bytes()[:-5])
    assert len(list(record.events(run / "record"))) == whole - 1


def test_lost_frames_and_error_frames_never_certify(tmp_path):
    folder, profile = build.build(tmp_path / "s"), tmp_path / "short.yaml"
    profile.write_text(PROFILE)
    for fault in ("loss: 0.01", "corruption: 0.01"):
        file = tmp_path / f"{fault[:4]}.yaml"
        file.write_text((RIGS / "sim.yaml").read_text().replace("seed: 1", f"seed: 1, {fault}"))
        done = certify.certify(folder, str(file), tmp_path / "runs", certify.Terms(profile=str(profile)))
        assert done.verdict.decision is Decision.VOID
        assert done.certificate is None


def test_what_was_run_by_hand_is_never_signed(tmp_path):
    folder = build.build(tmp_path / "s")
    with inputs.taken(folder, RIGS / "sim.yaml") as given:
        plan = plans.make(given, "COCKPIT-SPEED-001")
        assert not plan.signable
        certify.run(plan, given, tmp_path / "run" / "record")
    assert verdicts.of_record(tmp_path / "run" / "record").decision is Decision.CERTIFIED
    with pytest.raises(BadInput, match="left requirements out by hand"):
        certify.sign_run(tmp_path / "run", None)


def test_what_runs_is_what_was_checked_whatever_becomes_of_the_submission_meanwhile(tmp_path):
    folder = build.build(tmp_path / "s")
    with inputs.taken(folder, RIGS / "sim.yaml") as given:
        plan = plans.make(given, "BOOT-STAGES")
        with (folder / "cockpit-1.4.0.pyz").open("ab") as stream:
            stream.write(b"x")
        (folder / "cockpit-a.dbc").unlink()
        certify.run(plan, given, tmp_path / "record")
    assert verdicts.of_record(tmp_path / "record").decision is Decision.CERTIFIED
    with pytest.raises(BadInput, match=r"has the digest .*\n.*no such file: cockpit-a.dbc"):
        inputs.load(folder, RIGS / "sim.yaml")


def test_each_input_is_read_and_hashed_once(tmp_path, monkeypatch):
    """In the process that certifies; the one that runs the tests has its own private copies, and reads those."""
    folder = build.build(tmp_path / "s")
    counted = Counter()

    def count(where, name):
        call = getattr(where, name)

        def counting(file, *rest, **options):
            counted[name, Path(file).name] += 1
            return call(file, *rest, **options)

        monkeypatch.setattr(where, name, counting)

    count(documents, "read")
    count(decode, "load")
    count(submissions, "sha256")
    count(submissions, "copied")
    certify.certify(folder, "sim", tmp_path / "runs", certify.Terms(profile=one_requirement(tmp_path)))
    ours = {"submission.yaml", "sim.yaml", "p.yaml", "cockpit-a.dbc", "cockpit-a.vss_dbc.json", "cockpit-1.4.0.pyz"}
    times = Counter({key: times for key, times in counted.items() if key[1] in ours})
    assert {name for _, name in times} == ours
    assert max(times.values()) == 1, times


DEEP = """#!/usr/bin/env python3
import os
os.chdir(os.path.expanduser("~"))
for _ in range(1500):
    os.mkdir("d"); os.chdir("d")
"""


def test_folders_without_end_at_home_cost_no_verdict(tmp_path):
    """An image that leaves what nobody can clear away has a record all the same, sealed."""
    folder = build.build(tmp_path / "s")
    artefact, file = folder / "cockpit-1.4.0.pyz", folder / "submission.yaml"
    before = sha256(artefact)
    artefact.write_text(DEEP)
    file.write_text(file.read_text().replace(before, sha256(artefact)))
    done = certify.certify(folder, "sim", tmp_path / "runs", certify.Terms(profile=one_requirement(tmp_path)))
    assert done.verdict.decision is Decision.REFUSED
    assert certify.unsealed(done.folder / "record") == ""


def one_requirement(folder):
    file = folder / "p.yaml"
    file.write_text('name: p\nversion: "1"\nsuites: [common]\nmandatory: [BOOT-STAGES-001]\n')
    return str(file)


def test_a_rig_without_a_supply_judges_what_it_can_and_rejudges_to_the_same(tmp_path, monkeypatch):
    """A device that is on already, as on a bench whose supply nobody switches."""
    (tmp_path / "lab_always_on.py").write_text(
        "from contextlib import contextmanager\n"
        "from adapters.simulation import SimulatedTarget\n"
        "from harness.model import noun\n"
        "@noun\n"
        "class AlwaysOn(SimulatedTarget):\n"
        "    @contextmanager\n"
        "    def open(self, name, bench):\n"
        "        with super().open(name, bench) as world:\n"
        "            world.on()\n"
        "            yield world\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rig = (RIGS / "sim.yaml").read_text()
    rig = rig.replace('power: {use: "adapters.simulation:SimulatedTarget"}', 'device: {use: "lab_always_on:AlwaysOn"}')
    (tmp_path / "rig.yaml").write_text(rig.replace("on: power", "on: device"))
    profile = tmp_path / "p.yaml"
    profile.write_text(
        'name: p\nversion: "1"\nsuites: [common]\nmandatory: [CAN-CYCLE-001, CAN-MATRIX-001]\nrecommended: [BOOT-READY-001]\n'
    )
    done = certify.certify(
        build.build(tmp_path / "s"), str(tmp_path / "rig.yaml"), tmp_path / "runs", certify.Terms(profile=str(profile))
    )
    assert (done.verdict.decision, done.verdict.faults) == (Decision.CERTIFIED, ())
    assert [x.reason for x in done.plan.not_decidable] == ["the rig sim has no port power"]
    assert rejudge.rejudge(done.folder / "record").requirements == done.verdict.requirements
