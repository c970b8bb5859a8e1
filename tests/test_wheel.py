"""Installed from its wheel, in an empty folder, it does the same: suites, rigs, DBCs and the reference ECU travel along."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from harness.paths import ROOT


def test_the_wheel_certifies_in_an_empty_folder(tmp_path):
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".tox", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache"
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "-w", str(tmp_path / "w"), str(source)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = (tmp_path / "w").glob("shipei-*.whl")
    installed = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--target", str(installed), str(wheel)],
        check=True,
        capture_output=True,
        timeout=300,
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    # its own copy first, then this environment's dependencies, and nothing that leads to the checkout
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]; sys.argv[1:3] = []\n"
        "import harness; assert harness.__file__.startswith(sys.path[0]), harness.__file__\n"
        "from harness.cli import main; main()"
    )
    command = [sys.executable, "-S", "-c", code, str(installed), sysconfig.get_path("purelib"), "demo", "--no-report"]
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CERTIFIED" in done.stdout
    assert (empty / "runs" / "matrix.html").is_file()
    assert not Path(installed / "tests").exists()
