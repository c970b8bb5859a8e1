"""Wait for a thing, with a limit that only a hang reaches."""

import socket
import time


def until(what, within_s=30.0, every_s=0.01):
    """Return what `what()` gives as soon as that is true; fail when it never is."""
    deadline = time.monotonic() + within_s
    while not (got := what()):
        assert time.monotonic() < deadline, f"it did not happen within {within_s} s"
        time.sleep(every_s)
    return got


def free_port():
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
