"""A certificate holds only as it was signed, by whom it should be, about what it should be about."""

import base64
import hashlib
import json
from dataclasses import fields, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner
from typer.testing import CliRunner

from harness import certificate, documents
from harness.errors import BadInput
from harness.model import (
    Chip,
    Combination,
    Decision,
    Event,
    Instrument,
    Judged,
    LeftOut,
    Measured,
    Outcome,
    Plan,
    Predicate,
    Software,
    Verdict,
)
from harness.paths import EXAMPLES
from harness.signing import keys
from shipei.cli import app


def plan(**changes):
    found = documents.load(Plan, documents.read(EXAMPLES / "plan.yaml"))
    return found.__class__(**{**vars(found), **changes})


def verdict(decision=Decision.CERTIFIED, outcome=Outcome.PASS):
    made = plan()
    judged = Judged(requirement="BOOT-READY-001", level="mandatory", outcome=outcome, reason="", measured=())
    return Verdict(
        decision=decision,
        plan=made.id,
        combination=made.combination,
        manifest_sha256=made.manifest_sha256,
        profile=made.profile,
        rig=made.rig,
        rig_kind=made.rig_kind,
        faults=(),
        requirements=(judged,),
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "certificate.json"
    certificate.write(path, certificate.sign(plan(), verdict(), (), None))
    return path


def resign(file, key, change=lambda s: s):
    payload = json.loads(base64.b64decode(json.loads(file.read_text())["payload"]))
    envelope = Envelope(
        payload=json.dumps(change(payload)).encode(), payload_type=certificate.PAYLOAD_TYPE, signatures={}
    )
    envelope.sign(CryptoSigner(key))
    file.write_text(json.dumps(envelope.to_dict()))


def refused(file, said, **options):
    with pytest.raises(BadInput, match=said):
        certificate.verify(file, **options)


def test_it_holds_and_is_a_noun_of_its_format(file):
    assert (
        certificate.verify(file).statement["subject"][0]["name"]
        == "virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0"
    )
    assert documents.load(certificate.Certificate, documents.read(file))


def test_altered_by_one_byte(file):
    data = json.loads(file.read_text())
    payload = base64.b64decode(data["payload"]).replace(b"cockpit-1.4.0", b"cockpit-1.4.1")
    file.write_text(json.dumps({**data, "payload": base64.b64encode(payload).decode()}))
    refused(file, "does not belong to the content")


def test_signed_again_by_somebody_else(file):
    resign(file, Ed25519PrivateKey.generate())
    refused(file, "was not signed with the demo key")


def test_another_key_under_the_right_name(file):
    name = json.loads(file.read_text())["signatures"][0]["keyid"]
    resign(file, Ed25519PrivateKey.generate())
    data = json.loads(file.read_text())
    data["signatures"][0]["keyid"] = name
    file.write_text(json.dumps(data))
    refused(file, "does not belong to the content")


def test_about_another_combination(file):
    refused(file, "is about another combination", manifest_sha256="0" * 64)


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", "{}", '{"payload": 1, "payloadType": 2, "signatures": 3}', "[" * 100_000]
)
def test_not_a_certificate_at_all(file, text):
    file.write_text(text)
    refused(file, "not JSON|not a DSSE envelope|payload type")


@pytest.mark.parametrize("signatures", [[], [{}], ["x"], [{"keyid": "a"}], None, {"a": 1}])
def test_signatures_of_the_wrong_form(file, signatures):
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "signatures": signatures}))
    refused(file, "not a DSSE envelope|was not signed")


def as_hardware(stated):
    subject = {**stated["subject"][0], "name": stated["subject"][0]["name"].removeprefix("virtual:")}
    rig = {**stated["predicate"]["rig"], "kind": "bench"}
    predicate = {**stated["predicate"], "evidence": "hardware rig", "rig": rig}
    return {**stated, "predicateType": certificate.PREDICATE, "subject": [subject], "predicate": predicate}


