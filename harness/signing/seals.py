"""The seal of a record: its list of digests, signed when its run ended, by a key that only the run's supervisor reads.

A record whose seal is not this installation's may be judged again from its evidence by anyone, and is never signed. The keys lie beside what is remembered of
rigs, in XDG_STATE_HOME/shipei/seals, readable by their owner alone: one for all virtual rigs, one for each bench. Where a lab signs on another machine than
it tests on, the public half of a bench's key, as OWNER@ANYTHING.pub in that folder, makes its seals known there.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from harness.errors import BadInput
from harness.paths import state_folder
from harness.signing import keys

PAYLOAD_TYPE = "application/vnd.shipei.seal+json"
MAX_BYTES = 10_000
VIRTUAL_RIGS = "all-virtual-rigs"


def key_of(owner: str) -> Ed25519PrivateKey:
    """The key that seals for a bench, by its name, or for VIRTUAL_RIGS; made when it is asked for first."""
    folder = state_folder("seals")
    folder.chmod(0o700)
    file = folder / f"{owner}.pem"
    if not file.exists():
        part = folder / f".{owner}.{os.getpid()}"
        new = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
            sink.write(new)
        with suppress(FileExistsError):  # of two that make one, the first has made it
            os.link(part, file)
        part.unlink()
    found = keys.load(file)
    if not isinstance(found, Ed25519PrivateKey):
        raise BadInput(f"{file}: not the key that was made here")
    return found


def known(owner: str) -> list[keys.PublicKey]:
    """The public keys whose seals count for a bench, or for VIRTUAL_RIGS: our own, and those that the lab put beside it."""
    own = key_of(owner).public_key()
    return [own, *(keys.load_public(file) for file in sorted(state_folder("seals").glob(f"{owner}@*.pub")))]


def put(file: Path, digests_sha256: str, owner: str) -> None:
    """Seal the list of digests that has this digest, in a file of its own."""
    payload = json.dumps({"manifest_sha256": digests_sha256, "owner": owner}, sort_keys=True).encode()
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
        envelope.verify([SSlibKey.from_crypto(key) for key in known(owner)], 1)
        said = json.loads(envelope.payload)
    except VerificationError:
        return "its seal is of another installation, or of another rig"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its seal cannot be read"
    if said != {"manifest_sha256": digests_sha256, "owner": owner} or parsed.get("payloadType") != PAYLOAD_TYPE:
        return "its seal is of another record"
    return ""
