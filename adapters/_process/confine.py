"""How a submission's artefact is started: own folders, own environment, limits, and death with its parent.

This bounds an artefact; it does not imprison one. Containers (adapters.container) do more.
"""

import hashlib
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.ports import Arrival
from harness.processes import die_with_parent

LIMITS = {
    resource.RLIMIT_AS: 2_000_000_000,
    resource.RLIMIT_FSIZE: 100_000_000,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}


def confined(work: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Arguments for subprocess.Popen: the item sees its own folder and nothing of ours."""
    home, temporary = work / "home", work / "tmp"
    home.mkdir(parents=True, exist_ok=True)
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "cwd": home,
        "env": {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        "preexec_fn": limit_self,
        "close_fds": True,
    }


def copied(artefact: Path) -> Arrival:
    """An artefact that is started from a private copy: the digest is the copy's."""
    with artefact.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Arrival(how="started from a private copy on the rig's host", sha256=digest)


def limit_self() -> None:
    """In the child, before the artefact starts."""
    die_with_parent()
    for what, most in LIMITS.items():
        if sys.platform == "linux" or what != resource.RLIMIT_AS:
            resource.setrlimit(what, (most, most))
