"""What vendors enclose: read for what it says, held against itself and against what was tested, and never taken for a result of ours."""

import datetime
import json

import pytest
from cyclonedx.exception import MissingOptionalDependencyException
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput
from reports import annex, annex_suites
from reports.job import Enclosed

ISSUED = datetime.date(2026, 11, 27)
DIGEST = "ab" * 32
ARTEFACTS = {"cockpit.pyz": DIGEST}
BOM = {
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
    "metadata": {"timestamp": "2026-11-01T00:00:00Z", "component": {"type": "application", "name": "cockpit", "version": "1.4.0", "bom-ref": "app", "hashes": [{"alg": "SHA-256", "content": DIGEST}]}},
    "components": [{"type": "library", "name": "zlib", "version": "1.3", "bom-ref": "zlib", "licenses": [{"license": {"id": "Zlib"}}]}],
    "dependencies": [{"ref": "app", "dependsOn": ["zlib"]}],
}  # fmt: skip
SPDX = {
    "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "cockpit", "dataLicense": "CC0-1.0", "documentNamespace": "https://example.org/cockpit-1.4.0",
    "creationInfo": {"created": "2026-11-01T00:00:00Z", "creators": ["Organization: reference-a"]},
    "packages": [{"SPDXID": "SPDXRef-app", "name": "cockpit", "versionInfo": "1.4.0", "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "checksums": [{"algorithm": "SHA256", "checksumValue": DIGEST}]}],
    "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-app"}],
}  # fmt: skip
CTS = """<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="compatibility_result.xsl"?>
<Result start="1793000000000" suite_name="CTS" suite_version="15_r4" suite_plan="cts" report_version="5.0">
<Build build_fingerprint="v/cockpit/cockpit:15/AB1/7:user/release-keys"/><Summary pass="2" failed="1" modules_done="2" modules_total="2"/>
<Module name="CtsCarTestCases" abi="arm64-v8a" done="true"><TestCase name="android.car.cts.CarTest">
<Test result="pass" name="testSpeed"/><Test result="fail" name="testGear"><Failure message="x"/></Test></TestCase></Module>
<Module name="CtsOsTestCases" abi="arm64-v8a" done="true"><TestCase name="android.os.cts.BuildTest"><Test result="pass" name="testBrand"/><Test result="ignored" name="testX"/></TestCase></Module></Result>"""
XTS = """<testsuites name="summary_report" timestamp="2026-11-20 08:00:00" tests="3" failures="1" modules="2">
<testsuite name="ActsPowerTest" tests="2"><testcase classname="PowerTest" name="on" status="run" result="true"/><testcase classname="PowerTest" name="off" status="run" result="false" message="x"/></testsuite>
<testsuite name="ActsHiLogTest" tests="1"><testcase classname="LogTest" name="level" status="run" result="true"/></testsuite></testsuites>"""


def altered(bom, **changes):
    return {**json.loads(json.dumps(bom)), **changes}


DEPTH = 400  # parts in parts
NESTED = json.dumps(altered(BOM, dependencies=[], components=["@"])).replace(
    '"@"', '{"type": "library", "name": "x", "components": [' * DEPTH + "]}" * DEPTH
)


def read(tmp_path, kind, content, **said):
    file = tmp_path / f"given.{kind}"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return annex.read(Enclosed(kind=kind, path=file.name, **said), tmp_path, ARTEFACTS, ISSUED)


@pytest.mark.parametrize("bom", [BOM, SPDX], ids=["CycloneDX", "SPDX"])
def test_a_bill_of_materials_that_fits(tmp_path, bom):
    found = read(tmp_path, "sbom", bom)
    assert found.findings == []
    said = dict(found.facts)
    assert said["格式 form"] in ("CycloneDX 1.5", "SPDX-2.3")
    assert said["时间 made"] == "2026-11-01T00:00:00Z"
    assert said["组件 components"] == "1，1 有许可 with a licence"


