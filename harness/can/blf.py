"""Vector's BLF, written and read as columns: many frames at once, and no object for any of them.

What is understood: CAN_MESSAGE, CAN_MESSAGE2, CAN_FD_MESSAGE, CAN_FD_MESSAGE_64 and CAN_ERROR_EXT, in compressed or plain
containers; other objects are passed over. The layouts are those that python-can reads and writes.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.can.log import Log
from harness.can.trace import ROW, Rows
from harness.errors import BadInput
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX

FILE_HEADER = struct.Struct("<4sLBBBBBBBBQQLL8H8H")
FILE_HEADER_BYTES = 144
BASE = struct.Struct("<4sHHLL")  # signature, header bytes, header version, object bytes, type
CONTAINER = struct.Struct("<H6xL4x")  # compression, bytes when unpacked
MAGIC = int.from_bytes(b"LOBJ", "little")
CAN_MESSAGE, IN_CONTAINER, CAN_ERROR_EXT, CAN_MESSAGE2, CAN_FD_MESSAGE, CAN_FD_MESSAGE_64 = 1, 10, 73, 86, 100, 101
PACKED_BYTES = 128 * 1024
PIECE_BYTES = 64 * 1024  # unpacked at a time: what comes before a damage is kept
MOST_BYTES = 8_000_000_000  # unpacked; a file that claims more is refused
LENGTHS = np.array([*range(9), 12, 16, 20, 24, 32, 48, 64], np.uint8)
CODES = np.searchsorted(LENGTHS, np.arange(65)).astype(np.uint8)
Bytes = NDArray[np.uint8]

HEAD = [("sign", "<u4"), ("head", "<u2"), ("version", "<u2"), ("size", "<u4"), ("type", "<u4")]
HEAD += [("unit", "<u4"), ("client", "<u2"), ("object", "<u2"), ("time", "<u8")]
BODY: dict[int, list[Any]] = {
    CAN_MESSAGE: [("channel", "<u2"), ("flags", "u1"), ("dlc", "u1"), ("id", "<u4"), ("data", "u1", (8,))],
    CAN_FD_MESSAGE: [
        *(("channel", "<u2"), ("flags", "u1"), ("dlc", "u1"), ("id", "<u4"), ("arbitration", "<u4")),
        *(("bits", "u1"), ("fd", "u1"), ("valid", "u1"), ("spare", "u1", (5,)), ("data", "u1", (64,))),
    ],
    CAN_FD_MESSAGE_64: [
        *(("channel", "u1"), ("dlc", "u1"), ("valid", "u1"), ("sent", "u1"), ("id", "<u4"), ("length", "<u4")),
        *(("fd", "<u4"), ("timing", "<u4", (4,)), ("bits", "<u2"), ("flags", "u1"), ("offset", "u1"), ("crc", "<u4")),
    ],
    CAN_ERROR_EXT: [
        *(("channel", "<u2"), ("length", "<u2"), ("what", "<u4"), ("code", "u1"), ("position", "u1"), ("dlc", "u1")),
        *(
            ("spare", "u1"),
            ("frame", "<u4"),
            ("id", "<u4"),
            ("extended", "<u2"),
            ("spare2", "<u2"),
            ("data", "u1", (8,)),
        ),
    ],
}
BODY[CAN_MESSAGE2] = BODY[CAN_MESSAGE]
TYPES = {kind: np.dtype(HEAD + fields) for kind, fields in BODY.items()}
EXTENDED, REMOTE = 0x8000_0000, 0x80
IDS = 0x1FFF_FFFF


# ---------------------------------------------------------------- write


def write(rows: Rows, file: Path) -> None:
    """Write frames with their stamps in ns; the file's clock starts at zero."""
    with file.open("wb") as stream:
        stream.write(bytes(FILE_HEADER_BYTES))
        unpacked = 0
        for start in range(0, len(rows), 4096):
            packed = objects(rows[start : start + 4096])
            unpacked += len(packed)
            for at in range(0, len(packed), PACKED_BYTES):
                write_container(stream, packed[at : at + PACKED_BYTES])
        size = stream.tell()
        stream.seek(0)
        nothing = (0,) * 8
        head = FILE_HEADER.pack(
            *(b"LOGG", FILE_HEADER_BYTES, 5, 0, 0, 0, 2, 6, 8, 1), *(size, unpacked, len(rows), 0), *nothing, *nothing
        )
        stream.write(head)


