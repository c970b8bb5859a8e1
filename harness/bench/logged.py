"""A port whose calls are written down, so that they can be replayed."""

from collections.abc import Callable

from harness.ports import Hosted, Power


class LoggedPower:
    """The supply; every switching is written down with the clock's reading, so that it can be replayed."""

    def __init__(self, power: Power, write: Callable[..., None]) -> None:
        self.power, self.write, self.uncertainty_ns = power, write, power.uncertainty_ns

    def on(self) -> int:
        return self.logged("on", self.power.on())

    def off(self) -> int:
        return self.logged("off", self.power.off())

    def check(self) -> None:
        self.power.check()

    def stall_ns(self) -> int:
        return self.power.stall_ns() if isinstance(self.power, Hosted) else 0

    def logged(self, call: str, time_ns: int) -> int:
        self.write("called", port="power", call=call, time_ns=time_ns)
        return time_ns
