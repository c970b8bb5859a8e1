"""A failure is waived by two persons, for what may be waived, where it was asked for, and for a while; nothing else is."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from harness.errors import BadInput
from harness.signing import keys
from programme import life, waivers
from programme.folder import Folder
from programme.session import Session
from programme.verifier import NotValid, Policy, verify
from shipei.cli import app
from tests.support.programmes import NOW, content, programme, resigned
from tests.support.stores import certified

DAY = timedelta(days=1)
PROFILE = 'name: short\nversion: "1"\nsuites: [common, cockpit]\nmandatory: [COCKPIT-SPEED-001, CAN-TIMEOUT-001]\n'
SUBJECT = "virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0"
WHAT = {
    "scope": "virtual:reference-a:sim-1/cpython-*/cockpit-1.4.0",
    "requirements": ["CAN-TIMEOUT-001"],
    "reason": "the display heals late and never wrongly",
    "issue": "https://example.org/7",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A run that fails CAN-TIMEOUT-001."""
    return certified(tmp_path_factory.mktemp("run"), {"HEAL_MS": "505"}, PROFILE)


@pytest.fixture
def made(tmp_path):
    return programme(tmp_path / "p", more="waivable: [CAN-TIMEOUT-001, CAN-CYCLE-001]\n")


def waiver(made, days=90, **changes):
    """An approved one."""
    folder, lab, approver = made
    digest = waivers.request(Session(folder, lab, NOW), waivers.Request(**WHAT | changes, days=days))
    return waivers.approve(Session(folder, approver, NOW), digest)


def issued(made, run, *digests):
    folder, lab, approver = made
    found = life.issue(Session(folder, lab, NOW), run, digests)
    return life.approve(Session(folder, approver, NOW), found, run)


def test_a_certificate_in_spite_of_it_says_so_and_ends_with_it(made, refused):
    folder, lab, _ = made
    digest = issued(made, refused, waiver(made))
    found = life.check(folder, folder.certificate_file(digest), NOW)
    told = found.statement["predicate"]
    assert {r["id"]: r["outcome"] for r in told["requirements"]} == {"COCKPIT-SPEED-001": "pass", "CAN-TIMEOUT-001": "waived"}  # fmt: skip
    (cited,) = told["waivers"]
    assert (cited["requested_by"], cited["approved_by"]) == ("Li Wei", "Wang Fang")
    assert cited["issue"] == WHAT["issue"]
    assert told["life"]["valid_until"] == cited["valid_until"] == "2027-02-25T21:00:00Z"
    life.restate(Session(folder, lab, NOW + 90 * DAY))
    with pytest.raises(BadInput, match="was valid until 2027-02-25T21:00:00Z"):
        life.check(folder, folder.certificate_file(digest), NOW + 90 * DAY)


def test_without_a_waiver_it_is_refused(made, refused):
    folder, lab, _ = made
    with pytest.raises(BadInput, match="the verdict is refused: only a certified combination"):
        life.issue(Session(folder, lab, NOW), refused)


def test_a_waiver_for_something_else_somewhere_else_or_some_other_time(made, refused):
    folder, lab, approver = made
    other = waiver(made, requirements=["CAN-CYCLE-001"])
    with pytest.raises(BadInput, match="CAN-TIMEOUT-001 is fail, and no waiver is for that"):
        life.issue(Session(folder, lab, NOW), refused, [other])
    elsewhere = waiver(made, scope="virtual:reference-b:sim-1/*/*")
    with pytest.raises(BadInput, match=f"is for virtual:reference-b.*, not for {SUBJECT}"):
        life.issue(Session(folder, lab, NOW), refused, [elsewhere])
    short = waiver(made, days=1)
    with pytest.raises(BadInput, match="is expired"):
        life.issue(Session(folder, lab, NOW + DAY), refused, [short])
    asked = waivers.request(Session(folder, lab, NOW), waivers.Request(**WHAT | {"reason": "another"}, days=9))
    with pytest.raises(BadInput, match="is requested"):
        life.issue(Session(folder, lab, NOW), refused, [asked])
    certified_late = waiver(made, days=2)
    digest = life.issue(Session(folder, lab, NOW), refused, [certified_late])
    with pytest.raises(BadInput, match="is expired"):
        life.approve(Session(folder, approver, NOW + 2 * DAY), digest, refused)


def test_a_certified_run_needs_none(made, tmp_path):
    run = certified(tmp_path)
    folder, lab, _ = made
    with pytest.raises(BadInput, match="the verdict is certified: there is nothing to waive"):
        life.issue(Session(folder, lab, NOW), run, [waiver(made)])


def test_who_asked_for_it_does_not_approve_it(tmp_path, made):
    folder, lab, approver = made
    asked = waivers.request(Session(folder, lab, NOW), waivers.Request(**WHAT, days=9))
    with pytest.raises(BadInput, match="Li Wei is of role lab; this takes the role approver"):
        waivers.approve(Session(folder, lab, NOW), asked)
    waivers.approve(Session(folder, approver, NOW), asked)
    with pytest.raises(BadInput, match="is valid: only what is requested is approved"):
        waivers.approve(Session(folder, approver, NOW), asked)
    same, one, two = programme(tmp_path / "q", persons={"lab": "A", "approver": "A"}, more="waivable: [CAN-TIMEOUT-001]\n")  # fmt: skip
    asked = waivers.request(Session(same, one, NOW), waivers.Request(**WHAT, days=9))
    with pytest.raises(BadInput, match="A asked for it: somebody else has to approve it"):
        waivers.approve(Session(same, two, NOW), asked)
    file = waivers.file_of(same, asked)
    file.write_bytes(resigned(content(file.read_bytes()), one, two))
    assert waivers.load(same, asked).state(NOW) == "requested"


