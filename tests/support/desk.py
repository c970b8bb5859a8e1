"""A desk for tests: a simulated bench in a process of its own, and what one does to it."""

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

SHORT = """name: short
version: "1"
suites: [common, cockpit]
conditional: [BOOT-READY-001, COCKPIT-GEAR-001]
limit_s: 90
ready_s: 8
"""


@contextmanager
def device(end):
    """The device's side of a console: an open file, of which nobody becomes the owner."""
    fd = os.open(end, os.O_RDWR | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


def needs(program):
    """A test that could not run is no test that passed: it fails, with what to install."""
    packages = {"qemu-system-aarch64": "qemu-system-arm", "in.tftpd": "tftpd-hpa", "ip": "iproute2"}
    path = f"{Path('/usr/sbin')}:{Path('/sbin')}"
    found = shutil.which(program) or shutil.which(program, path=path)
    assert found, f"{program} is not installed: apt-get install {packages.get(program, program)}"
    return found


class Desk:
    """What is on it: `rig`, its rig file; `do`, an order to it."""

    def __init__(self, folder):
        self.folder, self.rig = folder, folder / "rig.yaml"

    def do(self, order, /, **fields):
        """Raises AssertionError when the desk does not take the order."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.folder / "control"))
            control.sendall(json.dumps({"do": order, **fields}).encode() + b"\n")
            answer = json.loads(control.makefile().readline())
        assert "error" not in answer, answer
        return answer

    @property
    def powered(self):
        return self.do("state")["powered"]

    def edit(self, *changes, name="edited"):
        """Another rig file, beside the desk's own, with other text in places; `+` at the end appends."""
        text = self.rig.read_text()
        for old, new in changes:
            assert old == "+" or old in text, old
            text = text + new if old == "+" else text.replace(old, new)
        file = self.folder / f"{name}.yaml"
        file.write_text(text)
        return file


@contextmanager
def desk(folder, *options):
    """A desk in a folder; its name is the rig's, so each test has its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shipei.desk", str(folder), *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("ready"), line
        yield Desk(Path(folder))
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
