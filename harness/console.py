"""Console bytes to lines: chunked reading, terminal escapes and line endings of every kind, bounded in length."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from harness.ports import Line

ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
ENDING = re.compile(rb"\r*\n|\r(?!\n)")
QUIET_NS = 100_000_000  # a NUL after so long is what a line shows when its sender is switched on, and no noise
MAX_LINE = 4096
MAX_BYTES = 50_000_000


class Assembler:
    """Gathers chunks into lines and keeps every raw byte with its stamp as evidence (JSON lines: time_ns, hex)."""

    def __init__(self, log: Path | None = None) -> None:
        self.lines: list[Line] = []
        self.total = 0
        self._log = log.open("x", encoding="utf-8") if log else None
        self._rest, self._since, self._fed_ns = b"", 0, -2 * QUIET_NS

    def feed(self, time_ns: int, chunk: bytes) -> None:
        """Bytes that arrived at time_ns. Beyond MAX_BYTES they are counted but no longer kept."""
        self.total += len(chunk)
        if self.total > MAX_BYTES or not chunk:
            return
        if self._log:
            self._log.write(f'[{time_ns}, "{chunk.hex()}"]\n')
            self._log.flush()
        if chunk.startswith(b"\0") and time_ns - self._fed_ns > QUIET_NS:
            self._line(self._rest)  # what was said before is over
            self._rest, chunk = b"", chunk.lstrip(b"\0")
        self._fed_ns = time_ns
        if not self._rest:
            self._since = time_ns
        *whole, self._rest = split(self._rest + chunk)
        if whole:
            self._line(whole[0])
            self._since = time_ns
            self._whole(whole[1:])
        if self._rest.endswith(b"\r"):
            return
        while len(self._rest) > MAX_LINE:
            self._line(self._rest[:MAX_LINE])
            self._rest = self._rest[MAX_LINE:]

    def _line(self, raw: bytes) -> None:
        for start in range(0, len(raw), MAX_LINE):
            text = ESCAPE.sub(b"", raw[start : start + MAX_LINE]).decode("utf-8", "replace")
            if text:
                self.lines.append(Line(time_ns=self._since, text=text))

    def _whole(self, pieces: list[bytes]) -> None:
        """Many lines of one chunk: decoded at once where that comes to the same."""
        joined = b"\n".join(pieces)
        if b"\x1b" in joined or max(map(len, pieces), default=0) > MAX_LINE:
            for piece in pieces:
                self._line(piece)
        else:
            texts = joined.decode("utf-8", "replace").split("\n")
            self.lines += [Line(self._since, text) for text in texts if text]

    @property
    def tail(self) -> str:
        """The line that has not ended yet: a prompt."""
        return ESCAPE.sub(b"", self._rest).decode("utf-8", "replace")

    def overflowed(self) -> bool:
        """Whether there was more than is kept."""
        return self.total > MAX_BYTES

    def close(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        if self._log:
            self._log.close()


def split(data: bytes) -> list[bytes]:
    """The lines in bytes, and last what has not ended yet; the expression only where a return stands alone.

    >>> split(b"a\\r\\nb\\r\\r\\nc\\rd")
    [b'a', b'b', b'c', b'd']
    """
    plain = data.replace(b"\r\n", b"\n")
    return ENDING.split(plain) if b"\r" in plain else plain.split(b"\n")


def load(log: Path) -> list[Line]:
    """The lines of a recorded console."""
    assembler = Assembler()
    for entry in log.read_text(encoding="utf-8").splitlines():
        time_ns, raw = json.loads(entry)
        assembler.feed(time_ns, bytes.fromhex(raw))
    assembler.close()
    return assembler.lines


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text matches, for many texts; see `matches`."""
    start, end = pattern.startswith("^"), pattern.endswith("$")
    wanted = pattern[start : len(pattern) - end]
    if start and end:
        return lambda text: text.strip() == wanted
    if start:
        return lambda text: text.startswith(wanted)
    return (lambda text: text.rstrip().endswith(wanted)) if end else (lambda text: wanted in text)


def matches(pattern: str, text: str) -> bool:
    """Plain text; a leading ^ means the line's start, a trailing $ its end. A submission's text is never a regex.

    >>> matches("^ready$", "ready"), matches("ready", "not ready yet"), matches("^a+$", "aaa")
    (True, True, False)
    """
    return matcher(pattern)(text)
