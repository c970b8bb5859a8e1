"""What the record costs a test: trivial tests under plain pytest, under allure-pytest, and with our events written."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS, ROUNDS, NOISE_MS = 5000, 5, 0.01
PLUGIN = """
import pytest
from harness.record import Recorder

def pytest_configure(config):
    import pathlib
    config.recorder = Recorder(pathlib.Path("record"))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    write = item.config.recorder.write
    if report.when == "setup":
        write("started", requirement="X-1", test=item.nodeid, time_ns=1)
    elif report.when == "call":
        write("measured", requirement="X-1", test=item.nodeid, name="m", unit="ms", value=1.5, context={"a": 1})
    else:
        write("ended", requirement="X-1", test=item.nodeid)
    return report
"""


def measure():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "test_many.py").write_text(
            f"import pytest\n@pytest.mark.parametrize('n', range({TESTS}))\ndef test_one(n): pass\n"
        )
        (folder / "recording.py").write_text(PLUGIN)
        plugins = {
            "plain": (),
            "record": ("-p", "recording"),
            "allure": ("-p", "allure_pytest", "--alluredir", "allure"),
        }
        walls = dict.fromkeys(plugins, float("inf"))
        for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine hits all alike
            for name, options in plugins.items():
                walls[name] = min(walls[name], once(folder, *options))
    ours, theirs = (1000 * (walls[n] - walls["plain"]) / TESTS for n in ("record", "allure"))
    return [
        [
            f"what recording adds to a test ({TESTS} trivial tests; plain pytest {1000 * walls['plain'] / TESTS:.2f} ms each)",
            f"{ours:.3f} ms",
            f"allure-pytest {theirs:.3f} ms",
            f"{theirs / ours:.0f}x less"
            if ours > NOISE_MS
            else f"more than {theirs / NOISE_MS:.0f}x less (ours is within noise)",
        ]
    ]


def once(folder, *options):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
        *options,
        "test_many.py",
    ]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{folder}{os.pathsep}{root}"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start
