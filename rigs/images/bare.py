"""A complete reference image without an operating system: an ECU in C for the Cortex-M3 of Arm's MPS2 board."""

import tempfile
from pathlib import Path

from rigs.ecus import native
from rigs.images.packages import Tell
from rigs.images.root import SOUND, Defect

BOARD = "mps2-an385"
BOOT = {"first_frame_s": 1.0, "ready_s": 1.5}  # what its submissions declare


def parts(ecu: str, tell: Tell, defect: Defect = SOUND) -> dict[str, bytes]:
    """The one file of it: the firmware. Raises Unbuildable."""
    tell(f"building {ecu} for {BOARD}, without an operating system")
    with tempfile.TemporaryDirectory() as folder:
        firmware = Path(folder) / "firmware"
        native.compiled(firmware, ecu, ("mps2.c",), native.TARGETS["cortex-m3"], defect.constants)
        return {"firmware": firmware.read_bytes()}
