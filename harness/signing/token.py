"""A key in a token that never gives it away (PKCS#11), named by a PKCS#11 URI (RFC 7512); ECDSA on P-256."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from harness.errors import BadInput

SCHEME = "pkcs11:"


class TokenKey:
    """`pkcs11:token=LABEL;object=LABEL?module-path=FILE`: the token is opened anew, with its PIN, for each use."""

    def __init__(self, uri: str, pin: str | None) -> None:
        path, _, query = uri.removeprefix(SCHEME).partition("?")
        parts = dict(part.partition("=")[::2] for part in path.split(";"))
        self.uri, self.pin, self.module = uri, pin, dict(parse_qsl(query)).get("module-path", "")
        self.token, self.label = (unquote(parts.get(name, "")) for name in ("token", "object"))
        if not (self.token and self.label and self.module):
            raise BadInput(f"{uri}: should be pkcs11:token=LABEL;object=LABEL?module-path=FILE")
        if pin is None:
            raise BadInput(f"{uri}: the token's PIN is needed: --passphrase-file FILE")
        self._public = self.read_public()

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature over the message's SHA-256, DER."""
        pkcs11 = library()
        from pkcs11.util.ec import encode_ecdsa_signature

        with self.session() as session:
            key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self.label)
            digest = hashlib.sha256(message).digest()
            return bytes(encode_ecdsa_signature(key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)))

    def read_public(self) -> ec.EllipticCurvePublicKey:
        pkcs11 = library()
        from pkcs11.util.ec import encode_ec_public_key

        with self.session() as session:
            key = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=self.label)
            if key.key_type is not pkcs11.KeyType.EC:
                raise BadInput(f"{self.uri}: the key is of type {key.key_type.name}; ECDSA on P-256 is needed")
            found = load_der_public_key(encode_ec_public_key(key))
        if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
            raise BadInput(f"{self.uri}: the key is not on the curve P-256")
        return found

    @contextmanager
    def session(self) -> Iterator[Any]:
        """The token, logged in. What goes wrong with it is told as the person's, who named it."""
        pkcs11 = library()
        try:
            with pkcs11.lib(self.module).get_token(token_label=self.token).open(user_pin=self.pin) as found:
                yield found
        except pkcs11.exceptions.PinIncorrect:
            raise BadInput(f"{self.uri}: the PIN is not the token's") from None
        except pkcs11.exceptions.PKCS11Error as error:
            raise BadInput(f"{self.uri}: {error or type(error).__name__}") from None


def library() -> Any:
    try:
        import pkcs11
    except ImportError:
        raise BadInput("keys in a token need python-pkcs11: pip install 'shipei[pkcs11]'") from None
    return pkcs11
