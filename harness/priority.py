"""Who goes before whom on a busy host: buses before all, emulated boards that boot behind those, simulated time behind all.

Where Linux schedules by session (autogroup, Documentation/scheduler/sched-design-CFS.rst), a nice value counts within a session
only, and the session has one of its own.
"""

import os
from contextlib import suppress
from pathlib import Path

ENABLED = Path("/proc/sys/kernel/sched_autogroup_enabled")
BEFORE, EQUAL, BEHIND, LAST = -10, 0, 10, 19


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
