"""What every adapter of a protocol must do, whatever is behind it: simulated, real time on the hub, a driver, a record."""

from contextlib import ExitStack

import numpy as np
import pytest

from adapters.can_python import PythonCan
from adapters.can_simulated import SimulatedCan
from adapters.can_slcan import Slcan
from adapters.console_serial import SerialConsole
from adapters.hub import Hub
from adapters.program import ProgramTarget
from adapters.qemu import QemuTarget
from adapters.replay import RecordedCan, RecordedConsole, RecordedPower
from adapters.simulation import SimulatedConsole, SimulatedTarget
from harness import plan
from harness.driving.closed_loop import LOOPS, Loop, coupling
from harness.driving.scenario import cases, load
from harness.errors import RigError
from harness.inputs import inputs, submission
from harness.paths import RIGS, SUITES
from harness.ports import TX, Bench, CanBus, Console, Cycle, Frame, Power, Replayed
from harness.run import run
from harness.vehicle.restbus import Restbus
from rigs.ecus import build
from rigs.images import build as images

MS = 1_000_000
LIVE = {
    "simulated": {"power": SimulatedTarget(), "console": SimulatedConsole(), "body": SimulatedCan()},
    "hub": {
        "hub": Hub(),
        "body": PythonCan(interface="shipei_hub", on="hub"),
        "power": ProgramTarget(),
        "console": SerialConsole(on="power"),
    },
    "board": {
        "body": Slcan(),
        "power": QemuTarget(system="arm", machine="mps2-an385", memory_mb=16, line="serial"),
        "console": SerialConsole(on="power"),
    },
}
COCKPIT = ("boot: loader 2.1", "cockpit ready", 512)  # the first line, the ready line, a frame
SAID = {"simulated": COCKPIT, "hub": COCKPIT, "board": ("BL: mps2 boot block 1.0", "instrument cluster in C up", 0x220)}


@pytest.fixture(scope="module")
def item(tmp_path_factory):
    folder = build.build(tmp_path_factory.mktemp("built") / "s")
    return submission.read(folder).item


@pytest.fixture(scope="module")
def board_item(tmp_path_factory):
    image = images.catalogue()["mps2-an385-cluster-c"]
    folder = images.build(tmp_path_factory.mktemp("built") / "board", image, lambda what: None)
    return submission.read(folder).item


def open_all(stack, recipes, item, work):
    ports = {}
    for name, recipe in recipes.items():
        bench = Bench(item=item, work=work, evidence=work, ports=ports, memory=work, loops=LOOPS)
        ports[name] = stack.enter_context(recipe.open(name, bench))
    return ports


@pytest.fixture(params=LIVE)
def live(request, item, board_item, tmp_path):
    with ExitStack() as stack:
        yield open_all(stack, LIVE[request.param], board_item if request.param == "board" else item, tmp_path)


@pytest.fixture(scope="module")
def overdue(tmp_path_factory):
    """A closed loop that was to start long ago."""
    folder = build.build(tmp_path_factory.mktemp("built") / "assist", ecu="driving_assistance-b")
    said = submission.read(folder)
    declared = said.submission.interface.buses["adas"]
    net = Restbus("adas", None, declared, said.codecs["adas"], said.maps["adas"])
    case = cases(load(SUITES / "driving_assistance" / "scenarios.yaml")["AEB-CCRS"])[0]
    return Loop(coupling(case, net.codec, net.paths, declared, 1))


@pytest.fixture
def said(request):
    """What the item of this rig says first, and when it is ready; an identifier that it sends."""
    return SAID[request.node.callspec.params["live"]]


def pass_ms(bus, ms):
    until_ns = bus.now_ns() + ms * MS
    bus.wait(1 << 60, until_ns)
    return until_ns


def quiet(bus):
    """Wait until what was under way has arrived: nothing more within 100 ms; how many frames that are."""
    for _ in range(100):
        count = len(bus.rows())
        pass_ms(bus, 100)
        if len(bus.rows()) == count:
            return count
    raise AssertionError("the bus does not get quiet")


