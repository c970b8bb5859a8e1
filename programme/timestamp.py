"""A signature's time by an authority that nobody here controls (RFC 3161): asked for by URL, checked by its root certificate, off line."""

import base64
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from harness.errors import BadInput
from programme.verifier import CLOCKS_APART, NotValid

ANSWER_S = 20.0
MOST_BYTES = 100_000
HEADERS = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}


def library() -> Any:
    try:
        import rfc3161_client
    except ImportError:
        raise BadInput("timestamps need rfc3161-client: pip install 'shipei[timestamp]'") from None
    return rfc3161_client


def asked(url: str, signature: str, root: Path) -> str:
    """The authority's answer about a signature (base64), as base64. Raises BadInput when there is none that holds."""
    rfc3161 = library()
    message = base64.b64decode(signature)
    builder = rfc3161.TimestampRequestBuilder().data(message).hash_algorithm(rfc3161.HashAlgorithm.SHA256)
    question = urllib.request.Request(url, builder.cert_request(cert_request=True).build().as_bytes(), HEADERS)
    try:
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"the timestamp authority {url}: its address should begin with http:// or https://")
        with urllib.request.urlopen(question, timeout=ANSWER_S) as answer:
            token = answer.read(MOST_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise BadInput(f"the timestamp authority {url} does not answer: {error}; nothing was signed") from None
    said = base64.b64encode(token).decode()
    try:
        moment(said, signature, root)
    except NotValid as error:
        raise BadInput(f"the timestamp authority {url}: {error}; nothing was signed") from None
    return said


def moment(token: str, signature: str, root: Path) -> datetime:
    """When the authority saw a signature. Raises NotValid when it did not say so."""
    rfc3161 = library()
    try:
        answer = rfc3161.decode_timestamp_response(base64.b64decode(token, validate=True))
        verifier = rfc3161.VerifierBuilder()
        for one in roots(root):
            verifier = verifier.add_root_certificate(one)
        verifier.build().verify_message(answer, base64.b64decode(signature))
        found: datetime = answer.tst_info.gen_time
    except (rfc3161.VerificationError, ValueError) as error:
        raise NotValid(f"the timestamp does not hold: {error}") from None
    return found


def roots(file: Path) -> Sequence[x509.Certificate]:
    """The root certificates of an authority, PEM. Raises BadInput."""
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadInput(f"{file}: no certificate in PEM; it should be the timestamp authority's root") from None


def check(
    signatures: Sequence[dict[str, Any]], persons: dict[str, str], root: Path, issued: datetime, until: datetime
) -> None:
    """Raises NotValid unless every one of `persons` (by key id) who signed did so while the certificate was valid."""
    for one in signatures:
        person = persons.get(str(one.get("keyid")))
        if person is None:
            continue
        if "timestamp" not in one:
            raise NotValid(f"the signature of {person} carries no timestamp, and the programme asks for one")
        at = moment(str(one["timestamp"]), one["sig"], root)
        if not issued - CLOCKS_APART <= at < until:
            raise NotValid(f"{person} signed at {at:%Y-%m-%dT%H:%M:%SZ}, outside of the certificate's time")
