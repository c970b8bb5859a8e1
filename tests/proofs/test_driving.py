"""Driving assistance, and a second vendor: the same suites, judged again to the same, shown as people need it."""

import json
import re
import shutil

import pytest
import yaml

from harness import certify, record, rejudge
from harness.can import trace
from harness.model import Decision, Outcome
from reports import allure, drives, matrix, pages
from reports.evidence import Evidence
from rigs.ecus import build

ECUS = ("cockpit-b", "driving_assistance-a", "driving_assistance-b")
LATE = {"AEB_CAR_TTC_S": "0.98", "AEB_MOVING_CAR_TTC_S": "0.94"}


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """Every reference ECU that the pipeline's own tests do not certify anyway, in one folder of runs."""
    folder = tmp_path_factory.mktemp("vendors")
    return {
        ecu: certify.certify(build.build(folder / ecu, ecu=ecu), "sim", folder / "runs") for ecu in ("cockpit-a", *ECUS)
    }


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A driving-assistance ECU that brakes too late."""
    folder = tmp_path_factory.mktemp("late")
    built = build.build(folder / "s", LATE, ecu="driving_assistance-a")
    profile = folder / "aeb.yaml"
    chosen = {"mandatory": ["AEB-CCRS-001", "AEB-CCRM-001", "AEB-DEMAND-001"]}
    profile.write_text(
        yaml.safe_dump({"name": "aeb", "version": "1", "suites": ["common", "driving_assistance"], **chosen})
    )
    return certify.certify(built, "sim", folder / "runs", certify.Terms(profile=str(profile)))


ONE_VENDORS = {
    "CAN-FORMAT-002",
    "FLASH-CONSENT-001",
    "ISOTP-ADDRESS-001",
    "ISOTP-FD-001",
    "ISOTP-FD-002",
    "UDS-AUTH-001",
    "UDS-AUTH-002",
    "UDS-AUTH-003",
}  # a CAN FD bus and diagnostics on it, a driver who is asked, an address byte, authentication


@pytest.mark.parametrize("ecu", ECUS)
def test_every_reference_ecu_is_certified(certified, ecu):
    others = {j.requirement: j.reason for j in certified[ecu].verdict.requirements if j.outcome is not Outcome.PASS}
    assert others == {}
    assert certified[ecu].verdict.decision is Decision.CERTIFIED


def test_two_vendors_are_judged_by_the_same_suites_and_the_same_harness(certified):
    for line in ("cockpit", "driving_assistance"):
        first, second = (certified[f"{line}-{v}"].plan for v in "ab")
        ids = [
            [p.requirement.id for p in one.requirements if p.requirement.id not in ONE_VENDORS]
            for one in (first, second)
        ]
        assert ids[0] == ids[1]
        same = {k for k in first.digests if first.digests[k] == second.digests[k]}
        assert same >= {
            k for k in first.digests if k.split(":")[0] in ("suite", "harness", "adapters", "profile", "rig")
        }
        assert first.digests["submission"] != second.digests["submission"]


def test_the_second_vendors_matrices_are_another_world():
    from cantools.database import load_file

    from harness.paths import DBC

    for line in ("cockpit", "driving-assistance"):
        first, second = (load_file(DBC / f"{line}-{v}.dbc") for v in "ab")
        assert not {m.name for m in first.messages} & {m.name for m in second.messages}
        assert not {m.frame_id for m in first.messages} & {m.frame_id for m in second.messages}
        assert all(m.is_extended_frame for m in second.messages)
        assert {s.byte_order for m in second.messages for s in m.signals} == {"big_endian"}
        assert any(m.is_multiplexed() for m in second.messages)


def test_the_matrix_has_two_vendors_and_two_lines(certified):
    cells = matrix.collect(certified["cockpit-a"].folder.parents[1]).cells
    assert {(c.vendor, c.profile) for c in cells} == {
        (f"reference-{v}", f"{line}-1.0") for v in "ab" for line in ("cockpit", "driving-assistance")
    }
    assert {c.state for c in cells} == {"certified"}


@pytest.mark.parametrize("ecu", ["driving_assistance-a", "driving_assistance-b"])
def test_a_drive_judged_again_gives_every_measurement_again(certified, ecu):
    verdict = certified[ecu].verdict
    again = rejudge.rejudge(certified[ecu].folder / "record")
    assert again.requirements == verdict.requirements
    assert again.decision is verdict.decision


def test_the_same_seed_gives_the_same_trace_byte_for_byte(refused, tmp_path):
    again = certify.certify(
        refused.folder.parents[2] / "s",
        "sim",
        tmp_path,
        certify.Terms(profile=str(refused.folder.parents[2] / "aeb.yaml")),
    )
    name = "record/trace-adas.bin"
    assert (again.folder / name).read_bytes() == (refused.folder / name).read_bytes()


def test_braking_late_is_refused_by_name(refused):
    outcomes = {j.requirement: j.outcome for j in refused.verdict.requirements}
    assert outcomes == {
        "AEB-CCRS-001": Outcome.FAIL,
        "AEB-CCRM-001": Outcome.FAIL,
        "AEB-DEMAND-001": Outcome.PASS,
    }


def test_a_frame_removed_from_the_trace_is_noticed(refused, tmp_path):
    """Whoever takes the bench's frames out of the evidence gets no verdict on the device from it."""
    shutil.copytree(refused.folder, tmp_path / "run")
    folder = tmp_path / "run" / "record"
    file = folder / "trace-adas.bin"
    rows, _ = trace.load(file)
    starts = [e.time_ns for e in record.events(folder) if e.what == "driven"]
    cut = rows[(rows["time_ns"] < starts[0] + 2_000_000_000) | (rows["time_ns"] > starts[0] + 2_200_000_000)]
    raw = bytearray(file.read_bytes()[: trace.HEADER])
    raw[trace.COUNT : trace.COUNT + 8] = trace.FIELD.pack(len(cut))
    file.write_bytes(bytes(raw) + cut.tobytes())
    (folder / record.DIGESTS).unlink()
    record.close(folder, ())
    outcomes = {j.requirement: j for j in rejudge.rejudge(folder).requirements}
    assert outcomes["AEB-CCRS-001"].outcome is Outcome.MISS
    assert "closed loop" in outcomes["AEB-CCRS-001"].reason
    assert "couple again" in outcomes["AEB-CCRS-001"].reason  # which would have been driven then, and was not


