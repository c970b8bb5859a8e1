"""What people look at is rebuilt from the record and says what the record says; without Node only the report is missing."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from harness import certify
from harness.can import logs
from harness.can.log import Log
from harness.model import Outcome
from reports import allure, junit, matrix, pages
from reports.evidence import Evidence
from rigs.ecus import build


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    return certify.certify(
        build.build(folder / "s", {"SPEED_OFFSET_KMH": "7.3", "JITTER_MS": '{"ClusterStatus": 5.1}'}),
        "sim",
        folder / "runs",
    )


@pytest.fixture(scope="module")
def report(refused):
    """The real Allure page: a machine without Node gets it from the report extra, so nothing is skipped."""
    built = allure.write(refused.folder)
    assert built.index is not None, built.problem
    return built.index


def results(refused):
    return [json.loads(f.read_text()) for f in (refused.folder / "allure-results").glob("*-result.json")]


def test_allure_has_a_result_per_requirement_and_its_counts_are_the_records(refused, report):
    found = results(refused)
    assert len(found) == len(refused.verdict.requirements)
    assert sorted(r["status"] for r in found) == sorted(allure.STATUS[j.outcome] for j in refused.verdict.requirements)
    counts = allure.counts_in(report)
    assert counts == {"passed": len(found) - 2, "failed": 2}


def test_the_combination_is_in_parameters_and_labels_so_that_histories_never_mix(refused, report):
    for result in results(refused):
        parameters = {p["name"]: p["value"] for p in result["parameters"]}
        labels = {x["name"]: x["value"] for x in result["labels"]}
        for name, value in (("chip", "sim 1"), ("os", "cpython 3.11"), ("application", "cockpit 1.4.0")):
            assert parameters[name] == labels[name] == value
    assert len({r["historyId"] for r in results(refused)}) == len(results(refused))


def test_a_failure_carries_plot_console_stimulus_and_the_way_to_reproduce(refused, report):
    (failed,) = [r for r in results(refused) if "COCKPIT-SPEED-001" in r["name"]]
    assert {a["name"] for a in failed["attachments"]} == {"signals", "console excerpt", "stimulus", "reproduce"}
    assert "8.1 km/h" in failed["statusDetails"]["message"]
    assert [s["status"] for s in failed["steps"]] == ["failed", "passed", "passed", "passed"]


def test_the_trace_is_attached_once(refused, report):
    attached = [p.read_text() for p in (refused.folder / "allure-results").glob("*-attachment.asc")]
    assert len(attached) == 1
    assert "101" in attached[0]


def test_the_page_is_one_file_without_analytics(report):
    text = report.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in text
    assert not re.search(r"googletagmanager|google-analytics", text)
    assert [p.name for p in report.parent.iterdir() if p.suffix == ".html"] == ["index.html"]


def test_without_node_the_verdict_stands_and_the_report_is_said_to_be_missing(refused, monkeypatch, tmp_path, capsys):
    from shipei import show

    def nothing():
        raise ValueError("no Node 20 or newer")

    monkeypatch.setattr(allure, "find_node", nothing)
    links = show.views(refused.folder, True, False)
    assert "no Node" in links["report_missing"]
    assert "no Node" in capsys.readouterr().err
    assert links["junit"].is_file()


def test_a_failing_npm_is_said(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(allure, "npm", lambda node: ["false"])
    assert "false failed" in allure.write(refused.folder).problem


def test_counts_that_differ_from_the_record_are_refused(refused, report, monkeypatch):
    monkeypatch.setattr(allure, "counts_in", lambda index: {"passed": len(refused.verdict.requirements)})
    assert "are not the record's" in allure.write(refused.folder).problem


def test_junit_says_the_same(refused):
    suite = ET.parse(junit.write(refused.folder)).getroot()
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": str(len(refused.verdict.requirements)),
        "failures": "2",
        "errors": "0",
        "skipped": "0",
    }


def test_pages_in_both_languages_for_every_requirement(refused):
    index = pages.write(refused.folder)
    text = index.read_text(encoding="utf-8")
    assert "未通过 refused" in text
    for judged in refused.verdict.requirements:
        assert judged.requirement in text
        assert (index.parent / f"{judged.requirement}.html").is_file()


def test_stimulus_starts_with_what_the_test_changed_first(refused):
    assert "VehicleSpeed 0 -> 40" in Evidence(refused.folder).stimulus("COCKPIT-SPEED-001")[0]


def test_a_hostile_name_does_not_become_html(refused):
    assert "&lt;script&gt;" in pages.document("<script>", "")


def test_what_a_device_says_is_never_markup(refused, capsys):
    import dataclasses

    from shipei import show

    judged = dataclasses.replace(refused.verdict.requirements[0], outcome=Outcome.FAIL, reason="heard ['[/red] [bold']")
    verdict = dataclasses.replace(refused.verdict, requirements=(judged,), faults=("[/oops]",))
    show.verdict(verdict, refused.plan, {"run": "[/x]"}, False)
    said = capsys.readouterr().out
    assert "[/red] [bold" in said
    assert "[/oops]" in said


def test_the_matrix_believes_certificates_only(tmp_path):
    submission = build.build(tmp_path / "s")
    done = certify.certify(submission, "sim", tmp_path / "runs")
    assert [c.state for c in matrix.collect(tmp_path / "runs").cells] == ["certified"]
    _, files = matrix.write(tmp_path / "runs")
    count = len(done.verdict.requirements)
    assert f"✔ certified (sim, virtual) {count}/{count}" in files["md"].read_text(encoding="utf-8")
    assert "虚拟 virtual" in files["html"].read_text(encoding="utf-8")
    text = done.certificate.read_text()
    done.certificate.write_text(text.replace('"sig": "', '"sig": "00'))
    assert [c.state for c in matrix.collect(tmp_path / "runs").cells] == ["unverified"]


@pytest.mark.parametrize("ending", ["asc", "blf", "log", "csv"])
def test_a_trace_goes_out_in_other_tools_formats(refused, tmp_path, ending):
    import can

    rows = Evidence(refused.folder).traces["body"][:500]
    logs.write(Log(rows=rows), tmp_path / f"t.{ending}")
    with can.LogReader(str(tmp_path / f"t.{ending}")) as reader:
        back = list(reader)
    assert [m.arbitration_id for m in back] == rows["id"].tolist()
    assert bytes(back[7].data) == rows[7]["data"][: rows[7]["length"]].tobytes()
