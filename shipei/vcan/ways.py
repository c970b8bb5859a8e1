"""What is wanted of a kernel with CAN, and how one says that it cannot give it."""

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rigs.images.packages import Tell

BUS = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ is 16 with its final zero
MEMORY = re.compile(r"[1-9][0-9]{0,6}[MG]")
DEAD = 125  # the exit code when the kernel died under the command
NOT_FOUND, NOT_EXECUTABLE = 127, 126
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
MODULES = ("can", "can-raw", "can-bcm", "can-gw", "can-isotp", "can-dev", "vcan", "vxcan", "slcan", "overlay")


class Died(Exception):
    """The kernel ended while the command ran; its last words."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A command, the buses that it finds, and what the kernel is given. `cpu`: the one it is pinned to; None: one is chosen."""

    command: tuple[str, ...]
    buses: tuple[str, ...] = ("vcan0", "vcan1")
    fd: bool = True
    memory: str = "1G"
    cpu: int | None = None
    private: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Way(Protocol):
    """A kernel that has SocketCAN or can be made to have it."""

    name: str

    def check(self, wanted: Wanted, tell: Tell) -> str:
        """Get ready; what runs the command, in words. Raises Refused."""

    def run(self, wanted: Wanted) -> int:
        """The command's exit code, 128 + N when signal N ended it. Raises Refused before it began, Died afterwards."""

    def setup(self, tell: Tell) -> Mapping[str, str]:
        """Fetch and build what it needs, for later, without a network. Raises Refused."""


def mistakes(wanted: Wanted) -> list[str]:
    """What is wrong with what a person asked for.

    >>> mistakes(Wanted(command=("true",), buses=("vcan0", "x; reboot"), memory="lots"))
    ["--bus 'x; reboot': 1 to 15 letters, digits or . _ -, a letter first", "--memory 'lots': a number and M or G, such as 512M or 2G"]
    """
    found = [
        f"--bus {b!r}: 1 to 15 letters, digits or . _ -, a letter first" for b in wanted.buses if not BUS.fullmatch(b)
    ]
    found += [f"--bus {b!r}: named twice" for b in sorted({b for b in wanted.buses if wanted.buses.count(b) > 1})]
    if not MEMORY.fullmatch(wanted.memory):
        found.append(f"--memory {wanted.memory!r}: a number and M or G, such as 512M or 2G")
    return found


def one_cpu(wanted: Wanted, allowed: Sequence[int], turn: int) -> int:
    """The CPU to pin a guest to: the one asked for, or another for every run.

    >>> one_cpu(Wanted(command=("true",)), [0, 2], 5)
    2
    """
    return allowed[turn % len(allowed)] if wanted.cpu is None else wanted.cpu