def test_every_drive_has_its_picture_and_every_failure_its_view_from_above(refused, tmp_path):
    evidence = Evidence(refused.folder)
    allure.write_results(evidence, tmp_path)
    results = {
        r["fullName"].split("::")[1]: r for f in tmp_path.glob("*-result.json") if (r := json.loads(f.read_text()))
    }
    failed, passed = results["test_stationary_car"], results["test_braking_is_strong"]
    names = [a["name"] for a in failed["attachments"]]
    assert sum(n.startswith("AEB-CCRS  ego") for n in names) == 6
    assert sum(n.startswith("from above: AEB-CCRS") for n in names) == 6
    (alone,) = passed["attachments"]
    assert re.fullmatch(r"AEB-ALONE  ego 50 km/h, car 0 km/h, seed 1, impact [\d.]+ km/h", alone["name"])
    page = pages.requirement(evidence, next(j for j in refused.verdict.requirements if j.requirement == "AEB-CCRS-001"))
    assert page.count("<animateTransform") >= 6
    assert page.count("<svg") >= 12


def test_a_picture_says_what_happened(refused):
    evidence = Evidence(refused.folder)
    driven = list(drives.of_requirement(evidence, "AEB-CCRS-001"))
    assert [d.case.ego_kmh for d in driven] == [20, 20, 42, 42, 60, 60]
    assert driven[2].contact is not None
    assert "impact" in drives.title(driven[2])
    braked = drives.spans(driven[2], drives.SIGNS["AEB"], True)
    assert len(braked) == 1
    assert braked[0][0] == pytest.approx(5.1, abs=0.1)
    picture = drives.picture(driven[2])
    assert picture == drives.picture(driven[2])  # the same text for the same drive
