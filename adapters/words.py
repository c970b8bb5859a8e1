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
