"""The container engine: how it is reached, what in it is whose, and how what a dead harness left is removed."""

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

from adapters._container.image import QUARANTINE
from harness.errors import RigError

LABEL = "org.shipei.owner"
CALL_S = 120
DYING_S = 0.5  # a process that was killed is there for a moment
TROUBLE = (DockerException, requests.RequestException, OSError)


@contextmanager
def connected(engine: str | None) -> Iterator[Any]:
    """A client of the engine. Raises RigError, saying what to do, when none answers."""
    address = engine or os.environ.get("DOCKER_HOST") or usual_address()
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


def remove_what_the_dead_left(engine: str | None) -> str:
    """Containers, and images in quarantine, of harnesses that are dead; what was done, in words."""
    with connected(engine) as client:
        left: set[str] = set()
        for container in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
            left.add(container.labels[LABEL])
        for volume in client.volumes.list(filters={"label": LABEL}):
            left.add(volume.attrs["Labels"][LABEL])
        for image in client.images.list(filters={"reference": f"{QUARANTINE}/*"}):
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
    left: list[Any] = []
    with contextlib.suppress(*TROUBLE):  # the engine may be gone; then the next start removes them
        left = client.containers.list(all=True, filters={"label": f"{LABEL}={token}"}, ignore_removed=True)
    for container in left:
        with contextlib.suppress(*TROUBLE):
            container.remove(force=True)
    with contextlib.suppress(*TROUBLE):
        for volume in client.volumes.list(filters={"label": f"{LABEL}={token}"}):
            volume.remove(force=True)
    with contextlib.suppress(*TROUBLE):
        client.images.remove(f"{QUARANTINE}/{token}:1", force=True)


def owner_token() -> str:
    """This process, so that nobody else can be it: its number, and when it started."""
    return f"p{os.getpid()}-{started(os.getpid())}"


def alive(token: str) -> bool:
    pid, start = token.removeprefix("p").split("-")[:2]
    return pid.isdigit() and started(int(pid)) == start


def started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty if it is not there, or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
