"""Two buses of a bench that are wired together: when a frame leaves one and when it comes in on the other, by the stamps of both."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.ports import TX, CanBus, Frame

FRAMES, GAP_NS, LATE_NS = 500, 5_000_000, 500_000_000
IDENTIFIER = 0x7FE
BARS = 12


@dataclass(frozen=True, kw_only=True)
class Loop:
    """`delays_us`: in at the second minus out at the first, of each frame that came. A clean bench: the frame's duration, within
    the uncertainty of both clocks."""

    pair: tuple[str, str]
    delays_us: NDArray[np.float64]
    lost: int

    def in_words(self) -> str:
        if not len(self.delays_us):
            return f"none of {self.lost} frames came in: is the cable between {' and '.join(self.pair)} there, with the same bit rate?"
        low, middle, high = np.percentile(self.delays_us, [1, 50, 99])
        text = f"{len(self.delays_us)} frames, delay 1 % {low:.0f} us, median {middle:.0f} us, 99 % {high:.0f} us"
        return text + (f"; {self.lost} LOST" if self.lost else "")

    def histogram(self) -> list[tuple[float, float, int]]:
        """(from us, to us, frames) of each bar."""
        if not len(self.delays_us):
            return []
        counts, edges = np.histogram(self.delays_us, BARS)
        return [(float(a), float(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]


def measure(first: str, out: CanBus, second: str, back: CanBus, frames: int = FRAMES) -> Loop:
    """Send numbered frames on one bus and find each on both; waits until all are there, or the last is late."""
    start, came = len(out.rows()), len(back.rows())
    for n in range(frames):
        out.send(Frame(id=IDENTIFIER, data=n.to_bytes(4, "big")))
        back.wait(1 << 60, back.now_ns() + GAP_NS)
    back.wait(1 << 60, back.now_ns() + LATE_NS)
    sent, heard = stamps(out.rows(start), True), stamps(back.rows(came), False)
    both = sorted(set(sent) & set(heard))
    delays = np.array([(heard[n] - sent[n]) / 1e3 for n in both])
    return Loop(pair=(first, second), delays_us=delays, lost=frames - len(both))


def stamps(rows: NDArray[np.void], ours: bool) -> dict[int, int]:
    """The stamp of each numbered frame that we sent, or that came in."""
    mine = rows[(rows["id"] == IDENTIFIER) & ((rows["flags"] & TX != 0) == ours)]
    return {int.from_bytes(row["data"][:4].tobytes(), "big"): int(row["time_ns"]) for row in mine}
