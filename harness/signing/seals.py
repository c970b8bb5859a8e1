"""The seal of a record: its list of digests, signed when its run ended, by a key that only the run's supervisor reads.

A record whose seal is not this installation's may be judged again from its evidence by anyone, and is never signed. The keys lie beside what is remembered of
rigs, in XDG_STATE_HOME/shipei/seals, OWNER@USER.pem, readable by that user alone: one for all virtual rigs, one for each bench. Their public halves lie beside them,
OWNER@USER.pub: users who share that folder know each other's seals, and so does another machine of the lab that is given such a file.
"""

import getpass
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from harness.errors import BadInput
from harness.paths import state_folder
from harness.signing import keys

PAYLOAD_TYPE = "application/vnd.shipei.seal+json"
MAX_BYTES = 10_000
VIRTUAL_RIGS = "all-virtual-rigs"


def key_of(owner: str) -> Ed25519PrivateKey:
    """The key of this user that seals for a bench, by its name, or for VIRTUAL_RIGS; made when it is asked for first. Raises BadInput when it cannot be."""
    try:
        file = state_folder("seals") / f"{owner}@{getpass.getuser()}.pem"
        if not file.exists():
            make(file)
    except OSError as error:
        raise BadInput(f"{error.filename}: no key to seal records with: {error.strerror}") from None
    found = keys.load(file)
    if not isinstance(found, Ed25519PrivateKey):
        raise BadInput(f"{file}: not the key that was made here")
    return found


def make(file: Path) -> None:
    """A new key and its public half; of two that make one, the first has made it."""
    part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    key = Ed25519PrivateKey.generate()
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
        sink.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        os.link(part, file)
        file.with_suffix(".pub").write_bytes(keys.public_pem(key))
    except FileExistsError:
        return
    finally:
        part.unlink()


def known(owner: str) -> list[keys.PublicKey]:
    """The public keys whose seals count for a bench, or for VIRTUAL_RIGS."""
    return [keys.load_public(file) for file in sorted(state_folder("seals").glob(f"{owner}@*.pub"))]


def put(file: Path, digests_sha256: str, owner: str) -> None:
    """Seal the list of digests that has this digest, in a file of its own, with today's date and time (UTC)."""
    said = {"manifest_sha256": digests_sha256, "owner": owner, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    payload = json.dumps(said, sort_keys=True).encode()
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signatures={})
    envelope.sign(CryptoSigner(key_of(owner)))
    file.write_text(json.dumps(envelope.to_dict(), indent=1) + "\n", encoding="utf-8")


def wrong(file: Path, digests_sha256: str, owner: str) -> str:
    """Why a seal is not the one that `owner` put on that list of digests here; empty if it is."""
    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return "it has no seal"
        parsed = json.loads(file.read_bytes())
        envelope = Envelope.from_dict(parsed)
        whose: list[Key] = [SSlibKey.from_crypto(key) for key in known(owner)]
        if not whose:
            return "nobody here has a key for it"
        envelope.verify(whose, 1)
        said = json.loads(envelope.payload)
    except VerificationError:
        return "its seal is of another installation, or of another rig"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its seal cannot be read"
    if not isinstance(said, dict) or parsed.get("payloadType") != PAYLOAD_TYPE:
        return "its seal cannot be read"
    if (said.get("manifest_sha256"), said.get("owner")) != (digests_sha256, owner):
        return "its seal is of another record"
    return ""


def at(file: Path) -> str:
    """When a record was sealed, as its seal says, which must be one that `wrong` finds nothing wrong with."""
    return str(json.loads(Envelope.from_dict(json.loads(file.read_bytes())).payload)["at"])
