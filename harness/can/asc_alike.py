"""Lines of an ASC log that look alike, read at once: of one length, with their words in the same places, so that every word is a few columns.

Only classic data frames with hexadecimal numbers are read so; whatever is anything else is left to harness/can/asc.py.
"""

import numpy as np
from numpy.typing import NDArray

from harness.can.columns import DIGITS, INK, LONGEST_STAMP, Bytes, Places, number, text
from harness.can.trace import Rows
from harness.ports import EXT, TX

Chosen = NDArray[np.bool_]
Word = tuple[int, int]  # begin and end in a line
FEWEST = 8  # lines, below which it is not worth while
MOST_SHAPES = 4  # tried for lines of one length
LONGEST_LINE = 200
MOST_CHANNELS = 250


def alike(raw: Bytes, starts: Places, ends: Places, rows: Rows) -> Chosen:
    """Fill the rows of the lines that could be read so; which they are."""
    done = np.zeros(len(starts), bool)
    lengths = ends - starts
    counts = np.bincount(np.minimum(lengths, LONGEST_LINE + 1)) if len(lengths) else np.zeros(0, np.int64)
    for length in np.flatnonzero(counts[: LONGEST_LINE + 1] >= FEWEST).tolist():
        left = np.flatnonzero(lengths == length)
        for _ in range(MOST_SHAPES):
            if len(left) < FEWEST:
                break
            letters = text(raw, starts[left], length)
            found = frames(letters, words(INK[letters[:, 0]]), rows, left)
            done[left[found]] = True
            left = left[1:][~found[1:]]  # the first has said how its like look, and is of no more use
    return done


def words(ink: Chosen) -> list[Word]:
    """Begin and end of each word of a line.

    >>> words(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(ink, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def frames(letters: Bytes, found: list[Word], rows: Rows, lines: Places) -> Chosen:
    """`stamp channel id dir d dlc data`: which of these lines are such frames, whose rows are filled."""
    none = np.zeros(len(lines), bool)
    if len(found) < 6 or found[3][1] - found[3][0] != 2 or any(e - b != 1 for b, e in found[4:6]):
        return none
    stamp, channel, identifier, way, kind, code = found[:6]
    size = int(DIGITS[letters[code[0], 0]])
    data = found[6 : 6 + size]
    if (
        size > 8
        or len(data) != size
        or any(w != (data[0][0] + 3 * n, data[0][0] + 3 * n + 2) for n, w in enumerate(data))
    ):
        return none
    used = {column for begin, end in found[: 6 + size] for column in range(begin, end)}
    blanks = [column for column in range(found[5 + size][1] + 1) if column not in used and column < len(letters)]
    sent = letters[way[0]] == ord("T")
    right = (sent | (letters[way[0]] == ord("R"))) & (letters[way[0] + 1] == ord("x"))
    right &= ~INK[letters[blanks]].any(axis=0) & (letters[kind[0]] == ord("d")) & (DIGITS[letters[code[0]]] == size)
    for read in (stamps(letters, stamp), channels(letters, channel), identifiers(letters, identifier)):
        if read is None:
            return none
        right &= read[1]
        rows[read[2]][lines] = read[0]
    digits = DIGITS[letters[data[0][0] : data[-1][1]]] if size else np.zeros((0, len(lines)), np.uint8)
    high, low = digits[0::3], digits[1::3]
    right &= (high < 16).all(axis=0) & (low < 16).all(axis=0)
    rows["data"][lines, :size] = (high << 4 | low).T
    rows["length"][lines] = size
    wide = EXT if letters[identifier[1] - 1, 0] in b"xX" else 0
    rows["flags"][lines] = np.where(sent, TX | wide, wide).astype(np.uint16)
    if not right.all():
        rows[lines[~right]] = np.zeros(1, rows.dtype)[0]
    found_right: Chosen = right
    return found_right


Read = tuple[Places, Chosen, str] | None  # numbers, which are right, and of which field; None: not in these columns


def stamps(letters: Bytes, word: Word) -> Read:
    """In ns."""
    begin, end = word
    dot = begin + int(np.argmax(letters[begin:end, 0] == ord(".")))
    before, after = dot - begin, end - dot - 1
    if letters[dot, 0] != ord(".") or not 1 <= before <= 9 or not 1 <= after <= 9 or end - begin > LONGEST_STAMP:
        return None
    digits = DIGITS[np.concatenate((letters[begin:dot], letters[dot + 1 : end]))]
    right = (digits < 10).all(axis=0) & (letters[dot] == ord("."))
    return number(digits, 10) * 10 ** (9 - after), right, "time_ns"


def channels(letters: Bytes, word: Word) -> Read:
    if word[1] - word[0] > 3:
        return None
    digits = DIGITS[letters[word[0] : word[1]]]
    found = number(digits, 10)
    return np.maximum(found - 1, 0), (digits < 10).all(axis=0) & (found < MOST_CHANNELS), "channel"


def identifiers(letters: Bytes, word: Word) -> Read:
    """With an x behind it where it has 29 bits."""
    begin, end = word
    wide = letters[end - 1, 0] in b"xX"
    end -= wide
    if not 1 <= end - begin <= 8:
        return None
    digits = DIGITS[letters[begin:end]]
    found = number(digits, 16)
    right = (digits < 16).all(axis=0) & (found <= (0x1FFF_FFFF if wide else 0x7FF))
    if wide:
        right &= (letters[end] | 0x20) == ord("x")
    return found, right, "id"