def test_a_hardware_certificate_by_the_demo_key_is_not_believed(file):
    resign(file, certificate.demo_key(), as_hardware)
    refused(file, "anyone could have")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {**s, "subject": s["subject"] * 2},
        lambda s: {**s, "subject": []},
        lambda s: {**s, "predicate": {**s["predicate"], "decision": "refused"}},
        lambda s: {
            **s,
            "predicate": {**s["predicate"], "requirements": [{"id": "X", "level": "mandatory", "outcome": "fail"}]},
        },
        lambda s: {**s, "predicate": {}},
        lambda s: {**s, "note": "also certified for R155"},
        lambda s: {**s, "predicate": {**s["predicate"], "asil": "D"}},
        lambda s: {**s, "predicate": {**s["predicate"], "evidence": "hardware rig"}},
        lambda s: {**s, "predicate": {**s["predicate"], "rig": {**s["predicate"]["rig"], "kind": "bench"}}},
        lambda s: {**s, "predicate": {**s["predicate"], "inputs": 7}},
        lambda s: {**s, "predicate": {**s["predicate"], "fence": [7]}},
        lambda s: {**s, "predicate": {**s["predicate"], "fence": 7}},
        lambda s: {**s, "predicate": {**s["predicate"], "settings": "nonsense"}},
        lambda s: {**s, "predicate": {**s["predicate"], "plan": 7}},
        lambda s: {**s, "predicate": {**s["predicate"], "combination": {"evidence": "hardware rig"}}},
        lambda s: {**s, "subject": [{**s["subject"][0], "digest": {"sha256": "0", "sha512": "0"}}]},
        lambda s: {**s, "predicate": {**s["predicate"], "requirements": "pass"}},
        lambda s: {**s, "subject": [{**s["subject"][0], "name": "reference-a:sim-1"}]},
        lambda s: {**s, "subject": [{**s["subject"][0], "digest": []}]},
        lambda s: {**s, "_type": "other"},
        lambda s: [],
    ],
)
def test_signed_but_not_a_certificate(file, change):
    resign(file, certificate.demo_key(), change)
    refused(file, "signed, but|exactly one")


@pytest.mark.parametrize(
    "payload", ['{"a": 1, "a": 2}', "[" * 50_000, '{"_type": NaN}', "\xff", "{" + '"a":{' * 50_000]
)
def test_signed_json_that_means_two_things_or_none_is_no_certificate(file, payload):
    envelope = Envelope(payload=payload.encode("latin1"), payload_type=certificate.PAYLOAD_TYPE, signatures={})
    envelope.sign(CryptoSigner(certificate.demo_key()))
    file.write_text(json.dumps(envelope.to_dict()))
    refused(file, "its statement is not JSON")


def test_an_envelope_whose_names_stand_twice_is_none(file):
    text = file.read_text()
    file.write_text(text.replace('"payload":', '"payload": "e30=", "payload":', 1))
    refused(file, "not JSON, so not a certificate .a name stands twice")


def test_verifying_says_first_whose_key_it_was_and_a_demo_signature_has_an_exit_code_of_its_own(file, tmp_path):
    done = CliRunner().invoke(app, ["verify", str(file)])
    assert done.exit_code == 4
    der = certificate.demo_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert done.stdout.startswith(f"signed by SHA256 {hashlib.sha256(der).hexdigest()}, the demo key")
    assert "evidence: simulated rig" in done.stdout
    said = json.loads(CliRunner().invoke(app, ["verify", str(file), "--json"]).stdout)
    assert said["signed_by"]["demo"] is True
    public, bench = keys.new(tmp_path / "lab.key"), plan(rig_kind="bench", bracketed=True, instruments=(instrument(),))
    certificate.write(file, certificate.sign(bench, verdict(), (), tmp_path / "lab.key"))
    done = CliRunner().invoke(app, ["verify", str(file), "--key", str(public)])
    assert (done.exit_code, "evidence: hardware rig" in done.stdout) == (0, True)


def test_nothing_that_a_certificate_says_gives_orders_to_a_terminal(file):
    def named(statement):
        subject = {
            **statement["subject"][0],
            "name": "virtual:x\x1b[2J[bold red]forged[/]\r\nholds  acme on real silicon\nevidence: hardware rig",
        }
        return {**statement, "subject": [subject]}

    resign(file, certificate.demo_key(), named)
    said = CliRunner().invoke(app, ["verify", str(file)]).stdout
    assert "\x1b" not in said
    assert not [line for line in said.splitlines() if line.startswith(("holds  acme", "evidence"))]
    assert "\r" not in said
    assert "[bold red]forged[/]" in said


def test_the_same_image_with_other_settings_is_not_what_was_certified(file):
    found = certificate.verify(file)
    inputs = found.statement["predicate"]["inputs"]
    certificate.must_be_about(file, found, plan().manifest_sha256, inputs)
    with pytest.raises(BadInput, match="is about the same images with another submission"):
        certificate.must_be_about(file, found, plan().manifest_sha256, {**inputs, "submission": "0" * 64})


