"""The first process of a guest kernel: mounts, modules, buses, then the command; with the standard library only.

python agent.py FOLDER; FOLDER/order.json says what to do. What comes back are files in the folder: `ready`, `out`, `err`, `code`.
Standard input comes as files in.0, in.1, ... (an empty one ends it), signals as signal.0, signal.1, ...
"""

import ctypes
import json
import lzma
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shipei.vcan import links
else:  # in the guest there is this folder and the standard library
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import links

LIBC = ctypes.CDLL(None, use_errno=True)
INIT_MODULE = {"x86_64": 175, "aarch64": 105}
POWER_OFF = 0x4321FEDC
POLL_S = 0.01
MOUNTS = (
    ("proc", "/proc", "proc"),
    ("sys", "/sys", "sysfs"),
    ("run", "/run", "tmpfs"),
    ("dev", "/dev", "devtmpfs"),
    ("pts", "/dev/pts", "devpts"),
    ("shm", "/dev/shm", "tmpfs"),
    ("cgroup", "/sys/fs/cgroup", "cgroup2"),
)
SYSCTLS = {"net/core/rmem_max": 8_388_608, "net/core/rmem_default": 4_194_304, "net/core/wmem_max": 8_388_608}


def mount(source: str, target: str, kind: str) -> None:
    os.makedirs(target, exist_ok=True)
    options = b"ptmxmode=666,mode=620" if kind == "devpts" else None
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), 0, options):
        code = ctypes.get_errno()
        print(f"shipei: mount {target}: {os.strerror(code)}", flush=True)


def load(file: str) -> None:
    with open(file, "rb") as stream:
        raw = stream.read()
    raw = lzma.decompress(raw) if file.endswith(".xz") else raw
    if LIBC.syscall(INIT_MODULE[os.uname().machine], raw, len(raw), b""):
        code = ctypes.get_errno()
        if code != 17:  # it is there already
            print(f"shipei: {file}: {os.strerror(code)}", flush=True)


def prepare(order: dict[str, Any]) -> None:
    for each in MOUNTS:
        mount(*each)
    for file in order["modules"]:
        load(file)
    with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as file:
        file.write("+memory +pids +cpu")
    links.set_up_loopback()
    for name in order["buses"]:
        links.add(name, order["fd"])
    for name, value in SYSCTLS.items():
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(str(value))


def write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name + ".new"), "w") as file:
        file.write(text)
    os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))


def start(folder: str, order: dict[str, Any]) -> tuple[int, int]:
    """The command in a session of its own; (its pid, the pipe of its standard input)."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become(folder, order, source)
        except OSError as error:
            os.write(2, f"shipei vcan: {order['command'][0]}: {error.strerror}\n".encode())
            os._exit(126 if isinstance(error, PermissionError) else 127)
    os.close(source)
    return child, sink


def become(folder: str, order: dict[str, Any], source: int) -> None:
    os.setsid()
    os.dup2(source, 0)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(os.path.join(folder, "out"), flags), 1)
    os.dup2(1 if order["merged"] else os.open(os.path.join(folder, "err"), flags), 2)
    os.closerange(3, 256)
    os.umask(order["umask"])
    os.chdir(order["cwd"])
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(order["command"][0], order["command"], order["environment"])


def taken(folder: str, name: str) -> bytes | None:
    """The next file of that name, once it is there; it is removed."""
    file = os.path.join(folder, name)
    if not os.path.exists(file):
        return None
    with open(file, "rb") as stream:
        data = stream.read()
    os.unlink(file)
    return data


def feed(folder: str, sink: int) -> None:
    """Standard input, as it comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    count = 0
    while True:
        data = taken(folder, f"in.{count}")
        if data is None:
            time.sleep(POLL_S)
            continue
        count += 1
        try:
            while data:
                data = data[os.write(sink, data) :]
                if not data:
                    break
            else:
                os.close(sink)
                return
        except OSError:
            return


def watch(folder: str, child: int) -> int:
    """Wait for the command, passing signals on; how it ended."""
    count = 0
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 255
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        number = taken(folder, f"signal.{count}")
        if number is not None:
            count += 1
            os.killpg(child, int(number))
        elif not pid:
            time.sleep(POLL_S)


def main(folder: str) -> None:
    try:
        with open(os.path.join(folder, "order.json")) as file:
            order = json.load(file)
        os.environ["PATH"] = order["environment"].get("PATH", os.defpath)
        prepare(order)
        write(folder, "ready", os.uname().release)
        child, sink = start(folder, order)
        threading.Thread(target=feed, args=(folder, sink), daemon=True).start()
        write(folder, "code", str(watch(folder, child)))
    except BaseException as error:
        print(f"shipei: the guest failed: {error!r}", flush=True)
    os.sync()
    LIBC.reboot(POWER_OFF)


if __name__ == "__main__":
    main(sys.argv[1])
