"""Everything that a bench can do wrong, in every phase: MISS or void and never the vendor's FAIL, in words, safe, nothing left hanging."""

import re
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from harness import certify, record, verdicts
from harness.errors import RigError
from harness.inputs import rig
from harness.inputs import submission as submissions
from harness.model import Decision, Outcome
from harness.paths import memory_of_rig
from harness.ports import Bench
from rigs.ecus import build
from tests.support.desk import SHORT, desk

CABLES = {"can": ("adapter", "device", "slcan"), "console": ("console",), "supply": ("TCPIP",)}
PHASES = {
    "flash": r"flash: [45]\d%",
    "boot": "test_boot.py::",
    "test": "test_display.py::",
}  # what is told when it begins
IMPATIENT = ("adapters.flash_uds:UdsFlasher", "adapters.flash_uds:UdsFlasher\n    boot_s: 15.0\n    attempts: 2")
PATIENT = (IMPATIENT[0], IMPATIENT[1].replace("attempts: 2", "attempts: 4"))


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    return build.build(tmp_path_factory.mktemp("faults") / "s")


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text(SHORT)
    return str(file)


def disturbed(folder, submission, profile, phase, disturb):
    """A run on a desk of its own; once, when a phase begins, something is done to the desk. (verdict, powered after it, what was told)."""
    with desk(folder) as here:
        told, done = [], []
        file = here.edit(IMPATIENT, ("kind: virtual", "kind: bench"))  # the rules of hardware

        def watch(what):
            told.append(what)
            if re.search(PHASES[phase], what) and not done:
                done.append(disturb(here))

        with certify.planned(submission, str(file), certify.Terms(profile=profile)) as (plan, given):
            kept = certify.carry_out(plan, given, folder / "runs", 0.0, watch) / "record"
        assert done, told
        assert not record.alterations(kept)
        assert list(record.events(kept))
        if isinstance(done[0], threading.Timer):
            done[0].join(10)
        return verdicts.of_record(kept), here.powered, told


def never_the_vendors(verdict):
    assert verdict.decision in (Decision.VOID, Decision.CERTIFIED), verdicts.troubles(verdict)
    assert Outcome.FAIL not in {j.outcome for j in verdict.requirements}, verdicts.troubles(verdict)


# ---------------------------------------------------------------- cables, in every phase


def pulled(cable, again_after_s):
    """Pull a cable, and plug it in again after a while."""

    def disturb(here):
        here.do("unplug", what=cable)
        timer = threading.Timer(again_after_s, lambda: here.do("plug", what=cable))
        timer.start()
        return timer

    return disturb


def pull(case):
    cable, phase, folder, submission, profile = case
    return disturbed(folder, submission, profile, phase, pulled(cable, 0.8))


def test_any_cable_pulled_in_any_phase_and_plugged_in_again(tmp_path, submission, profile):
    cases = [(c, p, tmp_path / f"{c}-{p}", submission, profile) for c in CABLES for p in PHASES]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(pull, cases))
    for (cable, phase, *_), (verdict, powered, told) in zip(cases, found, strict=True):
        never_the_vendors(verdict)
        assert not powered, (cable, phase)
        said = " ".join([*verdicts.troubles(verdict), *told])
        certified = verdict.decision is Decision.CERTIFIED
        assert certified or any(word in said for word in CABLES[cable]), (cable, phase, said)
        assert not certified or (cable, phase) == ("console", "flash"), (cable, phase)  # nobody needs it then


# ---------------------------------------------------------------- power, in every step of flashing

SERVICES = {
    "session": 0x10,
    "seed": 0x27,
    "routine": 0x31,
    "request": 0x34,
    "transfer": 0x36,
    "exit": 0x37,
    "reset": 0x11,
}
CUTS = [
    ("session", 1),
    ("seed", 1),
    ("seed", 2),
    ("routine", 1),
    ("request", 1),
    ("transfer", 1),
    ("transfer", 9),
    ("exit", 1),
]
CUTS += [("routine", 2), ("routine", 3), ("reset", 1)]


