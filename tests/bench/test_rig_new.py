"""`shipei rig new`: what is plugged in, a few questions, a rig file that loads; and buses that a cable joins, measured."""

import json
import subprocess
import sys

import can
import pytest
import yaml

from harness.commissioning import check, discover, loopback
from harness.commissioning.discover import Device
from harness.errors import BadInput
from harness.inputs import rig
from shipei.rig_commands import reference_item
from tests.support.desk import needs

PLUGGED = [
    Device(kind="can", what="pcan PCAN_USBBUS1", fields={"interface": "pcan", "channel": "PCAN_USBBUS1"}),
    Device(kind="can", what="socketcan can0", fields={"interface": "socketcan", "channel": "can0"}),
    Device(kind="serial", what="/dev/ttyUSB0 FT232R", fields={"url": "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"}),
    Device(kind="instrument", what="/dev/usbtmc0", fields={"resource": "/dev/usbtmc0"}),
]


def answers(**given):
    """Answers by the start of the question; else the default."""
    asked = []

    def ask(question, default):
        asked.append(question)
        return next((a for start, a in given.items() if question.startswith(start.replace("_", " "))), default)

    return ask, asked


@pytest.mark.parametrize("way", ["uds", "uboot", "command", "preflashed"])
def test_what_is_plugged_in_becomes_a_rig_file_that_loads(tmp_path, way):
    ask, asked = answers(how_the_image=way, bus_on_socketcan="adas", CAN_FD_on_adas="yes")
    file = discover.write(tmp_path / "bench-07.yaml", PLUGGED, ask)
    found = rig.read(file).rig
    assert (found.name, found.kind) == ("bench-07", "bench")
    assert list(found.ports)[:2] == ["power", "console"]
    assert found.ports["console"]["url"] == "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"
    assert found.ports["body"]["interface"] == "pcan"
    assert found.ports["adas"]["data_bitrate"] == 2_000_000
    assert "flash" in found.ports
    assert file.read_text().startswith("# Written by `shipei rig new`")
    assert len(asked) < 20


def test_nothing_plugged_in_is_a_rig_file_with_the_words_to_fill_in(tmp_path):
    file = discover.write(tmp_path / "empty.yaml", [], answers()[0])
    assert list(yaml.safe_load(file.read_text())["ports"]) == ["power", "diag", "flash"]
    assert "adapters.power_command:CommandPower" in file.read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "../x"}, "a rig's name is"),
        ({"chip": "sim2"}, "chip 'sim2' is not registered"),
        ({"console": "7"}, "'7' is none of 0 to 1"),
        ({"how_the_image": "udss"}, r"'udss' is no way to flash \(did you mean 'uds'\?\)"),
    ],
)
def test_an_answer_that_cannot_be_is_told_and_nothing_is_written(tmp_path, given, said):
    with pytest.raises(BadInput, match=said):
        discover.write(tmp_path / "x.yaml", PLUGGED, answers(**given)[0])
    assert not (tmp_path / "x.yaml").exists()


def test_a_rig_file_is_never_overwritten(tmp_path):
    (tmp_path / "x.yaml").write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        discover.write(tmp_path / "x.yaml", [], answers()[0])
    assert (tmp_path / "x.yaml").read_text() == "mine"


def test_detection_takes_what_python_can_and_pyserial_say(monkeypatch):
    def detect(interfaces):
        if interfaces == ["kvaser"]:
            raise OSError("canlib is half installed")
        return [{"interface": "socketcan", "channel": "can3"}] if interfaces == ["socketcan"] else []

    monkeypatch.setattr(can, "detect_available_configs", detect)
    found = discover.plugged_in()
    assert Device(kind="can", what="socketcan can3", fields={"interface": "socketcan", "channel": "can3"}) in found


def test_the_command_asks_nothing_with_yes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "rig", "new", str(tmp_path / "b.yaml"), "--yes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"shipei rig check {tmp_path / 'b.yaml'}" in done.stdout
    assert done.stderr == ""
    rig.read(tmp_path / "b.yaml")


# ---------------------------------------------------------------- two buses on one cable


@pytest.fixture
def wired(tmp_path, monkeypatch):
    """Two SLCAN adapters whose serial lines are joined: what one sends, the other hears."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ends = [tmp_path / "a", tmp_path / "b"]
    process = subprocess.Popen([needs("socat"), *(f"PTY,link={end},raw,echo=0" for end in ends)])
    file = tmp_path / "pair.yaml"
    port = '{{use: "adapters.can_python:PythonCan", interface: slcan, channel: {}, bitrate: 500000, sleep_after_open: 0.1}}'
    file.write_text(
        f'name: pair\nkind: virtual\nchip: {{name: sim, revision: "1"}}\nclock_ms: 1.0\nwired: [[body, adas]]\nports:\n'
        f"  body: {port.format(ends[0])}\n  adas: {port.format(ends[1])}\n"
    )
    yield file, process
    process.kill()
    process.wait()


def test_a_long_check_measures_what_is_wired_and_shows_the_histogram(wired):
    file, _ = wired
    found = check.check(rig.read(file), None, reference_item, check.Extent(long=True), lambda what: None)
    (loop,) = found.loops
    assert loop.lost == 0
    assert len(loop.delays_us) == loopback.FRAMES
    assert sum(n for _, _, n in loop.histogram()) == len(loop.delays_us)
    assert -2_000 < float(loop.delays_us.min()) <= float(loop.delays_us.max()) < 500_000
    assert found.rows["body - adas"]["ok"]
    done = subprocess.run(
        [sys.executable, "-m", "harness", "rig", "check", str(file), "--long", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["loops"][0]["lost"] == 0


def test_a_cable_that_is_not_there_loses_every_frame(wired):
    file, _ = wired
    text = file.read_text()
    other = file.with_name("other")
    with subprocess.Popen([needs("socat"), f"PTY,link={other},raw,echo=0", f"PTY,link={other}2,raw,echo=0"]) as second:
        while not other.exists():
            assert second.poll() is None
        file.write_text(text.replace(f"channel: {file.with_name('b')}", f"channel: {other}"))
        found = check.check(rig.read(file), None, reference_item, check.Extent(long=True), lambda what: None)
        second.kill()
    assert not found.ok
    assert "is the cable between body and adas there" in found.rows["body - adas"]["says"]
