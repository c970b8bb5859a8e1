"""The network of a container on kernel CAN: a namespace of its own with nothing in it but one end of a vxcan pair for each bus.

It belongs to a container of ours that does nothing, so that it outlives the item's power cycles. Linux with vxcan, as root.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from adapters._container import image
from adapters._container.engine import LABEL, TROUBLE, connected, owner_token, removed
from harness.errors import RigError
from harness.model import noun
from harness.ports import Bench

TOOL_S = 20
WAIT = ["/bin/sh", "-c", "while sleep 1000; do :; done"]


class Network:
    """A namespace that containers join. `channels`: what each bus is called in it."""

    uncertainty_ns = 0

    def __init__(self, mode: str, channels: Mapping[str, str]) -> None:
        self.mode, self.channels = mode, channels


@noun
class ContainerNetwork:
    """For `on` of a ContainerTarget, and above its buses, which open the bench's ends of the pairs: `pairs` names them by bus."""

    pairs: Mapping[str, str]
    engine: str | None = None
    opens: ClassVar[tuple[str, ...]] = ("network",)
    virtual: ClassVar[bool] = True

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Network]:
        with connected(self.engine) as client:
            token = f"{owner_token()}-network"
            try:
                holder = self.holder(client, token)
                channels = {}
                for number, (bus, channel) in enumerate(self.pairs.items()):
                    if bus in bench.item.interface.buses:
                        channels[bus] = f"can{number}"
                        pair(name, channel, channels[bus], holder.attrs["State"]["Pid"])
                yield Network(f"container:{holder.id}", channels)
            except TROUBLE as error:
                raise RigError(f"port {name}: the container engine refuses: {error}") from error
            finally:
                removed(client, token)  # and with the namespace the pairs

    def holder(self, client: Any, token: str) -> Any:
        holder = client.containers.create(
            image.probe_image(client), WAIT, network_mode="none", read_only=True, cap_drop=["ALL"], user="65533:65533",
            pids_limit=8, labels={LABEL: token}, environment={"PATH": "/bin"},
        )  # fmt: skip
        holder.start()
        holder.reload()
        return holder


def pair(name: str, here: str, there: str, pid: int) -> None:
    """A vxcan pair, its other end in the namespace of a process, both up with CAN FD. Raises RigError when the kernel has none."""
    for command in (
        ["ip", "link", "add", here, "type", "vxcan", "peer", "name", there, "netns", str(pid)],
        ["ip", "link", "set", here, "mtu", "72", "up"],
        ["nsenter", "-t", str(pid), "-n", "ip", "link", "set", there, "mtu", "72", "up"],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RigError(f"port {name}: {command[0]}: {error} (Debian: apt install iproute2 util-linux)") from error
        if done.returncode:
            said = done.stderr.strip() or f"code {done.returncode}"
            raise RigError(
                f"port {name}: `{' '.join(command)}`: {said}; a vxcan pair needs root and a kernel with vxcan"
            )
