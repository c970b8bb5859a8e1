"""Start, pack and unpack submissions. An archive can neither leave its folder, nor run anything, nor fill the disk."""

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from harness.errors import BadInput
from harness.inputs import submission as submissions
from harness.inputs.submission import MAX_FILES, MAX_TOTAL_BYTES
from harness.paths import EXAMPLES, sha256

BLOCK = 1 << 20


def new(folder: Path) -> Path:
    """Write the commented example as a start; never over something that is there."""
    file = folder / "submission.yaml"
    if file.exists():
        raise BadInput(f"{file} exists already")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(EXAMPLES / "submission.yaml", file)
    return file


def pack(given: Path, output: Path) -> str:
    """Put a checked submission's files into a zip with fixed dates and order; returns its sha256."""
    loaded = submissions.load(given)
    file = submissions.locate(given)
    if output.exists():
        raise BadInput(f"{output} exists already")
    names = {a.path for a in loaded.artefacts}
    names |= set(loaded.interface.files)
    with zipfile.ZipFile(output, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in ["submission.yaml", *sorted(names)]:
            source = file if name == "submission.yaml" else file.parent / name
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, source.read_bytes(), zipfile.ZIP_DEFLATED)
    return sha256(output)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack into a new folder and check what is in it; on any mistake nothing stays behind.

    Refuses paths that lead outside, links, devices, encrypted entries, duplicates, too many files and too many bytes;
    bytes are counted as they come out, not as the archive claims.
    """
    if folder.exists():
        raise BadInput(f"{folder} exists already")
    try:
        unzip(archive, folder)
        submissions.load(folder)
    except BadInput:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return submissions.locate(folder)


def unzip(archive: Path, folder: Path) -> None:
    """What zipfile and its decompressors raise of a damaged archive is told as the archive's mistake."""
    try:
        with zipfile.ZipFile(archive) as source:
            refuse(archive, source.infolist())
            folder.mkdir(parents=True)
            extract(archive, source, folder)
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise BadInput(f"{archive}: cannot be unpacked: {error}") from None


def refuse(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    mistakes = []
    if len(entries) > MAX_FILES:
        mistakes.append(f"{archive}: {len(entries)} entries; {MAX_FILES} are allowed")
    seen: set[str] = set()
    for entry in entries[:MAX_FILES]:
        name, mode = entry.filename, entry.external_attr >> 16
        if name.startswith(("/", "\\")) or ".." in Path(name).parts or "\\" in name or ":" in name or "\0" in name:
            mistakes.append(f"{archive}: {name!r} leads outside the submission's folder")
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
            mistakes.append(f"{archive}: {name!r} is a link or a device, not a file")
        if entry.flag_bits & 1:
            mistakes.append(f"{archive}: {name!r} is encrypted")
        if name.casefold() in seen:
            mistakes.append(f"{archive}: {name!r} is in it twice")
        seen.add(name.casefold())
    if mistakes:
        raise BadInput(mistakes)


def extract(archive: Path, source: zipfile.ZipFile, folder: Path) -> None:
    left = MAX_TOTAL_BYTES
    for entry in source.infolist():
        if entry.is_dir():
            continue
        target = folder / entry.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open(entry) as stream, target.open("xb") as sink:
            while block := stream.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise BadInput(f"{archive}: unpacks to more than {MAX_TOTAL_BYTES} bytes")
                if shutil.disk_usage(folder).free < 10 * BLOCK:
                    raise BadInput(f"{archive}: the disk is full")
                sink.write(block)