def write_container(stream: Any, data: bytes) -> None:
    packed = zlib.compress(data, 1)
    size = BASE.size + CONTAINER.size + len(packed)
    stream.write(BASE.pack(b"LOBJ", BASE.size, 1, size, IN_CONTAINER) + CONTAINER.pack(2, len(data)) + packed)
    stream.write(bytes(size % 4))


def objects(rows: Rows) -> bytes:
    """Some frames as objects, in their order."""
    flags = rows["flags"]
    kinds = np.where(flags & ERROR, CAN_ERROR_EXT, np.where(flags & FD, CAN_FD_MESSAGE, CAN_MESSAGE))
    sizes = np.zeros(len(rows), np.int64)
    for kind in (CAN_MESSAGE, CAN_FD_MESSAGE, CAN_ERROR_EXT):
        sizes[kinds == kind] = TYPES[kind].itemsize
    ends = np.cumsum(sizes)
    found = np.zeros(int(ends[-1]) if len(rows) else 0, np.uint8)
    for kind in (CAN_MESSAGE, CAN_FD_MESSAGE, CAN_ERROR_EXT):
        index = np.flatnonzero(kinds == kind)
        if len(index):
            size = TYPES[kind].itemsize
            made = made_of(kind, rows[index]).view(np.uint8).reshape(len(index), size)
            if len(index) == len(rows):
                return made.tobytes()
            found[(ends[index] - size)[:, None] + np.arange(size)] = made
    return found.tobytes()


def made_of(kind: int, rows: Rows) -> NDArray[Any]:
    """Frames of one kind as its objects."""
    made = np.zeros(len(rows), TYPES[kind])
    flags = rows["flags"]
    made["sign"], made["head"], made["version"], made["size"], made["type"] = MAGIC, 32, 1, TYPES[kind].itemsize, kind
    made["unit"], made["time"], made["channel"] = 2, rows["time_ns"], rows["channel"] + 1
    made["id"] = rows["id"] | np.where(flags & EXT, EXTENDED, 0).astype(np.uint32)
    made["dlc"] = CODES[np.minimum(rows["length"], 64)]
    made["data"] = rows["data"][:, : made["data"].shape[1]]
    if kind == CAN_ERROR_EXT:
        made["dlc"] = rows["length"]
        return made
    made["flags"] = (flags & TX) | np.where(flags & RTR, REMOTE, 0)
    if kind == CAN_FD_MESSAGE:
        made["fd"] = 1 | np.where(flags & BRS, 2, 0) | np.where(flags & ESI, 4, 0)
        made["valid"] = rows["length"]
    return made


# ---------------------------------------------------------------- read


Complain = Callable[[str], None]


def read(file: Path) -> Rows:
    """Every CAN frame of a BLF file, as rows of harness.can.trace.ROW; stamps in ns from the file's start.

    Raises BadInput when it is not a BLF file or is damaged.
    """

    def complain(what: str) -> None:
        raise BadInput(f"{file}: {what}")

    return frames(file, complain)


def recover(file: Path) -> Log:
    """All that can be read of a BLF file, and what of it could not; BadInput when it is no BLF file at all."""
    lost: list[str] = []
    rows = frames(file, lost.append)
    numbers = np.unique(rows["channel"]).tolist()
    channels = [f"channel {n + 1}" for n in range(max(numbers) + 1)] if numbers else []
    return Log(rows=rows, channels=channels, lost=lost)


