"""How a submission's artefact is started: behind a fence where this host can put one up, with limits, and death with its parent."""

import hashlib
import os
import resource
import select
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters._process import fence
from harness.errors import MOST_SHOWN, RigError, shown
from harness.ports import Arrival
from harness.processes import children, die_with_parent

LIMITS = {
    resource.RLIMIT_AS: 2_000_000_000,
    resource.RLIMIT_FSIZE: 100_000_000,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}
ARTEFACT = "artefact"  # in an item's folder
FENCED = "namespaces of its own"
BEGINS_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What an item has around it: `work`, a folder with its artefact, home and tmp; what it is told in its environment; which files of the host it sees
    beside (a hub, a terminal); whether it has the host's network (the kernel's CAN).
    """

    work: Path
    told: Mapping[str, str]
    seen: tuple[str, ...] = ()
    network: bool = False

    @property
    def fence(self) -> str:
        """In words: what keeps the item from the lab's things, or why nothing does."""
        why = fence.lacking(self.network)
        if why:
            return f"unfenced: {why}"
        return f"{FENCED}, but with the host's network" if self.network else FENCED


class Begun:
    """An item that runs; `child` is what we started, `pid` the item itself."""

    def __init__(self, child: "subprocess.Popen[bytes]", fenced: bool) -> None:
        self.child, self.fenced = child, fenced

    @property
    def pid(self) -> int:
        """Behind a fence our child's child keeps the place, and the item is what that started."""
        found = self.child.pid
        for _ in range(2 if self.fenced else 0):
            found = next(iter(children(found)), found)
        return found


def begin(around: Surroundings, **streams: Any) -> Begun:
    """Start `work`/artefact; when this returns, it starts. Raises RigError when it cannot be started."""
    for folder in ("home", "tmp"):
        (around.work / folder).mkdir(parents=True, exist_ok=True)
    told = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **around.told}
    try:
        if not fence.lacking(around.network):
            return behind_a_fence(around, told, streams)
        own = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(around.work / "home"),
            "TMPDIR": str(around.work / "tmp"),
        }
        child = subprocess.Popen(
            [str(around.work / ARTEFACT)],
            cwd=around.work / "home",
            env={**own, **told},
            preexec_fn=limit_self,
            **streams,
        )
    except OSError as error:
        raise RigError(f"the artefact cannot be started: {error.strerror}") from error
    return Begun(child, fenced=False)


def behind_a_fence(around: Surroundings, told: Mapping[str, str], streams: Mapping[str, Any]) -> Begun:
    reads, writes = os.pipe()
    try:
        child = subprocess.Popen(
            fence.command(around.work, writes, around.seen, network=around.network), env=fence.environment(told),
            pass_fds=(writes,), preexec_fn=limit_self, **streams,
        )  # fmt: skip
        os.close(writes)
        writes = -1
        if not (select.select([reads], [], [], BEGINS_S)[0] and os.read(reads, 1)):
            child.kill()
            child.wait()
            said = (around.work / "stderr.txt").read_text(encoding="utf-8", errors="replace") if streams else ""
            raise RigError(f"the artefact cannot be started: its fence was not put up: {shown(said[-MOST_SHOWN:])}")
    finally:
        os.close(reads)
        if writes >= 0:
            os.close(writes)
    return Begun(child, fenced=True)


def copied(artefact: Path) -> Arrival:
    """An artefact that is started from a private copy: the digest is the copy's."""
    with artefact.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Arrival(how="started from a private copy on the rig's host", sha256=digest)


def limit_self() -> None:
    """In the child, before the artefact starts."""
    die_with_parent()
    for what, most in LIMITS.items():
        if sys.platform == "linux" or what != resource.RLIMIT_AS:
            resource.setrlimit(what, (most, most))
