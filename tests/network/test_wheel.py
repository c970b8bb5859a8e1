"""Installed from its wheel, in an empty folder, it does the same: suites, rigs, DBCs and the reference ECU travel along; and whoever has
nothing but that, the published site and a store's export checks what we say."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.paths import ROOT
from programme import life
from programme.session import Session
from publication import write
from publication.job import Edition
from tests.support.programmes import programme
from tests.support.sites import site

# its own copy first, then this environment's dependencies, and nothing that leads to the checkout
CODE = (
    "import sys; sys.path[:0] = sys.argv[1:3]; sys.argv[1:3] = []\n"
    "import harness; assert harness.__file__.startswith(sys.path[0]), harness.__file__\n"
    "from shipei.cli import main; main()"
)
IGNORED = (".git", ".venv", ".tox", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
COCKPIT = "reference-a-sim-1-cpython-3.11-cockpit-1.4.0-sim"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel was installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*IGNORED))
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "-q", "--no-deps", "-w", str(folder / "w"), str(folder / "source")]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    (wheel,) = (folder / "w").glob("shipei-*.whl")
    install = [*pip, "install", "-q", "--no-deps", "--target", str(folder / "installed"), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    assert not (folder / "installed" / "tests").exists()
    return folder / "installed"


@pytest.fixture(scope="module")
def shipei(installed):
    def run(cwd, *arguments):
        command = [sys.executable, "-S", "-c", CODE, installed, sysconfig.get_path("purelib"), *arguments]
        environment = {**os.environ, "PYTHONPATH": ""}
        done = subprocess.run(
            list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def empty(tmp_path_factory, shipei):
    """A folder that was empty before the demonstration."""
    folder = tmp_path_factory.mktemp("empty")
    assert "CERTIFIED" in shipei(folder, "demo", "--no-report")
    return folder


def test_the_wheel_certifies_in_an_empty_folder(empty, shipei):
    assert "mps2-an385-cluster-c" in shipei(empty, "images", "build", "images", "mps2-an385-cluster-c")
    assert (empty / "images" / "mps2-an385-cluster-c" / "firmware.elf").is_file()
    assert (empty / "runs" / "matrix.html").is_file()


def test_an_outsider_verifies_and_judges_again_with_the_site_and_a_stores_export(empty, shipei, tmp_path):
    """The whole profile of the cockpit, with the two commands of docs/programme.md, where nothing of the laboratory's is left."""
    now = datetime.now(UTC).replace(microsecond=0)
    run = empty / "runs" / COCKPIT / "1"
    folder, lab, approver = programme(tmp_path / "laboratory")
    digest = life.issue(Session(folder, lab, now), run)
    life.approve(Session(folder, approver, now), digest, run)
    published, export = tmp_path / "site", tmp_path / "export"
    (one,) = write.write(published, Edition(site=site(("virtual:reference-a:*", "2026-01-01")), folder=folder, now=now))
    (kept,) = json.loads(shipei(tmp_path, "store", "add", run, "--store", export, "--json")).values()
    shutil.rmtree(folder.path)
    shutil.rmtree(Path(empty / "runs"))
    outside = tmp_path / "outside"
    outside.mkdir()
    shipei(outside, "store", "get", kept[7:19], "again", "--store", export)
    verify = ["certificate", "verify", published / "programme" / "certificates" / f"{one.certificate}.json"]
    said = shipei(outside, *verify, "--programme", published / "programme", "--record", "again")
    assert "from its traces: the same" in " ".join(said.split())
