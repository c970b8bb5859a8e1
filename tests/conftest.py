"""What a folder promises: `unit` waits for nothing, speaks to nobody, writes into its own folder only; no lane touches what is the user's."""

import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import urllib3.util.connection  # noqa: F401  # tries a socket when it is imported: not while somebody watches
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.promises import CPU_S, LONG, Broken, Watch, named_in

WATCH = Watch()
SLOW: list[str] = []
USED = pytest.StashKey[float]()


settings.register_profile("lanes", derandomize=True, database=None, deadline=None)
settings.load_profile("lanes")


def pytest_configure(config):
    """Folders of our own for all that a program keeps for its user; what was downloaded stays from run to run."""
    if hasattr(config, "workerinput"):  # of xdist: in the folder of who started it
        home = Path(os.environ["TMPDIR"])
        set_hypothesis_home_dir(home)
        WATCH.start(home)
        return
    home = Path(tempfile.mkdtemp(prefix="sp-"))  # short: sockets lie in it
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for kind in ("STATE", "CONFIG", "DATA"):
        os.environ[f"XDG_{kind}_HOME"] = str(home / kind.lower())
    os.environ.setdefault("XDG_CACHE_HOME", str(Path(tempfile.gettempdir()) / f"shipei-tests-{os.getuid()}"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(home)
    set_hypothesis_home_dir(home)
    WATCH.start(home)


def lane_of(item):
    return item.path.relative_to(Path(__file__).parent).parts[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Watch set-up, test and tear-down of what lies in `unit`."""
    if lane_of(item) != "unit":
        return (yield)
    WATCH.begin(item.nodeid)
    item.stash[USED] = used_s()
    try:
        return (yield)
    finally:
        WATCH.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """How much of a CPU a test and what it started used, told to whoever collects the reports."""
    if call.when == "teardown" and USED in item.stash:
        item.user_properties.append(("cpu_s", used_s() - item.stash[USED]))
    return (yield)


def pytest_runtest_logreport(report):
    took = dict(report.user_properties).get("cpu_s", 0.0)
    if report.when == "teardown" and took > CPU_S and not named_in(LONG, report.nodeid):
        SLOW.append(f"{report.nodeid}: {took:.1f} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A broken promise fails its test, even where the code under test has swallowed the error."""
    found = yield
    if WATCH.broken:
        raise Broken("; ".join(WATCH.broken))
    return found


def used_s():
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@pytest.fixture(autouse=True)
def no_real_sleep(request, monkeypatch):
    if lane_of(request.node) == "unit":
        monkeypatch.setattr(time, "sleep", WATCH.sleep(time.sleep))


def pytest_terminal_summary(terminalreporter):
    if SLOW:
        terminalreporter.line(f"unit: over {CPU_S} s of CPU, and not named in tests/support/promises.py:")
        for one in SLOW:
            terminalreporter.line(f"  {one}")
