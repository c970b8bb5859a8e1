"""Consoles on real serial plumbing: RFC 2217 servers, cables that vanish and come back, noise, logins, who has a port."""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters._process.words import device_trouble
from adapters.console_serial import SerialConsole
from adapters.program import Supply
from harness import console as consoles
from harness.errors import RigError
from harness.model import ConsoleInterface, Interface, Item, Login
from harness.ports import Arrival, Bench
from tests.support.desk import device, needs
from tests.support.waiting import free_port, until


def bench(folder, login=None):
    said = ConsoleInterface(boot=(), ready="^ready$", login=login)
    item = Item(files={}, interface=Interface(buses={}, console=said))
    return Bench(item=item, work=folder, evidence=folder, ports={}, memory=folder)


@contextmanager
def cable(folder, name="cable"):
    """Two ends of a serial cable by socat; ends when it is pulled."""
    ends = [folder / f"{name}-{side}" for side in "ab"]
    process = subprocess.Popen([needs("socat"), *(f"PTY,link={end},raw,echo=0" for end in ends)])
    try:
        until(lambda: all(end.exists() for end in ends))
        yield ends, process
    finally:
        process.kill()
        process.wait()


def texts(port):
    return [line.text for line in port.lines()]


def test_a_console_that_is_pulled_and_plugged_in_again_goes_on_and_tells_of_the_gap(tmp_path):
    recipe = SerialConsole(url=str(tmp_path / "cable-a"))
    with cable(tmp_path) as (ends, process), recipe.open("console", bench(tmp_path)) as port:
        with device(ends[1]) as far:
            os.write(far, b"before\r\n")
            until(lambda: texts(port) == ["before"])
        assert port.trouble() == ""
        process.kill()
        process.wait()
        until(port._away.is_set)
        for end in ends:
            end.unlink(missing_ok=True)
        with cable(tmp_path) as (again, _), device(again[1]) as far:
            until(lambda: port._away.is_set() is False)
            os.write(far, b"after\r\n")
            until(lambda: texts(port) == ["before", "after"])
            assert "was away for" in port.trouble()
            assert port.trouble() == ""  # told once
    assert [line.text for line in consoles.load(tmp_path / "console.jsonl")] == ["before", "after"]


def test_a_console_that_stays_away_is_the_labs(tmp_path):
    with (
        cable(tmp_path) as (ends, process),
        SerialConsole(url=str(ends[0]), reconnect_s=0.5).open("c", bench(tmp_path)) as port,
    ):
        process.kill()
        process.wait()

        def broken():
            try:
                port.lines()
            except RigError as error:
                return str(error)
            return ""

        said = until(broken)
        assert "is gone" in said
        assert "is it plugged in" in said
        with pytest.raises(RigError, match="is gone"):
            port.write("x")


def test_noise_and_broken_utf8_are_kept_as_they_came_and_read_as_far_as_they_go(tmp_path):
    with (
        cable(tmp_path) as (ends, _),
        SerialConsole(url=str(ends[0])).open("c", bench(tmp_path)) as port,
        device(ends[1]) as far,
    ):
        os.write(far, b"good\r\n\xff\x00\xfe bad \x1b[31mred\x1b[0m\r\nend\n")
        until(lambda: texts(port)[-1:] == ["end"])
        assert texts(port)[0] == "good"
        assert texts(port)[1].endswith("bad red")
    raw = b"".join(bytes.fromhex(json.loads(line)[1]) for line in (tmp_path / "console.jsonl").read_text().splitlines())
    assert b"\xff\x00\xfe bad" in raw


