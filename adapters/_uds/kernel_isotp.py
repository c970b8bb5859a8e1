"""Diagnostics over the kernel's own ISO-TP (can-isotp). Its timing still comes from the trace of the bus."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import isotp

from adapters._uds.answer import final
from harness.can.trace import Rows, show
from harness.errors import DeviceError, RigError
from harness.model import DiagnosticsInterface
from harness.ports import TX, Answer

SETTLE_NS = 500_000_000  # until a frame that the kernel has handled is in the trace


def address(where: DiagnosticsInterface) -> isotp.Address:
    """The addressing of ISO 15765-2, 10.3."""
    wide = "29bits" if where.extended else "11bits"
    ids: dict[str, Any] = {"txid": where.request, "rxid": where.response}
    if where.addressing == "extended":
        ids |= {"target_address": where.target, "source_address": where.source}
        return isotp.Address(getattr(isotp.AddressingMode, f"Extended_{wide}"), **ids)
    if where.addressing == "mixed":
        return isotp.Address(isotp.AddressingMode.Mixed_11bits, address_extension=where.target, **ids)
    return isotp.Address(getattr(isotp.AddressingMode, f"Normal_{wide}"), **ids)


def heard(rows: Rows, where: DiagnosticsInterface) -> str:
    """The frames of a dialogue, for messages."""
    return show(rows[(rows["id"] == where.request) | (rows["id"] == where.response)]) or "nothing"


class KernelUds:
    """The diagnostic server of the item, asked one request at a time."""

    def __init__(self, link: isotp.socket, bus: Any, where: DiagnosticsInterface) -> None:
        self.link, self.bus, self.where = link, bus, where
        self.uncertainty_ns: int = bus.uncertainty_ns
        self.prefix = 0 if where.addressing == "normal" else 1

    def ask(self, request: bytes, *, within_s: float) -> Answer:
        first = len(self.bus.rows())
        self.empty()
        self.link._socket.settimeout(within_s)
        pending = 0
        try:
            self.link.send(request)
            answer, pending = final(self.link.recv)
        except (
            OSError
        ) as error:  # the kernel's: nobody lets us go on (ECOMM), a wrong sequence number (EILSEQ), time is over
            answer, why = None, f": {error}"
        else:
            why = ""
        if not answer:
            said = heard(self.bus.rows(first), self.where)
            raise DeviceError(f"{request.hex(' ')}: no answer within {within_s:g} s{why}; heard {said}")
        asked_ns, answered_ns = self.stamps(first, 1 + pending)
        return Answer(asked_ns=asked_ns, time_ns=answered_ns, data=bytes(answer), pending=pending)

    def stamps(self, first: int, answers: int) -> tuple[int, int]:
        """Of the request's first frame, and of the first frame of the last of so many answers."""
        until_ns = self.bus.now_ns() + SETTLE_NS
        while True:
            rows = self.bus.rows(first)
            asked = rows[(rows["id"] == self.where.request) & (rows["flags"] & TX != 0)]
            back = rows[(rows["id"] == self.where.response) & (rows["flags"] & TX == 0)]
            begins = back[back["data"][:, self.prefix] >> 4 <= 1]
            if len(asked) and len(begins) >= answers:
                return int(asked["time_ns"][0]), int(begins["time_ns"][answers - 1])
            if self.bus.now_ns() >= until_ns:
                raise RigError(f"the trace of bus {self.where.bus} has no frames of a dialogue that took place")
            self.bus.wait(first + len(rows), until_ns, [self.where.request, self.where.response])

    def empty(self) -> None:
        """What came too late is not an answer to what is asked next."""
        self.link._socket.settimeout(0.0)
        try:
            while self.link.recv():
                pass
        except OSError:
            return


@contextmanager
def opened(name: str, bus: Any, where: DiagnosticsInterface) -> Iterator[KernelUds]:
    """A socket of the kernel's on the bus's channel. Raises RigError where there is none."""
    channel = getattr(bus, "channel", "")
    if not channel:
        raise RigError(f"port {name}: `kernel: true` needs a SocketCAN bus, and {where.bus} is none")
    try:
        link = isotp.socket()
        link.set_opts(txpad=where.padding)
        if where.fd:
            link.set_ll_opts(mtu=72, tx_dl=64)
        link.bind(channel, address(where))
    except (OSError, AttributeError, NotImplementedError) as error:
        raise RigError(f"port {name}: this kernel has no ISO-TP (modprobe can-isotp): {error}") from error
    bus.also_ours(where.request)
    try:
        yield KernelUds(link, bus, where)
    finally:
        link.close()
