"""Runs in a store: the sealed record as one artefact, verdict and certificate as artefacts that refer to it (image-spec 1.1, `subject`).

Every file is a blob of its own, with its place in the run's folder as title: what two runs share is there once, and `oras pull` writes
the same folder. The same record gives the same digest, whoever adds it.
"""

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from harness import documents, record, verdicts
from harness.errors import BadInput, shown
from harness.model import Manifest, Plan, Verdict
from harness.verdicts import CERTIFICATE, RECORD, VERDICT
from store.layout import EMPTY, EMPTY_TYPE, INDEX, MANIFEST, Descriptor, Layout, described, plain, whole

TITLE = "org.opencontainers.image.title"
FACTS = "org.shipei."  # of annotations: what a list shows of a run
RECORD_TYPE = "application/vnd.shipei.record.v1"
VERDICT_TYPE = "application/vnd.shipei.verdict.v1"
CERTIFICATE_TYPE = "application/vnd.shipei.certificate.v1"
FILE_TYPE = "application/vnd.shipei.file"
JSON_TYPE = "application/json"
DSSE_TYPE = "application/vnd.dsse.envelope.v1+json"
BESIDE = {VERDICT_TYPE: (VERDICT, JSON_TYPE), CERTIFICATE_TYPE: (CERTIFICATE, DSSE_TYPE)}
MAX_FILES, MAX_TITLE = 20_000, 255
MAX_RUN_BYTES = 8 << 30
SHORTEST = 6  # digits of a digest that a person types


# ---------------------------------------------------------------- in


def add(store: Layout, run: Path, told: tuple[Plan, Verdict] | None = None) -> list[Descriptor]:
    """Keep a run: record, verdict and, where it has one, certificate; the descriptor of the record first.

    `told`: what `checked` said of it. Raises BadInput when the seal is broken, or verdict or certificate are about something else.
    """
    folder = run / RECORD
    decided, verdict = told or checked(run)
    store.prepare()
    with store.adding():
        layers = [layer(store, folder / name, f"{RECORD}/{name}", FILE_TYPE) for name in files_of(folder)]
        unchanged(folder, layers)
        facts = facts_of(decided, verdict)
        about = manifest(store, RECORD_TYPE, layers, facts)
        subject = described(plain(about), MANIFEST, artifactType=RECORD_TYPE)
        kept = [about]
        for kind, (name, media_type) in BESIDE.items():
            if (run / name).is_file():
                kept.append(manifest(store, kind, [layer(store, run / name, name, media_type)], {}, subject))
        return store.add(kept, facts)


def checked(run: Path) -> tuple[Plan, Verdict]:
    """The plan and the verdict of a run whose parts belong together."""
    folder = run / RECORD
    decided = record.load_plan(folder)
    wrong = [f"{folder}: {what}" for what in record.alterations(folder)]
    if wrong:
        raise BadInput([*wrong, "a record that was altered is not kept: it says nothing"])
    verdict = verdicts.of_record(folder)
    if (run / VERDICT).is_file() and verdicts.load(run) != verdict:
        raise BadInput(f"{run / VERDICT}: is not what the record comes to; `shipei judge {run}` writes it anew")
    if (run / CERTIFICATE).is_file():
        seal = certified_record(run / CERTIFICATE)
        if seal != verdict.record_sha256:
            raise BadInput(
                f"{run / CERTIFICATE}: is about another record ({seal[:12] or 'none'}…, and this is {verdict.record_sha256[:12]}…)"
            )
    return decided, verdict


