"""A target that somebody else has flashed: the rig puts nothing on it and identifies what is there, by reading it back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from adapters._flash.flashing import Flashed, image_of
from adapters._flash.identify import identified
from adapters._process import commands
from adapters.flash_command import digest_in
from harness.errors import DeviceError, RigError, given
from harness.model import noun
from harness.ports import OR_NOTHING, Arrival, Bench, StandsOn


@noun
class Preflashed:
    """Identified by a lab's program that prints the SHA-256 of what is on the target, or by the data identifiers that the
    submission declares, read over the diagnostics port named in `on`. The supply named in `power` is on meanwhile."""

    command: tuple[str, ...] = ()
    on: str | None = None
    power: str | None = "power"
    limit_s: float = 30.0
    virtual: ClassVar[bool] = False

    def stands_on(self) -> StandsOn:
        return {"on": ("diagnostics",), "power": ("power", OR_NOTHING)}

    @contextmanager
    def open(self, name: str, bench: Bench) -> Iterator[Flashed]:
        if bool(self.command) is (self.on is not None):
            raise RigError(f"port {name}: say either `command`, or `on`: the port to read identifiers over")
        power = bench.ports.get(self.power or "")
        if power is not None:
            power.on()
        arrival = self.by_digest(bench) if self.command else self.by_identifiers(name, bench)
        if power is not None:
            power.off()
        yield Flashed(arrival)

    def by_digest(self, bench: Bench) -> Arrival:
        _, digest = image_of(bench)
        values = {"artefact": bench.item.files["application"], "sha256": digest}
        digest_in(commands.run(self.command, self.limit_s, values), digest, self.command[0])
        return Arrival(how=f"preflashed, its SHA-256 read back with {self.command[0]}", sha256=digest)

    def by_identifiers(self, name: str, bench: Bench) -> Arrival:
        """Identifiers tell a version and not bytes: the certificate says which ones were read."""
        try:
            said = identified(bench.item, bench.ports[given(self.on)], self.limit_s)
        except DeviceError as error:
            raise RigError(f"port {name}: the item is not identified: {error}") from error
        if not said:
            raise RigError(
                f"port {name}: the submission declares no identification to read back (interface.diagnostics)"
            )
        return Arrival(how=f"preflashed; the device says of itself: {said}", sha256=image_of(bench)[1])
