"""One message to bytes and back, by its DBC, a frame at a time: what a closed loop needs a thousand times a second.

The same bytes and values as cantools gives, without its checks; a value beyond its range is sent as the nearest that fits.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from cantools.database import Message, Signal

from harness.model import Value, noun
from harness.ports import BRS, EXT, FD


@noun
class Place:
    """Where a signal lies: shift and mask in the number that the frame is, read from its last byte (big) or its first."""

    shift: int
    mask: int
    big: bool
    signed: bool
    scale: float
    offset: float
    start: float
    labels: Mapping[str, int]
    page: int | None


@noun
class Layout:
    """A message, compiled. Floating-point signals are not offered: no sensor frame has one."""

    name: str
    id: int
    flags: int
    length: int
    cycle_ms: float
    selector: str | None
    places: Mapping[str, Place]

    @cached_property
    def pages(self) -> tuple[int, ...]:
        """The values of the selector in a multiplexed message."""
        return tuple(sorted({p.page for p in self.places.values() if p.page is not None}))

    def pack(self, values: Mapping[str, Value], page: int | None = None) -> bytes:
        """The frame's bytes; what is not given has the DBC's start value. `page` chooses one of a multiplexed message's."""
        little = big = 0
        for name, at in self.places.items():
            if at.page is not None and at.page != page:
                continue
            value = page if name == self.selector and page is not None else values.get(name, at.start)
            raw = at.labels[value] if isinstance(value, str) else round((float(value) - at.offset) / at.scale)
            low, high = (-(at.mask + 1) // 2, at.mask // 2) if at.signed else (0, at.mask)
            raw = min(high, max(low, raw)) & at.mask
            if at.big:
                big |= raw << at.shift
            else:
                little |= raw << at.shift
        size = self.length
        return (little | int.from_bytes(big.to_bytes(size, "big"), "little")).to_bytes(size, "little")

    def value(self, name: str, data: bytes) -> float:
        """A signal's physical value in a frame that carries it."""
        at = self.places[name]
        raw = int.from_bytes(data[: self.length], "big" if at.big else "little") >> at.shift & at.mask
        if at.signed and raw > at.mask >> 1:
            raw -= at.mask + 1
        return raw * at.scale + at.offset


def layout(message: Message) -> Layout:
    """A message of a DBC, compiled."""
    return Layout(
        name=message.name,
        id=message.frame_id,
        flags=(EXT if message.is_extended_frame else 0) | (FD | BRS if message.is_fd else 0),
        length=message.length,
        cycle_ms=float(message.cycle_time or 0),
        selector=next((s.name for s in message.signals if s.is_multiplexer), None),
        places={s.name: place(s, message.length) for s in message.signals},
    )


def place(signal: Signal, length: int) -> Place:
    """Where a signal of a message of that many bytes lies."""
    big = signal.byte_order == "big_endian"
    first = 8 * (signal.start // 8) + 7 - signal.start % 8
    choices: Mapping[int, Any] = signal.choices or {}
    return Place(
        shift=8 * length - first - signal.length if big else signal.start,
        mask=(1 << signal.length) - 1,
        big=big,
        signed=signal.is_signed,
        scale=float(signal.scale),
        offset=float(signal.offset),
        start=float(signal.raw_initial or 0) * float(signal.scale) + float(signal.offset),
        labels={str(label): int(raw) for raw, label in choices.items()},
        page=signal.multiplexer_ids[0] if signal.multiplexer_ids else None,
    )
