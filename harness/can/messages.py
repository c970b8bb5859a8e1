"""Between our rows and python-can's messages: one place that knows both."""

from typing import Any

import can

from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX


def flags_of(message: can.Message) -> int:
    """The flags of a python-can message."""
    return (
        (EXT if message.is_extended_id else 0)
        | (FD if message.is_fd else 0)
        | (BRS if message.bitrate_switch else 0)
        | (ESI if message.error_state_indicator else 0)
        | (RTR if message.is_remote_frame else 0)
        | (ERROR if message.is_error_frame else 0)
        | (0 if message.is_rx else TX)
    )


def message(identifier: int, flags: int, data: bytes, *, length: int | None = None) -> can.Message:
    """A python-can message without a timestamp. `length` is what a remote frame asks for.

    >>> flags_of(message(0x101, EXT | FD, bytes(12))) == EXT | FD
    True
    """
    return can.Message(
        arbitration_id=identifier,
        is_extended_id=bool(flags & EXT),
        is_remote_frame=bool(flags & RTR),
        is_error_frame=bool(flags & ERROR),
        is_fd=bool(flags & FD),
        bitrate_switch=bool(flags & BRS),
        error_state_indicator=bool(flags & ESI),
        is_rx=not flags & TX,
        dlc=len(data) if length is None else length,
        data=None if flags & (RTR | ERROR) else data,
    )


def of_row(row: Any) -> can.Message:
    """One row of harness.can.trace.ROW as a python-can message; its timestamp in seconds of the same clock."""
    length = int(row["length"])
    found = message(int(row["id"]), int(row["flags"]), row["data"][:length].tobytes(), length=length)
    found.timestamp = int(row["time_ns"]) / 1e9
    found.channel = int(row["channel"])
    return found
