"""The simulated bus: durations from bits, arbitration, faults by seed, and the artefact behind the stepper."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from adapters._process import fence
from adapters._process.stepper import Stepper
from adapters.can_python import OwnedBus, SteadyReader
from adapters.can_simulated import SimulatedCan
from adapters.simulation import SimulatedConsole, SimulatedTarget
from harness.can import trace
from harness.can.frames import bit_counts, duration_ns
from harness.errors import DeviceError, RigError
from harness.inputs import submission
from harness.paths import ROOT, state_folder
from harness.ports import BRS, ERROR, EXT, FD, TX, Bench, Cycle, Frame
from harness.signing import seals
from rigs.ecus import build

MS = 1_000_000


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = build.build(tmp_path_factory.mktemp("built") / "s")
    return submission.read(folder).item


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


def test_a_device_whose_frames_are_destroyed_gets_passive_then_leaves_the_bus_and_comes_back(opened):
    bus, power, _ = opened()
    power.on()
    bus.wait(1 << 40, bus.now_ns() + 1_000 * MS)
    bus.destroy(32)
    bus.wait(1 << 40, bus.now_ns() + 500 * MS)
    rows = bus.rows()
    errors = rows["time_ns"][rows["flags"] & ERROR != 0]
    assert len(errors) == 32
    after = rows["time_ns"][(rows["time_ns"] > errors[-1]) & (rows["flags"] & TX == 0)]
    assert 50 * MS <= after[0] - errors[-1] < 100 * MS  # it starts its controller again after 50 ms
    assert bus.health().state == "active"


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
    file = tmp_path / "artefact"
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
    ],
)
def test_an_item_that_breaks_the_protocol_is_named(opened, tmp_path, behaviour, fault, said):
    _, power, _ = opened(artefact=script(tmp_path, behaviour))
    with pytest.raises(fault, match=said):
        power.on()


SUICIDE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def test_an_item_that_kills_itself_behind_a_fence_ended_by_itself(opened, tmp_path):
    if why := fence.lacking():
        pytest.skip(why)
    _, power, _ = opened(artefact=script(tmp_path, SUICIDE))
    with pytest.raises(DeviceError, match="ended by itself with code 137"):
        power.on()


def test_an_item_that_kills_itself_without_a_fence_may_have_been_killed_by_anybody(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(fence, "lacking", lambda network=False: "none here")
    _, power, _ = opened(artefact=script(tmp_path, SUICIDE))
    assert power.fence == "unfenced: none here"
    with pytest.raises(RigError, match="killed from outside"):
        power.on()


KERNELS = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/self/oom_score_adj",
)
LOOKS = """
import json, os
seen = {}
for place in PLACES:
    try:
        seen[place] = sorted(os.listdir(place)) if os.path.isdir(place) else "there" if os.path.exists(place) else "not there"
    except OSError as error:
        seen[place] = error.strerror
wrote = {}
for place in ("/usr/x", "/etc/x", "/x", os.path.expanduser("~/x"), "/tmp/x", "/dev/shm/x", "/dev/stderr", sys.argv[0],
              "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/self/oom_score_adj"):
    try:
        open(place, "a").close(); wrote[place] = True
    except OSError:
        wrote[place] = False
import socket
try:
    socket.create_connection(("127.0.0.1", PORT), 1); network = True
except OSError:
    network = False
status = open("/proc/self/status").read()
others = [p for p in os.listdir("/proc") if p.isdigit()]
text = json.dumps({"seen": seen, "wrote": wrote, "network": network, "capabilities": status.split("CapEff:")[1].split()[0],
    "privileges": status.split("NoNewPrivs:")[1].split()[0], "processes": len(others), "environment": sorted(os.environ)})
