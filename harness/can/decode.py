"""A DBC compiled to vector extraction: whole columns of frames to whole columns of values, equal to cantools' own.

A frame's 64 data bytes are eight 64-bit words. A signal is one or two words shifted and masked, a cast, a multiply-add.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cantools
import numpy as np
from cantools.database import Message, Signal, UnsupportedDatabaseFormatError
from cantools.database.can import Database
from cantools.database.errors import Error
from numpy.typing import NDArray

from harness.can.trace import Rows
from harness.errors import BadInput, given
from harness.ports import ERROR, EXT, RTR

Values = NDArray[Any]
MAX_DBC_BYTES = 4_000_000
EXACT = 2**53


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Where a signal's bits are: word number, right shift, and how many bits of it are in that word."""

    word: int
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """One signal, compiled."""

    name: str
    big_endian: bool
    pieces: tuple[Piece, ...]  # the most significant first
    bits: int
    signed: bool
    is_float: bool
    scale: float
    offset: float
    choices: Mapping[int, str]
    multiplexer: str | None = None
    multiplexer_ids: tuple[int, ...] = ()

    @property
    def identity(self) -> bool:
        return self.scale == 1 and self.offset == 0


@dataclass(frozen=True, kw_only=True)
class Column:
    """One signal of one message over time; `present` marks the frames that carry it (None: all do)."""

    raw: Values
    values: Values
    choices: Mapping[int, str]
    present: NDArray[np.bool_] | None

    def labels(self) -> list[Any]:
        """Values as people name them: the value table's text where there is one."""
        if not self.choices:
            return list(self.values.tolist())
        return [self.choices.get(int(raw), value) for raw, value in zip(self.raw, self.values.tolist(), strict=True)]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Every frame of one message: `index` are row numbers, `short` how many were too short to decode."""

    index: NDArray[np.intp]
    time_ns: NDArray[np.int64]
    signals: Mapping[str, Column]
    short: int


def load(file: Path, shown: str | None = None) -> Database:
    """Read a DBC; raise BadInput with the line when it does not parse."""
    shown = shown or str(file)
    try:
        if file.stat().st_size > MAX_DBC_BYTES:
            raise BadInput(f"{shown}:1: larger than {MAX_DBC_BYTES} bytes")
        return cast(Database, cantools.database.load_file(str(file), database_format="dbc", strict=True))
    except OSError as error:
        raise BadInput(f"{shown}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise BadInput(f"{shown}:1: nested too deep") from None
    except (Error, UnsupportedDatabaseFormatError, ValueError, KeyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        line = text.split(" at line ")[1].split(",")[0] if " at line " in text else "1"
        raise BadInput(f"{shown}:{line}: the DBC does not parse: {text}") from None


def compile_signal(signal: Signal) -> Extraction:
    """Work out where a signal's bits are in the frame's eight 64-bit words.

    Motorola start bits count from the most significant bit, sawtooth over bytes (the DBC convention).
    """
    big = signal.byte_order == "big_endian"
    first = 8 * (signal.start // 8) + 7 - signal.start % 8 if big else signal.start
    pieces, at, left = [], first, signal.length
    while left:
        bits = min(left, 64 - at % 64)
        shift = 64 - at % 64 - bits if big else at % 64
        pieces.append(Piece(word=at // 64, shift=shift, bits=bits))
        at, left = at + bits, left - bits
    parents = signal.multiplexer_signal
    return Extraction(
        name=signal.name,
        big_endian=big,
        pieces=tuple(pieces if big else reversed(pieces)),
        bits=signal.length,
        signed=signal.is_signed,
        is_float=signal.conversion.is_float,
        scale=signal.conversion.scale,
        offset=signal.conversion.offset,
        choices={int(k): str(v) for k, v in (signal.choices or {}).items()},
        multiplexer=parents,
        multiplexer_ids=tuple(signal.multiplexer_ids or ()),
    )


class Codec:
    """A compiled DBC; `name` is what the DBC is called in messages to people.

    >>> import numpy as np
    >>> from harness.can.trace import ROW
    >>> database = cantools.database.load_string('BO_ 257 M: 8 N\\n SG_ V : 0|16@1+ (0.01,0) [0|0] "km/h" N\\n', "dbc")
    >>> rows = np.zeros(1, ROW); rows["id"] = 257; rows["length"] = 8; rows["data"][0, :2] = [0x10, 0x27]
    >>> Codec(database).decode(rows)["M"].signals["V"].values.tolist()
    [100.0]
    """

    def __init__(self, database: Database, name: str = "the DBC") -> None:
        self.database, self.name = database, name
        self.messages: dict[str, Message] = {m.name: m for m in database.messages}
        self.by_key: dict[tuple[int, bool], Message] = {(m.frame_id, m.is_extended_frame): m for m in database.messages}
        self.extractions = {m.name: in_order(m) for m in database.messages}

    def decode(self, rows: Rows) -> dict[str, Decoded]:
        """All signals of all frames, a message at a time; frames that the DBC does not know are left out."""
        ids, inverse = unique_ids(rows)
        order = np.argsort(inverse.astype(np.uint16), kind="stable")
        bounds = np.searchsorted(inverse[order], np.arange(len(ids) + 1))
        found: dict[str, Decoded] = {}
        for n, key in enumerate(ids.tolist()):
            message = self.by_key.get((key & 0x1FFFFFFF, bool(key >> 31)))
            if message is not None and not key & 0x60000000:
                found[message.name] = self.columns(message, rows, order[bounds[n] : bounds[n + 1]])
        return found

    def message(self, name: str, rows: Rows) -> Decoded:
        """All signals of one message."""
        message = self.messages[name]
        wanted = rows["id"] == message.frame_id
        wanted &= (rows["flags"] & (EXT | RTR | ERROR)) == (EXT if message.is_extended_frame else 0)
        return self.columns(message, rows, np.flatnonzero(wanted))

    def columns(self, message: Message, rows: Rows, index: NDArray[np.intp]) -> Decoded:
        lengths = rows["length"][index]
        short = int(np.count_nonzero(lengths < message.length))
        if short:
            index = index[lengths >= message.length]
        words = rows.view("<u8").reshape(-1, 10) if len(rows) else np.zeros((0, 10), "<u8")
        cache: dict[tuple[int, bool], Values] = {}

        def word(number: int, big_endian: bool) -> Values:
            if (number, big_endian) not in cache:
                if big_endian:
                    cache[number, True] = word(number, False).byteswap()
                else:
                    cache[number, False] = words[index, 2 + number]
            return cache[number, big_endian]

        signals: dict[str, Column] = {}
        for extraction in self.extractions[message.name]:
            raw = raw_values(extraction, word)
            present = None
            if extraction.multiplexer is not None:
                parent = signals[extraction.multiplexer]
                present = np.isin(parent.raw, extraction.multiplexer_ids)
                if parent.present is not None:
                    present &= parent.present
            signals[extraction.name] = Column(
                raw=raw, values=physical(extraction, raw), choices=extraction.choices, present=present
            )
        return Decoded(index=index, time_ns=rows["time_ns"][index], signals=signals, short=short)


def in_order(message: Message) -> tuple[Extraction, ...]:
    """A message's signals with every multiplexer before what it selects."""
    waiting = [compile_signal(s) for s in message.signals]
    done: dict[str, Extraction] = {}
    while waiting:
        ready = [e for e in waiting if e.multiplexer is None or e.multiplexer in done]
        if not ready:
            raise BadInput(f"message {message.name}: its multiplexers select each other in a circle")
        done.update((e.name, e) for e in ready)
        waiting = [e for e in waiting if e.name not in done]
    return tuple(done.values())


