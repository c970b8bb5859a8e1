"""A certificate holds while two persons, its dates and the newest status list say so, and not a moment longer."""

import dataclasses
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from harness import record, rejudge, verdicts
from harness.errors import BadInput
from harness.model import Decision
from harness.paths import ROOT, sha256
from harness.signing import keys, seals
from programme import life, verifier
from programme.folder import Folder
from programme.session import Session
from programme.verifier import NotValid, Policy, verify
from shipei.cli import app
from store.disk import Disk
from tests.support import sites
from tests.support.programmes import NOW, PERSONS, both, content, denied, holds, programme, resigned
from tests.support.stores import certified

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("run"))


@pytest.fixture
def made(tmp_path):
    return programme(tmp_path / "p")


@pytest.fixture
def valid(made, run):
    """(folder, lab, approver, digest of a valid certificate)."""
    return *made, sites.valid(*made, run)


# ---------------------------------------------------------------- a life


def test_it_holds_when_a_second_person_has_approved(made, run):
    folder, lab, approver = made
    digest = life.issue(Session(folder, lab, NOW), run)
    with pytest.raises(BadInput, match="not signed by a person of role approver"):
        holds(folder, digest)
    life.approve(Session(folder, approver, NOW), digest[:8], run)
    found = holds(folder, digest)
    assert found.persons == ("Li Wei", "Wang Fang")
    assert found.statement["subject"][0]["name"] == "virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0"


def test_suspended_reinstated_revoked(valid):
    folder, lab, approver, digest = valid
    life.step(Session(folder, lab, NOW + DAY), "suspend", digest, "challenge 12")
    with pytest.raises(BadInput, match="suspended since 2026-11-28T21:00:00Z, challenge 12"):
        holds(folder, digest, NOW + DAY)
    with pytest.raises(BadInput, match="Li Wei is of role lab; to reinstate takes approver"):
        life.step(Session(folder, lab, NOW + DAY), "reinstate", digest, "refuted")
    life.step(Session(folder, approver, NOW + DAY), "reinstate", digest, "refuted")
    assert holds(folder, digest, NOW + DAY)
    life.step(Session(folder, lab, NOW + 2 * DAY), "revoke", digest, "defect 7")
    with pytest.raises(BadInput, match="revoked since"):
        holds(folder, digest, NOW + 2 * DAY)
    for what in ("suspend", "reinstate", "revoke"):
        with pytest.raises(BadInput, match="is revoked: to"):
            life.step(Session(folder, approver, NOW + 2 * DAY), what, digest, "again")
    states = [one["state"] for one in life.overview(folder, NOW)[0]["history"]]
    assert states == ["provisional", "valid", "suspended", "valid", "revoked"]


def test_renewed_the_old_one_holds_until_the_new_one_does(valid, run):
    folder, lab, approver, old = valid
    later = NOW + 100 * DAY
    new = life.renew(Session(folder, lab, later), old, run)
    assert holds(folder, old, later)
    life.approve(Session(folder, approver, later), new, run)
    with pytest.raises(BadInput, match=f"renewed since .*, by {new}"):
        holds(folder, old, later)
    assert holds(folder, new, later).statement["predicate"]["life"]["renews"] == old
    life.restate(Session(folder, lab, NOW + 400 * DAY))
    assert holds(folder, new, NOW + 400 * DAY)


def test_what_is_suspended_is_not_brought_back_by_its_renewal(valid, run):
    folder, lab, approver, old = valid
    new = life.renew(Session(folder, lab, NOW + DAY), old, run)
    life.step(Session(folder, lab, NOW + DAY), "suspend", old, "challenge 12")
    with pytest.raises(BadInput, match=f"{old[:12]}, which it renews, is suspended since .*: look into that first"):
        life.approve(Session(folder, approver, NOW + DAY), new, run)
    assert [one["state"] for one in life.overview(folder, NOW + DAY)] == ["suspended", "provisional"]


def test_out_of_time(valid):
    folder, lab, _, digest = valid
    certificate, status = both(folder, digest)
    denied(
        "the certificate is of 2026-11-27T21:00:00Z, and that is still to come", certificate, status, folder, NOW - DAY
    )
    with pytest.raises(BadInput, match="to be renewed by 2026-12-04T21:00:00Z.*certificate status"):
        holds(folder, digest, NOW + 8 * DAY)
    life.restate(Session(folder, lab, NOW + 364 * DAY))
    assert holds(folder, digest, NOW + 364 * DAY)
    with pytest.raises(BadInput, match="was valid until 2027-11-27T21:00:00Z"):
        holds(folder, digest, NOW + 365 * DAY)
    assert life.overview(folder, NOW + 365 * DAY)[0]["state"] == "expired"


