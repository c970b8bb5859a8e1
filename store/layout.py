"""An OCI image layout on disk (image-spec 1.1, image-layout.md): blobs by the digest of their content, and index.json, which names what is kept.

Order is what keeps it valid: content is on disk before a manifest that names it, a manifest before the index that names it. Whoever is
killed in between leaves blobs that nobody names, and `collect` removes them.
"""

import hashlib
import io
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import BadInput, Fault
from store.disk import Disk, lock

Descriptor = dict[str, Any]  # mediaType, digest, size; annotations, artifactType (image-spec 1.1, descriptor.md)

LAYOUT, INDEX, BLOBS = "oci-layout", "index.json", "blobs/sha256"
LOCK, INDEX_LOCK = ".lock", ".index.lock"
LOCK_S = 600.0  # longer than a run is added or pulled
OURS = {LAYOUT, INDEX, BLOBS.partition("/")[0], LOCK, INDEX_LOCK}  # what a store that was not finished may have
HALF = (".pull-*", ".index-*")  # folders and files of who was killed
PART = ".part-"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MAX_MANIFEST_BYTES, MAX_INDEX_BYTES = 4 << 20, 1 << 30
BLOCK = 1 << 20


def plain(data: Any) -> bytes:
    """JSON that is the same bytes for the same data.

    >>> plain({"b": 1, "a": "ü"}).decode()
    '{"a":"ü","b":1}'
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(content: bytes, media_type: str, **more: Any) -> Descriptor:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


class StoreError(Fault):
    """The disk of a store does not do what it should: nobody's mistake here (exit code 3)."""

    kind = "the store failed"


