"""Submissions of images that nobody here wrote: what Debian ships, on the console of an emulated board."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rigs.images import debian
from rigs.images.packages import Refused, Tell

IMAGES: Mapping[str, Mapping[str, Any]] = yaml.safe_load((Path(__file__).parent / "others.yaml").read_text())


def write(folder: Path, name: str, tell: Tell) -> None:
    """The submission of one of IMAGES. Raises Refused."""
    said = IMAGES[name]
    place = debian.files("12", "all", said["package"], [said["file"]], tell)
    version = str(debian.described(place)["version"])
    content = (place / said["file"]).read_bytes()
    file = Path(said["file"]).name
    (folder / file).write_bytes(content)
    submission = {
        "vendor": "debian",
        "combination": {
            "chip": {"name": said["chip"], "revision": "1"},
            "os": {"name": said["system"], "version": release(content, said["banner"])},
            "application": {"name": said["package"], "version": version.replace("~", "-").replace(":", "-")},
        },
        "artefacts": [{"role": said["role"], "path": file, "sha256": hashlib.sha256(content).hexdigest()}],
        "features": {"boot": {}, "console_dialogue": {}},
        "interface": {
            "buses": {},
            "console": {k: said[k] for k in ("boot", "ready", "knock", "dialogue") if k in said},
        },
        "profile": "console-1.0",
    }
    text = yaml.safe_dump(submission, sort_keys=False, width=120, default_flow_style=None)
    (folder / "submission.yaml").write_text(
        f"# {said['title']}, of Debian's package {said['package']}.\n{text}", encoding="utf-8"
    )


def release(content: bytes, banner: str) -> str:
    """The release that the image will say it is, from the image itself."""
    if content.startswith(b":"):
        content = unpacked(content)
    found = re.search(re.escape(banner.encode()) + rb"(\d[\w.+-]*)", content)
    if found is None:
        raise Refused(f"the image nowhere says {banner!r} and a release")
    return found[1].decode()


def unpacked(text: bytes) -> bytes:
    """The data of an Intel HEX file, in its order."""
    lines = (bytes.fromhex(line[1:].decode()) for line in text.split() if line.startswith(b":"))
    return b"".join(line[4 : 4 + line[0]] for line in lines if line[3] == 0)
