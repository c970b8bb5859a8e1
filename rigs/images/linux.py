"""A complete reference image for an emulated board: boot loader, Debian's kernel, our root file system, an ECU in C."""

import binascii
import gzip
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rigs.ecus import native
from rigs.images import debian, disk, packages
from rigs.images.packages import Tell
from rigs.images.root import SOUND, Defect, Root, archive

BOARDS: Mapping[str, Mapping[str, Any]] = yaml.safe_load((Path(__file__).parent / "boards.yaml").read_text())
CAN = ("can", "can-raw", "can-dev", "sja1000", "kvaser_pci", "slcan")
OF_KERNEL = ("boot/vmlinu*", "*/net/can/*.ko*", "*/drivers/net/can/dev/*.ko*", "*/sja1000/sja1000.ko*", "*/sja1000/kvaser_pci.ko*", "*/slcan/*.ko*", "*/i6300esb.ko*", "*/watchdog/watchdog.ko*", "*/softdog.ko*")  # fmt: skip
MENU = "default ecu\ntimeout 0\nlabel ecu\n  linux /vmlinuz\n  initrd /initrd\n  append console={console} panic=1\n"
SCRIPT = """load virtio 0:1 0x2000000 /vmlinuz
load virtio 0:1 0xa000000 /initrd
setenv bootargs console={console} panic=1
zboot 0x2000000 0 0xa000000 ${{filesize}}
"""


def parts(board: str, release: str, ecu: str, tell: Tell, defect: Defect = SOUND) -> dict[str, bytes]:
    """The files of an image: bootloader and disk. Raises Refused, Unbuildable, Unwritable."""
    said = BOARDS[board]
    kernels, loaders, boxes = places(board, release, tell)
    for place in (kernels, loaders, boxes):
        debian.described(place)
    (kernel,), (busybox,) = kernels.glob("boot/vmlinu*"), boxes.glob("**/busybox")
    tell(f"building {ecu} for {board} with the kernel of Debian {release}")
    root = gzip.compress(archive(root_of(board, ecu, kernels, busybox, defect)), 6, mtime=0)
    root = root[: len(root) - defect.cut_bytes] + bytes(defect.pad_bytes)
    raw = kernel.read_bytes()
    files = {"vmlinuz": gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw, "initrd": root}
    if said["architecture"] == "amd64":
        files["boot.scr"] = script(SCRIPT.format(console=said["console"]))
    else:
        files["extlinux/extlinux.conf"] = MENU.format(console=said["console"]).encode()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "disk.img"
        disk.write(image, files)
        return {"bootloader": (loaders / said["bootloader"]["file"]).read_bytes(), "disk": image.read_bytes()}


def packages_of(board: str, release: str, tell: Tell = lambda what: None) -> dict[str, str]:
    """The digests of the packages that an image is built from."""
    return {str(d["name"]): str(d["sha256"]) for d in map(debian.described, places(board, release, tell))}


def places(board: str, release: str, tell: Tell) -> tuple[Path, Path, Path]:
    """Where the files of kernel, boot loader and busybox lie."""
    said = BOARDS[board]
    architecture = said["architecture"]
    return (
        debian.files(release, architecture, f"linux-image-{architecture}-", OF_KERNEL, tell),
        debian.files("12", "all", said["bootloader"]["package"], ["usr/lib/u-boot/*/u-boot.*"], tell),
        debian.files(said["busybox"], architecture, "busybox-static", ["*bin/busybox"], tell),
    )


def root_of(board: str, ecu: str, kernels: Path, busybox: Path, defect: Defect) -> Root:
    said, bus = BOARDS[board], native.declared(ecu)["interface"]["buses"]
    wanted = packages.modules([*CAN, *said["watchdog"]], kernels)
    target = native.TARGETS[said["architecture"]]
    ((name, spoken),) = bus.items()
    with tempfile.TemporaryDirectory() as folder:
        program, up = Path(folder) / "ecu", Path(folder) / "canup"
        native.compiled(program, ecu, native.LINUX, target, defect.constants)
        native.tool(up, "canup.c", target)
        return Root(
            busybox=busybox.read_bytes(),
            modules={packages.bare(m.name): packages.plain(m) for m in wanted},
            programs={"ecu": program.read_bytes(), "canup": up.read_bytes()},
            console=said["console"],
            can_terminal=said["can_terminal"],
            bus=name,
            bitrate=spoken["bitrate"],
            defect=defect,
        )


def script(text: str) -> bytes:
    """A U-Boot script in its legacy image format: header with two checksums, size table, text."""
    body = text.encode()
    data = struct.pack(">II", len(body), 0) + body
    kinds = (5, 2, 6, 0)  # Linux, Arm, script, not packed: what mkimage writes for a script by default

    def header(checksum: int) -> bytes:
        fixed = struct.pack(">IIIIIII", 0x27051956, checksum, 315532800, len(data), 0, 0, binascii.crc32(data))
        return fixed + bytes(kinds) + b"shipei".ljust(32, b"\0")

    return header(binascii.crc32(header(0))) + data
