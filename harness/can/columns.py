"""Text as columns: many numbers of one length at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]

NOWHERE = 255  # what is no hexadecimal digit
DIGITS = np.full(256, NOWHERE, np.uint8)
for _n, _c in enumerate(b"0123456789ABCDEF"):
    DIGITS[_c] = DIGITS[ord(chr(_c).lower())] = _n
INK = np.ones(256, bool)  # what is no blank
INK[[0x20, 0x09, 0x0D, 0x0A]] = False
LONGEST_STAMP = 20  # characters
CHUNK_BYTES = 1 << 20  # what stays in the CPU's caches is taken apart twice as fast
LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)  # of frames, by their data length code


def text(raw: Bytes, start: Places, length: int) -> Bytes:
    """Parts of one length: one row for each position in them, one column for each part."""
    found = np.empty((length, len(start)), np.uint8)
    for position in range(length):
        raw.take(start + position, out=found[position], mode="clip")
    return found


def number(digits: Any, base: int) -> Places:
    """Digits, the first row first, as numbers.

    >>> number(np.array([[1, 0], [2, 15]]), 16).tolist()
    [18, 15]
    """
    found = np.zeros(digits.shape[1], np.int64)
    for row in digits:
        found *= base
        found += row
    return found
