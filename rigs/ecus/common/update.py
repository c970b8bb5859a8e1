"""Take a new application (ISO 14229-1, 15): two slots, of which the one that runs is never written to; packages that are signed.

A package: magic, hardware, rollback index, kind, length of the payload, version, SHA-256 of the payload, the Ed25519 signature of all
that, the payload. A slot that was activated runs on trial: it is given up when its application did not get ready in so many boots.
"""

import hashlib
import json
import os
import struct
from contextlib import suppress

from . import ed25519
from .diagnostics import (
    CONDITIONS,
    DENIED,
    LENGTH,
    NO_SUBFUNCTION,
    PROGRAMMING,
    RANGE,
    SEQUENCE,
    Later,
    Refused,
)

HEAD = struct.Struct(">4sHHBI16s32s")
MAGIC, SIGNATURE = b"SHPI", 64
NEVER_READY = 1
FACTORY = ""  # what a slot holds that was never written to
SLOT_BYTES = 65536
BLOCK = 130  # service, counter and data of one transfer
WRONG_COUNTER = 0x73
NO_VERSION = "half"
BEHAVIOUR = {  # what a build may differ in
    "KEEPS_OLD": False,
    "TRANSFERS_UNASKED": False,
    "LOCKED_TRANSFERS": False,
    "ANY_COUNTER": False,
    "REPEATS_WRITE": False,
    "ANY_SIZE": False,
    "EXITS_EARLY": False,
    "CHECKS_DIGEST": True,
    "KEYS_BESIDES": (),
    "TAKES_OLDER": False,
    "ANY_HARDWARE": False,
    "RUNS_HALF": False,
    "TRANSFER_OUTLIVES_SESSION": False,
    "MOST_BOOTS": 2,
    "PROGRAMS_ANYTIME": False,
    "NEVER_CONFIRMS": False,
    "SILENT_WHILE_PROGRAMMING": False,
    "STUCK_AFTER_REFUSAL": False,
    "ROUTINES_ANYWHERE": False,
    "ASKS_NOBODY": False,
    "ERASE_MS": 150,
}


class Package:
    """What a slot holds, as far as it says it."""

    def __init__(self, data):
        self.whole = len(data) >= HEAD.size + SIGNATURE
        if not self.whole:
            return
        _, self.hardware, self.index, self.kind, length, version, self.digest = HEAD.unpack_from(data)
        self.magic = data[:4]
        self.version = version.rstrip(b"\0").decode("ascii", "replace")
        self.signed, self.signature = data[: HEAD.size], data[HEAD.size : HEAD.size + SIGNATURE]
        self.payload = data[HEAD.size + SIGNATURE :]
        self.whole = self.magic == MAGIC and len(self.payload) == length


class Slots:
    """Two slots and which of them runs, in a file of the device's own; without a place for one they are forgotten with power."""

    def __init__(self):
        home = os.environ.get("HOME")
        self.file = os.path.join(home, "slots.json") if home else None
        self.held, self.runs, self.wanted, self.tries, self.confirmed = [FACTORY, FACTORY], 0, 0, 0, True
        if self.file:
            with suppress(OSError, ValueError), open(self.file) as source:
                self.held, self.runs, self.wanted, self.tries, self.confirmed = json.load(source)

    def keep(self):
        """All of it at once or nothing: power may go at any time."""
        if self.file:
            with open(f"{self.file}.new", "w") as sink:
                json.dump([self.held, self.runs, self.wanted, self.tries, self.confirmed], sink)
            os.replace(f"{self.file}.new", self.file)

    def data(self, slot):
        return bytes.fromhex(self.held[slot])

    def write(self, data):
        self.held[1 - self.runs] += data.hex()
        self.keep()

    def erase(self):
        self.held[1 - self.runs] = FACTORY
        self.keep()

    def activate(self):
        """From the next boot on the other one runs."""
        self.wanted = 1 - self.runs
        self.keep()

    def boot(self, most):
        """Another boot of what runs; what was tried too often is given up."""
        if self.wanted != self.runs:
            self.runs, self.tries, self.confirmed = self.wanted, 0, False
        if self.confirmed:
            return
        if self.tries >= most:
            self.runs = self.wanted = 1 - self.runs
            self.confirmed = True
        else:
            self.tries += 1
        self.keep()

    def confirm(self):
        self.confirmed = True
        self.keep()


