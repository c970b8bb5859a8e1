"""What is sent cyclically on a real-time bus, by its owner's clock."""

import heapq
import time
from collections.abc import Callable
from typing import Any, Protocol


class Cycles(Protocol):
    """Cyclic frames. Counters go on when payloads change, and where a closed loop left them."""

    def change(self, identifier: int, period_ns: int, payloads: list[bytes], flags: int, count: int) -> None:
        """Start or change one; `count` is how often it has been sent so far, if it is new."""

    def stop(self, identifier: int) -> int | None:
        """How often it has been sent; None if it is not sent."""

    def send(self, now_ns: int) -> None:
        """Send what is due."""

    @property
    def due_ns(self) -> int | None:
        """When something is due next; None if nothing is, or the kernel sees to it."""


class TimedCycles:
    """Cyclic frames by this process's clock."""

    def __init__(self, transmit: Callable[[int, int, bytes], None]) -> None:
        self.transmit = transmit
        self.known: dict[int, list[Any]] = {}  # id -> [generation, period_ns, payloads, flags, counter]
        self.due: list[tuple[int, int, int]] = []  # (due_ns, id, generation)

    def change(self, identifier: int, period_ns: int, payloads: list[bytes], flags: int, count: int) -> None:
        before = self.known.get(identifier)
        if before is not None and before[1] == period_ns:
            before[2], before[3] = payloads, flags
            return
        generation = before[0] + 1 if before else 0
        self.known[identifier] = [generation, period_ns, payloads, flags, before[4] if before else count]
        heapq.heappush(self.due, (time.monotonic_ns(), identifier, generation))

    def stop(self, identifier: int) -> int | None:
        cycle = self.known.pop(identifier, None)
        return cycle[4] if cycle else None

    def send(self, now_ns: int) -> None:
        while self.due and self.due[0][0] <= now_ns:
            self.send_one(heapq.heappop(self.due))

    def send_one(self, entry: tuple[int, int, int]) -> None:
        due_ns, identifier, generation = entry
        cycle = self.known.get(identifier)
        if cycle is None or cycle[0] != generation:
            return
        self.transmit(identifier, cycle[3], cycle[2][cycle[4] % len(cycle[2])])
        cycle[4] += 1
        next_ns = due_ns + cycle[1]
        now_ns = time.monotonic_ns()
        if next_ns < now_ns - 10 * cycle[1]:  # after a long stall do not send a burst
            next_ns = now_ns
        heapq.heappush(self.due, (next_ns, identifier, generation))

    @property
    def due_ns(self) -> int | None:
        return self.due[0][0] if self.due else None