def test_a_request_tells_all_its_mistakes(made):
    folder, _, approver = made
    bad = waivers.Request(scope="*:a/b", requirements=["CAN-TIMEOUT-002", "AEB"], reason="", issue="a\nb", days=0)
    with pytest.raises(BadInput) as caught:
        waivers.request(Session(folder, approver, NOW), bad)
    said = "\n".join(caught.value.mistakes)
    for what in (
        "Wang Fang is of role approver; this takes the role lab",
        "scope '*:a/b' should be a certificate's subject",
        "CAN-TIMEOUT-002 is not among what",
        "did you mean 'CAN-TIMEOUT-001'",
        "AEB is not among",
        "reason should be one line",
        "issue should be one line",
        "days should be 1 to 3650, not 0",
    ):
        assert what in said, said
    assert waivers.listed(folder) == []


def test_asked_for_again_at_the_very_second_takes_nothing_away(made):
    folder, lab, _ = made
    digest = waiver(made)
    with pytest.raises(BadInput, match="was asked for already"):
        waivers.request(Session(folder, lab, NOW), waivers.Request(**WHAT, days=90))
    assert waivers.load(folder, digest).approved_by


def test_altered_waivers_are_found_out(made, refused, tmp_path):
    folder, lab, approver = made
    digest = waiver(made)
    file = waivers.file_of(folder, digest)
    whole = content(file.read_bytes())
    told = whole["predicate"]
    keys.new(tmp_path / "stranger.key")
    stranger = keys.load(tmp_path / "stranger.key")
    wide = whole | {"predicate": told | {"scope": "virtual:reference-a:*/*/*"}}
    for envelope, said in (
        (resigned(wide, lab, approver), "not what its name says"),
        (resigned(whole, stranger, approver), "not signed by Li Wei, who asked for it"),
        (resigned(whole | {"predicate": {}}, lab, approver), "not a waiver"),
        (b"{}", "not a waiver"),
    ):
        file.write_bytes(envelope)
        with pytest.raises(BadInput, match=said):
            life.issue(Session(folder, lab, NOW), refused, [digest])
    file.write_bytes(resigned(whole, lab, stranger))
    with pytest.raises(BadInput, match="is requested"):
        life.issue(Session(folder, lab, NOW), refused, [digest])


def test_a_certificate_cites_what_it_waives(made, refused):
    folder, lab, approver = made
    digest = issued(made, refused, waiver(made))
    stated = content(folder.certificate_file(digest).read_bytes())
    status = folder.newest().read_bytes()
    told = stated["predicate"]
    (cited,) = told["waivers"]
    for change, said in (
        ({"waivers": []}, "its own outcomes do not make a certificate"),
        ({"waivers": [cited | {"requirements": ["CAN-CYCLE-001"]}]}, "its own outcomes do not make a certificate"),
        ({"waivers": [cited | {"valid_until": "2026-11-01T00:00:00Z"}]}, "was valid until 2026-11-01T00:00:00Z"),
        ({"requirements": [r | {"outcome": "waived"} for r in told["requirements"]]}, "its own outcomes do not make"),
        ({"requirements": [r | {"outcome": "fail"} for r in told["requirements"]]}, "its own outcomes do not make"),
    ):
        with pytest.raises(NotValid, match=said):
            verify(resigned(stated | {"predicate": told | change}, lab, approver), status, Policy(folder.keys, "virtual"), now=NOW)  # fmt: skip


def test_the_commands(made, refused):
    where = made[0].path
    lab, approver = (("--key", where / f"{n}.key", "--programme", where) for n in ("lab", "approver"))
    asked = (
        "--requirement",
        "CAN-TIMEOUT-001",
        "--scope",
        WHAT["scope"],
        "--reason",
        "late [b]only[/b]",
        "--issue",
        "7",
    )
    found = json.loads(shipei("waiver", "request", *asked, *lab, "--json").stdout)
    assert found["state"] == "requested"
    assert shipei("certificate", "issue", refused, "--waiver", found["sha256"][:8], *lab).exit_code == 2
    assert json.loads(shipei("waiver", "approve", found["sha256"][:8], *approver, "--json").stdout)["state"] == "valid"
    assert "late [b]only[/b]" in shipei("waiver", "show", found["sha256"][:8], "--programme", where).stdout
    assert json.loads(shipei("waiver", "list", "--programme", where, "--json").stdout)[0]["state"] == "valid"
    assert shipei("waiver", "list", "--programme", where).exit_code == 0
    done = shipei("certificate", "issue", refused, "--waiver", found["sha256"][:8], *lab, "--json")
    digest = json.loads(done.stdout)["certificate"]
    assert shipei("certificate", "approve", digest, refused, *approver).exit_code == 0
    assert Folder(where).certificate_file(digest).is_file()


def shipei(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])
