"""Put the image on the target through U-Boot on its console: load it into memory, write it with U-Boot's commands, read it back."""

import hashlib
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from ymodem.Protocol import ProtocolType
from ymodem.Socket import ModemSocket

from adapters._flash.flashing import Flashed, Step, image_of, until_flashed
from adapters.console_serial import SerialPort
from harness.errors import RigError
from harness.model import noun
from harness.ports import OR_NOTHING, Arrival, Bench, StandsOn

PIECE = 512
QUIET_S, MOST_QUIET = 0.3, 1000


class Prompt:
    """U-Boot's command line on a borrowed console."""

    def __init__(self, port: SerialPort, prompt: str, stop: str) -> None:
        self.port, self.prompt, self.stop = port, prompt, stop
        self.heard = ""

    def wait(self, wanted: Callable[[str], bool], within_s: float, typed: bytes = b"", every_s: float = 0.1) -> str:
        """What comes until `wanted` says that it is enough; `typed` is sent again and again meanwhile. Raises Step at the limit."""
        self.heard, deadline, again = "", time.monotonic() + within_s, 0.0
        while not wanted(self.heard):
            now = time.monotonic()
            if now > deadline:
                raise Step(f"not within {within_s:g} s; the console said {self.heard[-160:].strip()!r}")
            if typed and now >= again:
                self.port.send(typed)
                again = now + every_s
            self.heard += self.port.receive(min(0.05, max(0.0, deadline - now))).decode("utf-8", "replace")
        return self.heard

    def catch(self, within_s: float) -> None:
        """Interrupt the autoboot, and have a clean prompt."""
        self.wait(self.prompted, within_s, self.stop.encode())
        self.clean()

    def prompted(self, text: str) -> bool:
        """Whether the prompt stands at the start of the last line (a checksum's output ends like one)."""
        return text.rpartition("\n")[2] == self.prompt

    def clean(self) -> None:
        """Nothing of before may be taken for an answer: wait for quiet."""
        for _ in range(MOST_QUIET):
            if not self.port.receive(QUIET_S):
                return

    def run(self, command: str, within_s: float) -> str:
        """A command's output. Raises Step when U-Boot does not know it, or it does not end."""
        self.port.send(command.encode() + b"\n")
        text = self.wait(self.prompted, within_s)
        said = text.partition("\n")[2].rpartition("\n")[0].strip()
        if "Unknown command" in said or "Usage:" in said:
            raise Step(f"{command}: this U-Boot says {said.splitlines()[0]!r}")
        return said

    def checked(self, command: str, within_s: float) -> str:
        """A command whose success U-Boot tells in its exit status."""
        said = self.run(command, within_s)
        status = self.run("echo status=$?", 5.0)
        if "status=0" not in status:
            raise Step(f"{command} failed: {said[-160:]!r}")
        return said


class Ended(BaseException):
    """The line is gone, or the time is over. No Exception: the modem library would take it for a slow line and go on."""

    def __init__(self, why: Exception) -> None:
        self.why = why


class Line:
    """A borrowed console as the modem library reads and writes it."""

    def __init__(self, port: SerialPort, deadline: float, tell: Callable[[str], None]) -> None:
        self.port, self.deadline, self.tell = port, deadline, tell
        self.waiting, self.tenth = bytearray(b"C"), 0  # the "C" that was heard

    def read(self, size: int, timeout: float | None = None) -> bytes | None:
        limit = min(self.deadline, time.monotonic() + (timeout or 1.0))
        while len(self.waiting) < size and time.monotonic() < limit:
            try:
                self.waiting += self.port.receive(max(0.0, min(0.1, limit - time.monotonic())))
            except RigError as error:
                raise Ended(error) from None
        if time.monotonic() >= self.deadline:
            raise Ended(Step("it took too long"))
        taken = bytes(self.waiting[:size])
        del self.waiting[:size]
        return taken or None

    def write(self, data: bytes, timeout: float | None = None) -> int:
        try:
            for at in range(0, len(data), PIECE):
                self.port.send(bytes(data[at : at + PIECE]))
        except RigError as error:
            raise Ended(error) from None
        return len(data)

    def progress(self, index: int, name: str, total: int, sent: int) -> None:
        tenth = 10 * sent // max(1, total)
        if tenth > self.tenth:
            self.tenth = tenth
            self.tell(f"flash: {10 * tenth} %")


def crc_in(text: str) -> int | None:
    """The checksum in the output of U-Boot's crc32.

    >>> hex(crc_in("crc32 for 40200000 ... 40200fff ==> 98a2c5f1"))
    '0x98a2c5f1'
    """
    found = re.search(r"==>\s*([0-9a-fA-F]{8})", text)
    return int(found[1], 16) if found else None


