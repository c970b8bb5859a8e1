"""A campaign certifies many combinations: several at a time, resumed after a kill with nothing run twice and nothing lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import processes
from harness.batch import campaign
from harness.batch import workers as campaign_run
from harness.batch.campaign import Campaign, CampaignRig, Cell, Done
from harness.errors import BadInput
from harness.model import Decision, Rig, Verdict
from harness.paths import RIGS
from rigs.ecus import build
from tests.support.waiting import until

PROFILE = """name: {name}
version: "1"
suites: [common, cockpit]
mandatory: [CAN-MATRIX-001]
conditional: [COCKPIT-SPEED-001]
limit_s: 120
"""
CELLS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two vendors' cockpits, a build whose speedometer reads low, two profiles."""
    found = tmp_path_factory.mktemp("campaign")
    for ecu in ("cockpit-a", "cockpit-b"):
        build.build(found / "good" / ecu, ecu=ecu)
    build.build(found / "bad", {"SPEED_OFFSET_KMH": "-0.9"})
    for name in ("short", "other"):
        (found / f"{name}.yaml").write_text(PROFILE.format(name=name))
    return found


def written(folder, text):
    file = folder / "campaign.yaml"
    file.write_text(text)
    return file


def call(file, runs, *options):
    command = [
        sys.executable,
        "-m",
        "harness",
        "campaign",
        str(file),
        "--campaigns",
        str(runs),
        "--no-report",
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def sealed(runs):
    """The records of a campaign that were carried out to their end."""
    return sorted(
        str(f.parents[1].relative_to(runs)) for f in runs.rglob("record/manifest.json") if "golden" not in str(f)
    )


def eight(folder):
    """Two submissions, two rigs, two profiles."""
    rigs = folder / "second.yaml"
    rigs.write_text((RIGS / "sim.yaml").read_text().replace("name: sim\n", "name: second\n"))
    profiles = ", ".join(str(folder / f"{n}.yaml") for n in ("short", "other"))
    return written(
        folder,
        f"name: eight\nsubmissions: [good/*]\nrigs: [{{rig: sim}}, {{rig: ./second.yaml}}]\nprofiles: [{profiles}]\n",
    )


def test_a_cell_for_every_submission_rig_and_profile_with_a_page_for_all(folder, tmp_path):
    done = call(eight(folder), tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [c["decision"] for c in found["cells"]] == ["certified"] * CELLS
    assert len({(c["vendor"], c["rig"], c["profile"]) for c in found["cells"]}) == CELLS
    output = tmp_path / "eight"
    page = (output / "index.html").read_text()
    for cell in found["cells"]:
        for link in cell["links"].values():
            assert (output / link).exists()
        assert cell["links"]["page/index.html"] in page
    matrix = json.loads((output / "runs" / "matrix.json").read_text())
    assert len(matrix) == CELLS


@pytest.mark.parametrize("done_before", [0, 1, 4])
def test_killed_and_called_again_nothing_is_run_twice_and_nothing_is_lost(done_before, folder, tmp_path):
    file = eight(folder)
    command = [sys.executable, "-m", "harness", "campaign", str(file), "--campaigns", str(tmp_path), "--no-report"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(sealed(tmp_path)) >= done_before and list(tmp_path.rglob("record/events.jsonl")), within_s=120)
    started = processes.below(process.pid)
    process.kill()
    process.wait()
    until(lambda: not [p for p in started if alive(p)])
    before = sealed(tmp_path)
    done = call(file, tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert [c["decision"] for c in json.loads(done.stdout)["cells"]] == ["certified"] * CELLS
    after = sealed(tmp_path)
    assert set(before) <= set(after)
    assert len(after) == CELLS
    assert sum(c["earlier"] for c in json.loads(done.stdout)["cells"]) == len(before)
    assert call(file, tmp_path).returncode == 0
    assert sealed(tmp_path) == after


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_run_that_was_sealed_and_not_yet_judged_is_judged_and_not_run_again(folder, tmp_path):
    file = written(
        folder, f"name: one\nsubmissions: [good/cockpit-a]\nrigs: [{{rig: sim}}]\nprofiles: [{folder}/short.yaml]\n"
    )
    assert call(file, tmp_path).returncode == 0
    (run,) = (tmp_path / "one" / "runs").glob("*/1")
    for name in ("verdict.json", "certificate.json", "junit.xml"):
        (run / name).unlink()
    shutil.rmtree(run / "page")
    done = call(file, tmp_path, "--json")
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["decision"], cell["earlier"]) == ("certified", True)
    assert (run / "certificate.json").is_file()
    assert (run / "page" / "index.html").is_file()
    assert len(sealed(tmp_path)) == 1
    assert call(file, tmp_path, "--again").returncode == 0
    assert len(sealed(tmp_path)) == 2


def test_what_changed_is_run_again_and_the_worst_is_the_exit_code(folder, tmp_path):
    mine = tmp_path / "subs"
    shutil.copytree(folder / "good", mine)
    text = f"name: changing\nsubmissions: [{mine}/cockpit-a, {mine}/cockpit-b]\nrigs: [{{rig: sim}}]\nprofiles: [{folder}/short.yaml]\n"
    file = written(tmp_path, text)
    assert call(file, tmp_path).returncode == 0
    shutil.rmtree(mine / "cockpit-a")
    shutil.copytree(folder / "bad", mine / "cockpit-a")
    done = call(file, tmp_path, "--json")
    assert done.returncode == 1
    cells = json.loads(done.stdout)["cells"]
    assert [(c["decision"], c["earlier"], c["not_passed"]) for c in cells] == [
        ("refused", False, ["COCKPIT-SPEED-001"]),
        ("certified", True, []),
    ]
    done = call(file, tmp_path)
    assert done.returncode == 1
    assert "COCKPIT-SPEED-001" in done.stdout


def test_a_void_cell_is_run_again(folder, tmp_path):
    """A rig whose console is not there says nothing about the device."""
    rig = tmp_path / "broken.yaml"
    text = (RIGS / "sim.yaml").read_text()
    broken = text.replace(
        '"adapters.simulation:SimulatedConsole", on: power',
        '"adapters.console_serial:SerialConsole", url: /dev/no-such',
    )
    assert broken != text
    rig.write_text(broken)
    file = written(
        tmp_path,
        f"name: void\nsubmissions: [{folder}/good/cockpit-a]\nrigs: [{{rig: {rig}}}]\nprofiles: [{folder}/short.yaml]\n",
    )
    for count in (1, 2):
        done = call(file, tmp_path)
        assert done.returncode == 3
        assert "void" in done.stdout
        assert len(sealed(tmp_path)) == count


def test_every_mistake_of_a_file_is_said_with_its_line(folder, tmp_path):
    file = written(
        tmp_path,
        "name: not/plain\nsubmissions: [nothing/*]\nrigs:\n  - {rig: simm}\n  - {rig: sim, way: umk}\nat_once: 0\n",
    )
    done = call(file, tmp_path)
    assert done.returncode == 2
    for said in ("campaign.yaml:1: 'not/plain'", "campaign.yaml:2: no submission: nothing/*", "campaign.yaml:4: unknown rig 'simm'",
                 "campaign.yaml:5: unknown way 'umk'", "campaign.yaml:6: at_once"):  # fmt: skip
        assert said in done.stderr
    broken = tmp_path / "broken"
    shutil.copytree(folder / "bad", broken)
    (broken / "submission.yaml").write_text((broken / "submission.yaml").read_text().replace("vendor: ", "vendro: "))
    done = call(written(tmp_path, f"name: x\nsubmissions: [{broken}]\nrigs: [{{rig: sim}}]\n"), tmp_path)
    assert done.returncode == 2
    assert "vendro" in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_rig_of_another_chip_is_said(folder, tmp_path):
    rig = tmp_path / "other.yaml"
    rig.write_text((RIGS / "sim.yaml").read_text().replace("chip: {name: sim,", "chip: {name: nobodys,"))
    with pytest.raises(BadInput) as caught:
        campaign.load(written(tmp_path, f"name: x\nsubmissions: [{folder}/good/cockpit-a]\nrigs: [{{rig: {rig}}}]\n"))
    assert "no rig is sim 1" in str(caught.value)
    assert "no submission is for the chip of other.yaml" in str(caught.value)


def test_a_bench_is_given_to_one_cell_at_a_time(tmp_path):
    def cell(kind, name):
        rig = Rig(name=name, kind=kind, chip=None, ports={}, clock_ms=1.0)
        return Cell(
            submission=tmp_path, rig_file=tmp_path, rig=rig, profile=None, where=CampaignRig(rig=name), plan=None
        )

    cells = [cell("bench", "one"), cell("bench", "one"), cell("virtual", "two"), cell("virtual", "two")]
    workers = campaign_run.Workers(cells, tmp_path, campaign_run.Order(at_once=4, report=False), campaign_run.Watch())
    assert workers.next([1, 2, 3], [0]) == (2, 1)
    assert workers.next([3], [0, 2]) == (3, 1)
    assert workers.next([1], [0, 2]) is None


def test_one_call_at_a_time(folder, tmp_path):
    with (
        campaign_run.claimed(tmp_path),
        pytest.raises(BadInput, match=f"running already .pid {os.getpid()}"),
        campaign_run.claimed(tmp_path),
    ):
        pass


def test_two_cells_at_a_time_on_kernel_buses_of_their_own(folder, tmp_path):
    """Both use vcan0, each in a kernel of its own; were it one bus, each would hear the other's frames."""
    rig = "{rig: vcan, vcan: true, way: uml}"
    file = written(
        folder, f"name: kernels\nsubmissions: [good/*]\nrigs: [{rig}]\nprofiles: [{folder}/short.yaml]\nat_once: 2\n"
    )
    for _ in range(3):  # a host that stalls makes a run void, which is run again
        done = call(file, tmp_path, "--json")
        if done.returncode != 3:
            break
    cells = json.loads(done.stdout)["cells"]
    assert [c["decision"] for c in cells] == ["certified", "certified"], cells


def test_the_nouns_are_what_people_write():
    assert Campaign(name="x", submissions=("a",), rigs=(CampaignRig(rig="sim"),)).at_once is None


def test_what_computes_has_a_cpu_to_itself_where_there_are_more_places_than_cpus(tmp_path, monkeypatch):
    def cell(kind, vcan=False):
        rig = Rig(name=kind, kind=kind, chip=None, ports={}, clock_ms=1.0)
        where = CampaignRig(rig=kind, vcan=vcan)
        return Cell(submission=tmp_path, rig_file=tmp_path, rig=rig, profile=None, where=where, plan=None)

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    cells = [cell("simulated"), cell("virtual"), cell("virtual", vcan=True), cell("simulated")]
    workers = campaign_run.Workers(cells, tmp_path, campaign_run.Order(at_once=3, report=False), campaign_run.Watch())
    assert [workers.places(n) for n in range(4)] == [2, 1, 2, 2]
    workers.free = [2]
    assert workers.next([0, 1, 2, 3], []) == (0, 0)  # behind the others, in no place of theirs
    assert workers.next([1, 2, 3], [0]) == (1, 1)
    assert workers.next([2, 3], [0, 1]) is None
    assert workers.next([3], [2]) == (3, 0)
    workers.free = [0, 1, 2]
    assert workers.next([3], [0]) == (3, 2)  # nobody's time is real any more
    workers = campaign_run.Workers(cells, tmp_path, 2, campaign_run.Watch(), (None, 0.0, False))
    assert [workers.places(n) for n in range(4)] == [1, 1, 1, 1]


def test_only_what_the_host_could_not_decide_is_run_again_alone():
    def done(decision, *faults):
        verdict = Verdict(
            decision=decision, plan="p", combination=None, manifest_sha256="", profile="", rig="", rig_kind="virtual",
            faults=faults, requirements=(),
        )  # fmt: skip
        return Done(cell=None, code=3, verdict=verdict)

    assert campaign_run.could_not_tell(done(Decision.VOID))
    assert not campaign_run.could_not_tell(done(Decision.VOID, "the console says Linux version 6.1"))
    assert not campaign_run.could_not_tell(done(Decision.REFUSED))
    assert not campaign_run.could_not_tell(Done(cell=None, code=3))
