"""A serial console through pyserial: a device, a PTY, or any of pyserial's URLs."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import serial

from harness.console import Assembler
from harness.errors import RigError
from harness.model import noun
from harness.ports import Bench, Line

READ_BYTES = 65536
READ_S = 0.05


class SerialPort:
    """One open console with its reader thread; what the thread raises is raised in the next call."""

    uncertainty_ns = 10_000_000  # a reader thread beside a busy test

    def __init__(self, port: serial.Serial, log: Path) -> None:
        self._port = port
        self._assembler = Assembler(log)
        self._closing = threading.Event()
        self._broken: OSError | None = None
        self._thread = threading.Thread(target=self.read, daemon=True)
        self._thread.start()

    def read(self) -> None:
        try:
            while not self._closing.is_set():
                chunk = self._port.read(1)
                if chunk:
                    time_ns = time.monotonic_ns()
                    self._assembler.feed(time_ns, chunk + self._port.read(min(self._port.in_waiting, READ_BYTES)))
        except OSError as error:  # serial.SerialException is one
            self._broken = error

    def alive(self) -> None:
        if self._broken is not None and not self._closing.is_set():
            raise RigError(f"the console {self._port.port} failed: {self._broken}") from self._broken

    def lines(self, start: int = 0) -> Sequence[Line]:
        self.alive()
        return self._assembler.lines[start:]

    def write(self, text: str) -> None:
        self.alive()
        self._port.write(text.encode())

    def close(self) -> None:
        self._closing.set()
        self._thread.join(2.0)
        self._assembler.close()


@noun
class SerialConsole:
    """A console at a pyserial URL, or at the terminal of the port named in `on`."""

    url: str | None = None
    on: str | None = None
    baudrate: int = 115_200

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[SerialPort]:
        url = bench.ports[self.on].console_path if self.on is not None else self.url
        if url is None:
            raise RigError(f"port {name} needs a url, or `on: PORT`")
        try:
            port = serial.serial_for_url(url, self.baudrate, timeout=READ_S, exclusive=None)
        except (OSError, ValueError) as error:
            raise RigError(f"the console {url} does not open: {error}") from error
        with port:
            console = SerialPort(port, bench.evidence / "console.jsonl")
            try:
                yield console
            finally:
                console.close()
