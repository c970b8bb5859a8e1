"""Build the reference ECUs in C: their layout from the DBC, one static program for this machine or for a target.

python -m rigs.ecus.native FOLDER [cluster-c | assist-c]: a submission whose artefact runs behind the stepper, and on a kernel's CAN bus.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cantools
import yaml
from cantools.database.can import Database, Message, Signal

HERE = Path(__file__).resolve().parent / "c"
DBC = HERE.parents[2] / "dbc"
ECUS = ("cluster-c", "assist-c")
FLAGS = (
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
)
LINUX = ("main.c", "stepper.c", "socketcan.c", "hub.c", "keep.c")
CORE = ("com.c", "e2e.c", "nm.c", "isotp.c", "uds.c")
SERIAL, SECRET = "SHIPEI-0001", 0x51A9E1C7
TICK_MS = {"cluster": 5, "assist": 10}


class Unbuildable(Exception):
    """What is missing or wrong, with the command that mends it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a program is compiled for: the compiler, its options, and the Debian packages that bring it."""

    compiler: str
    packages: str
    options: tuple[str, ...] = ("-static", "-s")


NATIVE = Target(compiler="gcc", packages="gcc libc6-dev")
TARGETS = {
    "amd64": Target(compiler="x86_64-linux-gnu-gcc", packages="gcc libc6-dev"),
    "arm64": Target(compiler="aarch64-linux-gnu-gcc", packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    "riscv64": Target(compiler="riscv64-linux-gnu-gcc", packages="gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"),
    "cortex-m3": Target(
        compiler="arm-none-eabi-gcc",
        packages="gcc-arm-none-eabi picolibc-arm-none-eabi",
        options=("--specs=picolibc.specs", "-mcpu=cortex-m3", "-mthumb", "-nostartfiles", f"-T{HERE / 'mps2.ld'}"),
    ),
}


def declared(ecu: str) -> dict[str, Any]:
    """The submission of an ECU, as its vendor writes it."""
    text = (HERE / ecu.removesuffix("-c") / "submission.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def build(folder: str | Path, constants: Mapping[str, str] | None = None, ecu: str = "cluster-c") -> Path:
    """As rigs.ecus.build.build, for an ECU in C: one program with both mains. Raises Unbuildable."""
    folder = Path(folder)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    said = declared(ecu)
    for bus in said["interface"]["buses"].values():
        for name in (bus["dbc"], bus["vss"]):
            shutil.copyfile(DBC / name, folder / name)
    artefact = folder / said["artefacts"][0]["path"]
    compiled(artefact, ecu, LINUX, NATIVE, constants)
    text = (HERE / ecu.removesuffix("-c") / "submission.yaml").read_text(encoding="utf-8")
    digest = hashlib.sha256(artefact.read_bytes()).hexdigest()
    (folder / "submission.yaml").write_text(text.replace('"@"', digest), encoding="utf-8")
    return folder


def compiled(
    to: Path, ecu: str, mains: Sequence[str], target: Target, constants: Mapping[str, str] | None = None
) -> None:
    """The core, an application and a main as one program. Raises Unbuildable, with the compiler's words."""
    line = ecu.removesuffix("-c")
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "network.h").write_text(network(ecu), encoding="utf-8")
        sources = [*CORE, f"{line}.c", *mains]
        unknown = [n for n in constants or {} if f"#ifndef {n}" not in (HERE / "calibration.h").read_text()]
        if unknown:
            raise KeyError(f"the calibration has no constant {unknown[0]}")
        given = [f"-D{name}={value}" for name, value in (constants or {}).items()]
        command = [target.compiler, *FLAGS, *target.options, *given, f"-I{work}", f"-I{HERE}", "-o", str(to)]
        run(target, [*command, *(str(HERE / s) for s in sources), "-lm"])


def tool(to: Path, source: str, target: Target) -> None:
    """A program of one source file."""
    run(target, [target.compiler, *FLAGS, *target.options, "-o", str(to), str(HERE / source)])


def version(target: Target) -> str:
    """Which compiler it is. Raises Unbuildable when there is none."""
    if shutil.which(target.compiler) is None:
        raise Unbuildable(f"there is no {target.compiler}: apt-get install {target.packages}")
    return subprocess.run([target.compiler, "--version"], capture_output=True, text=True).stdout.split("\n", 1)[0]


