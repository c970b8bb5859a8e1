"""Reference images: which there are, the same bytes for the same inputs, faults while building; and what a submission of one may be."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from harness import certify
from harness.errors import BadInput
from harness.inputs import submission
from harness.model import Decision
from harness.paths import ROOT
from rigs.images import build, debian, disk, linux
from tests.support.boards import REFERENCE, image, quiet

# ---------------------------------------------------------------- the catalogue, and the same bytes


def test_the_catalogue_has_two_instruction_sets_two_kernels_and_two_applications():
    linuxes = [i for i in build.catalogue().values() if i.release]
    assert len(linuxes) >= 8
    boards = {i.board for i in linuxes if {o.release for o in linuxes if o.board == i.board} == {"12", "13"}}
    assert len({linux.BOARDS[b]["architecture"] for b in boards}) >= 2
    assert {i.ecu for i in linuxes} == {"cluster-c", "assist-c"}


@pytest.mark.parametrize("board", ["qemu-virt-a53", "qemu-pc"])
def test_the_same_inputs_give_the_same_bytes_whoever_builds(board, tmp_path, monkeypatch):
    first = linux.parts(board, "12", "cluster-c", quiet)
    time.sleep(1.1)  # another second, for whatever keeps the time
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    old = os.umask(0o077)
    try:
        again = linux.parts(board, "12", "cluster-c", quiet)
    finally:
        os.umask(old)
    assert {role: build.digest(c) for role, c in first.items()} == {r: build.digest(c) for r, c in again.items()}


def test_what_was_built_is_taken_from_the_cache_and_a_change_of_an_input_is_not(tmp_path):
    said = []
    for defect in (linux.SOUND, linux.SOUND, linux.Defect(late_s=0.5)):
        build.build(tmp_path / "s", build.catalogue()[REFERENCE], said.append, defect)
    assert len([w for w in said if w.startswith("building")]) <= 2
    assert build.inputs(build.catalogue()[REFERENCE], linux.SOUND) != build.inputs(
        build.catalogue()[REFERENCE], linux.Defect(late_s=0.5)
    )


@pytest.mark.parametrize("name", build.catalogue())
def test_every_image_is_a_submission_without_mistakes(name, tmp_path):
    """And in the cache: the boards' tests, which want every CPU, find it there."""
    folder = build.build(tmp_path / "s", build.catalogue()[name], quiet)
    assert submission.load(folder).artefacts
    shutil.rmtree(folder)


def cli(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_command_builds_what_is_named_and_says_what_is_not_there(tmp_path):
    done = cli("images", "build", tmp_path / "images", "mps2-an385-assist-c", "--json")
    assert done.returncode == 0, done.stderr
    (folder,) = json.loads(done.stdout)["images"]
    assert submission.load(Path(folder)).combination.os.name == "bare-metal"
    wrong = cli("images", "build", tmp_path / "other", "mps2-an385-asist-c")
    assert (wrong.returncode, "did you mean 'mps2-an385-assist-c'" in wrong.stderr) == (2, True)
    assert not (tmp_path / "other").exists()


def test_a_missing_compiler_is_named_with_its_package(tmp_path):
    done = cli("images", "build", tmp_path / "images", "mps2-an385-cluster-c", PATH="/nowhere")
    assert done.returncode == 2
    assert "there is no arm-none-eabi-gcc: apt-get install gcc-arm-none-eabi picolibc-arm-none-eabi" in done.stderr
    assert not (tmp_path / "images" / "mps2-an385-cluster-c").exists()


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    """A limit on the size of files stands for it: the write fails in the middle, as on a full disk."""
    command = f"ulimit -f 20000; exec {sys.executable} -m harness images build {tmp_path / 'images'} {REFERENCE}"
    cache = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    linux.places("qemu-virt-a53", "12", quiet)
    shutil.copytree(debian.cache() / "debian", tmp_path / "cache" / "shipei" / "kernels" / "debian")
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, env=cache)
    assert done.returncode == 2, done.stderr
    assert "the images cannot be built" in done.stderr
    assert list((tmp_path / "images").iterdir()) == []
    assert not (tmp_path / "cache" / "shipei" / "kernels" / "images").exists()


def test_too_little_space_is_said_before_anything_is_built(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda where: usage._replace(free=1000))
    with pytest.raises(OSError, match="less than 300 MB are free"):
        image(tmp_path / "images")


