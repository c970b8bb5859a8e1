"""`shipei vcan --preload`: no kernel CAN at all; raw sockets of a dynamically linked program are mapped onto the user-space hub."""

import os
import sys
import tempfile
from pathlib import Path

from adapters import hub
from rigs.images import packages
from rigs.images.packages import Refused, Tell
from shipei.vcan.host import passing_on
from shipei.vcan.ways import Wanted

SOURCE = Path(__file__).with_name("preload.c")
LACKS = "raw sockets only: no broadcast manager, no kernel ISO-TP, no `ip link`; dynamically linked programs only"


def library() -> Path:
    """The library, compiled on first use. Raises Refused without a compiler."""
    return packages.compiled(SOURCE, "raw CAN sockets are mapped by a library of ours", "-pthread", "-ldl")


def run(wanted: Wanted, tell: Tell) -> int:
    """The command's exit code. Raises Refused where it cannot be."""
    if sys.platform != "linux":
        raise Refused("--preload is for Linux")
    made = library()
    tell(f"{', '.join(wanted.buses)} on the user-space hub; {LACKS}")
    with (
        tempfile.TemporaryDirectory(prefix="shipei-vcan-") as folder,
        hub.running(Path(folder) / "hub.sock") as running,
    ):
        before = os.environ.get("LD_PRELOAD")
        environment = {
            **os.environ,
            **wanted.environment,
            "LD_PRELOAD": f"{made}:{before}" if before else str(made),
            "SHIPEI_HUB": str(running.path),
            "SHIPEI_BUSES": " ".join(wanted.buses),
        }
        return passing_on(wanted.command, environment)
