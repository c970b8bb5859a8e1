"""The host's own kernel, where it has CAN: buses that are there already, or that root makes and takes away again."""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.processes import die_with_parent, environment
from rigs.images.packages import Refused, Tell
from shipei.vcan import links
from shipei.vcan.ways import NOT_EXECUTABLE, NOT_FOUND, PASSED_ON, Wanted

CLONE_NEWNET = 0x40000000


class Host:
    """The host's kernel. With `private`, in a network namespace of its own, so that runs beside each other do not meet."""

    name = "host"

    def check(self, wanted: Wanted, tell: Tell) -> str:
        there = [b for b in wanted.buses if not wanted.private and links.is_can(b)]
        wrong = [text for b in there if (text := links.trouble(b, wanted.fd))]
        if wrong:
            raise Refused(f"the host's kernel: {'; '.join(wrong)}")
        if len(there) < len(wanted.buses):
            self.try_out()
        return f"the host's kernel, Linux {os.uname().release}"

    def try_out(self) -> None:
        """Whether this kernel makes virtual CAN interfaces for us. Raises Refused."""
        if os.geteuid() != 0:
            raise Refused(
                "the host's kernel: making a vcan needs root; `ip link add vcan0 type vcan` as root does it once"
            )
        name = f"shipei{os.getpid() % 100_000}"
        try:
            links.add(name, True)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise Refused(f"the host's kernel: making a vcan: {error.strerror}") from None
            said = modprobe()
            if said:
                raise Refused(f"the host's kernel has no vcan ({said})") from None
            links.add(name, True)
        links.remove(name)

    def run(self, wanted: Wanted) -> int:
        if wanted.private and not in_private():
            command = [
                sys.executable,
                "-m",
                "shipei.vcan.host",
                str(int(wanted.fd)),
                *wanted.buses,
                "--",
                *wanted.command,
            ]
            before = os.environ.get("PYTHONPATH", "")
            return passing_on(command, {**environment(), **wanted.environment, "SHIPEI_PYTHONPATH": before})
        with buses(wanted.buses, wanted.fd):
            return passing_on(wanted.command, {**os.environ, **wanted.environment})

    def setup(self, tell: Tell) -> Mapping[str, str]:
        return {"kernel": self.check(Wanted(command=()), tell)}


def modprobe() -> str:
    """Load what CAN needs; what went wrong, in words."""
    tool = shutil.which("modprobe")
    if tool is None:
        return "and there is no modprobe to load it with"
    for module in ("can", "can-raw", "can-bcm", "can-isotp", "vcan"):
        done = subprocess.run([tool, module], capture_output=True, text=True)
        if done.returncode and module == "vcan":
            return f"modprobe vcan: {done.stderr.strip() or 'failed'}; on Ubuntu: apt-get install linux-modules-extra-$(uname -r)"
    return ""


@contextmanager
def buses(names: tuple[str, ...], fd: bool) -> Iterator[None]:
    """Make the interfaces that are not there; take them away afterwards."""
    made = []
    try:
        for name in names:
            if not links.is_can(name):
                links.add(name, fd)
                made.append(name)
        yield
    finally:
        for name in made:
            links.remove(name)


def passing_on(command: tuple[str, ...] | list[str], environment: Mapping[str, str]) -> int:
    """Run a command as ours: it gets the signals that we get; its exit code, or 128 + N."""
    try:
        child = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)
    except FileNotFoundError:
        sys.stderr.write(f"shipei vcan: {command[0]}: not found\n")
        return NOT_FOUND
    except PermissionError as error:
        sys.stderr.write(f"shipei vcan: {command[0]}: {error.strerror}\n")
        return NOT_EXECUTABLE
    from_terminal = os.isatty(0)  # then the terminal tells the child itself

    def signalled(number: int, frame: object) -> None:
        if not (from_terminal and number == signal.SIGINT):
            child.send_signal(number)

    before = {s: signal.signal(s, signalled) for s in PASSED_ON}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def in_private() -> bool:
    return "SHIPEI_PYTHONPATH" in os.environ


def main(arguments: list[str]) -> int:
    """In a process of its own: leave the host's network, make the buses, run the command."""
    die_with_parent()
    fd, rest = bool(int(arguments[0])), arguments[1:]
    at = rest.index("--")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.stderr.write("shipei vcan: a network namespace of its own cannot be made\n")
        return 3
    links.set_up_loopback()
    theirs = dict(os.environ)
    theirs["PYTHONPATH"] = theirs.pop("SHIPEI_PYTHONPATH")
    if not theirs["PYTHONPATH"]:
        del theirs["PYTHONPATH"]
    with buses(tuple(rest[:at]), fd):
        return passing_on(rest[at + 1 :], theirs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