def run(target: Target, command: Sequence[str]) -> None:
    if shutil.which(target.compiler) is None:
        raise Unbuildable(f"there is no {target.compiler}: apt-get install {target.packages}")
    environment = {**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode:
        words = " / ".join(done.stderr.splitlines()[-3:])
        raise Unbuildable(f"{target.compiler} failed: {words} (it needs apt-get install {target.packages})")


# ---------------------------------------------------------------- the layout


def network(ecu: str) -> str:
    """network.h: every message and signal of the ECU's bus, from its DBC, and what is not in a DBC."""
    said = declared(ecu)
    bus = next(iter(said["interface"]["buses"].values()))
    database = cantools.database.load_file(DBC / bus["dbc"])
    if not isinstance(database, Database):
        raise TypeError(f"{bus['dbc']} is no DBC")
    messages = sorted(database.messages, key=lambda m: m.frame_id)
    signals = [(m, s) for m in messages for s in in_order(m)]
    nm = next(m for m in messages if m.name.startswith("NM_"))
    diagnostics, application = said["interface"]["diagnostics"], said["combination"]["application"]
    line = ecu.removesuffix("-c")
    lines = [
        "/* Written by the build from the DBC. */",
        *("#ifndef NETWORK_H", "#define NETWORK_H"),
        f"enum {{ {', '.join(m.name for m in messages)}, MESSAGES }};",
        f"enum {{ {', '.join(s.name for _, s in signals)}, SIGNALS }};",
        "static const struct signal signals[SIGNALS] __attribute__((unused)) = {",
        *(signal_row(s) for _, s in signals),
        "};",
        "static const struct message messages[MESSAGES] __attribute__((unused)) = {",
        *(message_row(m, bus) for m in messages),
        "};",
        f"#define NM_MESSAGE {nm.name}",
        f"#define NM_SOURCE {nm.name}_SRC",
        f"#define NM_ACTIVE_WAKE {nm.name}_ACTIVE_WAKE",
        f"enum {{ NODE = {nm.frame_id & 0xFF}, NM_FIRST = 0x400, NM_LAST = 0x43F }};",
        f"enum {{ UDS_REQUEST = {diagnostics['request']}, UDS_RESPONSE = {diagnostics['response']} }};",
        f"enum {{ UDS_PADDING = {diagnostics['padding']}, TICK_MS = {TICK_MS[line]} }};",
        f"#define UDS_SECRET {SECRET:#x}u",
        f'#define VERSION "{application["version"]}"',
        f'#define SERIAL "{SERIAL}"',
        f'#define START_LINE "SVC: {application["name"]} " VERSION',
        f'#define READY_LINE "{said["interface"]["console"]["ready"].strip("^$")}"',
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def in_order(message: Message) -> list[Signal]:
    """Page by page, so that the same signal of the next page is a fixed step away."""
    return sorted(message.signals, key=lambda s: (s.multiplexer_ids or [-1], s.start))


def signal_row(s: Signal) -> str:
    page = s.multiplexer_ids[0] if s.multiplexer_ids else -1
    return f"    [{s.name}] = {{{s.start}, {s.length}, {int(s.is_signed)}, {page}, {s.scale!r}, {s.offset!r}}},"


def message_row(m: Message, bus: Mapping[str, Any]) -> str:
    rule = next((r for r in bus["e2e"] if r["message"] == m.name), {"profile": "NONE", "data_id": 0})
    watched = next((s["timeout_ms"] for s in bus["supervised"] if s["message"] == m.name), 0)
    ordered = in_order(m)
    selector = next((s.name for s in ordered if s.is_multiplexer), "-1")
    cycle_ms = m.cycle_time if bus["node"] in m.senders else 0
    protection = f"{rule['profile']}, {rule['data_id']:#x}, {watched}"
    place = f"{ordered[0].name}, {len(ordered)}, {selector}"
    return f"    [{m.name}] = {{{m.frame_id:#x}, {m.length}, {cycle_ms}, {protection}, {place}}},"


if __name__ == "__main__":
    print(build(sys.argv[1], ecu=sys.argv[2] if len(sys.argv) > 2 else "cluster-c"))