@pytest.mark.parametrize(
    ("bom", "said"),
    [
        (altered(BOM, metadata={"timestamp": "2026-11-01T00:00:00Z"}), "has no SHA-256 of cockpit.pyz"),
        (altered(BOM, components=[{"name": "zlib", "version": "1"}], dependencies=[]), "does not follow its schema: 'type' is a required property"),
        (altered(BOM, components=[{"type": "library", "name": "zlib"}], dependencies=[]), "1 without a version: zlib"),
        (altered(BOM, components=[]), "depends on what it does not list: zlib"),
        (altered(SPDX, packages=[{**SPDX["packages"][0], "checksums": []}]), "has no SHA-256 of cockpit.pyz"),
        (altered(SPDX, dataLicense="MIT"), "does not follow its schema: data_license must be"),
        (altered(SPDX, packages=[{k: v for k, v in SPDX["packages"][0].items() if k != "versionInfo"}]), "1 without a version: cockpit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(tmp_path, bom, said):
    found = read(tmp_path, "sbom", bom).findings
    assert any(said in one for one in found), found


def test_without_what_checks_it_the_install_line_is_said(tmp_path, monkeypatch):
    def missing(self, text):
        raise MissingOptionalDependencyException("jsonschema")

    monkeypatch.setattr(JsonStrictValidator, "validate_str", missing)
    with pytest.raises(BadInput, match="pip install"):
        read(tmp_path, "sbom", BOM)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), bom=st.sampled_from([BOM, SPDX]))
def test_whatever_stands_in_it_there_is_a_finding_or_none_and_no_crash(tmp_path_factory, data, bom):
    strange = st.sampled_from([None, 5, "x", [], {}, [5], [[]], [{}], {"a": [1]}, True])
    key = data.draw(st.sampled_from(sorted(set(bom) - {"bomFormat", "spdxVersion", "specVersion"})))
    found = read(tmp_path_factory.mktemp("b"), "sbom", altered(bom, **{key: data.draw(strange)}))
    assert all(isinstance(one, str) for one in found.findings)


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("sbom", "{", "is no JSON"),
        ("sbom", "[" * 100_000, "is no JSON"),
        ("sbom", {"name": "x"}, "is neither CycloneDX"),
        ("sbom", altered(BOM, specVersion="9.9"), "CycloneDX '9.9' is not known"),
        ("sbom", altered(BOM, specVersion="1.1"), "CycloneDX 1.1 has no schema for JSON; 1.2 and later have one"),
        ("sbom", NESTED, "nested too deeply"),
        ("cts", "<testsuites/>", "begins with <testsuites>; a report of CTS begins with <Result>"),
        ("xts", "<testsuites", "is no XML"),
        ("cts", '<!DOCTYPE r [<!ENTITY a "b">]><Result>&a;</Result>', "has a document type"),
        ("certificate", "x", "has to say issuer, number, valid_until"),
    ],
)
def test_what_is_not_what_it_is_called_is_refused(tmp_path, kind, content, said):
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        read(tmp_path, kind, content)


def test_results_of_android_suites(tmp_path):
    found = read(tmp_path, "cts", CTS)
    said = dict(found.facts)
    assert said["套件 suite"] == "CTS 15_r4"
    assert said["开始 began"] == "2026-10-26 07:33"
    assert said["被测 build"].startswith("v/cockpit/")
    assert said["模块 modules"] == "2，0 未完成 not done"
    assert said["测试 tests"] == "4，1 失败 failed，1 未运行 not run"
    assert found.findings == ["1 failed: CtsCarTestCases/android.car.cts.CarTest/testGear"]
    prettier = CTS.replace('failed="1"', 'failed="0"').replace(
        'done="true"><TestCase name="android.os', 'done="false"><TestCase name="android.os'
    )
    findings = read(tmp_path, "vts", prettier).findings
    assert "its summary says 0 failed, and it lists 1" in findings
    assert "modules not done: CtsOsTestCases arm64-v8a" in findings
    old = read(tmp_path, "cts", CTS.replace("1793000000000", "1753000000000")).findings
    assert any(one.startswith("ran on 2025-07-20, not within 183 days") for one in old)


