"""The diagnostic services of an application (ISO 14229-1), by the table of its interface: data, trouble codes, communication, routines."""

from . import authentication, diagnostics, transport, update
from .diagnostics import (
    CONDITIONS,
    DEFAULT,
    DENIED,
    LENGTH,
    NO_SUBFUNCTION,
    NOT_IN_SESSION,
    NOT_SUPPORTED,
    PROGRAMMING,
    RANGE,
    SEQUENCE,
    Later,
    Refused,
    Server,
)
from .memory import ALL, AVAILABLE, Kept, Memory
from .transport import MS

SNAPSHOT = 0x01  # the one record of a trouble code
STARTING_MS = 1000  # after its start, while its partners may start too, nothing is a trouble
NORMAL, MANAGEMENT = 1, 2  # bits of a communication type
BEHAVIOUR = {  # what a build may differ in
    "HIDDEN_SERVICES": (),  # answered although nobody declared them
    "EVERYWHERE": (),  # services that do not look at the session
    "ANY_SUBFUNCTION": (),  # services that do not look at the sub-function
    "DIDS_BESIDES": (),
    "DATA_CUT": 0,  # bytes that a record is too short
    "WRITES_LOCKED": False,
    "WRITES_ANY_LENGTH": False,
    "FORGETS": False,  # what was written, when power goes
    "STAYS_SILENT": False,  # after a session with silenced communication
    "SILENCES_NOTHING": False,
    "TROUBLE_MS": 300,  # until a lost message is a trouble code
    "CLEARS_NOTHING": False,
    "HEALING_CLEARS": False,
    "UPDATES_ANYWAY": False,  # although 85 02 said not to
    "STAYS_OFF": False,  # 85 02 outlives its session
    "SNAPSHOTS": True,
    "CLEARS_ANY_GROUP": False,
    "STOPS_ANYTHING": False,
    "PENDING_MS": 1500,
    "LENGTH_BEFORE_SESSION": False,
    "CONFUSED": False,  # by a request that it refused for its sub-function
    "COUNTS_ALL": False,
    "TROUBLES_STAY": True,  # when power goes
    "AGES_AFTER": None,  # cycles, where it is not as declared
    "SILENT_PAST_S3": False,
}


