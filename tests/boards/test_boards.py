"""Emulated boards that go wrong, and their CAN as lines of text on a socket."""

import os
import socket
import stat
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from adapters.can_slcan import Slcan
from adapters.qemu import QemuTarget
from harness import certify
from harness.commissioning import check
from harness.errors import BadInput, RigError
from harness.inputs import rig, submission
from harness.model import Decision
from harness.paths import RIGS
from harness.ports import EXT, TX, Bench, Frame
from harness.processes import BEFORE, BEHIND, EQUAL, by_session
from shipei.rig_commands import reference_item
from tests.support.boards import MS, image, opened, quiet

# ---------------------------------------------------------------- boards that go wrong


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    return image(tmp_path_factory.mktemp("firmware"), "mps2-an385-cluster-c")


def until(true, seconds=20.0):
    """Wait for it, within a limit."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def board(text, tmp_path, monkeypatch):
    """An emulator of ours: a Python program that has its console's terminal open as `console`."""
    program = tmp_path / "bin" / "qemu-system-fake"
    program.parent.mkdir()
    head = "#!/usr/bin/env python3\nimport sys, time, os\n"
    head += "path = next(a for a in sys.argv if a.startswith('serial,id=console')).partition('path=')[2]\nconsole = open(path, 'wb', buffering=0)\n"
    program.write_text(head + text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return QemuTarget(system="fake", machine="none", line="serial")


def test_a_board_boots_behind_others_and_goes_along_once_it_sends(firmware, tmp_path):
    def nice(pid):
        """Of its session where sessions are scheduled, of its first thread otherwise; the first session of a host has no value."""
        session = Path(f"/proc/{pid}/autogroup").read_text() if by_session() else ""
        return int(session.split()[-1]) if session else os.getpriority(os.PRIO_PROCESS, pid)

    with ExitStack() as stack:
        ports = opened(stack, firmware, tmp_path)
        owner, ours = ports["body"].process.pid, nice(os.getpid())
        ports["power"].on()
        board = ports["power"].body.child.pid
        assert nice(board) == (BEHIND if by_session() or os.geteuid() == 0 else EQUAL)
        until(lambda: len(ports["body"].rows()) > 3)
        until(lambda: nice(board) == EQUAL)
        assert nice(owner) == (BEFORE if os.geteuid() == 0 else EQUAL)
        assert nice(os.getpid()) == ours


def test_an_emulator_that_somebody_kills_is_the_benchs_fault(firmware, tmp_path):
    with ExitStack() as stack:
        ports = opened(stack, firmware, tmp_path)
        ports["power"].on()
        until(lambda: len(ports["body"].rows()) > 3)
        ports["power"].body.child.kill()
        until(lambda: ports["power"].broken)
        with pytest.raises(RigError, match="the emulator was killed by signal 9"):
            ports["power"].check()


def test_an_emulator_that_refuses_says_why(firmware, tmp_path):
    with ExitStack() as stack:
        wrong = QemuTarget(system="arm", machine="no-such-board", line="serial")
        ports = opened(stack, firmware, tmp_path, wrong)
        ports["power"].on()
        until(lambda: ports["power"].broken)
        with pytest.raises(RigError, match=r"the emulator ended with code 1: .*unsupported machine type"):
            ports["power"].check()


def test_a_missing_emulator_is_named_with_its_package(firmware, tmp_path):
    with (
        ExitStack() as stack,
        pytest.raises(RigError, match="no qemu-system-nowhere: apt-get install qemu-system-misc"),
    ):
        opened(stack, firmware, tmp_path, QemuTarget(system="nowhere", machine="none"))


def test_a_console_that_is_not_utf8_and_never_ends_its_lines_is_bounded_and_read(firmware, tmp_path, monkeypatch):
    text = "console.write(b'\\xff\\xfe\\x80 garbage\\r\\n')\nfor _ in range(160): console.write(b'x' * 65536)\nconsole.write(b'\\r\\nready\\r\\n')\ntime.sleep(60)\n"
    power = board(text, tmp_path, monkeypatch)
    with ExitStack() as stack:
        ports = opened(stack, firmware, tmp_path, power)
        ports["power"].on()
        until(lambda: any(line.text == "ready" for line in ports["console"].lines()), 60)
        lines = ports["console"].lines()
        assert lines[0].text.endswith(" garbage")
        assert max(len(line.text) for line in lines) <= 4096


def test_an_image_that_switches_itself_off_is_started_again(firmware, tmp_path, monkeypatch):
    power = board("console.write(b'BL: hello\\r\\n')\ntime.sleep(0.1)\n", tmp_path, monkeypatch)
    with ExitStack() as stack:
        ports = opened(stack, firmware, tmp_path, power)
        ports["power"].on()
        until(lambda: [line.text for line in ports["console"].lines()].count("BL: hello") >= 3)
        ports["power"].check()


def test_an_image_that_never_answers_is_refused_within_its_limit(firmware, tmp_path, monkeypatch):
    board("time.sleep(600)\n", tmp_path, monkeypatch)
    rig = tmp_path / "rig.yaml"
    text = (
        (RIGS / "qemu-mps2.yaml").read_text().replace("system: arm, machine: mps2-an385", "system: fake, machine: none")
    )
    rig.write_text(text)
    profile = tmp_path / "short.yaml"
    profile.write_text(
        "name: short\nversion: '1'\nsuites: [common]\nmandatory: [BOOT-STAGES-001]\nlimit_s: 60\nready_s: 3\n"
    )
    started = time.monotonic()
    done = certify.certify(firmware, str(rig), tmp_path / "runs", certify.Terms(profile=str(profile)))
    assert time.monotonic() - started < 40
    assert done.verdict.decision is Decision.REFUSED


# ---------------------------------------------------------------- CAN as lines of text


@pytest.fixture
def line(firmware, tmp_path):
    """A bus, and what connects it to as a board would."""
    with ExitStack() as stack:
        item = submission.read(firmware).item
        bench = Bench(item=item, work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path)
        yield stack.enter_context(Slcan().open("body", bench))


def joined(bus):
    plug = socket.socket(socket.AF_UNIX)
    plug.connect(bus.socket)
    plug.settimeout(5.0)
    return plug


def pass_ms(bus, ms):
    bus.wait(1 << 60, bus.now_ns() + ms * MS)


def test_frames_go_both_ways_and_noise_is_no_frame(line):
    with joined(line) as plug:
        plug.sendall(b"\xff\xfez\rt12\rt1232AABB\rT18DA60F13010203\rr1234\rt1239AA\r" + b"q" * 100_000)
        line.wait(0, line.now_ns() + 2000 * MS, ids=[0x123])
        pass_ms(line, 100)
        rows = line.rows()
        assert [(int(r["id"]), int(r["length"])) for r in rows] == [(0x123, 2), (0x18DA60F1, 3), (0x123, 0)]
        assert (np.diff(rows["time_ns"]) > 0).all()
        line.send(Frame(id=0x7FF, data=b"\x01"))
        line.send(Frame(id=0x18DAF160, data=b"", flags=EXT))
        got = b""
        while got.count(b"\r") < 2:
            got += plug.recv(100)
        assert got == b"t7FF101\rT18DAF1600\r"


def test_with_nobody_there_frames_go_to_nobody_and_are_not_lost(line):
    for n in range(50):
        line.send(Frame(id=n, data=bytes(8)))
    pass_ms(line, 150)
    assert (line.rows()["flags"] & TX != 0).sum() == 50
    assert line.health().lost == 0
    with joined(line) as plug, pytest.raises(TimeoutError):
        plug.settimeout(0.3)
        plug.recv(1)  # nothing old waits for it


def test_a_board_that_does_not_read_gets_nothing_stale(line):
    with joined(line) as plug:
        for n in range(400):
            line.send(Frame(id=n, data=bytes(8)))
        pass_ms(line, 300)
        line.send(Frame(id=0x7AA, data=b"new"))
        pass_ms(line, 100)
        got = plug.recv(1 << 20)
        assert len(got) < 3000
        assert line.health().lost == 0  # it never said a word: it may be booting


def test_what_an_awake_board_does_not_take_is_held_against_the_bench(line):
    with joined(line) as plug:
        for n in range(400):
            plug.sendall(b"t1001AA\r")
            line.send(Frame(id=n, data=bytes(8)))
            time.sleep(0.0005)
        until(lambda: (plug.sendall(b"t1001AA\r"), time.sleep(0.02), line.health().lost)[2] > 0, 5)


# ---------------------------------------------------------------- looking at such a rig


def test_a_check_listens_for_as_long_as_a_board_takes_to_boot(tmp_path):
    found = check.check(
        rig.read(RIGS / "qemu-arm64.yaml"),
        submission.read(image(tmp_path)),
        reference_item,
        check.Extent(),
        quiet,
    )
    assert found.ok, found.rows
    assert "frames on body" in found.rows["device"]["says"]


def test_a_check_of_an_item_that_has_a_console_alone(tmp_path):
    folder = image(tmp_path, "micropython-microbit")
    found = check.check(
        rig.read(RIGS / "qemu-microbit.yaml"),
        submission.read(folder),
        reference_item,
        check.Extent(),
        quiet,
    )
    assert found.ok, found.rows


def test_a_check_without_an_image_says_where_to_get_one():
    with pytest.raises(BadInput, match="name one with --submission"):
        check.check(rig.read(RIGS / "qemu-pc.yaml"), None, reference_item, check.Extent(), quiet)
