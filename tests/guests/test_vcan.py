"""`shipei vcan`: commands where SocketCAN exists, by every way; the reference ECUs on kernel buses with the hub's outcomes."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import rejudge
from harness.model import Decision, Outcome
from rigs.ecus import build
from rigs.images import packages
from shipei.vcan import links
from tests.support.certified import certified_run, part_profile, verdict_of
from tests.support.waiting import until
from tools import mutation

ROOT = Path(__file__).resolve().parents[2]
SHIPEI = [sys.executable, "-m", "harness"]
GUESTS = ("uml", "qemu")
START_S = 240


def vcan(*arguments, timeout=START_S, **settings):
    return subprocess.run(
        [*SHIPEI, "vcan", *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **settings
    )


@pytest.mark.parametrize("way", GUESTS)
def test_exit_code_output_input_files_and_environment_come_through(way, tmp_path):
    script = (
        "cat | sha256sum; echo on stderr >&2; pwd; echo $COLOUR; umask; ls /sys/class/net;"
        " cat /sys/class/net/can5/mtu; echo there > made; exit 41"
    )
    given = b"".join(b"%d\n" % n for n in range(50_000))
    done = subprocess.run(
        [*SHIPEI, "vcan", "--way", way, "--bus", "can5", "--bus", "can6", "--no-fd", "--", "sh", "-c", script],
        capture_output=True, input=given, timeout=START_S, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLOUR": "blue and green"},
    )  # fmt: skip
    said = done.stdout.decode().split("\n")
    assert done.returncode == 41, done.stderr.decode()
    assert said[0].startswith(hashlib.sha256(given).hexdigest())
    assert said[1:4] == [str(tmp_path), "blue and green", "0022"]
    assert {"can5", "can6"} <= set(said)
    assert "vcan0" not in said
    assert said[-2] == "16"
    assert (tmp_path / "made").read_text() == "there\n"
    assert done.stderr.decode().endswith("on stderr\n")
    assert {"uml": "User-Mode Linux", "qemu": "QEMU with Linux"}[way] in done.stderr.decode()


def test_endless_input_does_not_fill_the_disk(tmp_path):
    """The folder of the run holds a few MB of what is not read, however much is offered."""
    yes = subprocess.Popen(["yes", "0123456789" * 100], stdout=subprocess.PIPE)
    process = subprocess.Popen(
        [*SHIPEI, "vcan", "--way", "uml", "--", "sh", "-c", f"echo go; until [ -e {tmp_path}/go-on ]; do sleep 0.05; done; head -c 10000000 | wc -c"],
        stdin=yes.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    yes.stdout.close()
    assert process.stdout.readline() == b"go\n"
    sizes = [-1]

    def full():
        """It has taken what it takes: twenty looks in a row say the same."""
        sizes.append(sum(f.stat().st_size for f in tmp_path.rglob("in.*")))
        return 0 < sizes[-1] == sizes[-20 if len(sizes) > 20 else 0] or sizes[-1] >= 10_000_000

    until(full, every_s=0.05)
    assert sizes[-1] < 10_000_000
    (tmp_path / "go-on").touch()
    assert process.communicate(timeout=60)[0] == b"10000000\n"
    yes.kill()
    yes.wait()


def test_what_cannot_be_run_and_what_a_signal_ends(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program")
    assert vcan("--way", "uml", "--", "no-such-program").returncode == 127
    assert vcan("--way", "uml", "--", plain).returncode == 126
    assert vcan("--way", "uml", "--", "sh", "-c", "kill -USR1 $$").returncode == 128 + signal.SIGUSR1


@pytest.mark.parametrize("way", GUESTS)
def test_a_dead_kernel_is_125_with_its_last_words(way):
    done = vcan("--way", way, "--", "sh", "-c", "echo before; echo c > /proc/sysrq-trigger; sleep 60")
    assert done.returncode == 125
    assert done.stdout == "before\n"
    assert "its last words" in done.stderr
    assert "Kernel panic - not syncing: sysrq" in done.stderr


def started(tmp_path, *command, way="uml"):
    """A guest whose command has begun."""
    process = subprocess.Popen(
        [*SHIPEI, "vcan", "--way", way, "--", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout.readline() == b"go\n"
    return process


def guests(tmp_path):
    """Processes of a kernel that was started with its folder below tmp_path."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes()
        except OSError:
            continue
        if (b"linux.uml" in words or b"qemu-system" in words) and str(tmp_path).encode() in words:
            found.append(file.parent.name)
    return found


