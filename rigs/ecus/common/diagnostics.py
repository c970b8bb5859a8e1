"""UDS (ISO 14229-1) on the device's side: sessions, reset, identification, security, tester present. Without a clock.

What more a device can do, it adds to `services`: service identifier -> function(now, request) -> answer, or raise Refused; an answer that
takes its time is a Later.
"""

import hashlib
import hmac

from .transport import MS, Transport, addresses

EXT, FD, BRS = 2, 4, 8
DEFAULT, PROGRAMMING, EXTENDED = 1, 2, 3
NOT_SUPPORTED, NO_SUBFUNCTION, LENGTH, CONDITIONS, SEQUENCE = 0x11, 0x12, 0x13, 0x22, 0x24
RANGE, DENIED, WRONG_KEY, TOO_MANY, TOO_SOON = 0x31, 0x33, 0x35, 0x36, 0x37
PENDING, SUBFUNCTION_NOT_IN_SESSION, NOT_IN_SESSION = 0x78, 0x7E, 0x7F
NOT_TOLD_TO_ALL = (NOT_SUPPORTED, NO_SUBFUNCTION, RANGE, SUBFUNCTION_NOT_IN_SESSION, NOT_IN_SESSION)
DEAF_MS = 450
REST_MS, SLOW_MS = 60, 60  # of a build that leaks
PHYSICAL, FUNCTIONAL = "physical", "functional"
BEHAVIOUR = {  # what a build may differ in
    "S3_MS": 5000,
    "P2_MS": 50,  # as it says
    "P2_STAR_MS": 5000,
    "TAKES_OTHERS_ADDRESS": False,
    "STRAYS": False,  # a frame with another address byte follows a long answer's first
    "ANSWER_MS": 0,  # how long it thinks
    "PRESENT_KEEPS_SESSION": True,
    "MOST_TRIES": 3,
    "LOCKED_MS": 10_000,
    "LOCK_SURVIVES_RESET": True,
    "SESSION_RELOCKS": True,
    "ANY_KEY": False,
    "SEED_REPEATS": False,
    "OLD_KEYS": False,
    "SEED_ONCE": True,  # a key is tried once for each seed
    "RESETS_BEFORE_ANSWER": False,
    "SUPPRESSES": True,
    "TELLS_ALL": False,  # functional requests too are refused with a frame
    "ACCEPTS_LONG": False,
    "ONE_CHANNEL": False,  # for physical and functional requests
    "SESSIONS_BESIDES": (),  # told, and not entered
    "ZERO_WHEN_UNLOCKED": True,
    "READS_ONE": False,  # record of several
    "LEAKS_AFTER": None,  # so many requests after a rest each: from then on it is slow, until its session changes
    "DEAF_AFTER": None,  # a request of so many bytes, for a while
}


class Refused(Exception):
    """A negative response code."""

    def __init__(self, code):
        self.code = code


class Later:
    """An answer that takes its time: until then the response is pending."""

    def __init__(self, after_ms, answer):
        self.after_ms, self.answer = after_ms, answer


def key_of(seed, secret):
    """The key to a seed."""
    return hmac.new(secret, seed, hashlib.sha256).digest()[:4]


