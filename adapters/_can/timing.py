"""Bit rates and sample points, as each python-can interface wants them; and what an interface says that it really runs.

Sample points are in percent of a bit (CiA 601-3: 80 % for 500 kbit/s and 2 Mbit/s, where nothing else is agreed).
"""

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from can import BitTiming, BitTimingFd

from harness.errors import RigError

CLOCKS_HZ = {"pcan": (8_000_000, 80_000_000), "kvaser": (16_000_000, 80_000_000), "vector": (16_000_000, 80_000_000)}
SLCAN_CLOCK_HZ = 8_000_000
SLCAN_DATA = (2_000_000, 5_000_000)
IXXAT_CLOCK_HZ = 80_000_000
SAMPLE_POINT, GS_USB_SAMPLE_POINT = 80.0, 87.5
CLOSE_PERCENT = 1.0  # how far a sample point may lie from the wanted one
IP_S = 5.0
Wanted = Mapping[str, Any]  # bitrate, data_bitrate, sample_point, data_sample_point, fd, listen_only; None: as it comes


def settings(interface: str, wanted: Wanted) -> dict[str, Any]:
    """Keyword arguments for can.Bus. A timing is a dict here (it crosses to another process); see `revived`.

    Raises RigError when the interface cannot do what is wanted.

    >>> settings("pcan", {"bitrate": 500_000, "fd": True, "data_bitrate": 2_000_000})["timing"]["f_clock"]
    80000000
    """
    if wanted.get("fd") and not wanted.get("data_bitrate") and interface in {*CLOCKS_HZ, "ixxat"}:
        raise RigError(
            f"{interface}: fd needs data_bitrate: without it the data phase runs at a rate that nobody chose"
        )
    if interface in CLOCKS_HZ:
        return {**timed(interface, wanted), **silent(interface, wanted)}
    own: dict[str, Callable[[Wanted], dict[str, Any]]]
    own = {"slcan": slcan, "ixxat": ixxat, "gs_usb": gs_usb, "socketcan": socketcan}
    if interface in own:
        return own[interface](wanted)
    plain = {k: wanted[k] for k in ("bitrate", "data_bitrate") if wanted.get(k)}
    return plain | ({"fd": True} if wanted.get("fd") else {})


def timed(interface: str, wanted: Wanted) -> dict[str, Any]:
    """A timing object for controllers that take one."""
    if not wanted.get("bitrate"):
        raise RigError(f"{interface} needs bitrate")
    classic_hz, fd_hz = CLOCKS_HZ[interface]
    return {"timing": dict(fd_timing(wanted, fd_hz) if wanted.get("fd") else timing(wanted, classic_hz))}


def timing(wanted: Wanted, clock_hz: int) -> BitTiming:
    point = wanted.get("sample_point") or GS_USB_SAMPLE_POINT
    try:
        found = BitTiming.from_sample_point(clock_hz, wanted["bitrate"], point)
    except ValueError as error:
        raise RigError(
            f"{wanted['bitrate']} bit/s cannot be made from a clock of {clock_hz / 1e6:g} MHz: {error}"
        ) from error
    near(found.sample_point, wanted.get("sample_point"), "sample_point", clock_hz)
    return found


def fd_timing(wanted: Wanted, clock_hz: int) -> BitTimingFd:
    rates = (wanted["bitrate"], wanted["data_bitrate"])
    points = (wanted.get("sample_point") or SAMPLE_POINT, wanted.get("data_sample_point") or SAMPLE_POINT)
    try:
        found = BitTimingFd.from_sample_point(clock_hz, rates[0], points[0], rates[1], points[1])
    except ValueError as error:
        text = f"{rates[0]} and {rates[1]} bit/s cannot be made from a clock of {clock_hz / 1e6:g} MHz: {error}"
        raise RigError(text) from error
    near(found.nom_sample_point, wanted.get("sample_point"), "sample_point", clock_hz)
    near(found.data_sample_point, wanted.get("data_sample_point"), "data_sample_point", clock_hz)
    return found


def near(found: float, wanted: float | None, what: str, clock_hz: int) -> None:
    if wanted is not None and abs(found - wanted) > CLOSE_PERCENT:
        raise RigError(
            f"{what} {wanted:g} %: the nearest that a clock of {clock_hz / 1e6:g} MHz can do is {found:.1f} %"
        )


def silent(interface: str, wanted: Wanted) -> dict[str, Any]:
    if not wanted.get("listen_only"):
        return {}
    ways: dict[str, dict[str, Any]] = {"pcan": {"state": "PASSIVE"}, "kvaser": {"driver_mode": False}}
    return ways.get(interface, {"listen_only": True})


def slcan(wanted: Wanted) -> dict[str, Any]:
    """LAWICEL's protocol: codes for the usual rates, registers for a sample point; FD in CANable's dialect at 2 and 5 Mbit/s."""
    found: dict[str, Any] = {"listen_only": True} if wanted.get("listen_only") else {}
    if wanted.get("fd"):
        if (
            wanted.get("data_bitrate") not in SLCAN_DATA
            or wanted.get("sample_point")
            or wanted.get("data_sample_point")
        ):
            raise RigError("slcan does CAN FD with a data_bitrate of 2000000 or 5000000, at its own sample points")
        return {**found, "timing": dict(fd_timing(wanted, IXXAT_CLOCK_HZ))}
    if wanted.get("sample_point"):
        return {**found, "timing": dict(timing(wanted, SLCAN_CLOCK_HZ))}
    return found | ({"bitrate": wanted["bitrate"]} if wanted.get("bitrate") else {})


