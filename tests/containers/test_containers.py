"""Containers as target ECUs: the reference certifies; hostile images are contained and recorded, and the next run is unharmed."""

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest

from adapters._container import image as container_image
from adapters._container import probe as container_probe
from adapters._container.engine import LABEL, removed
from adapters._container.memory import memory
from adapters.container import USER
from harness import certificate, processes
from harness import record as records
from harness.errors import RigError
from harness.model import Outcome
from rigs.ecus import image
from shipei import dockerd
from tests.support import images
from tests.support.certified import tried
from tests.support.containers import (
    PROFILE,
    RUN_S,
    certified,
    certifies,
    console_of,
    events_of,
    left,
    on_engine,
    ours,
    running,
    start,
)


@pytest.fixture(scope="module")
def engine():
    """The engine that is there, else a private one for these tests."""
    given = os.environ.get("DOCKER_HOST")
    ours = not given and not dockerd.answers()
    client = docker.DockerClient(base_url=given or dockerd.start())
    yield client
    client.close()
    if ours:
        dockerd.stop()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return image.build_image(tmp_path_factory.mktemp("reference") / "s")


@pytest.fixture
def profile(tmp_path):
    def file(ready_s=30):
        (tmp_path / "short.yaml").write_text(PROFILE.format(ready_s=ready_s))
        return tmp_path / "short.yaml"

    return file


def test_the_reference_certifies_and_the_record_says_how_it_arrived_and_lived(engine, reference, tmp_path, profile):
    run = certifies(reference, tmp_path / "runs", profile())
    assert certificate.verify(run / "certificate.json").statement["subject"][0]["name"].startswith("virtual:")
    arrived = [
        e for e in records.events(run / "record") if e.what == "opened" and e.context and "arrived" in str(e.context)
    ]
    assert "run by its id, sha256:" in str(arrived), arrived
    lives = events_of(run)
    assert {e["what"] for e in lives} == {"started", "ended"}
    assert {e["by"] for e in lives if e["what"] == "ended"} == {"the bench"}
    probe = json.loads((run / "record" / "container-probe.json").read_text())
    assert container_probe.broken(probe, 128, 1.0) == []
    assert left(engine) == []


def test_what_a_container_keeps_is_there_after_a_power_cycle(engine, reference, tmp_path, profile):
    """Records that are written, and new software, outlive the container that took them."""
    file = profile()
    asked = "COCKPIT-SPEED-001, UDS-WRITE-001, FLASH-SEQUENCE-001]"
    file.write_text(file.read_text().replace("COCKPIT-SPEED-001]", asked))
    run = certifies(reference, tmp_path / "runs", file)
    assert len([e for e in events_of(run) if e["what"] == "started"]) > 2
    assert left(engine) == []


def test_an_oci_archive_certifies_as_well(engine, reference, tmp_path, profile):
    folder = tmp_path / "s"
    shutil.copytree(reference, folder)
    forms = f"docker-archive:{folder}/cockpit-1.4.0.tar oci-archive:{tmp_path}/oci.tar"
    subprocess.run(f"skopeo --insecure-policy copy -q {forms}".split(), check=True)
    made = images.with_artefact(tmp_path / "oci", (tmp_path / "oci.tar").read_bytes())
    certifies(made, tmp_path / "runs", profile())


def test_a_driving_assistance_image_certifies_too(engine, tmp_path):
    """CAN FD on another bus; the second vendor."""
    profile = tmp_path / "driving.yaml"
    profile.write_text(
        "name: driving\nversion: '1'\nsuites: [common, driving_assistance]\nmandatory: [CAN-MATRIX-001]\n"
        "conditional: [BOOT-READY-001, E2E-SENT-001]\nlimit_s: 120\n"
    )
    certifies(image.build_image(tmp_path / "s", ecu="driving_assistance-b"), tmp_path / "runs", profile)


