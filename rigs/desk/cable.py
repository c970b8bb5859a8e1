"""A serial cable: a pseudo-terminal under a name of the desk's, which comes and goes as a USB device does."""

import asyncio
import os
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MOST_WAITING = 1_000_000  # bytes that the bench has not read; more is lost, as on a wire


class Cable:
    """The desk's end of it. `heard` is called with what the bench writes."""

    def __init__(self, link: Path, heard: Callable[[bytes], None]) -> None:
        self.link, self.heard = link, heard
        self.ends: tuple[int, int] | None = None
        self.waiting = bytearray()
        self.lost = 0

    def plug(self) -> None:
        if self.ends is not None:
            return
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.ends = (master, slave)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(slave))
        asyncio.get_running_loop().add_reader(master, self.read)

    def unplug(self) -> None:
        if self.ends is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.ends[0])
        loop.remove_writer(self.ends[0])
        for end in self.ends:
            os.close(end)
        self.ends = None
        self.waiting.clear()
        self.link.unlink(missing_ok=True)

    def read(self) -> None:
        if self.ends is not None:
            with suppress(BlockingIOError):
                self.heard(os.read(self.ends[0], 65_536))

    def write(self, data: bytes) -> None:
        """To the bench; nobody there means that it is lost."""
        if self.ends is None or len(self.waiting) + len(data) > MOST_WAITING:
            self.lost += len(data)
            return
        self.waiting += data
        self.flush()

    def flush(self) -> None:
        if self.ends is None:
            return
        loop = asyncio.get_running_loop()
        try:
            while self.waiting:
                del self.waiting[: os.write(self.ends[0], self.waiting[:4096])]
        except BlockingIOError:
            loop.add_writer(self.ends[0], self.flush)
        else:
            loop.remove_writer(self.ends[0])
