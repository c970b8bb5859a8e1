"""Put the image on the target with a program of the lab: fastboot, dfu-util, a vendor's flasher. Argument lists, no shell."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from adapters._flash.flashing import Flashed, Step, image_of, until_flashed
from adapters._process import commands
from harness.errors import RigError
from harness.model import noun
from harness.ports import OR_NOTHING, Arrival, Bench, StandsOn

DIGEST = re.compile(r"\b[0-9a-fA-F]{64}\b")


def digest_in(text: str, wanted: str, who: str) -> None:
    """Raises RigError unless the last SHA-256 in a program's output is the wanted one."""
    found = [d.lower() for d in DIGEST.findall(text)]
    if not found:
        raise RigError(f"{who} should print the SHA-256 of what is on the target, and printed {text.strip()[-120:]!r}")
    if found[-1] != wanted:
        raise RigError(f"{who} reads {found[-1]} on the target, and the image is {wanted}: another image is on it")


@noun
class CommandFlasher:
    """`commands` are run in turn, {artefact} being the image; `read_back`, if there is one, prints the SHA-256 of what is on the target.

    The supply named in `power` is on meanwhile; `attempts` begin with a power cycle.
    """

    commands: tuple[tuple[str, ...], ...]
    read_back: tuple[str, ...] = ()
    power: str | None = "power"
    limit_s: float = 300.0
    attempts: int = 2
    changes_device: ClassVar[bool] = True
    virtual: ClassVar[bool] = False

    def stands_on(self) -> StandsOn:
        return {"power": ("power", OR_NOTHING)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Flashed]:
        _, digest = image_of(bench)
        values = {"artefact": bench.item.files["application"], "sha256": digest}
        until_flashed(name, bench, self.power, self.attempts, lambda: self.attempt(values, bench))
        how = f"flashed with {self.commands[0][0]}, " + ("read back" if self.read_back else "not read back")
        yield Flashed(Arrival(how=how, sha256=digest))

    def attempt(self, values: dict[str, str], bench: Bench) -> None:
        try:
            for n, command in enumerate(self.commands, 1):
                bench.tell(f"flash: {n} of {len(self.commands)}: {command[0]}")
                commands.run(command, self.limit_s, values)
            if self.read_back:
                digest_in(commands.run(self.read_back, self.limit_s, values), values["sha256"], self.read_back[0])
        except RigError as error:
            raise Step(str(error)) from error
