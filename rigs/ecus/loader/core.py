"""The boot loader: a short life if a slot is valid; else, or when asked, a UDS server that takes a new image.

The sequence: 10 02, 27, 31 01 FF00 (erase), 34, 36 ..., 37, 31 01 0202 (check, with the image's SHA-256), 31 01 FF01 (activate), 11 01.
"""

import hashlib

from common.diagnostics import (
    CONDITIONS,
    DENIED,
    LENGTH,
    NO_SUBFUNCTION,
    NOT_IN_SESSION,
    PROGRAMMING,
    RANGE,
    SEQUENCE,
    Refused,
    Server,
)
from common.transport import MS

from .flash import SLOT_BYTES

ERASE, CHECK, ACTIVATE = 0xFF00, 0x0202, 0xFF01
BLOCK = 1026  # service, counter and data of one transfer
WRONG_COUNTER, PROGRAMMING_FAILED = 0x73, 0x72
BOOT_MS = 20
VERSION = b"loader 4.0"


class Loader:
    """Frames and time come in, frames and console lines go out; `leaves` says when and to where it ends."""

    tick_ns = 1 << 62

    def __init__(self, spec, flash):
        self.flash = flash
        self.server = Server(spec, {0xF180: VERSION, 0xF189: b"no application"}, self.leave)
        self.server.services |= {0x31: self.routine, 0x34: self.download, 0x36: self.transfer, 0x37: self.transfer_exit}
        self.leaves = None

    def start(self, now):
        self.started_ns = self.due_ns = now
        self.first = []
        self.stays = self.flash.programming_asked()
        active = self.flash.active()
        if active is None and not self.stays:
            self.lines = [(now, f"boot: {VERSION.decode()}"), (now, "boot: no valid application, waiting for one")]
        elif self.stays:
            self.lines = [(now, f"boot: {VERSION.decode()}"), (now, "boot: programming")]
            self.server.restart(now, PROGRAMMING)  # and answers what the application was asked
            self.first = self.server.reply(now, self.server.entered(PROGRAMMING))
        else:
            self.lines = []
        self.boots = None if self.stays else active
        self.slot, self.erased, self.at, self.end, self.counter, self.checked = None, False, 0, 0, 0, False

    def step(self, now, frames):
        """Run up to now; returns (frames to send, [(time_ns, console line)])."""
        sent, lines = self.first, self.lines
        self.first, self.lines = [], []
        for _, identifier, flags, data in frames:
            how = self.server.is_mine(identifier, bool(flags & 2))
            if self.boots is None and how:  # else it is on its way out
                sent += self.server.receive(now, data, how)
        sent += self.server.step(now)
        if self.boots and now >= self.started_ns + BOOT_MS * MS:
            self.leaves = ("boot", self.flash.image(self.boots))
        self.due_ns = self.started_ns + BOOT_MS * MS if self.boots else now + 10 * MS
        return sent, lines

    def leave(self, what):
        if what == "reset":
            self.leaves = ("reset", None)
        return "here"

    # ------------------------------------------------------------ services

    def programming(self):
        if self.server.current != PROGRAMMING:
            raise Refused(NOT_IN_SESSION)
        if not self.server.unlocked:
            raise Refused(DENIED)

    def routine(self, now, request):
        if len(request) < 4:
            raise Refused(LENGTH)
        self.programming()
        if request[1] != 1:
            raise Refused(NO_SUBFUNCTION)
        identifier, option = int.from_bytes(request[2:4], "big"), bytes(request[4:])
        done = {ERASE: self.erase, CHECK: self.check, ACTIVATE: self.activate}.get(identifier)
        if done is None:
            raise Refused(RANGE)
        return bytes([0x71, 1, *request[2:4]]) + done(option)

    def erase(self, option):
        self.slot = self.flash.spare()
        self.flash.erase(self.slot)
        self.erased, self.checked = True, False
        return b"\0"

    def check(self, option):
        if self.slot is None or self.end:
            raise Refused(SEQUENCE)
        if len(option) != 32:
            raise Refused(LENGTH)
        found = hashlib.sha256(self.flash.image(self.slot).read_bytes()).digest()
        self.checked = found == option
        if self.checked:
            self.flash.mark_valid(self.slot)
        return bytes([0 if self.checked else 1]) + found

    def activate(self, option):
        if not self.checked:
            raise Refused(CONDITIONS)
        self.flash.activate(self.slot)
        return b"\0"

    def download(self, now, request):
        if len(request) < 3:
            raise Refused(LENGTH)
        self.programming()
        size_bytes, address_bytes = request[2] >> 4, request[2] & 15
        if len(request) != 3 + size_bytes + address_bytes or not size_bytes or not address_bytes:
            raise Refused(LENGTH)
        address = int.from_bytes(request[3 : 3 + address_bytes], "big")
        size = int.from_bytes(request[3 + address_bytes :], "big")
        if request[1] != 0 or address != 0 or not 0 < size <= SLOT_BYTES:
            raise Refused(RANGE)
        if not self.erased:
            raise Refused(CONDITIONS)
        self.at, self.end, self.counter, self.erased = 0, size, 0, False
        return bytes([0x74, 0x20]) + BLOCK.to_bytes(2, "big")

    def transfer(self, now, request):
        self.programming()
        if not self.end:
            raise Refused(SEQUENCE)
        if not 2 < len(request) <= BLOCK:
            raise Refused(LENGTH)
        if self.counter and request[1] == self.counter & 255:  # the last block once more: its answer was lost
            return bytes([0x76, request[1]])
        if request[1] != (self.counter + 1) & 255:
            raise Refused(WRONG_COUNTER)
        data = bytes(request[2:])
        if self.at + len(data) > self.end:
            raise Refused(RANGE)
        self.flash.write(self.slot, self.at, data)
        self.at, self.counter = self.at + len(data), self.counter + 1
        return bytes([0x76, request[1]])

    def transfer_exit(self, now, request):
        self.programming()
        if not self.end or self.at != self.end:
            raise Refused(SEQUENCE)
        self.end = 0
        return b"\x77"
