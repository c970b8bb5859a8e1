"""An item that runs in real time as a container: a vendor's image, bounded, on the rig's hub, its console on a PTY.

The engine is Docker's, through its SDK. What holds an item is listed in docs/submit-an-image.md and proven by a probe before it starts.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import docker

from adapters._container import image as container_image
from adapters._container import probe
from adapters._container.engine import LABEL, TROUBLE, connected, owner_token, remove_what_the_dead_left, removed
from adapters._container.memory import HOME, Memory, memory
from adapters._container.probe import Limits
from adapters._process.confine import copied
from adapters.program import Supply
from harness.errors import RigError
from harness.model import noun
from harness.ports import Arrival, Bench, StandsOn

USER = "65534:65534"
MB = 1 << 20
WRITABLE = ("/tmp", "/run", "/var/tmp")
TERMINAL, HUB = "/dev/ttyS0", "/shipei/hub.sock"
KILLED = 137
LOG = {"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}}


class Container:
    """One life of the item at a time, each a new container of the same image.

    It starts when the engine says that its process did: what the engine takes before that is the lab's time, not the device's.
    """

    uncertainty_ns = 20_000_000
    fence = "a container"

    def __init__(
        self, client: Any, image: str, settings: dict[str, Any], memory: Memory, arrival: Arrival, evidence: Path
    ) -> None:
        self.client, self.image, self.settings, self.memory, self.arrival = client, image, settings, memory, arrival
        self.events = evidence / "container.jsonl"
        self.output = evidence / "container-output.txt"
        self.container: Any = None
        self.over = threading.Event()
        self.why = ""

    def start(self, terminal: str) -> int:
        os.chmod(terminal, 0o666)
        own = {terminal: {"bind": TERMINAL, "mode": "rw"}, self.memory.name: {"bind": HOME, "mode": "rw"}}
        volumes = {**self.settings["volumes"], **own}
        try:
            self.memory.held()
            self.container = self.client.containers.create(self.image, **{**self.settings, "volumes": volumes})
            self.over.clear()
            self.container.start()
            self.container.reload()
            time_ns = monotonic_of(self.container.attrs["State"]["StartedAt"])
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

    def stall_ns(self) -> int:
        """Nobody knows: what it waits for is as well its own limit of CPU."""
        return 0

    def note(self, what: str, **facts: Any) -> None:
        """In the evidence."""
        with self.events.open("a", encoding="utf-8") as sink:
            sink.write(json.dumps({"what": what, "time_ns": time.monotonic_ns(), **facts}) + "\n")


@noun
class ContainerTarget:
    """The item as a container; `on` names the hub or the ContainerNetwork that carries its buses, `engine` an address such as
    unix:///run/docker.sock."""

    on: str = "hub"
    engine: str | None = None
    memory_mb: int = 256
    cpus: float = 1.0
    pids: int = 128
    tmpfs_mb: int = 16
    form: ClassVar[str] = "container"
    opens: ClassVar[tuple[str, ...]] = ("power", "terminal")
    virtual: ClassVar[bool] = True

    def stands_on(self) -> StandsOn:
        return {"on": ("hub", "network")}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Supply]:
        work = bench.work / "item"
        work.mkdir(parents=True, exist_ok=True)
        archive = work / "image.tar"
        shutil.copyfile(bench.item.files["application"], archive)
        token = owner_token()
        settings = self.settings(bench.ports[self.on], bench, token)
        with ExitStack() as stack:
            client = stack.enter_context(connected(self.engine))
            stack.callback(removed, client, token)
            try:
                kept = memory(client, settings, token, USER, self.tmpfs_mb)
                self.prove(client, settings, kept, bench)
                image = container_image.loaded(client, archive, work, token)
            except TROUBLE as error:
                raise RigError(f"port {name}: the container engine refuses: {error}") from error
            how = f"loaded into the container engine from a private copy and run by its id, {image}"
            arrival = Arrival(how=how, sha256=copied(archive).sha256)
            supply = Supply(Container(client, image, settings, kept, arrival, bench.evidence))
            stack.callback(supply.close)
            yield supply

    def prove(self, client: Any, settings: dict[str, Any], kept: Memory, bench: Bench) -> None:
        """What the engine keeps of the limits goes into the evidence."""
        bench.tell("proving the container engine's limits")
        links = 1 + len(getattr(bench.ports[self.on], "channels", ()))
        limits = Limits(memory_mb=self.memory_mb, pids=self.pids, tmpfs_mb=self.tmpfs_mb, cpus=self.cpus, links=links)
        seen = probe.proven(client, settings, kept.name, limits)
        (bench.evidence / "container-probe.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")

    def settings(self, buses: Any, bench: Bench, token: str) -> dict[str, Any]:
        """What a container of the item may and may not; `buses` is the hub, or the network of a container on kernel CAN."""
        mine = os.sched_getaffinity(0)
        cpuset = {"cpuset_cpus": ",".join(map(str, sorted(mine)))} if len(mine) < (os.cpu_count() or 1) else {}
        size = f"size={self.tmpfs_mb}m,nosuid,nodev,mode=1777"
        return {
            "user": USER,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true", f"seccomp={container_image.seccomp()}"],
            "tmpfs": dict.fromkeys(WRITABLE, size),
            "shm_size": self.tmpfs_mb * MB,
            "mem_limit": self.memory_mb * MB,
            "memswap_limit": self.memory_mb * MB,
            "nano_cpus": round(self.cpus * 1e9),
            "pids_limit": self.pids,
            "ulimits": [docker.types.Ulimit(name="nofile", soft=1024, hard=1024), docker.types.Ulimit(name="core", soft=0, hard=0)],
            "ipc_mode": "private",
            "healthcheck": {"test": ["NONE"]},
            "log_config": docker.types.LogConfig(type=LOG["type"], config=LOG["config"]),
            "labels": {LABEL: token},
            **cpuset,
            **reached(buses, bench.item.interface.buses),
        }  # fmt: skip

    def make_safe(self, work: Path) -> str:
        """Remove what harnesses that are dead have left in the engine."""
        return remove_what_the_dead_left(self.engine)


def monotonic_of(stamp: str) -> int:
    """An engine's stamp (RFC 3339, to the nanosecond) as a reading of CLOCK_MONOTONIC."""
    whole, _, rest = stamp.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return int(seconds) * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0) - (time.time_ns() - time.monotonic_ns())


def reached(buses: Any, names: Iterable[str]) -> dict[str, Any]:
    """How an item comes to its buses: by the hub's socket and no network, or by interfaces in a network of its own."""
    if hasattr(buses, "channels"):
        told = {"SHIPEI_CAN": " ".join(f"{b}={c}" for b, c in buses.channels.items())}
        return {
            "network_mode": buses.mode,
            "volumes": {},
            "environment": {**told, "SHIPEI_CONSOLE": TERMINAL, "HOME": HOME},
        }
    hub = Path(buses.path)
    hub.chmod(0o666)
    told = {"SHIPEI_HUB": HUB, "SHIPEI_BUSES": " ".join(names), "SHIPEI_CONSOLE": TERMINAL, "HOME": HOME}
    return {
        "network_mode": "none",
        "hostname": "ecu",
        "volumes": {str(hub): {"bind": HUB, "mode": "rw"}},
        "environment": told,
    }