def test_results_of_openharmony_suites(tmp_path):
    found = read(tmp_path, "xts", XTS, version="ACTS 5.1")
    said = dict(found.facts)
    assert said["套件 suite"] == "XTS ACTS 5.1"
    assert said["测试 tests"] == "3，1 失败 failed，0 未运行 not run"
    assert found.findings == ["1 failed: ActsPowerTest/PowerTest/off"]
    assert "does not say which version of the suite ran" in read(tmp_path, "xts", XTS).findings
    assert (
        "its summary says 9 tests, and it lists 3"
        in read(tmp_path, "xts", XTS.replace('tests="3"', 'tests="9"')).findings
    )
    assert "lists no single test" in read(tmp_path, "xts", "<testsuites/>").findings


def test_a_report_of_very_many_tests_is_read_piece_by_piece(tmp_path):
    tests = '<Test result="pass" name="t"/>' * 200_000
    found = read(
        tmp_path,
        "cts",
        f'<Result suite_version="1" start="1795000000000"><Module name="m" done="true"><TestCase name="c">{tests}</TestCase></Module></Result>',
    )
    assert dict(found.facts)["测试 tests"].startswith("200000，0")
    assert len(list(annex_suites.elements(tmp_path / "given.cts"))) == 200_003


def test_what_somebody_fills_with_names_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(annex_suites, "MOST_MODULES", 50)
    modules = "".join(f'<Module name="m{n}" done="true"/>' for n in range(51))
    with pytest.raises(BadInput, match="names more than 50 modules"):
        read(tmp_path, "cts", f"<Result>{modules}</Result>")
    failing = '<Test result="fail" name="t"/>' * 1000
    found = read(
        tmp_path,
        "cts",
        f'<Result suite_version="1"><Module name="m"><TestCase name="c">{failing}</TestCase></Module></Result>',
    )
    assert any(one.startswith("1000 failed: m/c/t, ") and one.endswith(" and 980 more") for one in found.findings)


def test_all_that_is_wrong_with_enclosures_is_said_at_once(tmp_path):
    (tmp_path / "b.json").write_text("{")
    enclosed = [
        Enclosed(kind="cts", path="a.xml"),
        Enclosed(kind="sbom", path="b.json"),
        Enclosed(kind="sbom", path="c.json"),
    ]
    with pytest.raises(BadInput) as caught:
        annex.read_all(enclosed, tmp_path, ARTEFACTS, ISSUED)
    assert [one.partition(": ")[0].rpartition("/")[2] for one in caught.value.mistakes] == ["a.xml", "b.json", "c.json"]


def test_a_certificate_of_a_community_is_stated_and_attached(tmp_path):
    who = {"issuer": "OpenHarmony", "number": "OH-1"}
    found = read(tmp_path, "certificate", "its bytes", valid_until="2027-01-01", **who)
    assert (found.findings, found.attached) == ([], b"its bytes")
    assert ("签发 issuer", "OpenHarmony") in found.facts
    assert read(tmp_path, "certificate", "x", valid_until="2026-11-01", **who).findings == [
        "ran out on 2026-11-01, before this report was issued"
    ]
    with pytest.raises(BadInput, match="should be a date"):
        read(tmp_path, "certificate", "x", valid_until="soon", **who)
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        annex.read(Enclosed(kind="sbom", path="nowhere.json"), tmp_path, ARTEFACTS, ISSUED)


def test_words_of_others_keep_to_their_line(tmp_path):
    mean = altered(BOM, components=[{"type": "library", "name": "a\x1b[2J\nb"}], dependencies=[])
    (one,) = (f for f in read(tmp_path, "sbom", mean).findings if "without a version" in f)
    assert "\x1b" not in one
    assert "\n" not in one
