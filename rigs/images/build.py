"""Reference images as submissions: a folder with the image's files, the DBC, its map and submission.yaml. The same bytes for the same
inputs; what was built before is taken from the cache, by the digest of everything that goes into it.
"""

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from rigs.ecus import native
from rigs.images import bare, disk, linux, others
from rigs.images.packages import Refused, Tell, cache
from rigs.images.root import SOUND, Defect

HERE = Path(__file__).resolve().parent
PROFILES = {"cluster-c": "instrument-cluster-1.0", "assist-c": "driving-assistance-short-1.0"}
TROUBLE = (Refused, native.Unbuildable, disk.Unwritable, OSError)
WATCHDOG_S = 5.0  # what the submissions declare
NEED_BYTES = 300_000_000


@dataclass(frozen=True, kw_only=True)
class Image:
    """A reference image: board, Debian release of its kernel ("" for none), ECU ("" for what Debian ships)."""

    board: str
    release: str = ""
    ecu: str = ""

    @property
    def name(self) -> str:
        kernel = f"linux{linux.BOARDS[self.board]['kernels'][self.release]}" if self.release else ""
        return "-".join(filter(None, (self.board, kernel, self.ecu)))


def digest(content: bytes) -> str:
    """As a submission names it."""
    return hashlib.sha256(content).hexdigest()


def catalogue() -> dict[str, Image]:
    """Every reference image by its name."""
    found = [
        Image(board=board, release=release, ecu=ecu)
        for board, said in linux.BOARDS.items()
        for release in said["kernels"]
        for ecu in native.ECUS
    ]
    found += [Image(board=bare.BOARD, ecu=ecu) for ecu in native.ECUS]
    return {i.name: i for i in found} | {name: Image(board=name) for name in others.IMAGES}


def build(folder: Path, image: Image, tell: Tell, defect: Defect = SOUND, **claims: Any) -> Path:
    """Build an image's submission into a folder, made new. `claims` replace what it declares: profile, os. Raises one of TROUBLE."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder.parent).free < NEED_BYTES:
        raise OSError(errno.ENOSPC, f"less than {NEED_BYTES // 10**6} MB are free", str(folder.parent))
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".image-") as work:
        made = Path(work) / "made"
        made.mkdir()
        if image.board in others.IMAGES:
            others.write(made, image.board, tell)
        else:
            write(made, image, tell, defect, claims)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return folder


def write(folder: Path, image: Image, tell: Tell, defect: Defect, claims: Mapping[str, Any]) -> None:
    said = native.declared(image.ecu)
    for bus in said["interface"]["buses"].values():
        for name in (bus["dbc"], bus["vss"]):
            shutil.copyfile(native.DBC / name, folder / name)
    artefacts = []
    for role, content in cached(image, defect, tell).items():
        file = folder / f"{role}.{'elf' if role == 'firmware' else 'img'}"
        file.write_bytes(content)
        artefacts.append({"role": role, "path": file.name, "sha256": digest(content)})
    declared = declare(said, image) | {"artefacts": artefacts}
    declared["combination"] |= {"os": claims["os"]} if "os" in claims else {}
    declared["profile"] = claims.get("profile", declared["profile"])
    text = yaml.safe_dump(declared, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    (folder / "submission.yaml").write_text(f"# A reference image: {image.name}.\n{text}", encoding="utf-8")


def declare(said: dict[str, Any], image: Image) -> dict[str, Any]:
    """What the ECU's submission says of it as an application, as that of a complete image."""
    said["combination"]["chip"] = {"name": image.board, "revision": "1"}
    said["features"]["boot"] = dict(linux.BOARDS[image.board]["boot"]) if image.release else dict(bare.BOOT)
    said["features"] |= {"watchdog": {"timeout_s": WATCHDOG_S}, "clock": {}}
    said["interface"]["diagnostics"]["freeze"] = ["1003", "1160"]
    said["profile"] = PROFILES[image.ecu]
    console = said["interface"]["console"]
    if image.release:
        version = linux.BOARDS[image.board]["kernels"][image.release]
        said["combination"]["os"] = {"name": "linux", "version": version}
        said["features"] |= {"operating_system": {}, "closed_console": {}}
        stages = [
            "^U-Boot 2",
            "Starting kernel ...",
            "Linux version ",
            "Run /init as init process",
            "^OS: Linux ",
            "^SVC: CAN up",
        ]
        # a prompt, of a login or a shell, may stand on the line before what the application says
        console["boot"] = [*stages, *(s.removeprefix("^") for s in console["boot"])]
        console["ready"] = console["ready"].removeprefix("^")
    else:
        said["combination"]["os"] = {"name": "bare-metal", "version": "1"}
        console["boot"] = ["^BL: mps2 boot block 1.0", *console["boot"]]
    return said


# ---------------------------------------------------------------- the cache


def cached(image: Image, defect: Defect, tell: Tell) -> dict[str, bytes]:
    """The files of an image by role: from the cache, if it was built from the same inputs before."""
    key = inputs(image, defect)
    place = cache() / "images" / key
    if (place / "done").is_file():
        return {f.name: f.read_bytes() for f in sorted(place.iterdir()) if f.name != "done"}
    made = (
        bare.parts(image.ecu, tell, defect)
        if image.board == bare.BOARD
        else linux.parts(image.board, image.release, image.ecu, tell, defect)
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as folder:
        whole = Path(folder) / "image"
        whole.mkdir()
        for role, content in made.items():
            (whole / role).write_bytes(content)
        digests = {role: digest(content) for role, content in made.items()}
        (whole / "done").write_text(json.dumps(digests), encoding="utf-8")
        if not place.exists():
            whole.rename(place)
    return made


def inputs(image: Image, defect: Defect) -> str:
    """The digest of everything that an image is built from: our sources, compilers, Debian's packages, what is defective."""
    found: dict[str, Any] = {
        "image": asdict(image),
        "defect": asdict(defect),
        "sources": {},
        "network": native.network(image.ecu),
    }
    for file in sorted(
        [*native.HERE.glob("*.[ch]"), *native.HERE.glob("*.ld"), *HERE.glob("*.py"), *HERE.glob("*.yaml")]
    ):
        found["sources"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    architecture = linux.BOARDS[image.board]["architecture"] if image.release else "cortex-m3"
    found["compiler"] = native.version(native.TARGETS[architecture])
    found["packages"] = linux.packages_of(image.board, image.release) if image.release else {}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:24]
