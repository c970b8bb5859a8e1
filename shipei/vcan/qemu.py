"""QEMU with Debian's kernel: the host's files by 9p, an initrd of ours. Slower than User-Mode Linux, and on any CPU.

Always by emulation: where /dev/kvm is there it may hang without a word (nested machines), and this way is the last one left.
"""

import gzip
import os
import platform
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from rigs.images import packages
from rigs.images.cpio import cpio
from rigs.images.packages import Refused, Tell
from shipei.vcan import guest
from shipei.vcan.ways import MODULES, Wanted, one_cpu

FOR_ROOT = ("virtio_pci", "9pnet_virtio", "9p")
START_S = 180.0
EMULATOR = "qemu-system-x86_64"
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
for m in {modules}; do /bin/busybox insmod /modules/$m || /bin/busybox echo "shipei: $m"; done
/bin/busybox mkdir -p /root
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=mmap root /root || exit 1
/bin/busybox umount /proc
exec /bin/busybox switch_root /root {init}
"""


class Qemu:
    """qemu-system-x86_64, which must be installed; kernel and busybox come from the cache."""

    name = "qemu"

    def check(self, wanted: Wanted, tell: Tell) -> str:
        if platform.machine() != "x86_64":
            raise Refused("QEMU: for x86-64 hosts only, because the guest runs the host's programs")
        if shutil.which(EMULATOR) is None:
            raise Refused(f"QEMU: there is no {EMULATOR}: apt-get install qemu-system-x86")
        self.files = packages.kept_or(KERNELS, lambda: packages.fetched(real_name(tell), tell))
        self.busybox = packages.fetched("busybox-static", tell) / "bin" / "busybox"
        (self.kernel,) = (self.files / "boot").glob("vmlinuz-*")
        self.modules = packages.modules(MODULES, self.files)
        self.for_root = packages.modules(FOR_ROOT, self.files)
        packages.checked(self.files, [self.kernel, *self.modules, *self.for_root])
        packages.checked(self.busybox.parents[1], [self.busybox])
        return f"QEMU with Linux {self.kernel.name.removeprefix('vmlinuz-')}"

    def run(self, wanted: Wanted) -> int:
        allowed = sorted(os.sched_getaffinity(0))
        with guest.folder() as folder:
            one = guest.Guest(wanted, self.modules, folder, START_S)
            (folder / "initrd").write_bytes(self.initrd(one.init))
            command = [
                *(EMULATOR, "-M", "q35", "-cpu", "max", "-accel", "tcg"),
                *("-m", wanted.memory, "-nographic", "-monitor", "none", "-no-reboot", "-nic", "none", "-nodefaults"),
                *("-serial", "stdio", "-kernel", str(self.kernel), "-initrd", str(folder / "initrd")),
                *("-append", "console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off"),
                *("-fsdev", "local,id=root,path=/,security_model=none,multidevs=remap"),
                *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
            ]
            return one.run(command, dict(os.environ), one_cpu(wanted, allowed, os.getpid()))

    def initrd(self, init: Path) -> bytes:
        """A cpio archive (newc), packed: busybox, the modules that the root file system needs, the first script."""
        script = INIT.format(modules=" ".join(packages.bare(m.name) for m in self.for_root), init=init)
        entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "proc", "modules", "root", "dev")]
        entries += [("bin/busybox", stat.S_IFREG | 0o755, self.busybox.read_bytes())]
        entries += [("init", stat.S_IFREG | 0o755, script.encode())]
        entries += [
            (f"modules/{packages.bare(m.name)}", stat.S_IFREG | 0o644, packages.plain(m)) for m in self.for_root
        ]
        return gzip.compress(cpio(entries), 1)

    def setup(self, tell: Tell) -> Mapping[str, str]:
        return {"kernel": self.check(Wanted(command=()), tell), "package": str(self.files)}


KERNELS = re.compile(r"linux-image-[0-9].*-amd64_.*")


def real_name(tell: Tell) -> str:
    """The package that linux-image-amd64 stands for today."""
    _, known = packages.lists("linux-image-amd64", tell)
    return re.split(r"[ ,(]", known["Depends"])[0]
