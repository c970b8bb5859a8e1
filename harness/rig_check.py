"""Open every port of a rig with an item on it, and say what works and what does not."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from harness import plan, rig
from harness import submission as submissions
from harness.errors import Fault
from harness.model import Item


def check(rig_file: Path, submission: Path | None) -> list[dict[str, Any]]:
    """One row a port: name, recipe, ok, and what it said. A port that does not open ends the check.

    Raises BadInput when the rig file or the submission is wrong.
    """
    loaded = rig.load(rig_file)
    rows: dict[str, dict[str, Any]] = {
        name: {"port": name, "use": port["use"], "ok": False, "says": "not reached"}
        for name, port in loaded.ports.items()
    }

    def opened(name: str, port: Any) -> None:
        rows[name].update(ok=True, says=f"open, exact to {port.uncertainty_ns / 1e6:g} ms")

    with tempfile.TemporaryDirectory(prefix="shipei-check-") as folder:
        work = Path(folder)
        found = item(submission, work)
        for name, recipe in rig.recipes(rig_file).items():
            if rig.stays_closed(name, recipe, found):
                rows[name].update(ok=True, says="not opened: the item does not speak a bus of this name")
        try:
            with rig.opened(rig_file, found, work, work, opened):
                pass
        except Fault as error:
            broken = next((row for row in rows.values() if not row["ok"]), list(rows.values())[-1])
            broken.update(ok=False, says=str(error))
    return list(rows.values())


def item(submission: Path | None, work: Path) -> Item:
    """The given submission's item; or the reference cockpit's, speaking every bus that a reference ECU speaks."""
    if submission is not None:
        file = submissions.locate(submission)
        return plan.item_of(submissions.load(file), file.parent)
    from rigs.ecus import build

    items = [item(build.build(work / ecu, ecu=ecu), work) for ecu in ("driving_assistance-a", "cockpit-a")]
    buses = {name: bus for one in items for name, bus in one.interface.buses.items()}
    return dataclasses.replace(items[-1], interface=dataclasses.replace(items[-1].interface, buses=buses))
