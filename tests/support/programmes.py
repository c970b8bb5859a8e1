"""Programmes in tests: two persons, their keys, and a folder."""

import base64
import json
from datetime import UTC, datetime

import pytest

from harness.signing import keys
from programme import life
from programme.folder import Folder, encoded
from programme.signing import signed
from programme.verifier import NotValid, Policy, verify

NOW = datetime(2026, 11, 27, 21, 0, 0, tzinfo=UTC)
PERSONS = {"lab": "Li Wei", "approver": "Wang Fang"}


def programme(path, kind="virtual", algorithms=("ed25519", "ecdsa-p256"), persons=PERSONS, more=""):
    """(folder, private key of the lab, of the approver)."""
    path.mkdir()
    lines, private = [], []
    for (role, person), algorithm in zip(persons.items(), algorithms, strict=True):
        public = keys.new(path / f"{role}.key", algorithm)
        private.append(keys.load(path / f"{role}.key"))
        lines.append(f"  - {{person: {person}, role: {role}, public: {public.name}}}\n")
    (path / "programme.yaml").write_text(f"name: Demo\nkind: {kind}\n{more}keys:\n{''.join(lines)}")
    return Folder(path), *private


def content(envelope):
    """What an envelope states."""
    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))


def resigned(stated, *private):
    """An envelope of this statement with these persons' signatures."""
    envelope = {"signatures": []}
    for key in private:
        envelope = signed(encoded(stated), key, envelope["signatures"])
    return json.dumps(envelope).encode()


def holds(folder, digest, now=NOW, **options):
    return life.check(folder, folder.certificate_file(digest), now, **options)


def denied(said, certificate, status, folder, now=NOW, **options):
    with pytest.raises(NotValid, match=said):
        verify(certificate, status, Policy(folder.keys, folder.programme.kind, **options), now=now)


def both(folder, digest):
    return folder.certificate_file(digest).read_bytes(), folder.newest().read_bytes()