@pytest.mark.filterwarnings(
    "ignore:set.* is deprecated", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pyserial 3.5
def test_rfc2217_through_a_real_server_with_line_settings(tmp_path):
    """ser2net (Debian) in front of a pseudo-terminal, which has no modem lines: they are left alone (rtscts, dsrdtr)."""
    number = free_port()
    with cable(tmp_path) as (ends, _):
        config = tmp_path / "ser2net.yaml"
        config.write_text(
            f"connection: &c\n  accepter: telnet(rfc2217),tcp,127.0.0.1,{number}\n  connector: serialdev,{ends[0]},9600n81,local\n"
        )
        server = subprocess.Popen([needs("ser2net"), "-n", "-d", "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            until(lambda: connects(number))
            recipe = SerialConsole(
                url=f"rfc2217://127.0.0.1:{number}",
                baudrate=57600,
                parity="E",
                newline="\r\n",
                rtscts=True,
                dsrdtr=True,
            )
            with recipe.open("console", bench(tmp_path)) as port, device(ends[1]) as far:
                os.write(far, b"hello over the network\r\n")
                until(lambda: texts(port) == ["hello over the network"])
                port.write("answer\n")
                assert until(lambda: os.read(far, 100)) == b"answer\r\n"
                assert (port.serial.baudrate, port.serial.parity) == (57600, "E")
        finally:
            server.kill()
            server.wait()


def test_a_console_on_a_socket(tmp_path):
    """A terminal server that passes bytes on, without RFC 2217."""
    number = free_port()
    with cable(tmp_path) as (ends, _):
        server = subprocess.Popen(
            [needs("socat"), f"TCP-LISTEN:{number},bind=127.0.0.1,reuseaddr", f"{ends[1]},raw,echo=0"]
        )
        try:
            until(lambda: f":{number:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text())  # somebody listens
            recipe = SerialConsole(url=f"socket://127.0.0.1:{number}")
            with recipe.open("c", bench(tmp_path)) as port, device(ends[0]) as far:
                os.write(far, b"over a socket\n")
                until(lambda: texts(port) == ["over a socket"])
                port.write("back\n")
                assert until(lambda: os.read(far, 100)) == b"back\n"
        finally:
            server.kill()
            server.wait()


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def test_a_login_is_answered_once_a_prompt(tmp_path):
    recipe, login = SerialConsole(url=str(tmp_path / "cable-a")), Login(user="root", password="secret")
    with cable(tmp_path) as (ends, _), recipe.open("c", bench(tmp_path, login)) as port, device(ends[1]) as far:
        for _ in range(2):  # the device boots twice
            os.write(far, b"board login: ")
            assert until(lambda: os.read(far, 100)) == b"root\n"
            os.write(far, b"\r\nPassword: ")
            assert until(lambda: os.read(far, 100)) == b"secret\n"
            os.write(far, b"\r\nready\r\n")
        until(lambda: texts(port).count("ready") == 2)


def test_a_flood_is_bounded_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(consoles, "MAX_BYTES", 100_000)
    with (
        cable(tmp_path) as (ends, _),
        SerialConsole(url=str(ends[0])).open("c", bench(tmp_path)) as port,
        device(ends[1]) as far,
    ):
        for _ in range(200):
            os.write(far, b"x" * 999 + b"\n")
        until(lambda: port._assembler.total > 150_000)
        assert "it floods" in port.trouble()
        assert len(port.lines()) <= 101


def test_a_borrowed_line_is_read_by_nobody_else_and_is_still_evidence(tmp_path):
    with (
        cable(tmp_path) as (ends, _),
        SerialConsole(url=str(ends[0])).open("c", bench(tmp_path)) as port,
        device(ends[1]) as far,
    ):
        with port.borrowed() as line:
            os.write(far, b"=> prompt\r\n")
            assert until(lambda: line.receive(0.2)).startswith(b"=> prompt")
        os.write(far, b"later\r\n")
        until(lambda: texts(port) == ["=> prompt", "later"])


def test_a_port_that_is_there_and_does_not_open_says_why(tmp_path):
    assert device_trouble("/dev/x", PermissionError(13, "Permission denied")).startswith("no permission: ask who")
    assert "the group" in device_trouble("/dev/null", PermissionError(13, "Permission denied"))
    (tmp_path / "tty").write_text("")
    code = f"f = open({str(tmp_path / 'tty')!r}); print(1, flush=True); import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        said = device_trouble(str(tmp_path / "tty"), OSError(16, "Device or resource busy"))
        other.kill()
    assert f"(pid {other.pid})" in said


class Board:
    """A body whose first life never reads its console; every later one says back what it reads."""

    arrival, uncertainty_ns = Arrival(how="", sha256=""), 0

    def __init__(self):
        self.orders, self.child = ["sleep 100", "read -r line; echo heard $line"], None

    def start(self, terminal):
        order = self.orders.pop(0)
        with device(terminal) as tty:
            self.child = subprocess.Popen(["sh", "-c", order], stdin=tty, stdout=tty)
        return time.monotonic_ns()

    def ended(self):
        return None

    def end(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait()
        return ""


def test_what_was_typed_to_a_life_that_is_over_is_not_read_by_the_next(tmp_path):
    supply = Supply(Board())
    try:
        with SerialConsole(url=supply.console_path).open("console", bench(tmp_path)) as port:
            supply.on()
            port.write("to the first\n")
            until(lambda: waiting(supply._item_slave) == len("to the first\n"))
            supply.off()
            supply.on()
            port.write("to the second\n")
            until(lambda: port.lines())
            assert [line.text for line in port.lines()] == ["heard to the second"]
    finally:
        supply.close()


def waiting(terminal):
    """Bytes that nobody has read yet."""
    return struct.unpack("i", fcntl.ioctl(terminal, termios.FIONREAD, b"\0" * 4))[0]
