"""A device that is held in reset by a modem line of its console: DTR or RTS, where it is wired so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

from adapters._power.switching import timed
from adapters._process.words import serial_trouble
from adapters.console_serial import FAILURES, SerialPort
from harness.errors import RigError
from harness.model import noun
from harness.ports import Bench, StandsOn


class ResetLine:
    """Off holds the device in reset, on lets it go."""

    def __init__(self, console: SerialPort, recipe: "LineReset") -> None:
        self.console, self.recipe = console, recipe
        self.uncertainty_ns = 1_000_000

    def on(self) -> int:
        return self.turn(True)

    def off(self) -> int:
        return self.turn(False)

    def turn(self, on: bool) -> int:
        try:
            return timed(self, lambda: setattr(self.console.serial, self.recipe.line, on is self.recipe.inverted))
        except FAILURES as error:
            raise RigError(serial_trouble(f"does not switch {self.recipe.line}", self.console.url, error)) from error

    def check(self) -> None:
        """A line has no read-back; a console that is gone tells itself."""


@noun
class LineReset:
    """`line` of the console port named in `on` is active while the device is held in reset; `inverted`: inactive."""

    on: str = "console"
    line: Literal["dtr", "rts"] = "rts"
    inverted: bool = False
    opens: ClassVar[tuple[str, ...]] = ("power",)
    virtual: ClassVar[bool] = False

    def stands_on(self) -> StandsOn:
        return {"on": ("line",)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[ResetLine]:
        reset = ResetLine(bench.ports[self.on], self)
        reset.off()
        try:
            yield reset
        finally:
            reset.off()
