"""Console bytes to lines: chunked reading, terminal escapes and line endings of every kind, bounded in length."""

import json
import re
from pathlib import Path

from harness.ports import Line

ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
ENDING = re.compile(rb"\r*\n|\r(?!\n)")
MAX_LINE = 4096
MAX_BYTES = 50_000_000


class Assembler:
    """Gathers chunks into lines and keeps every raw byte with its stamp as evidence (JSON lines: time_ns, hex)."""

    def __init__(self, log: Path | None = None) -> None:
        self.lines: list[Line] = []
        self.total = 0
        self._log = log.open("x", encoding="utf-8") if log else None
        self._rest, self._since = b"", 0

    def feed(self, time_ns: int, chunk: bytes) -> None:
        """Bytes that arrived at time_ns. Beyond MAX_BYTES they are counted but no longer kept."""
        self.total += len(chunk)
        if self.total > MAX_BYTES or not chunk:
            return
        if self._log:
            self._log.write(json.dumps([time_ns, chunk.hex()]) + "\n")
            self._log.flush()
        if not self._rest:
            self._since = time_ns
        pieces = ENDING.split(self._rest + chunk)
        for piece in pieces[:-1]:
            self._line(piece)
            self._since = time_ns
        self._rest = pieces[-1]
        if self._rest.endswith(b"\r"):
            return
        while len(self._rest) > MAX_LINE:
            self._line(self._rest[:MAX_LINE])
            self._rest = self._rest[MAX_LINE:]

    def _line(self, raw: bytes) -> None:
        text = ESCAPE.sub(b"", raw).decode("utf-8", "replace")
        if text:
            self.lines.append(Line(time_ns=self._since, text=text))

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


def load(log: Path) -> list[Line]:
    """The lines of a recorded console."""
    assembler = Assembler()
    for entry in log.read_text(encoding="utf-8").splitlines():
        time_ns, raw = json.loads(entry)
        assembler.feed(time_ns, bytes.fromhex(raw))
    assembler.close()
    return assembler.lines


def matches(pattern: str, text: str) -> bool:
    """Plain text; a leading ^ means the line's start, a trailing $ its end. A submission's text is never a regex.

    >>> matches("^ready$", "ready"), matches("ready", "not ready yet"), matches("^a+$", "aaa")
    (True, True, False)
    """
    start, end = pattern.startswith("^"), pattern.endswith("$")
    wanted = pattern[start : len(pattern) - end]
    if start and end:
        return text.strip() == wanted
    if start:
        return text.startswith(wanted)
    return text.rstrip().endswith(wanted) if end else wanted in text
