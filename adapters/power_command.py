"""A supply behind a program of the lab: a USB relay, a networked socket, a script. Argument lists, no shell."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from adapters._power.switching import timed
from adapters._process.commands import run
from harness.errors import RigError
from harness.model import noun
from harness.ports import Bench


class Switch:
    """On and off by a program each; a third, where there is one, tells how it is."""

    def __init__(self, recipe: "CommandPower") -> None:
        self.recipe, self.powered = recipe, False
        self.uncertainty_ns = 0

    def on(self) -> int:
        return self.turn(True)

    def off(self) -> int:
        return self.turn(False)

    def turn(self, on: bool) -> int:
        if on is self.powered:
            return time.monotonic_ns()
        at_ns = timed(self, lambda: run(self.recipe.on if on else self.recipe.off, self.recipe.limit_s))
        self.powered = on
        self.check()
        return at_ns

    def check(self) -> None:
        if not self.recipe.state:
            return
        said = run(self.recipe.state, self.recipe.limit_s).strip().lower()
        if said not in ("on", "off"):
            raise RigError(f"{self.recipe.state[0]} should print on or off, not {said[:80]!r}")
        if said != ("on" if self.powered else "off"):
            raise RigError(
                f"the supply should be {'on' if self.powered else 'off'}, and {self.recipe.state[0]} says {said}:"
                " who switched it?"
            )


@noun
class CommandPower:
    """Programs that switch the supply. `state`, if there is one, prints on or off."""

    on: tuple[str, ...]
    off: tuple[str, ...]
    state: tuple[str, ...] = ()
    limit_s: float = 10.0
    safe: Literal["off", "on"] = "off"
    opens: ClassVar[tuple[str, ...]] = ("power",)
    virtual: ClassVar[bool] = False

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Switch]:
        switch = Switch(self)
        switch.powered = True  # nobody knows: switch it off
        switch.off()
        try:
            yield switch
        finally:
            self.leave()

    def leave(self) -> None:
        switch = Switch(self)
        switch.powered = self.safe == "off"
        switch.turn(self.safe == "on")

    def make_safe(self, work: Path) -> str:
        self.leave()
        return f"{' '.join(self.on if self.safe == 'on' else self.off)}: done"
