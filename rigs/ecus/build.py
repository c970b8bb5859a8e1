"""Build the reference ECUs into submissions: a folder with the artefact, its DBC, its map and submission.yaml.

The artefact is a zip application, the same bytes for the same sources. Runs by itself: python -m rigs.ecus.build FOLDER [ECU]
"""

import hashlib
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cantools
import yaml
from cantools.database.can import Database, Message

from rigs.ecus import packages

HERE = Path(__file__).resolve().parent
DBC = HERE.parents[1] / "dbc"
SHEBANG = b"#!/usr/bin/env python3\n"
ECUS = ("cockpit-a", "cockpit-b", "driving_assistance-a", "driving_assistance-b")


def build(folder: str | Path, constants: Mapping[str, str] | None = None, ecu: str = "cockpit-a") -> Path:
    """Build a reference ECU, "LINE-VENDOR", into a folder (made new). `constants` are replaced in its calibration, by name.

    Returns the folder. Raises KeyError for a constant that the calibration does not have.
    """
    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    line, _, vendor = ecu.rpartition("-")
    text = (HERE / line / vendor / "submission.yaml").read_text(encoding="utf-8")
    declared = yaml.safe_load(text)
    for bus in declared["interface"]["buses"].values():
        for name in (bus["dbc"], bus["vss"]):
            shutil.copyfile(DBC / name, folder / name)
    flashing = declared["interface"].get("diagnostics", {}).get("flashing", {})
    for one in flashing.get("packages", ()):
        (folder / one["path"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / one["path"]).write_bytes(packages.package(one["kind"], one["version"]))
    artefact = folder / declared["artefacts"][0]["path"]
    write_zipapp(artefact, line, network(declared["interface"], configuration(line, vendor)), constants or {}, vendor)
    digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
    (folder / "submission.yaml").write_text(text.replace('"@"', digest), encoding="utf-8")
    return folder


def configuration(line: str, vendor: str) -> dict[str, Any]:
    """A vendor's configuration of a core: what its matrix calls the core's messages and signals, and other constants."""
    file = HERE / line / vendor / "configuration.yaml"
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {"messages": {}, "signals": {}, "constants": {}, **found}


def network(interface: Mapping[str, Any], names: Mapping[str, Any]) -> bytes:
    """The layout table that goes into the artefact, taken from the DBC."""
    bus = next(iter(interface["buses"].values()))
    database = cantools.database.load_file(DBC / bus["dbc"])
    rules = {r["message"]: r for r in bus.get("e2e", ())}
    if not isinstance(database, Database):
        raise TypeError(f"{bus['dbc']} is no DBC")
    table: dict[str, Any] = {"sends": [], "receives": []}
    for message in sorted(database.messages, key=lambda m: m.name):
        side = "sends" if bus["node"] in message.senders else "receives"
        table[side].append(layout(message, names) | {"e2e": rules.get(message.name)})
    table["nm"] = managed(bus.get("nm"), database, names)
    table["diagnostics"] = diagnosed(interface.get("diagnostics"), names)
    return json.dumps(table, sort_keys=True).encode()


def diagnosed(found: Mapping[str, Any] | None, names: Mapping[str, Any]) -> dict[str, Any] | None:
    """The diagnostic server's table; the messages whose loss is a trouble by their roles."""
    if found is None:
        return None
    troubles = [{**t, "lost": names["messages"].get(t["lost"], t["lost"])} for t in found.get("troubles", ())]
    known = (
        {"extended": False, "fd": False, "padding": 0xCC, "identification": []} | dict(found) | {"troubles": troubles}
    )
    return known | ({"flashing": packages.programmed(found["flashing"])} if "flashing" in found else {})


def managed(nm: Mapping[str, Any] | None, database: Database, names: Mapping[str, Any]) -> dict[str, Any] | None:
    """Network management by role: its own message, and which node it is in it."""
    if nm is None:
        return None
    return {**nm, "message": names["messages"].get(nm["message"], nm["message"])}


def layout(message: Message, names: Mapping[str, Any]) -> dict[str, Any]:
    """One message by its role in the core; `selector` is the role of the signal that chooses the page."""
    roles = {s.name: names["signals"].get(s.name, s.name) for s in message.signals}
    return {
        "name": names["messages"].get(message.name, message.name),
        "id": message.frame_id,
        "extended": message.is_extended_frame,
        "fd": message.is_fd,
        "length": message.length,
        "cycle_ms": message.cycle_time or 0,
        "selector": next((roles[s.name] for s in message.signals if s.is_multiplexer), None),
        "signals": [
            {
                "role": roles[s.name],
                "start": s.start,
                "bits": s.length,
                "big": s.byte_order == "big_endian",
                "signed": s.is_signed,
                "scale": s.scale,
                "offset": s.offset,
                "page": s.multiplexer_ids[0] if s.multiplexer_ids else None,
            }
            for s in message.signals
        ],
    }


def write_zipapp(artefact: Path, line: str, network_table: bytes, constants: Mapping[str, str], vendor: str) -> None:
    """A zip application with fixed dates and order."""
    files = {f"common/{f.name}": f.read_bytes() for f in sorted((HERE / "common").glob("*.py"))}
    files |= {f"{line}/{f.name}": f.read_bytes() for f in sorted((HERE / line).glob("*.py"))}
    files["__main__.py"] = files.pop(f"{line}/__main__.py")
    files["common/network.json"] = network_table
    calibration = files[f"{line}/calibration.py"].decode()
    for name, value in {**configuration(line, vendor)["constants"], **constants}.items():
        line_of_code = f"{name} = {value}".replace("\\", "\\\\")
        calibration, found = re.subn(rf"(?m)^{name} = .*$", line_of_code, calibration)
        if not found:
            raise KeyError(f"the calibration has no constant {name}")
    files[f"{line}/calibration.py"] = calibration.encode()
    with artefact.open("wb") as stream:
        stream.write(SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name], zipfile.ZIP_DEFLATED)
    artefact.chmod(0o755)


if __name__ == "__main__":
    print(build(sys.argv[1], ecu=sys.argv[2] if len(sys.argv) > 2 else "cockpit-a"))