@noun
class UBootFlasher:
    """`load`: over the console with YMODEM, or from a TFTP server. `write` are U-Boot's commands, `verify` read the image back to
    {address}, where its checksum is compared. {address}, {size}, {blocks} are in hex, as U-Boot has them.
    """

    write: tuple[str, ...]
    verify: tuple[str, ...]
    console: str = "console"
    power: str | None = "power"
    address: int = 0x40400000
    load: Literal["ymodem", "tftp"] = "ymodem"
    tftp_folder: str | None = None  # where the TFTP server takes its files from
    tftp_setup: tuple[str, ...] = ("dhcp",)  # commands that bring up the network
    prompt: str = "=> "
    stop: str = "\r"  # what interrupts the autoboot
    prompt_s: float = 20.0
    command_s: float = 30.0
    load_s: float = 900.0
    block_bytes: int = 512
    attempts: int = 2
    changes_device: ClassVar[bool] = True
    virtual: ClassVar[bool] = False

    def stands_on(self) -> StandsOn:
        return {"console": ("line",), "power": ("power", OR_NOTHING)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Flashed]:
        image, digest = image_of(bench)
        until_flashed(name, bench, self.power, self.attempts, lambda: self.attempt(image, bench))
        yield Flashed(Arrival(how=f"written by U-Boot ({self.load}), its checksum read back", sha256=digest))

    def attempt(self, image: bytes, bench: Bench) -> None:
        """Catch the prompt, load, write, read back."""
        with bench.ports[self.console].borrowed() as port:
            prompt = Prompt(port, self.prompt, self.stop)
            self.say("U-Boot's prompt", lambda: prompt.catch(self.prompt_s))
            bench.tell(f"flash: {len(image)} bytes with {self.load}")
            self.say("load", lambda: self.bring(prompt, image, bench))
            self.say("the image in memory", lambda: self.compare(prompt, image))
            blocks = -(-len(image) // self.block_bytes)
            values = {"address": f"{self.address:x}", "size": f"{len(image):x}", "blocks": f"{blocks:x}"}
            for command in self.write:
                bench.tell(f"flash: {command.format_map(values)}")
                self.typed("write", prompt, command.format_map(values))
            self.typed(
                "clear", prompt, f"mw.b {self.address:x} 0 {len(image):x}"
            )  # what is compared comes from the storage
            for command in self.verify:
                self.typed("read back", prompt, command.format_map(values))
            self.say("the image on the target", lambda: self.compare(prompt, image))

    def typed(self, step: str, prompt: Prompt, command: str) -> None:
        self.say(step, lambda: prompt.checked(command, self.command_s))

    @staticmethod
    def say(step: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Step as error:
            raise Step(f"{step}: {error}") from error

    def compare(self, prompt: Prompt, image: bytes) -> None:
        found = crc_in(prompt.run(f"crc32 {self.address:x} {len(image):x}", self.command_s))
        if found != zlib.crc32(image):
            there = "no checksum" if found is None else f"{found:08x}"
            raise Step(f"its CRC-32 is {there}, and the image's is {zlib.crc32(image):08x}")

    def bring(self, prompt: Prompt, image: bytes, bench: Bench) -> None:
        if self.load == "ymodem":
            self.send(prompt, image, bench)
            return
        if self.tftp_folder is None:
            raise RigError("load: tftp needs tftp_folder: where its server takes its files from")
        name = f"shipei-{hashlib.sha256(image).hexdigest()[:16]}.img"
        target = Path(self.tftp_folder) / name
        try:
            shutil.copyfile(bench.item.files["application"], target)
            target.chmod(0o644)  # its server runs as somebody else
        except OSError as error:
            raise RigError(
                f"{target} cannot be written: {error.strerror}: is the TFTP server's folder mounted?"
            ) from error
        try:
            for command in self.tftp_setup:
                prompt.run(command, self.command_s)
            prompt.checked(f"tftpboot {self.address:x} {name}", self.load_s)
        finally:
            target.unlink(missing_ok=True)

    def send(self, prompt: Prompt, image: bytes, bench: Bench) -> None:
        """YMODEM to `loady`, whose "C" says that it is ready."""
        prompt.port.send(f"loady {self.address:x}\n".encode())
        prompt.wait(lambda text: text.endswith("C"), self.command_s)
        file = bench.work / "image.bin"
        file.write_bytes(image)
        line = Line(prompt.port, time.monotonic() + self.load_s, bench.tell)
        try:
            whole = ModemSocket(line.read, line.write, ProtocolType.YMODEM).send([str(file)], callback=line.progress)
        except Ended as error:
            raise error.why from None
        if not whole:
            raise Step("YMODEM did not come to its end: is the baud rate right, and the line without noise?")
        prompt.wait(prompt.prompted, self.command_s, b"\n", 1.0)
        prompt.clean()
