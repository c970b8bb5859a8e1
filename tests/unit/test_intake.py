"""An archive from a vendor: packed the same every time; unpacked without leaving its folder, running code or filling the disk."""

import random
import stat
import zipfile

import pytest

from harness.errors import BadInput
from harness.inputs import archive as intake
from harness.inputs import submission
from rigs.ecus import build


@pytest.fixture
def packed(tmp_path):
    folder = build.build(tmp_path / "s")
    intake.pack(folder, tmp_path / "s.zip")
    return tmp_path / "s.zip"


def test_packs_the_same_bytes_and_comes_back_whole(packed, tmp_path):
    assert intake.pack(tmp_path / "s", tmp_path / "again.zip") == intake.sha256(packed)
    file = intake.unpack(packed, tmp_path / "out")
    assert submission.load(file) == submission.load(tmp_path / "s")


def test_packs_only_what_the_submission_names(packed, tmp_path):
    assert sorted(zipfile.ZipFile(packed).namelist()) == [
        "cockpit-1.4.0.pyz",
        "cockpit-a.dbc",
        "cockpit-a.vss_dbc.json",
        *(
            f"packages/{name}.bin"
            for name in ("current", "foreign-key", "never-ready", "older", "other-hardware", "update")
        ),
        "submission.yaml",
    ]


def hostile(tmp_path, change):
    file = tmp_path / "bad.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        change(archive)
    return file


def link(archive):
    info = zipfile.ZipInfo("submission.yaml")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def twice(archive):
    archive.writestr("a.txt", "1")
    archive.writestr("A.txt", "2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.writestr("../evil.txt", "x"), "leads outside"),
        (lambda a: a.writestr("/etc/evil", "x"), "leads outside"),
        (lambda a: a.writestr("c:\\evil", "x"), "leads outside"),
        (link, "a link or a device"),
        (twice, "twice"),
        (lambda a: [a.writestr(f"{n}.txt", "") for n in range(500)], "500 entries; 200 are allowed"),
        (lambda a: a.writestr("readme.txt", "x"), "no such file"),
    ],
)
def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path, change, said):
    with pytest.raises(BadInput, match=said):
        intake.unpack(hostile(tmp_path, change), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path.parent / "evil.txt").exists()


def test_a_bomb_is_stopped_by_what_comes_out(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MAX_TOTAL_BYTES", 1_000_000)
    bomb = hostile(tmp_path, lambda a: a.writestr("zeros", bytes(50_000_000)))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BadInput, match="unpacks to more than"):
        intake.unpack(bomb, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"PK\x03\x04" + b"\xff" * 100])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BadInput, match="cannot be unpacked"):
        intake.unpack(tmp_path / "x.zip", tmp_path / "out")


def test_a_truncated_archive(packed, tmp_path):
    (tmp_path / "cut.zip").write_bytes(packed.read_bytes()[:3000])
    with pytest.raises(BadInput):
        intake.unpack(tmp_path / "cut.zip", tmp_path / "out")


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_whatever_is_damaged_in_it_is_told_and_nothing_stays(tmp_path, how):
    file, chance = tmp_path / "damaged.zip", random.Random(1)
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("submission.yaml", "".join(f"{n}: {n * n}\n" for n in range(2000)))
    whole = file.read_bytes()
    for _ in range(150):
        changed = bytearray(whole)
        changed[chance.randrange(30, len(whole) - 100)] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(changed))
        with pytest.raises(BadInput):
            intake.unpack(file, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_new_starts_from_the_example_and_never_overwrites(tmp_path):
    file = intake.new(tmp_path / "mine")
    assert file.read_text().startswith("#")
    with pytest.raises(BadInput, match="exists already"):
        intake.new(tmp_path / "mine")
