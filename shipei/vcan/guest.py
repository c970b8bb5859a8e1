"""A command in a guest kernel, seen from the host: its folder of files, input, output, signals, and the guest's end."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from harness.processes import die_with_parent
from rigs.images.packages import Refused
from shipei.vcan.ways import PASSED_ON, Died, Wanted

AGENT = Path(__file__).with_name("agent.py")
POLL_S = 0.01
MOST_INTERRUPTS = 3  # then the guest is ended, whatever its command does
HIDDEN = ("/dev/shm", "/run", "/proc", "/sys", "/dev")  # folders of the host that a guest has its own of
LAST_WORDS = 12
MOST_WAITING = 64  # pieces of standard input, of 64 KiB at most, that the command has not read


class Guest:
    """One run of a guest kernel. `folder` is seen by both sides."""

    def __init__(self, wanted: Wanted, modules: Sequence[Path], folder: Path, start_s: float) -> None:
        self.wanted, self.folder, self.start_s = wanted, folder, start_s
        self.interrupts = self.signals = self.inputs = 0
        self.ended = threading.Event()
        self.merged = same_file(1, 2)
        order = {
            "command": list(wanted.command),
            "buses": list(wanted.buses),
            "fd": wanted.fd,
            "modules": [str(m) for m in modules],
            "cwd": os.getcwd(),
            "umask": current_umask(),
            "merged": self.merged,
            "environment": {**os.environ, **wanted.environment},
        }
        (folder / "order.json").write_text(json.dumps(order))
        self.init = folder / "init"
        self.init.write_text(f"#!/bin/sh\nexec {sys.executable} -I {AGENT} {folder}\n")
        self.init.chmod(0o755)
        self.console = folder / "console"

    def run(self, command: Sequence[str], environment: dict[str, str], cpu: int) -> int:
        """Start the guest, carry everything to and fro until it ends; its command's exit code. Raises Refused, Died."""
        with self.console.open("wb") as console, self.passing_signals():
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment,
                start_new_session=True, preexec_fn=lambda: pinned(cpu),
            )  # fmt: skip
            try:
                with watched(process.pid, self.folder):
                    self.carry(process)
            finally:
                self.ended.set()
                end(process)
        return self.code()

    def carry(self, process: "subprocess.Popen[bytes]") -> None:
        """Until the guest has ended: output to our output, our input to its command."""
        deadline = time.monotonic() + self.start_s
        ready = self.folder / "ready"
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline or self.interrupts >= MOST_INTERRUPTS:
                return
            time.sleep(POLL_S)
        threading.Thread(target=self.feed, daemon=True).start()
        outputs = [Tail(self.folder / "out", 1)] + ([] if self.merged else [Tail(self.folder / "err", 2)])
        code = self.folder / "code"
        while process.poll() is None and not code.exists() and self.interrupts < MOST_INTERRUPTS:
            poured = [o.pour() for o in outputs]
            if not any(poured):
                time.sleep(POLL_S)
        for output in outputs:
            while output.pour():
                pass

    def feed(self) -> None:
        """Our standard input into files, as it comes; nothing from a terminal that is another's."""
        mine = not os.isatty(0) or os.tcgetpgrp(0) == os.getpgrp()
        while not self.ended.is_set():
            if self.inputs > MOST_WAITING and (self.folder / f"in.{self.inputs - MOST_WAITING}").exists():
                time.sleep(POLL_S)  # the command does not read it that fast: who writes it waits
                continue
            try:
                data = os.read(0, 1 << 16) if mine else b""
            except OSError:
                data = b""
            self.put(f"in.{self.inputs}", data)
            self.inputs += 1
            if not data:
                return

    def put(self, name: str, data: bytes) -> None:
        with suppress(FileNotFoundError):  # it is over, and the folder gone
            (self.folder / f"{name}.new").write_bytes(data)
            (self.folder / f"{name}.new").rename(self.folder / name)

    @contextmanager
    def passing_signals(self) -> Iterator[None]:
        """What we are sent goes to the command."""
        before = {s: signal.signal(s, self.signalled) for s in PASSED_ON}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def signalled(self, number: int, frame: FrameType | None) -> None:
        self.put(f"signal.{self.signals}", str(number).encode())
        self.signals += 1
        self.interrupts += number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)

    def code(self) -> int:
        file = self.folder / "code"
        if file.exists():
            return int(file.read_text())
        if self.interrupts >= MOST_INTERRUPTS:
            return 128 + signal.SIGINT
        said = last_words(self.console.read_text(errors="replace")) or "it said nothing"
        if (self.folder / "ready").exists():
            raise Died(said)
        raise Refused(f"its kernel did not come up within {self.start_s:g} s or ended before; it said: {said}")


class Tail:
    """A file that grows, poured into a descriptor of ours."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self.file, self.descriptor, self.at = file, descriptor, 0

    def pour(self) -> bool:
        """What is new; whether anything was."""
        if not self.file.exists():
            return False
        with self.file.open("rb") as stream:
            stream.seek(self.at)
            data = stream.read(1 << 20)
        self.at += len(data)
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.descriptor, view) :]
            except OSError:  # nobody reads it any more
                break
        return bool(data)


def last_words(console: str) -> str:
    """The end of what a kernel said, from its panic on where it had one.

    >>> last_words("booting\\nKernel panic - not syncing: no init\\nCPU: 0\\n")
    'Kernel panic - not syncing: no init\\nCPU: 0'
    """
    words = [w for w in console.splitlines() if w.strip()]
    panics = [n for n, word in enumerate(words) if "Kernel panic" in word]
    chosen = words[panics[0] :][:LAST_WORDS] if panics else words[-LAST_WORDS:]
    return "\n".join(chosen)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that a guest sees under the same name."""
    usual = tempfile.gettempdir()
    hidden = any(Path(usual).resolve().is_relative_to(h) for h in HIDDEN)
    with tempfile.TemporaryDirectory(prefix="shipei-vcan-", dir="/var/tmp" if hidden else usual) as found:
        yield Path(found).resolve()


@contextmanager
def watched(group: int, folder: Path) -> Iterator[None]:
    """A guard that ends a guest's processes and removes its folder should we be killed: its standard input ends with us."""
    script = 'read -r over || kill -9 "-$0"; test "$over" || rm -rf -- "$1"'
    guard = subprocess.Popen(
        ["/bin/sh", "-c", script, str(group), str(folder)],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        guard.communicate(b"over\n")


def pinned(cpu: int) -> None:
    """In the child: one CPU, and death with us."""
    die_with_parent()
    os.sched_setaffinity(0, {cpu})


def end(process: "subprocess.Popen[bytes]") -> None:
    """Let it power off, then make sure, with all that it started."""
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def same_file(one: int, other: int) -> bool:
    a, b = os.fstat(one), os.fstat(other)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def current_umask() -> int:
    found = os.umask(0o22)
    os.umask(found)
    return found
