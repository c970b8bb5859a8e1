"""The desk: what is on it, how it is wired, and what somebody does to it.

Control: JSON lines on the unix socket FOLDER/control, each answered with {"ok": true} or {"error": TEXT}:
  {"do": "unplug" | "plug", "what": "can" | "console" | "supply"}     a cable
  {"do": "trip"} {"do": "short", "is": bool} {"do": "lie", "is": bool} {"do": "deaf", "is": bool}     the supply
  {"do": "flood", "bytes": N} {"do": "say", "text": T} {"do": "mute", "is": bool}      the console
  {"do": "bitrate", "rate": N}      what the board's bus runs at
  {"do": "when", "service": S, "count": N, "then": {...}}      do that at the N-th request of a diagnostic service from now on
  {"do": "state"}      how everything is
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import can
import numpy as np

from rigs.desk import rig_file
from rigs.desk.board import Board
from rigs.desk.cable import Cable
from rigs.desk.slcan import Adapter, Frame
from rigs.desk.supply import Supply

RECORD = np.dtype(
    [("time_ns", "<i8"), ("id", "<u4"), ("flags", "<u2"), ("channel", "u1"), ("length", "u1"), ("data", "u1", (64,))]
)


class Desk:
    """One board on one bus. Everything happens in one event loop."""

    def __init__(self, folder: Path, hub: Path, diagnostics: Mapping[str, Any], bitrate: int, slots: int) -> None:
        self.folder, self.name = folder, diagnostics["bus"]
        self.bus: Any = can.Bus(interface="shipei_hub", channel=str(hub), bus=diagnostics["bus"])
        self.request = diagnostics["request"]
        self.can = Cable(folder / "can", lambda data: self.adapter.heard(data))
        self.adapter = Adapter(bitrate, self.can.write, self.send)
        self.console = Cable(folder / "console", lambda data: self.board.type(data))
        self.board = Board(folder, hub, dict(diagnostics), slots, self.hear_console)
        self.supply = Supply(self.board.feed)
        self.mute = False
        self.triggers: list[dict[str, Any]] = []
        self.servers: list[asyncio.AbstractServer] = []
        self.port = 0

    async def start(self) -> None:
        """Plug everything in; FOLDER/rig.yaml is then the bench's rig file."""
        asyncio.get_running_loop().add_reader(self.bus.fileno(), self.receive)
        self.can.plug()
        self.console.plug()
        await self.plug_supply()
        control = await asyncio.start_unix_server(self.control, self.folder / "control")
        self.servers.append(control)
        rig_file.write(
            self.folder, name=self.folder.name, supply=self.port, bus=self.name, bitrate=self.adapter.bus_bitrate
        )

    async def plug_supply(self) -> None:
        server = await asyncio.start_server(self.supply.serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self.servers.insert(0, server)

    def end(self) -> None:
        self.board.feed(False)
        self.can.unplug()
        self.console.unplug()
        self.bus.shutdown()

    # ------------------------------------------------------------ the bus

    def send(self, frame: Frame) -> None:
        """From the bench's adapter to the board."""
        identifier, flags, data = frame
        record = np.zeros(1, RECORD)
        record["id"], record["flags"], record["length"] = identifier, flags, len(data)
        record["data"][0, : len(data)] = np.frombuffer(data, "u1")
        if identifier == self.request:
            self.watch(data)
        self.bus.send_block(record.tobytes(), 5.0)

    def receive(self) -> None:
        for row in self.bus.recv_block(0.0):
            self.adapter.receive((int(row["id"]), int(row["flags"]), row["data"][: row["length"]].tobytes()))

    def watch(self, data: bytes) -> None:
        """Count requests by their service, for whom something waits."""
        kind = data[0] >> 4 if data else 15
        service = data[1 + kind] if kind <= 1 and len(data) > 1 + kind else None
        for trigger in [t for t in self.triggers if t["service"] == service]:
            trigger["count"] -= 1
            if trigger["count"] <= 0:
                self.triggers.remove(trigger)
                asyncio.get_running_loop().create_task(self.do(trigger["then"]))

    def hear_console(self, data: bytes) -> None:
        if not self.mute:
            self.console.write(data)

    # ------------------------------------------------------------ what somebody does to it

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = await self.do(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        what = order["do"]
        if what in ("plug", "unplug"):
            await self.wire(order["what"], what == "plug")
        elif what == "trip":
            self.supply.trip()
        elif what in ("lie", "short", "deaf"):
            setattr(self.supply, {"lie": "lies", "short": "shorted", "deaf": "deaf"}[what], order["is"])
            self.supply.feed()
        elif what == "flood":
            asyncio.get_running_loop().create_task(self.flood(order["bytes"]))
        elif what == "say":
            self.console.write(order["text"].encode())
        elif what == "mute":
            self.mute = order["is"]
        elif what == "bitrate":
            self.adapter.bus_bitrate = order["rate"]
        elif what == "when":
            self.triggers.append(order)
        elif what != "state":
            raise ValueError(f"unknown order {what!r}")
        return {"ok": True, **self.state()}

    def state(self) -> dict[str, Any]:
        return {
            "powered": self.board.powered,
            "output": self.supply.on,
            "volts": self.supply.volts,
            "lost": self.console.lost,
        }

    async def wire(self, what: str, plugged: bool) -> None:
        cable = {"can": self.can, "console": self.console}.get(what)
        if cable is not None:
            if what == "can":
                self.adapter.opened = False
            cable.plug() if plugged else cable.unplug()
        elif what == "supply" and plugged:
            await self.plug_supply()
        elif what == "supply":
            self.servers.pop(0).close()
            self.supply.hang_up()
        else:
            raise ValueError(f"there is no cable {what!r}")

    async def flood(self, size: int) -> None:
        """Garbage on the console, as fast as it is read."""
        line = b"\xff\x00garbage without an end " * 40
        while size > 0:
            while len(self.console.waiting) > 100_000:
                await asyncio.sleep(0.001)
            self.console.write(line[:size])
            size -= len(line)


async def run(folder: Path, hub: Path, diagnostics: Mapping[str, Any], bitrate: int, slots: int) -> None:
    """A desk until it is cancelled."""
    desk = Desk(folder, hub, diagnostics, bitrate, slots)
    try:
        await desk.start()
        print(f"ready  rig file {folder / 'rig.yaml'}; Ctrl-C ends it", flush=True)
        await desk.board.keep_alive()
    finally:
        desk.end()
