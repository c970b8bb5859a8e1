"""A serial console through pyserial: a device, a PTY, or any of pyserial's URLs (rfc2217://, socket://, loop://)."""

import errno
import os
import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import serial

from adapters._process.words import serial_trouble
from harness.console import Assembler
from harness.errors import RigError
from harness.model import Login, noun
from harness.ports import Bench, Line, StandsOn
from harness.record import CONSOLE

READ_BYTES = 65536
READ_S = 0.05
LAG_NS = 50_000_000  # a byte that arrived so long ago has been read
POLL_S = 0.02
AGAIN_S = 0.2  # between two tries to open a console that is gone
FAILURES = (
    OSError,
    serial.SerialException,
    ValueError,
    TypeError,
)  # what pyserial raises when a device goes while it is read


class SerialPort:
    """One open console with its reader thread; what the thread raises is raised in the next call.

    A console that goes away and comes back within `reconnect_s` is opened again; `trouble` then tells of the gap.
    """

    uncertainty_ns = 10_000_000  # a reader thread beside a busy test

    def __init__(self, recipe: "SerialConsole", url: str, log: Path, login: Login | None) -> None:
        self.recipe, self.url, self.login = recipe, url, login
        self.serial: Any = None if recipe.powered_by_device else recipe.opened(url)
        self._assembler = Assembler(log)
        self._closing = threading.Event()
        self._using = threading.Lock()  # who has it, has the line: the reader thread, or who borrowed it
        self._wanted = threading.Event()  # somebody wants to borrow it
        self._away = threading.Event()  # it is gone, and may come back
        if self.serial is None:
            self._away.set()
        self._broken = ""
        self._trouble: list[str] = []
        self._answered = ""
        self._thread = threading.Thread(target=self.read, daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ the port

    def lines(self, start: int = 0) -> Sequence[Line]:
        self.alive()
        return self._assembler.lines[start:]

    def write(self, text: str) -> int:
        self.alive()
        self.send(text.replace("\n", self.recipe.newline).encode())
        return time.monotonic_ns()

    def now_ns(self) -> int:
        """The clock of an item that speaks no bus."""
        return time.monotonic_ns() - LAG_NS

    def wait(self, seen: int, until_ns: int, ids: Sequence[int] = ()) -> int:
        self.alive()
        self._closing.wait(POLL_S)
        return len(self._assembler.lines)

    def trouble(self) -> str:
        """What may have cost bytes since the last reading; empty if nothing."""
        found, self._trouble = "; ".join(self._trouble), []
        if self._away.is_set() and not self.recipe.powered_by_device:
            found = "; ".join(filter(None, (found, f"the console {self.url} is away: is it plugged in?")))
        if self._assembler.overflowed():
            found = "; ".join(filter(None, (found, f"the console {self.url} said more than is kept of it: it floods")))
        return found

    @contextmanager
    def borrowed(self) -> Iterator["SerialPort"]:
        """The line for oneself: nobody else reads until it is given back. What `receive` reads is still kept as evidence."""
        deadline = time.monotonic() + self.recipe.reconnect_s
        while self._away.is_set() and time.monotonic() < deadline:
            self._closing.wait(0.02)
        self.alive()
        self._wanted.set()
        try:
            with self._using:
                yield self
        finally:
            self._wanted.clear()

    def send(self, data: bytes) -> None:
        try:
            self.serial.write(data)
        except FAILURES as error:
            raise RigError(serial_trouble("cannot be written to", self.url, error)) from error

    def receive(self, timeout_s: float) -> bytes:
        """What comes within the timeout, for who borrowed the line."""
        try:
            self.serial.timeout = timeout_s
            chunk = self.there()
        except FAILURES as error:
            raise RigError(serial_trouble("is gone", self.url, error)) from error
        self._assembler.feed(time.monotonic_ns(), chunk)
        return chunk

    def there(self) -> bytes:
        """What has come; where nothing has, the next byte, if it comes within the port's timeout, and what came with it."""
        if isinstance(self.serial, serial.Serial) and os.name == "posix":
            return b"".join(gathered(self.serial.fileno(), self.serial.timeout))
        chunk = b"" if self.serial.in_waiting else bytes(self.serial.read(1))
        waiting = min(self.serial.in_waiting, READ_BYTES)
        return chunk + bytes(self.serial.read(waiting)) if waiting else chunk

    # ------------------------------------------------------------ the thread

    def read(self) -> None:
        if self.serial is None and not self.again(OSError("it was never there")):
            return
        while not self._closing.is_set():
            if self._wanted.is_set():
                self._closing.wait(0.01)
                continue
            try:
                with self._using:
                    self.serial.timeout = READ_S
                    chunk = self.there()
                    if chunk:
                        self._assembler.feed(time.monotonic_ns(), chunk)
                        self.log_in()
            except FAILURES as error:
                if not self.again(error):
                    return

    def again(self, why: Exception) -> bool:
        """Open it again; False when it stays away."""
        gone = time.monotonic()
        self._away.set()
        while not self._closing.wait(AGAIN_S):
            if time.monotonic() - gone > self.recipe.reconnect_s and not self.recipe.powered_by_device:
                self._broken = serial_trouble("is gone", self.url, why)
                return False
            try:
                if self.serial is not None:
                    self.serial.close()
                self.serial = self.recipe.opened(self.url)
            except (RigError, *FAILURES):
                continue
            if not self.recipe.powered_by_device:
                text = f"the console {self.url} was away for {time.monotonic() - gone:.1f} s: is its cable loose?"
                self._trouble.append(text)
            self._away.clear()
            return True
        return False

    def log_in(self) -> None:
        """Answer the prompts of a login, each once as it comes."""
        if self.login is None:
            return
        tail = self._assembler.tail.rstrip()
        answers = {self.login.prompt: self.login.user, self.login.password_prompt: self.login.password}
        for prompt, answer in answers.items():
            if tail.endswith(prompt.rstrip()) and tail != self._answered:
                self.send((answer + self.recipe.newline).encode())
        self._answered = tail

    # ------------------------------------------------------------ inside

    def alive(self) -> None:
        if self._broken and not self._closing.is_set():
            raise RigError(self._broken)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(2.0)
        self._assembler.close()
        if self.serial is not None:
            self.serial.close()


def gathered(terminal: int, timeout_s: float | None) -> Iterator[bytes]:
    """What a terminal has: it gives some 4 KiB a read, and each is told of only with all that came at once."""
    left = READ_BYTES
    while left > 0 and select.select([terminal], [], [], timeout_s)[0]:
        try:
            chunk = os.read(terminal, left)
        except BlockingIOError:
            return
        if not chunk:
            raise OSError(errno.EIO, "it hung up")
        yield chunk
        left, timeout_s = left - len(chunk), 0.0


@noun
class SerialConsole:
    """A console at a pyserial URL, or at the terminal of the port named in `on`. `newline` is what Enter sends.

    `powered_by_device`: it comes and goes with the device's supply, as the USB port of many boards does. `dtr` and `rts` are set before it opens (null: as pyserial does): boards are reset, or kept in their boot loader, by them.
    """

    url: str | None = None
    on: str | None = None
    baudrate: int = 115_200
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["N", "E", "O", "M", "S"] = "N"
    stopbits: Literal[1, 2] = 1
    rtscts: bool = False
    xonxoff: bool = False
    dsrdtr: bool = False
    dtr: bool | None = None
    rts: bool | None = None
    newline: Literal["\n", "\r", "\r\n"] = "\n"
    reconnect_s: float = 10.0
    powered_by_device: bool = False
    opens: ClassVar[tuple[str, ...]] = ("console", "line")
    virtual: ClassVar[bool] = False

    def stands_on(self) -> StandsOn:
        return {"on": ("terminal",)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[SerialPort]:
        url = bench.ports[self.on].console_path if self.on is not None else self.url
        if url is None:
            raise RigError(f"port {name} needs a url, or `on: PORT`")
        said = bench.item.interface.console
        console = SerialPort(self, url, bench.evidence / CONSOLE, said.login if said else None)
        try:
            yield console
        finally:
            console.close()

    def opened(self, url: str) -> Any:
        """Raises RigError, in words, when it does not open."""
        form: dict[str, Any] = {"bytesize": self.bytesize, "parity": self.parity, "stopbits": self.stopbits}
        form |= {"rtscts": self.rtscts, "xonxoff": self.xonxoff, "dsrdtr": self.dsrdtr}
        try:
            port = serial.serial_for_url(url, self.baudrate, timeout=READ_S, do_not_open=True, **form)
            if url.startswith(("/", "COM")):
                port.exclusive = None if "/pts/" in str(Path(url).resolve()) else True
            for line in ("dtr", "rts"):
                if getattr(self, line) is not None:
                    setattr(port, line, getattr(self, line))
            port.open()
        except FAILURES as error:
            raise RigError(serial_trouble("does not open", url, error)) from error
        return port
