"""Which software is on the target: what it says when it is asked, held against what the submission says that it says."""

import time

from harness.errors import DeviceError, given
from harness.model import Item
from harness.ports import Diagnostics

ASK_S = 1.0


def identified(item: Item, port: Diagnostics, within_s: float) -> str:
    """Read every declared data identifier; what was read, in words.

    Raises DeviceError when one is not as the submission says, or is not answered within the limit.
    """
    where = given(item.interface.diagnostics)
    said = []
    for one in where.identification:
        asked = one.did.to_bytes(2, "big")
        answer = patiently(port, b"\x22" + asked, within_s)
        if answer[:3] != b"\x62" + asked:
            raise DeviceError(f"DID {one.did:04X} is not read: the device answers {answer.hex(' ')}")
        text = answer[3:].decode("ascii", "replace").rstrip("\0 ")
        if text != one.text:
            raise DeviceError(
                f"DID {one.did:04X} reads {text!r}, and the submission says {one.text!r}: another software is on it"
            )
        said.append(f"DID {one.did:04X} reads {text!r}")
    return ", ".join(said)


def patiently(port: Diagnostics, request: bytes, within_s: float) -> bytes:
    """Ask until it is answered: a device that has just started may not listen yet."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return port.ask(request, within_s=ASK_S).data
        except DeviceError:
            if time.monotonic() > deadline:
                raise
