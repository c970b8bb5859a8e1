"""A SCPI instrument, however it is wired: plain TCP and serial lines, the kernel's usbtmc, or anything that PyVISA knows.

Resource strings are VISA's: TCPIP::HOST::PORT::SOCKET, ASRL/dev/ttyUSB0::INSTR, USB0::..., TCPIP::HOST::INSTR; and /dev/usbtmc0.
"""

import os
import re
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import serial

from harness.errors import RigError

SOCKET = re.compile(r"TCPIP\d*::([^:]+)::(\d+)::SOCKET", re.IGNORECASE)
SERIAL = re.compile(r"ASRL(/[^:]+|COM\d+|socket://[^ ]+)::INSTR", re.IGNORECASE)
MOST_BYTES = 65_536


class Line(Protocol):
    """What carries lines of text to and from an instrument."""

    def send(self, text: bytes) -> None: ...

    def receive(self, timeout_s: float) -> bytes:
        """What has come, at most within the timeout; empty if nothing has."""


class SocketLine:
    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.socket = socket.create_connection((host, port), timeout_s)

    def send(self, text: bytes) -> None:
        self.socket.sendall(text)

    def receive(self, timeout_s: float) -> bytes:
        if not select.select([self.socket], [], [], timeout_s)[0]:
            return b""
        chunk = self.socket.recv(MOST_BYTES)
        if not chunk:
            raise OSError("it closed the connection")
        return chunk

    def close(self) -> None:
        self.socket.close()


class SerialLine:
    def __init__(self, url: str, baudrate: int) -> None:
        self.port = serial.serial_for_url(url, baudrate, timeout=0.05)

    def send(self, text: bytes) -> None:
        self.port.write(text)

    def receive(self, timeout_s: float) -> bytes:
        self.port.timeout = timeout_s
        return bytes(self.port.read(1) + self.port.read(self.port.in_waiting))

    def close(self) -> None:
        self.port.close()


class DeviceLine:
    """The kernel's USBTMC device file: a write is a message, a read is the whole answer."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def send(self, text: bytes) -> None:
        os.write(self.file, text)

    def receive(self, timeout_s: float) -> bytes:
        return os.read(self.file, MOST_BYTES)

    def close(self) -> None:
        os.close(self.file)


class VisaLine:
    """PyVISA with its pure-Python backend, for VXI-11, HiSLIP, GPIB and USBTMC without the kernel's help."""

    def __init__(self, resource: str, timeout_s: float) -> None:
        try:
            import pyvisa
        except ImportError as error:
            raise RigError(f"{resource}: this kind of resource needs PyVISA: pip install pyvisa pyvisa-py") from error
        try:
            self.session: Any = pyvisa.ResourceManager("@py").open_resource(resource)
            self.session.timeout = timeout_s * 1000
        except Exception as error:  # PyVISA's backends raise what they like
            raise RigError(f"{resource} does not open: {error}") from error

    def send(self, text: bytes) -> None:
        self.session.write_raw(text)

    def receive(self, timeout_s: float) -> bytes:
        return bytes(self.session.read_raw())

    def close(self) -> None:
        self.session.close()


class Instrument:
    """One instrument: tell it, ask it. Raises RigError, naming it and what it was asked, when it does not answer."""

    def __init__(self, line: Line, resource: str, timeout_s: float) -> None:
        self.line, self.resource, self.timeout_s = line, resource, timeout_s
        self._rest = b""

    def tell(self, command: str) -> None:
        try:
            self.line.send(command.encode("ascii") + b"\n")
        except (OSError, serial.SerialException) as error:
            raise RigError(f"{self.resource} does not take {command!r}: {error}: is it still connected?") from error

    def ask(self, question: str) -> str:
        self._rest = b""
        self.tell(question)
        deadline = time.monotonic() + self.timeout_s
        while b"\n" not in self._rest:
            left_s = deadline - time.monotonic()
            try:
                self._rest += self.line.receive(max(0.0, left_s))
            except (OSError, serial.SerialException) as error:
                raise RigError(f"{self.resource} is gone at {question!r}: {error}: is it still connected?") from error
            if left_s <= 0 and b"\n" not in self._rest:
                raise RigError(f"{self.resource} does not answer {question!r} within {self.timeout_s:g} s")
            if len(self._rest) > MOST_BYTES:
                raise RigError(f"{self.resource} answers {question!r} without an end")
        return self._rest.partition(b"\n")[0].decode("ascii", "replace").strip()

    def number(self, question: str) -> float:
        answer = self.ask(question)
        try:
            return float(answer)
        except ValueError:
            raise RigError(f"{self.resource} answers {question!r} with {answer!r}, not a number") from None

    def complaint(self) -> str:
        """The oldest entry of its error queue (SCPI-1999, 21.8); empty if there is none."""
        answer = self.ask("SYST:ERR?")
        return "" if answer.startswith(("0", "+0")) else answer


@contextmanager
def connected(resource: str, timeout_s: float = 2.0, baudrate: int = 9600) -> Iterator[Instrument]:
    """An instrument by its resource string. Raises RigError when it does not open."""
    try:
        line = opened(resource, timeout_s, baudrate)
    except (OSError, OverflowError, ValueError) as error:
        raise RigError(f"{resource} does not open: {error}: is it switched on, and on this network?") from error
    try:
        yield Instrument(line, resource, timeout_s)
    finally:
        line.close()


def opened(resource: str, timeout_s: float, baudrate: int) -> Any:
    plain, line = SOCKET.fullmatch(resource), SERIAL.fullmatch(resource)
    if plain:
        return SocketLine(plain[1], int(plain[2]), timeout_s)
    if line:
        return SerialLine(line[1], baudrate)
    if resource.startswith("/dev/usbtmc") or Path(resource).is_char_device():
        return DeviceLine(resource)
    return VisaLine(resource, timeout_s)
