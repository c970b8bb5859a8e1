"""Open every port of a rig with an item on it, and say what works, what does not, and what to look at."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.commissioning.loopback import Loop, measure
from harness.errors import BadInput
from harness.inputs import rig
from harness.inputs.rig import Opening, RigFile
from harness.inputs.submission import Submitted
from harness.model import Item, Rig
from harness.paths import memory_of_rig, scratch
from harness.ports import ERROR, TX, Bench, CanBus, Clock, Console, Power
from harness.run import Watch
from harness.vehicle.operated import Operated

LISTEN_S = 1.0
Reference = Callable[[Path], Item]  # an item, made in a folder


@dataclass
class Found:
    """A row for each port, in the order they open; and what loop-backs measured."""

    rows: dict[str, dict[str, Any]]
    loops: list[Loop] = field(default_factory=list)

    def say(self, name: str, ok: bool, says: str) -> None:
        self.rows[name].update(ok=ok, says=says)

    def opening(self, flash: bool) -> Opening:
        """Every port that opens or does not is a row; one that would put the image on the device stays closed unless that is wanted."""
        changes = "it would put the image on the device; --flash does"
        return Opening(
            opened=self.opened,
            left=lambda name, why: self.say(name, True, f"not opened: {why}"),
            failed=lambda name, error: self.say(name, False, str(error).removeprefix(f"port {name}: ")),
            stays=lambda recipe: changes if getattr(recipe, "changes_device", False) and not flash else "",
        )

    def opened(self, name: str, port: Any) -> None:
        about = getattr(port, "about", "")
        self.say(name, True, f"open, exact to {port.uncertainty_ns / 1e6:g} ms" + (f"; {about}" if about else ""))

    @property
    def ok(self) -> bool:
        return all(row["ok"] for row in self.rows.values())


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How far a check goes: `long` also measures ports that are wired together, `flash` also puts the image on the device."""

    long: bool = False
    flash: bool = False


def check(said: RigFile, given: Submitted | None, reference: Reference, extent: Extent, watch: Watch) -> Found:
    """Open what can be opened, listen to the device for a moment, measure what is wired together where asked.

    `reference` makes the item that stands there where no submission is given. Raises BadInput when the rig file or the submission is wrong.
    """
    loaded = said.rig
    if given is None and "image" in said.forms:
        raise BadInput(
            f"the rig {loaded.name} runs complete images: name one with --submission (`shipei images build` makes some)"
        )
    found = Found(
        {n: {"port": n, "use": p["use"], "ok": False, "says": "not reached"} for n, p in loaded.ports.items()}
    )
    with scratch("shipei-check-") as work, ExitStack() as stack:
        bench = Bench(
            item=reference(work) if given is None else given.item,
            work=work,
            evidence=work,
            ports={},
            memory=memory_of_rig(loaded.name),
            tell=watch,
        )
        ports = stack.enter_context(rig.opened(said, bench, found.opening(extent.flash)))
        if found.ok and given is not None:
            found.rows["device"] = {"port": "device", "use": "", "ok": False, "says": ""}
            found.say("device", *heard(ports, ready_s(given)))
        if extent.long:
            found.loops = loops(loaded, ports, found, watch)
    return found


def ready_s(given: Submitted) -> float:
    """How long the device says that it takes to be ready."""
    declared = given.submission.features.get("boot", {}).get("ready_s", 0.0)
    return max(LISTEN_S, float(declared))


def heard(ports: Mapping[str, Any], most_s: float) -> tuple[bool, str]:
    """Power on, listen until everything was heard or the time is over, power off: what was heard of the device, and whether no port
    was left out.
    """
    buses = {n: p for n, p in ports.items() if isinstance(p, CanBus)}
    supply = next((p for p in ports.values() if isinstance(p, Power)), None)
    console = next((p for p in ports.values() if isinstance(p, Console)), None)
    before = {name: len(bus.rows()) for name, bus in buses.items()}
    lines = len(console.lines()) if console else 0
    if supply is not None:
        supply.on()

    def count() -> dict[str, int]:
        rows = {n: bus.rows(before[n])["flags"] for n, bus in buses.items()}
        found = {f"frames on {n}": int((flags & (TX | ERROR) == 0).sum()) for n, flags in rows.items()}
        return found | ({"lines on the console": len(console.lines(lines))} if console is not None else {})

    clock, listened_s = next(iter(buses.values()), console), 0.0
    while isinstance(clock, Clock) and listened_s < most_s and (listened_s < LISTEN_S or not all(count().values())):
        Operated.until(clock, clock.now_ns() + round(LISTEN_S * 1e9))
        listened_s += LISTEN_S
    counts = count()
    if supply is not None:
        supply.off()
    text = f"within {listened_s:g} s of power-on: " + ", ".join(f"{n} {what}" for what, n in counts.items())
    silent = [what for what, n in counts.items() if not n]
    if not silent:
        return True, text
    if len(silent) == len(counts):
        return False, f"{text}: nothing at all is heard: check the supply, and that an image is on the device"
    return (
        False,
        f"{text}: the device is alive, but not here: check wiring, bit rate (CAN: termination too) and baud rate",
    )


def loops(loaded: Rig, ports: Mapping[str, Any], found: Found, watch: Watch) -> list[Loop]:
    """What goes out on one port of each wired pair, against when it comes in on the other."""
    measured = []
    for a, b in loaded.wired:
        if a in ports and b in ports:
            watch(f"measuring {a} against {b}")
            loop = measure(a, ports[a], b, ports[b])
            measured.append(loop)
            found.rows[f"{a} - {b}"] = {
                "port": f"{a} - {b}",
                "use": "loop-back",
                "ok": loop.lost == 0,
                "says": loop.in_words(),
            }
    return measured
