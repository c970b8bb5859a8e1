"""A boot log of 5 and of 50 MB through a pseudo terminal, until the line at its end is seen: our port, and pexpect, in one run.

A terminal hands over some 4 KiB a read: a loop that only reads, and does nothing, is measured with them.
"""

import os
import pty
import select
import subprocess
import tempfile
import time
import tty
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pexpect.fdpexpect import fdspawn

from adapters.console_serial import SerialConsole
from harness.console import matcher

LINE = b"[   12.345678] usb 1-1: new high-speed USB device number 2 using xhci_hcd\r\n"
END = "shipei login:"
SIZES_MB = (5, 50)
TIMES = 3
LIMIT_S = 300


@contextmanager
def ours(slave, folder):
    """A function that waits for a text."""
    bench = SimpleNamespace(evidence=folder, item=SimpleNamespace(interface=SimpleNamespace(console=None)))
    with SerialConsole(url=os.ttyname(slave)).open("console", bench) as port:

        def wait():
            fits, read, lines, deadline = matcher(END), 0, [], time.monotonic() + LIMIT_S
            while not any(fits(line.text) for line in lines):
                assert time.monotonic() < deadline, f"{read} lines came, and then not {END!r}"
                read += len(lines)
                port.wait(read, 0)
                lines = port.lines(read)
            assert not port.trouble()

        yield wait


@contextmanager
def pexpects(slave, folder):
    spawned = fdspawn(slave, timeout=LIMIT_S, maxread=65536)
    yield lambda: spawned.expect_exact(END)


@contextmanager
def nobodys(slave, folder):
    """What the terminal itself takes: all is read, and nothing done with it."""

    def wait():
        tail = b""
        while END.encode() not in tail:
            assert select.select([slave], [], [], LIMIT_S)[0], f"nothing came for {LIMIT_S} s, and {END!r} did not"
            tail = tail[-len(END) :] + os.read(slave, 65536)[-2 * len(END) :]

    yield wait


def took_s(kind, log):
    """From the first byte until the text at the end is seen."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        with tempfile.TemporaryDirectory() as name, kind(slave, Path(name)) as wait:
            began = time.perf_counter()
            writer = subprocess.Popen(["cat", str(log)], stdout=master)
            wait()
            took = time.perf_counter() - began
            writer.wait(10)
            return took
    finally:
        os.close(master)
        os.close(slave)


def measure():
    return [one(size) for size in SIZES_MB]


def one(size_mb):
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "boot.log"
        count = size_mb * 1_000_000 // len(LINE) - 1
        log.write_bytes(LINE * count + f"{END}\r\n".encode())
        fast, slow, least = (min(took_s(kind, log) for _ in range(TIMES)) for kind in (ours, pexpects, nobodys))
    return [
        f"console: {size_mb} MB through a pseudo terminal ({size_mb / least:.0f} MB/s at most) until a line at its end is seen, all kept with stamps",
        f"{size_mb / fast:.0f} MB/s",
        f"pexpect {size_mb / slow:.1f} MB/s (keeps neither)",
        f"{slow / fast:.1f}x",
    ]
