"""User-Mode Linux: Debian's kernel as a program on the host's files. No root, no KVM, one CPU."""

import mmap
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rigs.images import packages
from rigs.images.packages import Refused, Tell
from shipei.vcan import guest, isotp
from shipei.vcan.ways import MODULES, Wanted, one_cpu

START_S = 60.0
SHIM = Path(__file__).with_name("xstate.c")


class Uml:
    """Debian's package user-mode-linux, unpacked in the cache."""

    name = "uml"

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}

    def check(self, wanted: Wanted, tell: Tell) -> str:
        if sys.platform != "linux" or platform.machine() != "x86_64":
            raise Refused("User-Mode Linux: Debian has it for x86-64 Linux only")
        self.files = packages.fetched("user-mode-linux", tell)
        self.kernel = self.files / "usr" / "bin" / "linux.uml"
        version = self.version()
        own = isotp.built(self.files, version)
        self.modules = packages.modules(MODULES, *filter(None, (own,)), self.files)
        packages.checked(self.files, [self.kernel, *self.modules])
        if "amx_tile" in Path("/proc/cpuinfo").read_text():
            self.environment["LD_PRELOAD"] = str(shim())
        return f"User-Mode Linux {version}" + ("" if own else ", without kernel ISO-TP (`shipei vcan setup` builds it)")

    def version(self) -> str:
        """The kernel's, as its modules are kept."""
        found = sorted(f.name for f in (self.files / "usr" / "lib" / "uml" / "modules").iterdir())
        return found[-1]

    def run(self, wanted: Wanted) -> int:
        allowed = sorted(os.sched_getaffinity(0))
        with guest.folder() as folder:
            one = guest.Guest(wanted, self.modules, folder, START_S)
            command = [
                *(str(self.kernel), f"mem={wanted.memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw"),
                *(f"init={one.init}", "con=null", "con0=fd:0,fd:1", "ssl=null", "quiet"),
                *(f"umid={folder.name}", f"uml_dir={folder}/"),
            ]
            memory = memory_folder()
            environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": memory, **self.environment}
            return one.run(command, environment, one_cpu(wanted, allowed, os.getpid()))

    def setup(self, tell: Tell) -> Mapping[str, str]:
        found = {"kernel": self.check(Wanted(command=()), tell), "package": str(self.files)}
        try:
            found["isotp"] = str(isotp.build(self.files, self.version(), tell))
        except Refused as why:
            found["isotp"] = f"not built: {why}"
        return found


def memory_folder() -> str:
    """Where a file may be the guest's memory: mapped to be executed."""
    for folder in ("/dev/shm", tempfile.gettempdir(), "/var/tmp"):
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.truncate(4096)
                mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC).close()
            if shutil.disk_usage(folder).free > 200_000_000:
                return folder
        except OSError:
            continue
    raise Refused(
        "User-Mode Linux: no folder for its memory: /dev/shm, TMPDIR and /var/tmp are full or may not be executed from"
    )


def shim() -> Path:
    """The library that lets this kernel run on CPUs with AMX, compiled once."""
    return packages.compiled(
        SHIM, "User-Mode Linux panics on this CPU (AMX: its register buffer is too small) unless a shim is compiled"
    )
