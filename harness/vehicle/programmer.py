"""Program a device over its diagnostics (ISO 14229-1, 15): the whole sequence, or as far as a test wants."""

from collections.abc import Iterator, Mapping

from harness.errors import DeviceError, SuiteError
from harness.model import Flashing
from harness.vehicle.diagnostics import LONGEST, Answer, Tester, told

FORMAT = 0x44  # four bytes of length, four of address
HEAD_BYTES = 2  # of a block: service and counter
GOOD = 0
DRIVER_S = 0.1  # until the device has seen what the driver wants


class Programmer:
    """One tester that programs. `packages`: the bytes by kind."""

    def __init__(self, tester: Tester, packages: Mapping[str, bytes]) -> None:
        if tester.told.flashing is None:
            raise SuiteError("the submission does not say how it is programmed: interface.diagnostics.flashing")
        self.tester, self.packages = tester, packages
        self.told: Flashing = tester.told.flashing
        self.block_bytes = 0

    # ------------------------------------------------------------ single steps

    def open(self) -> None:
        """Its session, unlocked."""
        self.tester.enter(self.told.session)
        self.tester.unlock()

    def routine(self, rid: int) -> bytes:
        """The request that starts a routine."""
        return b"\x31\x01" + rid.to_bytes(2, "big")

    def erase(self) -> None:
        self.well(self.routine(self.told.erase))

    def download(self, size: int) -> bytes:
        """The request to take so many bytes (RequestDownload)."""
        return bytes([0x34, 0, FORMAT]) + self.told.address.to_bytes(4, "big") + size.to_bytes(4, "big")

    def announce(self, size: int) -> None:
        """Ask it to take so many bytes; what it says of the length of a block is kept."""
        data = self.tester.positive(self.download(size)).data
        self.block_bytes = int.from_bytes(data[2 : 2 + (data[1] >> 4)], "big") if len(data) > 2 else 0
        if self.block_bytes <= HEAD_BYTES:
            raise DeviceError(f"it says that a block has {self.block_bytes} bytes: {data.hex()}")

    def blocks(self, data: bytes) -> list[bytes]:
        """The requests that transfer the data."""
        step = self.block_bytes - HEAD_BYTES
        parts = [data[n : n + step] for n in range(0, len(data), step)]
        return [bytes([0x36, n % 256]) + part for n, part in enumerate(parts, 1)]

    def transfer(self, data: bytes) -> None:
        """All of it, announced, block by block, with its end."""
        for _ in self.transferred(data):
            pass

    def transferred(self, data: bytes) -> Iterator[str]:
        """The same, one step after another."""
        self.announce(len(data))
        yield "announced"
        blocks = self.blocks(data)
        for n, block in enumerate(blocks, 1):
            self.tester.positive(block)
            yield f"block {n} of {len(blocks)}"
        self.tester.positive(b"\x37")
        yield "transferred"

    def well(self, request: bytes) -> None:
        """A routine that says that all is well. Raises DeviceError when it does not."""
        answer = self.tester.ask(request)
        if not self.is_good(answer):
            raise DeviceError(f"not good: {told(request, answer)}")

    def is_good(self, answer: Answer) -> bool:
        return answer.positive and answer.data[4:5] == bytes([GOOD])

    def version(self) -> str:
        """What it says that runs."""
        return self.tester.read(self.told.did).decode("ascii", "replace")

    def agree(self) -> None:
        """As the driver, where the driver is asked."""
        if self.told.consent is not None:
            self.tester.vehicle.send(self.told.consent.agree)
            self.tester.vehicle.pass_time(DRIVER_S)

    def decline(self) -> None:
        """As the driver."""
        if self.told.consent is None:
            raise SuiteError(
                "the submission does not say how a driver declines: interface.diagnostics.flashing.consent"
            )
        self.tester.vehicle.send(self.told.consent.decline)
        self.tester.vehicle.pass_time(DRIVER_S)

    # ------------------------------------------------------------ the sequence

    def steps(self, data: bytes) -> Iterator[str]:
        """The sequence up to its reset, one step after another; each is named once it is done."""
        self.tester.enter(self.told.session)
        yield "session"
        self.tester.unlock()
        yield "unlocked"
        self.erase()
        yield "erased"
        yield from self.transferred(data)
        self.well(self.routine(self.told.check))
        yield "checked"
        self.agree()
        self.well(self.routine(self.told.activate))
        yield "activated"

    def install(self, kind: str) -> None:
        """A package by the whole sequence, and the reset after it. Raises DeviceError where a step is refused."""
        for _ in self.steps(self.packages[kind]):
            pass
        self.restart()

    def restart(self) -> None:
        """Reset it; afterwards it is up again."""
        since_ns = self.tester.vehicle.time_ns
        self.tester.attempt(b"\x11\x01")
        self.up(within_s=LONGEST * self.tester.told.reset_s, since_ns=since_ns)

    def up(self, *, within_s: float, since_ns: int | None = None) -> None:
        """Until it is ready, as its console says where somebody reads it, and answers: what is cut off before that too often it gives up.

        It may have got ready since a moment before now: who resets before it answers.

        Raises DeviceError when it is not, within the limit.
        """
        vehicle = self.tester.vehicle
        if vehicle.interface.console is not None and vehicle.console_port is not None:
            vehicle.ready(within_s=within_s, since_ns=since_ns)
        self.tester.answers(within_s=within_s)

    def takes(self, data: bytes) -> bool:
        """Whether its check finds a package good; it has been transferred before, as one that may be."""
        self.open()
        self.erase()
        self.transfer(data)
        return self.is_good(self.tester.ask(self.routine(self.told.check)))

    def restore(self) -> None:
        """The software that is claimed runs again. Raises DeviceError where it cannot be had back."""
        claimed = self.told.package("current")
        if claimed is not None and self.version() != claimed.version:
            self.install("current")
            if self.version() != claimed.version:
                raise DeviceError(f"it runs {self.version()!r}, and its {claimed.version} does not come back")
