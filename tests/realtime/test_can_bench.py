"""CAN adapters without the adapters: bit timing per interface, what an interface says that it runs, losses and states, stamps."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import can
import pytest

from adapters._can import timing as can_timing
from adapters._can.stamps import Stamps
from adapters._can.state import Condition
from harness.errors import RigError
from tests.support.desk import needs

FD = {"fd": True, "bitrate": 500_000, "data_bitrate": 2_000_000, "sample_point": 80, "data_sample_point": 75}
CLASSIC = {"bitrate": 500_000, "sample_point": 87.5}


@pytest.mark.parametrize(
    ("interface", "wanted", "clock_hz"),
    [
        ("pcan", CLASSIC, 8_000_000),
        ("pcan", FD, 80_000_000),
        ("kvaser", CLASSIC, 16_000_000),
        ("kvaser", FD, 80_000_000),
        ("vector", CLASSIC, 16_000_000),
        ("vector", FD, 80_000_000),
        ("slcan", CLASSIC, 8_000_000),
    ],
)
def test_timing_objects_have_the_controllers_clock_and_the_wanted_rates(interface, wanted, clock_hz):
    timing = can_timing.revived(can_timing.settings(interface, wanted))["timing"]
    assert timing.f_clock == clock_hz
    if wanted is FD:
        assert (timing.nom_bitrate, timing.data_bitrate) == (500_000, 2_000_000)
        assert timing.nom_sample_point == pytest.approx(80, abs=1)
        assert timing.data_sample_point == pytest.approx(75, abs=1)
    else:
        assert timing.bitrate == 500_000
        assert timing.sample_point == pytest.approx(87.5, abs=1)


def test_what_crosses_to_the_bus_owner_is_json_and_comes_back_whole():
    for interface, wanted in (("pcan", {**FD, "listen_only": True}), ("kvaser", CLASSIC), ("vector", FD)):
        found = can_timing.revived(json.loads(json.dumps(can_timing.settings(interface, wanted))))
        assert isinstance(found["timing"], can.BitTimingFd if wanted.get("fd") else can.BitTiming)
    assert can_timing.revived(can_timing.settings("pcan", {**FD, "listen_only": True}))["state"] is can.BusState.PASSIVE


def test_the_other_interfaces_get_what_they_take():
    assert can_timing.settings("socketcan", FD) == {"fd": True}
    assert can_timing.settings("gs_usb", {"bitrate": 250_000}) == {"bitrate": 250_000}
    assert can_timing.settings("slcan", {"bitrate": 250_000, "listen_only": True}) == {
        "bitrate": 250_000,
        "listen_only": True,
    }
    assert can_timing.settings("ixxat", {"bitrate": 500_000}) == {"bitrate": 500_000}
    found = can_timing.settings("ixxat", FD)
    assert found["fd"]
    assert (found["tseg1_abr"] + 1) / (1 + found["tseg1_abr"] + found["tseg2_abr"]) == pytest.approx(0.8, abs=0.01)
    assert can_timing.settings("vector", {**CLASSIC, "listen_only": True})["listen_only"] is True
    assert can_timing.settings("kvaser", {**CLASSIC, "listen_only": True})["driver_mode"] is False
    slcan_fd = can_timing.revived(
        can_timing.settings("slcan", {"fd": True, "bitrate": 500_000, "data_bitrate": 5_000_000})
    )
    assert slcan_fd["timing"].data_bitrate == 5_000_000


@pytest.mark.parametrize(
    ("interface", "wanted", "said"),
    [
        ("pcan", {"fd": True, "bitrate": 500_000}, "fd needs data_bitrate"),
        ("pcan", {}, "needs bitrate"),
        ("pcan", {"bitrate": 777_777}, "777777 bit/s cannot be made from a clock of 8 MHz"),
        ("kvaser", {"bitrate": 1_000_000, "sample_point": 53.0}, "the nearest that a clock of 16 MHz can do"),
        ("gs_usb", FD, "neither CAN FD nor listen-only"),
        ("gs_usb", {"bitrate": 500_000, "sample_point": 75.0}, "samples at 87.5 %"),
        ("slcan", {"fd": True, "bitrate": 500_000, "data_bitrate": 4_000_000}, "2000000 or 5000000"),
        ("ixxat", CLASSIC, "sets no sample point on a classic bus"),
        ("ixxat", {"bitrate": 500_000, "listen_only": True}, "cannot listen only"),
    ],
)
def test_what_an_interface_cannot_do_is_refused_in_words(interface, wanted, said):
    with pytest.raises(RigError, match=said):
        can_timing.settings(interface, wanted)


# ---------------------------------------------------------------- PCAN, down to the driver's door

PCAN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void note(const char *text) { FILE *f = fopen(getenv("PCAN_NOTES"), "a"); fprintf(f, "%s\\n", text); fclose(f); }
unsigned CAN_InitializeFD(unsigned short channel, const char *bitrate) { note(bitrate); return 0; }
unsigned CAN_Initialize(unsigned short channel, unsigned short btr, unsigned char t, unsigned p, unsigned short i) {
  char text[32]; sprintf(text, "btr %04x", btr); note(text); return 0; }
unsigned CAN_Uninitialize(unsigned short channel) { return 0; }
unsigned CAN_Reset(unsigned short channel) { return 0; }
unsigned CAN_GetStatus(unsigned short channel) { char *s = getenv("PCAN_STATUS"); return s ? strtoul(s, 0, 16) : 0; }
unsigned CAN_Read(unsigned short c, void *m, void *t) { return 0x20; }
unsigned CAN_ReadFD(unsigned short c, void *m, void *t) { return 0x20; }
unsigned CAN_Write(unsigned short c, void *m) { return 0; }
unsigned CAN_WriteFD(unsigned short c, void *m) { return 0; }
unsigned CAN_FilterMessages(unsigned short c, unsigned a, unsigned b, unsigned char m) { return 0; }
unsigned CAN_GetValue(unsigned short c, unsigned char p, void *b, unsigned n) {
  if (p == 5) strcpy(b, "4.6.0.0"); else memset(b, 0, n); return 0; }
unsigned CAN_SetValue(unsigned short c, unsigned char p, void *b, unsigned n) {
  char text[32]; sprintf(text, "set %u %u", p, *(unsigned char *)b); note(text); return 0; }
unsigned CAN_GetErrorText(unsigned e, unsigned short l, char *b) { strcpy(b, "an error"); return 0; }
unsigned CAN_LookUpChannel(char *p, unsigned short *c) { return 0; }
"""
OPEN = """
import sys, json
from pathlib import Path
from contextlib import ExitStack
from adapters.can_python import PythonCan
from harness.model import Interface, Item
from harness.ports import Bench
work = Path(sys.argv[1])
bench = Bench(item=Item(files={}, interface=Interface(buses={})), work=work, evidence=work, ports={}, memory=work)
with PythonCan(interface="pcan", channel="PCAN_USBBUS1", **json.loads(sys.argv[2])).open("body", bench) as bus:
    print(bus.health())
"""


