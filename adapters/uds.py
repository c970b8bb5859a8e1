"""Diagnostics over a CAN bus of the rig: udsoncan's client on can-isotp's transport, its frames through our port."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import isotp
from udsoncan.connections import BaseConnection
from udsoncan.exceptions import TimeoutException

from adapters._uds import kernel_isotp
from adapters._uds.answer import final
from harness.errors import DeviceError, RigError
from harness.model import DiagnosticsInterface, noun
from harness.ports import BRS, EXT, FD, TX, Answer, Bench, CanBus, Diagnostics, Frame

SLICE_NS = 20_000_000  # how long it waits for a frame before it lets the transport look at its own timers
SENDING_S = 30.0  # at most, for one request


class IsoTp(BaseConnection):
    """A udsoncan connection (ISO 15765-2). Its waiting is on the bus's clock, so it works at any speed of time."""

    def __init__(self, bus: CanBus, where: DiagnosticsInterface) -> None:
        super().__init__("shipei")
        self.bus, self.where = bus, where
        self.row = len(bus.rows())
        self.waiting: list[Any] = []
        self.asked_ns: int | None = None
        self.answered_ns = 0
        self.broken = ""
        flags = {"can_fd": where.fd, "bitrate_switch": where.fd, "tx_data_length": 64 if where.fd else 8}
        params = {
            **flags,
            "tx_padding": where.padding,
            "tx_data_min_length": 8,
            "blocksize": 0,
            "max_frame_size": 65_535,
        }
        self.layer = isotp.TransportLayerLogic(
            rxfn=self.frame, txfn=self.put, address=kernel_isotp.address(where), error_handler=self.note, params=params
        )

    def open(self) -> "IsoTp":
        return self

    def close(self) -> None:
        self.layer.reset()

    def is_open(self) -> bool:
        return True

    def note(self, error: Exception) -> None:
        self.broken = str(error)

    # ------------------------------------------------------------ frames

    def put(self, message: Any) -> None:
        flags = (EXT if message.is_extended_id else 0) | ((FD | BRS) if message.is_fd else 0)
        self.bus.send(Frame(id=message.arbitration_id, flags=flags, data=bytes(message.data)))

    def frame(self, timeout: float) -> Any:
        """The device's next frame, if there is one; called by the transport."""
        if not self.waiting:
            rows = self.bus.rows(self.row)
            self.row += len(rows)
            self.note_request(rows)
            self.waiting = list(rows[(rows["id"] == self.where.response) & (rows["flags"] & TX == 0)])
        if not self.waiting:
            return None
        row = self.waiting.pop(0)
        data = row["data"][: int(row["length"])].tobytes()
        if data[self.prefix :] and data[self.prefix] >> 4 <= 1:  # a single or first frame: an answer begins
            self.answered_ns = int(row["time_ns"])
        flags = int(row["flags"])
        return isotp.CanMessage(self.where.response, data=data, extended_id=bool(flags & EXT), is_fd=bool(flags & FD))

    @property
    def prefix(self) -> int:
        return 0 if self.where.addressing == "normal" else 1

    def note_request(self, rows: Any) -> None:
        if self.asked_ns is None:
            ours = rows[(rows["id"] == self.where.request) & (rows["flags"] & TX != 0)]
            self.asked_ns = int(ours["time_ns"][0]) if len(ours) else None

    def pump(self, until_ns: int, done: Any) -> bool:
        """Let the transport work until `done()` or the deadline."""
        while True:
            self.layer.process()
            if done():
                return True
            if self.waiting:
                continue
            now_ns = self.bus.now_ns()
            if now_ns >= until_ns:
                return False
            pause_ns = (
                round((self.layer.next_cf_delay() or 0.0) * 1e9) if self.layer.is_tx_transmitting_cf() else SLICE_NS
            )
            self.bus.wait(self.row, min(until_ns, now_ns + max(pause_ns, 1)), [self.where.response])

    # ------------------------------------------------------------ what udsoncan asks of a connection

    def specific_send(self, payload: bytes, timeout: float | None = None) -> None:
        self.broken, self.asked_ns = "", None
        self.layer.send(payload)
        until_ns = self.bus.now_ns() + round((timeout or SENDING_S) * 1e9)
        if not self.pump(until_ns, lambda: not self.layer.transmitting()) or self.broken:
            self.layer.stop_sending()
            raise TimeoutException(f"the request could not be sent: {self.broken or 'nobody lets us go on'}")

    def specific_wait_frame(self, timeout: float | None = None) -> bytes:
        until_ns = self.bus.now_ns() + round((timeout or 0.0) * 1e9)
        if not self.pump(until_ns, self.layer.available):
            raise TimeoutException(
                f"no answer from {self.where.response:#x} within {timeout:g} s {self.broken}".rstrip()
            )
        return bytes(self.layer.recv() or b"")

    def empty_rxqueue(self) -> None:
        self.row = len(self.bus.rows())
        self.waiting.clear()
        self.layer.clear_rx_queue()
        self.layer.stop_receiving()


class UdsPort:
    """The diagnostic server of the item, asked one request at a time."""

    def __init__(self, link: IsoTp, uncertainty_ns: int) -> None:
        self.link, self.uncertainty_ns = link, uncertainty_ns

    def ask(self, request: bytes, *, within_s: float) -> Answer:
        first = len(self.link.bus.rows())
        self.link.empty_rxqueue()
        try:
            self.link.specific_send(request, within_s)
            answer, pending = final(lambda: self.link.specific_wait_frame(within_s))
        except TimeoutException as error:
            heard = kernel_isotp.heard(self.link.bus.rows(first), self.link.where)
            raise DeviceError(f"{request.hex(' ')}: {error}; heard {heard}") from error
        return Answer(
            asked_ns=self.link.asked_ns or 0, time_ns=self.link.answered_ns, data=answer or b"", pending=pending
        )


@noun
class UdsOverCan:
    """The device's diagnostics on the bus, and with the identifiers, that its submission says.

    `kernel`: the kernel's own ISO-TP (can-isotp), on a SocketCAN bus.
    """

    kernel: bool = False
    opens: ClassVar[tuple[str, ...]] = ("diagnostics", "link")
    virtual: ClassVar[bool] = False

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Diagnostics]:
        where = bench.item.interface.diagnostics
        if where is None:
            raise RigError(f"port {name}: the submission says nothing of diagnostics (interface.diagnostics)")
        bus = bench.ports.get(where.bus)
        if bus is None:
            raise RigError(
                f"port {name}: the submission's diagnostics are on bus {where.bus!r}; put that port above it"
            )
        if self.kernel:
            with kernel_isotp.opened(name, bus, where) as port:
                yield port
        else:
            yield UdsPort(IsoTp(bus, where), bus.uncertainty_ns)
