"""Diagnostics over Ethernet (ISO 13400-2, DoIP): doipclient's connection, one request at a time."""

import importlib.util
import ipaddress
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar

from adapters._uds.answer import final
from harness.errors import DeviceError, RigError, given
from harness.model import noun
from harness.ports import Answer, Bench, Diagnostics

if TYPE_CHECKING:
    from doipclient import DoIPClient

CONNECT_S = 2.0  # A_DoIP_Ctrl: until an entity that is there has taken the connection
ACTIVATED = 0x10  # the routing activation response that says so (ISO 13400-2, 7.1.5)
UNCERTAINTY_NS = 20_000_000  # stamps are of this host, where the bytes pass its socket


class DoipPort:
    """A connection that is made when it is needed, and made again when the device has closed it: a reset does."""

    uncertainty_ns = UNCERTAINTY_NS

    def __init__(self, where: "UdsOverDoip") -> None:
        self.where = where
        self.client: DoIPClient | None = None

    def ask(self, request: bytes, *, within_s: float) -> Answer:
        until_s = time.monotonic() + within_s
        try:
            asked_ns = self.send(request, until_s)
            answer, pending = final(lambda: self.receive(within_s))
        except OSError as error:
            self.close()
            raise DeviceError(
                f"{request.hex(' ')}: no answer from {self.where.said} within {within_s:g} s: {error or type(error).__name__}"
            ) from error
        return Answer(asked_ns=asked_ns, time_ns=time.monotonic_ns(), data=answer or b"", pending=pending)

    def send(self, request: bytes, until_s: float) -> int:
        """Once more on a new connection, where the old one turns out to be gone; when it was sent."""
        if self.client is not None:
            with suppress(OSError):
                return self.put(self.client, request, until_s)
            self.close()
        self.client = self.connected(until_s)
        return self.put(self.client, request, until_s)

    def put(self, client: "DoIPClient", request: bytes, until_s: float) -> int:
        client.empty_rxqueue()
        asked_ns = time.monotonic_ns()
        client.send_diagnostic(bytearray(request), timeout=left_s(until_s))
        return asked_ns

    def receive(self, within_s: float) -> bytes:
        return bytes(given(self.client).receive_diagnostic(timeout=within_s))

    def connected(self, until_s: float) -> "DoIPClient":
        """A connection with its routing activated. Raises OSError when nobody takes it, or it is refused."""
        from doipclient import DoIPClient

        where = self.where
        socket.create_connection((where.address, where.port), timeout=min(CONNECT_S, left_s(until_s))).close()
        client = DoIPClient(
            where.address,
            where.target,
            tcp_port=where.port,
            client_logical_address=where.source,
            activation_type=None,
            protocol_version=where.version,
        )
        try:
            code = client.request_activation(where.activation, disable_retry=True).response_code
            if code != ACTIVATED:
                raise ConnectionRefusedError(f"it refuses to activate routing, with code {code:#04x}")
        except OSError:
            client.close()
            raise
        return client

    def close(self) -> None:
        if self.client is not None:
            with suppress(OSError):
                self.client.close()
            self.client = None


def left_s(until_s: float) -> float:
    """What is left of a limit; doipclient takes 0 for no limit."""
    return max(0.001, until_s - time.monotonic())


@noun
class UdsOverDoip:
    """The device's diagnostics at an IP address of the bench: `target` is its logical address, `source` the tester's.

    `activation`: the type of routing activation; `version`: of the protocol (ISO 13400-2:2012 is 2, :2019 is 3).
    """

    address: str
    target: int
    source: int = 0x0E00
    port: int = 13400
    activation: int = 0
    version: int = 2
    virtual: ClassVar[bool] = False

    @property
    def said(self) -> str:
        return f"{self.target:#06x} at {self.address} port {self.port}"

    opens: ClassVar[tuple[str, ...]] = ("diagnostics", "link")

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Diagnostics]:
        if importlib.util.find_spec("doipclient") is None:
            raise RigError(f"port {name}: DoIP needs doipclient: pip install 'shipei[doip]'")
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise RigError(f"port {name}: address should be an IPv4 or IPv6 address, not {self.address!r}") from None
        port = DoipPort(self)
        try:
            yield port
        finally:
            port.close()