def test_a_file_of_a_package_that_is_not_as_it_was_fetched_is_not_built_in(tmp_path):
    place = tmp_path / "package"
    (place / "boot").mkdir(parents=True)
    (place / "boot" / "vmlinuz").write_bytes(b"another kernel")
    (place / debian.DESCRIBED).write_text(json.dumps({"name": "x", "files": {"boot/vmlinuz": "00"}}))
    with pytest.raises(debian.Refused, match="is not as it was fetched"):
        debian.described(place)


def test_a_disk_that_a_boot_loader_reads_holds_what_was_put_in(tmp_path):
    disk.write(tmp_path / "disk", {"vmlinuz": b"k" * 3_000_000, "extlinux/extlinux.conf": b"default ecu\n"})
    whole = (tmp_path / "disk").read_bytes()
    assert whole[510:512] == b"\x55\xaa"
    (tmp_path / "partition").write_bytes(whole[disk.ALIGNED * disk.SECTOR :])
    checked = subprocess.run(["/sbin/e2fsck", "-fn", str(tmp_path / "partition")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    command = ["/sbin/debugfs", "-R", "cat extlinux/extlinux.conf", str(tmp_path / "partition")]
    assert subprocess.run(command, capture_output=True).stdout == b"default ecu\n"


# ---------------------------------------------------------------- what a submission of one may be


@pytest.mark.parametrize(
    ("artefacts", "said"),
    [
        ("[{role: disk, path: disk.img, sha256: D}, {role: disk, path: disk.img, sha256: D}]", "two artefacts with the role disk"),
        ("[{role: firmware, path: disk.img, sha256: D}, {role: disk, path: disk.img, sha256: D}]", "stands alone"),
        ("[{role: application, path: disk.img, sha256: D}, {role: disk, path: disk.img, sha256: D}]", "stands alone"),
        ("[{role: disk, form: container, path: disk.img, sha256: D}]", "a disk is no container image"),
        ("[]", "no artefact"),
    ],
)  # fmt: skip
def test_a_mixture_of_artefacts_is_named(artefacts, said, tmp_path):
    folder = image(tmp_path, "mps2-an385-cluster-c")
    (folder / "disk.img").write_bytes(b"disk")
    file = folder / "submission.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["artefacts"] = yaml.safe_load(artefacts.replace("sha256: D", f"sha256: {build.digest(b'disk')}"))
    file.write_text(yaml.safe_dump(declared))
    with pytest.raises(BadInput, match=said):
        submission.load(folder)


def test_an_image_for_another_rig_is_told_before_anything_runs(tmp_path):
    folder = image(tmp_path, "mps2-an385-cluster-c")
    done = cli("plan", folder, "--rig", "qemu-arm64", "--output", tmp_path / "plan")
    assert done.returncode == 2
    assert "claims the chip mps2-an385 1, but the rig qemu-arm64 is qemu-virt-a53 1" in done.stderr
    text = (folder / "submission.yaml").read_text().replace("mps2-an385", "sim")
    (folder / "submission.yaml").write_text(text)
    done = cli("plan", folder, "--rig", "hub", "--output", tmp_path / "plan")
    assert "the rig hub runs a program, and firmware.elf is an image" in done.stderr


def test_an_image_of_another_chip_is_refused_as_one_that_does_not_boot(tmp_path):
    folder, other = image(tmp_path), image(tmp_path, "qemu-pc-linux6.1-cluster-c")
    shutil.copyfile(other / "disk.img", folder / "disk.img")
    file = folder / "submission.yaml"
    declared = yaml.safe_load(file.read_text())
    declared["artefacts"][1]["sha256"] = build.digest((folder / "disk.img").read_bytes())
    file.write_text(yaml.safe_dump(declared))
    profile = tmp_path / "short.yaml"
    text = "name: short\nversion: '1'\nsuites: [common]\nmandatory: [BOOT-STAGES-001]\nlimit_s: 120\nready_s: 12\n"
    profile.write_text(text)
    done = certify.certify(folder, "qemu-arm64", tmp_path / "runs", certify.Terms(profile=str(profile)))
    assert done.verdict.decision is Decision.REFUSED
    assert "no line 'instrument cluster in C up$'" in done.verdict.requirements[0].reason