def frames(file: Path, complain: Complain) -> Rows:
    data = np.frombuffer(b"".join(unpacked(file, complain)), np.uint8)
    places = objects_in(data, complain)
    if not len(places):
        return np.zeros(0, ROW)
    types = field(data, places, 12, np.dtype("<u4"))
    rows, order = [], []
    for kind in TYPES:
        index = np.flatnonzero(types == kind)
        if len(index):
            begins = places[index] + field(data, places[index], 4, np.dtype("<u2")).astype(np.int64) - 32
            fits = (begins >= 0) & (begins + TYPES[kind].itemsize <= len(data))
            if not fits.all():
                complain(f"{np.count_nonzero(~fits)} objects break off")
                index = index[fits]
        if len(index):
            rows.append(frames_of(kind, data, places[index], whole=len(index) == len(places)))
            order.append(index)
    if not rows:
        return np.zeros(0, ROW)
    if len(rows) == 1:
        return rows[0]
    found: Rows = np.concatenate(rows)[np.argsort(np.concatenate(order), kind="stable")]
    return found


def unpacked(file: Path, complain: Complain) -> Iterator[bytes]:
    """The contents of the containers, one after the other."""
    raw = file.read_bytes()
    if raw[:4] != b"LOGG" or len(raw) < FILE_HEADER.size:
        raise BadInput(f"{file}: not a BLF file (it does not begin with LOGG)")
    at, total = int.from_bytes(raw[4:8], "little"), 0
    while at + BASE.size <= len(raw):
        sign, _, _, size, kind = BASE.unpack_from(raw, at)
        if sign != b"LOBJ" or size < BASE.size:
            complain(f"byte {at}: an object was expected here")
            at = next_object(raw, at)
            continue
        if kind == IN_CONTAINER and at + BASE.size + CONTAINER.size <= len(raw):
            method, unpacked_bytes = CONTAINER.unpack_from(raw, at + BASE.size)
            total += unpacked_bytes
            if total > MOST_BYTES:
                raise BadInput(f"{file}: unpacks to more than {MOST_BYTES} bytes")
            packed = raw[at + BASE.size + CONTAINER.size : at + size]
            yield unpack(packed, method, unpacked_bytes, partial(complain_at, complain, at))
        at += size + size % 4


def complain_at(complain: Complain, at: int, what: str) -> None:
    complain(f"byte {at}: {what}")


def next_object(raw: bytes, at: int) -> int:
    """Where an object may begin again after a damage; the end where none does."""
    found = raw.find(b"LOBJ", at + 1)
    return found if found >= 0 else len(raw)


def unpack(packed: bytes, method: int, size: int, complain: Complain) -> bytes:
    """The contents of a container, as far as they can be unpacked."""
    if method == 0:
        return packed
    if method != 2:
        complain(f"unknown compression {method}")
        return b""
    inflate, found = zlib.decompressobj(), b""
    try:
        for start in range(0, len(packed), PIECE_BYTES):
            found += inflate.decompress(packed[start : start + PIECE_BYTES], max(1, size - len(found)))
    except zlib.error as error:
        complain(f"a container is damaged after {len(found)} of {size} bytes: {error}")
        return found
    if len(found) != size:
        complain(f"a container holds {len(found)} bytes and claims {size}")
    return found


