"""Lanes and what `unit` promises: a hang ends, counts are read, a broken promise is one."""

import os
import socket
import sys

import pytest

from tests.support.promises import Broken, Watch
from tools import lanes


def test_what_hangs_is_ended_and_says_so():
    code, counts = lanes.run([sys.executable, "-c", "import time; time.sleep(60)"], 0.3)
    assert (code, counts) == (124, "")
    assert "ended after 400 s" not in lanes.Result(lane="unit", code=0, counts="", seconds=1).row()
    assert "its limit" in lanes.Result(lane="unit", code=code, counts="", seconds=1).row()


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("5 passed in 1.2s", "5 passed"),
        ("1 failed, 7 passed, 2 errors in 90.11s (0:01:30)", "1 failed, 7 passed, 2 errors"),
    ],
)
def test_pytests_own_counts_are_taken(line, counts):
    assert lanes.run([sys.executable, "-c", f"print({line!r})"], 20) == (0, counts)


def test_a_lane_that_is_not_there_is_a_mistake(capsys):
    assert lanes.main(["unti"]) == 2
    assert "unknown lanes: unti; there are lint, types, unit" in capsys.readouterr().err


def test_every_folder_of_tests_is_a_lane_and_every_slow_lane_says_what_it_is_about():
    folders = {f.parent.name for f in (lanes.ROOT / "tests").glob("*/test_*.py")}
    assert folders == set(lanes.LIMITS_S)
    assert set(lanes.COVERS) == folders - {"unit", "smoke"}
    assert all((lanes.ROOT / name).exists() for names in lanes.COVERS.values() for name in names)


@pytest.fixture
def watch(tmp_path):
    found = Watch()
    found.own = (f"{tmp_path}/",)
    found.begin("a test")
    return found


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.__new__", (None, socket.AF_INET, socket.SOCK_STREAM, 0)),
        ("open", ("/etc/passwd", "a", os.O_WRONLY | os.O_APPEND)),
        ("open", (b"/work/x", None, os.O_RDWR | os.O_CREAT)),
    ],
)
def test_a_broken_promise_is_told_even_where_somebody_swallows_it(watch, event, arguments):
    with pytest.raises(Broken):
        watch.look(event, arguments)
    assert len(watch.broken) == 1
    with pytest.raises(Broken, match=r"slept for 0\.1 s"):
        watch.sleep(lambda seconds: None)(0.1)


def test_what_is_kept_is_not_complained_of(watch, tmp_path):
    watch.look("socket.__new__", (None, socket.AF_UNIX, socket.SOCK_STREAM, 0))
    watch.look("open", (str(tmp_path / "x"), "w", os.O_WRONLY | os.O_CREAT))
    watch.look("open", ("/etc/passwd", "r", os.O_RDONLY))
    watch.sleep(lambda seconds: None)(0.01)
    watch.end()
    watch.look("open", ("/etc/passwd", "w", os.O_WRONLY))
    assert watch.broken == []