class Update:
    """The services of the programming session."""

    def __init__(self, spec, version, behaviour):
        self.spec, self.factory = spec, version
        self.does = BEHAVIOUR | behaviour
        self.slots = Slots()
        self.routines = {spec["erase"]: self.erase, spec["check"]: self.check, spec["activate"]: self.activate}
        self.stuck = False
        self.forget()

    def forget(self):
        """Whatever was under way is over."""
        self.erased = self.asked = self.whole = self.good = self.agreed = False
        self.at = self.end = self.counter = 0

    def boot(self):
        """A life of the device begins: what runs now."""
        self.forget()
        self.stuck = False
        other = 1 - self.slots.runs
        if self.does["RUNS_HALF"] and self.slots.held[other] and not self.package(other).whole:
            self.slots.activate()
        self.slots.boot(self.does["MOST_BOOTS"])

    def package(self, slot):
        return Package(self.slots.data(slot))

    def running(self):
        """(version, whether it gets ready)."""
        if self.slots.held[self.slots.runs] == FACTORY:
            return self.factory, True
        found = self.package(self.slots.runs)
        return (found.version, found.kind != NEVER_READY) if found.whole else (NO_VERSION, True)

    def driver(self, agrees):
        """The driver has answered; before there is something to answer to it counts for nothing."""
        self.agreed = agrees and self.good

    def is_ready(self):
        """Its application has got ready: the trial is over."""
        if not self.slots.confirmed and not self.does["NEVER_CONFIRMS"]:
            self.slots.confirm()

    def left(self):
        """The session has changed: what has come of a package is of no use to anybody."""
        if self.does["TRANSFER_OUTLIVES_SESSION"]:
            return
        if self.asked:
            self.slots.erase()
        self.forget()

    # ------------------------------------------------------------ routines

    def routine(self, server, request):
        if server.current != PROGRAMMING and not self.does["ROUTINES_ANYWHERE"]:
            raise Refused(RANGE)
        if request[1] & 0x7F != 1:
            raise Refused(NO_SUBFUNCTION)
        if len(request) != 4:
            raise Refused(LENGTH)
        if not server.unlocked:
            raise Refused(DENIED)
        head = bytes([0x71, 1, *request[2:4]])
        return self.routines[int.from_bytes(request[2:4], "big")](head)

    def erase(self, head):
        if self.stuck:
            raise Refused(CONDITIONS)
        self.forget()
        self.slots.erase()
        self.erased = True
        return Later(self.does["ERASE_MS"], head + b"\0")

    def check(self, head):
        if not self.whole:
            raise Refused(SEQUENCE)
        self.good = self.holds(self.package(1 - self.slots.runs))
        if not self.good:
            self.slots.erase()
        self.stuck = self.does["STUCK_AFTER_REFUSAL"] and not self.good
        return head + bytes([0 if self.good else 1])

    def holds(self, package):
        """Whether a package may run here."""
        if not package.whole:
            return False
        keys = [self.spec["key"], *self.does["KEYS_BESIDES"]]
        signed = any(ed25519.holds(bytes.fromhex(k), package.signed, package.signature) for k in keys)
        same = hashlib.sha256(package.payload).digest() == package.digest or not self.does["CHECKS_DIGEST"]
        here = package.hardware == self.spec["hardware"] or self.does["ANY_HARDWARE"]
        young = package.index >= self.spec["index"] or self.does["TAKES_OLDER"]
        return signed and same and here and young

    def activate(self, head):
        if not self.good or (self.spec.get("consent") and not self.agreed and not self.does["ASKS_NOBODY"]):
            raise Refused(CONDITIONS)
        if not self.does["KEEPS_OLD"]:
            self.slots.activate()
        self.forget()
        return head + b"\0"

    # ------------------------------------------------------------ transfer

    def download(self, server, request):
        if len(request) < 3 or request[2] != 0x44 or len(request) != 11:
            raise Refused(LENGTH if len(request) < 3 or request[2] == 0x44 else RANGE)
        if not server.unlocked:
            raise Refused(DENIED)
        address, size = struct.unpack_from(">II", request, 3)
        if (request[1] or address != self.spec["address"] or not 0 < size <= SLOT_BYTES) and not self.does["ANY_SIZE"]:
            raise Refused(RANGE)
        if not self.erased:
            raise Refused(CONDITIONS)
        self.erased, self.asked, self.at, self.end, self.counter = False, True, 0, size, 0
        return bytes([0x74, 0x20]) + BLOCK.to_bytes(2, "big")

    def transfer(self, server, request):
        if not 2 < len(request) <= BLOCK:
            raise Refused(LENGTH)
        if not server.unlocked and not self.does["LOCKED_TRANSFERS"]:
            raise Refused(DENIED)
        if not self.asked:
            if self.does["TRANSFERS_UNASKED"] or (self.does["LOCKED_TRANSFERS"] and not server.unlocked):
                return bytes([0x76, request[1]])
            raise Refused(SEQUENCE)
        again = bool(self.counter) and request[1] == self.counter & 255  # its answer was lost
        if again and not self.does["REPEATS_WRITE"]:
            return bytes([0x76, request[1]])
        if request[1] != (self.counter + 1) & 255 and not again and not self.does["ANY_COUNTER"]:
            raise Refused(WRONG_COUNTER)
        data = bytes(request[2:])
        if self.at + len(data) > self.end:
            raise Refused(RANGE)
        self.slots.write(data)
        self.at, self.counter = self.at + len(data), self.counter if again else self.counter + 1
        return bytes([0x76, request[1]])

    def finish(self, server, request):
        if len(request) != 1:
            raise Refused(LENGTH)
        if not server.unlocked:
            raise Refused(DENIED)
        if not self.asked or (self.at != self.end and not self.does["EXITS_EARLY"]):
            raise Refused(SEQUENCE)
        self.asked, self.whole = False, True
        return b"\x77"
