"""The final answer to a diagnostic request: that a device needs longer (ISO 14229-1, A.1: 78) is counted, and not for ever."""

from collections.abc import Callable

from harness.errors import DeviceError

NEGATIVE, PENDING = 0x7F, 0x78
MOST_PENDING = 100


def final(receive: Callable[[], bytes | None]) -> tuple[bytes | None, int]:
    """(the first answer that is not "pending", how many were before it). Raises DeviceError when there are only such.

    >>> said = iter([b"\\x7f\\x31\\x78", b"\\x71\\x01"])
    >>> final(lambda: next(said))
    (b'q\\x01', 1)
    """
    for pending in range(MOST_PENDING):
        answer = receive()
        if answer is None or len(answer) != 3 or answer[0] != NEGATIVE or answer[2] != PENDING:
            return answer, pending
    raise DeviceError(f"{MOST_PENDING} times it says that it needs longer, and it never answers")
