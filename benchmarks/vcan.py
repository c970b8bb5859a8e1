"""From nothing to the first frame on a vcan, and to the first console line of a bounded container; each beside its peers."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rigs.ecus import image
from rigs.images import packages
from shipei import dockerd
from shipei.vcan.qemu import KERNELS

FRAME = (
    "import socket; a, b = (socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) for _ in 'ab');"
    "[s.bind(('vcan0',)) for s in (a, b)]; a.send(bytes(16)); b.recv(16); print('frame', flush=True)"
)
TIMES = 5


def until_line(command, words=b"frame", **settings):
    """Seconds from the start of a command to a line of its output."""
    start = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **settings
    ) as process:
        for line in process.stdout:
            if words in line:
                found = time.monotonic() - start
                process.stdout.read()
                return found
    raise RuntimeError(f"{command[0]} never said {words}")


def median(command, times=TIMES, **settings):
    return statistics.median(until_line(command, **settings) for _ in range(times))


def virtme_ng():
    """Seconds, or None where it is not installed (pip install virtme-ng, apt-get install kmod udev)."""
    tool = shutil.which("vng")
    if tool is None or shutil.which("depmod") is None or os.geteuid() != 0:
        return None
    files = packages.kept_or(KERNELS, lambda: None)
    (kernel,) = (files / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    modules = Path("/lib/modules") / version
    modules.parent.mkdir(exist_ok=True)
    if not modules.exists():
        modules.symlink_to(files / "lib" / "modules" / version)
    subprocess.run(["depmod", version], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".py", dir=Path.cwd()) as script:
        script.write(FRAME)
        script.flush()
        inside = f"modprobe vcan; modprobe can-raw; ip link add vcan0 type vcan; ip link set vcan0 up; {sys.executable} {script.name}"
        return median([tool, "-r", str(kernel), "--disable-kvm", "--force-9p", "--user", "root", "--", inside], 2)


def first_frame():
    shipei = [sys.executable, "-m", "harness", "vcan"]
    program = [sys.executable, "-c", FRAME]
    uml, qemu = (median([*shipei, "--way", way, "--", *program]) for way in ("uml", "qemu"))
    hub = median([*shipei, "--preload", "--", *program])
    what = "start to the first frame on a vcan, median"
    rows = [
        (what, f"User-Mode Linux {uml:.1f} s", f"QEMU + 9p {qemu:.1f} s", f"{qemu / uml:.1f}x"),
        (what, f"--preload, no kernel {hub:.1f} s", f"QEMU + 9p {qemu:.1f} s", f"{qemu / hub:.1f}x"),
    ]
    virtme = virtme_ng()
    if virtme is not None:
        rows.insert(
            1, (what, f"User-Mode Linux {uml:.1f} s", f"virtme-ng (QEMU, 9p) {virtme:.1f} s", f"{virtme / uml:.1f}x")
        )
    return rows


def container_start():
    """Our bounded container beside `docker run` of the same image without bounds: to its process's first line."""
    import docker

    from adapters._container.image import probe_image
    from adapters.container import ContainerTarget
    from harness.model import Interface, Item
    from harness.ports import Bench

    ours = not dockerd.answers()
    address = dockerd.start()
    client = docker.DockerClient(base_url=address)
    here = Path.cwd()
    bench = Bench(item=Item(files={}, interface=Interface(buses={})), work=here, evidence=here, ports={}, memory=here)
    image_id = probe_image(client)
    with tempfile.TemporaryDirectory() as folder:
        socket_file = Path(folder) / "hub.sock"
        socket_file.touch()
        hub = type("Hub", (), {"path": socket_file})
        settings = ContainerTarget().settings(hub, bench, "benchmark")
        own = statistics.median(bounded(client, image_id, settings) for _ in range(TIMES))
    command = ["docker", "-H", address, "run", "--rm", "--network", "none", image_id, "/bin/sh", "-c", "echo frame"]
    theirs = median(command)
    client.close()
    if ours:
        dockerd.stop()
    return [
        (
            "container: create to its first line, median",
            f"bounded {own * 1e3:.0f} ms",
            f"docker run, unbounded {theirs * 1e3:.0f} ms",
            f"{theirs / own:.1f}x",
        )
    ]


def bounded(client, image_id, settings):
    start = time.monotonic()
    container = client.containers.create(image_id, ["/bin/sh", "-c", "echo frame"], **settings)
    try:
        container.start()
        next(iter(container.logs(stream=True, follow=True)))
        return time.monotonic() - start
    finally:
        container.remove(force=True)


def measure():
    assert image.busybox()
    return [*first_frame(), *container_start()]
