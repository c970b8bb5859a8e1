"""The root file system of a reference image: busybox, modules, the ECU, and the few scripts that start them."""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rigs.images.cpio import cpio

APPLETS = ("sh", "init", "getty", "login", "mount", "insmod", "sleep", "uname", "reboot", "echo", "cat", "hostname")
FOLDERS = ("bin", "dev", "proc", "sys", "etc", "modules", "root", "run", "usr", "usr/share")
INIT = """#!/bin/busybox sh
/bin/mount -t proc proc /proc
/bin/mount -t sysfs sysfs /sys
/bin/mount -t devtmpfs devtmpfs /dev 2>/dev/null
exec /bin/init
"""
START = """#!/bin/sh
hostname ecu
echo "OS: Linux $(uname -r) $(uname -m)"
for m in $(cat /modules/order); do insmod /modules/$m || echo "OS: module $m is missing"; done
{before_can}
# a controller if there is one, else SLCAN on the second serial line
up() {{ if [ -e /sys/class/net/can0 ]; then canup can0 {bitrate}; else canup {terminal}; fi; }}
up && echo "SVC: CAN up" && : > /run/can
{behind}
"""
ECU = """#!/bin/sh
until [ -e /run/can ]; do sleep 0.05; done
export SHIPEI_CAN={bus}=can0 ECU_WATCHDOG=/dev/watchdog
/bin/ecu </dev/null >/dev/console 2>&1
reboot -f
"""
TABLE = """::sysinit:/etc/start
::once:/etc/ecu
{console}::respawn:{login}
"""
GETTY = "/bin/getty -L 115200 {console} vt100"
SHELL = "-/bin/sh"
PAYLOAD = 200_000  # bytes of a file that comes last, as map data would


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What a defective image differs in from the reference: constants of the ECU, and the root file system."""

    constants: Mapping[str, str] = field(default_factory=dict)
    late_s: float = 0.0  # CAN comes up so much later
    behind: str = ""  # a command that runs in the background
    shell: bool = False  # on the console, without a login
    issue: str = "Shipei reference ECU\n"
    cut_bytes: int = 0  # of the end of the root file system: as if writing it was interrupted
    pad_bytes: int = 0  # of nothing behind it


SOUND = Defect()


@dataclass(frozen=True, kw_only=True)
class Root:
    """What goes into a root file system."""

    busybox: bytes
    modules: Mapping[str, bytes]  # in the order to load them
    programs: Mapping[str, bytes]
    console: str
    can_terminal: str
    bus: str
    bitrate: int
    defect: Defect = SOUND


def archive(root: Root) -> bytes:
    """The cpio archive (newc) that the kernel unpacks, once it is packed."""
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in FOLDERS]
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, root.busybox))
    entries += [(f"bin/{a}", stat.S_IFLNK | 0o777, b"busybox") for a in APPLETS]
    entries += [(f"bin/{n}", stat.S_IFREG | 0o755, c) for n, c in sorted(root.programs.items())]
    entries += [(f"modules/{n}", stat.S_IFREG | 0o644, c) for n, c in root.modules.items()]
    entries += [(name, stat.S_IFREG | mode, text.encode()) for name, mode, text in texts(root)]
    entries.append(("usr/share/maps", stat.S_IFREG | 0o644, payload()))
    return cpio(entries)


def texts(root: Root) -> Sequence[tuple[str, int, str]]:
    late = f"sleep {root.defect.late_s:g}" if root.defect.late_s else ""
    start = START.format(
        before_can=late,
        bitrate=root.bitrate,
        terminal=root.can_terminal,
        behind=f"({root.defect.behind}) &" if root.defect.behind else "",
    )
    login = SHELL if root.defect.shell else GETTY.format(console=root.console)
    return (
        ("init", 0o755, INIT),
        ("etc/start", 0o755, start),
        ("etc/ecu", 0o755, ECU.format(bus=root.bus)),
        ("etc/inittab", 0o644, TABLE.format(console=root.console, login=login)),
        ("etc/issue", 0o644, root.defect.issue),
        ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", 0o600, "root:!:1:0:99999:7:::\n"),
        ("etc/group", 0o644, "root:x:0:\n"),
        ("modules/order", 0o644, "\n".join(root.modules) + "\n"),
    )


def payload() -> bytes:
    """Bytes that look like data and are the same every time."""
    state, found = 0x2545F491, bytearray()
    while len(found) < PAYLOAD:
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
        found += state.to_bytes(4, "little")
    return bytes(found)