def open_ports(here, submission, file):
    """Open every port, flashing included; what the flasher says."""
    work = here.folder / "work"
    work.mkdir(exist_ok=True)
    for old in work.iterdir():
        old.unlink()
    told = []
    said = rig.read(file)
    bench = Bench(
        item=submissions.read(submission).item,
        work=work,
        evidence=work,
        ports={},
        memory=memory_of_rig(said.rig.name),
        tell=told.append,
    )
    with rig.opened(said, bench) as ports:
        return ports["flash"].arrival, told


@pytest.mark.parametrize(("slots", "cuts"), [(2, CUTS), (1, CUTS[3:7])])
def test_a_power_cut_in_any_step_of_flashing_is_recovered(tmp_path, submission, slots, cuts):
    """The supply trips at that request; the next attempt begins with a power cycle, and the image is on the target in the end."""
    with desk(tmp_path / "bench", "--slots", str(slots)) as here:
        file = here.edit(PATIENT)
        first, _ = open_ports(here, submission, file)
        for name, count in cuts:
            here.do("when", service=SERVICES[name], count=count, then={"do": "trip"})
            arrival, told = open_ports(here, submission, file)
            assert arrival.sha256 == first.sha256
            assert re.search(r"flashed over UDS in [2-4] attempt\(s\)", arrival.how), (name, count, told)
            assert any("attempt 1 failed" in what for what in told), (name, count)
            assert not here.powered
        active = (here.folder / "flash" / "active").read_text()
        assert (here.folder / "flash" / f"slot-{active}.bin").read_bytes() == (
            submission / "cockpit-1.4.0.pyz"
        ).read_bytes()


def test_a_flashing_that_cannot_be_recovered_says_that_it_needs_a_person_and_the_next_run_tries_again(
    tmp_path, submission
):
    with desk(tmp_path / "bench", "--slots", "1") as here:
        file = here.edit(IMPATIENT)
        for _ in range(2):
            here.do("when", service=0x36, count=1, then={"do": "trip"})
        here.do("when", service=0x36, count=4, then={"do": "trip"})
        with pytest.raises(
            RigError, match=r"could not be flashed in 2 attempts .*a person must look at the bench"
        ) as error:
            open_ports(here, submission, file)
        assert "transfer (36)" in str(error.value)
        assert not here.powered
        _, told = open_ports(here, submission, file)
        assert any("the last flashing did not end" in what for what in told)


def test_a_boot_loader_that_refuses_is_told_in_its_own_words(tmp_path, submission):
    with desk(tmp_path / "bench") as here:
        wrong = here.edit(IMPATIENT, ("key.py", "../desk/key.py"), ("{seed}", "00000000"))
        with pytest.raises(RigError, match=r"security access \(27\): the device refuses: InvalidKey \(0x35\)"):
            open_ports(here, submission, wrong)


def test_an_image_that_identifies_as_something_else_is_not_the_item(tmp_path, submission):
    other = build.build(tmp_path / "other")
    text = (other / "submission.yaml").read_text()
    text = text.replace('text: "1.4.0"', 'text: "1.4.1"').replace('version: "1.4.0"', 'version: "1.4.1"')
    (other / "submission.yaml").write_text(text)
    with (
        desk(tmp_path / "bench") as here,
        pytest.raises(
            RigError,
            match=r"the image is on the target, and yet DID F189 reads '1.4.0', and the submission says '1.4.1'",
        ),
    ):
        open_ports(here, other, here.edit(IMPATIENT))


# ---------------------------------------------------------------- everything else


@pytest.mark.parametrize(
    ("phase", "order", "words"),
    [
        ("test", {"order": "trip"}, "should be on with 12 V"),
        ("test", {"order": "lie", "is": True}, "nothing shows that this bench hears"),
        ("boot", {"order": "short", "is": True}, "in current limit"),
        ("test", {"order": "deaf", "is": True}, "does not answer"),
        ("boot", {"order": "flood", "bytes": 60_000_000}, "it floods"),
    ],
    ids=["trips", "lies", "shorts", "is deaf", "console floods"],
)
def test_a_bench_in_trouble_costs_no_vendor_a_verdict(phase, order, words, tmp_path, submission, profile):
    fields = dict(order)
    name = fields.pop("order")
    verdict, _, _ = disturbed(
        tmp_path / "bench", submission, profile, phase, lambda here: here.do(name, **fields) and None
    )
    never_the_vendors(verdict)
    assert verdict.decision is Decision.VOID
    said = " ".join(verdicts.troubles(verdict))
    assert words in said, said
