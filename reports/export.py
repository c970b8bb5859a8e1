"""A recorded trace in the formats of other tools, written by python-can."""

import io
from collections.abc import Iterator
from pathlib import Path

import can

from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX
from harness.trace import Rows

MOST_ATTACHED = 20_000


def messages(rows: Rows) -> Iterator[can.Message]:
    """Rows as python-can messages; stamps in seconds of the rig's clock."""
    for row in rows:
        flags = int(row["flags"])
        yield can.Message(
            timestamp=int(row["time_ns"]) / 1e9,
            arbitration_id=int(row["id"]),
            is_extended_id=bool(flags & EXT),
            is_remote_frame=bool(flags & RTR),
            is_error_frame=bool(flags & ERROR),
            is_fd=bool(flags & FD),
            bitrate_switch=bool(flags & BRS),
            error_state_indicator=bool(flags & ESI),
            is_rx=not flags & TX,
            channel=int(row["channel"]),
            dlc=int(row["length"]),
            data=None if flags & (RTR | ERROR) else row["data"][: int(row["length"])].tobytes(),
        )


def write(rows: Rows, file: Path) -> None:
    """By the file's ending: .asc, .blf, .log (candump), .csv, .mf4, .trc."""
    with can.Logger(str(file)) as writer:
        for message in messages(rows):
            writer(message)


def asc(rows: Rows) -> str:
    """The first frames as text, in Vector's ASC form."""
    buffer = io.StringIO()
    writer = can.ASCWriter(buffer)
    for message in messages(rows[:MOST_ATTACHED]):
        writer.on_message_received(message)
    writer.log_event("end of the excerpt" if len(rows) > MOST_ATTACHED else "end")
    return buffer.getvalue()