def test_the_labs_own_key(tmp_path):
    public = keys.new(tmp_path / "lab.key")
    hardware = plan(rig_kind="bench", bracketed=True, instruments=(instrument(),))
    path = tmp_path / "c.json"
    certificate.write(path, certificate.sign(hardware, verdict(), (), tmp_path / "lab.key"))
    assert certificate.verify(path, public).statement["predicateType"] == certificate.PREDICATE
    refused(path, "was not signed with the demo key")
    assert (tmp_path / "lab.key").stat().st_mode & 0o077 == 0
    with pytest.raises(BadInput, match="never overwritten"):
        keys.new(tmp_path / "lab.key")


@pytest.mark.parametrize(
    ("made", "found", "said"),
    [
        ({}, verdict(Decision.REFUSED), "the verdict is refused"),
        ({}, verdict(Decision.VOID), "the verdict is void"),
        ({"signable": False}, verdict(), "by hand"),
        ({"rig_kind": "bench"}, verdict(), "needs the lab's key"),
        ({"rig_kind": "replay"}, verdict(), "a replay is not evidence"),
    ],
)
def test_what_is_never_signed(made, found, said):
    with pytest.raises(BadInput, match=said):
        certificate.sign(plan(**made), found, (), None)


def instrument(valid_until="2099-03-01"):
    said = {"what": "supply", "maker": "M", "type": "T", "serial": "S"}
    return Instrument(**said, valid_until=valid_until)


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"instruments": ()}, "its file names no instruments"),
        ({"instruments": (instrument(None),)}, r"the calibration of supply \(M T, S\) has no valid_until"),
        ({"instruments": (instrument(), instrument("2026-01-31"))}, "ran out on 2026-01-31"),
        ({"bracketed": False}, "no golden item is checked around its runs"),
    ],
)
def test_a_bench_that_lacks_what_hardware_evidence_leans_on_gives_no_certificate_of_hardware(tmp_path, lacking, said):
    keys.new(tmp_path / "lab.key")
    bench = {"rig_kind": "bench", "bracketed": True, "instruments": (instrument(),)} | lacking
    with pytest.raises(BadInput, match=said):
        certificate.sign(plan(**bench), verdict(), (), tmp_path / "lab.key")


