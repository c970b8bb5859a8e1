"""What a recording of a bus is, whatever wrote it: frames as rows, the names of channels, and what of it could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.can.trace import Rows

MOST_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Log:
    """Frames in the order of the recording; `rows["channel"]` counts `channels`. `lost`: what could not be read, a sentence each."""

    rows: Rows
    channels: Sequence[str] = ()
    lost: Sequence[str] = ()


def shortened(text: bytes) -> str:
    r"""A line for people.

    >>> shortened(b"(1.0) can0 1#\x00" + b"F" * 100)
    "'(1.0) can0 1#\\x00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF…'"
    """
    shown = text.decode("utf-8", "replace").strip()
    return repr(shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + "…")
