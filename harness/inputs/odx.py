"""What a vendor's ODX says of diagnostics (ISO 22901-1), as a submission declares it: read once, by a person, into YAML that people read.

A PDX archive or a single ODX document comes from outside: sizes are limited as they come out, a document type is refused, nothing in it
is run.
"""

import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree
from xml.parsers import expat

from harness import documents as shape
from harness.documents import meant
from harness.errors import BadInput, shown
from harness.model import DiagnosticsInterface

T = TypeVar("T")
MAX_DOCUMENTS, MAX_BYTES = 1000, 64 << 20
INSTALL = "reading ODX needs odxtools: pip install 'shipei[odx]'"
WITH_SUBFUNCTION = {
    0x10,
    0x11,
    0x19,
    0x27,
    0x28,
    0x29,
    0x2C,
    0x31,
    0x3E,
    0x83,
    0x85,
    0x86,
    0x87,
}  # ISO 14229-1, table 2
SESSION, SECURITY = "SESSION", "SECURITY"  # what state charts are about (ISO 22901-1, 7.3.6.9)
MS_OF_US = 1e-3  # communication parameters are in µs


@dataclass(frozen=True)
class Declared:
    """What the file declares, in the form of a submission's `interface.diagnostics`, and what a person has to add or look at."""

    ecu: str
    diagnostics: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def declared(file: Path, ecu: str | None, bus: str) -> Declared:
    """What an ECU variant of the file declares. Raises BadInput when the file cannot be read, or the variant is not in it."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        base = database(file)
        name, found, notes = understood(str(file), lambda: described(variant(base, ecu, file), bus))
    notes += sorted({f"odxtools: {one.message}" for one in warned})
    shape.from_plain(
        DiagnosticsInterface, {"request": 0, "response": 0, **found}
    )  # it has the form, whatever the file holds
    return Declared(shown(name), found, [shown(note) for note in (*missing(found), *notes)])


def described(layer: Any, bus: str) -> tuple[str, dict[str, Any], list[str]]:
    """(its name, what it declares, what a person has to look at)."""
    notes = codes(layer)
    found = {"bus": bus, **addressing(layer, notes), **timing(layer), **Content(layer, notes).declared()}
    return layer.short_name, found, notes


# ---------------------------------------------------------------- the file


def database(file: Path) -> Any:
    """odxtools' database of a file. Raises BadInput with line and column where it is no XML, or in odxtools' words."""
    try:
        from odxtools.database import Database
    except ImportError:
        raise BadInput(INSTALL) from None
    found = Database(use_weakrefs=False)
    trees = [(name, tree(name, data)) for name, data in documents(file)]
    if not trees:
        raise BadInput(f"{file}: there is no ODX document (*.odx…) in it")
    for name, root in trees:
        understood(name, partial(found.add_odx_xml_tree, root))
    understood(str(file), found.refresh)
    return found


def understood(name: str, step: Callable[[], T]) -> T:
    """A hostile document may break odxtools anywhere: whatever it raises is about the document."""
    try:
        return step()
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{name}: odxtools does not understand it: {type(error).__name__}: {error}") from None


def documents(file: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every ODX document; of an archive those whose names end as ODX does."""
    if not file.is_file():
        raise BadInput(f"there is no file {file}{shape.near_file(file)}")
    if not zipfile.is_zipfile(file):
        if file.stat().st_size > MAX_BYTES:
            raise BadInput(f"{file}: has more than {MAX_BYTES >> 20} MiB")
        yield str(file), file.read_bytes()
        return
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(file) as archive:
            members = [m for m in archive.infolist() if Path(m.filename).suffix.lower().startswith(".odx")]
            if len(members) > MAX_DOCUMENTS:
                raise BadInput(f"{file}: has more than {MAX_DOCUMENTS} ODX documents")
            for member in members:
                with archive.open(member) as stream:
                    data = stream.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise BadInput(f"{file}: its ODX documents have more than {MAX_BYTES >> 20} MiB")
                yield f"{file}/{member.filename}", data
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise BadInput(f"{file}: cannot be unpacked: {error}") from None


def tree(name: str, data: bytes) -> ElementTree.Element:
    """The XML of a document. ODX has no document type, and with one come entities."""

    def refuse(*_: object) -> None:
        raise BadInput(f"{name}:{parser.CurrentLineNumber}: has a document type (<!DOCTYPE), which no ODX has: refused")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadInput(
            f"{name}:{error.lineno}: is no XML: {expat.ErrorString(error.code)}, column {error.offset + 1}"
        ) from None
    return ElementTree.fromstring(data)


