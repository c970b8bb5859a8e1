"""Console lines that mean a crash, on the systems that ECUs run (domain catalogue BOOT-03)."""

from collections.abc import Iterable

CRASHES = (
    "Kernel panic - not syncing",
    "Unable to handle kernel",
    "BUG: ",
    "Oops:",
    "soft lockup",
    "rcu_sched detected stalls",
    "Out of memory: Killed process",
    "FATAL EXCEPTION",
    "*** *** *** *** *** *** *** ***",  # Android tombstone
    "Traceback (most recent call last)",
    "Segmentation fault",
    "appfreeze",
    "cppcrash",
    "jscrash",
)


def crashes(lines: Iterable[str]) -> list[str]:
    """The lines that carry a crash signature.

    >>> crashes(["ready", "Kernel panic - not syncing: Attempted to kill init!"])
    ['Kernel panic - not syncing: Attempted to kill init!']
    """
    return [line for line in lines if any(signature in line for signature in CRASHES)]