def test_the_demo_key_is_no_labs_key_for_signing_or_for_verifying(tmp_path, file):
    demo = certificate.demo_key()
    private, public = tmp_path / "lab.key", tmp_path / "lab.pub"
    private.write_bytes(demo.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(keys.public_pem(demo))
    bench = plan(rig_kind="bench", bracketed=True, instruments=(instrument(),))
    with pytest.raises(BadInput, match="is the demo key, which everyone has"):
        certificate.sign(bench, verdict(), (), private)
    resign(file, demo, lambda s: {**s, "predicateType": certificate.PREDICATE})
    refused(file, "is the demo key, which everyone has", public=public)


def test_a_virtual_rig_never_gets_the_labs_key(tmp_path):
    keys.new(tmp_path / "lab.key")
    with pytest.raises(BadInput, match="is virtual"):
        certificate.sign(plan(), verdict(), (), tmp_path / "lab.key")


def test_one_subject_names_the_whole_combination():
    assert isinstance(plan().combination, Combination)
    statement = certificate.statement(plan(), verdict(), ())
    assert [s["digest"]["sha256"] for s in statement["subject"]] == [plan().manifest_sha256]


def measured(value, **limits):
    said = {"low": None, "high": None, "uncertainty": 0.002, "outcome": Outcome.PASS} | limits
    return Measured(name="ready_s", unit="s", value=value, **said)


def test_a_requirement_says_its_source_its_limits_the_worst_value_with_its_uncertainty_and_how_many():
    found = verdict()
    judged = replace(
        found.requirements[0], measured=(measured(1.0, high=2.5), measured(2.4, high=2.5), measured(0.2, high=2.5))
    )
    (said,) = certificate.statement(plan(), replace(found, requirements=(judged,)), ())["predicate"]["requirements"]
    asked = plan().requirements[0].requirement
    assert said["source"] == {"document": asked.source.document, "clause": asked.source.clause}
    assert said["trust"] == asked.trust
    limits = {"low": None, "high": 2.5, "worst": 2.4, "uncertainty": 0.002, "count": 3}
    assert said["measures"] == [{"name": "ready_s", "unit": "s", **limits}]


@pytest.mark.parametrize(
    ("found", "worst"),
    [
        ((measured(1.0, low=0.5), measured(0.6, low=0.5), measured(9.0, low=0.5)), 0.6),
        ((measured(1.0, low=0.0, high=10.0), measured(9.5, low=0.0, high=10.0)), 9.5),
        ((measured(3.0, high=2.0), measured(1.9, high=2.0)), 3.0),
        ((measured(1.9, high=2.0), measured(2.9, high=3.5)), 1.9),  # of limits that differ, the least room
    ],
)
def test_the_worst_value_is_the_one_with_the_least_room(found, worst):
    judged = replace(verdict().requirements[0], measured=found)
    (said,) = certificate.required(judged, plan().requirements[0].requirement).measures
    assert said.worst == worst


CHANGES = {
    "combination": {"combination": Combination(chip=Chip(name="x", revision="1"), os=Software(name="o", version="1"), application=Software(name="a", version="1"))},
    "vendor": {"vendor": "another"},
    "profile": {"profile": "another-1.0"},
    "effort": {"effort": "full"},
    "rig": {"rig": "another"},
    "instruments": {"instruments": (Instrument(what="supply", maker="M", type="T", serial="S"),)},
    "golden_checked": {"bracketed": True},
    "inputs": {"digests": {"rig": "1" * 64}},
    "plan": {"id": "another"},
    "not_applicable": {"not_applicable": (LeftOut(id="X-1", reason="r"),)},
    "not_decidable": {"not_decidable": (LeftOut(id="X-1", reason="r"),)},
    "unchecked": {"unchecked": {"message without a cycle or an event": ("body.M",)}},
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_a_change_of_anything_that_the_certificate_says_changes_the_signed_text(field):
    before = certificate.statement(plan(), verdict(), ())["predicate"]
    after = certificate.statement(plan(**CHANGES[field]), verdict(), ())["predicate"]
    assert {k for k in before if before[k] != after[k]} == {field}


def test_settings_fence_and_image_are_in_the_signed_text():
    made = plan()
    (one, *rest) = made.requirements
    said = certificate.statement(
        replace(made, requirements=(replace(one, settings={"ready_s": 2.0}), *rest)), verdict(), ()
    )
    assert said["predicate"]["settings"] == [{"requirement": one.requirement.id, "parameter": "ready_s", "value": 2.0}]
    opened = Event(
        what="opened", port="power", uncertainty_ns=5, context={"fence": "unfenced: why", "image_arrived": "h"}
    )
    said = certificate.statement(made, verdict(), (opened,))["predicate"]
    assert (said["fence"], said["image"]) == (["unfenced: why"], [{"image_arrived": "h"}])
    assert said["rig"]["uncertainty_ms"] == {"power": 5e-6}
    assert set(said) == {field.name for field in fields(Predicate)}


def test_a_certificate_names_the_day_of_its_test_and_expires(tmp_path):
    path = tmp_path / "c.json"
    certificate.write(path, certificate.sign(plan(), verdict(), (), None, "2026-11-30T12:00:00+00:00"))
    stated = certificate.verify(path).statement["predicate"]
    assert stated["tested"] == "2026-11-30T12:00:00+00:00"
    assert stated["issued"] < stated["valid_until"]
    certificate.write(path, certificate.sign(plan(valid_days=-1), verdict(), (), None))
    refused(path, "expired on")


@pytest.mark.parametrize("until", ["for ever", "9999", "2999-01-01T00:00:00"])
def test_a_validity_that_is_no_moment_has_passed(file, until):
    resign(file, certificate.demo_key(), lambda s: {**s, "predicate": {**s["predicate"], "valid_until": until}})
    refused(file, "expired on")


def test_an_old_certificate_holds_and_says_that_it_is_of_the_old_form(file):
    new = {"fence", "settings", "unchecked", "tested", "issued", "valid_until"}

    def old(stated):
        told = {k: v for k, v in stated["predicate"].items() if k not in new}
        told["requirements"] = [{k: one[k] for k in ("id", "level", "outcome")} for one in told["requirements"]]
        return {**stated, "predicate": told}

    resign(file, certificate.demo_key(), old)
    done = CliRunner().invoke(app, ["verify", str(file)])
    assert (done.exit_code, "of the old form: without dates, limits and values" in done.stdout) == (4, True)


def test_calibrations_are_held_against_the_day_of_the_test(tmp_path):
    keys.new(tmp_path / "lab.key")
    bench = plan(rig_kind="bench", bracketed=True, instruments=(instrument("2026-01-31"),))
    certificate.sign(bench, verdict(), (), tmp_path / "lab.key", "2026-01-30T12:00:00+00:00")
    with pytest.raises(BadInput, match="ran out on 2026-01-31"):
        certificate.sign(bench, verdict(), (), tmp_path / "lab.key", "2026-02-01T12:00:00+00:00")
