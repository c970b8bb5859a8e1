"""The hub as a python-can interface: can.Bus(interface="shipei_hub", channel=SOCKET, bus="body")."""

import json
import select
import socket
import time
from typing import Any

import can
import numpy as np

from adapters.hub import OVERRUN, PROTOCOL
from harness.can.messages import flags_of, of_row
from harness.can.trace import PACK, ROW, Rows
from harness.ports import TX

CONNECT_S = 5.0
EMPTY: Rows = np.zeros(0, ROW)


class HubBus(can.BusABC):
    """A client of the hub. Timestamps are the hub's, in seconds of CLOCK_MONOTONIC.

    :param channel: path of the hub's socket.
    :param bus: name of the bus on the hub.
    :param receive_own_messages: hear one's own frames, as sent.
    :param listen: False for a client that only sends.
    """

    def __init__(
        self,
        channel: Any = None,
        can_filters: Any = None,
        bus: str = "can",
        fd: bool = True,
        receive_own_messages: bool = False,
        listen: bool = True,
        **kwargs: Any,
    ) -> None:
        self.channel_info = f"shipei hub {channel} bus {bus}"
        self._can_protocol = can.CanProtocol.CAN_FD if fd else can.CanProtocol.CAN_20
        self._rest, self._rows, self._next = b"", EMPTY, 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(CONNECT_S)
            self._socket.connect(str(channel))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
            hello = {"shipei_hub": PROTOCOL, "bus": bus, "listen": listen, "echo": receive_own_messages}
            self._socket.sendall(json.dumps(hello).encode() + b"\n")
            answer = json.loads(self._line())
        except (OSError, ValueError) as error:
            self._socket.close()
            raise can.CanInitializationError(f"no hub on {channel}: {error}") from error
        if "error" in answer:
            self._socket.close()
            raise can.CanInitializationError(f"the hub refused: {answer['error']}")
        self._socket.settimeout(None)
        super().__init__(channel=channel, can_filters=can_filters, **kwargs)

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            chunk = self._socket.recv(1024)
            if not chunk:
                raise OSError("the hub closed the connection")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    # ------------------------------------------------------------ messages

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        data = b"" if msg.is_remote_frame else bytes(msg.data)
        length = len(data) if data else msg.dlc
        self.send_block(PACK.pack(0, msg.arbitration_id, flags_of(msg) & ~TX, 0, length, data), timeout)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._next >= len(self._rows):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._rows, self._next = self.recv_block(left), 0
            if not len(self._rows) and deadline is not None and time.monotonic() >= deadline:
                return None, False
        row = self._rows[self._next]
        self._next += 1
        return of_row(row), False

    # ------------------------------------------------------------ blocks, for who wants columns

    def send_block(self, records: bytes, timeout: float | None = None) -> None:
        """Whole 80-byte records at once; blocks while the hub's buffers are full."""
        try:
            if timeout is not None and not select.select([], [self._socket], [], timeout)[1]:
                raise can.CanTimeoutError(f"the hub did not take the frame within {timeout} s")
            self._socket.sendall(records)
        except OSError as error:
            raise can.CanOperationError(f"the hub is gone: {error}") from error

    def recv_block(self, timeout: float | None = None) -> Rows:
        """What has arrived, as rows of harness.can.trace (SYNC records included); empty after the timeout."""
        if timeout is not None and not select.select([self._socket], [], [], timeout)[0]:
            return EMPTY
        try:
            chunk = self._socket.recv(1 << 20)
        except OSError as error:
            raise can.CanOperationError(f"the hub is gone: {error}") from error
        if not chunk:
            raise can.CanOperationError("the hub closed the connection")
        data = self._rest + chunk if self._rest else chunk
        whole = len(data) // ROW.itemsize * ROW.itemsize
        self._rest = data[whole:]
        rows = np.frombuffer(data[:whole], ROW)
        if (rows["flags"] & OVERRUN).any():
            raise can.CanOperationError(
                "frames were lost: this client did not read fast enough, and the hub dropped it"
            )
        return rows

    def fileno(self) -> int:
        return self._socket.fileno()

    def shutdown(self) -> None:
        super().shutdown()
        self._socket.close()