def variant(found: Any, ecu: str | None, file: Path) -> Any:
    """The ECU variant, else base variant, of that name; the only one where no name is said."""
    layers = list(found.ecu_variants) or list(found.base_variants)
    named = {layer.short_name: layer for layer in (*found.base_variants, *found.ecu_variants)}
    if not layers:
        raise BadInput(f"{file}: no ECU is described in it (no ECU-VARIANT, no BASE-VARIANT)")
    if ecu is None and len(layers) > 1:
        raise BadInput(f"{file}: describes {', '.join(sorted(named))}: say which with --ecu")
    if ecu is not None and ecu not in named:
        raise BadInput(f"{file}: there is no ECU {ecu!r} in it{meant(ecu, named)}")
    return layers[0] if ecu is None else named[ecu]


# ---------------------------------------------------------------- communication parameters (ISO 22900-2, B.5)


def number(text: object) -> int | None:
    """
    >>> number("0x7A0"), number(" 1952 "), number("CC"), number(None)
    (1952, 1952, None, None)
    """
    try:
        return int(str(text).strip(), 0)
    except ValueError:
        return None


def parameter(layer: Any, name: str, inside: str | None = None) -> int | None:
    """A communication parameter as a number, or a part of a complex one; None where it is not said."""
    found = layer.get_comparam(name)
    if found is None:
        return None
    return number(found.get_subvalue(inside) if inside else found.get_value())


def addressing(layer: Any, notes: list[str]) -> dict[str, Any]:
    """Identifiers and address bytes; requests and answers are the device's only where both are said."""
    table = "CP_UniqueRespIdTable"
    found: dict[str, Any] = {
        "request": parameter(layer, table, "CP_CanPhysReqId"),
        "response": parameter(layer, table, "CP_CanRespUSDTId"),
        "functional": parameter(layer, "CP_CanFuncReqId"),
        "padding": parameter(layer, "CP_CanFillerByte"),
    }
    said = {key: value for key, value in found.items() if value is not None}
    if any(said.get(key, 0) > 0x7FF for key in ("request", "response")):
        said["extended"] = True
    form = layer.get_comparam(table)
    form = str(form.get_subvalue("CP_CanPhysReqFormat") or "") if form is not None else ""
    if "extended" in form:
        bytes_ = {"target": "CP_CanPhysReqExtAddr", "source": "CP_CanRespUSDTExtAddr"}
        found = {key: parameter(layer, table, name) for key, name in bytes_.items()}
        said |= {"addressing": "extended", **{key: value for key, value in found.items() if value is not None}}
    elif "mixed" in form:
        target = parameter(layer, table, "CP_CanPhysReqExtAddr")
        said |= {"addressing": "mixed", **({} if target is None else {"target": target})}
    elif form and "normal" not in form:
        notes.append(f"addressing: the file says {form!r}, which is not read; declare it")
    if layer.uses_can_fd():
        said["fd"] = True
    return said


def timing(layer: Any) -> dict[str, float]:
    """P2, P2* and S3 of the server, in ms."""
    names = {"p2_ms": "CP_P2Max_Ecu", "p2_star_ms": "CP_P2Star_Ecu", "s3_ms": "CP_S3_Ecu"}
    found = {key: parameter(layer, name) for key, name in names.items()}
    return {key: value * MS_OF_US for key, value in found.items() if value is not None}


def missing(found: dict[str, Any]) -> list[str]:
    """What a file of diagnostics rarely says, and a submission does."""
    absent = [key for key in ("request", "response") if key not in found]
    said = [f"{' and '.join(absent)}: not in the file, add the identifiers"] if absent else []
    if "security" in found:
        said.append(
            "security: attempts, delay_s and key are not in an ODX; without them the usual ones hold, and nobody can unlock it"
        )
    return [
        *said,
        "troubles, snapshot, authentication, flashing, identification, freeze, order, reset_s: not in an ODX, add what the device has",
    ]


def codes(layer: Any) -> list[str]:
    """The trouble codes of the file; which loss sets one is not in it."""
    dops = layer.diag_data_dictionary_spec.dtc_dops
    found = sorted({(dtc.trouble_code, dtc.short_name) for dop in dops for dtc in dop.dtcs})
    said = ", ".join(f"{code:#08x} {name}" for code, name in found)
    return [f"troubles: the file has {said}; add those that the loss of a message sets, with `lost`"] if found else []


# ---------------------------------------------------------------- services


@dataclass(frozen=True)
class Call:
    """One service of the file as bytes: its request's constant start, the lengths of request and answer, the states that it needs."""

    name: str
    start: bytes
    length: int | None
    answer: int | None
    states: frozenset[str]
    leads_to: str | None

    @property
    def sid(self) -> int:
        return self.start[0]

    @property
    def subfunction(self) -> int | None:
        return self.start[1] & 0x7F if len(self.start) > 1 and self.sid in WITH_SUBFUNCTION else None

    def identifier(self, at: int) -> int | None:
        """Two constant bytes: of a record, of a routine."""
        return int.from_bytes(self.start[at : at + 2], "big") if len(self.start) >= at + 2 else None


