"""A store's artefacts in any OCI registry (distribution-spec 1.1), over oras: what refers to a record is found by the referrers API, and where a
registry has none by the referrers tag, sha256-DIGEST.

A registry is somebody else's: every byte is held against its digest and its size, a record that was pulled is judged before it is named, and
no answer is waited for without end.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import oras.provider
import requests
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from harness.errors import BadInput, Fault
from store import runs
from store.layout import DIGEST, INDEX_TYPE, MANIFEST, MAX_MANIFEST_BYTES, Descriptor, Layout, digest_of, plain
from store.runs import BESIDE, RECORD_TYPE

ANSWER_S = 60.0
TRIES = 5  # of putting ours into a list that others write too
MOST_REFERRERS = 1000
LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
BLOCK = 1 << 20


class RegistryError(Fault):
    """A registry does not do what was asked: nobody's mistake here, and no statement about what is kept (exit code 3)."""

    kind = "the registry failed"


class Patient(HTTPAdapter):
    """Waits for an answer, and not for ever."""

    def send(self, request: PreparedRequest, *given: Any, **options: Any) -> Response:
        return super().send(request, *given, **options | {"timeout": options.get("timeout") or ANSWER_S})


class Once(oras.provider.Registry):  # type: ignore[misc]
    """oras asks again for two minutes before it says a word; whoever waits is told at once, and may ask again."""

    do_request = oras.provider.Registry.do_request.__wrapped__


class Repository:
    """HOST[:PORT]/NAME, with :TAG or @DIGEST; plain HTTP on this host only, unless asked for."""

    def __init__(self, where: str, plain_http: bool = False) -> None:
        host, slash, _ = where.partition("/")
        if not slash or not {".", ":"} & set(host):  # without either it would be a name on somebody's default registry
            raise BadInput(
                f"{where!r}: should be HOST/NAME with a dot or a port in HOST, such as registry.example.org/lab/evidence"
            )
        try:
            self.client = Once(insecure=plain_http or host.rpartition(":")[0] in LOOPBACK)
            self.place = self.client.get_container(where)
            self.client.auth.load_configs(self.place)
        except (ValueError, OSError) as error:
            raise BadInput(f"{where!r}: {error}") from None
        for scheme in ("http://", "https://"):
            self.client.session.mount(scheme, Patient())
        self.base = f"{self.client.prefix}://{self.place.registry}/v2/{self.place.api_prefix}"
        self.where = f"{self.place.registry}/{self.place.api_prefix}"

    def ask(self, method: str, path: str, fine: tuple[int, ...], **more: Any) -> requests.Response:
        """Raises RegistryError, in words, when the registry does not answer, or not so."""
        try:
            answer: requests.Response = self.client.do_request(f"{self.base}{path}", method, **more)
        except (requests.RequestException, ValueError) as error:
            raise RegistryError(f"the registry {self.where} does not answer {method} {path}: {error}") from None
        if answer.status_code not in fine:
            said = answer.text[:300].strip()
            raise RegistryError(f"the registry {self.where} refuses {method} {path}: {answer.status_code} {said}")
        return answer

    # ------------------------------------------------------------ blobs

    def has(self, digest: str) -> bool:
        return self.ask("HEAD", f"/blobs/{digest}", (200, 404)).status_code == 200

    def put_blob(self, file: Path, digest: str) -> None:
        try:
            answer = self.client.put_upload(str(file), self.place, {"digest": digest, "size": file.stat().st_size})
        except (requests.RequestException, ValueError, KeyError) as error:
            raise RegistryError(f"the registry {self.where} does not take {digest}: {error}") from None
        if answer.status_code not in (200, 201, 202):
            raise RegistryError(
                f"the registry {self.where} does not take {digest}: {answer.status_code} {answer.text[:300].strip()}"
            )

    def get_blob(self, one: Descriptor, sink: BinaryIO) -> None:
        """Exactly what the descriptor says, or BadInput."""
        answer = self.ask("GET", f"/blobs/{one['digest']}", (200,), stream=True)
        digest, left = hashlib.sha256(), one["size"]
        try:
            for block in answer.iter_content(BLOCK):
                left -= len(block)
                if left < 0:
                    break
                digest.update(block)
                sink.write(block)
        except requests.RequestException as error:
            raise RegistryError(f"the registry {self.where} broke off in {one['digest']}: {error}") from None
        finally:
            answer.close()
        if left or f"sha256:{digest.hexdigest()}" != one["digest"]:
            raise BadInput(f"{self.where}@{one['digest']}: what came is not what its name says")

    # ------------------------------------------------------------ manifests

    def manifest(self, reference: str, media_type: str = MANIFEST) -> bytes | None:
        """Its bytes; None where there is none."""
        answer = self.ask("GET", f"/manifests/{reference}", (200, 404), headers={"Accept": media_type}, stream=True)
        try:
            content = (
                answer.raw.read(MAX_MANIFEST_BYTES + 1, decode_content=True) if answer.status_code == 200 else None
            )
        except requests.RequestException as error:
            raise RegistryError(f"the registry {self.where} broke off in {reference}: {error}") from None
        finally:
            answer.close()
        if content is not None and len(content) > MAX_MANIFEST_BYTES:
            raise BadInput(f"{self.where}@{reference}: a manifest of more than {MAX_MANIFEST_BYTES} bytes")
        if content is not None and DIGEST.fullmatch(reference) and digest_of(content) != reference:
            raise BadInput(f"{self.where}@{reference}: what came is not what its name says")
        return content

    def put_manifest(self, content: bytes, reference: str, media_type: str = MANIFEST) -> bool:
        """Whether the registry keeps the list of what refers to its subject (OCI-Subject)."""
        headers = {"Content-Type": media_type}
        answer = self.ask("PUT", f"/manifests/{reference}", (200, 201, 202), data=content, headers=headers)
        return "OCI-Subject" in answer.headers

    # ------------------------------------------------------------ what refers to it

    def referring(self, digest: str) -> list[Descriptor]:
        """By the API, else by the tag."""
        answer = self.ask("GET", f"/referrers/{digest}", (200, 404, 400, 405), headers={"Accept": INDEX_TYPE})
        if answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith(INDEX_TYPE):
            return self.in_index(answer.content)
        return self.in_index(self.manifest(tag_of(digest), INDEX_TYPE))

    def in_index(self, content: bytes | None) -> list[Descriptor]:
        if content is None:
            return []
        try:
            found = json.loads(content)["manifests"]
            if len(found) > MOST_REFERRERS:
                raise ValueError(f"it has more than {MOST_REFERRERS}")
            return [dict(one) for one in found if one["mediaType"] == MANIFEST and DIGEST.fullmatch(one["digest"])]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadInput(f"{self.where}: its list of what refers to a record is none: {error}") from None

    def list_referrers(self, digest: str, mine: list[Descriptor]) -> None:
        """Into the tag, beside what is there; looked at again, because two may write it at once."""
        for _ in range(TRIES):
            there = self.in_index(self.manifest(tag_of(digest), INDEX_TYPE))
            new = [one for one in mine if one["digest"] not in {t["digest"] for t in there}]
            if not new:
                return
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*there, *new]}
            self.put_manifest(plain(index), tag_of(digest), INDEX_TYPE)
        raise RegistryError(
            f"the registry {self.where}: others write the list {tag_of(digest)} all the time; push again"
        )