class Application(Server):
    """The server of an application: what its interface declares, by session, sub-function and security."""

    def __init__(self, spec, leave, uptime, behaviour):
        """`uptime(now)` in ms; `behaviour` is what this build differs in."""
        known = diagnostics.BEHAVIOUR | transport.BEHAVIOUR | update.BEHAVIOUR | authentication.BEHAVIOUR | BEHAVIOUR
        unknown = sorted(set(behaviour) - set(known))
        if unknown:
            raise KeyError(unknown)
        self.table = {s["sid"]: {"sessions": [1, 3], "subfunctions": []} | s for s in spec.get("services", ())}
        self.declared = {d["did"]: d for d in spec.get("data", ())}
        self.routines = {r["rid"]: {"takes_s": 0} | r for r in spec.get("routines", ())}
        self.uptime, self.kept = uptime, Kept(not behaviour.get("FORGETS"))
        ages_after = behaviour.get("AGES_AFTER") or spec.get("ageing_cycles")
        stays = self.kept if behaviour.get("TROUBLES_STAY", True) else None
        self.memory = Memory([t["code"] for t in spec.get("troubles", ())], ages_after, stays)
        texts = {one["did"]: one["text"].encode() for one in spec["identification"]}
        flashing, declared = spec.get("flashing"), spec.get("authentication")
        self.authentication = authentication.Authentication(declared, behaviour) if declared else None
        told = next(iter(texts.values()), b"").decode()
        self.update = update.Update(flashing, told, behaviour) if flashing else None
        super().__init__(spec, texts, leave, update.BEHAVIOUR | BEHAVIOUR | behaviour)
        more = {0x14: self.clear, 0x19: self.report, 0x28: self.control, 0x2E: self.write, 0x31: self.routine, 0x85: self.setting}  # fmt: skip
        if self.authentication:
            more[0x29] = self.authentication.service
        if self.update:
            more |= {0x34: self.download, 0x36: self.transfer, 0x37: self.finish}
        self.services |= {sid: service for sid, service in more.items() if sid in self.table}

    def restart(self, now, session=DEFAULT):
        super().restart(now, session)
        if self.does["LOCK_SURVIVES_RESET"]:
            self.locked_ns = self.kept.locked_ns()
        self.silenced, self.settings_off, self.started, self.confused = 0, False, {}, False
        if self.authentication:
            self.authentication.end()
        self.memory.new_cycle()

    def lock(self, until_ns):
        super().lock(until_ns)
        self.kept.lock(until_ns)

    def expire(self, now):
        silenced = self.silenced
        super().expire(now)
        if self.does["SILENT_PAST_S3"]:
            self.silenced = silenced

    def enter(self, now, session):
        super().enter(now, session)
        if self.update:
            self.update.left()
        if self.authentication:
            self.authentication.end()
        if session == DEFAULT:
            if not self.does["STAYS_SILENT"]:
                self.silenced = 0
            if not self.does["STAYS_OFF"]:
                self.settings_off = False

    # ------------------------------------------------------------ before a service

    def answer(self, now, request):
        confused, self.confused = self.confused and self.does["CONFUSED"], False
        try:
            if confused and request[0] == 0x22:
                raise Refused(CONDITIONS)
            if request[0] in self.does["HIDDEN_SERVICES"]:
                return bytes([request[0] + 0x40])
            if self.table:
                self.check(request)
        except Refused as refused:
            self.heard_ns, self.confused = now, refused.code == NO_SUBFUNCTION
            return bytes([0x7F, request[0], refused.code])
        return super().answer(now, request)

    def check(self, request):
        """Service, session, length, sub-function: in this order."""
        sid = request[0]
        found = self.table.get(sid)
        if found is None:
            raise Refused(NOT_SUPPORTED)
        if self.does["LENGTH_BEFORE_SESSION"] and len(request) < 2:
            raise Refused(LENGTH)
        if self.current not in found["sessions"] and sid not in self.does["EVERYWHERE"]:
            raise Refused(NOT_IN_SESSION)
        if found["subfunctions"]:
            if len(request) < 2:
                raise Refused(LENGTH)
            if request[1] & 0x7F not in found["subfunctions"] and sid not in self.does["ANY_SUBFUNCTION"]:
                raise Refused(NO_SUBFUNCTION)

    def main(self, now, lost):
        """Once a tick: `lost(message)` says which messages do not come."""
        if self.uptime(now) < STARTING_MS:
            return
        for one in self.spec.get("troubles", ()):
            if self.settings_off and not self.does["UPDATES_ANYWAY"]:
                continue
            self.memory.watch(now, one["code"], lost(one["lost"]), self.does["TROUBLE_MS"] * MS, self.uptime(now))
            if self.does["HEALING_CLEARS"] and not lost(one["lost"]):
                self.memory.clear(one["code"])

    def may_send(self, management):
        """Whether communication is silenced for this kind of message."""
        if self.does["SILENT_WHILE_PROGRAMMING"] and self.current == PROGRAMMING:
            return False
        return not self.silenced & (MANAGEMENT if management else NORMAL)

    # ------------------------------------------------------------ data

    def value(self, identifier):
        if identifier in self.does["DIDS_BESIDES"]:
            return b"\0"
        if self.update and identifier == self.spec["flashing"]["did"]:
            return self.update.running()[0].encode()
        if self.authentication and identifier in self.authentication.records:
            return self.authentication.value(identifier)
        found = self.declared.get(identifier)
        if found is None:
            return super().value(identifier)
        if identifier not in self.identification and identifier != 0xF186:
            return self.kept.get(identifier, found["length"])[0 if found.get("writable") else self.does["DATA_CUT"] :]
        return super().value(identifier)

    def write(self, now, request):
        if len(request) < 4:
            raise Refused(LENGTH)
        identifier = int.from_bytes(request[1:3], "big")
        found = self.declared.get(identifier)
        if found is None or not found.get("writable"):
            raise Refused(RANGE)
        if len(request) != 3 + found["length"] and not self.does["WRITES_ANY_LENGTH"]:
            raise Refused(LENGTH)
        if found.get("security") and not self.unlocked and not self.does["WRITES_LOCKED"]:
            raise Refused(DENIED)
        self.kept.put(identifier, bytes(request[3 : 3 + found["length"]]).ljust(found["length"], b"\0"))
        return bytes([0x6E, *request[1:3]])

    # ------------------------------------------------------------ trouble codes

    def clear(self, now, request):
        self.exactly(request, 4)
        group = int.from_bytes(request[1:4], "big")
        if group != ALL and group not in self.memory.codes and not self.does["CLEARS_ANY_GROUP"]:
            raise Refused(RANGE)
        if not self.does["CLEARS_NOTHING"]:
            self.memory.clear(group)
        return b"\x54"

    def report(self, now, request):
        what, head = request[1] & 0x7F, bytes([0x59, request[1] & 0x7F])
        self.exactly(request, {1: 3, 2: 3, 4: 6, 0x0A: 2}[what])
        if what == 4:
            return head + self.snapshot(int.from_bytes(request[2:5], "big"), request[5])
        if what == 0x0A:
            return head + bytes([AVAILABLE]) + b"".join(self.memory.told(c) for c in self.memory.codes)
        found = [c for c in self.memory.codes if self.memory.status[c] & AVAILABLE & request[2]]
        if what == 1:
            count = len(self.memory.codes if self.does["COUNTS_ALL"] else found)
            return head + bytes([AVAILABLE, 1]) + count.to_bytes(2, "big")
        return head + bytes([AVAILABLE]) + b"".join(self.memory.told(c) for c in found)

    def snapshot(self, code, record):
        """When the trouble was first seen: one identifier, the uptime in ms."""
        if code not in self.memory.codes or record not in (SNAPSHOT, 0xFF):
            raise Refused(RANGE)
        frozen = self.memory.frozen.get(code) if self.does["SNAPSHOTS"] else None
        said = self.memory.told(code)
        did = self.spec.get("snapshot", {}).get("did", 0)
        return (
            said if frozen is None else said + bytes([SNAPSHOT, 1]) + did.to_bytes(2, "big") + frozen.to_bytes(4, "big")
        )

    def setting(self, now, request):
        wanted, quiet = self.subfunction(request, (1, 2))
        self.settings_off = wanted == 2
        return None if quiet else bytes([0xC5, wanted])

    # ------------------------------------------------------------ programming

    def download(self, now, request):
        return self.update.download(self, request)

    def transfer(self, now, request):
        return self.update.transfer(self, request)

    def finish(self, now, request):
        return self.update.finish(self, request)

    # ------------------------------------------------------------ communication, routines

    def control(self, now, request):
        wanted, quiet = self.subfunction(request, (0, 3), 3)
        kinds = request[2]
        if kinds not in (NORMAL, NORMAL | MANAGEMENT):
            raise Refused(RANGE)
        self.silenced = kinds if wanted == 3 and not self.does["SILENCES_NOTHING"] else 0
        return None if quiet else bytes([0x68, wanted])

    def routine(self, now, request):
        if len(request) < 4:
            raise Refused(LENGTH)
        what, identifier = request[1] & 0x7F, int.from_bytes(request[2:4], "big")
        if self.update and identifier in self.update.routines:
            return self.update.routine(self, request)
        found = self.routines.get(identifier)
        if found is None:
            raise Refused(RANGE)
        self.exactly(request, 4)
        if found.get("security") and not self.unlocked:
            raise Refused(DENIED)
        if what != 1 and identifier not in self.started and not self.does["STOPS_ANYTHING"]:
            raise Refused(SEQUENCE)
        head = bytes([0x71, what, *request[2:4]])
        if what == 1:
            self.started[identifier] = now
            return Later(self.does["PENDING_MS"], head + b"\0") if found["takes_s"] else head + b"\0"
        if what == 2:
            self.started.pop(identifier, None)
        return head + b"\0"
