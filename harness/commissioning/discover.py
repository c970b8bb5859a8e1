"""Write a rig file from what is plugged in: CAN channels, serial ports, instruments; with a few questions, or their defaults."""

import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import can
from serial.tools import list_ports

from harness import documents
from harness.errors import BadInput
from harness.paths import REGISTRY

LOOK_FOR = ("socketcan", "pcan", "kvaser", "vector", "ixxat", "gs_usb", "slcan")
Ask = Callable[[str, str], str]  # a question and its default: the answer
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Device:
    """Something that is plugged in: what kind of port it can be, how it is opened, what a person calls it."""

    kind: str  # can, serial, instrument
    what: str
    fields: dict[str, str]


def plugged_in() -> list[Device]:
    """Everything that can be found without disturbing it."""
    logger = logging.getLogger("can")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # drivers that are not installed are no news here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [*can_channels(), *serial_ports(), *instruments()]
    finally:
        logger.setLevel(before)


def can_channels() -> Iterator[Device]:
    """What python-can's interfaces detect; an interface whose driver is not installed has nothing."""
    for interface in LOOK_FOR:
        found: list[Any] = []
        with suppress(Exception):  # drivers that are half installed raise what they like
            found = list(can.detect_available_configs([interface]))
        for one in found:
            channel = str(one["channel"])
            yield Device(kind="can", what=f"{interface} {channel}", fields={"interface": interface, "channel": channel})


def serial_ports() -> Iterator[Device]:
    """By their lasting name where there is one: /dev/ttyUSB0 is another device after the next plugging."""
    lasting = {str(link.resolve()): str(link) for link in Path("/dev/serial/by-id").glob("*")}
    for port in sorted(list_ports.comports(), key=lambda p: p.device):
        url = lasting.get(port.device, port.device)
        yield Device(kind="serial", what=f"{port.device} {port.description}".strip(), fields={"url": url})


def instruments() -> Iterator[Device]:
    """USBTMC devices of the kernel, and what PyVISA finds where it is installed."""
    for file in sorted(Path("/dev").glob("usbtmc*")):
        yield Device(kind="instrument", what=str(file), fields={"resource": str(file)})
    with suppress(Exception):  # not installed, or a backend that fails on this host
        import pyvisa

        for wired in ("USB?*", "GPIB?*"):  # not the network: looking there disturbs it
            for name in pyvisa.ResourceManager("@py").list_resources(wired):
                yield Device(kind="instrument", what=name, fields={"resource": name})


# ---------------------------------------------------------------- the file


def write(file: Path, devices: list[Device], ask: Ask) -> Path:
    """A commented rig file. Raises BadInput when the file exists, or an answer cannot be."""
    if file.exists():
        raise BadInput(f"{file} exists already; it is not overwritten")
    name = ask("name of the rig", file.stem)
    if not NAME.fullmatch(name):
        raise BadInput(
            f"{name!r}: a rig's name is 1 to 64 letters, digits or . _ + -, and starts with a letter or digit"
        )
    chips = sorted(documents.read(REGISTRY / "chips.yaml").data)
    chip = ask(f"chip on the bench ({', '.join(chips)})", chips[0])
    if chip not in chips:
        raise BadInput(f"chip {chip!r} is not registered{documents.meant(chip, chips)}; see registry/chips.yaml")
    revision = ask("its revision", "1")
    text = head(name, chip, revision, ask("uncertainty of a stamp that you answer for, in ms", "1.0"))
    for port in (*supply(devices, ask), *console(devices, ask), *buses(devices, ask), *image(ask)):
        text += f"  {port}\n"
    text += TAIL
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def head(name: str, chip: str, revision: str, clock_ms: str) -> str:
    return f"""# Written by `shipei rig new`; check it with `shipei rig check {name}.yaml`. Ports open from top to bottom and close in reverse.
name: {name}
kind: bench                             # real hardware
chip: {{name: {chip}, revision: {json.dumps(revision)}}}        # what a certificate from here names
clock_ms: {clock_ms}                           # the uncertainty of a stamp that you answer for
ports:
"""


TAIL = """# instruments:                          # named on the certificate, with their calibration
#   - {what: supply, maker: M, type: T, serial: S, calibrated: 2026-01-31, valid_until: 2027-01-31, certificate: N}
# golden: {submission: golden/cockpit, check: [BOOT-READY-001]}   # an item that is known to pass: `shipei rig qualify`
# wired: [[body, adas]]                 # buses that a cable joins: `shipei rig check --long` measures them
"""