def test_an_image_certifies_on_kernel_can_inside_a_guest(reference, tmp_path, profile):
    """As docs/gitlab-ci-container.yml does: kernel, CAN and engine inside `shipei vcan`, a vxcan pair into the container's network."""
    shipei = f"{sys.executable} -m harness"
    certify = (
        f"{shipei} certify {reference} --rig container-vcan --profile {profile()} --runs {tmp_path}/runs --no-report"
    )
    inside = f"{sys.executable} -m shipei.dockerd && {certify}"
    command = [*shipei.split(), "vcan", "--way", "uml", "--memory", "2G", "--", "sh", "-c", inside]
    done = tried(
        "container-vcan in a guest", lambda _: subprocess.run(command, capture_output=True, text=True, timeout=400)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (f.parent for f in (tmp_path / "runs").glob("*/*/certificate.json"))
    assert json.loads((run / "record" / "container-probe.json").read_text())["links"] == "2"
    assert {e["by"] for e in events_of(run) if e["what"] == "ended"} == {"the bench"}


def test_a_defective_image_is_refused_by_name(engine, tmp_path, profile):
    made = image.build_image(tmp_path / "s", {"SPEED_OFFSET_KMH": "-0.9"})
    code, _, verdict, _ = certified(made, tmp_path / "runs", profile())
    assert code == 1
    assert {j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL} == {"COCKPIT-SPEED-001"}


# ---------------------------------------------------------------- hostile images

DOCKER = "for s in /var/run/docker.sock /run/docker.sock /run/shipei/docker.sock; do ls $s && echo found $s; done"
HOSTILE = {
    "fork bomb": "bomb() { bomb | bomb & }; bomb; sleep 100",
    "memory hog": "dd if=/dev/zero of=/dev/null bs=2000M && echo survived; exec dd if=/dev/zero of=/dev/null bs=2000M",
    "disk filler": "for f in $HOME/a /tmp/a /run/a /var/tmp/a /dev/shm/a /a /etc/a; do dd if=/dev/zero of=$f bs=1M count=100000; done; sleep 100",
    "proc and sockets": f"echo b >/proc/sysrq-trigger; cat /proc/kcore | head -c 1; ls /proc/1/root/root; echo 1 >/proc/sys/kernel/panic; {DOCKER}; find / -type s; echo probed; sleep 100",
    "setuid": "/sbin/id -u; mount -t tmpfs none /tmp && echo mounted; sleep 100",
    "console flood": "yes 0123456789012345678901234567890123456789 >/dev/ttyS0",
    "clock meddling": "date -s '2001-01-01 00:00:00' >/dev/null 2>&1; echo year $(date +%Y); sleep 100",
    "ignores SIGTERM": "trap '' TERM INT HUP; while :; do sleep 1; done",
    "respawns for ever": "exit 0",
    "output flood": "exec 1>&- 2>&-; yes >/proc/self/fd/1; sleep 100",
}
SAID = {  # what its console must show, and must not
    "memory hog": ("begins", "survived"),
    "proc and sockets": ("probed", "found /"),
    "setuid": ("65534", "mounted"),
    "clock meddling": ("year 20", "year 2001"),
}


def attacked(folder, name):
    """A hostile image, certified; (exit code, run's folder, verdict, standard error)."""
    folder.mkdir()
    (folder / "short.yaml").write_text(PROFILE.format(ready_s=3))
    setuid = images.raw_layer(images.entry("sbin/id", image.busybox(), mode=0o4755))
    made = images.shell(folder / "s", HOSTILE[name], *([setuid] if name == "setuid" else []))
    return certified(made, folder / "runs", folder / "short.yaml")


@pytest.fixture(scope="module")
def attacks(engine, tmp_path_factory):
    """All of them, two at a time, on one engine."""
    folder = tmp_path_factory.mktemp("hostile")
    free_before, clock = shutil.disk_usage(folder).free, time.time() - time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        found = dict(
            zip(HOSTILE, pool.map(attacked, [folder / n.replace(" ", "-") for n in HOSTILE], HOSTILE), strict=True)
        )
    return found, free_before - shutil.disk_usage(folder).free, time.time() - time.monotonic() - clock


def test_hostile_images_leave_nothing_and_change_nothing(engine, attacks):
    _, filled_bytes, clock_moved_s = attacks
    assert left(engine) == []
    assert filled_bytes < 600_000_000
    assert round(clock_moved_s) == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_contained_and_refused(name, attacks):
    code, run, verdict, said = attacks[0][name]
    assert code in (1, 3), said
    assert verdict.decision.value in ("refused", "void")
    assert not records.alterations(run / "record")
    if name in SAID:
        shows, hides = SAID[name]
        assert shows in console_of(run)
        assert hides not in console_of(run)
    lives = events_of(run)
    if name == "memory hog":
        assert any(e.get("out_of_memory") for e in lives)
    if name == "respawns for ever":
        assert sum(e["what"] == "started" for e in lives) > 3
        assert all(e["by"] in ("itself", "the bench") for e in lives if e["what"] == "ended")


HUB = """
import json, os, socket, struct, time
s = socket.socket(socket.AF_UNIX); s.connect(os.environ["SHIPEI_HUB"])
s.sendall(b'{"shipei_hub": 1, "bus": "body", "listen": %s, "echo": false}\\n')
R = struct.Struct("<qIHBB64s")
"""
FLOOD = (
    HUB % "false"
    + "block = b''.join(R.pack(0, 0x7A1, 0, 0, 8, bytes(8)) for _ in range(1000))\nwhile 1: s.sendall(block)\n"
)
SPOOF = (
    HUB % "true"
    + """
while 1:
    for identifier in (0x101, 0x110, 0x120):   # frames of the harness's own
        s.sendall(R.pack(0, identifier, 0, 0, 8, b"\\xff" * 8))
    time.sleep(0.005)
"""
)


@pytest.mark.parametrize(("name", "script"), [("CAN flood", FLOOD), ("CAN spoof of the harness's own frames", SPOOF)])
def test_a_hostile_image_on_the_bus_is_told_from_the_bench(name, script, engine, tmp_path, profile):
    made = images.python(tmp_path / "s", script)
    code, _, verdict, said = certified(made, tmp_path / "runs", profile(10))
    assert code in (1, 3), said
    failed = {j.requirement for j in verdict.requirements if j.outcome is Outcome.FAIL}
    assert code == 3 or "CAN-MATRIX-001" in failed, verdict
    assert left(engine) == []


def test_a_name_of_ours_on_a_vendors_image_changes_nothing(engine, tmp_path, profile):
    before = container_image.probe_image(engine)
    (tag,) = [t for t in engine.images.get(before).tags if t.startswith(container_image.PROBE)]
    made = images.shell(tmp_path / "s", "sleep 100", tag=tag)
    code, _, _, said = certified(made, tmp_path / "runs", profile(3))
    assert code in (1, 3), said
    assert container_image.probe_image(engine) == before
    assert engine.images.get(tag).id == before


def test_after_all_of_that_the_next_run_is_unharmed(engine, reference, tmp_path, profile):
    certifies(reference, tmp_path / "runs", profile())


# ---------------------------------------------------------------- the lab's trouble


def test_limits_are_proven_and_an_engine_that_ignores_them_is_refused(engine, tmp_path):
    token, settings = ours(tmp_path)
    kept = memory(engine, settings, token, USER, 16)
    limits = container_probe.Limits(memory_mb=256, pids=128, tmpfs_mb=16, cpus=1.0)
    assert container_probe.proven(engine, settings, kept.name, limits)["home"] == "limited"
    held = ("mem_limit", "memswap_limit", "pids_limit", "read_only", "cap_drop", "nano_cpus", "user")
    loose = {key: value for key, value in settings.items() if key not in held}
    loose["security_opt"] = ["seccomp=unconfined"]
    unbounded = engine.volumes.create(labels={LABEL: token})
    with pytest.raises(RigError) as caught:
        container_probe.proven(engine, loose, unbounded.name, limits)
    removed(engine, token)
    for said in ("memory has no limit", "168 processes, and 128 are allowed", "root file system can be written", "capabilities",
                 "it runs as root", "not filtered", "what it keeps has no limit", "CPU time has no limit"):  # fmt: skip
        assert said in str(caught.value)
    assert left(engine) == []


def test_a_container_that_somebody_kills_voids_the_run(engine, reference, tmp_path, profile):
    process = start(reference, tmp_path / "runs", profile())
    running(engine, process).kill()
    process.communicate(timeout=RUN_S)
    (file,) = (tmp_path / "runs").glob("*/*/verdict.json")
    assert process.returncode == 3
    assert "killed from outside" in file.read_text()


@pytest.mark.parametrize("whom", ["the harness", "the test process"])
def test_a_harness_that_is_killed_leaves_no_container(whom, engine, reference, tmp_path, profile):
    process = start(reference, tmp_path / "runs", profile())
    running(engine, process)
    victim = process.pid
    if whom == "the test process":
        victim = next(
            p for p in processes.below(process.pid) if b"-m\0pytest" in Path(f"/proc/{p}/cmdline").read_bytes()
        )
    os.kill(victim, signal.SIGKILL)
    process.communicate(timeout=RUN_S)
    deadline = time.monotonic() + 30
    while left(engine) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left(engine) == []


def test_a_keeper_that_somebody_kills_is_the_labs_trouble(engine, tmp_path):
    """What an item forgets then is not the item's fault."""
    token, settings = ours(tmp_path)
    kept = memory(engine, settings, token, USER, 16)
    kept.held()
    for end in (kept.keeper.kill, kept.keeper.remove):
        end()
        with pytest.raises(RigError, match="holds the item's memory between its lives was ended from outside"):
            kept.held()
    removed(engine, token)
    assert left(engine) == []


def test_an_engine_that_dies_voids_the_run(engine, reference, tmp_path, profile):
    """A private one, stopped under the run; then the item's end is nobody's statement about the item."""
    before = dockerd.answers()
    rig = on_engine(tmp_path, dockerd.start())
    process = start(reference, tmp_path / "runs", profile(), rig)
    client = docker.DockerClient(base_url=dockerd.ADDRESS)
    running(client, process)
    client.close()
    dockerd.stop()
    _, said = process.communicate(timeout=RUN_S)
    (file,) = (tmp_path / "runs").glob("*/*/verdict.json")
    assert process.returncode == 3, said
    assert "engine" in file.read_text()
    if before:
        dockerd.start()


def test_no_engine_is_said_with_what_to_do(reference, tmp_path, profile):
    rig = on_engine(tmp_path, f"unix://{tmp_path}/none.sock")
    process = start(reference, tmp_path / "runs", profile(), rig)
    _, said = process.communicate(timeout=RUN_S)
    assert process.returncode == 3
    assert "no container engine answers on" in said
    assert "make dockerd" in said


def test_an_engine_that_left_its_socket_behind_does_not_answer(tmp_path, monkeypatch):
    left = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(left))
    monkeypatch.setattr(dockerd, "SOCKET", left)
    monkeypatch.setattr(dockerd, "ADDRESS", f"unix://{left}")
    assert not dockerd.answers()
    gc.collect()  # what is left open is an error of the tests
