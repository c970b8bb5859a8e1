"""What a submission declares of its diagnostics, checked: every mistake at once."""

import re

from harness import documents
from harness.documents import Document, meant
from harness.model import Authentication, DiagnosticsInterface, Interface, Submission

HERE: documents.Path_ = ("interface", "diagnostics")
MAX_IDENTIFICATION = 64
MAX_CHALLENGE = 256
WIDTH = {"sid": 0xFF, "did": 0xFFFF, "rid": 0xFFFF, "code": 0xFFFFFF, "level": 0x7D}
NEEDED = {  # what a feature is nothing without
    "diagnostics": "services",
    "diagnostic_sessions": "sessions",
    "functional_addressing": "functional",
    "address_byte": "target",
    "diagnostics_fd": "fd",
    "diagnostic_data": "data",
    "diagnostic_writing": "data",
    "diagnostic_routines": "routines",
    "security_access": "security",
    "security_key": "security",
    "authentication": "authentication",
    "trouble_codes": "troubles",
    "trouble_ageing": "ageing_cycles",
}
SERVICE = {  # and the service that it is
    "diagnostics": 0x10,
    "diagnostic_data": 0x22,
    "diagnostic_writing": 0x2E,
    "diagnostic_routines": 0x31,
    "security_access": 0x27,
    "authentication": 0x29,
    "trouble_codes": 0x19,
    "communication_control": 0x28,
}


def check(document: Document, submission: Submission) -> None:
    """Note every mistake in the document."""
    found = submission.interface.diagnostics
    if found is None:
        for feature in sorted(submission.features.keys() & (NEEDED.keys() | SERVICE.keys())):
            document.mistake(("features", feature), f"{feature} needs interface.diagnostics")
        return
    check_addresses(document, submission.interface, found)
    check_identification(document, found)
    check_content(document, submission.interface, found)
    check_features(document, submission, found)


def check_addresses(document: Document, interface: Interface, found: DiagnosticsInterface) -> None:
    if found.bus not in interface.buses:
        document.mistake((*HERE, "bus"), f"there is no bus {found.bus!r}{meant(found.bus, interface.buses)}")
    elif found.fd and not interface.buses[found.bus].fd:
        document.mistake((*HERE, "fd"), f"{found.bus} is no bus of CAN FD, says interface.buses.{found.bus}")
    most = 0x1FFFFFFF if found.extended else 0x7FF
    for key in ("request", "response", "functional"):
        identifier = getattr(found, key)
        if identifier is not None and not 0 <= identifier <= most:
            document.mistake((*HERE, key), f"{key} should be 0 to {most:#x}, not {identifier:#x}")
    check_byte(document, "padding", found.padding)
    for n, request in enumerate(found.freeze):
        if not re.fullmatch(r"([0-9A-Fa-f]{2}){1,7}", request):
            document.mistake((*HERE, "freeze", n), f"should be one to seven bytes in hexadecimal, not {request!r}")
    needed = {"normal": (), "mixed": ("target",), "extended": ("target", "source")}[found.addressing]
    for key in ("target", "source"):
        byte = getattr(found, key)
        if (byte is None) is (key in needed):
            document.mistake(
                (*HERE, key), f"{found.addressing} addressing {'needs' if key in needed else 'has no'} {key}"
            )
        else:
            check_byte(document, key, byte)
    if found.functional_target is not None:
        if found.addressing == "normal" or found.functional is None:
            what = "functional_target is the address byte of requests to all: it needs functional, and extended or mixed addressing"
            document.mistake((*HERE, "functional_target"), what)
        else:
            check_byte(document, "functional_target", found.functional_target)
    if found.addressing == "mixed" and found.extended:
        document.mistake((*HERE, "addressing"), "mixed addressing is for 11-bit identifiers here")


def check_byte(document: Document, key: str, value: int | None) -> None:
    if value is not None and not 0 <= value <= 0xFF:
        document.mistake((*HERE, key), f"{key} should be one byte, not {value:#x}")


def check_identification(document: Document, found: DiagnosticsInterface) -> None:
    for n, one in enumerate(found.identification):
        where: documents.Path_ = (*HERE, "identification", n)
        if not 0 <= one.did <= 0xFFFF:
            document.mistake((*where, "did"), f"a data identifier should be 0 to 0xFFFF, not {one.did:#x}")
        if not 1 <= len(one.text) <= MAX_IDENTIFICATION or not one.text.isascii() or not one.text.isprintable():
            document.mistake((*where, "text"), f"should be 1 to {MAX_IDENTIFICATION} printable ASCII characters")


