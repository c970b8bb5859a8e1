"""What an image archive must not have is refused before an engine sees it, every mistake at once."""

import gzip
import io
import json
import subprocess
import sys
import tarfile

import pytest

from harness.inputs import container_archive
from rigs.ecus import image
from tests.support.images import BUSYBOX, archive, entry, oci, raw_layer, with_artefact


def checked(tmp_path, raw):
    file = tmp_path / "image.tar"
    file.write_bytes(raw)
    return container_archive.check(file)


def test_a_reference_image_is_the_same_bytes_every_time_and_holds(tmp_path):
    one, other = (image.build_image(tmp_path / n) for n in ("a", "b"))
    name = "cockpit-1.4.0.tar"
    assert (one / name).read_bytes() == (other / name).read_bytes()
    found, mistakes = container_archive.check(one / name)
    assert mistakes == []
    assert (found.kind, found.architecture, len(found.layers)) == ("docker-archive", "amd64", 2)


def test_an_oci_archive_holds_too(tmp_path):
    found, mistakes = checked(tmp_path, oci([image.layer(BUSYBOX)]))
    assert mistakes == []
    assert found.kind == "oci-archive"


def sparse():
    """A file of 1 TB that takes a kilobyte: GNU's sparse form, as tar -S writes it."""
    info = tarfile.TarInfo("huge")
    info.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[156:157] = b"S"
    head[386:410] = b"%011o\0%011o\0" % (0, 0)
    head[483:495] = b"%011o\0" % (8**11 - 1)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + bytes(1024)


