"""The file seam: every change of a store goes through these few calls, each safe or not by itself, so that a crash between any two can be tried."""

import os
import shutil
import time
from pathlib import Path
from typing import IO, Any, BinaryIO

from harness.errors import BadInput
from harness.processes import take_lock

POLL_S = 0.02


def lock(stream: IO[Any], limit_s: float, what: str, *, shared: bool) -> None:
    """An advisory lock, free again when its file is closed, however its process ends. Raises BadInput when others hold it for longer."""
    deadline = time.monotonic() + limit_s
    while not take_lock(stream, shared=shared):
        if time.monotonic() > deadline:
            raise BadInput(f"{what}: somebody else has been changing it for {limit_s:g} s")
        time.sleep(POLL_S)


class Disk:
    """A new file's bytes are safe after `sync`, its name after `sync_folder`; `rename` puts it there whole or not at all (POSIX rename)."""

    def create(self, file: Path, source: BinaryIO) -> None:
        """A new file with all that the source has."""
        with file.open("xb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)

    def sync(self, file: Path) -> None:
        """Its bytes outlive the power."""
        with file.open("rb") as stream:
            os.fsync(stream.fileno())

    def rename(self, file: Path, to: Path) -> None:
        file.replace(to)

    def sync_folder(self, folder: Path) -> None:
        """The names in it outlive the power."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, file: Path) -> None:
        file.unlink(missing_ok=True)
