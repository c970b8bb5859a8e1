"""Private keys: made, kept with a passphrase or in a token, loaded, used."""

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from harness.errors import BadInput
from harness.signing.token import SCHEME, TokenKey

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
Signer = PrivateKey | TokenKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
KINDS: Mapping[str, Callable[[], PrivateKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
}


def new(file: Path, kind: str = "ed25519", passphrase: Path | None = None) -> Path:
    """Write a new private key (PEM, readable by its owner alone) and its public half beside it; refuse to overwrite."""
    public_file = file.with_suffix(".pub")
    for one in (file, public_file):
        if one.exists():
            raise BadInput(f"{one} exists already; a key is never overwritten")
    if kind not in KINDS:
        raise BadInput(f"there is no key of kind {kind!r}: {', '.join(KINDS)}")
    secret = passphrase_of(passphrase)
    how: KeySerializationEncryption = BestAvailableEncryption(secret) if secret else NoEncryption()
    key = KINDS[kind]()
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
        sink.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    public_file.write_bytes(public_pem(key))
    return public_file


def passphrase_of(file: Path | None) -> bytes | None:
    """The first line of a file."""
    if file is None:
        return None
    found = read(file).split(b"\n")[0].rstrip(b"\r")
    if not found:
        raise BadInput(f"{file}: its first line should be the passphrase, and is empty")
    return found


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None


def load_public(file: Path) -> PublicKey:
    """A public key; raises BadInput when it is none of ours."""
    raw = read(file)
    try:
        key = load_pem_public_key(raw)
    except ValueError as error:
        raise BadInput(f"{file}: not a public key in PEM: {error}") from None
    if isinstance(key, ed25519.Ed25519PublicKey) or (isinstance(key, ec.EllipticCurvePublicKey) and on_p256(key)):
        return key
    raise BadInput(f"{file}: neither Ed25519 nor ECDSA on P-256")


def verifying(file: Path) -> PublicKey:
    """The public key in a file, or the public half of a private one without a passphrase; raises BadInput when it is none of ours."""
    return load(file).public_key() if b"PRIVATE KEY" in read(file) else load_public(file)


def on_p256(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> bool:
    return isinstance(key.curve, ec.SECP256R1)


def load(file: Path, passphrase: Path | None = None) -> PrivateKey:
    """A private key; raises BadInput when it is none, or the passphrase is not its own."""
    secret, raw = passphrase_of(passphrase), read(file)
    try:
        key = load_pem_private_key(raw, secret)
    except TypeError:
        what = (
            "is not kept with a passphrase"
            if secret
            else "is kept with a passphrase: --passphrase-file FILE, where a command has that"
        )
        raise BadInput(f"{file}: {what}") from None
    except ValueError as error:
        why = "the passphrase is not its own" if secret else str(error)
        raise BadInput(f"{file}: not a private key in PEM that opens: {why}") from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or (isinstance(key, ec.EllipticCurvePrivateKey) and on_p256(key)):
        return key
    raise BadInput(f"{file}: neither Ed25519 nor ECDSA on P-256; make one with `shipei key new`")


def signer(named: str, passphrase: Path | None = None) -> Signer:
    """A private key by its file, or by the PKCS#11 URI of a token; the passphrase's first line is the token's PIN."""
    if named.startswith(SCHEME):
        pin = passphrase_of(passphrase)
        return TokenKey(named, None if pin is None else pin.decode())
    return load(Path(named), passphrase)


def signature(key: Signer, message: bytes) -> bytes:
    """Ed25519, or ECDSA over the message's SHA-256 (DER)."""
    return key.sign(message, ec.ECDSA(SHA256())) if isinstance(key, ec.EllipticCurvePrivateKey) else key.sign(message)


def public_pem(key: Signer) -> bytes:
    return public_pem_of(key.public_key())


def fingerprint(key: PublicKey) -> str:
    """The SHA-256 of the SubjectPublicKeyInfo (DER), in hexadecimal: `openssl pkey -pubin -outform der | sha256sum`."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def public_pem_of(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
