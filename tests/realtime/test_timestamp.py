"""Who says when: an authority's timestamps on both signatures, asked for when signing, checked off line."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from harness.errors import BadInput
from programme import life, timestamp
from programme.folder import Folder
from programme.session import Session
from programme.verifier import NotValid
from tests.support import timestamping
from tests.support.programmes import programme
from tests.support.stores import certified


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tsa") / "tsa"
    timestamping.made(folder)
    with timestamping.authority(folder) as url:
        yield folder, url


def today():
    return datetime.now(UTC).replace(microsecond=0)


def with_authority(path, url, root):
    """A programme that asks for timestamps: (folder, lab, approver)."""
    folder, lab, approver = programme(path)
    (path / "tsa.pem").write_bytes(root.read_bytes())
    file = path / "programme.yaml"
    file.write_text(file.read_text() + f"timestamps: {{url: '{url}', root: tsa.pem}}\n")
    return Folder(folder.path), lab, approver


def signed(path, run, authority):
    folder, lab, approver = with_authority(path, authority[1], authority[0] / "root.pem")
    digest = life.issue(Session(folder, lab, today()), run)
    life.approve(Session(folder, approver, today()), digest, run)
    return folder, lab, digest


def test_both_signatures_carry_the_authoritys_time(tmp_path, run, authority):
    folder, _, digest = signed(tmp_path / "p", run, authority)
    file = folder.certificate_file(digest)
    assert life.check(folder, file, today())
    for one in json.loads(file.read_bytes())["signatures"]:
        at = timestamp.moment(one["timestamp"], one["sig"], authority[0] / "root.pem")
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=2)


def test_taken_off_altered_of_another_signature_or_of_another_authority(tmp_path, run, authority):
    folder, _, digest = signed(tmp_path / "p", run, authority)
    file = folder.certificate_file(digest)
    envelope = json.loads(file.read_bytes())
    one, other = envelope["signatures"]
    for change, said in (
        ({}, "carries no timestamp, and the programme asks for one"),
        ({"timestamp": other["timestamp"]}, "the timestamp does not hold"),
        ({"timestamp": one["timestamp"][:-8]}, "the timestamp does not hold"),
        ({"timestamp": "%"}, "the timestamp does not hold"),
    ):
        mine = {k: v for k, v in one.items() if k != "timestamp"} | change
        file.write_text(json.dumps(envelope | {"signatures": [mine, other]}))
        with pytest.raises(BadInput, match=said):
            life.check(folder, file, today())
    timestamping.made(tmp_path / "other")
    with pytest.raises(NotValid, match="does not hold"):
        timestamp.moment(one["timestamp"], one["sig"], tmp_path / "other" / "root.pem")
    file.write_text(json.dumps(envelope))
    issued = today() + timedelta(days=30)
    with pytest.raises(NotValid, match="signed at .*, outside of the certificate's time"):
        persons = {key.keyid: key.person for key in folder.keys}
        root = authority[0] / "root.pem"
        timestamp.check(envelope["signatures"], persons, root, issued, issued + timedelta(days=1))


@pytest.mark.parametrize("answer", [b"", b"no such page", bytes(200_000)])
def test_an_authority_that_says_nothing_of_use_leaves_nothing_behind(tmp_path, run, answer):
    root = timestamping.made(tmp_path / "tsa")
    with timestamping.authority(tmp_path / "tsa", answer) as url:
        folder, lab, _ = with_authority(tmp_path / "p", url, root)
        with pytest.raises(BadInput, match="the timestamp does not hold.*nothing was signed"):
            life.issue(Session(folder, lab, today()), run)
    assert not (folder.path / "certificates").exists()
    assert folder.newest() is None


def test_an_authority_that_is_not_there(tmp_path, run, authority):
    for url, said in (
        ("http://127.0.0.1:9/", "does not answer: .*nothing was signed"),
        ("file:///etc/passwd", "should begin with http"),
    ):
        folder, lab, _ = with_authority(tmp_path / url[:4], url, authority[0] / "root.pem")
        with pytest.raises(BadInput, match=said):
            life.issue(Session(folder, lab, today()), run)


def test_a_root_that_is_none_is_told_with_its_line(tmp_path, authority):
    (tmp_path / "not.pem").write_text("not a certificate")
    with pytest.raises(BadInput, match=r"programme.yaml:6: .*tsa.pem: no certificate in PEM"):
        with_authority(tmp_path / "p", authority[1], tmp_path / "not.pem")
