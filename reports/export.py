"""A recorded trace in the formats of other tools, written by python-can."""

import io
from pathlib import Path

import can

from harness import blf
from harness.messages import of_row
from harness.trace import Rows

MOST_ATTACHED = 20_000


def write(rows: Rows, file: Path) -> None:
    """By the file's ending: .asc, .blf, .log (candump), .csv, .mf4, .trc; all but BLF by python-can."""
    if file.suffix == ".blf":
        blf.write(rows, file)
        return
    with can.Logger(str(file)) as writer:
        for row in rows:
            writer(of_row(row))


def asc(rows: Rows) -> str:
    """The first frames as text, in Vector's ASC form."""
    buffer = io.StringIO()
    writer = can.ASCWriter(buffer)
    for row in rows[:MOST_ATTACHED]:
        writer.on_message_received(of_row(row))
    writer.log_event("end of the excerpt" if len(rows) > MOST_ATTACHED else "end")
    return buffer.getvalue()
