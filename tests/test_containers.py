"""Containers as target ECUs: the reference certifies; hostile images are contained and recorded, and the next run is unharmed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest

from adapters import container_image, container_probe
from adapters.container import ContainerTarget
from adapters.container_engine import LABEL, owner_token
from harness import certificate, descendants, shape
from harness import record as records
from harness.errors import RigError
from harness.interface import Interface
from harness.model import Item, Outcome, Verdict
from harness.ports import Bench
from rigs import dockerd
from rigs.ecus import image
from tests import images

PROFILE = """name: short
version: "1"
suites: [common, cockpit]
mandatory: [CAN-MATRIX-001]
conditional: [BOOT-READY-001, COCKPIT-SPEED-001]
limit_s: 90
ready_s: {ready_s}
"""
RUN_S = 200


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


def start(submission, runs, profile, rig="container"):
    command = [sys.executable, "-m", "harness", "certify", str(submission), "--rig", str(rig), "--runs", str(runs)]
    options = ["--profile", str(profile), "--no-report", "--json"]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def certified(submission, runs, profile, rig="container"):
    """(exit code, run's folder, verdict, standard error)."""
    process = start(submission, runs, profile, rig)
    _, said = process.communicate(timeout=RUN_S)
    files = sorted(Path(runs).glob("*/*/verdict.json"), key=lambda f: int(f.parent.name))
    assert files, said
    run = files[-1].parent
    return process.returncode, run, shape.loads(Verdict, (run / "verdict.json").read_bytes(), str(run)), said


def certifies(submission, runs, profile, rig="container"):
    """A host that stalls may make a run inconclusive, and nothing else."""
    for _ in range(3):
        code, run, verdict, said = certified(submission, runs, profile, rig)
        if code != 3:
            break
    assert code == 0, (said, [(j.requirement, j.reason) for j in verdict.requirements])
    return run


def left(engine):
    """Containers of ours, and images in quarantine."""
    names = [t for i in engine.images.list() for t in i.tags if t.startswith(container_image.QUARANTINE)]
    return names + [c.name for c in engine.containers.list(all=True, filters={"label": LABEL})]


def console_of(run):
    """What came over the console, whatever lines it had."""
    chunks = [json.loads(line)[1] for line in (run / "record" / "console.jsonl").read_text().splitlines()]
    return bytes.fromhex("".join(chunks)).decode(errors="replace")


def events_of(run):
    return [json.loads(line) for line in (run / "record" / "container.jsonl").read_text().splitlines()]


def test_the_reference_certifies_and_the_record_says_how_it_arrived_and_lived(engine, reference, tmp_path, profile):
    run = certifies(reference, tmp_path / "runs", profile())
    assert certificate.verify(run / "certificate.json")["subject"][0]["name"].startswith("virtual:")
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


def test_an_oci_archive_certifies_as_well(engine, reference, tmp_path, profile):
    folder = tmp_path / "s"
    shutil.copytree(reference, folder)
    subprocess.run(
        [
            "skopeo",
            "--insecure-policy",
            "copy",
            "-q",
            f"docker-archive:{folder}/cockpit-1.4.0.tar",
            f"oci-archive:{tmp_path}/oci.tar",
        ],
        check=True,
    )
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
    inside = f"{sys.executable} -m rigs.dockerd && {certify}"
    for _ in range(3):
        done = subprocess.run(
            [*shipei.split(), "vcan", "--way", "uml", "--memory", "2G", "--", "sh", "-c", inside],
            capture_output=True,
            text=True,
            timeout=400,
        )
        if done.returncode != 3:
            break
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
    "memory hog": "dd if=/dev/zero of=/dev/null bs=2000M && echo survived; x=$(cat /dev/zero | tr '\\0' x); sleep 100",
    "disk filler": "for f in /tmp/a /run/a /var/tmp/a /dev/shm/a /a /etc/a; do dd if=/dev/zero of=$f bs=1M count=100000; done; sleep 100",
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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_contained_and_refused(name, engine, tmp_path, profile):
    setuid = images.raw_layer(images.entry("sbin/id", image.busybox(), mode=0o4755))
    more = [setuid] if name == "setuid" else []
    free_before = shutil.disk_usage(tmp_path).free
    year, clock = time.gmtime().tm_year, time.time() - time.monotonic()
    made = images.shell(tmp_path / "s", HOSTILE[name], *more)
    code, run, verdict, said = certified(made, tmp_path / "runs", profile(3))
    assert code in (1, 3), said
    assert verdict.decision.value in ("refused", "void")
    assert not records.broken_seal(run / "record")
    assert left(engine) == []
    assert free_before - shutil.disk_usage(tmp_path).free < 300_000_000
    assert (time.gmtime().tm_year, round(time.time() - time.monotonic() - clock)) == (year, 0)
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
    bench = Bench(
        item=Item(files={}, interface=Interface(buses={})), work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path
    )
    target = ContainerTarget()
    (tmp_path / "hub.sock").touch()
    settings = target.settings(SimpleNamespace(path=tmp_path / "hub.sock"), bench, owner_token())
    assert container_probe.proven(engine, settings, 256, 128, 16, 1.0)["memory"] == "limited"
    loose = {
        k: v
        for k, v in settings.items()
        if k not in ("mem_limit", "memswap_limit", "pids_limit", "read_only", "cap_drop", "nano_cpus", "user")
    }
    loose["security_opt"] = ["seccomp=unconfined"]
    with pytest.raises(RigError) as caught:
        container_probe.proven(engine, loose, 256, 128, 16, 1.0)
    for said in ("memory has no limit", "168 processes, and 128 are allowed", "root file system can be written", "capabilities",
                 "it runs as root", "not filtered", "CPU time has no limit"):  # fmt: skip
        assert said in str(caught.value)
    assert left(engine) == []


def running(engine, process, within_s=60):
    """The container of the item, once it runs."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and process.poll() is None:
        for one in engine.containers.list(filters={"label": LABEL}, ignore_removed=True):
            if one.attrs["Config"]["Image"] and "SHIPEI_CONSOLE=/dev/ttyS0" in one.attrs["Config"]["Env"]:
                return one
        time.sleep(0.05)
    raise AssertionError("no container came up")


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
            p for p in descendants.below(process.pid) if b"-m\0pytest" in Path(f"/proc/{p}/cmdline").read_bytes()
        )
    os.kill(victim, signal.SIGKILL)
    process.communicate(timeout=RUN_S)
    deadline = time.monotonic() + 30
    while left(engine) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left(engine) == []


def test_an_engine_that_dies_voids_the_run(engine, reference, tmp_path, profile):
    """A private one, stopped under the run; then the item's end is nobody's statement about the item."""
    before = dockerd.answers()
    rig = tmp_path / "container.yaml"
    text = (Path(dockerd.__file__).parent / "container.yaml").read_text()
    rig.write_text(text.replace("memory_mb: 256", f"engine: '{dockerd.start()}', memory_mb: 256"))
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
    rig = tmp_path / "container.yaml"
    text = (Path(dockerd.__file__).parent / "container.yaml").read_text()
    rig.write_text(text.replace("memory_mb: 256", f"engine: 'unix://{tmp_path}/none.sock', memory_mb: 256"))
    process = start(reference, tmp_path / "runs", profile(), rig)
    _, said = process.communicate(timeout=RUN_S)
    assert process.returncode == 3
    assert "no container engine answers on" in said
    assert "make dockerd" in said
