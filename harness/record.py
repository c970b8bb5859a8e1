"""A record: a folder of facts. events.jsonl, traces, the console, the plan, the inputs; sealed by the digests of its files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import documents
from harness.errors import BadInput
from harness.model import Event, Manifest, Plan
from harness.paths import sha256

EVENTS, PLAN, DIGESTS, INPUTS = "events.jsonl", "plan.json", "manifest.json", "inputs"
SEAL = "seal.json"  # of the list of digests, by this installation (harness.signing.seals)
CONSOLE, LOG = "console.jsonl", "pytest.log"
LOADED = "loaded.json"  # plugins and paths of the Python that ran the tests
SUBMISSION, RIG = "submission.yaml", "rig.yaml"  # in INPUTS
BEFORE, AFTER = "golden-before", "golden-after"  # records of their own, inside a bracketed one
MAX_EVENTS = 2_000_000


def trace_of(folder: Path, bus: str) -> Path:
    """Return the file of a bus's trace in a record."""
    return folder / f"trace-{bus}.bin"


def traces(folder: Path) -> dict[str, Path]:
    """Return the files of all traces in a record, by bus."""
    return {f.stem.removeprefix("trace-"): f for f in sorted(folder.glob("trace-*.bin"))}


class Recorder:
    """Appends events; each is on disk (in the kernel's cache) before the next thing happens."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._stream = (folder / EVENTS).open("a", encoding="utf-8")

    def write(self, what: Any, **fields: Any) -> Event:
        """Write one event down, and return it; fields that are None are left out."""
        said = {k: v for k, v in fields.items() if v is not None}
        self._stream.write(json.dumps({"what": what, **said}, ensure_ascii=False, allow_nan=True) + "\n")
        self._stream.flush()
        return Event(what=what, **said)

    def close(self) -> None:
        self._stream.close()


def events(folder: Path) -> Iterator[Event]:
    """The events of a record. A last line that was cut off by a kill is left out: what it said did not happen."""
    file = folder / EVENTS
    if not file.is_file():
        return
    adapter = documents.adapter(Event)
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n") or number > MAX_EVENTS:
                return
            try:
                yield adapter.validate_json(line, strict=True)
            except ValueError as error:
                raise BadInput(f"{file}:{number}: not an event: {str(error).splitlines()[-1].strip()}") from None


class Tail:
    """The events of a record that is being written: which tests start, and what takes long before."""

    def __init__(self, folder: Path) -> None:
        self.file, self.seen = folder / EVENTS, 0

    def read(self) -> Iterator[str]:
        """What has come since it was read last; a line that is not whole yet comes next time."""
        if not self.file.is_file():
            return
        with self.file.open("rb") as stream:
            stream.seek(self.seen)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self.seen += len(line)
                if line.startswith((b'{"what": "started"', b'{"what": "opening"')):
                    said = json.loads(line)
                    yield str(said.get("test") or said.get("why"))


def mend(folder: Path) -> None:
    """Drop a last event that a kill cut off."""
    file = folder / EVENTS
    raw = file.read_bytes() if file.is_file() else b""
    if raw and not raw.endswith(b"\n"):
        file.write_bytes(raw[: raw.rfind(b"\n") + 1])


def write_json(file: Path, data: Any) -> None:
    """Whole or not at all."""
    part = file.with_suffix(file.suffix + ".part")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=True) + "\n", encoding="utf-8")
    part.replace(file)


def load_plan(folder: Path) -> Plan:
    file = folder / PLAN
    if not file.is_file():
        raise BadInput(f"{folder}: not a record: it has no {PLAN}")
    return documents.loads(Plan, file.read_bytes(), str(file))


def close(folder: Path, missing_tail: tuple[str, ...] = ()) -> str:
    """Write down the digest of every file; the digest of that list is the record's own."""
    files = {name: sha256(folder / name) for name in sorted(contents(folder))}
    write_json(folder / DIGESTS, documents.dump(Manifest(files=files, missing_tail=missing_tail)))
    return sha256(folder / DIGESTS)


def contents(folder: Path) -> set[str]:
    """Return what a record holds, but for its own list of digests and that list's seal."""
    return {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()} - {DIGESTS, SEAL}


def alterations(folder: Path) -> list[str]:
    """What is not as it was when the record was closed: altered, missing and additional files, by name."""
    file = folder / DIGESTS
    if not file.is_file():
        return [f"{folder.name} was never sealed: it has no {DIGESTS}"]
    manifest = documents.loads(Manifest, file.read_bytes(), str(file))
    present = contents(folder)
    wrong = [f"{name} is missing" for name in sorted(set(manifest.files) - present)]
    wrong += [f"{name} is not in the seal" for name in sorted(present - set(manifest.files))]
    for name in sorted(present & set(manifest.files)):
        if sha256(folder / name) != manifest.files[name]:
            wrong.append(f"{name} was altered after the run")
    return wrong
