"""A store and a real registry (Debian's docker-registry, which keeps no list of what refers to what): there, back, and what may go wrong."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.errors import BadInput
from shipei.cli import app
from store import registry, runs
from store.layout import Layout, described, digest_of, plain
from store.registry import RegistryError, Repository
from tests.support.desk import needs
from tests.support.stores import certified, files


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(host and port, folder) of a registry of our own."""
    program, folder = needs("docker-registry"), tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = {"version": 0.1, "log": {"level": "error"}, "http": {"addr": host}}
    config["storage"] = {"filesystem": {"rootdirectory": str(folder / "data")}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    try:
        while not listens(host):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield host, folder / "data"
    finally:
        process.terminate()
        process.wait(20)


def listens(host):
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0


@pytest.fixture
def repository(served, request):
    """A repository for each test."""
    return f"{served[0]}/lab/{request.node.name.partition('[')[0].replace('_', '-')[:50].strip('-')}"


def kept(folder, run):
    store = Layout(folder)
    return store, runs.add(store, run)[0]["digest"]


def shipei(*arguments):
    return CliRunner().invoke(app, ["store", *map(str, arguments)])


def test_what_was_pushed_is_pulled_by_digest_and_by_tag(run, repository, tmp_path):
    store, digest = kept(tmp_path / "store", run)
    pushed = shipei("push", digest[7:19], f"{repository}:cockpit", "--store", store.folder, "--json")
    assert json.loads(pushed.stdout) == {"digest": digest, "at": f"{repository}:cockpit@{digest}"}, pushed.output
    for n, reference in enumerate((f"@{digest}", ":cockpit")):
        done = shipei("pull", f"{repository}{reference}", "--store", tmp_path / str(n))
        assert done.exit_code == 0, done.output
        there = Layout.opened(tmp_path / str(n))
        assert list(runs.verify(there)) == []
        runs.get(there, digest, tmp_path / f"run-{n}")
        runs.get(store, digest, tmp_path / f"mine-{n}")
        assert files(tmp_path / f"run-{n}") == files(tmp_path / f"mine-{n}")
    again = shipei("pull", f"{repository}@{digest}", "--store", tmp_path / "0")
    assert again.exit_code == 0
    assert len(Layout.opened(tmp_path / "0").index()) == 3


def test_a_certificate_that_comes_later_refers_to_the_record_that_is_there(run, repository, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "certificate.json").unlink()
    store, digest = kept(tmp_path / "store", tmp_path / "run")
    to = Repository(repository)
    registry.push(store, digest, to)
    assert len(to.referring(digest)) == 1
    assert runs.add(store, run)[0]["digest"] == digest
    registry.push(store, digest, to)
    assert {one["artifactType"] for one in to.referring(digest)} == set(runs.BESIDE)
    sent = []
    to.put_blob = lambda *given: sent.append(given)
    registry.push(store, digest, to)
    assert sent == []


# ---------------------------------------------------------------- what may be wrong with what comes


def test_what_was_altered_in_the_registry_is_not_taken(run, served, repository, tmp_path):
    store, digest = kept(tmp_path / "store", run)
    registry.push(store, digest, Repository(repository))
    trace = next(p for p in store.manifest(digest)["layers"] if p["annotations"][runs.TITLE].endswith("events.jsonl"))
    blob = served[1] / "docker/registry/v2/blobs/sha256" / trace["digest"][7:9] / trace["digest"][7:] / "data"
    content = blob.read_bytes()
    try:
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        done = shipei("pull", f"{repository}@{digest}", "--store", tmp_path / "other")
    finally:
        blob.write_bytes(content)
    assert (done.exit_code, "is not what its name says" in done.output) == (2, True), done.output
    assert Layout.opened(tmp_path / "other").index() == []


def sent(to, manifest):
    """A manifest as somebody else may write it."""
    to.put_manifest(plain(manifest), digest_of(plain(manifest)))
    return digest_of(plain(manifest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda m: m["annotations"].update({f"{runs.FACTS}combination": "mine/mine/mine"}),
            "a record that says it is of",
        ),
        (lambda m: m["layers"][0].update(size=3), "is not what its name says"),
        (lambda m: m["layers"].pop(), "is missing"),
        (lambda m: m["layers"][0]["annotations"].update({runs.TITLE: "../../out"}), "is no place for a file"),
        (lambda m: m.update(artifactType="something/else"), "is no application/vnd.shipei.record.v1"),
        (lambda m: m["layers"][0].update(size=1 << 60), "that is too much"),
    ],
    ids=["other facts", "other size", "a file less", "another place", "something else", "endless"],
)
def test_a_record_that_is_not_what_it_says_is_not_kept(change, words, run, repository, tmp_path):
    store, digest = kept(tmp_path / "store", run)
    to = Repository(repository)
    registry.push(store, digest, to)
    lie = json.loads(json.dumps(store.manifest(digest)))
    change(lie)
    with pytest.raises(BadInput, match=words):
        registry.pull(Layout(tmp_path / "other"), Repository(f"{repository}@{sent(to, lie)}"))
    assert Layout.opened(tmp_path / "other").index() == []
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "other").glob(".pull-*"))


