"""A programme's folder: who may sign, the certificates, and one signed status list after the other, of which the newest says what holds.

programme.yaml            name, kind (hardware or virtual), how long certificates and lists live, keys: person, role, public key file
certificates/SHA256.json  each a DSSE envelope, named by the digest of its payload
waivers/SHA256.json       the same of waivers
status/NUMBER.json        signed lists; none is ever changed, and each names the digest of the one before
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from harness import documents
from harness.documents import meant
from harness.errors import BadInput
from harness.inputs.suite import all_suites
from harness.model import noun
from harness.signing.keys import Signer, public_pem
from programme import timestamp
from programme.inheritance import Inheritance
from programme.signing import signed
from programme.verifier import STATEMENT, STATUS_LIST, UTC_FORM, Key, NotValid, opened, statement, status_list
from store.disk import Disk, lock

FILE = "programme.yaml"
FEWEST_DIGITS = 6
MOST_DAYS = 3650
LOCK_S = 60.0  # longer than a timestamp authority may take


@noun
class Signatory:
    """A person, what their signature is for, and the file of their public key, beside the programme's."""

    person: str
    role: Literal["lab", "approver"]
    public: str


@noun
class Authority:
    """Who says when something was signed (RFC 3161): its address, and the file of its root certificate, beside the programme's."""

    url: str
    root: str


@noun
class Programme:
    """What a programme is for, how long in days its certificates and status lists live, who signs, and who says when."""

    name: str
    kind: Literal["hardware", "virtual"]
    keys: tuple[Signatory, ...]
    certificate_days: int = 365
    status_days: int = 7
    timestamps: Authority | None = None
    waivable: tuple[str, ...] = ()  # requirements in spite of whose failure a certificate may be given
    inheritance: Inheritance | None = None