def choose(devices: list[Device], kind: str, question: str, ask: Ask) -> Device | None:
    """One of what is plugged in, by its number; none by 0."""
    fitting = [d for d in devices if d.kind == kind]
    if not fitting:
        return None
    listed = ", ".join(f"{n} {d.what}" for n, d in enumerate(fitting, 1))
    answer = ask(f"{question}: 0 none, {listed}", "1")
    if not answer.isdigit() or int(answer) > len(fitting):
        raise BadInput(f"{question}: {answer!r} is none of 0 to {len(fitting)}")
    return fitting[int(answer) - 1] if int(answer) else None


def supply(devices: list[Device], ask: Ask) -> Iterator[str]:
    found = choose(devices, "instrument", "supply", ask)
    if found is not None:
        volts, amps = ask("its voltage in V", "12.0"), ask("its current limit in A", "2.0")
        yield f'power: {{use: "adapters.power_scpi:ScpiSupply", resource: "{found.fields["resource"]}", volts: {volts}, amps: {amps}}}'
        return
    yield "# no instrument was found; a relay or a networked socket by its programs:"
    yield '# power: {use: "adapters.power_command:CommandPower", on: [usbrelay, "A_1=1"], off: [usbrelay, "A_1=0"]}'
    yield 'power: {use: "adapters.power_manual:ManualPower"}     # a person at the terminal'


def console(devices: list[Device], ask: Ask) -> Iterator[str]:
    found = choose(devices, "serial", "console", ask)
    if found is not None:
        baudrate = ask("its baud rate", "115200")
        yield f'console: {{use: "adapters.console_serial:SerialConsole", url: {found.fields["url"]}, baudrate: {baudrate}}}'
    else:
        yield '# console: {use: "adapters.console_serial:SerialConsole", url: /dev/ttyUSB0}   # none was found or chosen'


def buses(devices: list[Device], ask: Ask) -> Iterator[str]:
    """A port for each bus, named as submissions name it."""
    fitting = [d for d in devices if d.kind == "can"]
    if not fitting:
        yield '# body: {use: "adapters.can_python:PythonCan", interface: socketcan, channel: can0, bitrate: 500000}   # none was found'
    for device in fitting:
        name = ask(
            f"bus on {device.what}, as submissions name it (- leaves it out)", "body" if device is fitting[0] else "-"
        )
        if name == "-":
            continue
        fd, rate = ask(f"CAN FD on {name} (yes, no)", "no") == "yes", ask(f"bit rate of {name} in bit/s", "500000")
        fields = {
            "interface": device.fields["interface"],
            "channel": json.dumps(device.fields["channel"]),
            "bitrate": rate,
        }
        if fd:
            fields |= {
                "fd": "true",
                "data_bitrate": ask("data bit rate in bit/s", "2000000"),
                "sample_point": "80",
                "data_sample_point": "80",
            }
        yield f'{name}: {{use: "adapters.can_python:PythonCan", {", ".join(f"{k}: {v}" for k, v in fields.items())}}}'


def image(ask: Ask) -> Iterator[str]:
    """How the image gets onto the target."""
    way = ask("how the image gets onto the target (uds, uboot, command, preflashed)", "preflashed")
    ways = {
        "uds": [
            'diag: {use: "adapters.uds:UdsOverCan"}',
            'flash: {use: "adapters.flash_uds:UdsFlasher", key: [python3, keys.py, "{seed}"]}',
        ],
        "uboot": [
            'flash: {use: "adapters.flash_uboot:UBootFlasher", write: ["mmc dev 0", "mmc write {address} 0 {blocks}"],'
            ' verify: ["mmc read {address} 0 {blocks}"]}'
        ],
        "command": [
            'flash: {use: "adapters.flash_command:CommandFlasher", commands: [[fastboot, flash, system, "{artefact}"]]}'
        ],
        "preflashed": [
            'diag: {use: "adapters.uds:UdsOverCan"}',
            'flash: {use: "adapters.flash_preflashed:Preflashed", on: diag}',
        ],
    }
    if way not in ways:
        raise BadInput(f"{way!r} is no way to flash{documents.meant(way, ways)}")
    yield from ways[way]