def ixxat(wanted: Wanted) -> dict[str, Any]:
    """VCI: rates by itself; segments of an FD controller where sample points are wanted."""
    found = {k: wanted[k] for k in ("bitrate", "data_bitrate") if wanted.get(k)}
    if wanted.get("listen_only"):
        raise RigError("python-can's ixxat interface cannot listen only")
    if not wanted.get("fd"):
        if wanted.get("sample_point"):
            raise RigError("python-can's ixxat interface sets no sample point on a classic bus; leave sample_point out")
        return found
    found["fd"] = True
    if wanted.get("sample_point") or wanted.get("data_sample_point"):
        t = fd_timing(wanted, IXXAT_CLOCK_HZ)
        found |= {"sjw_abr": t.nom_sjw, "tseg1_abr": t.nom_tseg1, "tseg2_abr": t.nom_tseg2}
        found |= {"sjw_dbr": t.data_sjw, "tseg1_dbr": t.data_tseg1, "tseg2_dbr": t.data_tseg2}
    return found


def gs_usb(wanted: Wanted) -> dict[str, Any]:
    if wanted.get("fd") or wanted.get("listen_only"):
        raise RigError(
            "python-can's gs_usb interface does neither CAN FD nor listen-only; on Linux use it as a socketcan interface"
        )
    if wanted.get("sample_point") not in (None, GS_USB_SAMPLE_POINT):
        raise RigError(
            f"python-can's gs_usb interface samples at {GS_USB_SAMPLE_POINT} %; leave sample_point out, or use socketcan"
        )
    return {"bitrate": wanted["bitrate"]} if wanted.get("bitrate") else {}


def socketcan(wanted: Wanted) -> dict[str, Any]:
    """The kernel's interface is set up by whoever may (ip link); `differences` compares."""
    return {"fd": True} if wanted.get("fd") else {}


# ---------------------------------------------------------------- what it says that it runs


def differences(channel: str, wanted: Wanted) -> list[str]:
    """How a SocketCAN interface differs from what the rig file says, in words, with the command that mends it."""
    link = link_of(channel)
    data = link.get("linkinfo", {}).get("info_data", {})
    found: list[str] = []
    if "UP" not in link.get("flags", []):
        found.append("it is down")
    if link.get("linkinfo", {}).get("info_kind") in ("vcan", "vxcan"):
        return found + (["it carries no CAN FD (mtu 16)"] if wanted.get("fd") and link.get("mtu") == 16 else [])
    running = {**data.get("bittiming", {}), **{f"data_{k}": v for k, v in data.get("data_bittiming", {}).items()}}
    for key in ("bitrate", "data_bitrate"):
        if wanted.get(key) and running.get(key) != wanted[key]:
            found.append(f"its {key} is {running.get(key, 'not set')}, not {wanted[key]}")
    for key in ("sample_point", "data_sample_point"):
        if wanted.get(key) and abs(100 * float(running.get(key, 0)) - wanted[key]) > CLOSE_PERCENT:
            found.append(f"its {key} is {100 * float(running.get(key, 0)):g} %, not {wanted[key]:g} %")
    modes = data.get("ctrlmode", [])
    if bool(wanted.get("listen_only")) is not ("LISTEN-ONLY" in modes):
        found.append("it listens only" if "LISTEN-ONLY" in modes else "it does not listen only")
    if wanted.get("fd") and "FD" not in modes:
        found.append("CAN FD is off")
    return found


def link_of(channel: str) -> dict[str, Any]:
    """What `ip` says of an interface. Raises RigError when there is no such interface, or no `ip`."""
    command = ["ip", "-details", "-json", "link", "show", channel]
    try:
        done = subprocess.run(command, capture_output=True, timeout=IP_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RigError(f"{channel}: cannot ask how it is set up: {error} (Debian: apt install iproute2)") from error
    if done.returncode:
        raise RigError(
            f"{channel}: there is no such channel ({done.stderr.decode().strip()}): `ip -br link show type can` lists them"
        )
    found: list[dict[str, Any]] = json.loads(done.stdout or b"[{}]")
    return found[0]


def setup_command(channel: str, wanted: Wanted) -> str:
    """The commands that set a SocketCAN interface up as wanted."""
    parts = [
        f"sudo ip link set {channel} down; sudo ip link set {channel} up type can bitrate {wanted.get('bitrate') or 'RATE'}"
    ]
    if wanted.get("sample_point"):
        parts.append(f"sample-point {wanted['sample_point'] / 100:g}")
    if wanted.get("fd"):
        parts.append(f"dbitrate {wanted.get('data_bitrate') or 'RATE'} fd on")
    if wanted.get("data_sample_point"):
        parts.append(f"dsample-point {wanted['data_sample_point'] / 100:g}")
    parts.append(f"listen-only {'on' if wanted.get('listen_only') else 'off'}")
    return " ".join(parts)


def revived(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of can.Bus with the objects that JSON cannot carry."""
    found = dict(arguments)
    if "timing" in found:
        kind = BitTimingFd if "nom_brp" in found["timing"] else BitTiming
        found["timing"] = kind(**found["timing"])
    if "state" in found:
        from can.bus import BusState

        found["state"] = BusState[found["state"]]
    return found