def certified_record(file: Path) -> str:
    """The record that a certificate names. Whether it was signed by the right one is for `shipei verify`, which has the key."""
    try:
        statement = json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"], validate=True))
        return str(statement["predicate"]["record"]["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{file}: is no certificate: {error}") from None


def files_of(folder: Path) -> Iterator[str]:
    """Every file of a sealed record, the seal with them."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix()


def unchanged(folder: Path, layers: list[Descriptor]) -> None:
    """Raises BadInput when somebody wrote into the record after it was looked at."""
    sealed = documents.loads(Manifest, (folder / record.DIGESTS).read_bytes(), str(folder / record.DIGESTS)).files
    kept = {
        one["annotations"][TITLE].removeprefix(f"{RECORD}/"): one["digest"].removeprefix("sha256:") for one in layers
    }
    for name in (record.DIGESTS, record.SEAL):
        kept.pop(name, None)
    if kept != dict(sealed):
        raise BadInput(f"{folder}: was altered while it was added")


def layer(store: Layout, file: Path, title: str, media_type: str) -> Descriptor:
    digest, size = store.put_from(file)
    return {"mediaType": media_type, "digest": digest, "size": size, "annotations": {TITLE: title}}


def manifest(
    store: Layout, kind: str, layers: list[Descriptor], facts: Mapping[str, str], subject: Descriptor | None = None
) -> dict[str, Any]:
    store.put(EMPTY)
    found: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind}
    found |= {"config": described(EMPTY, EMPTY_TYPE), "layers": layers}
    found |= {"annotations": dict(facts)} if facts else {}
    return found | ({"subject": subject} if subject else {})


def facts_of(decided: Plan, verdict: Verdict) -> dict[str, str]:
    """What a list shows."""
    said = {
        "vendor": decided.vendor,
        "combination": str(decided.combination),
        "manifest": verdict.manifest_sha256,
        "profile": verdict.profile,
        "rig": verdict.rig,
        "kind": verdict.rig_kind,
        "decision": verdict.decision.value,
        "seal": verdict.record_sha256,
    }
    return {FACTS + key: value for key, value in said.items()}


def told_of(one: Descriptor) -> dict[str, str]:
    """The facts that a descriptor carries, in a form that may be shown: somebody else may have written them.

    >>> told_of({"annotations": {"org.shipei.rig": "a\\x1b[2Jb", "other": 1}})
    {'rig': 'a\ufffd[2Jb'}
    """
    notes = one.get("annotations")
    told = notes.items() if isinstance(notes, dict) else ()
    return {key.removeprefix(FACTS): shown(value) for key, value in told if key.startswith(FACTS)}


# ---------------------------------------------------------------- which


def artefacts(store: Layout, kind: str) -> list[Descriptor]:
    return [one for one in store.index() if one.get("artifactType") == kind]


def resolve(store: Layout, wanted: str) -> Descriptor:
    """The record of that digest, or of the only one that begins so. Raises BadInput, naming those that it could be."""
    digits = wanted.removeprefix("sha256:").lower()
    if len(digits) < SHORTEST:
        raise BadInput(
            f"{wanted!r}: too short for a digest: {SHORTEST} digits at least; `shipei store list` shows them"
        )
    found = [one for one in artefacts(store, RECORD_TYPE) if one["digest"].removeprefix("sha256:").startswith(digits)]
    if not found:
        raise BadInput(f"{wanted}: there is no such record in {store.folder}; `shipei store list` shows them")
    if len(found) > 1:
        raise BadInput([f"{wanted}: could be {one['digest']}" for one in found])
    return found[0]


def referrers(store: Layout, about: Descriptor) -> list[tuple[Descriptor, dict[str, Any]]]:
    """The artefacts whose subject is this record; the index carries the seal that they are about."""
    seal = told_of(about).get("seal")
    likely = [one for one in store.index() if one.get("artifactType") in BESIDE and told_of(one).get("seal") == seal]
    found = [(one, store.manifest(one["digest"])) for one in likely]
    return [(one, content) for one, content in found if (content.get("subject") or {}).get("digest") == about["digest"]]


# ---------------------------------------------------------------- out


def get(store: Layout, wanted: str, folder: Path) -> Descriptor:
    """A run's folder as it was; every byte is checked on its way. Raises BadInput, and leaves nothing, when something is wrong."""
    if folder.exists():
        raise BadInput(f"{folder} exists already")
    found = resolve(store, wanted)
    parts = [store.manifest(found["digest"]), *(content for _, content in referrers(store, found))]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".shipei-", dir=folder.parent) as name:
            part = Path(name) / "run"
            part.mkdir()
            for content in parts:
                write_out(store, content, part)
            part.replace(folder)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written: {error.strerror}; nothing of it was") from None
    return found


