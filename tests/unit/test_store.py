"""What a store promises: what was added is there, whole and findable; what was altered is found, and what is hostile goes nowhere."""

import fcntl
import json
import shutil

import pytest
from typer.testing import CliRunner

from harness import certificate, record
from harness.errors import BadInput
from shipei.cli import app
from store import listing, runs
from store.layout import INDEX, INDEX_LOCK, LAYOUT, LOCK, Layout
from store.runs import RECORD_TYPE, TITLE
from tests.support.stores import certified, files, kept


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("run"))


def shipei(*arguments):
    return CliRunner().invoke(app, ["store", *map(str, arguments)])


# ---------------------------------------------------------------- in and out


def test_what_was_added_comes_out_again_as_it_was(run, tmp_path):
    store = tmp_path / "store"
    digest = json.loads(shipei("add", run, "--store", store, "--json").stdout)[str(run)]
    assert json.loads(shipei("add", run, "--store", store, "--json").stdout)[str(run)] == digest
    (listed,) = json.loads(shipei("list", "--store", store, "--json").stdout)
    assert (listed["digest"], listed["decision"], listed["certified"]) == (digest, "certified", True)
    assert shipei("get", digest[7:15], tmp_path / "again", "--store", store).exit_code == 0
    expected = {name: content for name, content in files(run).items() if name.startswith("record/") or "/" not in name}
    assert files(tmp_path / "again") == {n: c for n, c in expected.items() if n.endswith((".json", ".pem")) or "/" in n}
    assert record.alterations(tmp_path / "again" / "record") == []
    assert certificate.verify(tmp_path / "again" / "certificate.json")
    assert shipei("verify", "--store", store).exit_code == 0


def test_what_runs_share_is_there_once(tmp_path):
    for name in ("one", "two"):
        kept(tmp_path / "store", name)
    blobs = files(tmp_path / "store" / "blobs")
    assert sorted(blobs.values()).count(b"the same in all") == 1
    assert len(blobs) == 2 + 1 + 1 + 2  # names, what is shared, the empty configuration, manifests


def test_what_does_not_belong_together_is_not_kept_and_all_of_it_is_said(run, tmp_path):
    store = tmp_path / "store"
    for name in ("altered", "verdict", "certificate"):
        shutil.copytree(run, tmp_path / name)
    with (tmp_path / "altered" / "record" / "events.jsonl").open("ab") as events:
        events.write(b"\n")
    verdict = tmp_path / "verdict" / "verdict.json"
    verdict.write_text(verdict.read_text().replace('"certified"', '"refused"', 1))
    signed = json.loads((tmp_path / "certificate" / "certificate.json").read_text())
    (tmp_path / "certificate" / "certificate.json").write_text(json.dumps({**signed, "payload": "e30="}))
    given = [tmp_path / name for name in ("altered", "verdict", "certificate", "none")]
    done = shipei("add", run, *given, "--store", store)
    assert done.exit_code == 2
    for words in (
        "events.jsonl was altered",
        "is not what the record comes to",
        "is no certificate",
        "not a record",
        "nothing was added",
    ):
        assert words in done.output, words
    assert not store.exists()


def test_a_record_is_named_by_the_start_of_its_digest(tmp_path):
    store = Layout(tmp_path / "store")
    digests = [kept(tmp_path / "store", f"n{n}") for n in range(3)]
    assert runs.resolve(store, digests[1])["digest"] == digests[1]
    assert runs.resolve(store, digests[1][7:20])["digest"] == digests[1]
    for wanted, words in (("ab", "too short"), ("f" * 64, "there is no such record")):
        with pytest.raises(BadInput, match=words):
            runs.resolve(store, wanted)
    with pytest.raises(BadInput, match="is no store"):
        Layout.opened(tmp_path)


