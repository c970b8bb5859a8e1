"""The simulated bus: durations from bits, arbitration, faults by seed, and the artefact behind the stepper."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from adapters.can_bits import bit_counts, duration_ns
from adapters.can_simulated import SimulatedCan
from adapters.simulation import SimulatedConsole, SimulatedTarget
from harness import plan, submission, trace
from harness.errors import DeviceError, RigError
from harness.ports import BRS, ERROR, EXT, FD, TX, Bench, Cycle, Frame
from rigs.ecus import build

MS = 1_000_000


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = build.build(tmp_path_factory.mktemp("built") / "s")
    return plan.item_of(submission.load(folder), folder)


@pytest.fixture
def opened(tmp_path, reference):
    """open(**recipe fields) -> (bus, power, console), closed in the end."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def open_(name="1", artefact=None, **fields):
            work = tmp_path / name
            work.mkdir()
            item = (
                reference
                if artefact is None
                else type(reference)(files={"application": str(artefact)}, interface=reference.interface)
            )
            ports = {}
            for port, recipe in (
                ("power", SimulatedTarget()),
                ("console", SimulatedConsole()),
                ("body", SimulatedCan(**fields)),
            ):
                bench = Bench(item=item, work=work, evidence=work, ports=ports, memory=work)
                ports[port] = stack.enter_context(recipe.open(port, bench))
            return ports["body"], ports["power"], ports["console"]

        yield open_


def test_a_frame_of_eight_bytes_takes_111_bits_and_its_stuff_bits():
    assert min(bit_counts(i, 0, bytes([0x55] * 8))[0] for i in range(0x800)) >= 111
    worst = max(bit_counts(i, 0, d * 8)[0] for i in (0, 0x78, 0x7F0) for d in (b"\0", b"\x3c", b"\xf8"))
    assert 111 < worst <= 135  # the catalogue's bound for 11-bit identifiers
    assert duration_ns(0x555, 0, bytes(8), 500_000, None) == bit_counts(0x555, 0, bytes(8))[0] * 2000


def test_fd_with_rate_switch_is_faster_and_extended_is_longer():
    data = bytes(range(64))
    assert duration_ns(0x123, FD | BRS, data, 500_000, 2_000_000) < duration_ns(0x123, FD, data, 500_000, 2_000_000)
    assert bit_counts(0x123, EXT, b"")[0] > bit_counts(0x123, 0, b"")[0]


def test_the_lowest_identifier_wins(opened):
    bus, _, _ = opened()
    for identifier in (0x300, 0x100, 0x200):
        bus.send(Frame(id=identifier, data=b""))
    bus.wait(3, bus.now_ns() + 10 * MS)
    bus.wait(0, bus.now_ns() + 10 * MS, ids=[0x7FF])
    rows = bus.rows()
    assert rows["id"].tolist() == [0x100, 0x200, 0x300]
    gaps = np.diff(rows["time_ns"]).tolist()
    assert gaps == [duration_ns(i, 0, b"", 500_000, None) for i in (0x200, 0x300)]


def test_the_same_seed_gives_the_same_trace_byte_for_byte(opened):
    traces = []
    for name in ("a", "b", "c"):
        bus, power, _ = opened(name, seed=7 if name != "c" else 8, corruption=0.02)
        power.on()
        bus.cycle(0x101, Cycle(id=0x101, period_ns=20 * MS, payloads=(bytes(8),)))
        bus.wait(0, bus.now_ns() + 2_000 * MS, ids=[0x7FF])
        traces.append(bus.rows().tobytes())
    assert traces[0] == traces[1] != traces[2]
    assert len(traces[0]) > 80 * 100


def test_corruption_is_repeated_and_counted_and_loss_is_said(opened):
    bus, _, _ = opened("corrupt", corruption=0.3)
    bus.cycle(0x101, Cycle(id=0x101, period_ns=10 * MS, payloads=(b"\1",)))
    bus.wait(0, bus.now_ns() + 1_000 * MS, ids=[0x7FF])
    rows = bus.rows()
    assert np.count_nonzero(rows["flags"] == TX) >= 99
    assert bus.health().errors == np.count_nonzero(rows["flags"] & ERROR) > 10
    bus, _, _ = opened("lossy", loss=0.2)
    bus.cycle(0x101, Cycle(id=0x101, period_ns=10 * MS, payloads=(b"\1",)))
    bus.wait(0, bus.now_ns() + 1_000 * MS, ids=[0x7FF])
    assert len(bus.rows()) + bus.health().lost in (100, 101)
    assert bus.health().lost > 5


