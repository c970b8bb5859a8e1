"""A supply that a person switches: the bench asks at the terminal, and waits for Enter."""

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from adapters._power.switching import timed
from harness.errors import RigError
from harness.model import noun
from harness.ports import Bench


class Person:
    """Asks whoever sits at the bench. A moment that a person confirms is uncertain by how long they took."""

    def __init__(self, recipe: "ManualPower") -> None:
        self.recipe, self.powered = recipe, False
        self.uncertainty_ns = 0

    def on(self) -> int:
        return self.turn(True)

    def off(self) -> int:
        return self.turn(False)

    def turn(self, on: bool) -> int:
        if on is self.powered:
            return time.monotonic_ns()
        text = f"Switch the supply of {self.recipe.what} {'ON' if on else 'OFF'}, then press Enter"
        at_ns = timed(self, lambda: ask(text, self.recipe))
        self.powered = on
        return at_ns

    def check(self) -> None:
        """Nobody to ask."""


def ask(text: str, recipe: "ManualPower") -> None:
    """Raises RigError when there is no terminal, or nobody at it within the limit."""
    try:
        terminal = os.open(recipe.terminal, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise RigError(
            f"{text}: there is no terminal to ask at ({error.strerror}); run it where a person sits"
        ) from error
    try:
        os.write(terminal, f"\r\n>>> {text} ({recipe.limit_s:g} s): ".encode())
        if not select.select([terminal], [], [], recipe.limit_s)[0]:
            raise RigError(f"{text}: nobody did within {recipe.limit_s:g} s")
        os.read(terminal, 1024)
    finally:
        os.close(terminal)


@noun
class ManualPower:
    """A person at the terminal switches. It cannot be made safe without them, and says so."""

    what: str = "the device"
    limit_s: float = 120.0
    terminal: str = "/dev/tty"
    opens: ClassVar[tuple[str, ...]] = ("power",)
    virtual: ClassVar[bool] = False

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Person]:
        person = Person(self)
        person.powered = True
        person.off()
        try:
            yield person
        finally:
            person.off()

    def make_safe(self, work: Path) -> str:
        return f"a person must switch {self.what} off"