def test_a_record_that_contradicts_it_opens_a_challenge(tmp_path, made, run, monkeypatch):
    folder, lab, approver = made
    digest = life.issue(Session(folder, lab, NOW), run)
    life.approve(Session(folder, approver, NOW), digest, run)
    against = forged(run, tmp_path / "against")
    assert verdicts.of_record(against / "record").decision is Decision.REFUSED
    for one in (run, against):  # its traces say what its measurements do not
        with pytest.raises(BadInput, match="judged anew from its traces, it is certified, and contradicts nothing"):
            life.challenge(Session(folder, lab, NOW), digest, one)
    elsewhere = certified(tmp_path, {"HEAL_MS": "390"})
    with pytest.raises(BadInput, match="is about another combination, or another profile"):
        life.challenge(Session(folder, lab, NOW), digest, elsewhere)
    monkeypatch.setattr(rejudge, "rejudge", verdicts.of_record)  # and as if the traces said so too
    life.challenge(Session(folder, lab, NOW), digest, against)
    with pytest.raises(BadInput, match="challenged since .*, record .* on sim: COCKPIT-SPEED-001"):
        holds(folder, digest)
    with pytest.raises(BadInput, match="is challenged: only what is valid is challenged"):
        life.challenge(Session(folder, lab, NOW), digest, against)
    life.step(Session(folder, approver, NOW), "reinstate", digest, "their bench was miswired")
    assert holds(folder, digest)


def test_an_outsider_verifies_and_judges_again_with_two_commands(tmp_path, made, run):
    """With the programme's public files, a store's export, and nothing of ours but the program."""
    folder, lab, approver = made
    today = datetime.now(UTC).replace(microsecond=0)
    digest = life.approve(Session(folder, approver, today), life.issue(Session(folder, lab, today), run), run)
    store, site = tmp_path / "store", tmp_path / "site"
    kept = json.loads(shipei("store", "add", run, "--store", store, "--json").stdout)[str(run)]
    shutil.copytree(folder.path, site, ignore=shutil.ignore_patterns("*.key"))
    certificate = site / "certificates" / f"{digest}.json"
    assert shipei("store", "get", kept[7:19], tmp_path / "again", "--store", store).exit_code == 0
    done = shipei("certificate", "verify", certificate, "--programme", site, "--record", tmp_path / "again")
    assert done.exit_code == 0, done.output
    assert "from its traces: the same" in " ".join(done.stdout.split())
    events = tmp_path / "again" / "record" / "events.jsonl"
    events.write_text(events.read_text() + "\n")
    done = shipei("certificate", "verify", certificate, "--programme", site, "--record", tmp_path / "again")
    assert done.exit_code == 2
    assert "was altered" in " ".join(done.output.split())


def test_a_record_that_does_not_come_to_what_is_stated(valid, run):
    folder, _, _, digest = valid
    found = holds(folder, digest)
    told = found.statement["predicate"]
    other = [
        {**told["requirements"][0], "outcome": "waived"},
        {"id": "CAN-LOAD-001", "level": "mandatory", "outcome": "pass"},
    ]
    stated = found.statement | {"predicate": told | {"requirements": other}}
    with pytest.raises(BadInput) as caught:
        life.check_record(dataclasses.replace(found, statement=stated), run)
    said = "\n".join(caught.value.mistakes)
    assert "COCKPIT-SPEED-001 is pass by its traces, and waived in the certificate" in said
    assert "CAN-LOAD-001 is not there by its traces, and pass in the certificate" in said


def forged(run, folder):
    """The same combination's record with another value in it, sealed anew."""
    shutil.copytree(run, folder)
    events = folder / "record" / "events.jsonl"
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    for one in lines:
        if one["what"] == "measured" and one["requirement"] == "COCKPIT-SPEED-001":
            one["value"] = 999.0
    events.write_text("".join(json.dumps(one) + "\n" for one in lines))
    record.close(folder / "record")
    return folder


# ---------------------------------------------------------------- who, and on what grounds


def test_one_person_is_not_two(tmp_path, run):
    folder, lab, approver = programme(tmp_path / "p", persons={"lab": "Li Wei", "approver": "Li Wei"})
    digest = life.issue(Session(folder, lab, NOW), run)
    with pytest.raises(BadInput, match="Li Wei issued it: somebody else has to approve it"):
        life.approve(Session(folder, approver, NOW), digest, run)
    stated = content(folder.certificate_file(digest).read_bytes())
    denied("signed by one person twice", resigned(stated, lab, approver), folder.newest().read_bytes(), folder)