open(os.path.expanduser("~/seen.json"), "w").write(text)
"""


def test_behind_the_fence_there_is_nothing_of_the_labs(opened, tmp_path, monkeypatch):
    """Its keys, its records, its checkout, its home, its processes, its network: a program looks for all of them."""
    if why := fence.lacking():
        pytest.skip(why)
    secret = state_folder("seals") / "all-virtual-rigs.pem"
    seals.key_of(seals.VIRTUAL_RIGS)
    monkeypatch.setenv("SHIPEI_LAB_TOKEN", "secret")
    places = [
        str(p)
        for p in (
            secret,
            secret.parent,
            ROOT,
            ROOT / "harness",
            tmp_path,
            Path.home() / ".ssh",
            "/etc/shadow",
            "/var",
            "/home",
        )
    ]
    with socket.socket(socket.AF_UNIX) as lab:
        lab.bind(str(tmp_path / "lab.sock"))
        text = LOOKS.replace("PLACES", repr(places)).replace("PORT", "9")
        _, power, _ = opened(artefact=script(tmp_path, text))
        with pytest.raises(DeviceError, match="ended by itself with code 0"):
            power.on()
    found = json.loads(next(tmp_path.rglob("home/seen.json")).read_text())
    own = Path(sys.prefix)
    ours = [own.relative_to(ROOT).parts[0]] if own.is_relative_to(ROOT) else "not there"
    assert found["seen"].pop(str(ROOT)) == ours  # this Python's own folder, where it lies in the checkout
    assert {k: v for k, v in found["seen"].items() if v != "not there"} == {"/home": ["item"]}
    assert found["wrote"] == {
        **dict.fromkeys(("/usr/x", "/etc/x", "/x", "/item/artefact", *KERNELS), False),
        **dict.fromkeys(("/home/item/x", "/tmp/x", "/dev/shm/x", "/dev/stderr"), True),
    }
    assert (found["network"], found["capabilities"].strip("0"), found["privileges"]) == (False, "", "1")
    assert found["processes"] == 2  # what keeps the place, and itself
    assert "SHIPEI_LAB_TOKEN" not in found["environment"]


def test_a_user_who_is_not_root_has_the_same_fence(tmp_path):
    if fence.lacking() or os.geteuid():
        pytest.skip("tried by root, who can be another user")
    for folder in (tmp_path, *tmp_path.parents)[: len(tmp_path.parts) - 2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    work = tmp_path / "nobodys"
    for folder in (work, work / "home", work / "tmp", work / "root"):
        folder.mkdir()
        os.chown(folder, 65534, 65534)
    (work / "artefact").write_text("#!/bin/sh\nid -u; echo kept >~/kept; ls /; exit 5\n")
    (work / "artefact").chmod(0o755)
    reads, writes = os.pipe()
    os.fchown(writes, 65534, 65534)
    done = subprocess.run(
        fence.command(work, writes, (), network=False), capture_output=True, text=True, env=fence.environment({}), user=65534,
        group=65534, extra_groups=(), pass_fds=(writes,), timeout=60, check=False,
    )  # fmt: skip
    os.close(writes)
    began = os.read(reads, 1)
    os.close(reads)
    assert (done.returncode, began) == (5, b"."), done.stderr
    assert (work / "home" / "kept").read_text() == "kept\n"


def test_an_item_that_starves_itself_is_not_the_hosts_fault(opened, tmp_path, monkeypatch):
    """It starts many that want a CPU, and hangs: all that it started ran, so that it had one."""
    monkeypatch.setattr("adapters._process.stepper.START_S", 1.0)
    monkeypatch.setattr("adapters._process.stepper.OBSERVED_S", 0.02)
    busy = "import os\nfor _ in range(6):\n    if os.fork() == 0:\n        while True: pass\nwhile True: pass"
    _, power, _ = opened(artefact=script(tmp_path, busy))
    with pytest.raises(DeviceError, match="it hangs"):
        power.on()


@pytest.mark.parametrize(
    ("does", "ran_ms", "waited_ms", "fault", "said"),
    [
        ("time.sleep(60)", 0, 0, DeviceError, "it hangs"),
        ("while True: pass", 480, 20, DeviceError, "it hangs"),
        ("while True: pass", 100, 400, DeviceError, "it hangs"),
        ("while True: pass", 8, 490, RigError, r"the item got 8 ms of a CPU in 0\.02 s: the host is overloaded"),
    ],
)
def test_a_silent_item_is_the_labs_only_if_it_waits_for_a_cpu(
    opened, tmp_path, monkeypatch, does, ran_ms, waited_ms, fault, said
):
    monkeypatch.setattr("adapters._process.stepper.START_S", 0.5)
    monkeypatch.setattr("adapters._process.stepper.OBSERVED_S", 0.02)
    readings = iter([(1 * MS, 0), ((1 + ran_ms) * MS, waited_ms * MS)])  # this host may be overloaded itself
    monkeypatch.setattr("adapters._process.stepper.Stepper.scheduled", lambda _: next(readings))
    _, power, _ = opened(artefact=script(tmp_path, does))
    with pytest.raises(fault, match=said):
        power.on()


def test_what_a_kernel_says_of_a_cpu_is_of_every_thread(tmp_path):
    busy = "import threading; threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start(); time.sleep(60)"
    item = Stepper(script(tmp_path, busy).parent)
    try:
        deadline = time.monotonic() + 60
        while item.scheduled()[0] < 200 * MS:  # far more than an interpreter's start: the thread ran
            assert time.monotonic() < deadline, item.scheduled()
    finally:
        item.kill()


def test_a_killed_item_is_the_rigs_fault(opened):
    bus, power, _ = opened()
    power.on()
    os.kill(power.item.child.pid, signal.SIGKILL)
    with pytest.raises(RigError, match="killed from outside"):
        bus.wait(0, bus.now_ns() + 1_000 * MS, ids=[0x7FF])


def test_a_field_that_is_read_while_it_is_written_reads_as_it_was(tmp_path):
    """What clears a field before it writes it would be read as 0 in that moment."""
    writer = trace.Trace(tmp_path / "t.bin", "body")
    for n in range(3):
        writer.append(n + 1, 0x100, 0, b"")
    writer.captured(17)
    reader = SteadyReader(tmp_path / "t.bin")
    assert (reader.count, reader.until_ns, len(reader.rows())) == (3, 17, 3)
    for field in (trace.COUNT, trace.UNTIL):
        trace.FIELD.pack_into(writer._map, field, 0)
    assert (reader.count, reader.until_ns, len(reader.rows())) == (3, 17, 3)
    writer.append(4, 0x100, 0, b"")
    writer.captured(18)
    assert (reader.count, reader.until_ns, len(reader.rows(3))) == (4, 18, 1)
    reader.close()
    writer.close()


def test_no_two_frames_of_a_trace_share_a_stamp(tmp_path):
    """Replayed, who came first must be seen; a serial line brings several at once."""
    writer = trace.Trace(tmp_path / "t.bin", "body")
    for time_ns in (5, 5, 4, 9):
        writer.append(time_ns, 0x100, 0, b"")
    assert (writer.rows()["time_ns"].tolist(), writer.last_ns) == ([5, 6, 7, 9], 9)
    writer.close()


def test_a_wait_that_ends_with_a_frame_counts_it(tmp_path):
    """A frame that comes between the counting and the look at the frames is found by the next look."""
    writer = trace.Trace(tmp_path / "t.bin", "body")
    writer.append(1, 0x123, 0, b"")

    class Overtaken(SteadyReader):
        def rows(self, start=0):
            if writer.count == 1:
                writer.append(2, 0x124, 0, b"")
            return super().rows(start)

    bus = OwnedBus(SimpleNamespace(poll=lambda: None), "body")
    bus.reader = Overtaken(tmp_path / "t.bin")
    count = bus.wait(0, 10**12, ids=[0x124])
    assert bus.rows()["id"][:count].tolist() == [0x123, 0x124]
    bus.reader.close()
    writer.close()


def test_what_was_traced_survives_without_a_close(tmp_path):
    writer = trace.Trace(tmp_path / "t.bin", "body")
    for n in range(70_000):  # beyond one growth
        writer.append(n + 1, n % 2048, 0, b"abc")
    rows, whole = trace.load(tmp_path / "t.bin")
    assert (len(rows), whole) == (70_000, False)
    writer.close()
    rows, whole = trace.load(tmp_path / "t.bin")
    assert (len(rows), whole, rows["time_ns"][-1]) == (70_000, True, 70_000)
