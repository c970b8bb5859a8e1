"""What every way to flash has in common: attempts with a power cycle before each, and a mark that outlives an interrupted one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from harness.errors import RigError
from harness.ports import Arrival, Bench


class Step(Exception):
    """A step of an attempt did not succeed; another attempt may."""


class Flashed:
    """An image that is on the target, and how it got there."""

    uncertainty_ns = 0

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival


def image_of(bench: Bench) -> tuple[bytes, str]:
    """The image that is submitted, and its SHA-256."""
    image = Path(bench.item.files["application"]).read_bytes()
    return image, hashlib.sha256(image).hexdigest()


def until_flashed(name: str, bench: Bench, power: str | None, attempts: int, attempt: Callable[[], None]) -> int:
    """Attempt until it succeeds, at most so many times; how many it took. The supply, if there is one, is off afterwards.

    Raises RigError, with what each attempt came to, when none succeeds: then a person must look.
    """
    supply = bench.ports.get(power or "")
    mark, failed = bench.memory / f"{name}-interrupted.json", list[str]()
    if mark.is_file():
        bench.tell(f"flash: the last flashing did not end ({mark.read_text(encoding='utf-8').strip()}); starting again")
    mark.write_text(json.dumps({"sha256": image_of(bench)[1]}) + "\n", encoding="utf-8")
    while len(failed) < attempts:
        if supply is not None:
            supply.off()
            supply.on()
        try:
            attempt()
        except Step as error:
            failed.append(str(error))
            bench.tell(f"flash: attempt {len(failed)} failed: {error}")
            continue
        mark.unlink()
        if supply is not None:
            supply.off()
        return len(failed) + 1
    raise RigError(
        f"port {name}: the device could not be flashed in {attempts} attempts ({'; '.join(dict.fromkeys(failed))})."
        " It may be without a whole image: a person must look at the bench before the next run"
    )
