"""Vector's ASC log format, read as columns: classic frames `stamp channel id dir d dlc data`, CAN FD events `stamp CANFD channel dir id ...`.

All events of one shape are taken apart at once. Lines that are no frames (statistics, chip states, comments) are passed over; what should be a
frame and is none is named. Stamps count from the start of the measurement, as in python-can.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.can import columns
from harness.can.asc_alike import MOST_CHANNELS, alike
from harness.can.columns import DIGITS, INK, LENGTHS, Bytes, Places, number, text
from harness.can.log import Log, shortened
from harness.can.trace import ROW, Rows
from harness.errors import BadInput
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX

Chosen = NDArray[np.bool_]
HEAD_LINES, HEAD_BYTES = 20, 4096
STAMP, KIND = 0, 1  # tokens of every event
FLAG_RTR, FLAG_FD = 1 << 4, 1 << 12  # of a CAN FD event
LONGEST_STAMP, LONGEST_NUMBER = columns.LONGEST_STAMP, 8  # characters


def read(file: Path) -> Log:
    """Every frame, in the order of its lines; what could not be read is said. Raises BadInput when it is no ASC log."""
    rows, lost, first_line, at_ns = [], list[str](), 1, 0
    with file.open("rb") as stream:
        start = stream.read(HEAD_BYTES)
        base, relative = header(start)
        stream.seek(0)
        rest = b""
        while chunk := stream.read(columns.CHUNK_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                lines = whole + newline
                if relative or base != 16:
                    events = Events(lines, first_line, base)
                    rows.append(events.frames(lost, at_ns if relative else None))
                    at_ns = events.last_ns
                else:
                    rows.append(sorted_out(lines, first_line, lost))
                first_line += whole.count(b"\n") + 1
        if rest.strip():
            lost.append(f"line {first_line}: the file breaks off in it: {shortened(rest)}")
    found = np.concatenate(rows) if rows else np.zeros(0, ROW)
    if not len(found) and not any(word in start.lower() for word in (b"date ", b"base ")):
        raise BadInput(f"{file}: no ASC log: it has neither a header (date, base) nor a frame")
    channels = range(int(found["channel"].max()) + 1) if len(found) else ()
    return Log(rows=found, channels=tuple(map(str, channels)), lost=tuple(lost))


def header(start: bytes) -> tuple[int, bool]:
    """(the base of its numbers, whether each stamp counts from the one before).

    >>> header(b"date Mon Jan 1 10:00:00 2026\\nbase hex  timestamps absolute\\n")
    (16, False)
    """
    for line in start.lower().splitlines()[:HEAD_LINES]:
        words = line.split()
        if words[:1] == [b"base"]:
            return (10 if words[1:2] == [b"dec"] else 16), words[-1] == b"relative"
    return 16, False


def sorted_out(lines: bytes, first_line: int, lost: list[str]) -> Rows:
    """The frames of some lines: nearly all look like their neighbours, and are read at once; the others word by word."""
    raw = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(raw == 0x0A)
    starts = np.concatenate(([0], ends[:-1] + 1))
    rows = np.zeros(len(ends), ROW)
    others = np.flatnonzero(~alike(raw, starts, ends, rows))
    kept = np.ones(len(ends), bool)
    if len(others):
        text_of = b"".join(lines[starts[n] : ends[n] + 1] for n in others.tolist())
        events = Events(text_of, first_line, 16, others)
        found = events.frames(lost, None)
        kept[others] = False
        kept[others[events.kept]] = True
        rows[others[events.kept]] = found
    whole: Rows = rows if len(others) == 0 else rows[kept]
    return whole


class Events:
    """Some whole lines, and where their words are; `numbers`: which of the lines from the first on they are, if not all."""

    def __init__(self, lines: bytes, first_line: int, base: int, numbers: Places | None = None) -> None:
        self.raw, self.first_line, self.base = np.frombuffer(lines, np.uint8), first_line, base
        ink = INK[self.raw]
        edges = np.flatnonzero(np.diff(ink, prepend=False))  # of words: begin, end, begin, end
        begin = edges[::2]
        length = edges[1::2] - begin
        self.begin, self.length = np.append(begin, len(lines)), np.append(length, 0)  # and a word that is in no line
        ends = np.flatnonzero(self.raw == 0x0A)
        self.starts = np.concatenate(([0], ends[:-1] + 1))
        self.ends = ends
        self.first = np.searchsorted(self.begin, self.starts)
        self.count = np.searchsorted(self.begin, ends) - self.first
        self.good = np.ones(len(ends), bool)
        self.numbers = np.arange(len(ends)) if numbers is None else numbers
        self.kept = np.zeros(0, np.int64)  # the lines that are the frames
        self.last_ns = 0

    # ------------------------------------------------------------ words

    def word(self, which: Places | int, lines: Places) -> tuple[Places, Places, Chosen]:
        """(place, length, whether it is there) of a word of some lines."""
        there = which < self.count[lines]
        at = np.minimum(self.first[lines] + which, len(self.begin) - 1)
        return self.begin[at], self.length[at], there

    def letter(self, which: Places | int, lines: Places, position: int = 0) -> Bytes:
        """A character of a word, 0 where there is none."""
        place, length, there = self.word(which, lines)
        found = self.raw[np.minimum(place + position, len(self.raw) - 1)]
        return np.where(there & (position < length), found, 0).astype(np.uint8)

    def value(self, which: Places | int, lines: Places, base: int, *, cut: Places | int = 0) -> tuple[Places, Chosen]:
        """A number of each line, without its last `cut` characters; and where it is none."""
        place, length, there = self.word(which, lines)
        length = length - cut
        found, right = np.zeros(len(lines), np.int64), there & (length >= 1) & (length <= LONGEST_NUMBER)
        for size in np.flatnonzero(np.bincount(length[right])).tolist():
            same = np.flatnonzero(right & (length == size))
            digits = DIGITS[text(self.raw, place[same], size)]
            right[same] = (digits < base).all(axis=0)
            found[same] = number(digits, base)
        return found, right

    def stamps(self) -> Places:
        """In ns; -1 where a line does not begin with one."""
        lines = np.arange(len(self.starts))
        place, length, there = self.word(STAMP, lines)
        dots = np.append(np.flatnonzero(self.raw == ord(".")), len(self.raw))
        dot = dots[np.searchsorted(dots, place)] - place
        found = np.full(len(lines), -1, np.int64)
        fits = there & (dot >= 1) & (dot < length - 1) & (length <= LONGEST_STAMP) & (length - dot <= 10) & (dot <= 9)
        shape = np.where(fits, length * 100 + dot, 0)
        for one in np.unique(shape[fits]).tolist():
            same, size, before = np.flatnonzero(shape == one), one // 100, one % 100
            digits = DIGITS[text(self.raw, place[same], size)]
            digits = np.delete(digits, before, axis=0)
            right = (digits < 10).all(axis=0)
            after = size - before - 1
            found[same[right]] = number(digits[:, right], 10) * 10 ** (9 - after)
        return found

    # ------------------------------------------------------------ events

    def frames(self, lost: list[str], since_ns: int | None) -> Rows:
        """The frames; `since_ns`: when the event before the first was, where each stamp counts from the one before."""
        stamps = self.stamps()
        if since_ns is not None:
            stamps = np.where(stamps >= 0, since_ns + np.cumsum(np.maximum(stamps, 0)), -1)
        self.last_ns = int(stamps.max(initial=0))
        rows = np.zeros(len(stamps), ROW)
        rows["time_ns"] = stamps
        lines = np.flatnonzero(stamps >= 0)
        fd = (self.letter(KIND, lines) == ord("C")) & (self.letter(KIND, lines, 4) == ord("D"))
        found = np.zeros(len(stamps), bool)
        for some, channel, read_in in ((lines[~fd], 1, self.classic), (lines[fd], 2, self.flexible)):
            numbers, right = self.value(channel, some, 10)
            right &= numbers < MOST_CHANNELS
            rows["channel"][some[right]] = np.maximum(numbers[right] - 1, 0)
            found[read_in(rows, some[right])] = True
        for n in np.flatnonzero(found & ~self.good):
            line = self.raw[self.starts[n] : self.ends[n]].tobytes()
            lost.append(f"line {self.first_line + self.numbers[n]}: no frame of an ASC log: {shortened(line.strip())}")
        self.kept = np.flatnonzero(found & self.good)
        whole: Rows = rows[self.kept]
        return whole

    def wrong(self, lines: Places) -> None:
        self.good[lines] = False

    def directed(self, rows: Rows, lines: Places, which: int) -> Places:
        """The lines that say Rx or Tx: others are no frames on the bus."""
        first, second = self.letter(which, lines), self.letter(which, lines, 1)
        _, length, _ = self.word(which, lines)
        known = ((first == ord("R")) | (first == ord("T"))) & (second == ord("x")) & (length == 2)
        rows["flags"][lines[known & (first == ord("T"))]] |= TX
        found: Places = lines[known]
        return found

    def errors(self, rows: Rows, lines: Places, which: int) -> Chosen:
        """Which are error frames: ErrorFrame, in whatever case."""
        _, length, _ = self.word(which, lines)
        first, second = self.letter(which, lines) | 0x20, self.letter(which, lines, 1) | 0x20
        found = (first == ord("e")) & (second == ord("r")) & (length == len("ErrorFrame"))
        rows["flags"][lines[found]] |= ERROR
        return np.asarray(found, bool)

    def identifiers(self, rows: Rows, lines: Places, which: int) -> None:
        place, length, _ = self.word(which, lines)
        last = self.raw[np.minimum(place + length - 1, len(self.raw) - 1)]
        wide = (last == ord("x")) | (last == ord("X"))
        found, right = self.value(which, lines, self.base, cut=wide.astype(np.int64))
        right &= found <= np.where(wide, 0x1FFF_FFFF, 0x7FF)
        rows["id"][lines] = np.where(right, found, 0)
        rows["flags"][lines] |= np.where(wide, EXT, 0).astype(np.uint16)
        self.wrong(lines[~right])

    def payloads(self, rows: Rows, lines: Places, first: Places | int, lengths: Places) -> None:
        """The bytes, which begin with the word `first`; most are two digits and a blank each, and taken apart at once."""
        rows["length"][lines] = lengths
        first = np.broadcast_to(np.asarray(first), lines.shape)
        begin, _, _ = self.word(first, lines)
        last, end, there = self.word(first + lengths - 1, lines)
        even = there & (lengths > 0) & (last - begin == 3 * (lengths - 1)) & (end == 2) & (self.base == 16)
        for size in np.flatnonzero(np.bincount(lengths[even])).tolist():
            same = np.flatnonzero(even & (lengths == size))
            letters = text(self.raw, begin[same], 3 * size - 1)
            digits = DIGITS[letters]
            even[same] = (
                ~INK[letters[2::3]].any(axis=0) & (digits[0::3] < 16).all(axis=0) & (digits[1::3] < 16).all(axis=0)
            )
            rows["data"][lines[same], :size] = (digits[0::3] << 4 | digits[1::3]).T
        self.odd_payloads(rows, lines[~even], first[~even], lengths[~even])

    def odd_payloads(self, rows: Rows, lines: Places, first: Places, lengths: Places) -> None:
        """Byte by byte: other numbers of digits, other blanks, decimal numbers."""
        for n in range(int(lengths.max(initial=0))):
            some = np.flatnonzero(lengths > n)
            byte, right = self.value(first[some] + n, lines[some], self.base)
            right &= byte < 256
            rows["data"][lines[some], n] = np.where(right, byte, 0)
            self.wrong(lines[some[~right]])

    def classic(self, rows: Rows, lines: Places) -> Places:
        """`stamp channel id dir d dlc data`, `... r [dlc]`, `stamp channel ErrorFrame`; the lines that are frames, right or wrong."""
        error = self.errors(rows, lines, 2)
        frames = self.directed(rows, lines[~error], 3)
        self.identifiers(rows, frames, 2)
        kind = self.letter(4, frames) | 0x20
        remote = kind == ord("r")
        rows["flags"][frames[remote]] |= RTR
        self.wrong(frames[~remote & (kind != ord("d"))])
        size, right = self.value(5, frames, self.base)
        self.wrong(frames[~right & ~remote])
        size = np.where(right & (size <= 15), np.minimum(size, 8), 0)
        rows["length"][frames] = size
        data = frames[~remote & right]
        self.payloads(rows, data, 6, size[~remote & right])
        return np.concatenate((lines[error], frames))

    def flexible(self, rows: Rows, lines: Places) -> Places:
        """`stamp CANFD channel dir id [name] brs esi dlc length data duration bits flags ...`; the lines that are frames, right or wrong."""
        error = self.errors(rows, lines, 4)
        frames = self.directed(rows, lines[~error], 3)
        self.identifiers(rows, frames, 4)
        _, length, _ = self.word(5, frames)
        named = ((length != 1) | (DIGITS[self.letter(5, frames)] > 9)).astype(np.int64)
        switch, esi = self.letter(5 + named, frames), self.letter(6 + named, frames)
        code, right = self.value(7 + named, frames, self.base)
        size, sized = self.value(8 + named, frames, 10)
        sized &= np.isin(size, LENGTHS) & right
        self.wrong(frames[~sized])
        size = np.where(sized, size, 0)
        flags, flagged = self.value(9 + named + size + 2, frames, 16)
        is_fd = ~flagged | (flags & FLAG_FD != 0)
        remote = (size == 0) & flagged & ~is_fd & ((flags & FLAG_RTR != 0) | (code > 0))
        more = (
            np.where(is_fd, FD, 0)
            | np.where(is_fd & (switch == ord("1")), BRS, 0)
            | np.where(is_fd & (esi == ord("1")), ESI, 0)
        )
        rows["flags"][frames] |= (more | np.where(remote, RTR, 0)).astype(np.uint16)
        self.payloads(rows, frames, 9 + named, size)
        rows["length"][frames[remote]] = np.minimum(code[remote], 8)
        return np.concatenate((lines[error], frames))
