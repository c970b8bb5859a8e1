"""VSS paths and where they are on a bus: the map in the form of KUKSA's CAN provider (vss_dbc.json).

A leaf carries `dbc2vss` (the value is in this signal) or `vss2dbc` (the value is commanded by this signal), with an optional
`transform: {mapping: [{from: label, to: value}]}`. A transform by formula is refused: a submission carries no code.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from harness import documents
from harness.can.decode import Codec
from harness.documents import Document, Path_, meant
from harness.errors import BadInput
from harness.model import Value
from harness.paths import DBC

PAIRS = (
    ("on", "off"),
    ("true", "false"),
    ("yes", "no"),
    ("valid", "invalid"),
    ("active", "inactive"),
    ("open", "closed"),
    ("left", "right"),
)
OPPOSITES = {word: other for pair in PAIRS for word, other in (pair, pair[::-1])}
GEARS = {
    "reverse": -1,
    "r": -1,
    "neutral": 0,
    "n": 0,
    "park": 126,
    "p": 126,
    "drive": 127,
    "d": 127,
}  # VSS, Transmission.*Gear
LEAF_KEYS = {
    "type",
    "datatype",
    "unit",
    "min",
    "max",
    "description",
    "comment",
    "allowed",
    "dbc2vss",
    "vss2dbc",
    "uuid",
}
LINK_KEYS = {"signal", "transform", "interval_ms", "on_change"}


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """Where one VSS path lives: the message and signal, and how labels translate."""

    path: str
    message: str
    signal: str
    to_vss: Mapping[str, Value] = field(default_factory=dict)


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Every path that suites and maps may use, with datatype, unit, origin (vss or overlay) and meaning."""
    found: Mapping[str, Mapping[str, str]] = documents.read(DBC / "vss.yaml").data
    return found


def check(file: Path, shown: str, codec: Codec) -> tuple[list[str], Mapping[str, Mapped]]:
    """Return every mistake in a map, and what it maps."""
    try:
        document = documents.read(file, name=shown)
    except BadInput as error:
        return list(error.mistakes), {}
    links = read_links(document, codec)
    return document.mistakes, links


def read_links(document: Document, codec: Codec) -> dict[str, Mapped]:
    """Every mapped path; mistakes are added to the document."""
    links: dict[str, Mapped] = {}
    for where, path, leaf in leaves(document, document.data, (), ""):
        if document.hopeless:
            break
        if path not in catalogue():
            document.mistake(where, f"unknown VSS path {path}{meant(path, catalogue())}")
        for key in set(leaf) - LEAF_KEYS:
            document.mistake((*where, key), f"unknown key {key!r}{meant(key, LEAF_KEYS)}")
        kinds = [k for k in ("dbc2vss", "vss2dbc") if k in leaf]
        if len(kinds) != 1:
            document.mistake(where, f"{path} needs either dbc2vss or vss2dbc")
            continue
        mapped = link(document, (*where, kinds[0]), path, leaf[kinds[0]], codec)
        if mapped is not None:
            links[path] = mapped
            for what in contradictions(mapped, links):
                document.mistake((*where, kinds[0]), what)
    return links


def contradictions(mapped: Mapped, links: Mapping[str, Mapped]) -> Iterator[str]:
    """What a map says that cannot be meant: one signal shown as two things in the same way, a word for its opposite, a gear for another."""
    for other in links.values():
        same = (other.message, other.signal) == (mapped.message, mapped.signal) and other.to_vss == mapped.to_vss
        if other is not mapped and same:
            yield f"{mapped.signal} is {other.path} already, in the same way: one signal shows one thing"
    leaf = mapped.path.rpartition(".")[2]
    words = [word.casefold() for word in re.findall("[A-Z]+[a-z0-9]*", leaf)]
    for label, value in mapped.to_vss.items():
        word = label.casefold()
        opposite = OPPOSITES.get(word, "")
        said = words[-1:] if leaf == "IsOn" or word not in ("on", "off") else []
        turned = (word in said and value is False) or (opposite in said and value is True)
        if turned or (isinstance(value, str) and opposite == value.casefold()):
            yield f"{label} of {mapped.signal} is {value} in {mapped.path}: its opposite"
        if words[-1:] == ["gear"] and GEARS.get(word, value) != value:
            yield f"{label} of {mapped.signal} is {value} in {mapped.path}, and VSS has {GEARS[word]} for it"


def leaves(document: Document, node: Any, where: Path_, path: str) -> Iterator[tuple[Path_, str, dict[str, Any]]]:
    """Every leaf of the tree: where it stands, its VSS path, itself."""
    if not isinstance(node, dict):
        document.mistake(where, "should be a mapping of VSS names")
        return
    for name, child in node.items():
        here, full = (*where, name), f"{path}.{name}" if path else name
        if isinstance(child, dict) and "children" in child:
            yield from leaves(document, child["children"], (*here, "children"), full)
        elif isinstance(child, dict):
            yield here, full, child
        else:
            document.mistake(here, f"{full} should be a mapping")


def link(document: Document, where: Path_, path: str, given: Any, codec: Codec) -> Mapped | None:
    """One dbc2vss or vss2dbc entry."""
    if not isinstance(given, dict) or not isinstance(given.get("signal"), str):
        document.mistake(where, f"{path} needs a signal")
        return None
    for key in set(given) - LINK_KEYS:
        document.mistake((*where, key), f"unknown key {key!r}{meant(key, LINK_KEYS)}")
    name = given["signal"]
    owners = [(m, e) for m, es in codec.extractions.items() for e in es if e.name == name]
    if len(owners) != 1:
        names = {e.name for es in codec.extractions.values() for e in es}
        problem = f"has no signal {name!r}{meant(name, names)}" if not owners else f"has {len(owners)} signals {name!r}"
        document.mistake((*where, "signal"), f"{codec.name} {problem}")
        return None
    message, extraction = owners[0]
    to_vss = mapping(document, (*where, "transform"), given.get("transform"), set(extraction.choices.values()))
    return Mapped(path=path, message=message, signal=name, to_vss=to_vss)


def mapping(document: Document, where: Path_, transform: Any, labels: set[str]) -> dict[str, Value]:
    if transform is None:
        return {}
    if not isinstance(transform, dict) or set(transform) != {"mapping"} or not isinstance(transform["mapping"], list):
        document.mistake(where, "only transform: {mapping: [...]} is allowed; put factors into the DBC (no code here)")
        return {}
    found: dict[str, Value] = {}
    for n, entry in enumerate(transform["mapping"]):
        if not isinstance(entry, dict) or set(entry) != {"from", "to"}:
            document.mistake((*where, "mapping", n), "should be {from: label, to: value}")
        elif str(entry["from"]) not in labels:
            document.mistake(
                (*where, "mapping", n), f"the value table has no {entry['from']!r}{meant(str(entry['from']), labels)}"
            )
        else:
            found[str(entry["from"])] = entry["to"]
    return found