@pytest.fixture(scope="module")
def pcan(tmp_path_factory):
    """PCAN-Basic as a library that writes down what it is told."""
    folder = tmp_path_factory.mktemp("pcan")
    (folder / "pcan.c").write_text(PCAN)
    subprocess.run(
        [
            needs("gcc"),
            "-shared",
            "-fPIC",
            "-w",
            "-Wl,-soname,libpcanbasic.so",
            "-o",
            folder / "libpcanbasic.so",
            folder / "pcan.c",
        ],
        check=True,
    )
    return folder


def opened(pcan, tmp_path, wanted, status="0"):
    notes = tmp_path / "notes"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(pcan), "PCAN_NOTES": str(notes), "PCAN_STATUS": status}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path), json.dumps(wanted)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, notes.read_text() if notes.is_file() else ""


def test_pcan_fd_is_initialised_with_clock_segments_and_rates(pcan, tmp_path):
    done, notes = opened(pcan, tmp_path, FD)
    assert done.returncode == 0, done.stderr
    line = next(line for line in notes.splitlines() if "nom_brp" in line)
    first = {k: int(v) for k, v in (pair.split("=") for pair in line.split(", "))}
    assert first["f_clock"] == 80_000_000
    nominal = 1 + first["nom_tseg1"] + first["nom_tseg2"]
    data = 1 + first["data_tseg1"] + first["data_tseg2"]
    assert first["f_clock"] / first["nom_brp"] / nominal == 500_000
    assert first["f_clock"] / first["data_brp"] / data == 2_000_000
    assert (1 + first["nom_tseg1"]) / nominal == pytest.approx(0.80, abs=0.01)
    assert (1 + first["data_tseg1"]) / data == pytest.approx(0.75, abs=0.01)


def test_pcan_classic_gets_its_registers(pcan, tmp_path):
    done, notes = opened(pcan, tmp_path, {"bitrate": 500_000})
    assert done.returncode == 0, done.stderr
    btr0, btr1 = bytes.fromhex(next(line for line in notes.splitlines() if line.startswith("btr"))[4:])
    assert (btr0 & 0x3F, btr1) == (0, 0x1C)  # 500 kbit/s at 87.5 % from 8 MHz: prescaler 1, 1 + 13 + 2 quanta


@pytest.mark.parametrize(
    ("status", "said"),
    [("40000", "error-passive at once.*60 ohms"), ("10", "bus-off.*short or a swap")],
)
def test_a_controller_in_trouble_at_once_is_told_in_the_words_of_the_bench(pcan, tmp_path, status, said):
    done, _ = opened(pcan, tmp_path, {"bitrate": 500_000}, status)
    assert done.returncode == 1
    assert __import__("re").search(said, done.stderr), done.stderr


# ---------------------------------------------------------------- SocketCAN, as `ip` tells it

