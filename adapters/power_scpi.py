"""A laboratory supply that speaks SCPI: on and off, voltage and current limit, and what it reads at its output."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from adapters._power.scpi import Instrument, connected
from adapters._power.switching import timed
from harness.errors import RigError
from harness.model import noun
from harness.ports import Bench

READ_S = 0.02  # between two readings while the output moves
DEAD_V = 1.0  # below this, nothing has a supply


class Output:
    """One output of a supply. What it is told, it must read back; what it loses, `check` finds."""

    def __init__(self, instrument: Instrument, recipe: "ScpiSupply") -> None:
        self.instrument, self.recipe = instrument, recipe
        self.volts, self.powered = recipe.volts, False
        self.uncertainty_ns = 0
        self.about = ""

    def on(self) -> int:
        """Switch on and see the voltage come; the moment of the switching, within `uncertainty_ns`."""
        if self.powered:
            return time.monotonic_ns()
        at_ns = self.switch(True)
        self.settle(self.volts - self.recipe.tolerance_v, self.volts + self.recipe.tolerance_v)
        return at_ns

    def off(self) -> int:
        if not self.powered:
            return time.monotonic_ns()
        at_ns = self.switch(False)
        self.settle(float("-inf"), DEAD_V)
        return at_ns

    def set(self, volts: float) -> None:
        self.select()
        self.volts = volts
        self.instrument.tell(f"VOLT {volts:g}")
        self.refused(f"VOLT {volts:g}")
        if self.powered:
            self.settle(volts - self.recipe.tolerance_v, volts + self.recipe.tolerance_v)

    def read(self) -> tuple[float, float]:
        self.select()
        return self.instrument.number("MEAS:VOLT?"), self.instrument.number("MEAS:CURR?")

    def profile(self, points: Sequence[tuple[float, float]]) -> None:
        """Voltages over time: (seconds from now, V), in order; each is set when it is due. For slow curves, not for pulses."""
        start = time.monotonic()
        for at_s, volts in points:
            time.sleep(max(0.0, start + at_s - time.monotonic()))
            self.volts = volts
            self.instrument.tell(f"VOLT {volts:g}")
        self.refused("the voltage profile")

    def check(self) -> None:
        """Raises RigError when the output is not as it was left."""
        volts, amps = self.read()
        said_on = self.instrument.ask("OUTP?") in ("1", "ON")
        low, high = self.volts - self.recipe.tolerance_v, self.volts + self.recipe.tolerance_v
        if said_on != self.powered or (self.powered and not low <= volts <= high):
            state = "on" if self.powered else "off"
            raise RigError(
                f"the supply {self.instrument.resource} should be {state} with {self.volts:g} V, and reads"
                f" {volts:.2f} V, {amps:.2f} A, output {'on' if said_on else 'off'}: who switched it, or is it in current limit?"
            )

    # ------------------------------------------------------------ inside

    def prepare(self) -> None:
        """Voltage and current limit, with the output off."""
        self.about = self.instrument.ask("*IDN?")
        self.select()
        self.instrument.tell("OUTP OFF")
        for command in (f"VOLT {self.recipe.volts:g}", f"CURR {self.recipe.amps:g}"):
            self.instrument.tell(command)
            self.refused(command)
        self.settle(float("-inf"), DEAD_V)

    def select(self) -> None:
        if self.recipe.channel is not None:
            self.instrument.tell(f"INST:NSEL {self.recipe.channel}")

    def refused(self, command: str) -> None:
        complaint = self.instrument.complaint()
        if complaint:
            raise RigError(f"the supply {self.instrument.resource} refuses {command}: {complaint}")

    def switch(self, on: bool) -> int:
        self.select()
        said = ""

        def turn() -> None:
            nonlocal said
            self.instrument.tell(f"OUTP {'ON' if on else 'OFF'}")
            said = self.instrument.ask("OUTP?")

        at_ns = timed(self, turn)
        if (said in ("1", "ON")) is not on:
            raise RigError(
                f"the supply {self.instrument.resource} says its output is {said!r} after OUTP {'ON' if on else 'OFF'}:"
                " is it locked, in protection, or driven by somebody else?"
            )
        self.powered = on
        return at_ns

    def settle(self, low: float, high: float) -> None:
        deadline = time.monotonic() + self.recipe.settle_s
        while True:
            volts = self.instrument.number("MEAS:VOLT?")
            if low <= volts <= high:
                return
            if time.monotonic() > deadline:
                amps = self.instrument.number("MEAS:CURR?")
                limit = " (in current limit: a short circuit, or `amps` is too low)" if amps >= self.recipe.amps else ""
                raise RigError(
                    f"the supply {self.instrument.resource} reads {volts:.2f} V and {amps:.2f} A{limit} after"
                    f" {self.recipe.settle_s:g} s, {self.volts if self.powered else 0:g} V are wanted: check wiring and load"
                )
            time.sleep(READ_S)


@noun
class ScpiSupply:
    """A supply's output; `safe` is the state in which it is left, whatever happens. `amps` is its current limit."""

    resource: str
    channel: int | None = None
    volts: float = 12.0
    amps: float = 2.0
    tolerance_v: float = 0.3
    settle_s: float = 3.0
    baudrate: int = 9600
    safe: Literal["off", "on"] = "off"
    opens: ClassVar[tuple[str, ...]] = ("power",)
    virtual: ClassVar[bool] = False

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Output]:
        with connected(self.resource, baudrate=self.baudrate) as instrument:
            output = Output(instrument, self)
            output.prepare()
            try:
                yield output
            finally:
                self.leave(output)

    def leave(self, output: Output) -> None:
        output.powered = self.safe == "off"  # whatever it thinks: switch and read back
        if self.safe == "off":
            output.off()
        else:
            output.set(self.volts)
            output.on()

    def make_safe(self, work: Path) -> str:
        with connected(self.resource, baudrate=self.baudrate) as instrument:
            self.leave(Output(instrument, self))
        return f"{self.resource}: output {self.safe}, read back"
