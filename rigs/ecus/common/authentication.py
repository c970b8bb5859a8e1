"""Service 29 by challenge and response with a shared secret (ISO 14229-1:2020, 10.6), and the records that it protects."""

import hashlib
import hmac

from .diagnostics import LENGTH, RANGE, SEQUENCE, Refused

REQUIRED, NOT_OWNER = 0x34, 0x58
ACCEPTED, SYMMETRIC, ENDED, AUTHENTICATED = 0x00, 0x04, 0x10, 0x12  # what it answers with (B.5)
HMAC_SHA256 = bytes.fromhex("06082A864886F70D0209").ljust(16, b"\0")
END, CHALLENGE, PROOF, CONFIGURATION = 0, 5, 6, 8
BEHAVIOUR = {  # what a build may differ in
    "READS_UNAUTHENTICATED": False,
    "ANY_PROOF": False,
    "CHALLENGE_REPEATS": False,
    "CHALLENGE_STAYS": False,  # after a proof was tried
    "OUTLIVES_SESSION": False,  # authenticated once, until its power goes
    "ENDS_NEVER": False,  # although 29 00 said so
}


class Authentication:
    """Who has proven to know the secret."""

    def __init__(self, spec, behaviour):
        self.spec, self.does = spec, BEHAVIOUR | {k: v for k, v in behaviour.items() if k in BEHAVIOUR}
        self.secret = bytes.fromhex(spec["secret"])
        self.records = {r["did"]: r["length"] for r in spec["records"]}
        self.proven, self.wanted = False, None

    def end(self):
        """A session has ended, or a life of the device."""
        self.wanted = None
        if not self.does["OUTLIVES_SESSION"]:
            self.proven = False

    def value(self, did):
        """What a protected record reads."""
        if not self.proven and not self.does["READS_UNAUTHENTICATED"]:
            raise Refused(REQUIRED)
        return did.to_bytes(2, "big").rjust(self.records[did], b"\0")

    def service(self, now, request):
        what = request[1] & 0x7F
        if what == CHALLENGE:
            return self.challenge(now, request)
        if what == PROOF:
            return self.prove(request)
        if len(request) != 2:
            raise Refused(LENGTH)
        if what == CONFIGURATION:
            return bytes([0x69, what, SYMMETRIC])
        self.wanted = None
        if not self.does["ENDS_NEVER"]:
            self.proven = False
        return bytes([0x69, END, ENDED])

    def challenge(self, now, request):
        if len(request) != 19:
            raise Refused(LENGTH)
        if request[3:19] != HMAC_SHA256:
            raise Refused(RANGE)
        moment = 0 if self.does["CHALLENGE_REPEATS"] else now
        length = self.spec.get("challenge_length", 16)
        self.wanted = hashlib.shake_256(self.secret + moment.to_bytes(8, "big")).digest(length)
        return bytes([0x69, CHALLENGE, ACCEPTED]) + HMAC_SHA256 + length.to_bytes(2, "big") + self.wanted + bytes(2)

    def prove(self, request):
        if len(request) < 24 or len(request) != 24 + int.from_bytes(request[18:20], "big"):
            raise Refused(LENGTH)  # of a proof, no challenge back, and nothing more
        if self.wanted is None:
            raise Refused(SEQUENCE)
        right = hmac.compare_digest(bytes(request[20:-4]), hmac.digest(self.secret, self.wanted, "sha256"))
        if not self.does["CHALLENGE_STAYS"]:
            self.wanted = None
        if not right and not self.does["ANY_PROOF"]:
            raise Refused(NOT_OWNER)
        self.proven = True
        return bytes([0x69, PROOF, AUTHENTICATED]) + HMAC_SHA256 + bytes(2)