def ready(bus, console, times, line_of):
    """Wait until the device has said so many times that it is ready; then a moment more, for what must not come."""
    for _ in range(200):
        if [line.text for line in console.lines()].count(line_of) >= times:
            break
        pass_ms(bus, 100)
    pass_ms(bus, 300)
    return [line.text for line in console.lines()].count(line_of)


def test_ports_are_what_their_protocol_says(live):
    assert isinstance(live["body"], CanBus)
    assert isinstance(live["power"], Power)
    assert isinstance(live["console"], Console)
    assert not any(isinstance(port, Replayed) for port in live.values())
    assert all(port.uncertainty_ns >= 0 for port in live.values())


def test_hears_the_device_and_its_console_after_power_on_and_not_after_power_off(live, said):
    bus, power, console = live["body"], live["power"], live["console"]
    first, last, identifier = said
    on_ns = power.on()
    assert ready(bus, console, 1, last) == 1
    assert identifier in bus.rows()["id"]
    assert console.lines()[0].text == first
    assert console.lines()[-1].text == last
    assert console.lines()[0].time_ns >= on_ns
    assert not (bus.rows()["flags"] & TX).any()
    off_ns = power.off()
    assert off_ns > on_ns
    count = quiet(bus)
    pass_ms(bus, 600)
    assert len(bus.rows()) == count
    power.check()


def test_a_closed_loop_starts_when_the_bus_says_and_not_before_it_can(live, overdue):
    """Or its first frames would come late, and in one burst."""
    bus = live["body"]
    live["power"].on()
    pass_ms(bus, 500)
    asked_ns = bus.now_ns()
    start_ns = bus.couple(overdue)
    assert start_ns >= asked_ns
    pass_ms(bus, 700)
    rows = bus.rows()
    for sender in overdue.senders:
        stamps = rows["time_ns"][(rows["id"] == sender.layout.id) & (rows["flags"] & TX != 0)]
        assert abs(stamps[0] - start_ns) < 50 * MS
        in_time = (stamps - start_ns) // (sender.layout.cycle_ms * MS)
        assert (np.arange(len(stamps)) <= in_time + 3).all()  # more than a few at once were from before it could


def test_power_is_idempotent_and_a_second_on_boots_again(live, said):
    bus, power, console = live["body"], live["power"], live["console"]
    power.on()
    power.on()
    assert ready(bus, console, 1, said[1]) == 1
    power.off()
    power.off()
    power.on()
    assert ready(bus, console, 2, said[1]) == 2


def test_own_frames_appear_once_flagged_with_rising_stamps(live):
    bus = live["body"]
    for n in range(20):
        bus.send(Frame(id=0x700 + n, data=bytes([n]) * 8))
    bus.wait(0, bus.now_ns() + 2000 * MS, ids=[0x713])
    rows = bus.rows()
    assert sorted(rows["id"].tolist()) == [0x700 + n for n in range(20)]
    assert (rows["flags"] & TX).all()
    assert (np.diff(rows["time_ns"]) > 0).all()
    assert rows[0]["data"][: rows[0]["length"]].tobytes() == bytes([rows[0]["id"] - 0x700]) * 8


def test_a_cycle_keeps_its_period_and_its_counter_through_a_change_and_stops(live):
    bus = live["body"]
    first, second = (tuple(bytes([kind, n]) for n in range(15)) for kind in (1, 2))
    bus.cycle(0x123, Cycle(id=0x123, period_ns=10 * MS, payloads=first))
    pass_ms(bus, 200)
    bus.cycle(0x123, Cycle(id=0x123, period_ns=10 * MS, payloads=second))
    pass_ms(bus, 200)
    bus.cycle(0x123, None)
    quiet(bus)
    rows = bus.rows()
    counters = rows["data"][:, 1].astype(int)
    assert ((np.diff(counters) - 1) % 15 == 0).all(), counters
    assert set(rows["data"][:, 0]) == {1, 2}
    stalled_ns = bus.health().stall_ns
    assert stalled_ns > 2 * MS or abs(np.diff(rows["time_ns"]).mean() / MS - 10) < 1.5, stalled_ns
    pass_ms(bus, 100)
    assert len(bus.rows()) == len(rows)


