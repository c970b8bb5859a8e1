"""The user-space CAN hub: named buses over a stream socket, for any process, without root and without a kernel module.

Protocol 1. A client connects, sends one JSON line {"shipei_hub": 1, "bus": NAME, "listen": bool, "echo": bool} and gets one
back ({"shipei_hub": 1} or {"error": TEXT}). From then on both sides send 80-byte records, rows of harness.can.trace: i64 time_ns,
u32 id, u16 flags, u8 channel, u8 length, 64 bytes of data, little-endian. The hub writes its CLOCK_MONOTONIC stamp into each
and passes it on to all other listeners of the bus; with `echo` the sender gets it back, flagged TX. A record flagged SYNC
comes back to its sender alone, in order: every frame stamped before it has been passed on before it.

A frame is never lost silently: a listener that does not read is sent a record flagged OVERRUN and is disconnected.
"""

import json
import os
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np

from adapters._process.subprocesses import end, start_module
from harness.can.trace import PACK, ROW
from harness.errors import RigError, given
from harness.model import noun
from harness.ports import TX, Bench
from harness.processes import die_with_parent

PROTOCOL = 1
SYNC, OVERRUN = 0x8000, 0x4000
MAX_HELLO = 1024
READ_BYTES = ROW.itemsize * 4096
MAX_QUEUED = 64_000_000
BUFFER = 4_000_000


