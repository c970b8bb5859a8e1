"""Something seen on the wire; values compared and summed up as people mean them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Value

MS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Something that happened on the wire: when, and the value that came with it."""

    time_ns: int
    value: Value

    @property
    def time_s(self) -> float:
        return self.time_ns / 1e9

    def after_ms(self, other: "Seen | int") -> float:
        """Milliseconds from `other` (or a stamp in ns) to this."""
        return (self.time_ns - (other if isinstance(other, int) else other.time_ns)) / MS


def same(one: Value, other: Value) -> bool:
    """Equal as people mean it: numbers by value, a DBC's 0 and 1 as false and true."""
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return abs(float(one) - float(other)) < 1e-9


def summary(values: Sequence[Value]) -> str:
    """Distinct values in the order they came, with how often.

    >>> summary([1, 1, 2])
    '1 (2x), 2'
    """
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    shown = [f"{v!r} ({n}x)" if n > 1 else f"{v!r}" for v, n in runs]
    return ", ".join(shown[-8:]) if shown else "nothing"