def check_content(document: Document, interface: Interface, found: DiagnosticsInterface) -> None:
    """Services, records, levels, routines, trouble codes: each once, and no wider than its field."""
    for key, name in (
        ("services", "sid"),
        ("data", "did"),
        ("security", "level"),
        ("routines", "rid"),
        ("troubles", "code"),
    ):
        seen: set[int] = set()
        for n, one in enumerate(getattr(found, key)):
            number, where = getattr(one, name), (*HERE, key, n)
            if not 0 <= number <= WIDTH[name]:
                document.mistake((*where, name), f"{name} should be 0 to {WIDTH[name]:#x}, not {number:#x}")
            if number in seen:
                document.mistake((*where, name), f"{name} {number:#x} is declared twice")
            seen.add(number)
    bus = interface.buses.get(found.bus)
    supervised = [s.message for s in bus.supervised] if bus else []
    for n, trouble in enumerate(found.troubles):
        if trouble.lost not in supervised:
            what = f"{trouble.lost!r} is not supervised on {found.bus}{meant(trouble.lost, supervised)}"
            document.mistake((*HERE, "troubles", n, "lost"), what)
    levels = {s.level for s in found.security}
    for key in ("data", "routines"):
        for n, one in enumerate(getattr(found, key)):
            if one.security is not None and one.security not in levels:
                document.mistake((*HERE, key, n, "security"), f"there is no level {one.security} in security")
    for n, level in enumerate(found.security):
        if level.level % 2 == 0:
            document.mistake((*HERE, "security", n, "level"), "a level is the odd sub-function that asks for its seed")
        if level.key is not None and not re.fullmatch(r"([0-9A-Fa-f]{2})+", level.key.secret):
            document.mistake((*HERE, "security", n, "key", "secret"), "secret should be bytes in hexadecimal")
    if found.authentication is not None:
        check_authentication(document, found, found.authentication)
    if found.ageing_cycles is not None and not 1 <= found.ageing_cycles <= 255:
        document.mistake((*HERE, "ageing_cycles"), f"ageing_cycles should be 1 to 255, not {found.ageing_cycles}")
    if sorted(found.order) != sorted({"session", "length", "subfunction", "security", "range"}):
        document.mistake((*HERE, "order"), "should name session, length, subfunction, security and range, each once")


def check_authentication(document: Document, found: DiagnosticsInterface, declared: Authentication) -> None:
    here: documents.Path_ = (*HERE, "authentication")
    if not re.fullmatch(r"([0-9A-Fa-f]{2})+", declared.secret):
        document.mistake((*here, "secret"), "secret should be bytes in hexadecimal")
    if not 1 <= declared.challenge_length <= MAX_CHALLENGE:
        what = f"challenge_length should be 1 to {MAX_CHALLENGE}, not {declared.challenge_length}"
        document.mistake((*here, "challenge_length"), what)
    if not declared.records:
        document.mistake((*here, "records"), "should name a record at least: what is protected")
    open_to_all = {r.did for r in found.data}
    for n, one in enumerate(declared.records):
        if not 0 <= one.did <= 0xFFFF:
            document.mistake((*here, "records", n, "did"), f"did should be 0 to 0xffff, not {one.did:#x}")
        elif one.did in open_to_all:
            document.mistake((*here, "records", n, "did"), f"did {one.did:#x} is in data too, which everybody reads")


def check_features(document: Document, submission: Submission, found: DiagnosticsInterface) -> None:
    """A feature that is declared has what its requirements ask about."""
    for feature in submission.features:
        key = NEEDED.get(feature)
        if key is not None and not getattr(found, key):
            document.mistake(("features", feature), f"{feature} needs interface.diagnostics.{key}")
        elif feature in SERVICE and found.service(SERVICE[feature]) is None:
            document.mistake(
                ("features", feature), f"{feature} needs the service {SERVICE[feature]:#04x} in interface.diagnostics"
            )
    if "diagnostic_writing" in submission.features and not any(r.writable for r in found.data):
        document.mistake(("features", "diagnostic_writing"), "diagnostic_writing needs a record that is writable")
    if "diagnostic_sessions" in submission.features and len(set(found.sessions)) < 2:
        document.mistake(
            ("features", "diagnostic_sessions"), "diagnostic_sessions needs a session beside the default one"
        )
    if "security_key" in submission.features and not any(s.key for s in found.security):
        document.mistake(("features", "security_key"), "security_key needs a level with a key")
    if "trouble_codes" in submission.features and found.snapshot is None:
        document.mistake(("features", "trouble_codes"), "trouble_codes needs interface.diagnostics.snapshot")