class Content:
    """The services of a layer, put together by what they do."""

    def __init__(self, layer: Any, notes: list[str]) -> None:
        self.notes = notes
        charts = {str(chart.semantic).upper(): chart for chart in layer.state_charts}
        self.calls = [call for service in layer.services if (call := self.call(service)) is not None]
        start = {name: chart.start_state_snref for name, chart in charts.items()}
        self.sessions = {start[SESSION]: 1} if SESSION in start else {}
        self.levels: dict[str, int] = {}
        for call in self.calls:
            if call.leads_to and call.sid == 0x10 and call.subfunction:
                self.sessions[call.leads_to] = call.subfunction
            if call.leads_to and call.sid == 0x27 and call.subfunction and call.subfunction % 2 == 0:
                self.levels[call.leads_to] = call.subfunction - 1

    def call(self, service: Any) -> Call | None:
        """None, with a note, for a service whose request does not begin with a constant identifier."""
        start = bytes(service.request.coded_const_prefix()) if service.request is not None else b""
        if not start:
            self.notes.append(
                f"{service.short_name}: its request begins with no constant service identifier; not declared"
            )
            return None
        answers = [response.get_static_bit_length() for response in service.positive_responses]
        length = service.request.get_static_bit_length()
        moved = [ref.state_transition.target_snref for ref in service.state_transition_refs]
        return Call(
            name=service.short_name,
            start=start,
            length=None if length is None else length // 8,
            answer=answers[0] // 8 if len(answers) == 1 and answers[0] is not None else None,
            states=frozenset(state.short_name for state in service.pre_condition_states),
            leads_to=next(iter(moved), None),
        )

    def declared(self) -> dict[str, Any]:
        found = {
            "sessions": sorted(set(self.sessions.values()) - {2}),
            "services": self.services(),
            "data": self.data(),
            "security": self.security(),
            "routines": self.routines(),
        }
        return {key: value for key, value in found.items() if value}

    def sessions_of(self, call: Call) -> set[int]:
        """Those of its preconditions; all, where it has none."""
        needed = {self.sessions[state] for state in call.states if state in self.sessions}
        return needed or set(self.sessions.values()) or {1, 3}

    def level_of(self, call: Call) -> int | None:
        return next((self.levels[state] for state in sorted(call.states) if state in self.levels), None)

    def services(self) -> list[dict[str, Any]]:
        found: dict[int, dict[str, Any]] = {}
        for call in self.calls:
            one = found.setdefault(call.sid, {"sid": call.sid, "subfunctions": set(), "sessions": set()})
            one["sessions"] |= self.sessions_of(call)
            if call.subfunction is not None:
                one["subfunctions"].add(call.subfunction)
        listed = [
            {"sid": sid, "subfunctions": sorted(one["subfunctions"]), "sessions": sorted(one["sessions"])}
            for sid, one in sorted(found.items())
        ]
        return [{key: value for key, value in one.items() if value != []} for one in listed]

    def data(self) -> list[dict[str, Any]]:
        """Records by their identifiers: read (22) with the length of the answer, written (2E) with that of the request."""
        found: dict[int, dict[str, Any]] = {}
        for call in self.calls:
            did = call.identifier(1) if call.sid in (0x22, 0x2E) else None
            if call.sid in (0x22, 0x2E) and did is None:
                self.notes.append(
                    f"{call.name}: reads or writes records without a constant identifier; add them to data"
                )
            if did is None:
                continue
            bytes_ = call.answer if call.sid == 0x22 else call.length
            if bytes_ is None or bytes_ <= 3:
                self.notes.append(f"{call.name}: the length of record {did:#06x} is not constant; add it to data")
                continue
            one = found.setdefault(did, {"did": did, "length": bytes_ - 3})
            if call.sid == 0x2E:
                one["writable"] = True
                level = self.level_of(call)
                one |= {"security": level} if level else {}
        return [found[did] for did in sorted(found)]

    def security(self) -> list[dict[str, Any]]:
        """Levels (27) by the odd sub-function: the seed's length from its answer, the key's from the request after it."""
        calls = {call.subfunction: call for call in self.calls if call.sid == 0x27 and call.subfunction}
        found = []
        for level in sorted(s for s in calls if s % 2):
            seed, key = calls[level].answer, calls[level + 1].length if level + 1 in calls else None
            if seed is None or key is None or seed <= 2 or key <= 2:
                self.notes.append(
                    f"security level {level}: the lengths of seed and key are not constant; add it to security"
                )
                continue
            found.append({"level": level, "seed_length": seed - 2, "key_length": key - 2})
        return found

    def routines(self) -> list[dict[str, Any]]:
        """Routines (31) by the identifier after the sub-function."""
        found: dict[int, dict[str, Any]] = {}
        for call in self.calls:
            rid = call.identifier(2) if call.sid == 0x31 else None
            if rid is None:
                continue
            level = self.level_of(call)
            found.setdefault(rid, {"rid": rid}).update({"security": level} if level else {})
        return [found[rid] for rid in sorted(found)]
