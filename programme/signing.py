"""One more signature on an envelope."""

import base64
from collections.abc import Sequence
from typing import Any

from harness.signing.keys import Signer, public_pem, signature
from programme.verifier import PAYLOAD_TYPE, Key, authenticated


def signed(payload: bytes, key: Signer, signatures: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """A DSSE envelope (v1) with this key's signature behind those that are there already."""
    keyid = Key("", "", public_pem(key)).keyid
    mine = {"keyid": keyid, "sig": base64.b64encode(signature(key, authenticated(PAYLOAD_TYPE, payload))).decode()}
    others = [s for s in signatures if s.get("keyid") != keyid]
    return {"payload": base64.b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [*others, mine]}
