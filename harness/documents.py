"""Turn YAML and JSON that people wrote into dataclasses, naming every mistake with file and line.

Plain data only: no anchors, no tags, no duplicate keys, limited in size and depth.
"""

import dataclasses
import difflib
import functools
import hashlib
import json
import os
import stat
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from harness.errors import MOST_MISTAKES, BadInput

T = TypeVar("T")
MAX_BYTES = 4_000_000
MAX_DEPTH = 40
Path_ = tuple[str | int, ...]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCALARS = {"str", "int", "float", "bool", "null"}


class Document:
    """Plain data, and the line on which each piece of it stands."""

    def __init__(self, file: str, text: str, sha256: str = "") -> None:
        self.file, self.sha256 = file, sha256  # the digest of the bytes that were read, where they came from a file
        self.lines: dict[Path_, int] = {}
        self.mistakes: list[str] = []
        self.data = self._parse(text)

    def where(self, path: Path_) -> str:
        """`file:line` of a piece of data, or of the nearest thing around it.

        >>> Document("a.yaml", "x:\\n  y: 1\\n").where(("x", "y", "z"))
        'a.yaml:2'
        """
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"

    def mistake(self, path: Path_, what: str) -> None:
        self.mistakes.append(f"{self.where(path)}: {what}")

    @property
    def hopeless(self) -> bool:
        """So many mistakes that nobody reads more of them: what looks for more may stop."""
        return len(self.mistakes) > MOST_MISTAKES

    def part(self, path: Path_, data: Any) -> "Document":
        """What stands at a path as a document of its own; its mistakes are this one's."""
        part = Document.__new__(Document)
        part.file, part.sha256, part.mistakes, part.data = self.file, self.sha256, self.mistakes, data
        part.lines = {k[len(path) :]: v for k, v in self.lines.items() if k[: len(path)] == path}
        return part

    def _parse(self, text: str) -> Any:
        try:
            self._refuse_depth(text)
            node = yaml.compose(text, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise BadInput(f"{self.file}:{line}: not valid YAML: {error.problem}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise BadInput(f"{self.file}:1: not valid YAML: {error}") from None
        if node is None:
            raise BadInput(f"{self.file}:1: the file is empty")
        return self._plain(node, ())

    def _refuse_depth(self, text: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise BadInput(f"{self.file}:{line}: anchors and aliases are not allowed; write the value out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise BadInput(f"{self.file}:{line}: nested deeper than {MAX_DEPTH} levels")

    def _plain(self, node: yaml.Node, path: Path_) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        kind = node.tag.rsplit(":", 1)[-1]
        if kind not in {*SCALARS, "map", "seq", "timestamp"}:
            self.mistake(path, f"the tag {node.tag!r} is not allowed: values only")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(child, (*path, i)) for i, child in enumerate(node.value)]
        if kind not in SCALARS:  # a date: people mean its text
            return node.value
        constructor = yaml.constructor.SafeConstructor()
        return getattr(constructor, f"construct_yaml_{kind}")(node)

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in found:
                self.mistakes.append(
                    f"{self.file}:{line}: duplicate key {key!r} (first on line {self.lines[(*path, key)]})"
                )
                continue
            self.lines[(*path, key)] = line
            found[key] = self._plain(value_node, (*path, key))
        return found


def read(file: Path, *, name: str | None = None) -> Document:
    """Read a YAML or JSON file; raise BadInput when it cannot be read at all."""
    shown = name or str(file)
    try:
        with os.fdopen(
            os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as stream:  # a pipe is not waited for
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise BadInput(f"{shown}: is no regular file")
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadInput(f"{shown}:1: larger than {MAX_BYTES} bytes")
        return Document(shown, raw.decode("utf-8-sig"), hashlib.sha256(raw).hexdigest())
    except FileNotFoundError:
        raise BadInput(f"{shown}: no such file{near_file(file)}") from None
    except OSError as error:
        raise BadInput(f"{shown}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown}: not UTF-8 text (byte {error.start})") from None


def load(cls: type[T], document: Document, path: Path_ = ()) -> T | None:
    """Check a document (or the part at `path`) against a dataclass.

    Mistakes are added to the document; the result is None when there are any in this part.

    >>> from harness.model import Chip
    >>> document = Document("c.yaml", "name: sim\\nrevison: 1\\n")
    >>> load(Chip, document)
    >>> document.mistakes
    ["c.yaml:2: unknown key 'revison' (did you mean 'revision'?)", "c.yaml:1: missing key 'revision'"]
    """
    data = document.data
    for step in path:
        data = data[step]
    try:
        return adapter(cls).validate_json(json.dumps(data, allow_nan=True), strict=True)
    except ValidationError as error:
        seen: set[tuple[Path_, str]] = set()
        for one in sorted(error.errors(), key=lambda e: e["type"] != "unexpected_keyword_argument"):
            where, what = explain(cls, data, one)
            if (where, what) not in seen:
                seen.add((where, what))
                document.mistake((*path, *where), what)
        return None


def loads(cls: type[T], text: str | bytes, name: str) -> T:
    """Check JSON that one of our own stages wrote; positions are not kept."""
    try:
        return adapter(cls).validate_json(text, strict=True)
    except ValidationError as error:
        raise BadInput([f"{name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]) from None


def from_plain(cls: type[T], data: Any) -> T:
    """A noun from plain JSON data; the reverse of dump."""
    return loads(cls, json.dumps(data), cls.__name__)


def dump(noun: Any) -> Any:
    """A noun as plain JSON data."""
    return built(type(noun)).dump_python(noun, mode="json")  # type: ignore[arg-type]


def schema(cls: type) -> dict[str, Any]:
    """The JSON Schema of a noun, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **adapter(cls).json_schema()}


@functools.cache
def built(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def adapter(cls: type[T]) -> TypeAdapter[T]:
    """pydantic's view of a noun; building one takes milliseconds, so each is built once."""
    return built(cls)  # type: ignore[arg-type]


def explain(cls: Any, data: Any, error: Any) -> tuple[Path_, str]:
    """One pydantic error in a person's words: (where, what)."""
    where, kind = real_path(data, error["loc"]), error["type"]
    last = str(error["loc"][-1]) if error["loc"] else ""
    if kind == "unexpected_keyword_argument":
        parent = real_path(data, error["loc"][:-1])
        if last == "use":
            return (*parent, last), "unknown key 'use': a submission cannot name code, only lab files can"
        return (*parent, last), f"unknown key {last!r}{meant(last, keys_at(cls, parent))}"
    if kind in ("missing", "missing_keyword_only_argument"):
        return real_path(data, error["loc"][:-1]), f"missing key {last!r}"
    message = error["msg"].replace("Input should be", "should be").replace("a valid dictionary", "a mapping")
    message = message.replace("a dictionary or an instance of", "a mapping for a").replace("valid array", "list")
    message = message.replace("an object", "a mapping")
    got = error.get("input")
    hint = "; put it in quotes" if kind == "string_type" and isinstance(got, int | float) else ""
    if kind in ("literal_error", "enum"):
        hint = meant(
            str(got), str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
        )
    name = ".".join(map(str, where)) or "the document"
    return where, f"{name}: {message}, not {short(got)}{hint}"


def real_path(data: Any, loc: tuple[str | int, ...]) -> Path_:
    """Drop the names of union branches that pydantic puts among the keys."""
    path: list[str | int] = []
    for step in loc:
        in_mapping = isinstance(data, dict) and step in data
        in_list = isinstance(data, list) and isinstance(step, int) and step < len(data)
        if in_mapping or in_list:
            data = data[step]
            path.append(step)
    return tuple(path)


def keys_at(cls: Any, path: Path_) -> list[str]:
    """The keys that a dataclass allows at a path.

    >>> from harness.model import Combination
    >>> keys_at(Combination, ("chip",))
    ['name', 'revision']
    """
    for step in path:
        cls = next((found for option in branches(cls) if (found := inside(option, step)) is not None), None)
    return sorted(
        {f.name for option in branches(cls) if dataclasses.is_dataclass(option) for f in dataclasses.fields(option)}
    )


def branches(cls: Any) -> tuple[Any, ...]:
    return typing.get_args(cls) if typing.get_origin(cls) in (typing.Union, types.UnionType) else (cls,)


def inside(cls: Any, step: str | int) -> Any:
    if dataclasses.is_dataclass(cls):
        return typing.get_type_hints(cls).get(str(step))
    arguments = typing.get_args(cls)
    if typing.get_origin(cls) is tuple and isinstance(step, int):
        return arguments[0]
    return arguments[1] if len(arguments) == 2 and isinstance(step, str) else None


def meant(word: str, known: typing.Iterable[str]) -> str:
    """
    >>> meant("bitrat", ["bitrate", "fd"])
    " (did you mean 'bitrate'?)"
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    close = close or [k for k in known if k.lower() == word.lower()]
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(known)})" if 0 < len(known) <= 12 else ""


def near_file(file: Path) -> str:
    folder = file.parent
    return meant(file.name, [p.name for p in folder.iterdir()][:50]) if folder.is_dir() else ""


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
