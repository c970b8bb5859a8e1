"""A part of a recorded trace as text, for the report."""

import io

import can

from harness.can.messages import of_row
from harness.can.trace import Rows

MOST_ATTACHED = 20_000


def asc(rows: Rows) -> str:
    """The first frames as text, in Vector's ASC form."""
    buffer = io.StringIO()
    writer = can.ASCWriter(buffer)
    for row in rows[:MOST_ATTACHED]:
        writer.on_message_received(of_row(row))
    writer.log_event("end of the excerpt" if len(rows) > MOST_ATTACHED else "end")
    return buffer.getvalue()