LINK = {"type": tarfile.SYMTYPE}
WRONG = {
    "absolute": (entry("/etc/passwd", b"x"), "leads outside the image"),
    "above": (entry("a/../../../etc/passwd", b"x"), "leads outside the image"),
    "hard link": (
        entry("x", type=tarfile.LNKTYPE, linkname="../../etc/shadow"),
        "hard link to '../../etc/shadow', outside",
    ),
    "device": (entry("sda", type=tarfile.BLKTYPE, devmajor=8), "a device or a pipe"),
    "pipe": (entry("pipe", type=tarfile.FIFOTYPE), "a device or a pipe"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_leads_out_of_a_layer_is_refused(name, tmp_path):
    made, said = WRONG[name]
    _, mistakes = checked(tmp_path, archive(tmp_path, raw_layer(made)))
    assert said in "; ".join(mistakes)


@pytest.mark.parametrize("target", ["/etc", "../../../etc"])
def test_a_file_written_through_a_link_is_refused_in_one_layer_and_across_two(target, tmp_path):
    link, file = entry("evil", linkname=target, **LINK), entry("evil/passwd", b"root::0:0")
    for layers in ([raw_layer(link, file)], [raw_layer(link), raw_layer(file)]):
        _, mistakes = checked(tmp_path, archive(tmp_path, *layers))
        assert f"'evil/passwd' is written through the link 'evil' to '{target}'" in "; ".join(mistakes)
    merged = raw_layer(entry("bin", linkname="usr/bin", **LINK), entry("bin/tool", b"x"))  # as Debian's merged /usr
    assert checked(tmp_path, archive(tmp_path, merged))[1] == []


def test_a_sparse_giant_is_refused_without_reading_it(tmp_path):
    _, mistakes = checked(tmp_path, archive(tmp_path, sparse()))
    assert any("sparse" in m or "claims" in m for m in mistakes), mistakes


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = raw_layer(entry("zeros", bytes(60_000_000)))
    assert len(gzip.compress(bomb, 9)) < 100_000
    _, mistakes = checked(tmp_path, oci([bomb]))
    assert "a bomb" in "; ".join(mistakes)


def test_a_claim_of_more_bytes_than_there_are_is_refused(tmp_path):
    info = tarfile.TarInfo("big")
    info.size = 3_000_000_000
    _, mistakes = checked(tmp_path, archive(tmp_path, info.tobuf() + bytes(1024)))
    assert "claims 3000000000 bytes" in "; ".join(mistakes)


def test_a_header_that_claims_a_gigabyte_is_refused(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    for raw in (archive(tmp_path, info.tobuf() + bytes(1024)), info.tobuf() + bytes(1024)):
        _, mistakes = checked(tmp_path, raw)
        assert "a header of" in "; ".join(mistakes)


@pytest.mark.parametrize(
    ("wrong", "said"), [("diff", "and the configuration says sha256:0000"), ("blob", "has another digest")]
)
def test_wrong_digests_are_refused(wrong, said, tmp_path):
    _, mistakes = checked(tmp_path, oci([image.layer(BUSYBOX)], wrong))
    assert said in "; ".join(mistakes)


def test_too_many_layers_and_files_are_refused(tmp_path, monkeypatch):
    _, mistakes = checked(tmp_path, archive(tmp_path, *[raw_layer(entry(f"f{n}")) for n in range(65)]))
    assert "65 layers; 64 are allowed" in "; ".join(mistakes)
    monkeypatch.setattr(container_archive, "MOST_FILES", 10)
    _, mistakes = checked(tmp_path, archive(tmp_path, raw_layer(*[entry(f"f{n}") for n in range(11)])))
    assert "more than 10 files" in "; ".join(mistakes)


def test_volumes_other_systems_and_nothing_to_run_are_refused(tmp_path):
    _, mistakes = checked(tmp_path, archive(tmp_path, raw_layer(entry("f")), Volumes={"/data": {}}, Cmd=None))
    assert "VOLUME /data" in "; ".join(mistakes)
    assert "nothing to run" in "; ".join(mistakes)


@pytest.mark.parametrize("raw", [b"", b"no archive at all" * 100, bytes(10_240)])
def test_what_is_no_image_is_said(raw, tmp_path):
    found, mistakes = checked(tmp_path, raw)
    assert found is None
    assert len(mistakes) == 1


def test_entries_of_the_archive_itself_that_lead_out_are_refused(tmp_path):
    out = io.BytesIO(archive(tmp_path, raw_layer(entry("f"))))
    with tarfile.open(fileobj=out, mode="a") as tar:
        tar.addfile(*[x if isinstance(x, tarfile.TarInfo) else io.BytesIO(x) for x in entry("../../escape", b"x")])
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../etc/passwd"
        tar.addfile(link)
    _, mistakes = checked(tmp_path, out.getvalue())
    assert "'../../escape' leads outside the archive" in mistakes
    assert "'link' is a link, a device or sparse, not a file" in mistakes


def test_two_images_in_one_archive_are_refused(tmp_path):
    raw = archive(tmp_path, raw_layer(entry("f")))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        files = {m.name: (0o644, tar.extractfile(m).read()) for m in tar}
    files["manifest.json"] = (0o644, json.dumps(2 * json.loads(files["manifest.json"][1])).encode())
    _, mistakes = checked(tmp_path, image.layer(files))
    assert "2 images; one is expected" in "; ".join(mistakes)


def test_people_are_told_with_file_and_line(tmp_path):
    made = with_artefact(tmp_path / "s", archive(tmp_path, raw_layer(WRONG["above"][0], WRONG["device"][0])))
    done = subprocess.run(
        [sys.executable, "-m", "harness", "submission", "check", str(made)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "submission.yaml:8: image.tar: 'a/../../../etc/passwd' leads outside the image" in done.stderr
    assert "submission.yaml:8: image.tar: 'sda' is a device or a pipe" in done.stderr


def test_a_rig_that_runs_programs_says_that_this_is_none(tmp_path):
    made = image.build_image(tmp_path / "s")
    for rig in ("sim", "hub"):
        done = subprocess.run(
            [sys.executable, "-m", "harness", "plan", str(made), "--rig", rig], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert f"submission.yaml:8: the rig {rig} runs a program, and cockpit-1.4.0.tar is a container" in done.stderr
