"""When something was switched that tells no time itself: in the middle of how long it took, give or take half of it."""

import time
from collections.abc import Callable
from typing import Protocol


class Uncertain(Protocol):
    """A port that knows how exact its stamps are."""

    uncertainty_ns: int


def timed(port: Uncertain, switch: Callable[[], object]) -> int:
    """Do it; the moment on CLOCK_MONOTONIC. The port's uncertainty grows to half of the longest that any switching took."""
    before_ns = time.monotonic_ns()
    switch()
    after_ns = time.monotonic_ns()
    port.uncertainty_ns = max(port.uncertainty_ns, (after_ns - before_ns) // 2)
    return (before_ns + after_ns) // 2
