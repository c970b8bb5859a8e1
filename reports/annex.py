"""What others stated or measured, handed in with an item: read, checked as far as that goes, and told apart from what was tested here."""

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BadInput, shown
from reports import annex_sbom, annex_suites
from reports.job import Enclosed

MOST_BYTES = 512 << 20
MOST_ATTACHED = 1 << 20
OLD_DAYS = 183  # of a suite's results: half a year, as OpenHarmony's compatibility programme asks
TITLES = {
    "sbom": "软件物料清单 SBOM",
    "cts": "Android CTS",
    "vts": "Android VTS",
    "xts": "OpenHarmony XTS",
    "certificate": "社区证书 community certificate",
}


@dataclass(kw_only=True)
class Annex:
    """One of them: what it says, and what is wrong with it; `attached`: its bytes, where they go into the report."""

    title: str
    name: str
    sha256: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    attached: bytes = b""


def read_all(
    enclosed: Iterable[Enclosed], beside: Path, artefacts: Mapping[str, str], issued: datetime.date
) -> list[Annex]:
    """All of them, in their order. Raises BadInput with what is wrong with each."""
    found: list[Annex] = []
    mistakes: list[str] = []
    for one in enclosed:
        try:
            found.append(read(one, beside, artefacts, issued))
        except BadInput as error:
            mistakes += error.mistakes
    if mistakes:
        raise BadInput(mistakes)
    return found


def read(one: Enclosed, beside: Path, artefacts: Mapping[str, str], issued: datetime.date) -> Annex:
    """Raises BadInput when there is no such file, or it is not of its kind. `artefacts`: path to digest, of the item that was tested."""
    file = beside / one.path
    try:
        if file.stat().st_size > MOST_BYTES:
            raise BadInput(f"{file}: is larger than {MOST_BYTES >> 20} MiB")
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    found = Annex(title=TITLES[one.kind], name=file.name, sha256=digest)
    if one.kind == "certificate":
        stated(found, one, file, issued)
    elif one.kind == "sbom":
        found.facts, found.findings = annex_sbom.read(file, artefacts)
    else:
        results = annex_suites.read(file, one.kind, one.version)
        found.facts, found.findings = results.facts(), results.findings(issued, OLD_DAYS)
    found.facts = [(name, shown(said)) for name, said in found.facts]
    found.findings = [shown(said) for said in found.findings]
    return found


def stated(found: Annex, one: Enclosed, file: Path, issued: datetime.date) -> None:
    """A certificate of a community: nobody here can read it, so that is what its person says of it, and the file itself."""
    missing = [key for key in ("issuer", "number", "valid_until") if not getattr(one, key)]
    if missing:
        raise BadInput(f"{file}: of a community's certificate the job has to say {', '.join(missing)}")
    try:
        until = datetime.date.fromisoformat(one.valid_until)
    except ValueError:
        raise BadInput(f"{file}: valid_until should be a date, year-month-day, not {one.valid_until!r}") from None
    found.facts = [("签发 issuer", one.issuer), ("编号 number", one.number), ("有效期至 valid until", one.valid_until)]
    if until < issued:
        found.findings.append(f"ran out on {until}, before this report was issued")
    if file.stat().st_size <= MOST_ATTACHED:
        found.attached = file.read_bytes()
