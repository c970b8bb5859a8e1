"""Every frame of one bus, both directions, as columns in a memory-mapped file.

The file is the evidence and, while a run lasts, the memory that the bus's owner and the test share: what was appended
survives a kill of either. Layout: a 256-byte header (a JSON line, then little-endian int64 fields), then 80-byte rows.
"""

import json
import mmap
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInput, RigError
from harness.ports import EXT, FD, Frame

ROW = np.dtype(
    [("time_ns", "<i8"), ("id", "<u4"), ("flags", "<u2"), ("channel", "u1"), ("length", "u1"), ("data", "u1", (64,))]
)
Rows = NDArray[Any]
PACK = struct.Struct("<qIHBB64s")
HEADER = 256
COUNT, UNTIL, LOST, CLOSED = 200, 208, 216, 224
GROW = 65_536
MAX_ROWS = 20_000_000
MIN_FREE_BYTES = 200_000_000
FIELD = struct.Struct("@q")  # native: written and read in one piece by two processes


class Trace:
    """The owner's side: append rows. Rows already read stay valid while the file grows."""

    def __init__(self, file: Path, bus: str) -> None:
        self.file = file
        self.count = self.last_ns = 0
        self._stream: BinaryIO = file.open("x+b")
        head = {
            "format": "shipei-trace-1",
            "bus": bus,
            "row": "q time_ns, I id, H flags, B channel, B length, 64s data",
        }
        self._stream.write(json.dumps(head).encode().ljust(COUNT - 1) + b"\n" + bytes(HEADER - COUNT))
        self._capacity = 0
        self._map: mmap.mmap
        self._grow()

    def _grow(self) -> None:
        if self._capacity >= MAX_ROWS:
            raise RigError(f"{self.file.name} has reached its limit of {MAX_ROWS} frames")
        if shutil.disk_usage(self.file.parent).free < MIN_FREE_BYTES:
            raise RigError(f"{self.file.name}: the disk is nearly full")
        self._capacity += max(GROW, self._capacity // 2)
        self._stream.truncate(HEADER + self._capacity * ROW.itemsize)
        self._stream.flush()
        self._map = mmap.mmap(self._stream.fileno(), 0)
        self._rows: Rows = np.frombuffer(self._map, ROW, offset=HEADER)
        self._fields = np.frombuffer(self._map, np.int64, count=HEADER // 8)

    def _set(self, offset: int, value: int) -> None:
        """In one store: `struct.pack_into` would clear the field first, and the other side reads whenever it likes."""
        self._fields[offset // 8] = value

    def append(self, time_ns: int, identifier: int, flags: int, data: bytes, channel: int = 0) -> None:
        """One frame: its wire time in ns, its identifier, flags of harness.ports, at most 64 bytes.

        No two share a stamp, so that time's order is that of the file: one that is not after the frame before it, comes one ns after that.
        """
        if self.count == self._capacity:
            self._grow()
        offset = HEADER + self.count * 80
        self.last_ns = max(self.last_ns + 1, time_ns)
        PACK.pack_into(self._map, offset, self.last_ns, identifier, flags, channel, len(data), data)
        self.count += 1
        self._set(COUNT, self.count)

    def extend(self, rows: Rows) -> None:
        """Many frames at once, already as rows in time's order, no two with one stamp."""
        while self.count + len(rows) > self._capacity:
            self._grow()
        self._rows[self.count : self.count + len(rows)] = rows
        self.count += len(rows)
        self._set(COUNT, self.count)

    def captured(self, until_ns: int, lost: int = 0) -> None:
        """Say that every frame stamped before `until_ns` is in the file, and how many are known to be lost."""
        self._set(LOST, lost)
        self._set(UNTIL, until_ns)

    def rows(self, start: int = 0) -> Rows:
        return self._rows[start : self.count]

    def close(self) -> None:
        if not self._stream.closed:
            self._set(CLOSED, 1)
            self._map.flush()
            self._stream.truncate(HEADER + self.count * ROW.itemsize)
            self._stream.close()


class Reader:
    """The other side: see what the owner has appended so far, without copying."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._stream = file.open("rb")
        self._remap()

    def _remap(self) -> None:
        self._map = mmap.mmap(self._stream.fileno(), 0, access=mmap.ACCESS_READ)
        whole = (len(self._map) - HEADER) // ROW.itemsize
        self._rows: Rows = np.frombuffer(self._map, ROW, offset=HEADER, count=whole)

    def _field(self, offset: int) -> int:
        return int(FIELD.unpack_from(self._map, offset)[0])

    @property
    def count(self) -> int:
        count = self._field(COUNT)
        if count > len(self._rows):
            self._remap()
        return count

    @property
    def until_ns(self) -> int:
        return self._field(UNTIL)

    @property
    def lost(self) -> int:
        return self._field(LOST)

    def rows(self, start: int = 0) -> Rows:
        """All that is there: the count is asked first, for a file that grew is mapped anew by it."""
        count = self.count
        return self._rows[start:count]

    def close(self) -> None:
        self._stream.close()


def load(file: Path) -> tuple[Rows, bool]:
    """A recorded trace, as (rows, whole); not whole when its owner was killed before it closed the file.

    Raises BadInput when the file is not a trace or has been cut.
    """
    raw = file.read_bytes()
    if len(raw) < HEADER or not raw.startswith(b'{"format": "shipei-trace-1"'):
        raise BadInput(f"{file}: not a shipei trace")
    count = FIELD.unpack_from(raw, COUNT)[0]
    if not 0 <= count <= (len(raw) - HEADER) // ROW.itemsize:
        raise BadInput(f"{file}: the header says {count} frames, but the file is too short for them")
    return np.frombuffer(raw, ROW, offset=HEADER, count=count), bool(FIELD.unpack_from(raw, CLOSED)[0])


def frame(row: Any) -> Frame:
    """One row as a frame object (for messages and single answers; never in a hot path)."""
    return Frame(
        time_ns=int(row["time_ns"]),
        id=int(row["id"]),
        flags=int(row["flags"]),
        data=row["data"][: int(row["length"])].tobytes(),
    )


def of_ids(rows: Rows, wanted: Iterable[int]) -> Rows:
    """The rows whose identifier is one of `wanted`."""
    wanted = list(wanted)
    found: Rows = rows[rows["id"] == wanted[0]] if len(wanted) == 1 else rows[np.isin(rows["id"], wanted)]
    return found


def show(rows: Rows, limit: int = 8) -> str:
    """Frames as a person reads them, candump's way, newest last.

    >>> rows = np.zeros(1, ROW); rows["time_ns"] = 1_500_000_000; rows["id"] = 0x101; rows["length"] = 2
    >>> show(rows)
    '1.500000 101 [2] 00 00'
    """
    lines = []
    for row in rows[-limit:]:
        one = frame(row)
        width = 8 if one.flags & EXT else 3
        mark = "##" if one.flags & FD else ""
        lines.append(f"{one.time_s:.6f} {one.id:0{width}X} {mark}[{len(one.data)}] {one.data.hex(' ').upper()}")
    return "\n".join(lines)
