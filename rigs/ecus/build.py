"""Build the reference ECUs into submissions: a folder with the artefact, its DBC, its map and submission.yaml.

The artefact is a zip application, the same bytes for the same sources. Runs by itself: python -m rigs.ecus.build FOLDER
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
from cantools.database.can import Database

HERE = Path(__file__).resolve().parent
DBC = HERE.parents[1] / "dbc"
SHEBANG = b"#!/usr/bin/env python3\n"


def build(folder: str | Path, constants: Mapping[str, str] | None = None) -> Path:
    """Build the cockpit into a folder (made new). `constants` are replaced in its calibration, by name.

    Returns the folder. Raises KeyError for a constant that the calibration does not have.
    """
    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    source = HERE / "cockpit"
    declared = yaml.safe_load((source / "submission.yaml").read_text(encoding="utf-8"))
    bus = declared["interface"]["buses"]["body"]
    for name in (bus["dbc"], bus["vss"]):
        shutil.copyfile(DBC / name, folder / name)
    artefact = folder / declared["artefacts"][0]["path"]
    write_zipapp(artefact, source, network(bus), constants or {})
    text = (source / "submission.yaml").read_text(encoding="utf-8")
    digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
    (folder / "submission.yaml").write_text(text.replace('"@"', digest), encoding="utf-8")
    return folder


def network(bus: Mapping[str, Any]) -> bytes:
    """The layout table that goes into the artefact, taken from the DBC."""
    database = cantools.database.load_file(DBC / bus["dbc"])
    rules = {r["message"]: (r["profile"], r["data_id"]) for r in bus["e2e"]}
    assert isinstance(database, Database)
    table: dict[str, dict[str, Any]] = {"sends": {}, "receives": {}}
    for message in database.messages:
        side = "sends" if bus["node"] in message.senders else "receives"
        table[side][message.name] = {
            "id": message.frame_id,
            "extended": message.is_extended_frame,
            "length": message.length,
            "cycle_ms": message.cycle_time or 0,
            "e2e": rules.get(message.name),
            "signals": {
                s.name: (s.start, s.length, s.byte_order == "big_endian", s.is_signed, s.scale, s.offset)
                for s in message.signals
            },
        }
    return json.dumps(table, sort_keys=True).encode()


def write_zipapp(artefact: Path, source: Path, network_table: bytes, constants: Mapping[str, str]) -> None:
    """A zip application with fixed dates and order."""
    files = {f"cockpit/{f.name}": f.read_bytes() for f in sorted(source.glob("*.py")) if f.name != "__main__.py"}
    files["__main__.py"] = (source / "__main__.py").read_bytes()
    files["cockpit/network.json"] = network_table
    calibration = files["cockpit/calibration.py"].decode()
    for name, value in constants.items():
        calibration, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", calibration)
        if not found:
            raise KeyError(f"the calibration has no constant {name}")
    files["cockpit/calibration.py"] = calibration.encode()
    with artefact.open("wb") as stream:
        stream.write(SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name], zipfile.ZIP_DEFLATED)
    artefact.chmod(0o755)


if __name__ == "__main__":
    print(build(sys.argv[1]))
