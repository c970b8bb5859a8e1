"""Processes of ours: every one that a run starts is owned and ended, however deep; and who goes before whom on a busy host.

Linux: a child subreaper, so that orphans come to us and not to init. Elsewhere: the run's session and group. Buses go before all,
emulated boards that boot behind those, simulated time behind all; where Linux schedules by session (autogroup,
Documentation/scheduler/sched-design-CFS.rst), a nice value counts within a session only, and the session has one of its own.
"""

import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG = 36, 1
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
WAIT_S = 5.0
ENABLED = Path("/proc/sys/kernel/sched_autogroup_enabled")
OF_A_SHELL = ("PYTEST_", "PYTHON")  # of names of variables that change a Python and its pytest
BEFORE, EQUAL, BEHIND, LAST = -10, 0, 10, 19


ONE_RUN = threading.Lock()  # orphans come to the process as a whole, so one process carries out one run at a time


def die_with_parent() -> None:
    """In a child, before it starts: ask the kernel to kill it when its parent dies (Linux)."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment() -> dict[str, str]:
    """Return our environment for a Python of our own: it finds our modules wherever it starts, and nothing in the shell changes how it runs or which plugins it loads."""
    root = str(Path(__file__).resolve().parents[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_A_SHELL)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}


def take_lock(file: IO[Any] | int, *, shared: bool = False) -> bool:
    """Take an advisory lock on an open file, if it is free; it is free again when the file is closed, however its process ends."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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


# ---------------------------------------------------------------- who goes before whom


def by_session() -> bool:
    with suppress(OSError):
        return ENABLED.read_text().strip() == "1"
    return False


def set_session(pid: int | str, nice: int) -> None:
    """The nice value of the session of a process; what may not be, is not."""
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def go_before() -> None:
    """This process alone, in a session of its own, goes before others, if it may: a bus waits for nobody."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, BEFORE)
        if by_session():
            os.setsid()
            set_session("self", BEFORE)


def start_behind() -> None:
    """In a child that is the first of its session: go behind others. Without sessions only where it can be taken back."""
    if by_session():
        set_session("self", BEHIND)
    elif os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, BEHIND)


def go_last() -> None:
    """In a child: whatever waits for a clock goes before it and before all that it starts."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, LAST)
    keep_place()


def keep_place() -> None:
    """In a child that is the first of its session: the session goes where the process goes, as its parent does."""
    if by_session():
        set_session("self", os.getpriority(os.PRIO_PROCESS, 0))


def go_along(pid: int) -> None:
    """Another process, which started behind, goes along with others from now on: all of its threads."""
    set_session(pid, EQUAL)
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), EQUAL)
