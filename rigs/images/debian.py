"""Files out of Debian packages of any release and architecture, without installing them and without root; kept in a cache."""

import fnmatch
import hashlib
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rigs.images.packages import Refused, Tell, apt, cache, downloaded, show

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://deb.debian.org/debian"
RELEASES = {"12": "bookworm", "13": "trixie"}
DESCRIBED = "package.json"
DAY_S = 86_400


def files(release: str, architecture: str, name: str, wanted: Sequence[str], tell: Tell) -> Path:
    """A folder with those files of a package whose names match one of the patterns; package.json beside them says which version.

    A name that ends with a dash stands for what it depends on: "linux-image-arm64-" is today's kernel. Raises Refused.
    """
    key = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:8]
    place = cache() / "debian" / f"{release}-{architecture}-{name}-{key}"
    if (place / DESCRIBED).is_file():
        return place
    options = own_lists(release, architecture, tell)
    real = name
    if name.endswith("-"):
        real = re.split(r"[ ,(]", known(options, name[:-1], release, architecture)["Depends"])[0]
    said = known(options, real, release, architecture)
    tell(f"fetching {real} {said['Version']} of Debian {release} for {architecture}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as folder:
        package = downloaded(options, said | {"Package": real}, Path(folder))
        unpacked = Path(folder) / "files"
        found = unpack(package, unpacked, wanted)
        described = {"name": real, "version": said["Version"], "sha256": said["SHA256"], "files": found}
        (unpacked / DESCRIBED).write_text(json.dumps(described, indent=1), encoding="utf-8")
        if not place.exists():
            unpacked.rename(place)
    return place


def described(place: Path) -> dict[str, Any]:
    """What lies there: name, version, sha256 of the package, sha256 of every file. Raises Refused when a file is not as it was."""
    said: dict[str, Any] = json.loads((place / DESCRIBED).read_text(encoding="utf-8"))
    for name, digest in dict(said["files"]).items():
        if hashlib.sha256((place / name).read_bytes()).hexdigest() != digest:
            raise Refused(f"{place / name} is not as it was fetched; remove {place} and build again")
    return said


def unpack(package: Path, target: Path, wanted: Sequence[str]) -> Mapping[str, str]:
    """Regular files only, by their names in the package."""
    found = {}
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as child,
        tarfile.open(fileobj=child.stdout, mode="r|") as tar,
    ):
        for member in tar:
            name = member.name.removeprefix("./")
            if not member.isfile() or not any(fnmatch.fnmatch(name, w) for w in wanted):
                continue
            stream = tar.extractfile(member)
            if stream is not None:
                raw = stream.read()
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(raw)
                found[name] = hashlib.sha256(raw).hexdigest()
    if child.returncode:
        raise Refused(f"{package.name} cannot be unpacked: dpkg-deb ended with code {child.returncode}")
    if not found:
        raise Refused(f"{package.name} holds nothing of {', '.join(wanted)}")
    return found


def own_lists(release: str, architecture: str, tell: Tell) -> list[str]:
    """apt's options for lists of our own, updated once a day."""
    own = cache() / "debian" / f"apt-{release}-{architecture}"
    options = []
    for key, value in {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Dir::Etc::SourceList": own / "sources.list",
        "Dir::Etc::SourceParts": own / "none",
        "Dir::State": own / "state",
        "Dir::State::status": own / "status",
        "Dir::Cache": own / "cache",
        "Acquire::Languages": "none",
    }.items():
        options += ["-o", f"{key}={value}"]
    if not fresh(own / "updated"):
        if not Path(KEYRING).is_file():
            raise Refused(f"there is no {KEYRING}: apt-get install debian-archive-keyring")
        for folder in ("state/lists/partial", "cache/archives/partial", "none"):
            (own / folder).mkdir(parents=True, exist_ok=True)
        (own / "status").touch()
        suite = RELEASES[release]
        mirror = os.environ.get("SHIPEI_DEBIAN_MIRROR", MIRROR)
        (own / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n", encoding="utf-8")
        tell(f"asking Debian {release} for its packages for {architecture}")
        apt(["apt-get", *options, "-q", "update", "-o", "APT::Update::Error-Mode=any"], own)
        (own / "updated").touch()
    return options


def fresh(file: Path) -> bool:
    """Whether lists were updated today: what they name is gone from the archive after a while."""
    return file.is_file() and time.time() - file.stat().st_mtime < DAY_S


def known(options: Sequence[str], name: str, release: str, architecture: str) -> dict[str, str]:
    said = show(options, name)
    if not said:
        raise Refused(f"Debian {release} has no package {name} for {architecture}")
    return said
