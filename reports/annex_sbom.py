"""A software bill of materials, CycloneDX or SPDX in JSON: held against its schema, and against the artefacts that were tested."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import BadInput

INSTALL = "checking an SBOM needs its libraries: pip install 'shipei[sbom]'"
MOST_BYTES = 64 << 20
MOST_NAMED = 5
Told = tuple[list[tuple[str, str]], list[str]]  # facts, findings


def read(file: Path, artefacts: Mapping[str, str]) -> Told:
    """Raises BadInput when it is neither, or a library is missing."""
    if file.stat().st_size > MOST_BYTES:
        raise BadInput(f"{file}: is larger than {MOST_BYTES >> 20} MiB")
    try:
        text = file.read_text(encoding="utf-8")
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: is no JSON: {error}") from None
    if isinstance(data, dict) and data.get("bomFormat") == "CycloneDX":
        facts, findings = cyclonedx(file, text, data)
    elif isinstance(data, dict) and "spdxVersion" in data:
        facts, findings = spdx(data)
    else:
        raise BadInput(f"{file}: is neither CycloneDX (bomFormat) nor SPDX (spdxVersion)")
    known = {str(value).lower() for value in hashes(data)}
    absent = [path for path, digest in artefacts.items() if digest not in known]
    if absent:
        findings.append(f"has no SHA-256 of {named(absent)}: nothing says that it is about what was tested")
    return facts, findings


def cyclonedx(file: Path, text: str, data: dict[str, Any]) -> Told:
    findings = unlike_schema(file, text, data.get("specVersion"))
    about, parts = mapping(data.get("metadata")), mappings(data.get("components"))
    findings += unversioned(str(c.get("name")) for c in parts if not c.get("version"))
    known = {str(c.get("bom-ref")) for c in (*parts, mapping(about.get("component")))}
    links = mappings(data.get("dependencies"))
    asked = {str(ref) for d in links for ref in (d.get("ref"), *items(d.get("dependsOn")))}
    if asked - known:
        findings.append(f"depends on what it does not list: {named(asked - known)}")
    made = str(about.get("timestamp", "-"))
    licensed = sum(bool(c.get("licenses")) for c in parts)
    return facts_of(f"CycloneDX {data['specVersion']}", made, len(parts), licensed), findings


def unlike_schema(file: Path, text: str, stated: Any) -> list[str]:
    """The first thing that is not as CycloneDX's schema of the stated version has it; strictly: no names of its own."""
    try:
        from cyclonedx.exception import MissingOptionalDependencyException
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError:
        raise BadInput(INSTALL) from None
    version = SchemaVersion.__members__.get(f"V{str(stated).replace('.', '_')}")
    if version is None:
        raise BadInput(f"{file}: CycloneDX {stated!r} is not known")
    try:
        validator = JsonStrictValidator(version)
    except ValueError:
        raise BadInput(f"{file}: CycloneDX {stated} has no schema for JSON; 1.2 and later have one") from None
    try:
        wrong = validator.validate_str(text)
    except MissingOptionalDependencyException:
        raise BadInput(INSTALL) from None
    except RecursionError:
        raise BadInput(f"{file}: its parts are nested too deeply to be held against the schema") from None
    return [f"does not follow its schema: {str(wrong.data).splitlines()[0]}"] if wrong else []


def spdx(data: dict[str, Any]) -> Told:
    try:
        from spdx_tools.spdx.parser.error import SPDXParsingError
        from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
        from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
    except ImportError:
        raise BadInput(INSTALL) from None
    parser: Any = JsonLikeDictParser
    try:
        wrong = [m.validation_message for m in validate_full_spdx_document(parser().parse(data))]
    except SPDXParsingError as error:
        wrong = [str(m) for m in error.messages]
    except (
        TypeError,
        ValueError,
        AttributeError,
        KeyError,
        RecursionError,
    ) as error:  # its parser takes much for granted
        wrong = [f"{type(error).__name__}: {error}"]
    findings = [f"does not follow its schema: {message}" for message in wrong[:MOST_NAMED]]
    parts = mappings(data.get("packages"))
    findings += unversioned(str(p.get("name")) for p in parts if not p.get("versionInfo"))
    made = str(mapping(data.get("creationInfo")).get("created", "-"))
    licensed = sum(p.get("licenseConcluded", "NOASSERTION") != "NOASSERTION" for p in parts)
    return facts_of(str(data["spdxVersion"]), made, len(parts), licensed), findings


def facts_of(form: str, made: str, parts: int, licensed: int) -> list[tuple[str, str]]:
    return [("格式 form", form), ("时间 made", made), ("组件 components", f"{parts}，{licensed} 有许可 with a licence")]


def mapping(said: Any) -> dict[str, Any]:
    """What should be a mapping, where somebody else wrote it."""
    return said if isinstance(said, dict) else {}


def items(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def mappings(said: Any) -> list[dict[str, Any]]:
    return [one for one in items(said) if isinstance(one, dict)]


def unversioned(names: Iterable[str]) -> list[str]:
    found = list(names)
    return [f"{len(found)} without a version: {named(found)}"] if found else []


def named(names: Iterable[str]) -> str:
    """The first of them, in their order."""
    found = sorted(names)
    return ", ".join(found[:MOST_NAMED]) + (f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")


def hashes(data: Any) -> Iterator[str]:
    """Every SHA-256 in it, wherever it stands."""
    waiting = [data]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if one.get("alg") == "SHA-256":
                yield one.get("content", "")
            if one.get("algorithm") == "SHA256":
                yield one.get("checksumValue", "")
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
