"""Put the image on the target with a program of the lab: fastboot, dfu-util, a vendor's flasher. Argument lists, no shell."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from adapters import commands
from adapters.flash_uds import Flashed
from harness.errors import RigError
from harness.model import noun
from harness.ports import Arrival, Bench

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

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Flashed]:
        image = Path(bench.item.files["application"])
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        values = {"artefact": str(image), "sha256": digest}
        power = bench.ports[self.power] if self.power is not None else None
        mark = bench.memory / f"{name}-interrupted.json"
        mark.write_text(json.dumps({"sha256": digest}) + "\n", encoding="utf-8")
        for left in reversed(range(self.attempts)):
            if power is not None:
                power.off()
                power.on()
            try:
                self.flash(values, bench)
                break
            except RigError as error:
                bench.tell(f"flash: {error}")
                if not left:
                    raise RigError(
                        f"port {name}: {error}. The target may be without a whole image: a person must look at the bench"
                    ) from error
        mark.unlink()
        if power is not None:
            power.off()
        how = f"flashed with {self.commands[0][0]}, " + ("read back" if self.read_back else "not read back")
        yield Flashed(Arrival(how=how, sha256=digest))

    def flash(self, values: dict[str, str], bench: Bench) -> None:
        for n, command in enumerate(self.commands, 1):
            bench.tell(f"flash: {n} of {len(self.commands)}: {command[0]}")
            commands.run(command, self.limit_s, values)
        if self.read_back:
            digest_in(commands.run(self.read_back, self.limit_s, values), values["sha256"], self.read_back[0])