def test_waiting_ends_with_the_frame_or_the_deadline(live):
    bus = live["body"]
    bus.cycle(0x123, Cycle(id=0x123, period_ns=20 * MS, payloads=(b"x",)))
    bus.cycle(0x124, Cycle(id=0x124, period_ns=300 * MS, payloads=(b"y",)))
    pass_ms(bus, 100)
    seen = len(bus.rows())
    now_ns = bus.now_ns()
    count = bus.wait(seen, now_ns + 5000 * MS, ids=[0x124])
    assert 0x124 in bus.rows(seen)["id"][: count - seen]
    assert bus.now_ns() < now_ns + 4000 * MS
    until_ns = bus.now_ns() + 100 * MS
    bus.wait(len(bus.rows()), until_ns, ids=[0x7FF])
    assert bus.now_ns() >= until_ns


def test_a_healthy_bus_says_so(live):
    pass_ms(live["body"], 100)
    health = live["body"].health()
    assert (health.state, health.lost, health.errors) == ("active", 0, 0)


def test_any_python_can_interface_behind_the_same_port(tmp_path, item):
    with ExitStack() as stack:
        recipe = {"body": PythonCan(interface="virtual", channel="contract")}
        bus = open_all(stack, recipe, item, tmp_path)["body"]
        bus.send(Frame(id=0x55, data=b"abc"))
        bus.cycle(0x56, Cycle(id=0x56, period_ns=10 * MS, payloads=(b"d",)))
        bus.wait(0, bus.now_ns() + 2000 * MS, ids=[0x56])
        rows = bus.rows()
        assert rows["id"][0] == 0x55
        assert (rows["flags"] & TX).all()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (PythonCan(interface="no_such_interface", channel="x"), "no_such_interface"),
        (PythonCan(interface="socketcan", channel="no_such_can0"), "there is no such channel"),
        (PythonCan(interface="virtual"), "needs a channel"),
        (SerialConsole(url="/dev/no-such-tty"), "/dev/no-such-tty does not open"),
        (SerialConsole(), "needs a url"),
    ],
)
def test_a_port_that_does_not_open_says_why(recipe, said, item, tmp_path):
    with ExitStack() as stack, pytest.raises(RigError, match=said):
        open_all(stack, {"body": recipe}, item, tmp_path)


def test_a_record_plays_back_as_ports(tmp_path, item, tmp_path_factory):
    folder = build.build(tmp_path / "s")
    with inputs.taken(folder, RIGS / "sim.yaml") as given:
        run(plan.make(given, "BOOT-STAGES"), given, tmp_path / "record")
    record = str(tmp_path / "record")
    recipes = {
        "power": RecordedPower(record=record),
        "console": RecordedConsole(record=record),
        "body": RecordedCan(record=record),
    }
    with ExitStack() as stack:
        ports = open_all(stack, recipes, item, tmp_path_factory.mktemp("replay"))
        assert isinstance(ports["body"], CanBus)
        assert isinstance(ports["power"], Power)
        assert isinstance(ports["console"], Console)
        assert all(isinstance(port, Replayed) for port in ports.values())
        test = "common/test_boot.py::test_every_stage_once_and_in_order"
        start_ns = ports["power"].replay_from(test)
        assert start_ns == ports["body"].replay_from(test) == ports["console"].replay_from(test)
        assert ports["power"].off() >= start_ns
        assert ports["power"].on() > start_ns
        with pytest.raises(RigError, match="other suites"):
            ports["power"].off()
        assert len(ports["body"].rows()) > 50
        assert [line.text for line in ports["console"].lines()].count("cockpit ready") == 2
