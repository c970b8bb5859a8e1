"""Packages for the reference ECUs, one of each kind that a submission declares: good ones, and ones that must not run.

The keys follow from their names, so that the same sources give the same bytes: they protect nothing.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rigs.ecus.common.update import HEAD, MAGIC, NEVER_READY

PAYLOAD_BYTES = 1700
HARDWARE, OTHER_HARDWARE = 0x0140, 0x0150
INDEX = 2  # of what is installed: what has less is older


def key(owner: str) -> Ed25519PrivateKey:
    """A private key of the reference vendor, or of somebody else."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"shipei reference, {owner}".encode()).digest())


def public(owner: str) -> str:
    """The public key in hexadecimal."""
    return key(owner).public_key().public_bytes_raw().hex()


def package(kind: str, version: str) -> bytes:
    """A package of a kind (harness.model.Package), as common.update takes it."""
    payload = b"".join(
        hashlib.sha256(f"{kind} {version} {n}".encode()).digest() for n in range(PAYLOAD_BYTES // 32 + 1)
    )
    payload = payload[:PAYLOAD_BYTES]
    hardware = OTHER_HARDWARE if kind == "other_hardware" else HARDWARE
    index = INDEX - 1 if kind == "older" else INDEX
    what = NEVER_READY if kind == "never_ready" else 0
    digest = hashlib.sha256(payload).digest()
    head = HEAD.pack(MAGIC, hardware, index, what, len(payload), version.encode(), digest)
    return head + key("somebody else" if kind == "foreign_key" else "vendor").sign(head) + payload


def programmed(declared: Mapping[str, Any]) -> dict[str, Any]:
    """What the device knows beside what is declared."""
    return {"erase": 0xFF00, "check": 0x0202, "activate": 0xFF01, "address": 0} | {
        **{k: v for k, v in declared.items() if k != "packages"},
        "key": public("vendor"),
        "hardware": HARDWARE,
        "index": INDEX,
    }
