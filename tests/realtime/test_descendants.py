"""Nothing that a run starts outlives it, however it tries to get away."""

import subprocess
import sys
import time
from pathlib import Path

from harness import processes

ESCAPE = """
import os, subprocess, sys, time
if os.fork() == 0:            # a double fork into a session of its own
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
time.sleep(0.3)
"""


def test_a_process_in_a_session_of_its_own_is_ended_too(tmp_path):
    file = tmp_path / "pid"
    with processes.owned():
        child = subprocess.Popen([sys.executable, "-c", ESCAPE, str(file)], start_new_session=True)
        deadline = time.monotonic() + 10
        while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        escaped = int(file.read_text())
        assert Path(f"/proc/{escaped}").exists()
        processes.end(child.pid)
        child.wait()
    assert not Path(f"/proc/{escaped}").exists()


def test_processes_from_before_are_left_alone():
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with processes.owned():
            pass
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