def objects_in(data: Bytes, complain: Complain) -> NDArray[np.int64]:
    """Where the objects begin: found by their signature, believed when each ends where the next begins; else walked."""
    words = data[: len(data) // 4 * 4].view("<u4")
    places = np.flatnonzero(words == MAGIC) * 4
    places = places[places + 16 <= len(data)]
    if len(places) and places[0] == 0:
        sizes = field(data, places, 8, np.dtype("<u4")).astype(np.int64)
        ends = places + sizes + sizes % 4
        if (ends[:-1] == places[1:]).all():
            return places if ends[-1] <= len(data) + 3 else places[:-1]
    return walked(data, complain)


def walked(data: Bytes, complain: Complain) -> NDArray[np.int64]:
    """The slow way, for objects that are not aligned or carry the signature in their data."""
    raw, at = data.tobytes(), 0
    found: list[int] = []
    while at + BASE.size <= len(raw):
        sign, _, _, size, _ = BASE.unpack_from(raw, at)
        if sign != b"LOBJ" or size < BASE.size:
            complain(f"after {len(found)} objects: an object was expected here")
            at = next_object(raw, at)
            continue
        if at + size > len(raw):
            break
        found.append(at)
        at += size + size % 4
    return np.array(found, np.int64)


def field(data: Bytes, places: NDArray[np.int64], offset: int, kind: "np.dtype[Any]") -> NDArray[Any]:
    """One number of every object."""
    if len(places) > 1 and (stride := constant(places)):
        shape, strides = (len(places),), (stride,)
        strided: NDArray[Any] = np.ndarray(shape, kind, data.data, int(places[0]) + offset, strides)
        return strided
    if kind.itemsize == 4 and not len(data) % 4 and not offset % 4 and not (places % 4).any():
        found: NDArray[Any] = data.view("<u4")[(places + offset) // 4]
        return found
    gathered: NDArray[Any] = data[(places + offset)[:, None] + np.arange(kind.itemsize)].view(kind)[:, 0]
    return gathered


def constant(places: NDArray[np.int64]) -> int:
    """The distance between objects where it is the same for all; 0 where not."""
    stride = int(places[1] - places[0])
    return stride if (np.diff(places) == stride).all() else 0


def frames_of(kind: int, data: Bytes, places: NDArray[np.int64], *, whole: bool) -> Rows:
    """The frames of one kind of object."""
    dtype, rows = TYPES[kind], np.zeros(len(places), ROW)
    places = places + field(data, places, 4, np.dtype("<u2")).astype(np.int64) - 32  # longer headers shift the rest
    stride = constant(places) if whole and len(places) > 1 else 0
    if stride >= dtype.itemsize:
        last = int(places[-1]) + dtype.itemsize
        objects = np.ndarray((len(places),), dtype, data[:last].data, int(places[0]), (stride,))
    else:
        objects = data[places[:, None] + np.arange(dtype.itemsize)].view(dtype)[:, 0]
    times = field(data, places, 24, np.dtype("<u8")) if stride else objects["time"]
    rows["time_ns"] = np.where(objects["unit"] == 1, times * 10_000, times)
    rows["channel"] = np.maximum(objects["channel"], 1) - 1
    rows["id"] = objects["id"] & IDS
    flags = np.where(objects["id"] & EXTENDED, EXT, 0)
    if kind == CAN_ERROR_EXT:
        rows["length"], rows["flags"] = np.minimum(objects["dlc"], 8), flags | ERROR
        rows["data"][:, :8] = objects["data"]
        return rows
    if kind == CAN_FD_MESSAGE_64:
        return fd_64(rows, objects, flags, data, places)
    flags |= (objects["flags"] & TX) | np.where(objects["flags"] & REMOTE, RTR, 0)
    rows["length"] = np.minimum(LENGTHS[objects["dlc"] & 15], 8)
    if kind == CAN_FD_MESSAGE:
        fd = objects["fd"]
        flags |= np.where(fd & 1, FD, 0) | np.where(fd & 2, BRS, 0) | np.where(fd & 4, ESI, 0)
        rows["length"] = np.minimum(objects["valid"], 64)
    rows["data"][:, : objects["data"].shape[1]] = objects["data"]
    rows["flags"] = flags
    return rows


def fd_64(rows: Rows, objects: NDArray[Any], flags: NDArray[Any], data: Bytes, places: NDArray[np.int64]) -> Rows:
    """CAN_FD_MESSAGE_64, whose data is as long as it is."""
    fd, length = objects["fd"], np.minimum(objects["valid"], 64)
    for theirs, ours in ((0x0010, RTR), (0x1000, FD), (0x2000, BRS), (0x4000, ESI)):
        flags = flags | np.where(fd & theirs, ours, 0)
    rows["flags"] = flags | np.where(objects["flags"] & 1, TX, 0)
    rows["length"] = length
    columns = np.arange(64)
    at = np.minimum((places + TYPES[CAN_FD_MESSAGE_64].itemsize)[:, None] + columns, len(data) - 1)
    rows["data"] = np.where(columns < length[:, None], data[at], 0)
    return rows
