"""Benches reserved from lab engines, and given up at once when the reservation is lost."""

import json
import os
import socket
import subprocess
import sys

import pytest

from adapters.lease_command import CommandLease
from adapters.lease_jumpstarter import JumpstarterLease
from adapters.lease_labgrid import LabgridPlace
from harness import record, verdicts
from harness.errors import RigError
from harness.model import Decision, Outcome
from harness.paths import ROOT
from rigs.ecus import build
from tests.support.desk import SHORT, desk
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


TOOL = """import json, sys, pathlib
state, what = pathlib.Path(sys.argv[1]), sys.argv[2]
if what == "acquire":
    if state.exists():
        sys.exit("taken by " + state.read_text())
    state.write_text(sys.argv[3])
elif what == "check":
    sys.exit(0 if state.exists() and state.read_text() == sys.argv[3] else "somebody took it")
else:
    state.unlink()
"""


@pytest.fixture
def tool(tmp_path):
    (tmp_path / "tool.py").write_text(TOOL)
    state = tmp_path / "reservation"

    def recipe(**options):
        call = (sys.executable, str(tmp_path / "tool.py"), str(state))
        words = {w: (*call, w, "{rig}") for w in ("acquire", "check", "release")}
        return CommandLease(**words, look_s=0.1, **options)

    return recipe, state


def lost(lease):
    """What is said as soon as somebody notices."""

    def noticed():
        try:
            lease.alive()
        except RigError as error:
            return str(error)
        return ""

    return until(noticed)


def test_a_labs_own_programs_reserve_watch_and_release(tool):
    recipe, state = tool
    with recipe().reserve("bench-07", print) as lease:
        lease.alive()
        assert state.read_text() == "bench-07"
        with pytest.raises(RigError, match="taken by bench-07; waited 0.3 s"), recipe(wait_s=0.3).reserve("x", print):
            pass
        state.write_text("somebody else")
        assert "the reservation of bench-07 is lost" in lost(lease)
    assert not state.exists()


def test_a_reservation_that_cannot_be_given_back_is_told(tool):
    recipe, state = tool
    said = []
    with recipe().reserve("bench-07", said.append):
        state.unlink()
    assert any("the reservation could not be given back" in what for what in said)


def test_a_reservation_that_is_lost_ends_the_run_at_once_void_and_safe(tmp_path, tool):
    recipe, state = tool
    submission = build.build(tmp_path / "s")
    (tmp_path / "short.yaml").write_text(SHORT)
    words = {w: list(getattr(recipe(), w)) for w in ("acquire", "check", "release")}
    with desk(tmp_path / "bench") as here:
        lease = {"use": "adapters.lease_command:CommandLease", "look_s": 0.2, **words}
        file = here.edit(("+", f"lease: {json.dumps(lease)}\n"))
        command = [
            "certify",
            submission,
            "--rig",
            file,
            "--runs",
            tmp_path / "runs",
            "--profile",
            tmp_path / "short.yaml",
        ]
        run = subprocess.Popen(
            [sys.executable, "-m", "harness", *map(str, command), "--no-report", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: here.powered and list(tmp_path.glob("runs/*/*/record/trace-body.bin")), within_s=120)
        state.write_text("somebody else")
        _, err = run.communicate(timeout=120)
        assert run.returncode == 3, err
        assert not here.powered
        (folder,) = tmp_path.glob("runs/*/*")
        verdict = verdicts.load(folder)
        assert verdict.decision is Decision.VOID
        assert any("the reservation of" in fault and "is lost" in fault for fault in verdict.faults), verdict.faults
        assert Outcome.FAIL not in {j.outcome for j in verdict.requirements}
        assert not record.alterations(folder / "record")


JMP = """import json, sys, pathlib, datetime
state = pathlib.Path({state!r})
leases = json.loads(state.read_text()) if state.exists() else []
args = sys.argv[1:]
if args[:2] == ["create", "lease"]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    leases.append({{"name": "lease-1", "exporter": "", "duration": 3600.0, "conditions": [{{"type": "Pending", "status": "True",
        "message": "no exporter is free"}}], "effective_begin_time": now, "asked": args}})
    print("lease.jumpstarter.dev/lease-1")
elif args[:2] == ["get", "leases"]:
    for lease in leases:
        lease["polls"] = lease.get("polls", 0) + 1
        if lease["polls"] == 3:
            lease.update(exporter="bench-07", conditions=[{{"type": "Ready", "status": "True"}}])
    print(json.dumps({{"leases": leases}}))
elif args[:2] == ["delete", "leases"]:
    leases = [one for one in leases if one["name"] != args[2]]
state.write_text(json.dumps(leases))
"""


def test_a_jumpstarter_lease_is_waited_for_watched_and_deleted(tmp_path):
    """Against a stand-in for `jmp` that answers as its client prints; no Jumpstarter controller runs here."""
    (tmp_path / "jmp.py").write_text(JMP.format(state=str(tmp_path / "leases.json")))
    jmp, said = (sys.executable, str(tmp_path / "jmp.py")), []
    with JumpstarterLease(jmp=jmp, selector="board=cockpit", look_s=0.1).reserve("r", said.append) as lease:
        lease.alive()
        asked = json.loads((tmp_path / "leases.json").read_text())[0]["asked"]
        assert asked == ["create", "lease", "--selector", "board=cockpit", "--duration", "60m", "-o", "name"]
        assert any("no exporter is free" in what for what in said)
        (tmp_path / "leases.json").write_text("[]")
        assert "the Jumpstarter lease lease-1 is lost" in lost(lease)
    with (
        pytest.raises(RigError, match="either `selector` or `exporter`"),
        JumpstarterLease(jmp=jmp).reserve("r", print),
    ):
        pass


@pytest.fixture(scope="module")
def labgrid():
    """labgrid in an environment of its own: its fork of pyserial owns our module `serial`."""
    home = ROOT / ".tox" / "labgrid"
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "--quiet", "labgrid>=24"], check=True)
        (home / "ready").touch()
    return home / "bin"


