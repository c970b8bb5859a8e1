"""Own every process that a run starts, however deep, and end them all: nothing is left running.

Linux: a child subreaper, so that orphans come to us and not to init. Elsewhere: the run's session and group.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG = 36, 1
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
WAIT_S = 5.0


ONE_RUN = threading.Lock()  # orphans come to the process as a whole, so one process carries out one run at a time


def die_with_parent() -> None:
    """In a child, before it starts: ask the kernel to kill it when its parent dies (Linux)."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def owned() -> Iterator[None]:
    """While this lasts, orphaned descendants become our children; afterwards none of them lives."""
    with ONE_RUN:
        yield from adopting()


def adopting() -> Iterator[None]:
    if LIBC is None:
        yield
        return
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    before = set(children(os.getpid()))
    try:
        yield
    finally:
        end_all_but(before)
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 0)


def end(pid: int) -> None:
    """End a child, its whole session's group and everything below it."""
    for each in (*below(pid), pid):
        kill(each)
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def end_all_but(keep: set[int]) -> None:
    """End every child of ours that is not to be kept, and whatever of theirs comes to us while we do."""
    deadline = time.monotonic() + WAIT_S
    while (left := set(children(os.getpid())) - keep) and time.monotonic() < deadline:
        for pid in left:
            for each in (*below(pid), pid):
                kill(each)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        time.sleep(0.01)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def children(pid: int) -> list[int]:
    """The direct children of a process (Linux)."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(p) for p in (task / "children").read_text().split()]
    except OSError:  # it ended while we looked
        return found
    return found


def below(pid: int) -> list[int]:
    """All descendants, the deepest first."""
    direct = children(pid)
    return [d for child in direct for d in below(child)] + direct
