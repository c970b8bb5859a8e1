"""How a CAN controller stands: active, error-passive, off; how many frames it lost; as each interface tells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import can

# linux/can/error.h: classes in the identifier of an error frame, and details in data[1]
CONTROLLER, BUS_OFF, RESTARTED = 0x04, 0x40, 0x100
OVERFLOW, PASSIVE, ACTIVE = 0x03, 0x30, 0x40
# PCANBasic.h
PCAN_OVERRUN, PCAN_QUEUE, PCAN_OFF, PCAN_PASSIVE = 0x02, 0x40, 0x10, 0x40000
STATISTICS = ("rx_dropped", "rx_over_errors", "rx_fifo_errors", "rx_missed_errors")


class Condition:
    """What is known of one controller; fed with its error frames, asked for the rest."""

    def __init__(self, bus: can.BusABC, interface: str, channel: str) -> None:
        self.bus = bus
        self.state = "active"
        self.overruns = 0
        self.read: Callable[[], None] = {"socketcan": self.of_kernel, "pcan": self.of_pcan}.get(
            interface, self.of_driver
        )
        self.folder = Path("/sys/class/net") / channel / "statistics"
        self.before = self.kernel_losses() if interface == "socketcan" else 0
        self.kernel = 0

    def error_frame(self, identifier: int, data: bytes) -> None:
        """An error frame in SocketCAN's form; other drivers send theirs without details."""
        if identifier & BUS_OFF:
            self.state = "off"
        elif identifier & RESTARTED:
            self.state = "active"
        elif identifier & CONTROLLER and len(data) > 1:
            if data[1] & PASSIVE:
                self.state = "passive"
            elif data[1] & ACTIVE:
                self.state = "active"
            self.overruns += bool(data[1] & OVERFLOW)

    @property
    def lost(self) -> int:
        return self.overruns + self.kernel

    def of_kernel(self) -> None:
        self.kernel = max(0, self.kernel_losses() - self.before)

    def kernel_losses(self) -> int:
        """What the kernel's interface has dropped since it is up."""
        total = 0
        for name in STATISTICS:
            file = self.folder / name
            total += int(file.read_text()) if file.is_file() else 0
        return total

    def of_pcan(self) -> None:
        status: Any = self.bus.status()  # type: ignore[attr-defined]
        self.state = "off" if status & PCAN_OFF else "passive" if status & PCAN_PASSIVE else "active"
        self.overruns += bool(status & (PCAN_OVERRUN | PCAN_QUEUE))

    def of_driver(self) -> None:
        try:
            self.state = {"ACTIVE": self.state, "PASSIVE": "passive", "ERROR": "off"}[self.bus.state.name]
        except NotImplementedError:
            return
