"""Console bytes in any chunks become the same lines; a console that floods or never ends a line is bounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import console
from harness.console import Assembler

SAID = b"boot: loader\r\n\x1b[32mready\x1b[0m\nlast \xe5\xba\xa7 line\r\r\n\x1b]0;title\x07plain\rafter return\n"
LINES = ["boot: loader", "ready", "last 座 line", "plain", "after return"]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, len(SAID)), max_size=20))
def test_any_chunks_give_the_same_lines(cuts):
    assembler = Assembler()
    edges = [0, *sorted(cuts), len(SAID)]
    for n, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        assembler.feed(n + 1, SAID[start:end])
    assembler.close()
    assert [line.text for line in assembler.lines] == LINES


def test_a_line_carries_the_stamp_of_its_first_byte():
    assembler = Assembler()
    for time_ns, chunk in ((10, b"a"), (20, b"b\nc"), (30, b"d\n")):
        assembler.feed(time_ns, chunk)
    assert [(line.time_ns, line.text) for line in assembler.lines] == [(10, "ab"), (20, "cd")]


def test_a_sender_that_is_switched_on_begins_a_line_of_its_own():
    assembler = Assembler()
    said = (1, b"\0boot\n>>> "), (500_000_000, b"\0"), (500_000_001, b"boot\n"), (500_000_002, b"a\0b\n")
    for time_ns, chunk in said:
        assembler.feed(time_ns, chunk)
    assert [line.text for line in assembler.lines] == ["boot", ">>> ", "boot", "a\0b"]


def test_what_is_not_utf8_is_kept_readable():
    assembler = Assembler()
    assembler.feed(1, b"\xff\xfe ok\n")
    assert assembler.lines[0].text.endswith(" ok")


def test_an_endless_line_is_cut_and_a_flood_is_counted_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "MAX_BYTES", 100_000)
    assembler = Assembler(tmp_path / "log")
    for n in range(100):
        assembler.feed(n, b"x" * 10_000)
    assembler.close()
    assert max(len(line.text) for line in assembler.lines) <= console.MAX_LINE
    assert assembler.total == 1_000_000
    assert (tmp_path / "log").stat().st_size < 300_000


def test_a_log_reads_back_as_the_same_lines(tmp_path):
    assembler = Assembler(tmp_path / "log")
    assembler.feed(5, SAID)
    assembler.close()
    assert console.load(tmp_path / "log") == assembler.lines


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^cockpit ready$", "cockpit ready", True),
        ("^cockpit ready$", "cockpit ready now", False),
        ("^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", False),
        ("ready", "[ 1.2] ready.", True),
        ("", "anything", True),
    ],
)
def test_patterns_are_text_not_expressions(pattern, text, found):
    assert console.matches(pattern, text) is found
