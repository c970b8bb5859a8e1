"""What a submission declares of how it is programmed, checked: every mistake at once."""

from harness import documents
from harness.documents import Document
from harness.model import DiagnosticsInterface, Flashing, Submission

HERE: documents.Path_ = ("interface", "diagnostics", "flashing")
KIND = {  # the package that a feature is decided with
    "signed_packages": "foreign_key",
    "rollback_protection": "older",
    "hardware_check": "other_hardware",
    "update_rollback": "never_ready",
}
NEEDED = {"programming_conditions": "conditions", "update_consent": "consent"}
FEATURES = {"flashing", "background_programming", *NEEDED, *KIND}
SERVICES = (0x10, 0x11, 0x22, 0x27, 0x31, 0x34, 0x36, 0x37, 0x3E)
MAX_VERSION = 64


def check(document: Document, submission: Submission) -> None:
    """Note every mistake in the document."""
    diagnostics, declared = submission.interface.diagnostics, sorted(submission.features.keys() & FEATURES)
    flashing = diagnostics.flashing if diagnostics else None
    if diagnostics is None or flashing is None:
        for feature in declared:
            document.mistake(("features", feature), f"{feature} needs interface.diagnostics.flashing")
        return
    check_packages(document, flashing)
    check_session(document, diagnostics, flashing)
    for feature in declared:
        kind = KIND.get(feature)
        if kind is not None and flashing.package(kind) is None:
            document.mistake(
                ("features", feature), f"{feature} needs a package of kind {kind} in interface.diagnostics.flashing"
            )
    for feature, key in NEEDED.items():
        if feature in submission.features and not getattr(flashing, key):
            document.mistake(("features", feature), f"{feature} needs interface.diagnostics.flashing.{key}")


def check_packages(document: Document, flashing: Flashing) -> None:
    """Each kind once, those to come and go with among them; what tells them apart is their version."""
    seen: set[str] = set()
    for n, package in enumerate(flashing.packages):
        if package.kind in seen:
            document.mistake((*HERE, "packages", n, "kind"), f"there are two packages of kind {package.kind}")
        seen.add(package.kind)
        if (
            not 1 <= len(package.version) <= MAX_VERSION
            or not package.version.isascii()
            or not package.version.isprintable()
        ):
            what = f"should be 1 to {MAX_VERSION} printable ASCII characters"
            document.mistake((*HERE, "packages", n, "version"), what)
    for kind in ("current", "update"):
        if kind not in seen:
            document.mistake((*HERE, "packages"), f"a package of kind {kind} is expected")
    current, update = flashing.package("current"), flashing.package("update")
    if current and update and current.version == update.version:
        what = f"the package to update to has the version of the current one, {update.version}: nobody could tell them apart"
        document.mistake((*HERE, "packages"), what)


def check_session(document: Document, diagnostics: DiagnosticsInterface, flashing: Flashing) -> None:
    """The services of the sequence are declared, and a key, and what the identification says is the current package."""
    for sid in SERVICES:
        service = diagnostics.service(sid)
        if service is None:
            document.mistake(HERE, f"flashing needs the service {sid:#04x} in interface.diagnostics")
        elif flashing.session not in service.sessions:
            document.mistake(HERE, f"the service {sid:#04x} is not declared for the session {flashing.session}")
    if not any(level.key for level in diagnostics.security):
        document.mistake(HERE, "flashing needs a security level with a key")
    for name in ("did", "erase", "check", "activate"):
        number = getattr(flashing, name)
        if not 0 <= number <= 0xFFFF:
            document.mistake((*HERE, name), f"{name} should be 0 to 0xFFFF, not {number:#x}")
    if not 0 <= flashing.address <= 0xFFFFFFFF:
        document.mistake((*HERE, "address"), f"address should be 0 to 0xFFFFFFFF, not {flashing.address:#x}")
    if flashing.boots < 1:
        document.mistake((*HERE, "boots"), f"boots should be 1 or more, not {flashing.boots}")
    told = {i.did: i.text for i in diagnostics.identification}.get(flashing.did)
    current = flashing.package("current")
    if told is not None and current is not None and told != current.version:
        document.mistake(
            (*HERE, "packages"), f"the current package is {current.version}, and {flashing.did:#06x} reads {told}"
        )
