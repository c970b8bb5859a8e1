"""Every requirement has its page: what was measured, times as pictures, the diagnostic exchange in words."""

import re

import numpy as np
import pytest

from harness import certify
from harness.can.trace import ROW
from harness.model import Outcome
from reports import exchange, histogram, pages
from reports.evidence import Evidence
from rigs.ecus import build

PART = """name: part
version: "1"
suites: [common]
mandatory: [CAN-MATRIX-001]
conditional: [BOOT-RESTART-001, ISOTP-FLOW-001, ISOTP-FUNCTIONAL-001, UDS-P2-001, UDS-READ-001]
limit_s: 60
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    (folder / "part.yaml").write_text(PART)
    built = build.build(folder / "s", {"UDS": '{"DATA_CUT": 1}'})
    return certify.certify(built, "sim", folder / "runs", certify.Terms(profile=str(folder / "part.yaml"))).folder


def page(run, requirement):
    pages.write(run)
    return (run / "page" / f"{requirement}.html").read_text(encoding="utf-8")


def test_every_requirement_has_a_page_that_the_overview_links(run):
    index = pages.write(run).read_text(encoding="utf-8")
    for judged in Evidence(run).verdict.requirements:
        assert f'href="{judged.requirement}.html"' in index
        assert (run / "page" / f"{judged.requirement}.html").is_file()


def test_a_request_of_several_frames_is_told_in_its_order(run):
    text = page(run, "ISOTP-FLOW-001")
    told = re.findall(r"<td>([^<]*)(?=<tr>|</table>)", text)
    at = told.index("first of 21 bytes: ReadDataByIdentifier")
    assert told[at + 1 : at + 5] == ["continue, all, 0 ms apart", "consecutive 1", "consecutive 2", "consecutive 3"]
    assert told[at + 5].startswith("first of ")


def test_functional_requests_and_refusals_are_told(run):
    assert "→ 功能寻址 all" in page(run, "ISOTP-FUNCTIONAL-001")
    assert "refused: SubFunctionNotSupported (TesterPresent)" in page(run, "UDS-P2-001")


def test_times_are_drawn_with_their_limit(run):
    assert "2.5 s</text>" in page(run, "BOOT-RESTART-001")
    assert re.search(r"answer times</text>.*50 ms</text>.*median [\d.]+ ms", page(run, "UDS-P2-001"), re.DOTALL)


def test_of_a_failure_the_exchange_ends_where_it_was_measured(run):
    evidence = Evidence(run)
    (judged,) = (j for j in evidence.verdict.requirements if j.outcome is Outcome.FAIL)
    said = exchange.spoken(evidence, judged)
    assert judged.requirement == "UDS-READ-001"
    assert said[-1].data[:1] == b"\x21" or not said[-1].by_tester
    assert said[-1].meaning.startswith("consecutive")


def test_address_bytes_stand_ahead_of_what_they_address():
    rows = np.zeros(1, ROW)
    rows["length"], rows["data"][0, :4] = 4, [0x30, 0x02, 0x3E, 0x00]
    (said,) = exchange.frames(rows, None, 1)
    assert (said.address, said.data, said.meaning) == (b"\x30", b"\x02\x3e\x00", "TesterPresent")
    assert "<code>[30]</code> <code>02 3e 00</code>" in exchange.row(said)


def test_what_is_no_message_is_said(run):
    assert exchange.frames(np.zeros(0, ROW), None) == []
    assert exchange.in_words(b"") == exchange.in_words(b"\x08") == "no message"
    assert exchange.in_words(bytes.fromhex("3f0000")) == "reserved, all, 0 ms apart"
    assert histogram.histogram("x", [], "ms") == ""
    assert "<svg" in histogram.histogram("x", [1.0, 1.0], "ms")
