"""A test report has every item that ISO/IEC 17025 asks for, says what the record says, and is the same bytes every time."""

import dataclasses
import io
import json
import shutil

import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

from harness import documents
from harness.errors import BadInput
from harness.paths import EXAMPLES
from reports import pdf
from reports.job import Enclosed, ReportJob
from shipei.cli import app
from tests.support.stores import certified
from tests.unit.test_annex import XTS

BOTH = 'name: short\nversion: "1"\nsuites: [common, cockpit]\nmandatory: [COCKPIT-SPEED-001, CAN-TIMEOUT-001, UDS-P2-001]\n'


def job(**changes):
    return dataclasses.replace(documents.load(ReportJob, documents.read(EXAMPLES / "report.yaml")), **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("run"), profile=BOTH)


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("run"), {"HEAL_MS": "505"}, BOTH)


def read(file):
    return PdfReader(io.BytesIO(file.read_bytes()))


def text(reader):
    return "\n".join(page.extract_text() for page in reader.pages)


def test_every_item_of_a_test_report_is_there(run):
    """ISO/IEC 17025:2017, 7.8.2.1 a) to p), 7.8.3.1, 7.8.6."""
    reader = read(pdf.write(run, job()))
    said = " ".join(text(reader).split())
    for what in (
        "Test report", "软硬件适配中心", "1 Example Road", "bench 7", "SP-2026-0117", "Reference vendor A", "cockpit-1.4.0", "short-1",
        "as delivered", "2026-11-20", "2026-11-21 to 2026-11-22", "2026-11-27", "no sampling", "relate only to the items tested", "ms",
        "none beside what is listed", "head of laboratory", "external results", "inconclusive", "uncertainty", "ISO 14229-1", "[M]", "virtual rig",
        "end of report", "no conformity with the named standard",
    ):  # fmt: skip
        assert what in said, what
    assert all("SP-2026-0117" in page.extract_text() and f"{n} / {len(reader.pages)}" in page.extract_text() for n, page in enumerate(reader.pages, 1))  # fmt: skip


def test_the_certificate_is_in_it_and_it_is_pdf_a(run):
    file = pdf.write(run, job())
    reader = read(file)
    (content,) = reader.attachments["certificate.json"]
    assert content == (run / "certificate.json").read_bytes()
    assert b"pdfaid:part>3<" in file.read_bytes() or "pdfaid" in str(reader.xmp_metadata.stream.get_data())


def test_what_the_customer_encloses_is_told_apart_and_attached(run, tmp_path):
    (tmp_path / "acts.xml").write_text(XTS)
    (tmp_path / "oh.pdf").write_bytes(bytes(range(256)))
    enclosed = (
        Enclosed(kind="xts", path="acts.xml", version="5.1"),
        Enclosed(kind="certificate", path="oh.pdf", issuer="OpenHarmony", number="OH-7", valid_until="2027-06-30"),
    )
    reader = read(pdf.write(run, job(enclosed=enclosed), tmp_path))
    said = " ".join(text(reader).split())
    assert "not results of this laboratory" in said
    assert "1 failed: ActsPowerTest/PowerTest/off" in said
    assert "OH-7" in said
    assert reader.attachments["annex-2.pdf"] == [bytes(range(256))]
    assert "annex-1.xml" not in reader.attachments


def test_the_same_bytes_every_time(run):
    assert pdf.write(run, job()).read_bytes() == pdf.write(run, job()).read_bytes()


def test_what_failed_is_said_with_its_values(refused):
    reader = read(pdf.write(refused, job()))
    said = " ".join(text(reader).split())
    assert "未通过 refused" in said
    assert "heal_ms is 549" in said
    assert not reader.attachments


def test_words_of_others_are_words(run):
    mean = '#panic("x") *bold* $ #include "/etc/passwd" <script>'
    said = " ".join(text(read(pdf.write(run, job(condition=mean)))).split())
    assert '#panic("x") *bold* $ #include "/etc/passwd" <script>'.replace('"', "") in said.replace('"', "").replace("“", "").replace("”", "")  # fmt: skip


def test_files_that_disagree_make_no_report(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    (other / "report.pdf").unlink(missing_ok=True)
    verdict = json.loads((run / "verdict.json").read_text())
    verdict["requirements"][0]["outcome"] = "fail"
    (other / "verdict.json").write_text(json.dumps(verdict))
    with pytest.raises(BadInput, match="does not give what verdict.json says"):
        pdf.write(other, job())
    shutil.copy(run / "verdict.json", other)
    for content, what in (("{}", "not a certificate"), ((run / "certificate.json").read_text(), "")):
        (other / "certificate.json").write_text(content)
        if what:
            with pytest.raises(BadInput, match=what):
                pdf.write(other, job())
            assert not (other / "report.pdf").exists()
    assert pdf.write(other, job()).is_file()


def test_the_command_and_its_mistakes(run, tmp_path):
    (tmp_path / "job.yaml").write_text(shipei("schema", "report", "--example").stdout)
    done = shipei("report", run, "--pdf", tmp_path / "job.yaml", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pdf"].endswith("report.pdf")
    (tmp_path / "bad.yaml").write_text("number: 7\nlaboratory: {name: x}\n")
    wrong = shipei("report", run, "--pdf", tmp_path / "bad.yaml")
    assert wrong.exit_code == 2
    assert "bad.yaml:2" in wrong.output
    with pytest.raises(BadInput, match="issued should be a date"):
        pdf.write(run, job(issued="tomorrow"))


def test_without_a_chinese_font_nothing_is_made():
    class NoFonts:
        class Fonts:
            def families(self):
                return ["Libertinus Serif"]

    with pytest.raises(BadInput, match="no Chinese font is installed.*apt-get install fonts-wqy-microhei"):
        pdf.chinese_fonts(NoFonts)


def shipei(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])