def write_out(store: Layout, content: Mapping[str, Any], folder: Path) -> None:
    layers = content["layers"]
    if len(layers) > MAX_FILES or sum(one["size"] for one in layers) > MAX_RUN_BYTES:
        raise BadInput(
            f"an artefact of {len(layers)} files and {sum(one['size'] for one in layers)} bytes is not written out"
        )
    for one in layers:
        target = folder / safe(one)
        if target.exists():
            raise BadInput(f"{target.name}: two files of this artefact have the same place")
        target.parent.mkdir(parents=True, exist_ok=True)
        copied(store, one, target)


def copied(store: Layout, one: Descriptor, target: Path) -> None:
    """Exactly as many bytes as said, with exactly the digest said."""
    digest, left = hashlib.sha256(), one["size"]
    source = store.blob(one["digest"])
    try:
        with source.open("rb") as stream, target.open("xb") as sink:
            while block := stream.read(min(1 << 20, left + 1)):
                left -= len(block)
                if left < 0:
                    break
                digest.update(block)
                sink.write(block)
    except FileNotFoundError:
        raise BadInput(f"{source}: is missing; it is {target.name}") from None
    if left or f"sha256:{digest.hexdigest()}" != one["digest"]:
        raise BadInput(f"{source}: its content is not what its name says: it was altered; it is {target.name}")


def safe(one: Descriptor) -> PurePosixPath:
    """The title of a layer as a place inside a folder. Raises BadInput for one that leads elsewhere."""
    title = str((one.get("annotations") or {}).get(TITLE, ""))
    place = PurePosixPath(title)
    if (
        not title
        or len(title) > MAX_TITLE
        or place.is_absolute()
        or ".." in place.parts
        or not title.isprintable()
        or "\\" in title
    ):
        raise BadInput(f"{title!r}: is no place for a file of a run")
    return place


# ---------------------------------------------------------------- right?


def verify(store: Layout) -> Iterator[str]:
    """Everything that is wrong with a store, in words: content that was altered or is missing, and whose it is; facts that are not so."""
    owners: dict[str, list[str]] = {}
    for one in store.index():
        facts = told_of(one)
        whose = f"{facts.get('combination', '?')} on {facts.get('rig', '?')} ({one['digest'][7:19]})"
        owners.setdefault(one["digest"], []).append(f"a manifest of {whose}")
        try:
            content = store.manifest(one["digest"])
        except BadInput as error:
            if whole(store.blob(one["digest"])):  # else it is named below
                yield from error.mistakes
            continue
        for part in (content["config"], *content["layers"]):
            name = (part.get("annotations") or {}).get(TITLE, "the configuration")
            owners.setdefault(part["digest"], []).append(f"{name} of {whose}")
        yield from untrue(store, one, content, whose)
    for digest, names in sorted(owners.items()):
        yield from (
            f"{what}; it is {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}"
            for what in rotten(store.blob(digest))
        )


def untrue(store: Layout, one: Descriptor, content: Mapping[str, Any], whose: str) -> Iterator[str]:
    """A record that is not there; facts in the index that are not those of the record."""
    subject = content.get("subject")
    if subject and not store.blob(subject["digest"]).is_file():
        yield f"{store.blob(subject['digest'])}: is missing; it is the record of {whose}"
    elif not subject or whole(store.blob(subject["digest"])):
        about = store.manifest(subject["digest"]) if subject else content
        if (one.get("annotations") or {}) != (about.get("annotations") or {}):
            yield f"{store.folder / INDEX}: says of {whose} what its manifest does not"


def rotten(file: Path) -> Iterator[str]:
    if not file.is_file():
        yield f"{file}: is missing"
    elif not whole(file):
        yield f"{file}: its content is not what its name says: it was altered"
