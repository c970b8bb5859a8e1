"""The golden item: it qualifies a rig, brackets every run, marks the rig bad, and says whose fault a silence is."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import certificate, certify, judge, record, rejudge, verdicts
from harness import plan as plans
from harness.bench import claim
from harness.commissioning import golden as qualify
from harness.errors import BadInput
from harness.inputs import inputs, rig
from harness.model import Decision, Event, Outcome
from harness.paths import RIGS, memory_of_rig
from rigs.ecus import build
from tests.support.desk import SHORT, desk


@pytest.fixture(autouse=True)
def own_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def submission(tmp_path):
    """A reference cockpit; golden and item at once."""
    return build.build(tmp_path / "cockpit")


@pytest.fixture
def terms(tmp_path):
    """By a short profile."""
    (tmp_path / "short.yaml").write_text(SHORT)
    return certify.Terms(profile=str(tmp_path / "short.yaml"))


@pytest.fixture
def here(tmp_path, submission, terms):
    """A desk, and a rig file of it that names the golden item."""
    with desk(tmp_path / "bench") as found:
        golden = {"submission": str(submission), "check": ["COCKPIT-GEAR"], "profile": terms.profile}
        impatient = (
            "adapters.flash_uds:UdsFlasher",
            "adapters.flash_uds:UdsFlasher\n    boot_s: 15.0\n    attempts: 2",
        )
        found.rig = found.edit(impatient, ("+", f"golden: {json.dumps(golden)}\n"), name="golden")
        yield found


def qualified(here, tmp_path):
    said = rig.read(here.rig)
    with claim.held(said, "qualify") as hold:
        return qualify.qualify(said, tmp_path / "qualify", hold, lambda what: None)[1]


def test_a_rig_must_qualify_and_then_every_run_is_bracketed(here, submission, terms, tmp_path):
    with pytest.raises(BadInput, match="has never qualified with its golden item: shipei rig qualify"):
        certify.certify(submission, str(here.rig), tmp_path / "runs", terms)
    assert qualified(here, tmp_path).decision is Decision.CERTIFIED
    done = certify.certify(submission, str(here.rig), tmp_path / "runs", terms)
    assert done.verdict.decision is Decision.CERTIFIED, verdicts.troubles(done.verdict)
    for name in (record.BEFORE, record.AFTER):
        checked = verdicts.of_record(done.folder / "record" / name)
        assert [(j.requirement, j.outcome) for j in checked.requirements] == [("COCKPIT-GEAR-001", Outcome.PASS)]
    assert certificate.verify(done.certificate).statement["predicate"]["golden_checked"] is True
    assert rejudge.rejudge(done.folder / "record").requirements == done.verdict.requirements
    shutil.rmtree(done.folder / "record" / record.AFTER)  # cut out of the record
    found = verdicts.of_record(done.folder / "record")
    assert found.decision is Decision.VOID
    assert "golden-after: the golden item was not checked" in found.faults
    text = (here.folder / "golden.yaml").read_text()
    here.rig.write_text(text.replace("amps: 2.0", "amps: 1.5"))
    with pytest.raises(BadInput, match="the rig file has changed since the rig qualified"):
        certify.certify(submission, str(here.rig), tmp_path / "runs", terms)


def test_a_rig_that_fails_its_golden_check_is_bad_until_it_qualifies_again(here, submission, terms, tmp_path):
    qualified(here, tmp_path)

    def spoil(what):
        if what.startswith("golden-after") and "flash" in what:
            here.do("bitrate", rate=250_000)

    done = certify.certify(submission, str(here.rig), tmp_path / "runs", terms, spoil)
    assert done.verdict.decision is Decision.VOID
    assert {j.outcome for j in done.verdict.requirements} == {Outcome.PASS}  # it is the bracket that failed
    assert any(f.startswith("golden-after: ") for f in done.verdict.faults)
    assert not here.powered
    status = qualify.status(rig.read(here.rig).rig)
    assert status["bad"]["why"].startswith("golden-after: ")
    with pytest.raises(BadInput, match="is marked bad since .*repair it, then shipei rig qualify"):
        certify.certify(submission, str(here.rig), tmp_path / "runs", terms)
    shutil.rmtree(tmp_path / "qualify")
    assert qualified(here, tmp_path).decision is not Decision.CERTIFIED
    here.do("bitrate", rate=500_000)
    shutil.rmtree(tmp_path / "qualify")
    assert qualified(here, tmp_path).decision is Decision.CERTIFIED
    assert qualify.status(rig.read(here.rig).rig)["bad"] is None


def test_a_golden_check_that_fails_before_keeps_the_item_off_the_bench(here, submission, terms, tmp_path):
    qualified(here, tmp_path)
    here.do("bitrate", rate=250_000)
    done = certify.certify(submission, str(here.rig), tmp_path / "runs", terms)
    assert done.verdict.decision is Decision.VOID
    assert {j.outcome for j in done.verdict.requirements} == {Outcome.MISS}
    assert not (done.folder / "record" / "trace-body.bin").exists()


# ---------------------------------------------------------------- whose fault is a silence


def test_a_silence_is_the_devices_only_where_the_bench_has_shown_that_it_hears(submission):
    decided = plans.make(inputs.load(submission, RIGS / "sim.yaml"))
    test = decided.requirements[0].tests[0]
    ids = {"requirement": decided.requirements[0].requirement.id, "test": test}
    silent = [Event(what="started", **ids), Event(what="ended", raised="silence", why="no frame within 30 s", **ids)]
    heard = judge.judge(decided, silent, hears=True).requirements[0]
    deaf = judge.judge(decided, silent, hears=False).requirements[0]
    assert (heard.outcome, deaf.outcome) == (Outcome.FAIL, Outcome.MISS)
    assert "nothing shows that this bench hears: check wiring, bit rate, supply, image" in deaf.reason


def test_a_silent_bench_never_costs_a_vendor_a_verdict(tmp_path, submission):
    """A bench of hardware without a golden item: the adapter runs at another bit rate, and nobody reads a console."""
    reads = json.dumps([sys.executable, "-c", "import sys; print(sys.argv[1])", "{sha256}"])
    with desk(tmp_path / "bench") as here:
        text = here.rig.read_text()
        start, end = text.index("  console:"), text.index("  body:")
        text = text[:start] + text[end : text.index("  flash:")]
        text += f'  flash: {{use: "adapters.flash_preflashed:Preflashed", command: {reads}}}\n'
        file = here.folder / "bench.yaml"
        file.write_text(
            text.replace("kind: virtual", "kind: bench").replace('  diag: {use: "adapters.uds:UdsOverCan"}\n', "")
        )
        matrix = tmp_path / "matrix.yaml"
        matrix.write_text(
            'name: matrix\nversion: "1"\nsuites: [common]\nmandatory: [CAN-MATRIX-001]\nlimit_s: 90\nready_s: 4\n'
        )
        here.do("bitrate", rate=250_000)
        with certify.planned(submission, str(file), certify.Terms(profile=str(matrix))) as (plan, given):
            verdict = verdicts.of_record(
                certify.carry_out(plan, given, tmp_path / "runs", 0.0, lambda what: None) / "record"
            )
    assert verdict.decision is Decision.VOID
    (judged,) = verdict.requirements
    assert judged.outcome is Outcome.MISS
    assert "nothing at all was heard of the device" in judged.reason


# ---------------------------------------------------------------- the rig file


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("golden: {submission: nowhere, check: [X]}", r"sim-edited.yaml:\d+: no such submission: nowhere"),
        ("golden: {submission: ., check: []}", r"should name the requirements of the short check"),
        ("wired: [[body, adaz]]", r"there is no port 'adaz' \(did you mean 'adas'\?\)"),
        (
            'lease: {use: "adapters.lease_labgrid:LabgridPlaze", place: x}',
            r"has no recipe 'LabgridPlaze' \(did you mean 'LabgridPlace'",
        ),
        (
            'lease: {use: "adapters.lease_labgrid:LabgridPlace", plaze: x}',
            r"unknown key 'plaze' \(did you mean 'place'",
        ),
        (
            "instruments: [{what: s, maker: m, type: t, serial: n, valid_until: 31.12.2027}]",
            r"should be a date as YYYY-MM-DD",
        ),
    ],
)
def test_what_is_wrong_in_a_rig_file_is_told_with_its_line(tmp_path, line, said):
    file = tmp_path / "sim-edited.yaml"
    file.write_text((RIGS / "sim.yaml").read_text() + line + "\n")
    with pytest.raises(BadInput, match=said):
        rig.read(file)


def test_an_instrument_whose_calibration_ran_out_stops_the_plan(tmp_path, submission):
    file = tmp_path / "sim-old.yaml"
    one = "{what: supply, maker: M, type: T, serial: S, calibrated: 2019-01-01, valid_until: 2020-01-01}"
    file.write_text((RIGS / "sim.yaml").read_text() + f"instruments: [{one}]\n")
    with pytest.raises(
        BadInput, match=r"the calibration of supply \(M T, S\) ran out on 2020-01-01: have it calibrated"
    ):
        inputs.load(submission, file)


def test_instruments_are_named_on_certificate_page_and_report(tmp_path, submission, terms):
    file = tmp_path / "sim-cal.yaml"
    one = "{what: supply, maker: Keysight, type: E36312A, serial: MY59001234, calibrated: 2026-03-01, valid_until: 2099-03-01}"
    file.write_text((RIGS / "sim.yaml").read_text() + f"instruments: [{one}]\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "harness",
            "certify",
            str(submission),
            "--rig",
            str(file),
            "--runs",
            str(tmp_path / "runs"),
            "--profile",
            terms.profile,
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    links = json.loads(done.stdout)["links"]
    statement = certificate.verify(Path(links["certificate"])).statement
    assert statement["predicate"]["instruments"][0]["serial"] == "MY59001234"
    page = Path(links["page"]).read_text()
    assert "MY59001234" in page
    assert "2099-03-01" in page
    assert "校准" in page
    assert memory_of_rig("sim").is_dir()
