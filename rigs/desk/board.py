"""The ECU board: its first program is the boot loader; power is a start and a kill, and who exits is started again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ECUS = Path(__file__).resolve().parents[1] / "ecus"
RESET_S = 0.03


class Board:
    """`said` is called with what its console says."""

    def __init__(
        self, folder: Path, hub: Path, diagnostics: dict[str, Any], slots: int, said: Callable[[bytes], None]
    ) -> None:
        self.folder, self.said = folder, said
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.environment = {
            **{k: os.environ[k] for k in ("PATH", "LANG") if k in os.environ},
            "PYTHONPATH": str(ECUS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "SHIPEI_HUB": str(hub),
            "SHIPEI_BUSES": diagnostics["bus"],
            "BOARD_FLASH": str(folder / "flash"),
            "BOARD_SLOTS": str(slots),
            "BOARD_DIAGNOSTICS": json.dumps(diagnostics),
        }
        self.child: subprocess.Popen[bytes] | None = None
        self.powered = False
        asyncio.get_running_loop().add_reader(self.master, self.read)

    def read(self) -> None:
        with suppress(BlockingIOError, OSError):
            self.said(os.read(self.master, 65_536))

    def type(self, data: bytes) -> None:
        """To its console input."""
        with suppress(BlockingIOError):
            os.write(self.master, data)

    def feed(self, powered: bool) -> None:
        """Power comes or goes."""
        if powered is self.powered:
            return
        self.powered = powered
        if powered:
            self.start()
        else:
            self.kill()

    def start(self) -> None:
        with (self.folder / "stderr.txt").open("ab") as errors:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "loader"],
                stdin=self.slave,
                stdout=self.slave,
                stderr=errors,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def kill(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    async def keep_alive(self) -> None:
        """Who exits has reset itself."""
        while True:
            await asyncio.sleep(RESET_S)
            if self.powered and self.child is not None and self.child.poll() is not None:
                self.start()