def unique_ids(rows: Rows) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """The distinct identifiers (bit 31: extended, bits 30 and 29: no data frame) and each row's place among them."""
    flags = rows["flags"].astype(np.uint32)
    keys = rows["id"] | ((flags & EXT) << np.uint32(30))
    other = (flags & (RTR | ERROR)) != 0
    if other.any():
        keys = np.where(other, keys | np.uint32(0x60000000), keys)
    high = int(keys.max(initial=0))
    if high < 1 << 17:  # a table instead of a sort
        seen = np.zeros(high + 1, bool)
        seen[keys] = True
        ids = np.flatnonzero(seen).astype(np.uint32)
        table = np.zeros(high + 1, np.intp)
        table[ids] = np.arange(len(ids))
        return ids, table[keys]
    ids, inverse = np.unique(keys, return_inverse=True)
    return ids, inverse


def raw_values(extraction: Extraction, word: Any) -> Values:
    """The raw numbers of a signal: unsigned, signed or floating point."""
    raw: Values | None = None
    for piece in extraction.pieces:
        part = word(piece.word, extraction.big_endian)
        if piece.shift:
            part = part >> np.uint64(piece.shift)
        if piece.bits < 64 and piece.shift + piece.bits < 64:
            part = part & np.uint64((1 << piece.bits) - 1)
        raw = part if raw is None else (raw << np.uint64(piece.bits)) | part
    raw = given(raw)
    if extraction.is_float:
        with np.errstate(invalid="ignore"):
            return raw.astype(f"<u{extraction.bits // 8}").view(f"<f{extraction.bits // 8}").astype(np.float64)
    if extraction.signed:
        spare = np.uint64(64 - extraction.bits)
        return (raw << spare).view(np.int64) >> spare.astype(np.int64)
    return raw


def physical(extraction: Extraction, raw: Values) -> Values:
    """raw x scale + offset, in the arithmetic that cantools uses: integers stay integers, exactly."""
    if extraction.identity:
        return raw
    scale, offset = extraction.scale, extraction.offset
    if not extraction.is_float and float(scale).is_integer() and float(offset).is_integer():
        if ((1 << extraction.bits) * abs(scale)) + abs(offset) < 1 << 62:
            return raw.astype(np.int64) * int(scale) + int(offset)
        return np.array([int(r) * int(scale) + int(offset) for r in raw.tolist()], dtype=object)
    if not extraction.is_float and isinstance(scale, int) and (1 << extraction.bits) * abs(scale) > EXACT:
        return np.array(
            [r * scale + offset for r in raw.tolist()]
        )  # beyond what a float holds exactly: Python's integers
    values = raw.astype(np.float64)
    with np.errstate(all="ignore"):  # a device may send NaN and infinity as a float
        values *= scale
        values += offset
    return values
