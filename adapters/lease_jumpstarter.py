"""A Jumpstarter lease, through its own client program `jmp` in an environment of its own."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from adapters._process.commands import run
from adapters.lease_command import Watched, given_back, waited
from harness.errors import RigError
from harness.model import noun


@noun
class JumpstarterLease:
    """`jmp` is how the client is called; `selector` (labels) or `exporter` (a name) say which bench. The lease is prolonged while
    it is in use."""

    jmp: tuple[str, ...] = ("jmp",)
    selector: str | None = None
    exporter: str | None = None
    duration_min: int = 60
    wait_s: float = 600.0
    look_s: float = 5.0
    limit_s: float = 60.0

    @contextmanager
    def reserve(self, rig: str, tell: Callable[[str], None]) -> Iterator[Watched]:
        if (self.selector is None) is (self.exporter is None):
            raise RigError("a Jumpstarter lease needs either `selector` or `exporter`")
        which = ("--selector", self.selector) if self.selector else ("--name", self.exporter or "")
        made = run((*self.jmp, "create", "lease", *which, "--duration", self.duration, "-o", "name"), self.limit_s)
        name = made.strip().rpartition("/")[2]
        try:
            waited(lambda: self.not_yet(name), self.wait_s, self.look_s, tell)
            watched = Watched(lambda: self.look(name), self.look_s)
            try:
                yield watched
            finally:
                watched.close()
        finally:
            given_back(lambda: run((*self.jmp, "delete", "leases", name), self.limit_s), tell)

    @property
    def duration(self) -> str:
        return f"{self.duration_min}m"

    def lease(self, name: str) -> dict[str, Any] | None:
        """What the controller says of the lease; None when it knows none of that name."""
        said = run((*self.jmp, "get", "leases", "-o", "json"), self.limit_s)
        try:
            found: list[dict[str, Any]] = json.loads(said)["leases"]
        except (ValueError, KeyError, TypeError) as error:
            raise RigError(f"{self.jmp[0]} get leases -o json: not what was expected: {said[:120]!r}") from error
        return next((lease for lease in found if lease.get("name") == name), None)

    def not_yet(self, name: str) -> str:
        """Why the lease does not hold yet; raises RigError when it never will."""
        lease = self.lease(name)
        if lease is None:
            raise RigError(f"Jumpstarter does not know the lease {name} any more")
        if ready(lease):
            return ""
        said = [
            f"{c.get('type')}: {c.get('message') or c.get('reason', '')}".rstrip(": ")
            for c in lease.get("conditions", ())
        ]
        if any(
            c.get("type") in ("Invalid", "Unsatisfiable") and c.get("status") == "True"
            for c in lease.get("conditions", ())
        ):
            raise RigError(f"Jumpstarter cannot give the lease {name}: {', '.join(said)}")
        return f"Jumpstarter has not given {name} yet ({', '.join(said) or 'no word'})"

    def look(self, name: str) -> None:
        lease = self.lease(name)
        if lease is None or not ready(lease) or lease.get("effective_end_time"):
            raise RigError(f"the Jumpstarter lease {name} is lost: it ended, or somebody took it back")
        begun = lease.get("effective_begin_time")
        length_s = float(lease.get("duration", 0))
        if begun and length_s and time.time() - datetime.fromisoformat(begun).timestamp() > length_s / 2:
            longer = f"{round(length_s / 60) + self.duration_min}m"
            run((*self.jmp, "update", "lease", name, "--duration", longer), self.limit_s)


def ready(lease: dict[str, Any]) -> bool:
    """
    >>> ready({"exporter": "bench-7", "conditions": [{"type": "Ready", "status": "True"}]})
    True
    """
    given = any(c.get("type") == "Ready" and c.get("status") == "True" for c in lease.get("conditions", ()))
    return given and bool(lease.get("exporter"))