@pytest.fixture
def coordinator(labgrid, tmp_path):
    """A real coordinator with the places bench-07 and bench-08; where it listens, and labgrid's own client."""
    port = 27_480
    process = subprocess.Popen(
        [labgrid / "labgrid-coordinator", "-l", f"127.0.0.1:{port}"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment = {
        **os.environ,
        "LG_COORDINATOR": f"127.0.0.1:{port}",
        "LG_USERNAME": "somebody",
        "LG_HOSTNAME": "elsewhere",
    }

    def client(*arguments):
        done = subprocess.run(
            [labgrid / "labgrid-client", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    try:
        until(lambda: client("-p", "bench-07", "create")[0] == 0, within_s=60)
        assert client("-p", "bench-08", "create")[0] == 0
        yield f"127.0.0.1:{port}", client, process
    finally:
        process.kill()
        process.wait()


def test_a_labgrid_place_is_acquired_watched_and_released(coordinator):
    address, client, _ = coordinator
    recipe = LabgridPlace(place="bench-07", coordinator=address, look_s=0.2)
    with recipe.reserve("r", print) as lease:
        lease.alive()
        shown = client("-p", "bench-07", "show")[1]
        assert f"acquired: {socket.gethostname()}/" in shown
        assert "reservation: " in shown
    assert "acquired: None" in client("-p", "bench-07", "show")[1]
    assert client("reservations")[1].strip() == ""


def test_a_labgrid_place_that_somebody_has_is_waited_for_with_progress(coordinator):
    address, client, _ = coordinator
    assert client("-p", "bench-07", "acquire")[0] == 0
    recipe = LabgridPlace(place="bench-07", coordinator=address, look_s=0.2, wait_s=1.0)
    with (
        pytest.raises(RigError, match="the labgrid place bench-07 is with elsewhere/somebody; waited 1 s"),
        recipe.reserve("r", print),
    ):
        pass
    assert client("reservations")[1].strip() == ""
    said = []

    def tell(what):
        if not said:
            assert client("-p", "bench-07", "release")[0] == 0
        said.append(what)

    with LabgridPlace(place="bench-07", coordinator=address, look_s=0.2, wait_s=30).reserve("r", tell) as lease:
        lease.alive()
    assert "waiting for the reservation: the labgrid place bench-07 is with elsewhere/somebody" in said[0]


def test_a_labgrid_place_that_is_taken_away_or_a_coordinator_that_dies_is_noticed(coordinator):
    address, client, process = coordinator
    recipe = LabgridPlace(place="bench-07", coordinator=address, look_s=0.2)
    with recipe.reserve("r", print) as lease:
        assert client("-p", "bench-07", "release", "--kick")[0] == 0
        assert "the labgrid place bench-07 is lost: it is with nobody now" in lost(lease)
    with recipe.reserve("r", print) as lease:
        process.kill()
        assert "the labgrid coordinator at" in lost(lease)
        assert "is gone" in lost(lease)


@pytest.mark.parametrize(
    ("place", "where", "said"),
    [
        ("bench-70", None, "has no place 'bench-70'; it has bench-07, bench-08"),
        ("bench-07", "127.0.0.1:1", "no labgrid coordinator at 127.0.0.1:1"),
    ],
)
def test_a_labgrid_place_that_is_not_there(coordinator, place, where, said):
    recipe = LabgridPlace(place=place, coordinator=where or coordinator[0])
    with pytest.raises(RigError, match=said), recipe.reserve("r", print):
        pass
