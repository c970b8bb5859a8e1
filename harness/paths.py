"""Where the parts of the product lie: beside the harness, in a checkout as in an installed wheel."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITES = ROOT / "test_suites"
PROFILES = SUITES / "profiles"
RIGS = ROOT / "rigs"
ECUS = RIGS / "ecus"
DBC = ROOT / "dbc"
REGISTRY = ROOT / "registry"
EXAMPLES = ROOT / "harness" / "examples"


def state_folder(*names: str) -> Path:
    """What this installation keeps from run to run: a folder in XDG_STATE_HOME/shipei, made if it is not there."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(home, "shipei", *names)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def memory_of_rig(name: str) -> Path:
    """What a rig must know from run to run: XDG_STATE_HOME/shipei/rigs/NAME, made if it is not there."""
    return state_folder("rigs", name)


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A new folder that goes away in the end, whatever an item has made of it: it may be deep, and locked. What cannot go stays, and decides nothing."""
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        yield Path(folder)
    finally:
        for command in (["chmod", "-R", "u+rwx", "--", folder], ["rm", "-rf", "--", folder]):
            subprocess.run(command, capture_output=True, check=False)


def sha256(file: Path) -> str:
    """The digest of a file, read in blocks."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_folder(folder: Path, *patterns: str) -> str:
    """One digest over the names and contents of a folder's files that match any of the patterns."""
    digest = hashlib.sha256()
    for file in sorted({f for p in patterns for f in folder.rglob(p)}):
        if file.is_file():
            digest.update(f"{file.relative_to(folder).as_posix()} {sha256(file)}\n".encode())
    return digest.hexdigest()