def tag_of(digest: str) -> str:
    """
    >>> tag_of("sha256:ab")
    'sha256-ab'
    """
    return digest.replace(":", "-", 1)


# ---------------------------------------------------------------- there and back


def push(store: Layout, wanted: str, to: Repository) -> Descriptor:
    """A record and all that refers to it; content before the manifests that name it, and what is there already is not sent again."""
    found = runs.resolve(store, wanted)
    beside = runs.referrers(store, found)
    for one in (found, *(descriptor for descriptor, _ in beside)):
        manifest = store.manifest(one["digest"])
        for part in (manifest["config"], *manifest["layers"]):
            if not to.has(part["digest"]):
                if not store.has(part["digest"]):
                    raise BadInput(
                        f"{store.blob(part['digest'])}: is missing, or was altered; `shipei store verify` says whose it is"
                    )
                to.put_blob(store.blob(part["digest"]), part["digest"])
        listed = to.put_manifest(store.read(one["digest"]), one["digest"])
        if manifest.get("subject") and not listed:
            to.list_referrers(found["digest"], [one])
    if to.place.tag and not to.place.digest and to.place.tag != "latest":
        to.put_manifest(store.read(found["digest"]), to.place.tag)
    return found


def pull(store: Layout, at: Repository) -> Descriptor:
    """A record by @DIGEST or :TAG, and all of ours that refers to it. Nothing is named before it was judged to be what it says."""
    reference = at.place.digest or at.place.tag
    content = at.manifest(reference)
    if content is None:
        raise BadInput(f"{at.where}: there is no {reference}")
    digest = digest_of(content)
    about = [one for one in at.referring(digest) if one.get("artifactType") in BESIDE]
    store.prepare()
    with store.adding():
        manifest = taken(store, at, content, RECORD_TYPE, digest)
        others = [others_manifest(store, at, one, digest) for one in about]
        facts = judged(store, manifest, others)
        return store.add([manifest, *others], facts)[0]


def taken(store: Layout, at: Repository, content: bytes, kind: str, digest: str) -> dict[str, Any]:
    """A manifest, and everything that it names, into the store."""
    store.put(content)
    manifest = store.manifest(digest)
    if manifest.get("artifactType") != kind or plain(manifest) != content:
        raise BadInput(f"{at.where}@{digest}: is no {kind} as `shipei store push` writes it")
    parts = [manifest["config"], *manifest["layers"]]
    if len(parts) > runs.MAX_FILES or sum(part["size"] for part in parts) > runs.MAX_RUN_BYTES:
        raise BadInput(
            f"{at.where}@{digest}: has {len(parts)} files of {sum(p['size'] for p in parts)} bytes, and that is too much"
        )
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=store.folder) as folder:
        for part in parts:
            if not store.has(part["digest"]):
                file = Path(folder) / "part"
                with file.open("wb") as sink:
                    at.get_blob(part, sink)
                store.put_from(file)
    return manifest


def others_manifest(store: Layout, at: Repository, one: Descriptor, subject: str) -> dict[str, Any]:
    content = at.manifest(one["digest"])
    if content is None:
        raise BadInput(f"{at.where}: there is no {one['digest']}, and its list says that it refers to {subject}")
    found = taken(store, at, content, str(one["artifactType"]), one["digest"])
    if (found.get("subject") or {}).get("digest") != subject:
        raise BadInput(f"{at.where}@{one['digest']}: does not refer to {subject}, and its list says so")
    return found


def judged(store: Layout, manifest: Mapping[str, Any], others: list[dict[str, Any]]) -> dict[str, str]:
    """The facts of what came, from the record itself. Raises BadInput when it is not what its manifest says."""
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=store.folder) as folder:
        run = Path(folder) / "run"
        for one in (manifest, *others):
            runs.write_out(store, one, run)
        facts = runs.facts_of(*runs.checked(run))
    if dict(manifest.get("annotations") or {}) != facts:
        raise BadInput(f"a record that says it is of {manifest.get('annotations')} and is of {facts}: not taken")
    return facts
