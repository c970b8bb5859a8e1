"""From an adapter's stamps to CLOCK_MONOTONIC: offset, drift, and how sure both are.

A frame that arrived bounds the offset from above: it was on the wire before it was here. One of our own that comes back bounds it from
below: it was on the wire after we sent it. What is between the bounds is what nobody knows.
"""

from collections import deque
from collections.abc import Callable

WINDOW_NS = 1_000_000_000
MOST_WINDOWS = 60
ABSURD_NS = 3_600_000_000_000  # a stamp that lies farther from its arrival, once mapped, is no stamp
PPM = 1e6
MOST_PPM = 100.0  # of a quartz, while nothing is known of it


class Stamps:
    """One adapter's clock against ours. All times in ns."""

    def __init__(self) -> None:
        self.upper: deque[tuple[int, int]] = deque(maxlen=MOST_WINDOWS)  # (stamp, least offset) a window
        self.lower: deque[tuple[int, int]] = deque(maxlen=MOST_WINDOWS)  # (stamp, greatest offset), of our own frames
        self.last_ns = 0
        self.unstamped = 0

    def mapped(self, stamp_ns: int, arrival_ns: int, sent_ns: int | None = None) -> int:
        """A frame's moment on CLOCK_MONOTONIC: not before the frame ahead of it, and not after its arrival."""
        bound(self.upper, stamp_ns, arrival_ns - stamp_ns, min)
        if sent_ns is not None:
            bound(self.lower, stamp_ns, sent_ns - stamp_ns, max)
        found = stamp_ns + self.offset()
        if not arrival_ns - ABSURD_NS < found <= arrival_ns or stamp_ns <= 0:
            self.unstamped += 1
            found = arrival_ns
        self.last_ns = max(self.last_ns, found)
        return self.last_ns

    def now(self, now_ns: int) -> int:
        """A moment of ours, in order with the frames."""
        self.last_ns = max(self.last_ns, now_ns)
        return self.last_ns

    def offset(self) -> int:
        """The least of the last two windows: the newest may have had no quick frame yet."""
        return min(offset for _, offset in list(self.upper)[-2:])

    def drift_ppm(self) -> float:
        """How much faster our clock runs, from the least offsets over the windows; 0 until there are enough."""
        if len(self.upper) < 5:
            return 0.0
        (a, low), (b, high) = self.upper[0], self.upper[-1]
        return (high - low) / (b - a) * PPM if b > a else 0.0

    def uncertainty_ns(self) -> int:
        """What lies between the bounds now; without frames of our own, how far the windows' bounds scatter about the drift."""
        if not self.upper:
            return 0
        slope = self.drift_ppm() / PPM
        if self.lower:
            known = abs(self.drift_ppm()) + MOST_PPM / len(
                self.upper
            )  # the longer it is watched, the better it is known
            age_ns = (
                2 * WINDOW_NS + self.upper[-1][0] - self.lower[-1][0]
            )  # the bounds were true within the last windows
            greatest = max(offset for _, offset in list(self.lower)[-2:])
            return max(0, round(self.offset() - greatest + known / PPM * age_ns))
        start, base = self.upper[0]
        return max(round(abs(offset - base - slope * (stamp - start))) for stamp, offset in self.upper)


def bound(windows: deque[tuple[int, int]], stamp_ns: int, offset_ns: int, better: Callable[..., int]) -> None:
    """The best bound of each window."""
    if not windows or not 0 <= stamp_ns - windows[-1][0] < WINDOW_NS:
        windows.append((stamp_ns, offset_ns))
    else:
        windows[-1] = (windows[-1][0], better(windows[-1][1], offset_ns))