def test_bus_off_is_seen_and_lasts_128_times_11_bits(opened):
    bus, _, _ = opened(bus_off_at_s=1.0)
    bus.send(Frame(id=0x10, data=b""))
    states = set()
    for _ in range(400):
        bus.wait(1 << 40, bus.now_ns() + 50_000)
        states.add(bus.health().state)
    assert states == {"active", "passive", "off"}
    errors = bus.rows()["time_ns"][bus.rows()["flags"] & ERROR != 0]
    assert np.diff(errors).max() >= 128 * 11 * 2000


def test_the_device_boots_and_sends(opened):
    bus, power, console = opened()
    on_ns = power.on()
    bus.wait(0, on_ns + 500 * MS, ids=[0x7FF])
    assert [line.text for line in console.lines()] == [
        "boot: loader 2.1",
        "boot: kernel 6.1",
        "boot: services",
        "cockpit ready",
    ]
    assert console.lines()[-1].time_ns == on_ns + 400 * MS
    power.off()
    count = bus.wait(1 << 40, bus.now_ns() + 500 * MS)
    assert bus.wait(1 << 40, bus.now_ns() + 500 * MS) == count


def script(tmp_path, text) -> Path:
    file = tmp_path / "artefact.py"
    file.write_text("#!/usr/bin/env python3\nimport sys, struct, time\n" + text)
    file.chmod(0o755)
    return file


READ = "n = struct.unpack('<I', sys.stdin.buffer.read(4))[0]; sys.stdin.buffer.read(n)\n"


@pytest.mark.parametrize(
    ("behaviour", "fault", "said"),
    [
        ("sys.exit(3)", DeviceError, "ended by itself with code 3"),
        (
            READ + "sys.stdout.buffer.write(struct.pack('<I', 1 << 31)); sys.stdout.flush(); time.sleep(60)",
            DeviceError,
            "are allowed",
        ),
        (
            READ + "sys.stdout.buffer.write(struct.pack('<I', 5) + b'hello'); sys.stdout.flush(); time.sleep(60)",
            DeviceError,
            "protocol",
        ),
        (
            READ + "sys.stdout.buffer.write(struct.pack('<IqqHH', 20, 0, 0, 0, 0)); sys.stdout.flush(); time.sleep(60)",
            DeviceError,
            "did not advance",
        ),
        (
            READ + "[(sys.stdout.buffer.write(b'x'), sys.stdout.flush(), time.sleep(0.3)) for _ in range(90)]",
            DeviceError,
            "it hangs|are allowed",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", RigError, "killed from outside"),
    ],
)
def test_an_item_that_breaks_the_protocol_is_named(opened, tmp_path, behaviour, fault, said):
    _, power, _ = opened(artefact=script(tmp_path, behaviour))
    with pytest.raises(fault, match=said):
        power.on()


def test_an_item_that_hangs_does_not_hang_the_bench(opened, tmp_path, monkeypatch):
    monkeypatch.setattr("adapters.stepper.START_S", 0.5)
    _, power, _ = opened(artefact=script(tmp_path, "time.sleep(60)"))
    with pytest.raises(DeviceError, match="it hangs"):
        power.on()


def test_a_killed_item_is_the_rigs_fault(opened):
    bus, power, _ = opened()
    power.on()
    os.kill(power.item.child.pid, signal.SIGKILL)
    with pytest.raises(RigError, match="killed from outside"):
        bus.wait(0, bus.now_ns() + 1_000 * MS, ids=[0x7FF])


def test_what_was_traced_survives_without_a_close(tmp_path):
    writer = trace.Trace(tmp_path / "t.bin", "body")
    for n in range(70_000):  # beyond one growth
        writer.append(n + 1, n % 2048, 0, b"abc")
    rows, whole = trace.load(tmp_path / "t.bin")
    assert (len(rows), whole) == (70_000, False)
    writer.close()
    rows, whole = trace.load(tmp_path / "t.bin")
    assert (len(rows), whole, rows["time_ns"][-1]) == (70_000, True, 70_000)