def test_one_key_is_not_two_persons(valid):
    folder, _, _, digest = valid
    file = folder.path / "programme.yaml"
    file.write_text(file.read_text().replace("approver.pub", "lab.pub"))
    with pytest.raises(BadInput, match=r"programme.yaml:5: lab.pub is the key of somebody else too"):
        Folder(folder.path)
    twice = [folder.keys[0], verifier.Key("Wang Fang", "approver", folder.keys[0].public)]
    with pytest.raises(NotValid, match="two of the programme's persons have the same key"):
        verify(*both(folder, digest), Policy(twice, "virtual"), now=NOW)


def test_strangers_and_wrong_roles_sign_nothing(made, run, tmp_path):
    folder, lab, approver = made
    keys.new(tmp_path / "stranger.key")
    stranger = keys.load(tmp_path / "stranger.key")
    with pytest.raises(BadInput, match="nobody of the programme has this key"):
        life.issue(Session(folder, stranger, NOW), run)
    with pytest.raises(BadInput, match="Wang Fang is of role approver; this takes the role lab"):
        life.issue(Session(folder, approver, NOW), run)
    digest = life.issue(Session(folder, lab, NOW), run)
    with pytest.raises(BadInput, match="Li Wei is of role lab; this takes the role approver"):
        life.approve(Session(folder, lab, NOW), digest, run)
    with pytest.raises(BadInput, match="nobody of the programme has this key"):
        life.step(Session(folder, stranger, NOW), "revoke", digest, "because")


def test_what_the_record_does_not_say_is_not_approved(made, run, tmp_path):
    folder, lab, approver = made
    digest = life.issue(Session(folder, lab, NOW), run)
    other = shutil.copytree(run, tmp_path / "other")
    manifest = other / "record" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(BadInput, match="its seal is of another record"):
        life.approve(Session(folder, approver, NOW), digest, other)
    seals.put(other / "record" / record.SEAL, sha256(manifest), seals.VIRTUAL_RIGS)
    with pytest.raises(BadInput, match="its record does not say what the certificate states"):
        life.approve(Session(folder, approver, NOW), digest, other)
    assert life.overview(folder, NOW)[0]["state"] == "provisional"


