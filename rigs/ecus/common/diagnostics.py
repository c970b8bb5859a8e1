"""UDS (ISO 14229-1) on the device's side: sessions, reset, identification, security, tester present. Without a clock.

What more a device can do, it adds to `services`: service identifier -> function(now, request) -> answer, or raise Refused.
"""

import hashlib
import hmac

from .transport import MS, Transport

EXT = 2
DEFAULT, PROGRAMMING, EXTENDED = 1, 2, 3
S3_NS = 5000 * MS
P2_MS, P2_STAR_MS = 50, 5000
MOST_TRIES, LOCKED_NS = 3, 10_000 * MS
NOT_SUPPORTED, NO_SUBFUNCTION, LENGTH, CONDITIONS, SEQUENCE = 0x11, 0x12, 0x13, 0x22, 0x24
RANGE, DENIED, WRONG_KEY, TOO_MANY, TOO_SOON = 0x31, 0x33, 0x35, 0x36, 0x37
PENDING, NOT_IN_SESSION = 0x78, 0x7F


class Refused(Exception):
    """A negative response code."""

    def __init__(self, code):
        self.code = code


def key_of(seed, secret):
    """The key to a seed."""
    return hmac.new(secret, seed, hashlib.sha256).digest()[:4]


class Server:
    """One diagnostic server behind one pair of identifiers."""

    def __init__(self, spec, identification, leave):
        """`leave(what)` is called to "reset" and for "programming"; asked "where to program?" it says here, elsewhere or nowhere."""
        self.spec, self.identification, self.leave = spec, identification, leave
        self.transport = Transport(spec["padding"])
        self.secret = bytes.fromhex(spec.get("secret", "")) or b"shipei reference"
        self.services = {0x10: self.session, 0x11: self.reset, 0x22: self.read, 0x27: self.security, 0x3E: self.present}
        self.locked_ns = None
        self.restart(0)

    def restart(self, now, session=DEFAULT):
        self.transport.forget()
        self.current, self.heard_ns, self.unlocked, self.seed, self.tries = session, now, False, None, 0
        self.after = None  # what to do once the answer is on the bus

    # ------------------------------------------------------------ frames

    def receive(self, now, data):
        """A frame with the request's identifier; returns frames to send."""
        request, frames = self.transport.receive(now, data)
        answer = self.answer(now, request) if request else None
        return [self.frame(now, f) for f in frames] + (self.reply(now, answer) if answer else [])

    def reply(self, now, answer):
        return [self.frame(now, f) for f in self.transport.send(now, answer)]

    def step(self, now):
        """What is due by now: frames; and a session that nobody keeps alive ends."""
        if self.current != DEFAULT and now - self.heard_ns > S3_NS:
            self.restart(now)
        frames = [self.frame(now, f) for f in self.transport.due(now)]
        if self.after and not self.transport.going:
            what, self.after = self.after, None
            self.leave(what)
        return frames

    def due_ns(self):
        """When it wants to run next by itself."""
        found = 1 << 62
        if self.after is not None:
            found = 0
        if self.transport.going and self.transport.due_ns is not None:
            found = min(found, self.transport.due_ns)
        return min(found, self.heard_ns + S3_NS + MS) if self.current != DEFAULT else found

    def frame(self, now, data):
        return now, self.spec["response"], EXT if self.spec["extended"] else 0, data

    def is_mine(self, identifier, extended):
        return (identifier, extended) == (self.spec["request"], self.spec["extended"])

    # ------------------------------------------------------------ requests

    def answer(self, now, request):
        self.heard_ns = now
        service = self.services.get(request[0])
        try:
            if service is None:
                raise Refused(NOT_SUPPORTED)
            return service(now, request)
        except Refused as refused:
            return bytes([0x7F, request[0], refused.code])

    @staticmethod
    def subfunction(request, known, length=2):
        """(sub-function, whether its positive answer is suppressed)."""
        if len(request) != length:
            raise Refused(LENGTH)
        if request[1] & 0x7F not in known:
            raise Refused(NO_SUBFUNCTION)
        return request[1] & 0x7F, bool(request[1] & 0x80)

    def session(self, now, request):
        wanted, quiet = self.subfunction(request, (DEFAULT, PROGRAMMING, EXTENDED))
        where = self.leave("where to program?") if wanted == PROGRAMMING else "here"
        if where == "elsewhere":  # whoever takes over gives the final answer
            self.after = "programming"
            return bytes([0x7F, 0x10, PENDING])
        if where != "here":
            raise Refused(CONDITIONS)
        self.current, self.unlocked, self.seed = wanted, False, None
        return None if quiet else self.entered(wanted)

    @staticmethod
    def entered(session):
        return bytes([0x50, session]) + P2_MS.to_bytes(2, "big") + (P2_STAR_MS // 10).to_bytes(2, "big")

    def reset(self, now, request):
        wanted, quiet = self.subfunction(request, (1, 3))
        self.after = "reset"
        return None if quiet else bytes([0x51, wanted])

    def present(self, now, request):
        _, quiet = self.subfunction(request, (0,))
        return None if quiet else b"\x7e\x00"

    def read(self, now, request):
        if len(request) < 3 or len(request) % 2 == 0:
            raise Refused(LENGTH)
        found = b""
        for at in range(1, len(request), 2):
            identifier = int.from_bytes(request[at : at + 2], "big")
            value = self.current.to_bytes(1, "big") if identifier == 0xF186 else self.identification.get(identifier)
            if value is not None:
                found += request[at : at + 2] + value
        if not found:
            raise Refused(RANGE)
        return b"\x62" + found

    def security(self, now, request):
        if self.current == DEFAULT:
            raise Refused(NOT_IN_SESSION)
        if len(request) < 2:
            raise Refused(LENGTH)
        if request[1] == 1:
            return self.give_seed(now, request)
        if request[1] == 2:
            return self.take_key(now, request)
        raise Refused(NO_SUBFUNCTION)

    def give_seed(self, now, request):
        if len(request) != 2:
            raise Refused(LENGTH)
        if self.locked_ns is not None and now < self.locked_ns:
            raise Refused(TOO_SOON)
        if self.unlocked:
            return bytes([0x67, 1, 0, 0, 0, 0])
        self.seed = hashlib.sha256(self.secret + now.to_bytes(8, "big")).digest()[:4]
        return bytes([0x67, 1]) + self.seed

    def take_key(self, now, request):
        if self.seed is None:
            raise Refused(SEQUENCE)
        if len(request) != 6:
            raise Refused(LENGTH)
        right, self.seed = hmac.compare_digest(bytes(request[2:]), key_of(self.seed, self.secret)), None
        if right:
            self.unlocked, self.tries = True, 0
            return b"\x67\x02"
        self.tries += 1
        if self.tries >= MOST_TRIES:
            self.tries, self.locked_ns = 0, now + LOCKED_NS
            raise Refused(TOO_MANY)
        raise Refused(WRONG_KEY)