def gone(tmp_path):
    """No process and no file of it is left."""
    return until(lambda: not guests(tmp_path) and not list(tmp_path.iterdir()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_and_nothing_stays(number, tmp_path):
    script = f"trap 'echo caught; exit 9' {number.value}; echo go; while :; do sleep 0.05; done"
    process = started(tmp_path, "sh", "-c", script)
    assert guests(tmp_path)
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == b"caught\n"
    assert process.returncode == 9
    assert gone(tmp_path)


def test_a_command_that_will_not_end_is_ended_by_the_third_interrupt(tmp_path):
    process = started(tmp_path, "sh", "-c", "trap '' 2; echo go; while :; do sleep 0.05; done")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert gone(tmp_path)


@pytest.mark.parametrize("way", GUESTS)
def test_killed_itself_it_leaves_nothing(way, tmp_path):
    process = started(tmp_path, "sh", "-c", "echo go; exec sleep 1000", way=way)
    assert guests(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert gone(tmp_path)


def test_the_hosts_kernel_where_it_has_can():
    """Inside a guest, that is: its kernel is the host of this one."""
    inner = f"{sys.executable} -m harness vcan"
    script = (
        f"{inner} --bus can7 --bus can8 -- sh -c 'ls /sys/class/net; exit 5'; echo code $?; echo left; ls /sys/class/net;"
        f"{inner} --private --bus can7 -- sh -c 'ls /sys/class/net; kill -TERM $$'; echo code $?; ls /sys/class/net"
    )
    done = vcan("--way", "uml", "--bus", "can7", "--", "sh", "-c", script)
    assert " ".join(done.stdout.split()) == "can7 can8 lo code 5 left can7 lo can7 lo code 143 can7 lo", done.stderr
    assert done.stderr.count("the host's kernel, Linux") == 2


def test_an_interface_that_does_not_do_is_said():
    inner = f"{sys.executable} -m harness vcan --way host --bus can7 -- true"
    done = vcan("--way", "uml", "--bus", "can7", "--no-fd", "--", "sh", "-c", inner)
    assert done.returncode == 3
    assert "can7 carries no CAN FD: ip link set can7 mtu 72, or --no-fd" in done.stderr


def test_the_first_way_that_works_is_taken_and_says_why_not_another(tmp_path, monkeypatch):
    assert not links.is_can("vcan0")
    done = vcan("--", "true")
    assert done.returncode == 0
    assert "User-Mode Linux" in done.stderr
    assert "the host's kernel" in done.stderr
    lonely = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path)}
    done = vcan("--", "true", env=lonely)
    assert done.returncode == 3
    for said in (
        "no way to SocketCAN works here",
        "user-mode-linux cannot be fetched",
        "apt-get install qemu-system-x86",
    ):
        assert said in done.stderr


def test_wrong_words_are_refused_all_at_once():
    done = vcan("--bus", "a b; reboot", "--bus", "can0", "--bus", "can0", "--memory", "much", "--", "true")
    assert done.returncode == 2
    for said in ("3 mistakes", "a b; reboot", "'can0': named twice", "'much'"):
        assert said in done.stderr
    assert vcan("--way", "umk", "--", "true").returncode == 2
    assert "did you mean 'uml'" in vcan("--way", "umk", "--", "true").stderr


def test_setup_prepares_every_way_and_what_it_fetched_is_checked(tmp_path):
    done = vcan("--json", "setup", timeout=600)
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["uml"]["kernel"].startswith("User-Mode Linux")
    assert found["qemu"]["kernel"].startswith("QEMU with Linux")
    assert Path(found["uml"]["isotp"], "can-isotp.ko").is_file(), found["uml"]["isotp"]
    cache = tmp_path / "shipei" / "kernels"
    cache.mkdir(parents=True)
    subprocess.run(["cp", "-r", found["uml"]["package"], str(cache)], check=True)
    kernel = next(cache.rglob("linux.uml"))
    kernel.chmod(0o755)
    with kernel.open("ab") as stream:
        stream.write(b"more")
    done = vcan("--way", "uml", "--", "true", env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    assert done.returncode == 3
    assert "linux.uml is not as it was fetched; remove" in done.stderr


def test_without_a_network_what_is_cached_works(tmp_path):
    """No apt on the path: whatever asks the network would fail."""
    packages.fetched("user-mode-linux", print)
    without = tmp_path / "bin"
    without.mkdir()
    for tool in ("sh", "true", "cc"):
        (without / tool).symlink_to(subprocess.check_output(["which", tool], text=True).strip())
    assert vcan("--way", "uml", "--", "true", env={**os.environ, "PATH": str(without)}).returncode == 0


# ---------------------------------------------------------------- preload

TALK = """
import can, socket
a = can.Bus(interface="socketcan", channel="{0}", fd=True)
b = can.Bus(interface="socketcan", channel="{0}", fd=True, receive_own_messages=True)
a.send(can.Message(arbitration_id=0x123, data=b"hello", is_extended_id=False))
print(b.recv(2).data.decode(), a.recv(0.1))
b.send(can.Message(arbitration_id=0x18DAF110, data=bytes(48), is_fd=True, bitrate_switch=True))
got = b.recv(2)
print(got.arbitration_id, got.is_fd, got.bitrate_switch, len(got.data), got.is_rx, len(a.recv(2).data))
a.set_filters([{{"can_id": 5, "can_mask": 0x7FF, "extended": False}}])
for n in (4, 5, 6):
    b.send(can.Message(arbitration_id=n, is_extended_id=False))
print(a.recv(2).arbitration_id, a.recv(0.1))
other = can.Bus(interface="socketcan", channel="vcan1")
b.send(can.Message(arbitration_id=5, is_extended_id=False))
print(other.recv(0.1), a.recv(1).is_remote_frame)
for bus in (a, b, other):
    bus.shutdown()
try:
    can.Bus(interface="socketcan", channel="vcan7")
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("how", ["--preload", "--way=uml"])
def test_a_python_can_program_sees_the_same_on_the_hub_as_on_a_kernel(how):
    done = vcan(how, "--", sys.executable, "-c", TALK.format("vcan0"))
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said == ["hello None", "417001744 True True 48 False 48", "5 None", "None False", "19"]


def test_can_utils_work_unmodified_on_the_hub(tmp_path):
    heard = tmp_path / "heard"
    script = (
        f"candump -ta vcan0 > {heard} & P=$!; until [ -s {heard} ]; do cansend vcan0 001#; sleep 0.05; done; "
        "cansend vcan0 123#1122; cansend vcan0 12345678##1AABB; cansend vcan0 7FF#R; "
        f"until grep -q 7FF {heard}; do sleep 0.05; done; kill $P"
    )
    done = vcan("--preload", "--", "bash", "-c", script)
    assert done.returncode == 0, done.stderr
    frames = [line.split(")")[1].split() for line in heard.read_text().splitlines() if " 001 " not in line]
    assert frames == [
        ["vcan0", "123", "[2]", "11", "22"],
        ["vcan0", "12345678", "[02]", "AA", "BB"],
        ["vcan0", "7FF", "[0]", "remote", "request"],
    ]


def test_what_preload_lacks_it_says(tmp_path):
    program = "import socket; socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM)"
    done = vcan("--preload", "--", sys.executable, "-c", program)
    assert done.returncode == 1
    assert "the broadcast manager (CAN_BCM) is not there" in done.stderr
    assert "raw sockets only" in done.stderr
    assert vcan("--preload", "--", "sh", "-c", "exit 12").returncode == 12


# ---------------------------------------------------------------- rigs on kernel buses


def test_the_adapters_on_kernel_buses_keep_their_promises():
    """Stamps, the broadcast manager, ISO-TP of the kernel: tests/guests/on_vcan.py, inside."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests" / "guests" / "on_vcan.py"),
    ]
    vcan("--way", "uml", "setup", timeout=600)
    done = vcan("--way", "uml", "--", *command, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout


def on_vcan(ecu, folder, cpu):
    """A reference, certified in a guest on one CPU; (its run, its verdict)."""
    folder.mkdir()
    # how long Python takes to start in a guest kernel says nothing about the cockpit, and thirty starts of it take minutes
    options = part_profile(folder / "part.yaml", ecu, but=("BOOT-READY-001", "BOOT-RESTART-001", "FLASH-POWER-001"))
    return certified_run(folder, ecu, *options, rig="vcan", within=("vcan", "--way", "uml", "--cpu", str(cpu), "--"))


@pytest.mark.parametrize("line", ["cockpit", "driving_assistance"])
def test_the_references_have_the_hubs_outcomes_on_vcan(line, tmp_path):
    """Both vendors at a time, each in a kernel of its own on a CPU of its own."""
    cpus = sorted(os.sched_getaffinity(0))
    with ThreadPoolExecutor(2) as pool:
        going = [pool.submit(on_vcan, f"{line}-{v}", tmp_path / v, cpus[n % len(cpus)]) for n, v in enumerate("ab")]
    for run, verdict in (g.result() for g in going):
        assert len(verdict.requirements) >= (5 if line == "driving_assistance" else 18)
        assert rejudge.rejudge(run / "record").requirements == verdict.requirements


AREAS = {  # a defective build of every area, and the requirement that finds it
    "stages-swapped": "BOOT-STAGES-001",
    "message-undeclared": "CAN-MATRIX-001",
    "crc-wrong": "E2E-SENT-001",
    "wake-up-not-told": "NM-CONTENT-001",
    "sequence-not-checked": "ISOTP-SEQUENCE-001",
    "hidden-service": "UDS-SERVICES-001",
    "older-software-taken": "FLASH-OLDER-001",
    "old-keys-fit": "SEC-REPLAY-001",
    "reverse-shown-as-neutral": "COCKPIT-GEAR-001",
    "warns-only-optically": "AEB-MODES-001",
}


def refused_on_vcan(names, folder, cpu):
    """These builds, one after another in a guest on one CPU: name -> (exit code, verdict, what the command said)."""
    script = []
    for name in names:
        made = folder / name
        line = next(one for one in mutation.LINES if name in mutation.cases(one))
        constants, _ = mutation.cases(line)[name]
        submission = build.build(made / "s", constants, ecu=f"{line}-a")
        profile = made / "one.yaml"
        profile.write_text(f"name: one\nversion: '1'\nsuites: [common, {line}]\nmandatory: [{AREAS[name]}]\n")
        options = ["--rig", "vcan", "--profile", profile, "--runs", made / "runs", "--no-report", "--json"]
        command = shlex.join(map(str, [*SHIPEI, "certify", submission, *options]))
        script.append(f"{command} >{made}/said 2>&1; echo $? >{made}/code")
    done = vcan("--way", "uml", "--cpu", cpu, "--", "sh", "-c", "\n".join(script), timeout=600)
    assert done.returncode == 0, done.stderr
    return {
        name: (int((folder / name / "code").read_text()), verdict_of(folder / name / "runs")[1], folder / name / "said")
        for name in names
    }


def test_a_defect_of_every_area_is_refused_on_vcan(tmp_path):
    cpus = sorted(os.sched_getaffinity(0))
    parts = [list(AREAS)[n :: len(cpus)] for n in range(len(cpus))]
    with ThreadPoolExecutor(len(cpus)) as pool:
        found = [pool.submit(refused_on_vcan, part, tmp_path, cpu) for part, cpu in zip(parts, cpus, strict=True)]
        outcomes = {name: one for f in found for name, one in f.result().items()}
    assert outcomes.keys() == AREAS.keys()
    for name, (code, verdict, said) in outcomes.items():
        failed = {j.requirement: j.outcome for j in verdict.requirements if j.outcome is not Outcome.PASS}
        assert failed == {AREAS[name]: Outcome.FAIL}, (name, said.read_text())
        assert (code, verdict.decision, verdict.faults) == (1, Decision.REFUSED, ()), (name, said.read_text())
