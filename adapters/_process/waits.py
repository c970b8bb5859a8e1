"""How long a process of the host waited for a CPU (Linux: Documentation/scheduler/sched-stats.rst)."""

from contextlib import suppress
from pathlib import Path


class Waits:
    """Looked at again and again, it knows the longest wait between two looks; of several threads, that of the one that waited most."""

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
        self.longest_ns = max(self.longest_ns, waited_ns - self.waited_ns)
        self.waited_ns = max(self.waited_ns, waited_ns)

    def taken_ns(self) -> int:
        """Return the longest wait since the last reading of this, in ns."""
        found, self.longest_ns = self.longest_ns, 0
        return found
