"""A laboratory supply that speaks SCPI on TCP: one output, read-back, a current limit, an error queue; it can lie."""

import asyncio
from collections.abc import Callable

LEAST_V = 8.0  # below this, the board browns out
DRAWS_A = 0.45


class Supply:
    """`switched` is called with whether the board has power now."""

    def __init__(self, switched: Callable[[bool], None]) -> None:
        self.switched = switched
        self.volts, self.amps, self.on = 0.0, 1.0, False
        self.lies = self.shorted = self.deaf = False
        self.errors: list[str] = []
        self.said: list[str] = []  # what it was told, for tests
        self.writers: set[asyncio.StreamWriter] = set()

    # ------------------------------------------------------------ the output

    def feed(self) -> None:
        self.switched(self.on and not self.lies and not self.shorted and self.volts >= LEAST_V)

    def trip(self) -> None:
        """Protection: the output goes off by itself."""
        self.on = False
        self.feed()

    def measured(self) -> tuple[float, float]:
        if not self.on:
            return 0.0, 0.0
        return (0.4, self.amps) if self.shorted else (self.volts, 0.0 if self.lies else DRAWS_A)

    # ------------------------------------------------------------ the line

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while line := await reader.readline():
                for command in line.decode("ascii", "replace").strip().split(";"):
                    answer = self.command(command.strip())
                    if answer is not None and not self.deaf:
                        writer.write(answer.encode() + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """The network cable is out."""
        for writer in list(self.writers):
            writer.transport.abort()

    def command(self, text: str) -> str | None:
        head, _, value = text.partition(" ")
        self.said.append(text)
        volts, amps = self.measured()
        answers = {
            "*IDN?": "Shipei,Desk Supply,0001,1.0",
            "OUTP?": str(int(self.on)),
            "MEAS:VOLT?": f"{volts:.3f}",
            "MEAS:CURR?": f"{amps:.3f}",
            "VOLT?": f"{self.volts:g}",
            "SYST:ERR?": self.errors.pop(0) if head == "SYST:ERR?" and self.errors else '0,"No error"',
        }
        if text in answers:
            return answers[text]
        if head in ("VOLT", "CURR"):
            self.set(head, value)
        elif text in ("OUTP ON", "OUTP OFF", "OUTP 1", "OUTP 0"):
            self.on = text in ("OUTP ON", "OUTP 1")
            self.feed()
        elif text.startswith("INST:NSEL"):
            if value != "1":
                self.errors.append('-222,"Data out of range"')
        elif text:
            self.errors.append('-113,"Undefined header"')
        return None

    def set(self, what: str, value: str) -> None:
        try:
            number = float(value)
        except ValueError:
            self.errors.append('-104,"Data type error"')
            return
        if not 0 <= number <= (32 if what == "VOLT" else 3):
            self.errors.append('-222,"Data out of range"')
        elif what == "VOLT":
            self.volts = number
            self.feed()
        else:
            self.amps = number
