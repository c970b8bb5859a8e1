"""A private Docker engine for container rigs, as root: python -m shipei.dockerd [stop]. It has no network and touches no firewall.

Its socket is /run/shipei/docker.sock, which the rig `container` finds by itself; what it keeps lies in /var/lib/shipei-docker, or beside the
socket in a guest of `shipei vcan`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HOME = Path("/run/shipei")
KEPT = Path("/var/lib/shipei-docker")
SOCKET, PID = HOME / "docker.sock", HOME / "docker.pid"
ADDRESS = f"unix://{SOCKET}"
START_S = 30.0
STARTED: list["subprocess.Popen[bytes]"] = []  # it outlives us


def start() -> str:
    """Its address, once it answers. Raises RuntimeError, saying why, when it does not."""
    if answers():
        return ADDRESS
    if shutil.which("dockerd") is None:
        raise RuntimeError("there is no dockerd: apt-get install docker.io")
    if os.geteuid() != 0:
        raise RuntimeError("an engine of its own needs root")
    HOME.mkdir(parents=True, exist_ok=True)
    said = ""
    for driver, folder in places():
        folder.mkdir(parents=True, exist_ok=True)
        said = start_with(driver, folder)
        if not said:
            return ADDRESS
    raise RuntimeError(f"dockerd does not start; the end of {HOME / 'log'}: {said}")


def places() -> list[tuple[str, Path]]:
    """Storage drivers and where they keep images: on disk; in memory where the disk is another kernel's, who may use it too."""
    if in_guest():
        if Path("/etc/docker").is_dir():  # its key is the host's, which we may not be able to read
            subprocess.run(["mount", "-t", "tmpfs", "none", "/etc/docker"], check=False)
        return [("overlay2", HOME / "data")]
    return [("overlay2", KEPT), ("vfs", KEPT)]  # the second where the disk is itself an overlay


def in_guest() -> bool:
    """Whether this kernel is one of `shipei vcan`'s guests, whose files are the host's."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return any(where == "/" and kind in ("hostfs", "9p") for where, kind in mounts)


def start_with(driver: str, folder: Path) -> str:
    """Empty when it answers; else its last words."""
    command = [
        *(
            "dockerd",
            "-H",
            ADDRESS,
            "--data-root",
            str(folder),
            "--exec-root",
            str(HOME / "exec"),
            "--pidfile",
            str(PID),
        ),
        *("--storage-driver", driver, "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
        *("--ip-masq=false", "--no-new-privileges"),
    ]
    log = HOME / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    STARTED.append(process)
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if answers():
            return ""
        time.sleep(0.1)
    process.kill()
    process.wait()
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:])


def answers() -> bool:
    import docker
    import requests

    if not listens():
        return False
    try:
        client = docker.DockerClient(base_url=ADDRESS, timeout=10)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (docker.errors.DockerException, requests.RequestException):  # nobody answers there
        return False


def listens() -> bool:
    """A refused connection is left open by the engine's client, so it is only asked once somebody listens."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        return line.connect_ex(str(SOCKET)) == 0


def stop() -> None:
    if not PID.is_file():
        return
    pid = int(PID.read_text())
    os.kill(pid, signal.SIGTERM)
    for process in STARTED:  # by this very process
        if process.pid == pid:
            process.wait(START_S)
    deadline = time.monotonic() + START_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def main(arguments: list[str]) -> int:
    if arguments == ["stop"]:
        stop()
        return 0
    try:
        print(f"a container engine answers on {start()}; `python -m shipei.dockerd stop` ends it")
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
