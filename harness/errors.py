"""Faults, named by who must act on them.

Fault
├── BadInput       the person who wrote the file or typed the command (exit code 2)
├── DeviceError    the vendor: the device did something wrong (FAIL)
├── SuiteError     the suite's author: the test is wrong (ERROR)
└── RigError       the lab: a port, the host or a file failed (MISS, exit code 3)
    └── Late       the host was too busy for this once: it may be tried again
"""

from collections.abc import Iterable
from typing import TypeVar

MOST_SHOWN = 200  # characters
MOST_MISTAKES = 100  # that are told at once; then how many more there are
T = TypeVar("T")


class Fault(Exception):
    """Something went wrong and we know whose it is."""


class BadInput(Fault):
    """One or more mistakes in what a person wrote; all of them at once.

    >>> print(BadInput(["a.yaml:3: unknown key 'chp'", "a.yaml:9: missing key 'name'"]))
    a.yaml:3: unknown key 'chp'
    a.yaml:9: missing key 'name'
    """

    def __init__(self, mistakes: Iterable[str] | str) -> None:
        self.mistakes = (mistakes,) if isinstance(mistakes, str) else tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class DeviceError(Fault):
    """The device under test did not do what was expected of it."""


class SuiteError(Fault):
    """A suite asked for something that cannot be: an unknown path, a measure it never declared."""


class RigError(Fault):
    """The rig failed: no statement about the device can be made."""


class Late(RigError):
    """A busy host kept the bench from its times: whatever the device did, it was asked something else. The same may be tried again."""


def shown(text: object) -> str:
    r"""Return text that somebody else wrote as it is shown: on one line, not long, and no orders to a terminal.

    >>> shown("a\nb\x1b[2J"), len(shown("x" * 1000))
    ('a\ufffdb\ufffd[2J', 200)
    """
    return printable(str(text)[:MOST_SHOWN])


def printable(text: str, but: str = "") -> str:
    r"""Return text without orders to a terminal, but for the characters in `but`.

    >>> printable("a\nb\x1b[2J", but="\n")
    'a\nb\ufffd[2J'
    """
    return "".join(c if c.isprintable() or c in but else "\ufffd" for c in text)


def given(value: T | None) -> T:
    """Return a value that cannot be missing here. Raises TypeError, a bug of ours, when it is.

    >>> given(0)
    0
    """
    if value is None:
        raise TypeError("something is missing that is always there")
    return value