def test_what_does_not_refer_to_the_record_is_not_taken_for_its_certificate(run, repository, tmp_path):
    store, digest = kept(tmp_path / "store", run)
    to = Repository(repository)
    registry.push(store, digest, to)
    lie = runs.manifest(store, runs.CERTIFICATE_TYPE, [], {}, described(b"another", "x"))
    name = sent(to, lie)
    to.list_referrers(digest, [described(plain(lie), lie["mediaType"], artifactType=runs.CERTIFICATE_TYPE)])
    with pytest.raises(BadInput, match=f"{name}: does not refer to {digest}"):
        registry.pull(Layout(tmp_path / "other"), Repository(f"{repository}@{digest}"))


def test_a_list_that_is_too_long_is_refused_and_not_cut(run, repository, tmp_path, monkeypatch):
    """Cut, and written again with ours, it would have lost what others put there."""
    store, digest = kept(tmp_path / "store", run)
    to = Repository(repository)
    registry.push(store, digest, to)
    before = to.referring(digest)
    monkeypatch.setattr(registry, "MOST_REFERRERS", 1)
    with pytest.raises(BadInput, match="it has more than 1"):
        to.list_referrers(digest, [described(b"another", before[0]["mediaType"])])
    monkeypatch.undo()
    assert to.referring(digest) == before


# ---------------------------------------------------------------- registries that are none


@pytest.mark.parametrize(
    ("where", "scheme"),
    [
        ("127.0.0.1:5000/lab/x", "http"),
        ("localhost:5000/lab/x", "http"),
        ("localhost.example.org/lab/x", "https"),
        ("127.0.0.1.example.org:5000/lab/x", "https"),
        ("registry.example.org/lab/x", "https"),
    ],
)
def test_only_this_very_host_is_spoken_to_without_tls(where, scheme):
    assert Repository(where).base.startswith(f"{scheme}://{where.partition('/')[0]}/v2/lab/x")
    assert Repository(where, plain_http=True).base.startswith("http://")


@pytest.mark.parametrize("where", ["nohost/name", "registry.example.org", "localhost/name"])
def test_a_place_without_a_host_is_refused_before_anything_is_sent_somewhere(where, run, tmp_path):
    store, digest = kept(tmp_path / "store", run)
    done = shipei("push", digest, where, "--store", store.folder)
    assert (done.exit_code, "should be HOST/NAME" in done.output) == (2, True), done.output


def test_what_is_not_there_and_who_does_not_answer_is_said(run, repository, tmp_path, monkeypatch):
    store, digest = kept(tmp_path / "store", run)
    done = shipei("pull", f"{repository}:never", "--store", tmp_path / "other")
    assert (done.exit_code, "there is no never" in done.output) == (2, True), done.output
    dead = shipei("push", digest, "127.0.0.1:1/lab/x", "--store", store.folder)
    assert (dead.exit_code, "does not answer" in dead.output) == (3, True), dead.output
    monkeypatch.setattr(registry, "ANSWER_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # the kernel takes the connection, and nobody reads it
        pytest.raises(RegistryError, match="does not answer"),
    ):
        registry.push(store, digest, Repository(f"127.0.0.1:{silent.getsockname()[1]}/lab/x"))


def test_nothing_of_a_registry_is_needed_to_keep_and_to_get(run, tmp_path):
    """oras is asked for where it is used, and nowhere else."""
    text = "\n".join(f.read_text() for f in Path(runs.__file__).parent.glob("*.py") if f.name != "registry.py")
    assert "oras" not in text.replace("`oras pull`", "")
    assert kept(tmp_path / "store", run)
