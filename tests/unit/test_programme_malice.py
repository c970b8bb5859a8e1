"""Certificates and lists that were altered, cut, signed by others, replayed, or say what nobody may say: each is denied, with its reason."""

import base64
import json
from datetime import timedelta

import pytest

from harness.errors import BadInput
from harness.signing import keys
from programme import life, verifier
from programme.session import Session
from programme.verifier import Policy, verify
from tests.support import sites
from tests.support.programmes import NOW, both, content, denied, holds, programme, resigned
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


def test_altered_cut_and_signed_by_others(valid, tmp_path):
    folder, _, _, digest = valid
    certificate, status = both(folder, digest)
    denied("altered: the signature of Li Wei is not of this content", altered(certificate), status, folder)
    denied("is not JSON: it was cut", certificate[:-40], status, folder)
    denied("status list was altered", certificate, altered(status), folder)
    keys.new(tmp_path / "stranger.key")
    stranger = keys.load(tmp_path / "stranger.key")
    denied("role lab and a person of role approver", resigned(content(certificate), stranger), status, folder)
    denied("signed by nobody of the programme", certificate, resigned(content(status), stranger), folder)
    denied("payload type 'text/plain'", with_field(certificate, "payloadType", "text/plain"), status, folder)
    denied("not base64", with_field(certificate, "payload", "%%%"), status, folder)
    denied("needs payload", b"[]", status, folder)
    denied("is not JSON", b"[" * 100_000, status, folder)
    denied("16000001 bytes", bytes(16_000_001), status, folder)


def altered(envelope):
    """One character more of what is stated, within the same signatures."""
    stated = content(envelope)
    stated["subject"][0]["name"] += "1"
    return with_field(envelope, "payload", base64.b64encode(json.dumps(stated).encode()).decode())


def with_field(envelope, name, value):
    return json.dumps(json.loads(envelope) | {name: value}).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s | {"predicateType": verifier.CERTIFICATE["hardware"]}, "is signed as 'urn:shipei:certificate:v1'"),
        (
            lambda s: s | {"predicateType": "urn:shipei:virtual-certificate:v0"},
            "not as urn:shipei:virtual-certificate:v1",
        ),
        (lambda s: s | {"subject": s["subject"] * 2}, "not about exactly one combination"),
        (lambda s: s | {"subject": []}, "not about exactly one combination"),
        (lambda s: s | {"predicate": s["predicate"] | {"decision": "refused"}}, "its own outcomes do not make"),
        (lambda s: s | {"predicate": s["predicate"] | {"requirements": []}}, "its own outcomes do not make"),
        (lambda s: s | {"predicate": s["predicate"] | {"life": None}}, "does not say from when until when"),
        (lambda s: s | {"predicate": s["predicate"] | {"inherited": [7]}}, "does not say from when until when"),
        (lambda s: s | {"predicate": []}, "its statement is not complete"),
        (lambda s: {"subject": s["subject"]}, "its statement is not complete"),
    ],
)
def test_even_both_persons_cannot_sign_just_anything(valid, change, said):
    folder, lab, approver, digest = valid
    certificate, status = both(folder, digest)
    denied(said, resigned(change(content(certificate)), lab, approver), status, folder)


@pytest.mark.parametrize("one", [{}, {"id": "R"}, 5, None])
def test_what_is_inherited_from_nowhere_is_denied(one):
    with pytest.raises(verifier.NotValid, match="does not say what it inherits from where"):
        verifier.inherited({"predicate": {"inherited": [one]}}, [])


def test_about_another_combination(valid):
    folder, _, _, digest = valid
    with pytest.raises(BadInput, match="is about another combination: its subject is virtual:reference-a"):
        holds(folder, digest, manifest_sha256="0" * 64)
    manifest = life.overview(folder, NOW)[0]["manifest"]
    assert holds(folder, digest, manifest_sha256=manifest)


def test_lists_that_are_old_replayed_incomplete_or_of_something_else(valid):
    folder, lab, _, digest = valid
    certificate, status = both(folder, digest)
    life.step(Session(folder, lab, NOW), "revoke", digest, "defect 7")
    assert verify(certificate, status, Policy(folder.keys, "virtual"), now=NOW)  # the replayed list is still fresh ...
    denied("is number 2; number 3 was seen already", certificate, status, folder, least_number=3)  # ... and known
    denied("to be renewed by", certificate, status, folder, now=NOW + 7 * DAY)
    denied("is signed as 'urn:shipei:virtual-certificate:v1'", certificate, certificate, folder)
    stated = content(status)
    for key in ("number", "issued", "next_update", "entries"):
        told = {k: v for k, v in stated["predicate"].items() if k != key}
        denied("is not complete", certificate, resigned(stated | {"predicate": told}, lab), folder)
    empty = stated | {"predicate": stated["predicate"] | {"entries": []}}
    denied("does not know the certificate", certificate, resigned(empty, lab), folder)
    early = stated | {"predicate": stated["predicate"] | {"issued": "2027-01-01T00:00:00Z"}}
    denied("still to come", certificate, resigned(early, lab), folder)


def test_a_folder_that_was_tampered_with_is_found_out(valid, run):
    folder, lab, approver, digest = valid
    file = folder.certificate_file(digest)
    whole = file.read_bytes()
    file.write_bytes(altered(whole))
    with pytest.raises(BadInput, match="altered"):
        life.renew(Session(folder, lab, NOW), digest, run)
    file.write_bytes(resigned(content(whole) | {"more": 1}, lab, approver))
    with pytest.raises(BadInput, match="its content is not what its name says"):
        life.renew(Session(folder, lab, NOW), digest, run)
    file.write_bytes(whole)
    newest = folder.newest()
    newest.rename(newest.with_name("000009.json"))
    with pytest.raises(BadInput, match="not the list that its name says"):
        life.restate(Session(folder, lab, NOW))
