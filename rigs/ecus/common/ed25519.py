"""Verify an Ed25519 signature (RFC 8032, 5.1), with the standard library alone: what a boot loader does before it believes an image."""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def x_of(y, odd):
    """The x of a point (RFC 8032, 5.1.3), or None."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * ROOT % P
    if v * x * x % P != u or (x == 0 and odd):
        return None
    return P - x if x % 2 != odd else x


def point(encoded):
    """(X, Y, Z, T) of 32 bytes, or None."""
    number = int.from_bytes(encoded, "little")
    y = number & ((1 << 255) - 1)
    x = x_of(y, number >> 255) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def add(p, q):
    """RFC 8032, 5.1.4."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, p):
    found = (0, 1, 1, 0)
    while number:
        if number & 1:
            found = add(found, p)
        p, number = add(p, p), number >> 1
    return found


def holds(key, message, signature):
    """Whether a signature of 64 bytes is that of the message by the private key to this public one, of 32 bytes."""
    if len(signature) != 64 or len(key) != 32:
        return False
    there, public = point(signature[:32]), point(key)
    scalar = int.from_bytes(signature[32:], "little")
    if there is None or public is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = times(scalar, BASE), add(there, times(challenge, public))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


Y = 4 * pow(5, -1, P) % P
BASE = (x_of(Y, 0), Y, 1, x_of(Y, 0) * Y % P)
