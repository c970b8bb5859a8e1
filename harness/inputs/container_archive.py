"""A container image as a file, looked through before any engine sees it: docker-save or OCI archive. Nothing is unpacked and nothing runs.

Sources: Docker image specification 1.2 (`manifest.json`); OCI image-spec 1.1 (`index.json`, `oci-layout`).
"""

import gzip
import hashlib
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from harness.errors import given

MOST_BYTES = 2_000_000_000  # unpacked, all layers
MOST_FILES = 100_000
MOST_LAYERS = 64
MOST_RATIO, RATIO_FROM = 200, 20_000_000  # unpacked to packed, of a layer that unpacks to more than this
MOST_ENTRIES = 500  # of the archive itself
MOST_JSON = 4_000_000
MOST_HEADER = 1_000_000
BLOCK = 1 << 18
INDEX = "application/vnd.oci.image.index.v1+json"


class Refuse(Exception):
    """What is wrong with an image, so that no more can be said of it."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a checked archive holds. `id` is the digest of its configuration; `kind` is skopeo's word for its form."""

    kind: str
    id: str
    architecture: str
    layers: tuple[str, ...]  # the digests of the layers, unpacked
    files: int
    bytes: int


@dataclass
class Look:
    """One look through an archive: what was found wrong, and how much there is so far."""

    archive: tarfile.TarFile
    members: dict[str, tarfile.TarInfo]
    mistakes: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    links: dict[str, str] = field(default_factory=dict)  # symbolic links of the layers so far

    def wrong(self, what: str) -> None:
        if len(self.mistakes) < 20:
            self.mistakes.append(what)


def check(file: Path) -> tuple[Image | None, list[str]]:
    """(the image, everything that is wrong with it); no image where its form cannot be made out."""
    try:
        with file.open("rb") as stream, tarfile.open(fileobj=cast(BinaryIO, Careful(stream)), mode="r:") as archive:
            look = Look(archive, {})
            take_members(look)
            image = oci(look) if "manifest.json" not in look.members else docker(look)
            return image, look.mistakes
    except Refuse as error:
        return None, [str(error)]
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return None, [f"not an image archive (docker save, or OCI) that can be read: {type(error).__name__}: {error}"]


class Careful:
    """A file for tarfile that never reads much at once: a header that claims to be long is none."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise Refuse(f"a header of {size} bytes")
        return self.stream.read(size)


def take_members(look: Look) -> None:
    """The archive's own entries: plain names, plain files, each once."""
    for member in look.archive:
        name = member.name
        if len(look.members) > MOST_ENTRIES:
            raise Refuse(f"more than {MOST_ENTRIES} entries in the archive")
        if leads_out(name):
            look.wrong(f"{name!r} leads outside the archive")
        elif member.isdir():
            continue
        elif name in look.members:
            look.wrong(f"{name!r} is in the archive twice")
        elif member.issym() and not leads_out(posixpath.join(posixpath.dirname(name), member.linkname)):
            look.members[name] = member  # docker save writes a layer that is there already as a link to it
        elif member.isreg() and not is_sparse(member):
            look.members[name] = member
        else:
            look.wrong(f"{name!r} is a link, a device or sparse, not a file")


def leads_out(name: str) -> bool:
    """Whether a path is absolute or climbs above where it starts.

    >>> [leads_out(n) for n in ("/etc", "a/../b", "a/../../b", "usr/lib")]
    [True, False, True, False]
    """
    return name.startswith("/") or "\\" in name or posixpath.normpath(name).startswith("..")


def is_sparse(member: tarfile.TarInfo) -> bool:
    return member.issparse() or any(k.startswith("GNU.sparse") for k in member.pax_headers)


# ---------------------------------------------------------------- the two forms


def content(look: Look, name: str) -> bytes:
    member = found(look, name)
    if member.size > MOST_JSON:
        raise Refuse(f"{name} is larger than {MOST_JSON} bytes")
    stream = given(look.archive.extractfile(member))
    return b"".join(iter(lambda: stream.read(BLOCK), b""))