class Server:
    """One diagnostic server behind one pair of identifiers."""

    def __init__(self, spec, identification, leave, behaviour=None):
        """`leave(what)` is called to "reset" and for "programming"; asked "where to program?" it says here, elsewhere or nowhere."""
        self.spec, self.identification, self.leave = spec, identification, leave
        self.does = BEHAVIOUR | (behaviour or {})
        self.to_us, self.to_all, self.ahead = addresses(spec)
        self.transport = Transport(
            spec["padding"], behaviour=behaviour, ahead=len(self.ahead), fd=spec.get("fd", False)
        )
        self.flags = (EXT if spec["extended"] else 0) | (FD | BRS if spec.get("fd") else 0)
        keys = [level["key"]["secret"] for level in spec.get("security", ()) if level.get("key")]
        self.secret = bytes.fromhex(keys[0]) if keys else b"shipei reference"
        self.services = {0x10: self.session, 0x11: self.reset, 0x22: self.read, 0x27: self.security, 0x3E: self.present}
        self.locked_ns, self.tries, self.last_key = None, 0, None
        self.restart(0)

    def restart(self, now, session=DEFAULT):
        """A life of the device begins; what it may not forget stays."""
        self.transport.forget()
        self.current, self.heard_ns, self.unlocked, self.seed = session, now, False, None
        if not self.does["LOCK_SURVIVES_RESET"]:
            self.locked_ns, self.tries = None, 0
        self.rested, self.asked_ns = 0, now
        self.after = None  # what to do once the answer is on the bus
        self.deaf_until_ns = 0
        self.waiting = []  # answers for later: (when, answer)

    # ------------------------------------------------------------ frames

    def receive(self, now, data, how=PHYSICAL):
        """A frame with the request's identifier; returns frames to send."""
        address = self.to_all if how == FUNCTIONAL else self.to_us
        if not data.startswith(address) and not self.does["TAKES_OTHERS_ADDRESS"]:
            return []
        data = data[len(address) :]
        if how == FUNCTIONAL and not self.does["ONE_CHANNEL"]:
            request, frames = (
                self.transport.single(data),
                [],
            )  # to all, only what fits a frame; what is under way to us goes on
        else:
            request, frames = self.transport.receive(now, data)
        sent = [self.frame(now, f) for f in frames]
        if request is None or self.after:
            return sent
        if len(request) == self.does["DEAF_AFTER"]:
            self.deaf_until_ns = now + DEAF_MS * MS
        if now < self.deaf_until_ns:
            return sent
        answer = self.answer(now, request)
        if isinstance(answer, Later):
            self.waiting.append((now + answer.after_ms * MS, answer.answer))
            answer = bytes([0x7F, request[0], PENDING])
        if answer is None or (how == FUNCTIONAL and self.not_told(answer)):
            return sent
        delay_ms = SLOW_MS if self.leaked() else self.does["ANSWER_MS"]
        if delay_ms:
            self.waiting.append((now + delay_ms * MS, answer))
            return sent
        return sent + self.reply(now, answer)

    def leaked(self):
        return self.does["LEAKS_AFTER"] is not None and self.rested > self.does["LEAKS_AFTER"]

    def not_told(self, answer):
        return answer[0] == 0x7F and answer[2] in NOT_TOLD_TO_ALL and not self.does["TELLS_ALL"]

    def reply(self, now, answer):
        frames = [self.frame(now, f) for f in self.transport.send(now, answer)]
        if self.does["STRAYS"] and self.transport.going:
            frames.append((*frames[0][:3], bytes([self.ahead[0] ^ 1]) + frames[0][3][1:]))
        return frames

    def step(self, now):
        """What is due by now: frames; and a session that nobody keeps alive ends."""
        frames = []
        for entry in [w for w in self.waiting if w[0] <= now]:
            self.waiting.remove(entry)
            self.heard_ns = now
            frames += self.reply(now, entry[1])
        if self.current != DEFAULT and not self.waiting and now - self.heard_ns > self.does["S3_MS"] * MS:
            self.expire(now)
        frames += [self.frame(now, f) for f in self.transport.due(now)]
        if self.after and not self.transport.going and not self.waiting:
            what, self.after = self.after, None
            self.leave(what)
            if self.does["RESETS_BEFORE_ANSWER"]:
                frames = []
        return frames

    def due_ns(self):
        """When it wants to run next by itself."""
        found = min((at for at, _ in self.waiting), default=1 << 62)
        if self.after is not None and not self.transport.going and not self.waiting:
            found = 0
        found = min(found, self.transport.next_ns())
        expires = self.current != DEFAULT and not self.waiting
        return min(found, self.heard_ns + self.does["S3_MS"] * MS + MS) if expires else found

    def frame(self, now, data):
        return now, self.spec["response"], self.flags, self.ahead + data

    def is_mine(self, identifier, extended):
        """How a frame with this identifier speaks to us, if it does."""
        if extended != self.spec["extended"]:
            return None
        return {self.spec["request"]: PHYSICAL, self.spec.get("functional"): FUNCTIONAL}.get(identifier)

    # ------------------------------------------------------------ requests

    def answer(self, now, request):
        self.rested += now - self.asked_ns > REST_MS * MS
        self.asked_ns = now
        if request[0] != 0x3E or self.does["PRESENT_KEEPS_SESSION"]:
            self.heard_ns = now
        service = self.services.get(request[0])
        try:
            if service is None:
                raise Refused(NOT_SUPPORTED)
            return service(now, request)
        except Refused as refused:
            return bytes([0x7F, request[0], refused.code])

    def exactly(self, request, length):
        if len(request) < length or (len(request) > length and not self.does["ACCEPTS_LONG"]):
            raise Refused(LENGTH)

    def subfunction(self, request, known, length=2):
        """(sub-function, whether its positive answer is suppressed)."""
        self.exactly(request, length)
        if request[1] & 0x7F not in known:
            raise Refused(NO_SUBFUNCTION)
        return request[1] & 0x7F, bool(request[1] & 0x80) and self.does["SUPPRESSES"]

    def session(self, now, request):
        wanted, quiet = self.subfunction(request, (DEFAULT, PROGRAMMING, EXTENDED, *self.does["SESSIONS_BESIDES"]))
        where = self.leave("where to program?") if wanted == PROGRAMMING else "here"
        if where == "elsewhere":  # whoever takes over gives the final answer
            self.after = "programming"
            return bytes([0x7F, 0x10, PENDING])
        if where != "here":
            raise Refused(CONDITIONS)
        if wanted not in self.does["SESSIONS_BESIDES"]:
            self.enter(now, wanted)
        return None if quiet else self.entered(wanted)

    def expire(self, now):
        """Nobody has kept the session alive."""
        self.enter(now, DEFAULT)

    def enter(self, now, session):
        self.current, self.seed, self.rested = session, None, 0
        if self.does["SESSION_RELOCKS"]:
            self.unlocked = False

    def entered(self, session):
        told = self.does["P2_MS"].to_bytes(2, "big") + (self.does["P2_STAR_MS"] // 10).to_bytes(2, "big")
        return bytes([0x50, session]) + told

    def reset(self, now, request):
        wanted, quiet = self.subfunction(request, (1, 3))
        self.after = "reset"
        return None if quiet or self.does["RESETS_BEFORE_ANSWER"] else bytes([0x51, wanted])

    def present(self, now, request):
        _, quiet = self.subfunction(request, (0,))
        return None if quiet else b"\x7e\x00"

    def read(self, now, request):
        if len(request) < 3 or len(request) % 2 == 0:
            raise Refused(LENGTH)
        found = b""
        for at in range(1, 3 if self.does["READS_ONE"] else len(request), 2):
            identifier = int.from_bytes(request[at : at + 2], "big")
            value = self.value(identifier)
            if value is not None:
                found += request[at : at + 2] + value
        if not found:
            raise Refused(RANGE)
        return b"\x62" + found

    def value(self, identifier):
        """What an identifier reads, now."""
        return self.current.to_bytes(1, "big") if identifier == 0xF186 else self.identification.get(identifier)

    # ------------------------------------------------------------ security

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
        self.exactly(request, 2)
        if self.locked_ns is not None and now < self.locked_ns:
            raise Refused(TOO_SOON)
        if self.unlocked and self.does["ZERO_WHEN_UNLOCKED"]:
            return bytes([0x67, 1, 0, 0, 0, 0])
        moment = 0 if self.does["SEED_REPEATS"] else now
        self.seed = hashlib.sha256(self.secret + moment.to_bytes(8, "big")).digest()[:4]
        return bytes([0x67, 1]) + self.seed

    def take_key(self, now, request):
        if self.seed is None:
            raise Refused(SEQUENCE)
        self.exactly(request, 6)
        right = self.does["ANY_KEY"] or hmac.compare_digest(bytes(request[2:6]), key_of(self.seed, self.secret))
        if right or self.does["SEED_ONCE"]:
            self.seed = None
        right = right or (self.does["OLD_KEYS"] and bytes(request[2:6]) == self.last_key)
        if right:
            self.last_key = bytes(request[2:6])
            self.unlocked, self.tries = True, 0
            return b"\x67\x02"
        self.tries += 1
        if self.tries >= self.does["MOST_TRIES"]:
            self.lock(now + self.does["LOCKED_MS"] * MS)
            raise Refused(TOO_MANY)
        raise Refused(WRONG_KEY)

    def lock(self, until_ns):
        self.tries, self.locked_ns = 0, until_ns
