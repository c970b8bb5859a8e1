"""What the console says that runs, held against the combination that is claimed: the release of the system, the chip's architecture."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness import documents
from harness.model import Combination
from harness.paths import REGISTRY

ARCHITECTURES: Mapping[str, tuple[str, ...]] = {  # what a kernel for it says while it starts, and no other
    "aarch64": (
        "CPU features: detected: 32-bit EL0",
        "Booting Linux on physical CPU 0x0000000000 [",
        "CPU: All CPU(s) started at EL",
    ),
    "x86_64": ("BIOS-e820: ", "x86/fpu: ", "BIOS-provided physical RAM map"),
    "riscv64": ("riscv: base ISA extensions", "SBI specification v", "riscv: ELF capabilities"),
}


def contradictions(combination: Combination, lines: Iterable[str], *, ready: bool) -> list[str]:
    """Why what ran cannot be what is claimed; empty if nothing speaks against it.

    A system that got `ready` without ever telling its release is not identified. What the registry knows no banner of is not asked.

    >>> from harness.model import Chip, Software
    >>> claim = Combination(chip=Chip(name="qemu-pc", revision="1"), os=Software(name="linux", version="6.12"),
    ...                     application=Software(name="cluster", version="2.0.0"))
    >>> contradictions(claim, ["[ 0.0] Linux version 6.1.0-50-amd64 (gcc)", "x86/fpu: x87 FPU"], ready=True)
    ['the console says Linux version 6.1.0-50-amd64, and the submission claims linux 6.12']
    """
    said = list(lines)
    systems: Mapping[str, Mapping[str, Any]] = documents.read(REGISTRY / "systems.yaml").data
    chips: Mapping[str, Mapping[str, Any]] = documents.read(REGISTRY / "chips.yaml").data
    found = []
    banner = systems.get(combination.os.name, {}).get("banner")
    if banner:
        found += of_release(banner, combination.os.name, combination.os.version, said, ready)
    architecture = chips.get(combination.chip.name, {}).get("architecture")
    if architecture and banner == systems["linux"]["banner"]:
        found += of_architecture(architecture, combination.chip.name, said, ready)
    return found


def of_release(banner: str, name: str, version: str, said: list[str], ready: bool) -> list[str]:
    releases = [m[1] for line in said if (m := re.search(re.escape(banner) + r"(\S+)", line))]
    wrong = [r for r in dict.fromkeys(releases) if not is_release(r, version)]
    if not releases and ready:
        return [f"the console never says {banner.strip()!r}, so nothing shows that {name} {version} ran"]
    return [f"the console says {banner.strip()} {r}, and the submission claims {name} {version}" for r in wrong]


def is_release(said: str, claimed: str) -> bool:
    """Whether a release is of the claimed version: the same, or one with more behind it.

    >>> is_release("6.1.0-50-arm64", "6.1"), is_release("6.12.0", "6.1"), is_release("6.1", "6.1.0")
    (True, False, False)
    """
    return said == claimed or (said.startswith(claimed) and not said[len(claimed)].isalnum())


def of_architecture(architecture: str, chip: str, said: list[str], ready: bool) -> list[str]:
    seen = [a for a, marks in ARCHITECTURES.items() if any(mark in line for line in said for mark in marks)]
    if not seen and ready:
        return [f"the console never tells the architecture, so nothing shows that {chip} ({architecture}) was the chip"]
    return [f"the console is that of {a}, and the chip {chip} is {architecture}" for a in seen if a != architecture]
