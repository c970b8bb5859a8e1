"""Recordings of other tools, read and written by their endings. BLF, ASC and candump logs have readers of our own; the rest is python-can's."""

import importlib.util
import io
import logging
import os
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import can
import numpy as np

from harness.can import asc, blf, candump, trace
from harness.can.log import Log
from harness.can.messages import flags_of, of_row
from harness.can.trace import ROW
from harness.documents import meant
from harness.errors import BadInput
from harness.ports import FD

ENDINGS = (".blf", ".asc", ".log", ".mf4", ".csv", ".trc", ".bin")
MOST_TOLD = 20


def read(file: Path) -> Log:
    """Everything that can be read of a recording, and what of it could not. Raises BadInput when it is none at all."""
    if not file.is_file():
        raise BadInput(f"{file}: no such file")
    ending = known(file)
    if ending == ".blf":
        return blf.recover(file)
    if ending == ".log":
        return candump.read(file)
    if ending == ".asc":
        return asc.read(file)
    if ending == ".bin":
        rows, whole = trace.load(file)
        lost = () if whole else ("its owner was killed before it was closed",)
        return Log(rows=rows, channels=(file.stem.removeprefix("trace-"),), lost=lost)
    if ending == ".mf4":
        return by_asammdf(file)
    return by_python_can(file, (ValueError, IndexError, KeyError, TypeError, EOFError, OSError))


def known(file: Path) -> str:
    """The ending of a file, if it is one that is read and written here."""
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise BadInput(f"{file}: unknown ending {ending!r}{meant(ending, ENDINGS)}")
    return ending


def by_asammdf(file: Path) -> Log:
    """MF4 (ASAM MDF), which python-can leaves to asammdf; of a damaged file that raises anything, and complains on standard error too."""
    have_mf4(file)
    logger = logging.getLogger("asammdf")
    logger.addFilter(nothing := lambda record: False)
    try:
        with redirect_stderr(io.StringIO()):
            return by_python_can(file, (Exception,))
    finally:
        logger.removeFilter(nothing)


def by_python_can(file: Path, raised: tuple[type[Exception], ...]) -> Log:
    """Message by message, as far as its reader gets; `raised` is what it raises where it gets no farther."""
    rows, names, lost = [], dict[str, int](), list[str]()
    try:
        for message in messages(file):
            row = np.zeros((), ROW)
            number = names.setdefault(str(message.channel), len(names))
            row["time_ns"], row["id"] = round(message.timestamp * 1e9), message.arbitration_id
            row["flags"], row["channel"], row["length"] = flags_of(message), number, message.dlc
            row["data"][: len(message.data)] = np.frombuffer(bytes(message.data), np.uint8)
            rows.append(row)
    except raised as error:
        lost.append(f"after {len(rows)} frames: {type(error).__name__}: {error}")
    if lost and not rows:
        raise BadInput(f"{file}: {lost[0]}")
    return Log(rows=np.array(rows, ROW) if rows else np.zeros(0, ROW), channels=tuple(names), lost=tuple(lost))


def have_mf4(file: Path) -> None:
    """MF4 (ASAM MDF) needs asammdf, which not everybody has."""
    if file.suffix.lower() == ".mf4" and importlib.util.find_spec("asammdf") is None:
        raise BadInput(f"{file}: MF4 needs asammdf: pip install 'shipei[mf4]'")


def messages(file: Path) -> Iterator[can.Message]:
    with can.LogReader(str(file)) as reader:
        yield from reader


def write(log: Log, file: Path) -> None:
    """Write a recording by its file's ending; a file that is there is only replaced when the new one is whole."""
    ending = known(file)
    if ending == ".bin":
        raise BadInput(f"{file}: a trace is written by a run only; convert to blf, asc, log, mf4, csv or trc")
    if ending == ".trc" and (log.rows["flags"] & FD).any():
        raise BadInput(f"{file}: there are CAN FD frames, which python-can's TRC writer leaves out; use blf or asc")
    have_mf4(file)
    part = file.with_name(f"{file.stem}.part{file.suffix}")
    try:
        if ending == ".blf":
            blf.write(log.rows, part)
        elif ending == ".log":
            candump.write(log, part)
        else:
            with can.Logger(str(part)) as writer:
                for row in log.rows:
                    writer(of_row(row))
        os.replace(part, file)
    except OSError as error:
        raise BadInput(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def told(lost: Iterator[str] | tuple[str, ...] | list[str]) -> list[str]:
    """What was lost, in at most some lines."""
    every = list(lost)
    more = [f"and {len(every) - MOST_TOLD} more"] if len(every) > MOST_TOLD else []
    return every[:MOST_TOLD] + more
