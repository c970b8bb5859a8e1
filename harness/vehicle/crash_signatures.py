"""Console lines that mean a crash, on the systems that ECUs run (domain catalogue BOOT-03)."""

from collections.abc import Iterable, Mapping, Sequence

from harness.console import matches

LOOP = 3  # boots that nobody asked for, one after the other
MOST_NAMED = 3

SIGNATURES: Mapping[str, tuple[str, ...]] = {
    "panic": ("Kernel panic - not syncing", "end Kernel panic", "panic - not syncing", "ABORTED: panic"),
    "oops": (
        "Unable to handle kernel",
        "BUG: ",
        "Oops:",
        "Oops [#",
        "Internal error: Oops",
        "general protection fault",
        "invalid opcode: 0000",
        "kernel BUG at",
    ),
    "lockup": (
        "soft lockup",
        "hard LOCKUP",
        "rcu_sched detected stalls",
        "rcu_preempt detected stalls",
        "rcu: INFO: rcu_",
        "blocked for more than",
        "task hung",
    ),
    "out of memory": (
        "Out of memory: Killed process",
        "invoked oom-killer",
        "oom-kill:",
        "Memory cgroup out of memory",
    ),
    "file system": (
        "Initramfs unpacking failed",
        "EXT4-fs error",
        "EXT2-fs error",
        "SQUASHFS error",
        "I/O error, dev",
        "VFS: Unable to mount root fs",
        "JBD2: Detected IO errors",
        "UBIFS error",
    ),
    "process": (
        "FATAL EXCEPTION",
        "*** *** *** *** *** *** *** ***",  # Android tombstone
        "Traceback (most recent call last)",
        "Segmentation fault",
        "segfault at",
        "appfreeze",
        "cppcrash",
        "jscrash",
    ),
    "boot loader": (
        "### ERROR ### Please RESET the board ###",
        '"Synchronous Abort" handler',
        "Bad Linux",
        "Wrong Image Format",
    ),
}


def kind_of(line: str) -> str | None:
    """What kind of crash a line tells of; None if it tells of none.

    >>> kind_of("[   30.1] Kernel panic - not syncing: sysrq triggered crash"), kind_of("panic button pressed")
    ('panic', None)
    """
    return next((kind for kind, texts in SIGNATURES.items() if any(text in line for text in texts)), None)


def diagnosis(lines: Sequence[str], first_stages: Sequence[str]) -> str:
    """What may explain that a device did not get ready, to be put behind a message; empty if nothing does.

    >>> diagnosis(["BL: 1", "BL: 1", "BL: 1", "Kernel panic - not syncing: no init"], ["^BL:"])
    "; boot loop: it booted 3 times; panic: 'Kernel panic - not syncing: no init'"
    """
    boots = sum(matches(stage, line) for line in lines for stage in first_stages)
    found = [f"{'boot loop: ' if boots >= LOOP else ''}it booted {boots} times"] if boots > 1 else []
    found += [f"{kind_of(line)}: {line!r}" for line in crashes(lines)[:MOST_NAMED]]
    return "".join(f"; {text}" for text in found)


def crashes(lines: Iterable[str]) -> list[str]:
    """The lines that carry a crash signature.

    >>> crashes(["ready", "Kernel panic - not syncing: Attempted to kill init!"])
    ['Kernel panic - not syncing: Attempted to kill init!']
    """
    return [line for line in lines if kind_of(line) is not None]