def test_who_writes_into_a_record_while_it_is_added_is_found_out(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    told = runs.checked(tmp_path / "run")
    (tmp_path / "run" / "record" / "pytest.log").write_text("something else")
    with pytest.raises(BadInput, match="was altered while it was added"):
        runs.add(Layout(tmp_path / "store"), tmp_path / "run", told)
    assert Layout.opened(tmp_path / "store").index() == []


# ---------------------------------------------------------------- rot, and malice


def test_a_flipped_bit_is_found_and_named_wherever_it_is(run, tmp_path):
    base = tmp_path / "base"
    runs.add(Layout(base), run)
    for n, blob in enumerate(sorted((base / "blobs" / "sha256").iterdir())):
        here = tmp_path / str(n)
        shutil.copytree(base, here)
        content = bytearray((here / "blobs" / "sha256" / blob.name).read_bytes())
        content[len(content) // 2] ^= 1
        (here / "blobs" / "sha256" / blob.name).write_bytes(content)
        done = shipei("verify", "--store", here)
        said = done.output.replace("\n", "")
        assert (done.exit_code, blob.name in said) == (2, True), said
        assert "cockpit-1.4.0" in said
        runs.add(Layout(here), run)
        assert list(runs.verify(Layout(here))) == [], "what is added again is whole again"


def test_what_is_missing_is_named_with_whose_it_is(run, tmp_path):
    (found, *_) = runs.add(Layout(tmp_path / "store"), run)
    store = Layout.opened(tmp_path / "store")
    trace = next(
        p for p in store.manifest(found["digest"])["layers"] if p["annotations"][TITLE].endswith("trace-body.bin")
    )
    store.blob(trace["digest"]).unlink()
    (said,) = runs.verify(store)
    assert said.endswith("is missing; it is record/trace-body.bin of " + said.split(" of ")[-1])
    with pytest.raises(BadInput, match="is missing; it is trace-body.bin"):
        runs.get(store, found["digest"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".shipei-*"))


def test_a_folder_of_something_else_is_left_as_it_is(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = shipei("add", run, "--store", tmp_path / "mine")
    assert (done.exit_code, "is no store, and thesis.txt is in it" in done.output) == (2, True), done.output
    assert [f.name for f in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_what_a_killed_pull_or_list_left_is_collected(tmp_path):
    kept(tmp_path / "store", "first")
    (tmp_path / "store" / ".pull-1").mkdir()
    (tmp_path / "store" / ".pull-1" / "part").write_text("half")
    (tmp_path / "store" / ".index-1").write_text("half")
    assert shipei("gc", "--store", tmp_path / "store").exit_code == 0
    assert {f.name for f in (tmp_path / "store").iterdir()} == {"blobs", INDEX, LAYOUT, ".lock", ".index.lock"}


def test_where_nothing_can_be_written_it_is_said(run, tmp_path):
    (found, *_) = runs.add(Layout(tmp_path / "store"), run)
    (tmp_path / "file").write_text("in the way")
    done = shipei("get", found["digest"], tmp_path / "file" / "out", "--store", tmp_path / "store")
    assert (done.exit_code, "cannot be written: File exists" in done.output) == (2, True), done.output


@pytest.mark.parametrize("title", ["../out", "/etc/passwd", "a/../../b", "", "x" * 300, "a\nb", "a\\b", "twice"])
def test_a_title_that_leads_elsewhere_writes_nothing(title, tmp_path):
    store = Layout(tmp_path / "in" / "store")
    store.prepare()
    (tmp_path / "file").write_text("content")
    layers = [
        runs.layer(store, tmp_path / "file", name, runs.FILE_TYPE)
        for name in (title, "twice" if title == "twice" else "good")
    ]
    (found,) = store.add([runs.manifest(store, RECORD_TYPE, layers, {})], {})
    before = files(tmp_path)
    with pytest.raises(BadInput):
        runs.get(store, found["digest"], tmp_path / "in" / "out")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (INDEX, b"{", "is no OCI index"),
        (INDEX, b'{"manifests": [{"digest": "../../x", "mediaType": "a"}]}', "is no OCI index"),
        (INDEX, b'{"manifests": 7}', "is no OCI index"),
        (LAYOUT, b"[]", "is no OCI layout"),
        (LAYOUT, b'{"imageLayoutVersion": "2.0.0"}', "of version '2.0.0'"),
    ],
)
def test_a_store_that_is_none_is_said_to_be_none(name, content, words, tmp_path):
    kept(tmp_path / "store", "first")
    (tmp_path / "store" / name).write_bytes(content)
    done = shipei("list", "--store", tmp_path / "store")
    assert (done.exit_code, words in done.output) == (2, True), done.output


def test_a_manifest_that_is_none_is_named(tmp_path):
    store = Layout(tmp_path / "store")
    digest = kept(tmp_path / "store", "first")
    store.blob(digest).write_bytes(b'{"mediaType": "x"}')
    (said,) = runs.verify(store)
    assert "it was altered; it is a manifest of first" in said


# ---------------------------------------------------------------- lists


def test_the_list_is_made_anew_from_the_store_alone(tmp_path):
    store = Layout(tmp_path / "store")
    for n in range(5):
        kept(tmp_path / "store", f"chip/os/app-{n}", decision="refused" if n % 2 else "certified")
    names = [one.combination for one in listing.listed(store)]
    assert names == [f"chip/os/app-{n}" for n in range(5)]
    assert [one.combination for one in listing.listed(store, "app-3")] == ["chip/os/app-3"]
    assert len(listing.listed(store, decision="refused")) == 2
    for spoil in (lambda f: f.unlink(), lambda f: f.write_bytes(b"no database"), lambda f: f.write_bytes(b"")):
        spoil(tmp_path / "store" / listing.FILE)
        assert [one.combination for one in listing.listed(store)] == names
    kept(tmp_path / "store", "chip/os/app-5")
    assert len(listing.listed(store)) == 6


def test_who_may_only_read_a_store_lists_it_too(tmp_path, monkeypatch):
    kept(tmp_path / "store", "first")
    monkeypatch.setattr(listing.tempfile, "mkstemp", lambda **how: (_ for _ in ()).throw(PermissionError(13, "denied")))
    assert [one.combination for one in listing.listed(Layout(tmp_path / "store"))] == ["first"]
    assert not (tmp_path / "store" / listing.FILE).exists()


@pytest.mark.parametrize("held", [LOCK, INDEX_LOCK])
def test_who_waits_for_somebody_else_says_so_in_the_end(held, tmp_path, monkeypatch):
    kept(tmp_path / "store", "one")
    monkeypatch.setattr("store.layout.LOCK_S", 0.2)
    with (tmp_path / "store" / held).open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="store: somebody else has been changing it for 0.2 s"):
            kept(tmp_path / "store", "two")
    kept(tmp_path / "store", "two")