LINK = {
    "ifname": "can0",
    "flags": ["NOARP", "UP", "LOWER_UP"],
    "mtu": 72,
    "linkinfo": {
        "info_kind": "can",
        "info_data": {
            "state": "ERROR-ACTIVE",
            "ctrlmode": ["FD"],
            "bittiming": {"bitrate": 500000, "sample_point": "0.800"},
            "data_bittiming": {"bitrate": 2000000, "sample_point": "0.750"},
        },
    },
}


@pytest.fixture
def ip(tmp_path, monkeypatch):
    """A program `ip` that says what it is given to say."""

    def says(link):
        program = tmp_path / "ip"
        program.write_text(f"#!{sys.executable}\nprint({json.dumps([link])!r})\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return says


def test_an_interface_that_runs_what_the_rig_file_says(ip):
    ip(LINK)
    assert can_timing.differences("can0", FD) == []


def test_an_interface_that_runs_something_else_is_told_with_the_command_that_mends_it(ip):
    ip({**LINK, "flags": ["NOARP"]})
    found = can_timing.differences("can0", {**FD, "bitrate": 250_000, "data_sample_point": 70, "listen_only": True})
    assert found == [
        "it is down",
        "its bitrate is 500000, not 250000",
        "its data_sample_point is 75 %, not 70 %",
        "it does not listen only",
    ]
    command = can_timing.setup_command("can0", FD)
    assert command.endswith(
        "up type can bitrate 500000 sample-point 0.8 dbitrate 2000000 fd on dsample-point 0.75 listen-only off"
    )


def test_a_virtual_interface_has_no_bit_rate_to_compare(ip):
    ip({"ifname": "vcan0", "flags": ["UP"], "mtu": 16, "linkinfo": {"info_kind": "vcan"}})
    assert can_timing.differences("vcan0", {"bitrate": 500_000}) == []
    assert can_timing.differences("vcan0", FD) == ["it carries no CAN FD (mtu 16)"]


# ---------------------------------------------------------------- states and losses


class Bus(can.BusABC):
    """A python-can bus of nobody."""

    def __init__(self):
        super().__init__("nothing")

    def send(self, msg, timeout=None):
        """Nowhere."""

    def _recv_internal(self, timeout):
        return None, False


def test_error_frames_tell_state_and_overruns():
    with Bus() as bus:
        condition = Condition(bus, "socketcan", "can0")
        for identifier, data, state, lost in (
            (0x04, bytes([0, 0x20]), "passive", 0),
            (0x04, bytes([0, 0x40]), "active", 0),
            (0x04, bytes([0, 0x01]), "active", 1),
            (0x40, bytes(8), "off", 1),
            (0x100, bytes(8), "active", 1),
        ):
            condition.error_frame(identifier, data)
            condition.read()
            assert (condition.state, condition.lost) == (state, lost)


def test_what_the_kernel_dropped_since_we_opened_is_lost(tmp_path):
    with Bus() as bus:
        condition = Condition(bus, "socketcan", "can0")
        condition.folder = tmp_path
        (tmp_path / "rx_dropped").write_text("0")
        condition.before = condition.kernel_losses()
        (tmp_path / "rx_dropped").write_text("7")
        condition.read()
        assert condition.lost == 7


# ---------------------------------------------------------------- stamps


@pytest.mark.parametrize("seed", range(12))
def test_stamps_are_mapped_within_the_uncertainty_that_is_told(seed):
    """An adapter's clock with offset and drift, frames that arrive late by chance, every tenth one our own."""
    chance = random.Random(seed)
    offset_ns, ppm = chance.randrange(-(10**12), 10**12), chance.uniform(-50, 50)
    stamps, worst_ns, last = Stamps(), 0, 0
    true_ns = 10**12
    for n in range(4000):
        true_ns += chance.randrange(1_000_000, 12_000_000)
        stamp_ns = round((true_ns - 10**12) * (1 + ppm / 1e6)) + 10**12 - offset_ns
        arrival_ns = true_ns + round(chance.expovariate(1 / 300_000)) + 50_000
        sent_ns = true_ns - round(chance.expovariate(1 / 200_000)) - 30_000 if n % 10 == 0 else None
        found = stamps.mapped(stamp_ns, arrival_ns, sent_ns)
        assert found >= last
        last = found
        if n > 300:
            worst_ns = max(worst_ns, abs(found - true_ns) - stamps.uncertainty_ns())
    assert worst_ns <= 20_000, worst_ns
    assert stamps.unstamped == 0
    assert abs(stamps.drift_ppm() + ppm) < 20
    assert 0 < stamps.uncertainty_ns() < 1_000_000


def test_a_stamp_that_is_none_is_the_moment_of_its_arrival():
    stamps = Stamps()
    assert stamps.mapped(0, 5_000_000_000) == 5_000_000_000
    assert stamps.unstamped == 1
    assert stamps.mapped(4_999_000_000, 5_000_000_000) == 5_000_000_000  # not before the frame ahead of it
