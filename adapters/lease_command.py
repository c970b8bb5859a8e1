"""A reservation of the bench by programs of the lab: one that acquires, one that says whether it is still ours, one that releases."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from adapters._process.commands import run
from harness.errors import RigError
from harness.model import noun


class Watched:
    """A reservation that a thread looks after; `look` raises RigError when it is lost."""

    def __init__(self, look: Callable[[], None], every_s: float) -> None:
        self.look, self.every_s = look, every_s
        self.lost = ""
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self) -> None:
        while not self.over.wait(self.every_s):
            try:
                self.look()
            except RigError as error:
                self.lost = str(error)
                return

    def alive(self) -> None:
        if self.lost:
            raise RigError(self.lost)

    def close(self) -> None:
        self.over.set()
        self.thread.join(self.every_s + 5.0)


def waited(acquire: Callable[[], str], limit_s: float, every_s: float, tell: Callable[[str], None]) -> None:
    """Ask until it is ours; `acquire` returns why not yet, empty when it is. Raises RigError at the limit."""
    deadline = time.monotonic() + limit_s
    while why := acquire():
        if time.monotonic() >= deadline:
            raise RigError(f"{why}; waited {limit_s:g} s")
        tell(f"waiting for the reservation: {why}")
        time.sleep(every_s)


def given_back(give_back: Callable[[], object], tell: Callable[[str], None]) -> None:
    """A reservation that cannot be given back is told and costs no verdict: the run is over."""
    try:
        give_back()
    except RigError as error:
        tell(f"the reservation could not be given back: {error}")


@noun
class CommandLease:
    """`acquire` is tried until it succeeds; `check` fails when the bench is no longer ours. {rig} is the rig's name."""

    acquire: tuple[str, ...]
    check: tuple[str, ...]
    release: tuple[str, ...]
    wait_s: float = 600.0
    look_s: float = 2.0
    limit_s: float = 30.0

    @contextmanager
    def reserve(self, rig: str, tell: Callable[[str], None]) -> Iterator[Watched]:
        values = {"rig": rig}

        def acquire() -> str:
            try:
                run(self.acquire, self.limit_s, values)
            except RigError as error:
                return str(error)
            return ""

        def look() -> None:
            try:
                run(self.check, self.limit_s, values)
            except RigError as error:
                raise RigError(f"the reservation of {rig} is lost: {error}") from error

        waited(acquire, self.wait_s, self.look_s, tell)
        watched = Watched(look, self.look_s)
        try:
            yield watched
        finally:
            watched.close()
            given_back(lambda: run(self.release, self.limit_s, values), tell)
