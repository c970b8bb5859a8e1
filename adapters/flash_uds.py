"""Put the image on the target over UDS (ISO 14229-1, clause 14 and annex of the boot loader's sequence), check it, activate it."""

import hashlib
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import udsoncan
from udsoncan.client import Client
from udsoncan.exceptions import (
    InvalidResponseException,
    NegativeResponseException,
    TimeoutException,
    UnexpectedResponseException,
)

from adapters._flash.flashing import Flashed, Step, image_of, until_flashed
from adapters._flash.identify import identified
from adapters._process import commands
from harness.errors import DeviceError, RigError
from harness.model import noun
from harness.ports import OR_NOTHING, Arrival, Bench, StandsOn

SAID_NO = (NegativeResponseException, TimeoutException, InvalidResponseException, UnexpectedResponseException)
PROGRAMMING = 2
ASK_S = 0.3
TELL_EVERY = 0.1


class Programming:
    """One attempt: the sequence, step by step; `step` is where it is."""

    def __init__(self, recipe: "UdsFlasher", client: Client, image: bytes, tell: Callable[[str], None]) -> None:
        self.recipe, self.client, self.image, self.tell = recipe, client, image, tell
        self.step = "programming session"

    def run(self) -> None:
        """Raises Step, naming what failed and the device's answer."""
        recipe = self.recipe
        steps: list[tuple[str, Callable[[], Any]]] = [
            ("programming session (10 02)", self.enter),
            ("security access (27)", self.unlock),
            ("erase (31)", lambda: self.routine(recipe.erase, b"")),
            ("request download (34)", self.download),
            ("transfer (36)", self.transfer),
            ("transfer exit (37)", self.client.request_transfer_exit),
            ("check (31)", self.check),
            ("activate (31)", lambda: self.routine(recipe.activate, b"")),
            ("reset (11 01)", lambda: self.client.ecu_reset(1)),
        ]
        for self.step, action in steps:
            try:
                action()
            except SAID_NO as error:
                raise Step(f"{self.step}: {in_words(error)}") from error

    def enter(self) -> None:
        """A device that boots may answer first and then be deaf for a moment: ask until it is answered."""
        deadline = time.monotonic() + self.recipe.boot_s
        while True:
            try:
                self.client.change_session(PROGRAMMING)
                return
            except TimeoutException:
                if time.monotonic() > deadline:
                    raise

    def unlock(self) -> None:
        if not self.recipe.key:
            return
        answer = self.client.request_seed(self.recipe.security_level)
        seed = answer.service_data.seed if answer else b""
        if any(seed):
            said = commands.run(self.recipe.key, self.recipe.key_limit_s, {"seed": seed.hex()}).strip()
            try:
                key = bytes.fromhex(said)
            except ValueError:
                raise RigError(f"{self.recipe.key[0]} should print a key in hex digits, not {said[:60]!r}") from None
            self.client.send_key(self.recipe.security_level + 1, key)

    def routine(self, identifier: int | None, option: bytes) -> bytes:
        if identifier is None:
            return b""
        answer = self.client.start_routine(identifier, option)
        status = bytes(answer.service_data.routine_status_record) if answer else b""
        if status[:1] not in (b"", b"\0"):
            raise Step(f"{self.step}: the device says that it failed: {status.hex(' ')}")
        return status

    def download(self) -> None:
        location = udsoncan.MemoryLocation(
            address=self.recipe.address,
            memorysize=len(self.image),
            address_format=8 * self.recipe.address_bytes,
            memorysize_format=8 * self.recipe.size_bytes,
        )
        answer = self.client.request_download(
            location, udsoncan.DataFormatIdentifier.from_byte(self.recipe.data_format)
        )
        self.block = answer.service_data.max_length - 2 if answer else 0
        if self.block < 1:
            raise Step(f"{self.step}: the device takes {self.block + 2} bytes a transfer: too few to carry anything")

    def transfer(self) -> None:
        told = 0.0
        for number, at in enumerate(range(0, len(self.image), self.block), 1):
            self.transfer_one(number & 255, self.image[at : at + self.block])
            done = min(1.0, (at + self.block) / len(self.image))
            if done >= told + TELL_EVERY or done == 1.0:
                told = done
                self.tell(f"flash: {done:.0%} of {len(self.image)} bytes")

    def transfer_one(self, number: int, data: bytes) -> None:
        """A block whose answer got lost is sent once more with the same number (ISO 14229-1, 14.5)."""
        try:
            self.client.transfer_data(number, data)
        except TimeoutException:
            self.client.transfer_data(number, data)

    def check(self) -> None:
        if self.recipe.check is None:
            return
        digest = {
            "sha256": hashlib.sha256(self.image).digest(),
            "crc32": zlib.crc32(self.image).to_bytes(4, "big"),
            "none": b"",
        }[self.recipe.check_with]
        self.routine(self.recipe.check, digest)


