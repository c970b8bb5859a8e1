"""Our own helper processes: modules of ours in a Python of their own, that die with us."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

from harness.processes import die_with_parent, environment

END_S = 5.0
Process = subprocess.Popen[bytes]


def start_module(module: str, *arguments: str) -> Process:
    """python -m module, its standard input and output piped to us."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        preexec_fn=die_with_parent,
    )


def end(process: Process) -> None:
    """End it, kindly first; close its pipes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def kill_group(child: Process | None) -> None:
    """Kill a process, if there is one, with all that it started; it must be the first of its session."""
    if child is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(END_S)
