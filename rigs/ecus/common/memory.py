"""What a device remembers: trouble codes with their status (ISO 14229-1, D.2), and data that power does not take away."""

import json
import os
from contextlib import suppress

ALL = 0xFFFFFF
FAILED, FAILED_THIS_CYCLE, PENDING, CONFIRMED = 0x01, 0x02, 0x04, 0x08
NOT_TESTED_SINCE_CLEAR, FAILED_SINCE_CLEAR, NOT_TESTED_THIS_CYCLE = 0x10, 0x20, 0x40
FRESH = NOT_TESTED_SINCE_CLEAR | NOT_TESTED_THIS_CYCLE
AVAILABLE = 0x7F
LOCK, TROUBLES = -1, -2  # where the lock of security access and the trouble codes are kept


class Memory:
    """Trouble codes, by their number; `ages_after` so many cycles without its failure one is not confirmed any more."""

    def __init__(self, codes, ages_after, kept=None):
        self.codes, self.ages_after, self.kept = list(codes), ages_after, kept
        self.status, self.age = dict.fromkeys(self.codes, FRESH), dict.fromkeys(self.codes, 0)
        self.since, self.frozen = {}, {}
        for code, status, age, frozen in kept.troubles() if kept else ():
            self.status[code], self.age[code] = status, age
            if frozen is not None:
                self.frozen[code] = frozen

    def remember(self):
        if self.kept:
            self.kept.put_troubles([[c, self.status[c], self.age[c], self.frozen.get(c)] for c in self.codes])

    def new_cycle(self):
        """An operation cycle begins."""
        self.since = {}
        for code in self.codes:
            before = self.status[code]
            status = before & ~(FAILED | FAILED_THIS_CYCLE) | NOT_TESTED_THIS_CYCLE
            if not before & (FAILED_THIS_CYCLE | NOT_TESTED_THIS_CYCLE):  # a whole cycle without it
                status &= ~PENDING
                self.age[code] += 1
            if self.ages_after and self.age[code] >= self.ages_after:
                status &= ~CONFIRMED
                self.frozen.pop(code, None)
            self.status[code] = status
        self.remember()

    def watch(self, now, code, failed, after_ns, uptime):
        """The test of a trouble, again and again; it has failed once it failed for so long."""
        before = self.status[code]
        if not failed:
            self.since.pop(code, None)
            self.status[code] &= ~(FAILED | FRESH)
        elif now - self.since.setdefault(code, now) >= after_ns:
            self.frozen.setdefault(code, uptime)
            self.age[code] = 0
            self.status[code] &= ~FRESH
            self.status[code] |= FAILED | FAILED_THIS_CYCLE | PENDING | CONFIRMED | FAILED_SINCE_CLEAR
        if self.status[code] != before:
            self.remember()

    def clear(self, group):
        for code in self.codes if group == ALL else [group]:
            if code in self.status:
                self.status[code], self.age[code] = FRESH, 0
                self.frozen.pop(code, None)
                self.since.pop(code, None)
        self.remember()

    def told(self, code):
        return code.to_bytes(3, "big") + bytes([self.status[code] & AVAILABLE])


class Kept:
    """Records by identifier, in a file of the device's own; without a place for one they are forgotten with power."""

    def __init__(self, stays):
        home = os.environ.get("HOME")
        self.file = os.path.join(home, "records.json") if home and stays else None
        self.records = {}
        if self.file:
            with suppress(OSError, ValueError), open(self.file) as source:
                self.records = {int(k): bytes.fromhex(v) for k, v in json.load(source).items()}

    def locked_ns(self):
        """Until when security access is locked."""
        return int.from_bytes(self.records.get(LOCK, b""), "big") or None

    def lock(self, until_ns):
        self.put(LOCK, until_ns.to_bytes(8, "big"))

    def troubles(self):
        """Trouble codes as they were kept last."""
        return json.loads(self.records.get(TROUBLES, b"[]"))

    def put_troubles(self, troubles):
        self.put(TROUBLES, json.dumps(troubles).encode())

    def get(self, identifier, length):
        return self.records.get(identifier, bytes(length))

    def put(self, identifier, value):
        """All of it at once or nothing: power may go at any time."""
        if self.records.get(identifier) == value:
            return
        self.records[identifier] = value
        if self.file:
            with suppress(OSError):
                with open(f"{self.file}.new", "w") as sink:
                    json.dump({str(k): v.hex() for k, v in self.records.items()}, sink)
                os.replace(f"{self.file}.new", self.file)