class Client:
    """One connection: what it has sent but not completed, and what it has yet to be sent."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.hello = b""
        self.bus: str | None = None
        self.listen = self.echo = self.behind = False
        self.partial = b""
        self.queue: deque[memoryview] = deque()
        self.queued = 0


class Server:
    """All clients of all buses, in one thread: what order it passes frames on in, everyone sees."""

    def __init__(self, path: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        os.chmod(path, 0o600)
        self.socket.listen(64)
        self.socket.setblocking(False)
        self.selector.register(self.socket, selectors.EVENT_READ, None)
        self.clients: dict[str, list[Client]] = {}
        self.last_ns = 0

    def serve(self) -> None:
        while True:
            for key, events in self.selector.select():
                if key.data is None:
                    self.accept()
                    continue
                client: Client = key.data
                if events & selectors.EVENT_WRITE:
                    self.flush(client)
                if events & selectors.EVENT_READ:
                    self.read(client)

    def accept(self) -> None:
        connection, _ = self.socket.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.selector.register(connection, selectors.EVENT_READ, Client(connection))

    def read(self, client: Client) -> None:
        try:
            chunk = client.connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.drop(client)
        elif client.bus is None:
            self.greet(client, chunk)
        else:
            self.records(client, chunk)

    def greet(self, client: Client, chunk: bytes) -> None:
        client.hello += chunk
        line, newline, rest = client.hello.partition(b"\n")
        if not newline:
            if len(client.hello) > MAX_HELLO:
                self.drop(client)
            return
        try:
            hello = json.loads(line)
            if hello["shipei_hub"] != PROTOCOL:
                raise ValueError(f"this hub speaks protocol {PROTOCOL}")
            client.bus = str(hello["bus"])
            client.listen, client.echo = bool(hello.get("listen", True)), bool(hello.get("echo", False))
        except (ValueError, KeyError, TypeError) as error:
            self.put(client, memoryview(json.dumps({"error": str(error)}).encode() + b"\n"))
            self.drop(client)
            return
        self.clients.setdefault(client.bus, []).append(client)
        self.put(client, memoryview(json.dumps({"shipei_hub": PROTOCOL}).encode() + b"\n"))
        if rest:
            self.records(client, rest)

    def records(self, client: Client, chunk: bytes) -> None:
        """Stamp whole records and pass them on, a block at a time."""
        data = client.partial + chunk if client.partial else chunk
        whole = len(data) // ROW.itemsize * ROW.itemsize
        client.partial = data[whole:]
        if whole == ROW.itemsize:
            self.single(client, data)
        elif whole:
            self.block(client, data, whole)

    def single(self, client: Client, data: bytes) -> None:
        """One record: what most chunks are on a quiet bus, without the cost of columns."""
        _, identifier, flags, channel, length, payload = PACK.unpack_from(data)
        self.last_ns = max(time.monotonic_ns(), self.last_ns + 1)
        if length > 64:
            self.drop(client)
            return
        if not flags & SYNC:
            record = memoryview(PACK.pack(self.last_ns, identifier, flags & ~TX, channel, length, payload))
            for other in self.clients[client.bus or ""].copy():
                if other is not client and other.listen:
                    self.put(other, record)
        if client.echo or flags & SYNC:
            self.put(client, memoryview(PACK.pack(self.last_ns, identifier, flags | TX, channel, length, payload)))

    def block(self, client: Client, data: bytes, whole: int) -> None:
        """Many records at once, as columns."""
        rows = np.frombuffer(bytearray(data[:whole]), ROW)
        now_ns = max(time.monotonic_ns(), self.last_ns + 1)
        rows["time_ns"] = np.arange(now_ns, now_ns + len(rows))
        self.last_ns = now_ns + len(rows) - 1
        syncs = rows["flags"] & SYNC != 0
        frames = rows[~syncs] if syncs.any() else rows
        if (frames["length"] > 64).any():
            self.drop(client)
            return
        if len(frames):
            frames["flags"] &= ~np.uint16(TX)
            block = memoryview(frames.tobytes())
            for other in self.clients[client.bus or ""].copy():
                if other is not client and other.listen:
                    self.put(other, block)
        if client.echo or syncs.any():
            rows["flags"] |= np.uint16(TX)
            self.put(client, memoryview((rows if client.echo else rows[syncs]).tobytes()))

    def put(self, client: Client, block: memoryview) -> None:
        """Queue for a client and send what can be sent now."""
        if client.queued + len(block) > MAX_QUEUED:
            lost = np.zeros(1, ROW)
            lost["flags"] = OVERRUN
            client.queue.append(memoryview(lost.tobytes()))
            self.flush(client)
            self.drop(client)
            return
        client.queue.append(block)
        client.queued += len(block)
        if len(client.queue) == 1:
            self.flush(client)

    def flush(self, client: Client) -> None:
        try:
            while client.queue:
                sent = client.connection.send(client.queue[0])
                client.queued -= sent
                if sent < len(client.queue[0]):
                    client.queue[0] = client.queue[0][sent:]
                    break
                client.queue.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.drop(client)
            return
        if bool(client.queue) is not client.behind:
            client.behind = bool(client.queue)
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.behind else 0)
            self.selector.modify(client.connection, wanted, client)

    def drop(self, client: Client) -> None:
        if client in self.clients.get(client.bus or "", []):
            self.clients[client.bus or ""].remove(client)
        if client.connection.fileno() >= 0:
            self.selector.unregister(client.connection)
            client.connection.close()


def main(path: str) -> None:
    """A hub on a unix socket, until its parent dies or it is told to end."""
    die_with_parent()
    server = Server(path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve()


class RunningHub:
    """A hub process and its socket."""

    uncertainty_ns = 0

    def __init__(self, path: Path) -> None:
        self.path = path


@noun
class Hub:
    """A hub in a process of its own, for the buses that name this port in `on`."""

    opens: ClassVar[tuple[str, ...]] = ("hub",)
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[RunningHub]:
        with running(bench.work / f"{name}.sock") as hub:
            yield hub


@contextmanager
def running(path: Path) -> Iterator[RunningHub]:
    """Start a hub on a socket path; end it afterwards. Raises RigError when it does not start or ended by itself."""
    if len(str(path).encode()) > 100:
        raise RigError(f"{path}: too long for a unix socket; choose a shorter TMPDIR")
    process = start_module("adapters.hub", str(path))
    if given(process.stdout).readline() != b"ready\n":
        end(process)
        raise RigError(f"the hub did not start on {path}")
    try:
        yield RunningHub(path)
        if process.poll() is not None:
            raise RigError(f"the hub ended with code {process.returncode} during the run")
    finally:
        end(process)
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1])
