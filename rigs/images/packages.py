"""Debian packages without installing them: fetched by apt, checked, unpacked into a cache that works offline afterwards."""

import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Tell = Callable[[str], None]
PACKAGE = "package.json"
FETCH_S = 900.0


class Refused(Exception):
    """It cannot be had here, and why; another way may be gone."""


def cache() -> Path:
    """XDG_CACHE_HOME/shipei/kernels."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "shipei" / "kernels"


def kept(name: str) -> Path | None:
    """The newest version of a package that is in the cache."""
    found = [f for f in cache().glob(f"{name}_*") if (f / PACKAGE).is_file()]
    return max(found, key=lambda f: (f / PACKAGE).stat().st_mtime, default=None)


def kept_or(names: re.Pattern[str], fetch_it: Callable[[], Path]) -> Path:
    """The newest package in the cache whose folder has such a name, or what the function fetches."""
    found = [f for f in cache().glob("*_*") if names.fullmatch(f.name) and (f / PACKAGE).is_file()]
    return max(found, key=lambda f: (f / PACKAGE).stat().st_mtime, default=None) or fetch_it()


def fetched(name: str, tell: Tell, version: str | None = None) -> Path:
    """A package unpacked in the cache: what is there, else the one of the distribution. Raises Refused."""
    there = cache() / folder_name(name, version) if version else kept(name)
    if there is not None and (there / PACKAGE).is_file():
        return there
    return fetch(name, tell, version)


def folder_name(name: str, version: str) -> str:
    return f"{name}_{version.replace(':', '%3a')}"


def fetch(name: str, tell: Tell, version: str | None = None) -> Path:
    """The distribution's version of a package, into the cache. Raises Refused, saying what failed."""
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Refused(f"{name} cannot be fetched: there is no {tool}; this needs Debian or Ubuntu")
    options, said = lists(name, tell)
    version = version or said["Version"]
    target = cache() / folder_name(name, version)
    if (target / PACKAGE).is_file():
        os.utime(target / PACKAGE)
        return target
    known = show(options, f"{name}={version}")
    tell(f"fetching {name} {version}")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix=".fetch-") as folder:
        file = downloaded(options, known | {"Package": name, "Version": version}, Path(folder))
        files = Path(folder) / "files"
        run(["dpkg-deb", "-x", str(file), str(files)], Path(folder))
        described = {"name": name, "version": version, "sha256": known["SHA256"], "files": digests(files)}
        (files / PACKAGE).write_text(json.dumps(described, indent=1))
        if target.exists():
            shutil.rmtree(target)
        files.rename(target)
    return target


def downloaded(options: Sequence[str], known: Mapping[str, str], folder: Path) -> Path:
    """The package that a stanza of apt's describes, in a folder, with the digest that the archive says. Raises Refused."""
    name, version = known["Package"], known["Version"]
    apt(["apt-get", *options, "-q", "download", f"{name}={version}"], folder)
    (file,) = folder.glob("*.deb")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != known["SHA256"]:
        raise Refused(f"{name} {version}: fetched with the digest {digest}, and the archive says {known['SHA256']}")
    return file


def digests(folder: Path) -> dict[str, str]:
    """Of what may run: kernels and modules."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink() and runs(file):
            found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def runs(file: Path) -> bool:
    return ".ko" in file.suffixes or file.parent.name in ("bin", "sbin") or file.name.startswith("vmlinuz")


def checked(folder: Path, files: Iterable[Path]) -> None:
    """Raises Refused for a file of a package that is not as it was when it was fetched."""
    known = json.loads((folder / PACKAGE).read_text())["files"]
    for file in files:
        if not file.is_relative_to(folder):
            continue
        name = str(file.relative_to(folder))
        if not file.is_file() or known.get(name) != hashlib.sha256(file.read_bytes()).hexdigest():
            raise Refused(f"{file} is not as it was fetched; remove {folder} and run `shipei vcan setup`")


# ---------------------------------------------------------------- apt


def lists(name: str, tell: Tell) -> tuple[list[str], dict[str, str]]:
    """apt's options and what it knows of a package: by the machine's lists, else by lists of our own (no root needed)."""
    options = ["-o", "APT::Sandbox::User="]
    known = show(options, name)
    if known:
        return options, known
    own = cache() / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    options += ["-o", f"Dir::State::Lists={own / 'lists'}", "-o", f"Dir::Cache={own}"]
    tell(f"asking the distribution for {name}")
    apt(["apt-get", *options, "-q", "update"], own)
    known = show(options, name)
    if not known:
        raise Refused(f"this distribution has no package {name}")
    return options, known


def show(options: Sequence[str], name: str) -> dict[str, str]:
    """The first stanza of `apt-cache show`, empty if it is unknown."""
    command = ["apt-cache", *options, "--no-all-versions", "show", name]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    stanza = found.stdout.split("\n\n", 1)[0]
    return dict(re.findall(r"(?m)^([A-Z][\w-]*): *(.*)$", stanza))


def apt(command: list[str], folder: Path) -> None:
    run(command, folder)


def run(command: list[str], folder: Path) -> None:
    """A tool that must succeed; Refused with its last words otherwise."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=FETCH_S,
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refused(f"{command[0]} did not end within {FETCH_S:g} s") from None
    except OSError as error:
        raise Refused(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        words = [w for w in (done.stderr + done.stdout).splitlines() if w.strip()][-3:]
        raise Refused(f"{command[0]} failed with code {done.returncode}: {' / '.join(words)}")


# ---------------------------------------------------------------- modules


def modules(names: Iterable[str], *folders: Path) -> list[Path]:
    """The module files of these names and of what they depend on, in the order to load them; what a kernel has built in is left
    out. Folders that come first win."""
    known: dict[str, Path] = {}
    for folder in reversed(folders):
        for file in folder.rglob("*.ko*"):
            known[file.name.split(".")[0].replace("-", "_")] = file
    found: list[Path] = []

    def take(name: str) -> None:
        file = known.get(name.replace("-", "_"))
        if file is None or file in found:
            return
        for needed in depends(file):
            take(needed)
        found.append(file)

    for name in names:
        take(name)
    return found


def depends(file: Path) -> list[str]:
    said = re.search(rb"\0depends=([^\0]*)\0", b"\0" + plain(file))
    return [n for n in said[1].decode().split(",") if n] if said else []


def bare(name: str) -> str:
    """A module file's name without its packing."""
    return name.removesuffix(".xz")


def plain(file: Path) -> bytes:
    """A module's bytes, unpacked."""
    raw = file.read_bytes()
    return lzma.decompress(raw) if file.suffix == ".xz" else raw


# ---------------------------------------------------------------- compiled on first use


def compiled(source: Path, why: str, *options: str) -> Path:
    """A shared library of ours, compiled into the cache; Refused, saying why it is needed, without a compiler."""
    digest = hashlib.sha256(source.read_bytes() + " ".join(options).encode()).hexdigest()[:16]
    target = cache() / f"{source.stem}-{digest}.so"
    if target.is_file():
        return target
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Refused(f"{why}, and there is no C compiler: apt-get install gcc libc6-dev")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix=".compile-") as folder:
        made = Path(folder) / target.name
        run([compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(made), str(source), *options], Path(folder))
        made.rename(target)
    return target
