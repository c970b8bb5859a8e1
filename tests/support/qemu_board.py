"""A board for tests that is QEMU: U-Boot in ROM, a serial console on a unix socket, a disk. python qemu_board.py on|off|state FOLDER

FOLDER/net, if it is there, names a network namespace with a tap device `tap0` that the board is wired to.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
DISK_BYTES = 8 << 20


def alive(pid):
    try:
        os.kill(int(pid.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def start(folder):
    disk, net = folder / "disk.img", folder / "net"
    if not disk.exists():
        disk.write_bytes(bytes(DISK_BYTES))
    command = [
        "qemu-system-aarch64",
        "-M",
        "virt",
        "-cpu",
        "cortex-a53",
        "-m",
        "256",
        "-display",
        "none",
        "-monitor",
        "none",
    ]
    command += ["-bios", UBOOT, "-serial", f"unix:{folder / 'serial.sock'},server=on,wait=off"]
    command += ["-drive", f"if=none,file={disk},format=raw,id=d", "-device", "virtio-blk-device,drive=d"]
    if net.exists():
        command = ["ip", "netns", "exec", net.read_text(), *command]
        command += ["-netdev", "tap,id=n,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-device,netdev=n"]
    else:
        command += ["-nic", "none"]
    subprocess.run([*command, "-daemonize", "-pidfile", str(folder / "pid")], check=True)


def stop(folder):
    pid = folder / "pid"
    os.kill(int(pid.read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def main(what, folder):
    running = alive(folder / "pid")
    if what == "on" and not running:
        start(folder)
    elif what == "off" and running:
        stop(folder)
    elif what == "state":
        print("on" if running else "off")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