def in_words(error: Exception) -> str:
    if isinstance(error, NegativeResponseException):
        return f"the device refuses: {error.response.code_name} ({error.response.code:#04x})"
    return str(error)


def alive(client: Client, within_s: float) -> bool:
    """Whether it answers TesterPresent, asked until it does."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            with client.payload_override(b"\x3e\x00"):
                client.tester_present()
        except TimeoutException:
            continue
        except SAID_NO:
            return True
        return True
    return False


@noun
class UdsFlasher:
    """The boot loader's sequence 10 02, 27, 31 erase, 34, 36, 37, 31 check, 31 activate, 11 01. `key` prints the key to {seed}.

    Image, address and sizes in bytes; a routine that the device does not have is left out with null.
    """

    on: str = "diag"
    power: str | None = "power"
    key: tuple[str, ...] = ()
    key_limit_s: float = 5.0
    security_level: int = 1
    erase: int | None = 0xFF00
    check: int | None = 0x0202
    check_with: Literal["sha256", "crc32", "none"] = "sha256"
    activate: int | None = 0xFF01
    address: int = 0
    address_bytes: int = 4
    size_bytes: int = 4
    data_format: int = 0
    answer_s: float = 10.0
    boot_s: float = 10.0
    attempts: int = 3
    changes_device: ClassVar[bool] = True
    virtual: ClassVar[bool] = False

    def stands_on(self) -> StandsOn:
        return {"on": ("link",), "power": ("power", OR_NOTHING)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Flashed]:
        image, digest = image_of(bench)
        client, said = self.client(bench.ports[self.on].link), [""]

        def attempt() -> None:
            if not alive(client, self.boot_s):
                raise Step(f"the device does not answer within {self.boot_s:g} s of power-on")
            bench.tell(f"flash: {len(image)} bytes over UDS")
            Programming(self, client, image, bench.tell).run()
            if not alive(client, self.boot_s):
                raise Step(f"the device does not answer within {self.boot_s:g} s of its reset")
            said[0] = self.identified(bench)

        attempts = until_flashed(name, bench, self.power, self.attempts, attempt)
        checked = "" if self.check is None else ", checked by the device"
        yield Flashed(Arrival(how=f"flashed over UDS in {attempts} attempt(s){checked}; {said[0]}", sha256=digest))

    def identified(self, bench: Bench) -> str:
        """What the device says of itself now, in words. Raises RigError when it is not what the submission says."""
        try:
            return identified(bench.item, bench.ports[self.on], self.boot_s) or "no identification is declared"
        except DeviceError as error:
            raise RigError(f"the image is on the target, and yet {error}") from error

    def client(self, link: Any) -> Client:
        config: Any = {
            "request_timeout": None,
            "p2_timeout": 1.0,
            "p2_star_timeout": self.answer_s,
            "use_server_timing": False,
            "logger_name": "shipei.uds",
        }
        client = Client(link, config={**udsoncan.configs.default_client_config, **config}, request_timeout=None)
        client.logger.addHandler(logging.NullHandler())  # what goes wrong is told by us
        return client