class Folder:
    """A programme on disk. Changes take a lock, and what was written is there after a crash."""

    def __init__(self, path: Path) -> None:
        self.path, self.disk = path, Disk()
        document = documents.read(path / FILE)
        loaded = documents.load(Programme, document)
        self.keys = [] if loaded is None else self.loaded_keys(document, loaded)
        if document.mistakes or loaded is None:
            raise BadInput(document.mistakes)
        self.programme = loaded

    def loaded_keys(self, document: documents.Document, programme: Programme) -> list[Key]:
        """The public keys; what is wrong with them, and with how long things live, is noted."""
        found: list[Key] = []
        for n, one in enumerate(programme.keys):
            file = self.path / one.public
            if file.name != one.public:
                document.mistake(
                    ("keys", n, "public"), f"public should name a file beside this one, not {one.public!r}"
                )
            try:
                key = Key(one.person, one.role, file.read_bytes())
                if key.keyid in {other.keyid for other in found}:
                    document.mistake(("keys", n, "public"), f"{one.public} is the key of somebody else too")
            except OSError as error:
                document.mistake(("keys", n, "public"), f"{file} cannot be read: {error.strerror}")
            except NotValid as error:
                document.mistake(("keys", n, "public"), str(error))
            else:
                found.append(key)
        for role in ("lab", "approver"):
            if not any(one.role == role for one in programme.keys):
                document.mistake(("keys",), f"nobody has the role {role}")
        for name in ("certificate_days", "status_days"):
            if not 1 <= getattr(programme, name) <= MOST_DAYS:
                document.mistake((name,), f"{name} should be 1 to {MOST_DAYS}, not {getattr(programme, name)}")
        self.check_requirements(document, programme)
        self.check_rules(document, programme)
        return found

    def check_rules(self, document: documents.Document, programme: Programme) -> None:
        """What is inherited, and whose clock is believed."""
        if programme.inheritance:
            both = sorted(set(programme.inheritance.chip) & set(programme.inheritance.os))
            if both:
                document.mistake(("inheritance",), f"{', '.join(both)}: about the chip, or about chip and OS, not both")
            if not 1 <= programme.inheritance.days <= MOST_DAYS:
                what = f"days should be 1 to {MOST_DAYS}, not {programme.inheritance.days}"
                document.mistake(("inheritance", "days"), what)
        if programme.timestamps:
            if Path(programme.timestamps.root).name != programme.timestamps.root:
                document.mistake(("timestamps", "root"), "root should name a file beside this one")
            try:
                timestamp.roots(self.path / programme.timestamps.root)
            except BadInput as error:
                document.mistake(("timestamps", "root"), str(error))

    @staticmethod
    def check_requirements(document: documents.Document, programme: Programme) -> None:
        """What it names is there: a rule about nothing would never hold, and nobody would notice."""
        rules = programme.inheritance or Inheritance()
        named = ((("waivable",), programme.waivable), (("inheritance", "chip"), rules.chip), (("inheritance", "os"), rules.os))  # fmt: skip
        if not any(ids for _, ids in named):
            return
        known = {requirement for suite in all_suites().values() for requirement in suite.requirements}
        for where, ids in named:
            for one in ids:
                if one not in known:
                    document.mistake(where, f"there is no requirement {one}{meant(one, known)}")

    # ------------------------------------------------------------ who signs

    def who(self, key: Signer) -> Key:
        """The signatory of a private key. Raises BadInput when the programme does not know them."""
        keyid = Key("", "", public_pem(key)).keyid
        found = next((one for one in self.keys if one.keyid == keyid), None)
        if found is None:
            raise BadInput(f"{self.path / FILE}: nobody of the programme has this key: its public half is not in keys")
        return found

    def sign(self, payload: bytes, key: Signer, others: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """An envelope with this person's signature, beside others' that are there; with its time, where the programme asks for it."""
        envelope = signed(payload, key, list(others))
        authority = self.programme.timestamps
        if authority:
            mine = envelope["signatures"][-1]
            mine["timestamp"] = timestamp.asked(authority.url, mine["sig"], self.path / authority.root)
        return envelope

    # ------------------------------------------------------------ certificates

    def certificate_file(self, digest: str) -> Path:
        return self.path / "certificates" / f"{digest}.json"

    def find(self, wanted: str, among: str = "certificates") -> str:
        """The digest of a certificate (or of one of the `waivers`), by its first digits. Raises BadInput unless there is exactly one."""
        known = sorted(f.stem for f in (self.path / among).glob("*.json"))
        found = [digest for digest in known if digest.startswith(wanted)]
        if len(wanted) < FEWEST_DIGITS or len(found) != 1:
            what = f"{len(found)} begin so" if found else "there is none"
            raise BadInput(
                f"{wanted}: the first {FEWEST_DIGITS} or more digits of one of the {among} are needed; {what}"
            )
        return found[0]

    def envelope(self, digest: str) -> dict[str, Any]:
        """A certificate's envelope as it lies here. Raises BadInput when it is not what its name says."""
        file = self.certificate_file(digest)
        try:
            payload, _ = opened(file.read_bytes(), self.keys, str(file))
        except OSError as error:
            raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
        except NotValid as error:
            raise BadInput(str(error)) from None
        if hashlib.sha256(payload).hexdigest() != digest:
            raise BadInput(f"{file}: its content is not what its name says: it was altered")
        return dict(json.loads(file.read_bytes()))

    def keep(self, file: Path, content: Mapping[str, Any]) -> None:
        """A file that is there whole after a crash, or not at all. Raises BadInput where the disk does not take it."""
        part = file.with_suffix(".part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(content, ensure_ascii=False, sort_keys=True, indent=1) + "\n", encoding="utf-8")
            self.disk.sync(part)
            self.disk.rename(part, file)
            self.disk.sync_folder(file.parent)
        except OSError as error:
            raise BadInput(
                f"{file}: cannot be written: {error.strerror}; look at what `list` says, and do it again"
            ) from None

    # ------------------------------------------------------------ the status list

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time. Raises BadInput when others take too long."""
        with (self.path / FILE).open("rb") as stream:
            lock(stream, LOCK_S, str(self.path), shared=False)
            yield

    def newest(self) -> Path | None:
        """The newest status list's file."""
        lists = sorted((self.path / "status").glob("*.json"))
        return lists[-1] if lists else None

    def listed(self) -> dict[str, Any]:
        """What the newest list says, fresh or not; an empty one before the first. Raises BadInput when it does not hold."""
        file = self.newest()
        if file is None:
            return {"number": 0, "entries": [], "previous": None}
        raw = file.read_bytes()
        try:
            payload, persons = opened(raw, self.keys, str(file))
            found: dict[str, Any] = statement(payload, STATUS_LIST, str(file))["predicate"]
            if not any(persons.values()) or int(found["number"]) != int(file.stem):
                raise NotValid(f"{file}: not signed by the programme, or not the list that its name says")
        except (NotValid, KeyError, ValueError) as error:
            raise BadInput(str(error)) from None
        return found | {"previous": hashlib.sha256(raw).hexdigest()}

    def fresh(self, now: datetime) -> bytes:
        """The newest list, if it is fresh. Raises BadInput."""
        file = self.newest()
        if file is None:
            raise BadInput(f"{self.path}: there is no status list yet: `shipei certificate issue` makes the first")
        raw = file.read_bytes()
        try:
            status_list(raw, self.keys, now=now)
        except NotValid as error:
            raise BadInput(f"{file}: {error}; `shipei certificate status` makes a new one") from None
        return raw

    def publish(self, entries: list[dict[str, Any]], key: Signer, now: datetime) -> Path:
        """A new list with these entries, signed; within `changing`."""
        before = self.listed()
        number = before["number"] + 1
        told = {
            "programme": self.programme.name,
            "number": number,
            "issued": now.strftime(UTC_FORM),
            "next_update": (now + timedelta(days=self.programme.status_days)).strftime(UTC_FORM),
            "previous": before["previous"],
            "entries": entries,
        }
        subject = {"name": f"status list of {self.programme.name}", "digest": {"sha256": digest_of(entries)}}
        stated = {"_type": STATEMENT, "subject": [subject], "predicateType": STATUS_LIST, "predicate": told}
        file = self.path / "status" / f"{number:06d}.json"
        if file.exists():
            raise BadInput(f"{file} is there already, and is not the newest list: the folder was tampered with")
        self.keep(file, signed(encoded(stated), key))
        return file


def encoded(stated: Mapping[str, Any]) -> bytes:
    return json.dumps(stated, ensure_ascii=False, sort_keys=True).encode()


def digest_of(entries: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