def test_virtual_and_hardware_are_never_mixed(tmp_path, run):
    folder, lab, _ = programme(tmp_path / "p", kind="hardware")
    with pytest.raises(BadInput, match="a virtual rig's run, and the programme is for hardware rigs"):
        life.issue(Session(folder, lab, NOW), run)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[31mred", "x" * 501])
def test_a_reason_is_one_line_of_text(valid, reason):
    folder, lab, _, digest = valid
    with pytest.raises(BadInput, match="a reason is needed: one line"):
        life.step(Session(folder, lab, NOW), "revoke", digest, reason)


# ---------------------------------------------------------------- crashes, several at once


class Failing(Disk):
    """A disk that fails at its n-th call."""

    def __init__(self, n):
        self.left = n

    def __getattribute__(self, name):
        if name in ("create", "sync", "rename", "sync_folder", "remove"):
            self.left -= 1
            if self.left < 0:
                raise OSError(28, "No space left on device")
        return super().__getattribute__(name)


def test_after_a_crash_at_any_step_the_list_is_right_and_the_step_can_be_repeated(tmp_path, run):
    for n in range(6):
        folder, lab, approver = programme(tmp_path / f"p{n}")
        digest = life.issue(Session(folder, lab, NOW), run)
        folder.disk = Failing(n)
        with pytest.raises(BadInput, match="cannot be written: No space left on device"):
            life.approve(Session(folder, approver, NOW), digest, run)
        again = Folder(folder.path)
        if life.overview(again, NOW)[0]["state"] == "provisional":
            with pytest.raises(BadInput):
                holds(again, digest)
            life.approve(Session(again, approver, NOW), digest, run)
        assert holds(again, digest).persons == ("Li Wei", "Wang Fang")


def test_several_at_once_lose_nothing(made, run):
    folder, lab, _ = made
    with ThreadPoolExecutor(4) as pool:
        moments = [NOW + timedelta(seconds=n) for n in range(8)]
        issued = list(pool.map(lambda at: life.issue(Session(Folder(folder.path), lab, at), run), moments))
    assert {one["certificate"] for one in life.overview(folder, NOW)} == set(issued)
    assert folder.newest().name == "000008.json"


# ---------------------------------------------------------------- keys, files, commands


def test_keys_of_both_kinds_with_and_without_a_passphrase(tmp_path):
    secret, other = tmp_path / "secret", tmp_path / "other"
    secret.write_text("open sesame\n")
    other.write_text("sesame open\n")
    for kind in keys.KINDS:
        keys.new(tmp_path / f"{kind}.key", kind, secret)
        assert (tmp_path / f"{kind}.key").stat().st_mode & 0o077 == 0
        assert keys.load(tmp_path / f"{kind}.key", secret)
        assert keys.load_public(tmp_path / f"{kind}.pub")
        with pytest.raises(BadInput, match="is kept with a passphrase"):
            keys.load(tmp_path / f"{kind}.key")
        with pytest.raises(BadInput, match="the passphrase is not its own"):
            keys.load(tmp_path / f"{kind}.key", other)
    keys.new(tmp_path / "plain.key")
    with pytest.raises(BadInput, match="is not kept with a passphrase"):
        keys.load(tmp_path / "plain.key", secret)
    with pytest.raises(BadInput, match="there is no key of kind 'rsa'"):
        keys.new(tmp_path / "rsa.key", "rsa")
    (tmp_path / "empty").write_text("")
    with pytest.raises(BadInput, match="its first line should be the passphrase"):
        keys.load(tmp_path / "plain.key", tmp_path / "empty")


def test_a_programme_file_tells_all_its_mistakes(tmp_path):
    (tmp_path / "bad.pub").write_text("not a key")
    (tmp_path / "programme.yaml").write_text(
        "name: x\nkind: virtual\nstatus_days: 0\nkeys:\n"
        "  - {person: A, role: lab, public: bad.pub}\n  - {person: B, role: lab, public: none.pub}\n"
    )
    with pytest.raises(BadInput) as caught:
        Folder(tmp_path)
    said = "\n".join(caught.value.mistakes)
    for what in ("yaml:5: the key of A is no public key", "yaml:6: ", "none.pub cannot be read", "yaml:4: nobody has the role approver", "yaml:3: status_days should be 1"):  # fmt: skip
        assert what in said, said


def test_the_verifier_is_one_file_that_anybody_can_embed(valid, tmp_path):
    folder, _, _, digest = valid
    certificate, status = both(folder, digest)
    for name, content_ in (("c.json", certificate), ("s.json", status)):
        (tmp_path / name).write_bytes(content_)
    shutil.copy(ROOT / "programme" / "verifier.py", tmp_path / "verifier.py")
    for one in folder.programme.keys:
        shutil.copy(folder.path / one.public, tmp_path)
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC; sys.path.insert(0, '.')\n"
        "from verifier import Key, Policy, verify\n"
        f"keys = [Key(p, r, Path(r + '.pub').read_bytes()) for r, p in {PERSONS}.items()]\n"
        f"now = datetime.fromisoformat('{NOW.isoformat()}')\n"
        "found = verify(Path('c.json').read_bytes(), Path('s.json').read_bytes(), Policy(keys, 'virtual'), now=now)\n"
        "print(found.persons, not any(m.split('.')[0] in ('harness', 'securesystemslib', 'yaml') for m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "('Li Wei', 'Wang Fang') True\n", done.stderr


def test_the_commands_from_keys_to_revocation(run, tmp_path):
    where = tmp_path / "p"
    for name, kind in (("li-wei", "ed25519"), ("wang-fang", "ecdsa-p256")):
        assert shipei("key", "new", where / f"{name}.key", "--kind", kind).exit_code == 0
    (where / "programme.yaml").write_text(shipei("schema", "programme", "--example").stdout)
    lab, approver = (("--key", where / f"{n}.key", "--programme", where) for n in ("li-wei", "wang-fang"))
    digest = json.loads(shipei("certificate", "issue", run, *lab, "--json").stdout)["certificate"]
    file = where / "certificates" / f"{digest}.json"
    assert shipei("certificate", "verify", file, "--programme", where).exit_code == 2
    assert shipei("certificate", "approve", digest[:8], run, *approver).exit_code == 0
    told = shipei("certificate", "verify", file, "--programme", where, "--submission", run.parents[2] / "s")
    assert told.exit_code == 0
    assert "Li Wei, Wang Fang" in told.stdout
    assert json.loads(shipei("certificate", "list", "--programme", where, "--json").stdout)[0]["state"] == "valid"
    assert shipei("certificate", "suspend", digest[:8], "--reason", "challenge [red]12[/]", *lab).exit_code == 0
    assert "challenge [red]12[/]" in shipei("certificate", "show", digest[:8], "--programme", where).stdout
    assert shipei("certificate", "reinstate", digest[:8], "--reason", "refuted", *approver).exit_code == 0
    assert shipei("certificate", "revoke", digest[:8], "--reason", "defect 7", *lab).exit_code == 0
    assert shipei("certificate", "status", *lab).exit_code == 0
    said = shipei("certificate", "verify", file, "--programme", where)
    assert said.exit_code == 2
    assert "revoked since" in said.output
    assert shipei("certificate", "show", "123456", "--programme", where).exit_code == 2
    assert shipei("certificate", "list", "--programme", tmp_path / "none").exit_code == 2


def shipei(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])
