"""Programs of the lab: an argument list, a time limit, no shell. What they print is kept for the message when they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from harness.errors import RigError

SHOWN = 600


def run(arguments: Sequence[str], limit_s: float, values: Mapping[str, str] | None = None) -> str:
    """Run a lab's program; its standard output. `{name}` in an argument is replaced by a value.

    Raises RigError, with the last of what it printed, when it cannot start, fails, or takes too long.
    """
    filled = [fill(a, values or {}) for a in arguments]
    if not filled:
        raise RigError("an empty command")
    try:
        process = subprocess.Popen(
            filled, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise RigError(f"{filled[0]} cannot be started: {error.strerror}: is it installed, and executable?") from error
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        raise RigError(f"{' '.join(filled)} did not end within {limit_s:g} s{said(out, err)}") from None
    if process.returncode:
        raise RigError(f"{' '.join(filled)} ended with code {process.returncode}{said(out, err)}")
    return out.decode("utf-8", "replace")


def fill(argument: str, values: Mapping[str, str]) -> str:
    """
    >>> fill("--image={artefact}", {"artefact": "/x/{y}"})
    '--image=/x/{y}'
    """
    for name, value in values.items():
        if f"{{{name}}}" in argument:
            return argument.replace(f"{{{name}}}", value)
    return argument


def said(out: bytes, err: bytes) -> str:
    text = (err or out).decode("utf-8", "replace").strip()
    return f"; it said: {text[-SHOWN:]}" if text else ""
