"""The loop is closed over the bus: the plant's way follows from the trace, the same live and computed again."""

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.replay import ReplayedBus
from harness import documents
from harness.bring_up import around, switch_on
from harness.driving import closed_loop
from harness.driving import drive as driving
from harness.driving.drive import Drive
from harness.driving.scenario import cases, load
from harness.errors import DeviceError, RigError
from harness.inputs import rig
from harness.inputs import submission as submissions
from harness.model import Event
from harness.paths import SUITES
from harness.ports import TX, Bench
from harness.vehicle.vehicle import Vehicle
from reports import drives
from reports.evidence import what_of
from rigs.ecus import build

SCENARIOS = load(SUITES / "driving_assistance" / "scenarios.yaml")


@pytest.fixture(scope="module")
def vehicle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    submitted = submissions.read(build.build(folder / "submission", ecu="driving_assistance-a"))
    bench = Bench(item=submitted.item, work=folder, evidence=folder, ports={}, memory=folder)
    with rig.opened(rig.read(rig.locate("sim")), bench) as ports:
        live = around(ports, submitted)
        switch_on(live, ports, 5.0)
        live.pass_time(0.5)
        yield live


@pytest.fixture
def drive(vehicle):
    """Drive a case, then put everything back."""

    def go(name, n=0, **changes):
        driven = driving.drive(vehicle, dataclasses.replace(cases(SCENARIOS[name])[n], **changes))
        vehicle.restore()
        vehicle.pass_time(0.5)
        return driven

    return go


def test_the_way_computed_from_the_trace_is_the_way_that_was_driven(vehicle, monkeypatch):
    live = []
    advance = closed_loop.Loop.advance
    monkeypatch.setattr(closed_loop.Loop, "advance", lambda self, now: live.append(self) or advance(self, now))
    driven = driving.drive(vehicle, cases(SCENARIOS["AEB-CCRM"])[2])
    vehicle.restore()
    assert live[-1].plant.history == list(driven.egos)
    assert driven.egos[-1].speed_mps < 20 / 3.6  # it did brake


