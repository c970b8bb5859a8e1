"""can-utils' candump log format, read as columns: `(stamp) channel id#data`, `id#R` for remote, `id##` and a digit of flags for CAN FD.

All lines of one shape are taken apart at once. What is no such line is passed over and named.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.can import columns
from harness.can.columns import DIGITS, LENGTHS, NOWHERE, Bytes, Places, number
from harness.can.log import Log, shortened
from harness.can.trace import ROW, Rows
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX

DOT = (ord(".") - ord("0")) % 256
ERROR_FRAME = 0x2000_0000  # CAN_ERR_FLAG of linux/can.h
IDS = 0x1FFF_FFFF
LONGEST_LINE = 400
MOST_CHANNELS = 255


def read(file: Path) -> Log:
    """Every frame of a candump log, in the order of its lines, stamps in ns since 1970; what could not be read is said."""
    rows, channels, lost, first_line = [], list[str](), list[str](), 1
    with file.open("rb") as stream:
        rest = b""
        while chunk := stream.read(columns.CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                rows.append(Lines(whole + newline, first_line).frames(channels, lost))
                first_line += whole.count(b"\n") + 1
        if rest.strip():
            lost.append(f"line {first_line}: the file breaks off in it: {shortened(rest)}")
    return Log(rows=np.concatenate(rows) if rows else np.zeros(0, ROW), channels=tuple(channels), lost=tuple(lost))


class Lines:
    """Some whole lines of a log, and where their parts are."""

    def __init__(self, text: bytes, first_line: int) -> None:
        self.raw = np.frombuffer(text, np.uint8)
        self.first_line = first_line
        ends = np.flatnonzero(self.raw == 0x0A)
        self.starts = np.concatenate(([0], ends[:-1] + 1))
        self.ends = ends - (self.raw[np.maximum(ends - 1, 0)] == 0x0D)
        self.good = self.ends > self.starts
        self.empty = ~self.good
        self.good &= self.raw[self.starts] == ord("(")
        self.close = self.first(")", self.starts)
        self.space = self.first(" ", self.close + 2)
        self.hash = self.first("#", self.space)
        tail = self.first(" ", self.hash, needed=False)  # python-can writes the direction there
        self.data_end = np.minimum(tail, self.ends)
        self.sent = (self.data_end < self.ends) & (self.raw[np.maximum(self.ends - 1, 0)] == ord("T"))
        self.fd = self.good & (self.at(self.hash + 1) == ord("#"))
        self.remote = self.good & (self.at(self.hash + 1) == ord("R"))

    def at(self, places: Places) -> Bytes:
        return self.raw[np.minimum(places, len(self.raw) - 1)]

    def first(self, what: str, after: Places, *, needed: bool = True) -> Places:
        """Where a character first is in each line from a place on; beyond the line's end where it is not."""
        found = np.append(np.flatnonzero(self.raw == ord(what)), len(self.raw))
        places: Places = found[np.searchsorted(found, np.minimum(after, len(self.raw)))]
        if needed:
            self.good &= places < self.ends
        return places

    def frames(self, channels: list[str], lost: list[str]) -> Rows:
        """The frames of the lines; channels that are new are added, lines that are none are named."""
        rows = np.zeros(len(self.starts), ROW)
        rows["flags"] = np.where(self.sent, TX, 0) | np.where(self.remote, RTR, 0)
        rows["time_ns"] = self.stamps()
        self.identifiers(rows)
        self.payloads(rows)
        self.name_channels(rows, channels)
        for n in np.flatnonzero(~self.good & ~self.empty):
            line = self.raw[self.starts[n] : self.ends[n]][:LONGEST_LINE].tobytes()
            lost.append(f"line {self.first_line + n}: no frame of a candump log: {shortened(line)}")
        found: Rows = rows[self.good]
        return found

    # ------------------------------------------------------------ the parts, all of one length at once

    def groups(self, lengths: Places) -> Iterator[tuple[int, Places]]:
        """(length, the good lines where a part is so long); nothing of a log is longer than a line may be."""
        self.good &= (lengths >= 0) & (lengths <= LONGEST_LINE)
        for length in np.flatnonzero(np.bincount(lengths[self.good])).tolist():
            yield length, np.flatnonzero(self.good & (lengths == length))

    def text(self, start: Places, index: Places, length: int) -> Bytes:
        """A part of some lines: one row for each position in it, one column for each line."""
        return columns.text(self.raw, start[index], length)

    def stamps(self) -> Places:
        found = np.zeros(len(self.starts), np.int64)
        begin = self.starts + 1
        for length, index in self.groups(self.close - begin):
            digits = self.text(begin, index, length) - np.uint8(ord("0"))  # what is no digit is above 9
            dot = int(np.argmax(digits[:, 0] == DOT)) if len(index) and length else 0
            before, after = digits[:dot], digits[dot + 1 :]
            if not (1 <= len(before) <= 10 and 1 <= len(after) <= 9):
                self.good[index] = False
                continue
            fits = (digits[dot] == DOT) & (before <= 9).all(axis=0) & (after <= 9).all(axis=0)
            self.good[index[~fits]] = False
            found[index] = number(before, 10) * 1_000_000_000 + number(after, 10) * 10 ** (9 - len(after))
        return found

    def identifiers(self, rows: Rows) -> None:
        begin = self.space + 1
        for length, index in self.groups(self.hash - begin):
            if length not in (3, 8):
                self.good[index] = False
                continue
            digits = DIGITS[self.text(begin, index, length)]
            self.good[index[(digits == NOWHERE).any(axis=0)]] = False
            found = number(digits, 16)
            rows["id"][index] = found & IDS
            rows["flags"][index] |= np.where(found & ERROR_FRAME, ERROR, EXT if length == 8 else 0).astype(np.uint16)

    def payloads(self, rows: Rows) -> None:
        begin = self.hash + 1 + 2 * self.fd
        self.fd_flags(rows)
        begin = np.where(self.remote, self.data_end, begin)  # a remote frame's length may follow, and no data
        for length, index in self.groups(self.data_end - begin):
            if length % 2 or length // 2 not in LENGTHS:
                self.good[index] = False
                continue
            digits = DIGITS[self.text(begin, index, length)]
            self.good[index[(digits == NOWHERE).any(axis=0) | (~self.fd[index] & (length > 16))]] = False
            rows["length"][index] = length // 2
            rows["data"][index, : length // 2] = (digits[0::2] << 4 | digits[1::2]).T
        self.remote_lengths(rows)

    def fd_flags(self, rows: Rows) -> None:
        digit = DIGITS[self.at(self.hash + 2)]
        self.good &= ~self.fd | (digit != NOWHERE)
        rows["flags"] |= np.where(self.fd, FD, 0).astype(np.uint16)
        for theirs, ours in ((1, BRS), (2, ESI)):
            rows["flags"] |= np.where(self.fd & (digit & theirs != 0), ours, 0).astype(np.uint16)

    def remote_lengths(self, rows: Rows) -> None:
        """R4 asks for four bytes."""
        digit = DIGITS[self.at(self.hash + 2)]
        asked = self.remote & (self.hash + 2 < self.data_end) & (digit <= 8)
        rows["length"][asked] = digit[asked]

    def name_channels(self, rows: Rows, channels: list[str]) -> None:
        """Channels are numbered as they first come; a log that names more than fit is no log."""
        begin = self.close + 2
        seen: list[tuple[Places, list[str], Places, Any]] = []
        for length, index in self.groups(self.space - begin):
            if length < 1:
                self.good[index] = False
                continue
            words: Any = np.ascontiguousarray(self.text(begin, index, length).T).view(f"S{length}")[:, 0]
            names, first, which = np.unique(words, return_index=True, return_inverse=True)
            seen.append((index, [n.decode("utf-8", "replace") for n in names], index[first], which))
        for _, name in sorted((at, name) for _, names, first, _ in seen for name, at in zip(names, first, strict=True)):
            if name not in channels and len(channels) < MOST_CHANNELS:
                channels.append(name)
        for index, shown, _, which in seen:
            numbers = np.array([channels.index(n) if n in channels else NOWHERE for n in shown], np.uint8)
            rows["channel"][index] = numbers[which]
            self.good[index[numbers[which] == NOWHERE]] = False


def write(log: Log, file: Path) -> None:
    """A log that candump, canplayer and python-can read; stamps to the nanosecond, as candump -L writes them with -n."""
    with file.open("w", encoding="ascii", errors="replace") as stream:
        for row in log.rows.tolist():
            stream.write(line_of(row, log.channels))


def line_of(row: tuple[Any, ...], channels: Sequence[str]) -> str:
    """
    >>> line_of((1_500_000_000, 0x123, FD | BRS, 0, 2, [0xAA, 0xBB, 0]), ["can0"])
    '(1.500000000) can0 123##1AABB\\n'
    """
    time_ns, identifier, flags, channel, length, data = row
    name = channels[channel] if channel < len(channels) else f"can{channel}"
    number = f"{identifier | (ERROR_FRAME if flags & ERROR else 0):0{8 if flags & (EXT | ERROR) else 3}X}"
    head = f"({time_ns // 1_000_000_000}.{time_ns % 1_000_000_000:09d}) {name.replace(' ', '_')} {number}#"
    if flags & RTR:
        return f"{head}R{length or ''}\n"
    body = bytes(data[:length]).hex().upper()
    return (
        f"{head}#{(1 if flags & BRS else 0) | (2 if flags & ESI else 0):X}{body}\n" if flags & FD else f"{head}{body}\n"
    )
