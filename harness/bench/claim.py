"""Have a bench for oneself: its lock, its lease from a lab engine, and a guard that leaves it safe whatever happens to us."""

import copy
import getpass
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.bench import guard
from harness.errors import RigError, given
from harness.inputs.rig import RigFile
from harness.paths import memory_of_rig
from harness.ports import Lease
from harness.processes import environment, take_lock
from harness.record import write_json

Tell = Callable[[str], None]
GoldenCheck = Callable[[Path], list[str]]  # checks the golden item into a new folder; what was wrong
OWNER = "owner.json"
LOOK_S = 0.5
GUARD_S = 90.0  # how long a guard may take to make everything safe
LATE_S = 30.0


class Hold:
    """A bench that is ours for now."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.guard: Guard | None = None
        self.golden: GoldenCheck | None = None  # to be done before and after what the bench is held for

    def unbracketed(self) -> "Hold":
        """The same bench, for what is itself a golden check."""
        found = copy.copy(self)
        found.golden = None
        return found

    def lost(self) -> str:
        """Why the bench is not ours any more; empty while it is."""
        try:
            if self.lease is not None:
                self.lease.alive()
        except RigError as error:
            return str(error)
        return ""

    def make_safe(self) -> list[str]:
        """Everything to its safe state; what could not be done."""
        return self.guard.make_safe() if self.guard else []


@contextmanager
def held(
    rig: RigFile,
    what: str,
    *,
    wait_s: float = 0.0,
    tell: Tell = lambda what: None,
    looking: bool = False,
) -> Iterator[Hold]:
    """Lock the bench, reserve it, make it safe, and leave it safe.

    Raises RigError when it is not free within `wait_s`, or cannot be made safe; who is only `looking` for what is wrong is told.
    """
    hold, bench, memory = Hold(), rig.rig, memory_of_rig(rig.rig.name)
    with ExitStack() as stack:
        lock = stack.enter_context(locked(memory, bench.name, what, wait_s, tell)) if bench.one_at_a_time else None
        if rig.lease is not None:
            hold.lease = stack.enter_context(rig.lease.reserve(bench.name, tell))
        if rig.switching:
            hold.guard = Guard(rig.file, memory, lock)
            stack.callback(hold.guard.close)
            say_how_it_was_left(memory, tell)
            unsafe = hold.make_safe()
            if unsafe and looking:
                tell(f"the bench {bench.name} cannot be made safe: {'; '.join(unsafe)}")
            elif unsafe:
                raise RigError(
                    f"the bench {bench.name} cannot be made safe, so nothing is started: {'; '.join(unsafe)}"
                )
        yield hold


def say_how_it_was_left(memory: Path, tell: Tell) -> None:
    file = memory / guard.LEFT
    if file.is_file():
        left = json.loads(file.read_text(encoding="utf-8"))
        tell(
            f"the last harness here died at {left['at']}; then: {'; '.join([*left['done'], *left['failed']]) or 'nothing'}"
        )
        file.unlink()


# ---------------------------------------------------------------- one run at a time


@contextmanager
def locked(memory: Path, name: str, what: str, wait_s: float, tell: Tell) -> Iterator[int]:
    """The bench's lock. The kernel frees it when its owner dies, so a dead owner's lock is simply taken."""
    file, deadline = memory / OWNER, time.monotonic() + wait_s
    with (memory / "lock").open("a") as lock:
        while not take_lock(lock):
            if time.monotonic() >= deadline:
                raise RigError(f"the bench {name} is taken {owner(file)}; --wait SECONDS waits for it")
            tell(f"waiting for the bench {name}, taken {owner(file)}")
            time.sleep(LOOK_S)
        if file.is_file():
            tell(f"taking over the bench {name} from a run that died: it was taken {owner(file)}")
        mine = {"pid": os.getpid(), "user": user(), "host": socket.gethostname(), "what": what, "since": time.time()}
        write_json(file, mine)
        try:
            yield lock.fileno()
        finally:
            file.unlink(missing_ok=True)


def taken(memory: Path) -> str | None:
    """By whom the bench is taken now; None if it is free."""
    with (memory / "lock").open("a") as lock:
        return None if take_lock(lock) else owner(memory / OWNER)


def owner(file: Path) -> str:
    """By whom and since when, in words."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        minutes = max(0.0, time.time() - found["since"]) / 60
        return f"by {found['user']}@{found['host']} (pid {found['pid']}, {found['what']}) for {minutes:.0f} min"
    except (OSError, ValueError, KeyError, TypeError):
        return "by somebody who has not yet said who"


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


# ---------------------------------------------------------------- the guard


class Guard:
    """Our end of the guard process."""

    def __init__(self, rig_file: Path, memory: Path, lock: int | None) -> None:
        self.rig_file, self.memory, self.lock = rig_file, memory, lock
        self.process = self.start()

    def start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.bench.guard", str(self.rig_file.resolve()), str(self.memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
            start_new_session=True,
            pass_fds=() if self.lock is None else (self.lock,),
        )
        if not self.line(process, LATE_S):
            process.kill()
            process.wait()
            raise RigError(
                f"the guard of the bench did not start; try python -m harness.bench.guard {self.rig_file} {self.memory}"
            )
        return process

    @staticmethod
    def line(process: "subprocess.Popen[str]", within_s: float) -> str:
        """The guard's next line; empty when there is none in time."""
        pipe = given(process.stdout)
        return pipe.readline() if select.select([pipe], [], [], within_s)[0] else ""

    def make_safe(self) -> list[str]:
        """What could not be brought to its safe state. A guard that died is replaced."""
        if self.process.poll() is not None:
            self.shut()
            self.process = self.start()
        pipe = given(self.process.stdin)
        try:
            pipe.write("safe\n")
            pipe.flush()
            said: dict[str, Any] = json.loads(
                self.line(self.process, GUARD_S) or '{"failed": ["the guard does not answer"]}'
            )
        except (OSError, ValueError) as error:
            return [f"the guard of the bench is gone: {error}"]
        return list(said["failed"])

    def shut(self) -> None:
        """Our ends of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def close(self) -> None:
        """Make safe once more, and let the guard go."""
        self.make_safe()
        pipe = given(self.process.stdin)
        try:
            pipe.write("done\n")
            pipe.close()
            self.process.wait(LATE_S)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.shut()