def spoilt(rows, start_ns, end_ns):
    """The frames from the middle of a drive on, 80 ms later, as a busy host sends them."""
    rows = rows.copy()
    stamps = rows["time_ns"]
    stamps[(stamps > (start_ns + end_ns) // 2) & (stamps <= end_ns)] += 80_000_000
    return rows


@pytest.fixture
def busy(vehicle, monkeypatch):
    """The host is too busy for so many drives; what is noted meanwhile."""
    between, notes = vehicle.between, []

    def go(times):
        def late(net, start_ns, until_ns):
            rows, driven = between(net, start_ns, until_ns), [n for n in notes if n.what == "driven"]
            here = bool(driven) and start_ns == driven[-1].time_ns and len(driven) <= times
            return spoilt(rows, start_ns, until_ns) if here else rows

        monkeypatch.setattr(vehicle, "between", late)
        monkeypatch.setattr(vehicle, "note", lambda what, **fields: notes.append(Event(what=what, **fields)))
        return notes

    return go


def test_a_case_that_a_busy_host_spoilt_is_driven_once_more(vehicle, busy):
    case, (name, live) = cases(SCENARIOS["AEB-CCRM"])[2], next(iter(vehicle.networks.items()))
    start_ns, notes = vehicle.time_ns, busy(1)
    driven = driving.drive(vehicle, case)
    vehicle.restore()
    first, second = notes
    assert (first.call, second.call) == ("couple", "couple again")
    first_end_ns = first.time_ns + round(case.duration_s * 1e9)
    assert driven.coupling.start_ns == second.time_ns > first_end_ns

    bus = ReplayedBus(name, spoilt(live.bus.rows(), first.time_ns, first_end_ns), recorded(notes), 0)
    net = copy.copy(live)
    net.bus = bus
    again = Vehicle({name: net}, None, None, vehicle.interface)
    again.time_ns = start_ns
    assert list(driving.drive(again, case).egos) == list(driven.egos)


def recorded(notes):
    return SimpleNamespace(calls=lambda port, test: list(notes))


def test_a_report_draws_the_second_time_and_says_both(monkeypatch):
    case = documents.dump(cases(SCENARIOS["AEB-ALONE"])[0])
    calls = ("couple", "couple", "couple again", "couple")
    events = [Event(what="driven", requirement="R", call=c, time_ns=n, context={"case": json.dumps(case)}) for n, c in enumerate(calls)]  # fmt: skip
    monkeypatch.setattr(drives, "driven", lambda evidence, event: event.time_ns)
    assert list(drives.of_requirement(SimpleNamespace(events=events), "R")) == [0, 2, 3]
    assert [what_of(e).startswith("again, for the bench") for e in events] == [False, False, True, False]


def test_a_host_that_stays_busy_is_said_of_both_times(vehicle, busy):
    busy(2)
    with pytest.raises(
        RigError, match="80 ms late: the host is overloaded; driven again: the closed loop was up to 80 ms"
    ):
        driving.drive(vehicle, cases(SCENARIOS["AEB-CCRM"])[2])
    vehicle.restore()


def test_every_frame_is_sent_in_its_cycle_and_nothing_else_of_its_messages(drive):
    driven = drive("AEB-ALONE")
    ours = driven.rows[driven.rows["flags"] & TX != 0]
    for message, cycle_ms in (("EgoMotion", 20), ("ObjectList", 40), ("LaneModel", 40)):
        identifier = driven.net.codec.messages[message].frame_id
        stamps = ours["time_ns"][ours["id"] == identifier]
        gaps = np.diff(stamps)[1:]  # the loop's cycles begin at its start, whatever the restbus was at
        assert abs(gaps - cycle_ms * 1e6).max() < 1.5e6


def test_what_is_sensed_is_late_by_the_latency(drive):
    quiet = dataclasses.replace(cases(SCENARIOS["AEB-CCRS"])[2].sensors, noise_m=0.0, noise_mps=0.0)
    for latency_s in (0.0, 0.2):
        driven = drive("AEB-CCRS", 2, sensors=dataclasses.replace(quiet, latency_s=latency_s))
        ours = driven.rows[driven.rows["flags"] & TX != 0]
        decoded = driven.net.codec.message("ObjectList", ours)
        at_s = (decoded.time_ns[50] - driven.coupling.start_ns) / 1e9
        seen_m = decoded.signals["Obj1Distance"].values[50]
        assert seen_m == pytest.approx(driven.other(at_s - latency_s).gap_m, abs=0.2)


def test_dropout_takes_that_part_of_the_objects(drive):
    sensors = dataclasses.replace(cases(SCENARIOS["AEB-ALONE"])[0].sensors, dropout=0.3)
    driven = drive("AEB-ALONE", sensors=sensors)
    decoded = driven.net.codec.message("ObjectList", driven.rows[driven.rows["flags"] & TX != 0])
    assert 0.6 < decoded.signals["Obj1Valid"].values.mean() < 0.8


def test_a_loop_that_ran_late_is_the_rigs_fault(drive):
    driven = drive("AEB-ALONE")
    driven.prove()
    rows = driven.rows.copy()
    rows["time_ns"][len(rows) // 2 :] += 80_000_000
    with pytest.raises(RigError, match="80 ms late: the host is overloaded"):
        Drive(driven.net, driven.coupling, rows).prove()
    with pytest.raises(RigError, match=r"sent \d+ of \d+ frames"):
        Drive(driven.net, driven.coupling, driven.rows[: len(rows) // 2]).prove()


def test_frames_that_are_heard_late_change_nothing_while_within_the_delay(drive):
    driven = drive("AEB-CCRS", 2)
    rows = driven.rows
    theirs = rows[(rows["flags"] & TX) == 0]
    loop = closed_loop.Loop(driven.coupling)
    for row in theirs:  # every frame is handed over 60 ms after its stamp
        loop.advance(int(row["time_ns"]) + 60_000_000)
        loop.hear(int(row["time_ns"]), int(row["id"]), row["data"][: row["length"]].tobytes())
    loop.advance(loop.end_ns)
    assert loop.plant.history[-1] == driven.egos[-1]


def test_counters_go_on_into_the_loop_and_out_of_it(vehicle, drive):
    net = vehicle.networks["adas"]
    first = len(net.bus.rows())
    vehicle.pass_time(0.3)
    driving.drive(vehicle, cases(SCENARIOS["AEB-ALONE"])[0])  # two in a row
    drive("AEB-ALONE")
    vehicle.pass_time(0.3)
    rows = net.bus.rows(first)
    for message, counter in {
        "EgoMotion": 2,
        "ObjectList": 2,
        "LaneModel": 4,
    }.items():  # profile 6: behind CRC and length
        ours = rows[(rows["id"] == net.codec.messages[message].frame_id) & (rows["flags"] & TX != 0)]
        assert (np.diff(ours["data"][:, counter].astype(int)) % 256 == 1).all()
    state = net.codec.message("AssistState", rows).signals["SystemState"].labels()
    assert set(state) == {"Ready"}


def test_a_map_without_a_word_that_the_sensors_say_is_the_vendors(vehicle):
    net = vehicle.networks["adas"]
    path = "Vehicle.ADAS.Perception.Object1.Kind"
    other = {**net.paths, path: dataclasses.replace(net.paths[path], to_vss={"Car": "Lorry"})}
    case = cases(SCENARIOS["AEB-ALONE"])[0]
    closed_loop.coupling(case, net.codec, other, net.interface, 0)  # "Car" is the matrix's own word
    wrong = {**net.paths, path: net.paths["Vehicle.ADAS.System.State"]}
    with pytest.raises(DeviceError, match="cannot say 'Bicycle': SystemState has the values Init, Ready, Degraded"):
        closed_loop.coupling(case, net.codec, wrong, net.interface, 0)
    with pytest.raises(DeviceError, match=f"its map has no {path}"):
        closed_loop.coupling(case, net.codec, {p: m for p, m in net.paths.items() if p != path}, net.interface, 0)
