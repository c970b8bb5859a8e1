"""What the operating system says of a port, in the words of the bench: what is wrong, and what to look at."""

import errno
import grp
import os
from pathlib import Path


def serial_trouble(what: str, url: str, error: Exception) -> str:
    """
    >>> serial_trouble("does not open", "/dev/no-such-tty", FileNotFoundError(2, "No such file or directory"))
    'the console /dev/no-such-tty does not open: there is no such device: is it plugged in? `shipei rig new` lists what is'
    """
    return f"the console {url} {what}: {device_trouble(url, error)}"


def device_trouble(path: str, error: Exception) -> str:
    """Why a device file does not do what it should."""
    text, number = str(error), getattr(error, "errno", None)
    if number == errno.ENOENT or "No such file" in text or ("could not open port" in text and not Path(path).exists()):
        return "there is no such device: is it plugged in? `shipei rig new` lists what is"
    if number in (errno.EACCES, errno.EPERM) or "Permission denied" in text:
        return f"no permission: {permission(path)}"
    if number in (errno.EBUSY, errno.EWOULDBLOCK) or "lock the port" in text or "busy" in text:
        return f"it is busy, {users(path) or 'and nobody of yours has it: another user, or a modem manager'}"
    if number in (errno.EIO, errno.ENXIO, errno.ENODEV) or "returned no data" in text or "Input/output error" in text:
        return f"the device is gone ({text}): is it plugged in, and has it power?"
    return text


def permission(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "ask who administers this host"
    return f"add yourself to the group {group} (sudo usermod -aG {group} $USER, then log in again)"


def users(path: str) -> str:
    """Who has a device open, as far as we may see: command and process number."""
    real, found = os.path.realpath(path), []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(os.path.realpath(fd) == real for fd in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
        except OSError:
            continue
    return f"by {', '.join(found)}" if found else ""


DRIVERS = {
    "pcan": "PEAK's PCAN-Basic library (libpcanbasic.so; PCANBasic.dll) is not installed: see peak-system.com, or use the kernel's"
    " driver with interface socketcan",
    "kvaser": "Kvaser's CANlib is not installed: see kvaser.com, or use the kernel's driver with interface socketcan",
    "vector": "Vector's XL driver library is not installed (Windows only); or the channel is not assigned to the application",
    "ixxat": "the VCI driver is not installed (Windows only); on Linux use interface socketcan",
    "gs_usb": "the Python package gs_usb and libusb are needed: pip install 'python-can[gs-usb]'",
}
MISSING = (
    "libpcanbasic",
    "PCANBasic",
    "canlib is unavailable",
    "libcanlib",
    "vxlapi",
    "library not found",
    "No module named",
    "not been found",
    "VCI",
)


def can_trouble(interface: str, channel: str, error: Exception) -> str:
    """Why python-can does not open a channel, or loses it.

    >>> can_trouble("pcan", "PCAN_USBBUS1", OSError("libpcanbasic.so: cannot open shared object file"))[:45]
    "pcan PCAN_USBBUS1: PEAK's PCAN-Basic library "
    """
    text, where = f"{type(error).__name__}: {error}", f"{interface} {channel}"
    if interface in DRIVERS and any(word in text for word in MISSING):
        return f"{where}: {DRIVERS[interface]}"
    if interface == "slcan":
        trouble = device_trouble(channel, error)
        return f"{where}: {trouble if trouble != str(error) else text}"
    if "No such device" in text or "Network is down" in text:
        return (
            f"{where}: the interface is down or gone ({error}): is the adapter plugged in? `ip -br link show type can`"
        )
    return f"{where}: {text}"
