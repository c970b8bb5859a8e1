"""What a containerised item keeps over its power cycles: a bounded volume in memory, and a container of ours that holds it between two lives."""

from typing import Any

from docker.errors import NotFound

from adapters._container.engine import LABEL
from adapters._container.image import probe_image
from harness.errors import RigError

HOME = "/home/item"  # where the item finds it, as $HOME
FOREVER = ["/bin/sleep", "2147483647"]


class Memory:
    """A volume that lives as long as its keeper."""

    def __init__(self, name: str, keeper: Any) -> None:
        self.name, self.keeper = name, keeper

    def held(self) -> None:
        """Raises RigError when nothing holds it any more: what an item forgets then is not the item's fault."""
        try:
            self.keeper.reload()
            running = self.keeper.status == "running"
        except NotFound:
            running = False
        if not running:
            raise RigError("the container that holds the item's memory between its lives was ended from outside")


def memory(client: Any, settings: dict[str, Any], token: str, user: str, megabytes: int) -> Memory:
    """Empty, of so many MB, of the item's user; it goes with all that is its owner's (container_engine.removed)."""
    owner, group = user.split(":")
    options = {
        "type": "tmpfs",
        "device": "tmpfs",
        "o": f"size={megabytes}m,mode=0700,uid={owner},gid={group},nosuid,nodev,noexec",
    }
    name = f"shipei-{token}"
    client.volumes.create(name=name, driver="local", driver_opts=options, labels={LABEL: token})
    own = {**settings, "volumes": {name: {"bind": HOME, "mode": "rw"}}, "environment": {}, "network_mode": "none"}
    keeper = client.containers.create(probe_image(client), FOREVER, **own)
    keeper.start()
    return Memory(name, keeper)
