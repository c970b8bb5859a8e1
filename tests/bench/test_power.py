"""Supplies: what they are told they read back, what they lose is found, how they are left is declared."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from adapters.console_serial import SerialConsole
from adapters.power_command import CommandPower
from adapters.power_lines import LineReset
from adapters.power_manual import ManualPower
from adapters.power_scpi import ScpiSupply
from harness.errors import RigError
from harness.model import Interface, Item
from harness.ports import Bench, Power, Supply
from rigs.desk.supply import Supply as Instrument
from tests.support.desk import needs
from tests.support.waiting import until


@pytest.fixture
def bench(tmp_path):
    return Bench(
        item=Item(files={}, interface=Interface(buses={})), work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path
    )


class Served:
    """The desk's supply on a TCP port of its own; `fed` is what the device got."""

    def __init__(self):
        self.fed = []
        self.instrument = Instrument(self.fed.append)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.thread.start()
        assert self.ready.wait(5)
        self.resource = f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    async def serve(self):
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self.instrument.serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.over.wait()
            self.instrument.hang_up()

    def end(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(5)


@pytest.fixture
def served():
    found = Served()
    yield found
    found.end()


def test_a_supply_is_set_read_back_switched_and_left_as_declared(served, bench):
    recipe = ScpiSupply(resource=served.resource, volts=12.0, amps=2.0, channel=1)
    with recipe.open("power", bench) as power:
        assert isinstance(power, Power)
        assert isinstance(power, Supply)
        assert served.fed[-1] is False
        before_ns, on_ns, after_ns = time.monotonic_ns(), power.on(), time.monotonic_ns()
        assert before_ns <= on_ns <= after_ns
        assert 0 < power.uncertainty_ns < 1_000_000_000
        assert served.fed[-1] is True
        assert power.read() == (12.0, pytest.approx(0.45))
        power.check()
        power.set(9.0)
        assert power.read()[0] == 9.0
        power.profile([(0.0, 6.0), (0.05, 13.5)])
        assert power.read()[0] == 13.5
        assert [on for on in served.fed if on is not None][-2:] == [False, True]  # browned out at 6 V, and back
        power.off()
        assert served.fed[-1] is False
        power.on()
    assert served.fed[-1] is False
    assert not served.instrument.on


def test_a_supply_may_be_left_on(served, bench):
    with ScpiSupply(resource=served.resource, safe="on").open("power", bench) as power:
        power.on()
        power.off()
    assert served.instrument.on
    assert served.fed[-1] is True


def test_safety_needs_no_open_port(served, bench, tmp_path):
    served.instrument.volts, served.instrument.on = 12.0, True
    assert "off, read back" in ScpiSupply(resource=served.resource).make_safe(tmp_path)
    assert not served.instrument.on


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"shorted": True}, ["reads 0.40 V", "in current limit", "check wiring and load"]),
        ({"deaf": True}, ["does not answer 'OUTP?' within"]),
    ],
)
def test_a_supply_that_fails_says_what_it_reads(served, bench, spoil, words):
    with (
        pytest.raises(RigError) as error,
        ScpiSupply(resource=served.resource, settle_s=0.3).open("power", bench) as power,
    ):
        for name, value in spoil.items():
            setattr(served.instrument, name, value)
        try:
            power.on()
        finally:
            served.instrument.deaf = False
    for word in words:
        assert word in str(error.value)


def test_a_supply_that_trips_is_found_by_the_next_check(served, bench):
    with ScpiSupply(resource=served.resource).open("power", bench) as power:
        power.on()
        served.instrument.trip()
        with pytest.raises(RigError, match=r"should be on with 12 V, and reads 0.00 V, 0.00 A, output off"):
            power.check()


def test_what_a_supply_refuses_is_told_in_its_own_words(served, bench):
    with (
        pytest.raises(RigError, match="refuses VOLT 60: -222,"),
        ScpiSupply(resource=served.resource, volts=60).open("p", bench),
    ):
        pass


def test_pyvisa_opens_what_the_plain_lines_do_not(served, bench):
    """The same instrument through PyVISA's pure-Python backend: its board number makes the resource PyVISA's own."""
    resource = served.resource.replace("TCPIP::127.0.0.1", "TCPIP0::localhost") + ""
    from adapters._power.scpi import Instrument as Line
    from adapters._power.scpi import VisaLine

    line = VisaLine(resource, 2.0)
    try:
        line.session.read_termination = line.session.write_termination = "\n"
        assert Line(line, resource, 2.0).ask("*IDN?") == "Shipei,Desk Supply,0001,1.0"
    finally:
        line.close()


