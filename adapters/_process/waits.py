"""How long a process of the host waited for a CPU (Linux: Documentation/scheduler/sched-stats.rst)."""

from contextlib import suppress
from pathlib import Path

from harness.processes import below

SHORT_NS = 10_000_000  # waits that nobody asks for the reason of


class Waits:
    """Looked at again and again, it knows the longest wait between two looks; of several threads, that of the one that waited most.

    What a process waits for while others of its own want a CPU too is its own doing, and does not count.
    """

    def __init__(self) -> None:
        self.waited_ns, self.longest_ns = 0, 0

    def begin(self) -> None:
        """Another process is looked at from now on."""
        self.waited_ns = 0

    def look(self, pid: int) -> None:
        """Read how long its threads have waited by now; one that has ended keeps what it had."""
        waited_ns = 0
        with suppress(OSError, ValueError, IndexError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waited_ns = max(waited_ns, int((task / "schedstat").read_text().split()[1]))
        more_ns = waited_ns - self.waited_ns
        self.waited_ns = max(self.waited_ns, waited_ns)
        if more_ns > self.longest_ns and (more_ns < SHORT_NS or not crowded(pid)):
            self.longest_ns = more_ns

    def taken_ns(self) -> int:
        """Return the longest wait since the last reading of this, in ns."""
        found, self.longest_ns = self.longest_ns, 0
        return found


def crowded(pid: int) -> bool:
    """Whether more than one thread of a process, or of what it started, wants a CPU now."""
    wanting = 0
    for one in (pid, *below(pid)):
        with suppress(OSError, IndexError):
            for task in Path(f"/proc/{one}/task").iterdir():
                wanting += (task / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    return wanting > 1