class Layout:
    """One store. Many may read and add at once; only `collect` wants it alone."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder, self.disk = folder, disk or Disk()
        self.blobs = folder / BLOBS

    @classmethod
    def opened(cls, folder: Path) -> "Layout":
        """One that is there. Raises BadInput when the folder is none."""
        file = folder / LAYOUT
        try:
            version = json.loads(file.read_bytes())["imageLayoutVersion"]
        except FileNotFoundError:
            raise BadInput(
                f"{folder}: is no store (no {LAYOUT}); `shipei store add RUN --store {folder}` makes one"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{file}: is no OCI layout: {error}") from None
        if version != "1.0.0":
            raise BadInput(f"{file}: is an OCI layout of version {version!r}, not 1.0.0")
        return cls(folder)

    def prepare(self) -> None:
        """A new one, or the one that is there. Raises BadInput for a folder of something else, which is left as it is."""
        if self.folder.is_dir() and not (self.folder / LAYOUT).exists():
            strange = sorted({f.name for f in self.folder.iterdir()} - OURS)
            if strange:
                raise BadInput(f"{self.folder}: is no store, and {strange[0]} is in it; name a new folder")
        with self.writing():
            self.blobs.mkdir(parents=True, exist_ok=True)
            self.begin()

    def begin(self) -> None:
        """What makes a folder a store, for good."""
        with self.held(INDEX_LOCK):
            for name, content in ((INDEX, self.empty_index()), (LAYOUT, {"imageLayoutVersion": "1.0.0"})):
                if not (self.folder / name).exists():
                    self.put_file(self.folder / name, io.BytesIO(plain(content)))
        for folder in (self.blobs, self.blobs.parent, self.folder, self.folder.absolute().parent):
            self.disk.sync_folder(folder)

    @staticmethod
    def empty_index() -> dict[str, Any]:
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}

    # ------------------------------------------------------------ locks

    @contextmanager
    def held(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """Free again when this process ends, however it ends. Raises BadInput when others take too long."""
        with (self.folder / name).open("a") as stream:
            lock(stream, LOCK_S, str(self.folder), shared=shared)
            yield

    def adding(self) -> Any:
        """Nothing is collected meanwhile."""
        return self.held(LOCK, shared=True)

    @contextmanager
    def writing(self, *parts: Path) -> Iterator[None]:
        """A disk that is full or refuses is told in words, and what is half-written goes."""
        try:
            yield
        except OSError as error:
            for part in parts:
                with suppress(OSError):
                    self.disk.remove(part)
            raise StoreError(
                f"{self.folder}: cannot be written: {error.strerror}; what was there is as it was"
            ) from error

    # ------------------------------------------------------------ blobs

    def blob(self, digest: str) -> Path:
        """Where a blob lies. Raises BadInput for what is no digest."""
        if not DIGEST.fullmatch(digest):
            raise BadInput(f"{digest!r} is no digest: sha256: and 64 hexadecimal digits")
        return self.blobs / digest.removeprefix("sha256:")

    def put_file(self, file: Path, source: BinaryIO) -> None:
        """Under a name of its own until its bytes are safe."""
        part = self.part()
        with self.writing(part):
            self.disk.create(part, source)
            self.disk.sync(part)
            self.disk.rename(part, file)

    def part(self) -> Path:
        return self.blobs / f"{PART}{secrets.token_hex(8)}"

    def has(self, digest: str) -> bool:
        """Whether a blob is there, and whole."""
        return whole(self.blob(digest))

    def put(self, content: bytes) -> None:
        """A blob; `settle` makes its name safe."""
        file = self.blob(digest_of(content))
        if not whole(file):
            self.put_file(file, io.BytesIO(content))

    def put_from(self, source: Path) -> tuple[str, int]:
        """(digest, size) of a blob made from a file, as it is while it is read."""
        part = self.part()
        with source.open("rb") as given, self.writing(part):
            self.disk.create(part, given)
            with part.open("rb") as stream:
                digest = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
            size, file = part.stat().st_size, self.blob(digest)
            if whole(file):
                self.disk.remove(part)
            else:
                self.disk.sync(part)
                self.disk.rename(part, file)
        return digest, size

    def settle(self) -> None:
        """The names of all blobs so far are safe."""
        self.disk.sync_folder(self.blobs)

    def read(self, digest: str, most: int = MAX_MANIFEST_BYTES) -> bytes:
        """A small blob. Raises BadInput when it is missing, larger, or not what its name says."""
        file = self.blob(digest)
        try:
            with file.open("rb") as stream:
                content = stream.read(most + 1)
        except OSError as error:
            raise BadInput(f"{file}: {error.strerror}") from None
        if len(content) > most:
            raise BadInput(f"{file}: has more than {most} bytes")
        if digest_of(content) != digest:
            raise BadInput(f"{file}: its content is not what its name says: it was altered")
        return content

    def manifest(self, digest: str) -> dict[str, Any]:
        """A manifest, in its form. Raises BadInput for anything else."""
        try:
            found = json.loads(self.read(digest))
            parts = [found["config"], *found["layers"]]
            right = all(DIGEST.fullmatch(p["digest"]) and isinstance(p["size"], int) and p["size"] >= 0 for p in parts)
            if found["mediaType"] != MANIFEST or not right:
                raise ValueError("not an image manifest")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(f"{self.blob(digest)}: is no OCI manifest: {error}") from None
        return dict(found)

    # ------------------------------------------------------------ the index

    def index(self) -> list[Descriptor]:
        """What is kept: a descriptor for every artefact."""
        file = self.folder / INDEX
        try:
            if file.stat().st_size > MAX_INDEX_BYTES:
                raise ValueError("it is too large")
            found = json.loads(file.read_bytes())["manifests"]
            for one in found:
                if not DIGEST.fullmatch(one["digest"]) or one["mediaType"] != MANIFEST:
                    raise ValueError(f"{one['digest']!r} of {one['mediaType']!r} is none of ours")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(f"{file}: is no OCI index: {error}") from None
        return list(found)

    def name(self, descriptors: Iterable[Descriptor]) -> None:
        """Into the index, beside what others put there meanwhile."""
        with self.held(INDEX_LOCK):
            kept = self.index()
            known = {one["digest"] for one in kept}
            new = [one for one in descriptors if one["digest"] not in known]
            if not new:
                return
            self.put_file(self.folder / INDEX, io.BytesIO(plain({**self.empty_index(), "manifests": [*kept, *new]})))
            self.disk.sync_folder(self.folder)

    def add(self, manifests: Iterable[Mapping[str, Any]], facts: Mapping[str, str]) -> list[Descriptor]:
        """Name artefacts whose content is there; `facts` go with each into the index."""
        found = []
        for manifest in manifests:
            content = plain(manifest)
            self.put(content)
            found.append(described(content, MANIFEST, artifactType=manifest["artifactType"], annotations=dict(facts)))
        self.settle()
        self.name(found)
        return found

    # ------------------------------------------------------------ what nobody names

    def reachable(self) -> set[str]:
        """Every digest that the index leads to."""
        found = set()
        for one in self.index():
            found.add(one["digest"])
            manifest = self.manifest(one["digest"])
            found |= {part["digest"] for part in (manifest["config"], *manifest["layers"])}
        return found

    def collect(self) -> tuple[int, int]:
        """Remove blobs that nobody names and what the killed left half-written: (how many, bytes)."""
        with self.held(LOCK):
            kept = {digest.removeprefix("sha256:") for digest in self.reachable()}
            gone = [f for f in self.blobs.iterdir() if f.name not in kept]
            freed = sum(f.stat().st_size for f in gone)
            with self.writing():
                for file in gone:
                    self.disk.remove(file)
                for place in (place for pattern in HALF for place in self.folder.glob(pattern)):
                    shutil.rmtree(place) if place.is_dir() else self.disk.remove(place)
                self.settle()
        return len(gone), freed


def whole(file: Path) -> bool:
    """Whether a blob is there with the content that its name says; one that rotted, or that a disk cannot read, is written anew."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.name
    except OSError:
        return False
