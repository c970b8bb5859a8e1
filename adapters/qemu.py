"""A complete image on an emulated board: boot loader, disk or firmware in QEMU, its console on a terminal, its CAN on a serial line
or behind an emulated controller. Always by emulation, never by KVM: the same anywhere, and every start is a cold boot.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import ClassVar, Literal

from adapters._process.subprocesses import Process, kill_group
from adapters._process.waits import Waits
from adapters.program import Supply
from harness.errors import RigError
from harness.model import noun
from harness.ports import Arrival, Bench
from harness.processes import die_with_parent, start_behind

PACKAGES = {
    "aarch64": "qemu-system-arm",
    "arm": "qemu-system-arm",
    "i386": "qemu-system-x86",
    "x86_64": "qemu-system-x86",
}
OTHER_PACKAGE = "qemu-system-misc"
# No screen either: U-Boot for x86 would run a video card's real-mode code, and now and then dies of a timer interrupt in it.
WITHOUT = ("-display", "none", "-vga", "none", "-monitor", "none", "-nic", "none")
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
LAST_WORDS = 400


class Board:
    """One life of the board at a time: a QEMU process. A reset that the image asks for happens inside it."""

    uncertainty_ns = 5_000_000
    fence = "an emulator"

    def __init__(self, command: Sequence[str], work: Path, arrival: Arrival, on_slcan: bool) -> None:
        self.command, self.work, self.arrival, self.on_slcan = command, work, arrival, on_slcan
        self.child: Process | None = None
        self.waits = Waits()

    def start(self, terminal: str) -> int:
        command = [*self.command, "-chardev", f"serial,id=console,path={terminal}"]
        time_ns = time.monotonic_ns()
        self.waits.begin()
        try:
            with (self.work / "qemu.txt").open("wb") as errors:
                self.child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    cwd=self.work,
                    env={"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(self.work), "LC_ALL": "C"},
                    start_new_session=True,
                    preexec_fn=self.prepare,
                )
        except OSError as error:
            raise RigError(f"{self.command[0]} cannot be started: {error.strerror}") from error
        return time_ns

    def prepare(self) -> None:
        """In the child: a boot takes what CPU there is, and would starve boards that run. It goes along once it sends."""
        die_with_parent()
        if self.on_slcan:
            start_behind()

    def stall_ns(self) -> int:
        return self.waits.taken_ns()

    def ended(self) -> str | None:
        if self.child is not None:
            self.waits.look(self.child.pid)
        code = self.child.poll() if self.child is not None else None
        if code is None or code == 0:  # 0: the image switched itself off
            return None if code is None else ""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        words = (self.work / "qemu.txt").read_bytes()[-LAST_WORDS:].decode(errors="replace").split("\n")
        said = " / ".join(w.strip() for w in words if w.strip())
        return f"the emulator {how}{': ' if said else ''}{said}"

    def end(self) -> str:
        why = self.ended() or ""
        kill_group(self.child)
        self.child = None
        return why


@noun
class QemuTarget:
    """A board that QEMU emulates. `system` is the emulator's suffix, `machine` and `cpu` its -M and -cpu.

    `bootloader` and `firmware` say how an image of that role is put in: as `bios`, as `kernel` or by the `loader` device. `disk` is
    the device that the disk hangs on. The one bus that an item speaks is on the second serial line (`line`: `serial`, or `pci-serial`
    where the machine has but one), or with `can` on an emulated `controller` that is joined to this channel of the kernel. `devices`
    are added as they are.
    """

    system: str
    machine: str
    cpu: str | None = None
    memory_mb: int = 256
    bootloader: Literal["bios", "kernel", "loader"] = "bios"
    firmware: Literal["bios", "kernel", "loader"] = "kernel"
    disk: str = "virtio-blk-pci"
    line: Literal["serial", "pci-serial"] = "pci-serial"
    can: Mapping[str, str] = field(default_factory=dict)
    controller: str = "kvaser_pci"
    devices: tuple[str, ...] = ()
    form: ClassVar[str] = "image"
    opens: ClassVar[tuple[str, ...]] = ("power", "terminal")
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Supply]:
        work = bench.work / "board"
        work.mkdir(parents=True, exist_ok=True)
        files, digests = {}, {}
        for role, given in bench.item.files.items():
            files[role] = work / role
            shutil.copyfile(given, files[role])
            with files[role].open("rb") as stream:
                digests[role] = hashlib.file_digest(stream, "sha256").hexdigest()
        arrival = Arrival(how="put into an emulated board from private copies", sha256="", parts=digests)
        on_slcan = bool(bench.item.interface.buses) and not self.can
        supply = Supply(Board(self.command(name, files, bench), work, arrival, on_slcan))
        try:
            yield supply
        finally:
            supply.close()

    def command(self, name: str, files: Mapping[str, Path], bench: Bench) -> list[str]:
        """Raises RigError when the emulator is missing or the board has no place for what the item is or speaks."""
        emulator = f"qemu-system-{self.system}"
        if shutil.which(emulator) is None:
            package = PACKAGES.get(self.system, OTHER_PACKAGE)
            raise RigError(f"port {name}: there is no {emulator}: apt-get install {package}")
        cpu = ["-cpu", self.cpu] if self.cpu else []
        return [
            *(emulator, "-M", self.machine, *cpu, "-accel", "tcg", "-m", f"{self.memory_mb}M"),
            *WITHOUT,
            *("-sandbox", SANDBOX, "-serial", "chardev:console"),
            *self.storage(files),
            *self.buses(name, bench),
            *(word for device in self.devices for word in ("-device", device)),
        ]

    def storage(self, files: Mapping[str, Path]) -> list[str]:
        found: list[str] = []
        for role, how in (("bootloader", self.bootloader), ("firmware", self.firmware)):
            if role in files:
                loaded = ["-device", f"loader,file={escaped(files[role])}"]
                found += loaded if how == "loader" else [f"-{how}", str(files[role])]
        if "disk" in files:
            found += ["-drive", f"file={escaped(files['disk'])},format=raw,if=none,id=disk"]
            found += ["-device", f"{self.disk},drive=disk"]
        return found

    def buses(self, name: str, bench: Bench) -> list[str]:
        spoken = list(bench.item.interface.buses)
        if not spoken:
            return []
        if len(spoken) > 1:
            raise RigError(f"port {name}: this board has one CAN line, and the item speaks {', '.join(spoken)}")
        if self.can:
            if spoken[0] not in self.can:
                raise RigError(f"port {name}: `can` says no channel for bus {spoken[0]!r}, which the submission speaks")
            host = f"can-host-socketcan,id=host,if={self.can[spoken[0]]},canbus=bus"
            return ["-object", "can-bus,id=bus", "-object", host, "-device", f"{self.controller},canbus=bus"]
        line = ["-serial", "chardev:can"] if self.line == "serial" else ["-device", "pci-serial,chardev=can"]
        return ["-chardev", f"socket,id=can,path={escaped(Path(bench.ports[spoken[0]].socket))}", *line]


def escaped(path: Path) -> str:
    """In QEMU's lists a comma is doubled."""
    return str(path).replace(",", ",,")