def test_a_serial_supply_speaks_the_same(served, bench, tmp_path):
    link = tmp_path / "supply"
    relay = subprocess.Popen([needs("socat"), f"PTY,link={link},raw,echo=0", f"TCP:127.0.0.1:{served.port}"])
    try:
        until(link.exists)
        with ScpiSupply(resource=f"ASRL{link}::INSTR").open("power", bench) as power:
            power.on()
            assert served.fed[-1] is True
        assert served.fed[-1] is False
    finally:
        relay.kill()
        relay.wait()


def test_a_device_file_speaks_the_same(served, bench, tmp_path):
    """The kernel's USBTMC file is a character device that is read whole answers at a time; so is a raw terminal, near enough."""
    link = tmp_path / "usbtmc0"
    relay = subprocess.Popen([needs("socat"), f"PTY,link={link},raw,echo=0", f"TCP:127.0.0.1:{served.port}"])
    try:
        until(link.exists)
        with ScpiSupply(resource=str(link)).open("power", bench) as power:
            power.on()
            assert served.fed[-1] is True
            assert power.about.startswith("Shipei,Desk Supply")
    finally:
        relay.kill()
        relay.wait()


# ---------------------------------------------------------------- a lab's programs, a person, a line

RELAY = """import sys, pathlib
what, file = sys.argv[1], pathlib.Path(sys.argv[2])
if what == "state":
    print(file.read_text())
elif what == "hang":
    import time
    time.sleep(60)
elif what == "break":
    sys.exit("the relay does not answer")
else:
    file.write_text(what)
"""


@pytest.fixture
def relay(tmp_path):
    script, state = tmp_path / "relay.py", tmp_path / "relay"
    script.write_text(RELAY)
    state.write_text("on")
    return lambda what: (sys.executable, str(script), what, str(state))


def test_programs_of_the_lab_switch(relay, bench, tmp_path):
    recipe = CommandPower(on=relay("on"), off=relay("off"), state=relay("state"))
    with recipe.open("power", bench) as power:
        assert (tmp_path / "relay").read_text() == "off"
        power.on()
        assert (tmp_path / "relay").read_text() == "on"
        power.check()
        (tmp_path / "relay").write_text("off")
        with pytest.raises(RigError, match="should be on, and .* says off: who switched it"):
            power.check()
        (tmp_path / "relay").write_text("on")
    assert (tmp_path / "relay").read_text() == "off"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("hang", r"did not end within 0.5 s"),
        ("break", r"ended with code 1; it said: the relay does not answer"),
    ],
)
def test_a_program_that_fails_or_hangs_is_the_labs(relay, bench, what, said):
    with (
        pytest.raises(RigError, match=said),
        CommandPower(on=relay(what), off=relay("off"), limit_s=0.5).open("p", bench) as power,
    ):
        power.on()


def test_a_program_that_is_not_there(bench):
    with pytest.raises(RigError, match="usb-relay-of-nobody cannot be started: No such file"):
        CommandPower(on=("x",), off=("usb-relay-of-nobody",)).make_safe(bench.work)


def test_a_person_switches_when_asked(bench):
    master, slave = os.openpty()
    asked = []

    def person():
        while len(asked) < 3:
            text = os.read(master, 1024).decode()
            if "press Enter" in text:
                asked.append(text)
                os.write(master, b"\n")

    thread = threading.Thread(target=person, daemon=True)
    thread.start()
    with ManualPower(what="the cockpit", terminal=os.ttyname(slave), limit_s=5).open("power", bench) as power:
        power.on()
        assert power.uncertainty_ns > 0
    thread.join(5)
    assert ["OFF" in a for a in asked] == [True, False, True]
    os.close(master)
    os.close(slave)


def test_nobody_at_the_terminal(bench, tmp_path):
    master, slave = os.openpty()
    try:
        with (
            pytest.raises(RigError, match="nobody did within 0.2 s"),
            ManualPower(terminal=os.ttyname(slave), limit_s=0.2).open("p", bench),
        ):
            pass
    finally:
        os.close(master)
        os.close(slave)
    with (
        pytest.raises(RigError, match="there is no terminal to ask at"),
        ManualPower(terminal=str(tmp_path / "no-tty")).open("p", bench),
    ):
        pass


def test_a_reset_line_holds_the_device_and_lets_it_go(bench):
    """pyserial's loop:// returns RTS as CTS."""
    with SerialConsole(url="loop://").open("console", bench) as console:
        ports = {"console": console}
        with LineReset(line="rts").open("power", Bench(**{**vars_of(bench), "ports": ports})) as power:
            assert console.serial.cts is True  # held
            power.on()
            assert console.serial.cts is False
        assert console.serial.cts is True


def vars_of(bench):
    return {k: getattr(bench, k) for k in ("item", "work", "evidence", "memory")}
