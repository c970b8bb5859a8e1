"""What was shown of a chip or an operating system need not be shown again; by rule, for a while, and only as long as its source holds."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from harness import certify
from harness.errors import BadInput
from harness.paths import RIGS
from programme import inheritance, life
from programme.folder import Folder
from programme.inheritance import Inheritance
from programme.session import Session
from programme.verifier import NotValid, Policy, verify
from publication import write
from publication.job import Edition
from rigs.ecus import build
from shipei.cli import app
from tests.support.programmes import NOW, content, programme, resigned
from tests.support.sites import site, valid
from tests.support.stores import certified

DAY = timedelta(days=1)
PROFILE = 'name: p\nversion: "1"\nsuites: [common]\nmandatory: [CAN-MATRIX-001]\nrecommended: [BOOT-READY-001]\n'
RULES = "inheritance: {os: [BOOT-READY-001], days: 30}\n"
ALWAYS_ON = """from contextlib import contextmanager
from adapters.simulation import SimulatedTarget
from harness.model import noun
@noun
class AlwaysOn(SimulatedTarget):
    @contextmanager
    def open(self, name, bench):
        with super().open(name, bench) as world:
            world.on()
            yield world
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on a rig that can decide everything, and one of another version on a rig that cannot switch power: (whole, part)."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "lab_on_already.py").write_text(ALWAYS_ON)
    rig = (RIGS / "sim.yaml").read_text()
    rig = rig.replace('power: {use: "adapters.simulation:SimulatedTarget"}', 'device: {use: "lab_on_already:AlwaysOn"}')
    (folder / "rig.yaml").write_text(rig.replace("on: power", "on: device"))
    whole = certified(folder, profile=PROFILE)
    made = build.build(folder / "newer")
    file = made / "submission.yaml"
    file.write_text(file.read_text().replace('name: cockpit, version: "1.4.0"', 'name: cockpit, version: "1.4.1"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        done = certify.certify(
            made, str(folder / "rig.yaml"), folder / "runs", certify.Terms(profile=str(folder / "short.yaml"))
        )
    assert [x.id for x in done.plan.not_decidable] == ["BOOT-READY-001"]
    return whole, done.folder


@pytest.fixture
def made(tmp_path, runs):
    """(folder, lab, approver, digest of the whole run's certificate)."""
    folder, lab, approver = programme(tmp_path / "p", more=RULES)
    return folder, lab, approver, valid(folder, lab, approver, runs[0])


def heir(made, runs, now=NOW):
    folder, lab, approver, source = made
    digest = life.issue(Session(folder, lab, now), runs[1], inherited=[source[:12]])
    return life.approve(Session(folder, approver, now), digest, runs[1])


def test_what_is_inherited_says_from_where_and_ends_in_time(made, runs):
    folder, _, _, source = made
    digest = heir(made, runs, NOW + DAY)
    told = life.check(folder, folder.certificate_file(digest), NOW + DAY).statement["predicate"]
    assert told["inherited"] == [
        {
            "id": "BOOT-READY-001",
            "layer": "os",
            "from": source,
            "subject": "virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0",
            "until": "2026-12-27T21:00:00Z",
        }
    ]
    assert told["life"]["valid_until"] == "2026-12-27T21:00:00Z"  # thirty days after its source
    assert "BOOT-READY-001" not in {r["id"] for r in told["requirements"]}  # and no result of its own


def test_it_ends_with_its_source(runs, tmp_path):
    folder, lab, approver = programme(tmp_path / "p", more=f"certificate_days: 20\n{RULES}")
    source = valid(folder, lab, approver, runs[0])
    told = content(folder.certificate_file(heir((folder, lab, approver, source), runs, NOW + DAY)).read_bytes())
    assert told["predicate"]["inherited"][0]["until"] == "2026-12-17T21:00:00Z"  # and not thirty days after
    assert told["predicate"]["life"]["valid_until"] == "2026-12-17T21:00:00Z"


def test_by_the_command(made, runs):
    folder, lab, approver, source = made
    now = datetime.now(UTC).replace(microsecond=0)
    digest = life.issue(Session(folder, lab, now), runs[0])
    life.approve(Session(folder, approver, now), digest, runs[0])
    said = ["certificate", "issue", runs[1], "--programme", folder.path, "--key", folder.path / "lab.key", "--json"]
    done = CliRunner().invoke(app, [str(a) for a in (*said, "--inherit", digest[:12])])
    assert done.exit_code == 0, done.output
    told = content(folder.certificate_file(json.loads(done.stdout)["certificate"]).read_bytes())["predicate"]
    assert [(one["id"], one["from"]) for one in told["inherited"]] == [("BOOT-READY-001", digest)]
    assert source != digest


def test_it_falls_with_its_source(made, runs, tmp_path):
    folder, lab, approver, source = made
    digest = heir(made, runs)
    life.step(Session(folder, lab, NOW), "suspend", source, "challenge 3")
    with pytest.raises(BadInput, match=f"inherits BOOT-READY-001 from {source[:12]}, which is suspended"):
        life.check(folder, folder.certificate_file(digest), NOW)
    shown = write.write(tmp_path / "site", Edition(site=site(), folder=folder, now=NOW))
    assert {e.certificate: e.state for e in shown} == {source: "revoked", digest: "revoked"}
    life.step(Session(folder, approver, NOW), "reinstate", source, "refuted")
    assert life.check(folder, folder.certificate_file(digest), NOW).sha256 == digest


def test_the_site_says_from_where(made, runs, tmp_path):
    folder, _, _, source = made
    digest = heir(made, runs)
    shown = write.write(tmp_path / "site", Edition(site=site(), folder=folder, now=NOW))
    one = next(e for e in shown if e.certificate == digest)
    page = (tmp_path / "site" / "c" / f"{one.id}.html").read_text()
    assert (
        f"<td>inherited<td>os: virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0, {source[:16]}, until 2026-12-27"
        in page
    )
    assert "1 / 1" in page
    assert one.detail == "BOOT-READY-001 inherited from virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0"


def test_only_by_rule_in_time_and_not_for_nothing(made, runs):
    folder, lab, _, source = made
    with pytest.raises(
        BadInput, match="has nothing that .* may inherit: it has passed nothing that this rig could not"
    ):
        life.issue(Session(folder, lab, NOW), runs[0], inherited=[source])
    rules = (folder.path / "programme.yaml").read_text()
    (folder.path / "programme.yaml").write_text(rules.replace(RULES, ""))
    with pytest.raises(BadInput, match="the programme has no rules for inheritance"):
        life.issue(Session(Folder(folder.path), lab, NOW), runs[1], inherited=[source])
    later = NOW + 31 * DAY
    life.restate(Session(folder, lab, later))
    with pytest.raises(BadInput, match="may be inherited for 30 days, until 2026-12-27"):
        life.issue(Session(folder, lab, later), runs[1], inherited=[source])


@pytest.mark.parametrize(
    ("rules", "part", "said"),
    [
        (Inheritance(os=("BOOT-READY-001",)), "os", "is about chip and os, and its os is another"),
        (Inheritance(os=("BOOT-READY-001",)), "chip", "is about chip and os, and its chip is another"),
        (Inheritance(chip=("BOOT-READY-001",)), "chip", "is about chip, and its chip is another"),
        (
            Inheritance(os=("CAN-CYCLE-001",)),
            "",
            "it has passed nothing that this rig could not decide and a rule names",
        ),
        (Inheritance(chip=("BOOT-READY-001",)), "os", ""),
        (Inheritance(os=("BOOT-READY-001",)), "application", ""),
    ],
)
def test_never_across_layers(made, runs, rules, part, said):
    folder, _, _, source = made
    held = content(folder.certificate_file(source).read_bytes())
    if part:
        held["predicate"]["combination"][part]["name"] = "other"
    stated = life.of_run(folder, runs[1], [], [], NOW)
    if said:
        with pytest.raises(BadInput, match=said):
            inheritance.applied(stated, {source: held}, rules, NOW)
    else:
        assert len(inheritance.applied(stated, {source: held}, rules, NOW)["predicate"]["inherited"]) == 1


def test_what_was_inherited_or_waived_or_is_anothers_is_not_inherited(made, runs):
    folder, _, _, source = made
    held, stated = content(folder.certificate_file(source).read_bytes()), life.of_run(folder, runs[1], [], [], NOW)
    rules = Inheritance(os=("BOOT-READY-001",))
    second_hand = {
        **held,
        "predicate": {**held["predicate"], "requirements": [], "inherited": [{"id": "BOOT-READY-001"}]},
    }
    waived = {
        **held,
        "predicate": {**held["predicate"], "requirements": [{"id": "BOOT-READY-001", "outcome": "waived"}]},
    }
    foreign = {**held, "predicate": {**held["predicate"], "vendor": "reference-b"}}
    for one, said in ((second_hand, "nothing"), (waived, "nothing"), (foreign, "of another vendor, reference-b")):
        with pytest.raises(BadInput, match=said):
            inheritance.applied(stated, {source: one}, rules, NOW)


def test_an_heir_that_says_more_than_its_record_and_rules_is_not_signed(made, runs):
    folder, lab, approver, source = made
    digest = life.issue(Session(folder, lab, NOW), runs[1], inherited=[source])
    stated = content(folder.certificate_file(digest).read_bytes())
    stated["predicate"]["inherited"][0]["until"] = "2036-01-01T00:00:00Z"
    folder.certificate_file(digest).write_bytes(resigned(stated, lab))
    with pytest.raises(BadInput):
        life.approve(Session(folder, approver, NOW), digest, runs[1])
    forged = resigned(stated, lab, approver)
    with pytest.raises(NotValid, match="does not know the certificate"):
        verify(forged, folder.newest().read_bytes(), Policy(folder.keys, "virtual"), now=NOW)


def test_the_rules_are_checked(tmp_path):
    with pytest.raises(BadInput) as caught:
        programme(tmp_path / "p", more="inheritance: {os: [BOOT-READY-001], chip: [BOOT-READY-001], days: 0}\n")
    with pytest.raises(BadInput, match=r"there is no requirement BOOT-REDY-001 \(did you mean 'BOOT-READY-001'"):
        programme(tmp_path / "q", more="waivable: [CAN-LOAD-001]\ninheritance: {os: [BOOT-REDY-001]}\n")
    said = "\n".join(caught.value.mistakes)
    assert "BOOT-READY-001: about the chip, or about chip and OS, not both" in said
    assert "days should be 1 to 3650, not 0" in said
