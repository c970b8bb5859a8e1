"""The rig file of a desk: what somebody with such hardware would write."""

import sys
from pathlib import Path

KEY = Path(__file__).with_name("key.py")
TEXT = """# The bench on the desk in {folder}: a supply that speaks SCPI on TCP, a serial console, a CAN adapter that speaks SLCAN, a device
# with a boot loader. Virtual, and yet opened by the same recipes as a bench of hardware.
name: {name}
kind: virtual
exclusive: true                         # one run at a time, as on hardware
chip: {{name: sim, revision: "1"}}
clock_ms: 5                             # SLCAN has no stamps of its own: the arrival at this host is what counts
ports:
  power:
    use: adapters.power_scpi:ScpiSupply
    resource: TCPIP::127.0.0.1::{supply}::SOCKET
    volts: 12.0
    amps: 2.0                           # current limit
    safe: "off"                         # how it is left, whatever happens
  console: {{use: "adapters.console_serial:SerialConsole", url: {folder}/console}}
  {bus}:
    use: adapters.can_python:PythonCan
    interface: slcan
    channel: {folder}/can
    bitrate: {bitrate}
    sleep_after_open: 0.1               # this adapter listens at once; python-can waits 2 s by default
  diag: {{use: "adapters.uds:UdsOverCan"}}
  flash:
    use: adapters.flash_uds:UdsFlasher
    key: [{python}, {key}, "{{seed}}"]      # prints the key to a seed
"""


def write(folder: Path, *, name: str, supply: int, bus: str, bitrate: int) -> Path:
    """FOLDER/rig.yaml."""
    file = folder / "rig.yaml"
    values = {"name": name, "supply": supply, "bus": bus, "bitrate": bitrate}
    file.write_text(TEXT.format(folder=folder, python=sys.executable, key=KEY, **values), encoding="utf-8")
    return file
