"""An item that runs in real time as a container: a vendor's image, bounded, on the rig's hub, its console on a PTY.

The engine is Docker's, through its SDK. What holds an item is listed in docs/submit-an-image.md and proven by a probe before it starts.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import docker
import requests
from docker.errors import DockerException

from adapters import container_image, container_probe
from adapters.confine import copied
from adapters.program import Supply
from harness.errors import RigError
from harness.model import noun
from harness.ports import Arrival, Bench

LABEL = "org.shipei.owner"
USER = "65534:65534"
CALL_S = 120
DYING_S = 0.5  # a process that was killed is there for a moment
MB = 1 << 20
WRITABLE = ("/tmp", "/run", "/var/tmp")
TERMINAL, HUB = "/dev/ttyS0", "/shipei/hub.sock"
KILLED = 137
LOG = {"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}}
TROUBLE = (DockerException, requests.RequestException, OSError)


class Container:
    """One life of the item at a time, each a new container of the same image."""

    def __init__(self, client: Any, image: str, settings: dict[str, Any], arrival: Arrival, evidence: Path) -> None:
        self.client, self.image, self.settings, self.arrival = client, image, settings, arrival
        self.events = evidence / "container.jsonl"
        self.output = evidence / "container-output.txt"
        self.container: Any = None
        self.over = threading.Event()
        self.why = ""

    def start(self, terminal: str) -> int:
        os.chmod(terminal, 0o666)
        volumes = {**self.settings["volumes"], terminal: {"bind": TERMINAL, "mode": "rw"}}
        try:
            self.container = self.client.containers.create(self.image, **{**self.settings, "volumes": volumes})
            self.over.clear()
            time_ns = time.monotonic_ns()
            self.container.start()
        except TROUBLE as error:
            raise RigError(f"the container cannot be started: {error}") from error
        self.note("started", container=self.container.short_id)
        threading.Thread(target=self.await_end, args=(self.container,), daemon=True).start()
        return time_ns

    def await_end(self, container: Any) -> None:
        """How it ended, as the engine tells."""
        try:
            code = container.wait(timeout=None)["StatusCode"]
            state = self.client.api.inspect_container(container.id)["State"]
        except TROUBLE as error:
            if container is self.container:
                self.why = f"the container engine is gone: {error}"
                self.over.set()
            return
        if container is not self.container:
            return
        oom = bool(state.get("OOMKilled"))
        outside = code == KILLED and not oom
        self.note("ended", code=code, out_of_memory=oom, by="somebody outside" if outside else "itself")
        self.why = f"the container was killed from outside (code {code})" if outside else ""
        self.over.set()

    def ended(self) -> str | None:
        return self.why if self.over.is_set() else None

    def end(self) -> str:
        container, self.container = self.container, None
        if container is None:
            return ""
        why = self.why if self.over.is_set() else ""
        try:
            if not self.over.is_set():
                container.kill()
                self.note("ended", by="the bench")
            with self.output.open("ab") as sink:
                sink.write(container.logs(tail=200)[-MB:])
            container.remove(force=True)
        except TROUBLE as error:
            return why or f"the container cannot be ended: {error}"
        return why

    def note(self, what: str, **facts: Any) -> None:
        """In the evidence."""
        with self.events.open("a", encoding="utf-8") as sink:
            sink.write(json.dumps({"what": what, "time_ns": time.monotonic_ns(), **facts}) + "\n")


@noun
class ContainerTarget:
    """The item as a container; `on` names the hub that carries its buses, `engine` an address such as unix:///run/docker.sock."""

    on: str = "hub"
    engine: str | None = None
    memory_mb: int = 256
    cpus: float = 1.0
    pids: int = 128
    tmpfs_mb: int = 16
    form: ClassVar[str] = "container"

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Supply]:
        with self.client() as client:
            work = bench.work / "item"
            work.mkdir(parents=True, exist_ok=True)
            archive = work / "image.tar"
            shutil.copyfile(bench.item.files["application"], archive)
            token = owner_token()
            hub = Path(bench.ports[self.on].path)
            hub.chmod(0o666)
            settings = self.settings(hub, bench, token)
            try:
                bench.tell("proving the container engine's limits")
                seen = container_probe.proven(client, settings, self.memory_mb, self.pids, self.tmpfs_mb, self.cpus)
                (bench.evidence / "container-probe.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")
                image = container_image.loaded(client, archive, work, token)
            except TROUBLE as error:
                raise RigError(f"port {name}: the container engine refuses: {error}") from error
            how = f"loaded into the container engine from a private copy and run by its id, {image}"
            supply = Supply(
                Container(client, image, settings, Arrival(how=how, sha256=copied(archive).sha256), bench.evidence)
            )
            try:
                yield supply
            finally:
                supply.close()
                removed(client, token)

    @contextmanager
    def client(self) -> Iterator[Any]:
        address = self.engine or os.environ.get("DOCKER_HOST") or usual_address()
        try:
            client = docker.DockerClient(base_url=address, timeout=CALL_S)
            client.ping()
        except TROUBLE as error:
            raise RigError(
                f"no container engine answers on {address} ({type(error).__name__}): start Docker, or `make dockerd` as root"
            ) from error
        try:
            yield client
        finally:
            client.close()

    def settings(self, hub: Path, bench: Bench, token: str) -> dict[str, Any]:
        """What a container of the item may and may not."""
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        size = f"size={self.tmpfs_mb}m,nosuid,nodev,mode=1777"
        return {
            "user": USER,
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true", f"seccomp={container_image.seccomp()}"],
            "tmpfs": dict.fromkeys(WRITABLE, size),
            "shm_size": self.tmpfs_mb * MB,
            "mem_limit": self.memory_mb * MB,
            "memswap_limit": self.memory_mb * MB,
            "nano_cpus": round(self.cpus * 1e9),
            "cpuset_cpus": cpus,
            "pids_limit": self.pids,
            "ulimits": [docker.types.Ulimit(name="nofile", soft=1024, hard=1024), docker.types.Ulimit(name="core", soft=0, hard=0)],
            "ipc_mode": "private",
            "hostname": "ecu",
            "healthcheck": {"test": ["NONE"]},
            "log_config": docker.types.LogConfig(type=LOG["type"], config=LOG["config"]),
            "labels": {LABEL: token},
            "volumes": {str(hub): {"bind": HUB, "mode": "rw"}},
            "environment": {
                "SHIPEI_HUB": HUB,
                "SHIPEI_BUSES": " ".join(bench.item.interface.buses),
                "SHIPEI_CONSOLE": TERMINAL,
            },
        }  # fmt: skip

    def make_safe(self, work: Path) -> str:
        """Remove what harnesses that are dead have left in the engine: containers, and images in quarantine."""
        with self.client() as client:
            left: set[str] = set()
            for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
                left.add(container.labels[LABEL])
            for image in client.images.list(filters={"reference": f"{container_image.QUARANTINE}/*"}):
                left |= {tag.split("/")[1].split(":")[0] for tag in image.tags}
            if left:
                time.sleep(DYING_S)
            dead = [token for token in left if not alive(token)]
            for token in dead:
                removed(client, token)
        return f"what {len(dead)} dead harnesses left was removed" if dead else "nothing was left"


def usual_address() -> str:
    """The private engine of `make dockerd` where it runs, else Docker's own."""
    private = Path("/run/shipei/docker.sock")
    return f"unix://{private}" if private.is_socket() else "unix:///var/run/docker.sock"


def removed(client: Any, token: str) -> None:
    """Everything of one owner."""
    for container in client.containers.list(all=True, filters={"label": f"{LABEL}={token}"}, ignore_removed=True):
        with contextlib.suppress(*TROUBLE):
            container.remove(force=True)
    with contextlib.suppress(*TROUBLE):
        client.images.remove(f"{container_image.QUARANTINE}/{token}:1", force=True)


def owner_token() -> str:
    """This process, so that nobody else can be it: its number, and when it started."""
    return f"p{os.getpid()}-{started(os.getpid())}"


def alive(token: str) -> bool:
    pid, _, start = token.removeprefix("p").partition("-")
    return pid.isdigit() and started(int(pid)) == start


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty if it is not there, or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
