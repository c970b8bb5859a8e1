"""What tests in `unit` may not do, watched in their own process: real sleeps, sockets of the internet, writes outside their folder."""

import os
import socket
import sys
import tempfile
from pathlib import Path

CPU_S = 2.0  # of a CPU, with all that a test starts; load makes nothing of it longer
MAX_SLEEP_S = 0.020
INET = {socket.AF_INET, socket.AF_INET6}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CACHED = "XDG_CACHE_HOME"
LONG = {
    "test_annex.py::test_a_report_of_very_many_tests": "very many tests",
    "test_asc.py::test_it_is_read_as_python_can_reads_it": "thousands of lines, read twice",
    "test_blf.py::test_a_run_is_exported_for_other_tools": "a certification",
    "test_cli.py::": "certifications, by their commands",
    "test_closed_loop.py::": "drives",
    "test_compare.py::": "whole certifications, held against each other",
    "test_doctests.py::test_examples_in_docstrings[store.registry]": "oras takes its time to be imported",
    "test_exchange.py::": "a certification with its pages",
    "test_inheritance.py::": "certifications on several rigs",
    "test_logs.py::test_signals_are_drawn_over_time": "matplotlib finds its fonts",
    "test_pipeline.py::": "certifications, and records judged again",
    "test_programme.py::": "a certification, and records judged again",
    "test_programme_malice.py::test_altered_cut_and_signed_by_others": "a certification",
    "test_publish.py::": "certifications of good and bad items, and their site",
    "test_ready.py::": "certifications",
    "test_signals.py::": "a million values beside cantools",
    "test_store.py::test_a_flipped_bit": "every file of a record, one bit after another",
    "test_store.py::test_what_was_added_comes_out_again_as_it_was": "a certification",
    "test_waivers.py::": "certifications",
}  # a part of a test's name -> why it may take more of a CPU


class Broken(Exception):
    """A test in `unit` did what its lane promises not to."""


def named_in(names, test):
    return any(part in test for part in names)


class Watch:
    """An audit hook that looks while a test runs; an audit hook cannot be taken out again, so it is put in once."""

    def __init__(self):
        self.name, self.broken, self.own = "", [], ()

    def start(self, home):
        self.own = tuple(
            f"{Path(p).resolve()}/" for p in (home, tempfile.gettempdir(), os.environ[CACHED], "/dev", "/proc")
        )
        sys.addaudithook(self.look)

    def begin(self, name):
        self.name, self.broken = name, []

    def end(self):
        self.name = ""

    def fail(self, what):
        self.broken.append(what)
        raise Broken(what)

    def sleep(self, real):
        def sleep(seconds):
            if self.name and seconds > MAX_SLEEP_S:
                self.fail(f"slept for {seconds} s")
            real(seconds)

        return sleep

    def look(self, event, arguments):
        if not self.name:
            return
        if event == "socket.__new__" and arguments[1] in INET:
            self.fail(f"opened a socket of the internet ({arguments[1]!r})")
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike) and arguments[2] & WRITES:
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(self.own) and "__pycache__" not in path:
                self.fail(f"wrote {path}")