def found(look: Look, name: str) -> tarfile.TarInfo:
    """A file of the archive, through at most one link."""
    member = look.members.get(name)
    if member is not None and member.issym():
        member = look.members.get(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
    if member is None or not member.isreg():
        raise Refuse(f"{name} is not in the archive")
    return member


def docker(look: Look) -> Image:
    """`docker save`: manifest.json names the configuration and the layers."""
    manifest = json.loads(content(look, "manifest.json"))
    if len(manifest) != 1:
        raise Refuse(f"{len(manifest)} images; one is expected: docker save -o FILE NAME:TAG")
    raw = content(look, manifest[0]["Config"])
    layers = [(name, found(look, name), None) for name in manifest[0]["Layers"]]
    return settled(look, "docker-archive", raw, layers)


def oci(look: Look) -> Image:
    """OCI: index.json names a manifest, the manifest names the blobs, each by its digest."""
    index = json.loads(content(look, "index.json"))
    manifests = index["manifests"]
    if len(manifests) != 1 or manifests[0].get("mediaType") == INDEX:
        raise Refuse("an image for one platform is expected: skopeo copy --override-arch ... oci-archive:FILE")
    manifest = json.loads(blob(look, manifests[0]["digest"]))
    raw = blob(look, manifest["config"]["digest"])
    layers = [(d["digest"], found(look, blob_name(d["digest"])), d["digest"]) for d in manifest["layers"]]
    return settled(look, "oci-archive", raw, layers)


def blob_name(digest: str) -> str:
    kind, _, value = digest.partition(":")
    if kind != "sha256" or len(value) != 64 or not value.isalnum():
        raise Refuse(f"{digest!r} is no sha256 digest")
    return f"blobs/sha256/{value}"


def blob(look: Look, digest: str) -> bytes:
    raw = content(look, blob_name(digest))
    if hashlib.sha256(raw).hexdigest() != digest.partition(":")[2]:
        look.wrong(f"the blob {digest} has another digest")
    return raw


def settled(look: Look, kind: str, raw: bytes, layers: Sequence[tuple[str, tarfile.TarInfo, str | None]]) -> Image:
    """What the configuration says, held against the layers."""
    config: Mapping[str, Any] = json.loads(raw)
    told = config["rootfs"]["diff_ids"]
    if len(layers) > MOST_LAYERS:
        raise Refuse(f"{len(layers)} layers; {MOST_LAYERS} are allowed")
    if len(told) != len(layers):
        look.wrong(f"the configuration names {len(told)} layers, and the archive has {len(layers)}")
    if config.get("os") != "linux":
        look.wrong(f"an image for {config.get('os')!r}; linux is expected")
    inner: Mapping[str, Any] = config.get("config") or {}
    if not (inner.get("Entrypoint") or inner.get("Cmd")):
        look.wrong("it says nothing to run: ENTRYPOINT or CMD")
    for path in inner.get("Volumes") or {}:
        look.wrong(f"VOLUME {path}: an ECU's image has none; what is written goes to /tmp, /run or /var/tmp")
    for n, (name, member, digest) in enumerate(layers):
        unpacked = layer(look, name, member, digest)
        if n < len(told) and f"sha256:{unpacked}" != told[n]:
            look.wrong(f"layer {n + 1} ({name}) has the digest sha256:{unpacked}, and the configuration says {told[n]}")
    return Image(
        kind=kind,
        id=hashlib.sha256(raw).hexdigest(),
        architecture=str(config.get("architecture")),
        layers=tuple(map(str, told)),
        files=look.files,
        bytes=look.bytes,
    )


# ---------------------------------------------------------------- layers


class Flow:
    """A layer as it comes out of its packing: hashed and counted, read once from front to back, never much at a time."""

    def __init__(self, look: Look, source: BinaryIO, packed: int) -> None:
        self.look, self.source, self.packed = look, source, packed
        self.digest = hashlib.sha256()
        self.position, self.last, self.back = 0, b"", False

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise Refuse(f"a header of {size} bytes in a layer")
        if self.back and size:
            self.back, self.position = False, self.position + 1
            return self.last + self.read(size - 1)
        parts: list[bytes] = []
        while size > 0 and (data := self.source.read(size)):
            parts.append(data)
            size -= len(data)
            self.count(data)
        return b"".join(parts)

    def count(self, data: bytes) -> None:
        self.digest.update(data)
        self.position += len(data)
        self.last = data[-1:]
        self.look.bytes += len(data)
        if self.look.bytes > MOST_BYTES:
            raise Refuse(f"unpacks to more than {MOST_BYTES} bytes")
        if self.position > max(RATIO_FROM, MOST_RATIO * self.packed):
            raise Refuse(f"a layer of {self.packed} bytes unpacks to {MOST_RATIO} times as many and more: a bomb")

    def tell(self) -> int:
        return self.position

    def seek(self, position: int, whence: int = 0) -> int:
        """Forward, or back by the one byte that tarfile tries the end with."""
        if position == self.position - 1 and self.last:
            self.back, self.position = True, position
            return position
        while self.position < position and self.read(min(BLOCK, position - self.position)):
            pass
        return self.position


def layer(look: Look, name: str, member: tarfile.TarInfo, digest: str | None) -> str:
    """Look through one layer; the digest of what it unpacks to."""
    stream = given(look.archive.extractfile(member))
    if digest is not None:
        packed = hashlib.sha256()
        for block in iter(lambda: stream.read(BLOCK), b""):
            packed.update(block)
        if packed.hexdigest() != digest.partition(":")[2]:
            look.wrong(f"the layer {digest} has another digest")
        stream.seek(0)
    magic = stream.read(4)
    stream.seek(0)
    if magic == b"\x28\xb5\x2f\xfd":
        raise Refuse(f"layer {name} is packed with zstd; gzip or nothing is expected")
    source = gzip.GzipFile(fileobj=stream) if magic[:2] == b"\x1f\x8b" else stream
    flow = Flow(look, cast(BinaryIO, source), member.size)
    with tarfile.open(fileobj=cast(BinaryIO, flow), mode="r:") as files:
        for entry in entries(files):
            look.files += 1
            if look.files > MOST_FILES:
                raise Refuse(f"more than {MOST_FILES} files")
            check_entry(look, entry)
    while flow.read(BLOCK):
        pass
    return flow.digest.hexdigest()


def entries(files: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One after the other, without keeping them."""
    while (entry := files.next()) is not None:
        files.members = []  # type: ignore[attr-defined]
        yield entry


def check_entry(look: Look, entry: tarfile.TarInfo) -> None:
    """A file of a layer lies in the image's own tree, is plain, and is not written through a link that leads elsewhere."""
    name = posixpath.normpath(entry.name)
    if leads_out(entry.name) or leads_out(name):
        look.wrong(f"{entry.name!r} leads outside the image")
        return
    if entry.islnk() and leads_out(entry.linkname):
        look.wrong(f"{entry.name!r} is a hard link to {entry.linkname!r}, outside the image")
    if entry.ischr() or entry.isblk() or entry.isfifo():
        look.wrong(f"{entry.name!r} is a device or a pipe")
    if is_sparse(entry):
        look.wrong(f"{entry.name!r} is a sparse file of {entry.size} bytes; files are plain here")
    if entry.size > MOST_BYTES:
        raise Refuse(f"{entry.name!r} claims {entry.size} bytes")
    parts = name.split("/")
    for n in range(1, len(parts)):
        above = "/".join(parts[:n])
        target = look.links.get(above)
        if target is not None and leads_out(posixpath.join(posixpath.dirname(above), target)):
            look.wrong(f"{entry.name!r} is written through the link {above!r} to {target!r}")
    if entry.issym():
        look.links[name] = entry.linkname
    else:
        look.links.pop(name, None)
