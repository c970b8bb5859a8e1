"""One bus of the vehicle: its DBC, what the device sends on it, and the messages that the bench sends in the rest's place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cantools.database import Message, Signal

from harness.can import vss
from harness.can.decode import Codec, Decoded
from harness.can.frames import duration_ns
from harness.can.trace import Rows
from harness.model import BusInterface, E2e, Value
from harness.ports import BRS, ERROR, EXT, FD, TX

MS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Series:
    """One path's values over a stretch of time."""

    time_ns: Any
    values: Sequence[Value]


class BusView:
    """One bus by the words of the field: who sends what, and what frames say. It sends nothing and is connected to nothing."""

    def __init__(self, name: str, interface: BusInterface, codec: Codec, paths: Mapping[str, vss.Mapped]) -> None:
        self.name, self.interface, self.codec, self.paths = name, interface, codec, paths
        self.rules: Mapping[str, E2e] = {r.message: r for r in interface.e2e}

    def sent_by_device(self) -> list[Message]:
        """The messages that the device sends, by the DBC."""
        return [m for m in self.codec.messages.values() if self.interface.node in m.senders]

    def restbus(self) -> list[Message]:
        """The cyclic messages that the others send, and so the bench."""
        return [m for m in self.codec.messages.values() if self.interface.node not in m.senders and m.cycle_time]

    def owner(self, signal: str) -> str:
        """The message of a signal."""
        return next(m for m, es in self.codec.extractions.items() if any(e.name == signal for e in es))

    def ids(self, message: str) -> list[int]:
        return [self.codec.messages[message].frame_id]

    def flags(self, message: str) -> int:
        found = self.codec.messages[message]
        return (EXT if found.is_extended_frame else 0) | (FD | BRS if found.is_fd else 0)

    def start_values(self, message: str) -> dict[str, Any]:
        found = self.codec.messages[message]
        return {s.name: s.initial if s.initial is not None else s.offset for s in found.signals}

    def pages(self, message: str, signal: str | None = None) -> tuple[int, ...]:
        """The pages of a multiplexed message, or those that carry a signal; empty where there are none."""
        signals = self.codec.messages[message].signals
        return tuple(sorted({p for s in signals if signal in (None, s.name) for p in s.multiplexer_ids or ()}))

    def of_device(self, rows: Rows) -> Rows:
        """The frames that the bench did not send."""
        found: Rows = rows[(rows["flags"] & (TX | ERROR)) == 0]
        return found

    def from_device(self, message: str, rows: Rows) -> Decoded:
        return self.codec.message(message, self.of_device(rows))

    def series(self, mapped: vss.Mapped, rows: Rows) -> Series:
        """A path's values in these frames, in VSS terms."""
        decoded = self.from_device(mapped.message, rows)
        labels = decoded.signals[mapped.signal].labels()
        return Series(time_ns=decoded.time_ns, values=[mapped.to_vss.get(str(v), v) for v in labels])

    def sent_payloads(self, message: str, rows: Rows) -> list[bytes]:
        """The device's payloads of one message, in their order."""
        found = self.of_device(rows)
        found = found[found["id"] == self.codec.messages[message].frame_id]
        return [bytes(d[:n]) for d, n in zip(found["data"], found["length"].tolist(), strict=True)]

    def snapshot(self, rows: Rows) -> dict[str, Any]:
        """The value of every signal that the device sends cyclically and that has a VSS path (what counts on its own has none)."""
        mapped = {m.signal for m in self.paths.values()}
        decoded = self.codec.decode(self.of_device(rows))
        found: dict[str, Any] = {}
        for message in self.sent_by_device():
            if message.cycle_time and message.name in decoded and len(decoded[message.name].time_ns):
                for name, column in decoded[message.name].signals.items():
                    if name not in mapped:
                        continue
                    values = np.unique(column.raw)
                    found[f"{message.name}.{name}"] = values[0].item() if len(values) == 1 else "counting"
        return found

    def fell_silent(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """The messages that were in the snapshot before, and are in none after."""
        return sorted({s.split(".")[0] for s in before} - {s.split(".")[0] for s in after})

    def load(self, rows: Rows, window_ns: int) -> list[float]:
        """How much of the bus these frames took, in %, in one window after the other, each bit of them counted."""
        took = np.zeros(len(rows))
        rates = self.interface.bitrate, self.interface.data_bitrate
        for n, (identifier, flags, length, data) in enumerate(rows[["id", "flags", "length", "data"]].tolist()):
            took[n] = 0 if flags & ERROR else duration_ns(identifier, flags & ~TX, bytes(data[:length]), *rates)
        windows = (rows["time_ns"] - rows["time_ns"][0]) // window_ns if len(rows) else rows["time_ns"]
        return [100 * float(taken) / window_ns for taken in np.bincount(windows.astype(np.int64), took)]

    def unused_bits_set(self, message: Message, rows: Rows) -> bool:
        """Whether the device ever set a bit of a message that no signal owns (multiplexed messages are left out)."""
        if message.is_multiplexed():
            return False
        used = 0
        for signal in message.signals:
            used |= bit_mask(signal)
        spare = ~used & ((1 << 8 * message.length) - 1)
        return any(int.from_bytes(p, "little") & spare for p in self.sent_payloads(message.name, rows))


def bit_mask(signal: Signal) -> int:
    """The bits of a signal in the frame as a little-endian number."""
    if signal.byte_order == "little_endian":
        return int(((1 << signal.length) - 1) << signal.start)
    mask, at = 0, 8 * (signal.start // 8) + 7 - signal.start % 8
    for position in range(at, at + signal.length):
        mask |= 1 << (8 * (position // 8) + 7 - position % 8)
    return mask
