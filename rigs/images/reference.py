"""The reference ECUs in every form, and the campaign that certifies them all: program, container, complete image; simulated, hub, kernel CAN,
container engine, emulated boards.
"""

from pathlib import Path

from rigs.ecus import build, image, native
from rigs.images.packages import Tell

SHORT = {  # where time is real
    "profile: driving-assistance-1.0": "profile: driving-assistance-short-1.0",
    "profile: cockpit-1.0": "profile: instrument-cluster-1.0",
}
CAMPAIGN = """# Every virtual combination of the reference ECUs: in simulated time, and each also in real time, on the hub, on kernel CAN, in a
# container or on an emulated board. `shipei campaign {file}`
name: virtual
submissions: ["program/*", "short/*", "container/*", "qemu-*", "mps2-*", "u-boot-*", "micropython-*"]
rigs:
  - {{rig: sim, submissions: ["program/*"]}}
  - {{rig: hub, submissions: ["short/cockpit-*"]}}   # where time is real, by the short profiles
  - {{rig: vcan, vcan: true, submissions: ["short/*-c"]}}
  - {{rig: container}}
  - {{rig: qemu-arm64}}
  - {{rig: qemu-pc}}
  - {{rig: qemu-riscv64}}
  - {{rig: qemu-mps2}}
  - {{rig: qemu-microbit}}
at_once: 3                            # more than CPUs, for most cells mostly wait; with four, a RISC-V board took 15 s to its first frame of 14 declared
"""


def write(folder: Path, tell: Tell) -> Path:
    """The other forms beside the images; the campaign's file."""
    for ecu in build.ECUS:
        tell(f"building {ecu} as a program and as a container image")
        build.build(folder / "program" / ecu, ecu=ecu)
        if ecu.startswith("cockpit"):
            shorten(build.build(folder / "short" / ecu, ecu=ecu))
        image.build_image(folder / "container" / ecu, ecu=ecu)
        shorten(folder / "container" / ecu)
    for ecu in native.ECUS:
        tell(f"building {ecu} as a program")
        native.build(folder / "program" / ecu, ecu=ecu)
        shorten(native.build(folder / "short" / ecu, ecu=ecu))
    file = folder / "campaign.yaml"
    file.write_text(CAMPAIGN.format(file=file), encoding="utf-8")
    return file


def shorten(folder: Path) -> None:
    """Driving assistance in chosen scenarios, a cockpit without its comfort functions."""
    file = folder / "submission.yaml"
    text = file.read_text(encoding="utf-8")
    for whole, short in SHORT.items():
        text = text.replace(whole, short)
    file.write_text(text, encoding="utf-8")
