"""An ODX of what a submission declares (ISO 22901-1, 7.3), as an authoring tool would export it: for tests of reading one."""

import zipfile
from itertools import count

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<ODX MODEL-VERSION="2.2.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
STATES = {1: "Default", 2: "Programming", 3: "Extended"}
PARAMETERS = {
    "CP_CanFuncReqId": "functional",
    "CP_CanFillerByte": "padding",
    "CP_P2Max_Ecu": "p2_ms",
    "CP_P2Star_Ecu": "p2_star_ms",
    "CP_S3_Ecu": "s3_ms",
    "CP_CANFDTxMaxDataLength": "fd",
}
TABLE = {
    "CP_CanPhysReqFormat": "",
    "CP_CanPhysReqId": "request",
    "CP_CanPhysReqExtAddr": "target",
    "CP_CanRespUSDTId": "response",
    "CP_CanRespUSDTExtAddr": "source",
}


def write(file, told, name="Cockpit"):
    """A PDX with diagnostics and communication parameters in two documents, and something that is no ODX."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("index.xml", f"<CATALOG><SHORT-NAME>{name}</SHORT-NAME></CATALOG>")
        archive.writestr(f"{name}.odx-d", Layer(told, name).document())
        archive.writestr("CAN.odx-cs", comparams())
        archive.writestr("readme.txt", "not for us")
    return file


def named(tag, id_, name, inside):
    return f'<{tag} ID="{id_}"><SHORT-NAME>{name}</SHORT-NAME>{inside}</{tag}>'


def listed(tag, parts):
    return f"<{tag}>{''.join(parts)}</{tag}>" if parts else ""


def bytes_type(length, kind="A_BYTEFIELD"):
    return f'<DIAG-CODED-TYPE BASE-DATA-TYPE="{kind}" xsi:type="STANDARD-LENGTH-TYPE"><BIT-LENGTH>{8 * length}</BIT-LENGTH></DIAG-CODED-TYPE>'


def dop(id_, length):
    inside = f'<COMPU-METHOD><CATEGORY>IDENTICAL</CATEGORY></COMPU-METHOD>{bytes_type(length)}<PHYSICAL-TYPE BASE-DATA-TYPE="A_BYTEFIELD"/>'
    return named("DATA-OBJECT-PROP", id_, id_.replace(".", "_"), inside)


class Layer:
    """One base variant."""

    def __init__(self, told, name):
        self.told, self.name, self.ids = told, name, count(1)
        self.requests, self.answers, self.comms, self.lengths = [], [], [], set()
        for service in told.services:
            for label, constants, given, back in self.calls(service):
                self.add(label, service, constants, given, back)

    def calls(self, service):
        """(name, constant bytes after the identifier, length of what follows in the request, in the answer)."""
        sid, told = service.sid, self.told
        if sid in (0x22, 0x2E):
            for r in told.data:
                if sid == 0x22 or r.writable:
                    did = r.did.to_bytes(2, "big")
                    yield f"record_{sid:02X}_{r.did:04X}", did, *((0, r.length) if sid == 0x22 else (r.length, 0))
        elif sid == 0x27:
            for level in told.security:
                yield f"seed_{level.level}", bytes([level.level]), 0, level.seed_length
                yield f"key_{level.level}", bytes([level.level + 1]), level.key_length, 0
        elif sid == 0x31:
            for sub in service.subfunctions:
                for routine in told.routines:
                    yield f"routine_{sub}_{routine.rid:04X}", bytes([sub]) + routine.rid.to_bytes(2, "big"), 0, 1
        elif service.subfunctions:
            for sub in service.subfunctions:
                yield f"service_{sid:02X}_{sub:02X}", bytes([sub]), 0, 0
        else:
            yield f"service_{sid:02X}", b"", 0, 0

    def add(self, label, service, constants, given, back):
        n = next(self.ids)
        self.requests.append(
            named("REQUEST", f"RQ.{n}", f"RQ_{label}", self.parameters(bytes([service.sid]) + constants, given))
        )
        answer = self.parameters(bytes([service.sid + 0x40]) + constants, back)
        self.answers.append(named("POS-RESPONSE", f"PR.{n}", f"PR_{label}", answer))
        states = [f'<PRE-CONDITION-STATE-REF ID-REF="ST.{STATES[s]}"/>' for s in service.sessions]
        level = self.level(service.sid, constants)
        states += [f'<PRE-CONDITION-STATE-REF ID-REF="ST.Unlocked{level}"/>'] if level else []
        moves = []
        if service.sid == 0x10:
            moves = [f'<STATE-TRANSITION-REF ID-REF="TR.{STATES[constants[0]]}"/>']
        if service.sid == 0x27 and constants[0] % 2 == 0:
            moves = [f'<STATE-TRANSITION-REF ID-REF="TR.Unlocked{constants[0] - 1}"/>']
        inside = listed("PRE-CONDITION-STATE-REFS", states) + listed("STATE-TRANSITION-REFS", moves)
        inside += (
            f'<REQUEST-REF ID-REF="RQ.{n}"/><POS-RESPONSE-REFS><POS-RESPONSE-REF ID-REF="PR.{n}"/></POS-RESPONSE-REFS>'
        )
        self.comms.append(named("DIAG-SERVICE", f"DS.{n}", label, inside))

    def level(self, sid, constants):
        """The security level that a call needs."""
        if sid == 0x2E:
            return next(r.security for r in self.told.data if r.did == int.from_bytes(constants, "big"))
        if sid == 0x31:
            return next(r.security for r in self.told.routines if r.rid == int.from_bytes(constants[1:], "big"))
        return None

    def parameters(self, constants, more):
        found = [
            f'<PARAM xsi:type="CODED-CONST"><SHORT-NAME>c{at}</SHORT-NAME><BYTE-POSITION>{at}</BYTE-POSITION>'
            f"<CODED-VALUE>{value}</CODED-VALUE>{bytes_type(1, 'A_UINT32')}</PARAM>"
            for at, value in enumerate(constants)
        ]
        if more:
            self.lengths.add(more)
            found.append(
                f'<PARAM xsi:type="VALUE"><SHORT-NAME>content</SHORT-NAME><BYTE-POSITION>{len(constants)}</BYTE-POSITION>'
                f'<DOP-REF ID-REF="DOP.{more}"/></PARAM>'
            )
        return listed("PARAMS", found)

    def chart(self, semantic, start, states):
        moves = [
            named(
                "STATE-TRANSITION",
                f"TR.{s}",
                f"to_{s}",
                f'<SOURCE-SNREF SHORT-NAME="{start}"/><TARGET-SNREF SHORT-NAME="{s}"/>',
            )
            for s in states
        ]
        inside = f"<SEMANTIC>{semantic}</SEMANTIC>{listed('STATE-TRANSITIONS', moves)}"
        inside += f'<START-STATE-SNREF SHORT-NAME="{start}"/>{listed("STATES", [named("STATE", f"ST.{s}", s, "") for s in states])}'
        return named("STATE-CHART", f"SC.{semantic}", semantic.lower(), inside)

    def codes(self):
        """What it keeps, by its numbers."""
        dtcs = [
            f'<DTC ID="DTC.{t.code:06X}"><SHORT-NAME>DTC_{t.code:06X}</SHORT-NAME><TROUBLE-CODE>{t.code}</TROUBLE-CODE><TEXT>lost {t.lost}</TEXT></DTC>'
            for t in self.told.troubles
        ]
        inside = bytes_type(3, "A_UINT32") + '<PHYSICAL-TYPE BASE-DATA-TYPE="A_UINT32"/>'
        inside += f"<COMPU-METHOD><CATEGORY>IDENTICAL</CATEGORY></COMPU-METHOD>{listed('DTCS', dtcs)}"
        return listed("DTC-DOPS", [named("DTC-DOP", "DTCS", "codes", inside)] if dtcs else [])

    def references(self):
        def reference(name, value):
            return f'<COMPARAM-REF ID-REF="CP.{name}" DOCREF="CAN" DOCTYPE="COMPARAM-SUBSET">{value}</COMPARAM-REF>'

        def simple(value):
            return f"<SIMPLE-VALUE>{value}</SIMPLE-VALUE>"

        def figure(key):
            value = getattr(self.told, key)
            if key == "fd":
                return "TxMaxDataLength CANFD64" if value else "TxMaxDataLength CAN8"
            return round(1000 * value) if key.endswith("_ms") else value

        form = f"{self.told.addressing} segmented 11-bit"
        row = [simple((getattr(self.told, key) if key else form) or 0) for key in TABLE.values()]
        return [
            *(reference(name, simple(figure(key))) for name, key in PARAMETERS.items()),
            reference("CP_UniqueRespIdTable", listed("COMPLEX-VALUE", row)),
        ]

    def document(self):
        charts = [
            self.chart("SESSION", "Default", list(STATES.values())),
            self.chart("SECURITY", "Locked", ["Locked", *(f"Unlocked{s.level}" for s in self.told.security)]),
        ]
        inside = listed(
            "DIAG-DATA-DICTIONARY-SPEC",
            [self.codes(), listed("DATA-OBJECT-PROPS", [dop(f"DOP.{n}", n) for n in sorted(self.lengths)])],
        )
        inside += (
            listed("DIAG-COMMS", self.comms) + listed("REQUESTS", self.requests) + listed("POS-RESPONSES", self.answers)
        )
        inside += listed("STATE-CHARTS", charts) + listed("COMPARAM-REFS", self.references())
        layer = named("BASE-VARIANT", "BV.1", self.name, inside)
        container = named(
            "DIAG-LAYER-CONTAINER", "DLC.1", self.name + "Container", f"<BASE-VARIANTS>{layer}</BASE-VARIANTS>"
        )
        return f"{HEAD}{container}</ODX>"


def comparams():
    def one(name):
        attributes = f'ID="CP.{name}" PARAM-CLASS="COM" CPTYPE="STANDARD" CPUSAGE="TESTER"'
        default = '<PHYSICAL-DEFAULT-VALUE>0</PHYSICAL-DEFAULT-VALUE><DATA-OBJECT-PROP-REF ID-REF="CS.DOP"/>'
        return f"<COMPARAM {attributes}><SHORT-NAME>{name}</SHORT-NAME>{default}</COMPARAM>"

    table = 'ID="CP.CP_UniqueRespIdTable" PARAM-CLASS="UNIQUE_ID" CPTYPE="STANDARD" CPUSAGE="ECU-COMM"'
    rows = f"<COMPLEX-COMPARAM {table}><SHORT-NAME>CP_UniqueRespIdTable</SHORT-NAME>{''.join(map(one, TABLE))}</COMPLEX-COMPARAM>"
    inside = listed("COMPARAMS", [one(name) for name in PARAMETERS]) + listed("COMPLEX-COMPARAMS", [rows])
    inside += listed("DATA-OBJECT-PROPS", [dop("CS.DOP", 4)])
    subset = f'<COMPARAM-SUBSET ID="CS.1" CATEGORY="TRANSPORT"><SHORT-NAME>CAN</SHORT-NAME>{inside}</COMPARAM-SUBSET>'
    return f"{HEAD}{subset}</ODX>"
