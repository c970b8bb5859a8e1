"""What an engine promises, proven: a container of ours under the item's own limits tries to break each of them."""

from dataclasses import dataclass
from typing import Any

from adapters._container.image import probe_image
from adapters._container.memory import HOME
from harness.errors import RigError

PROBE_S = 60
MB = 1 << 20
SCRIPT = r"""
say() { echo "$1=$2"; }
say uid "$(id -u)"
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | while read -r k v; do say "${k%:}" "$v"; done
say cpu "$(cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us 2>/dev/null | head -n 1)"
say links "$(cat /proc/net/dev | grep -c :)"
touch /probe 2>/dev/null && say root writable || say root read-only
mount -t tmpfs none /tmp 2>/dev/null && say mount allowed || say mount refused
date -s "2001-01-01 00:00:00" >/dev/null 2>&1; [ "$(date +%Y)" = 2001 ] && say clock set || say clock refused
dd if=/dev/zero of=/tmp/big bs=1048576 count=$((TMPFS_MB + 8)) 2>/dev/null && say tmpfs unlimited || say tmpfs limited
rm -f /tmp/big
dd if=/dev/zero of="$HOME/big" bs=1048576 count=$((TMPFS_MB + 8)) 2>/dev/null && say home unlimited || say home limited
[ -s "$HOME/big" ] || say home read-only
rm -f "$HOME/big"
dd if=/dev/zero of=/dev/null bs=$((MEMORY_MB + 32))M count=1 2>/dev/null && say memory unlimited || say memory limited
say forked "$( (i=0; while [ $i -lt $((PIDS + 40)) ]; do sleep 600 >/dev/null 2>&1 & i=$((i + 1)); echo $i; done) 2>/dev/null | tail -n 1)"
"""
EXPECTED = {
    "CapEff": ("0000000000000000", "it has capabilities"),
    "CapBnd": ("0000000000000000", "it can get capabilities"),
    "NoNewPrivs": ("1", "it can get privileges (no-new-privileges is off)"),
    "Seccomp": ("2", "its system calls are not filtered"),
    "root": ("read-only", "its root file system can be written"),
    "mount": ("refused", "it can mount"),
    "clock": ("refused", "it can set the clock"),
    "tmpfs": ("limited", "its /tmp has no limit"),
    "home": ("limited", "what it keeps has no limit, or no place"),
    "memory": ("limited", "its memory has no limit"),
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an item may have: memory, processes, place to write, CPUs, network interfaces (the loopback counts)."""

    memory_mb: int
    pids: int
    tmpfs_mb: int
    cpus: float
    links: int = 1


def proven(client: Any, settings: dict[str, Any], kept: str, limits: Limits) -> dict[str, str]:
    """What the probe saw; `kept` is the item's volume. Raises RigError, naming each limit that does not hold."""
    asked = {"MEMORY_MB": limits.memory_mb, "PIDS": limits.pids, "TMPFS_MB": limits.tmpfs_mb}
    environment = {**asked, "PATH": "/bin", "HOME": HOME}
    own = {**settings, "environment": environment, "volumes": {kept: {"bind": HOME, "mode": "rw"}}}
    container = client.containers.create(probe_image(client), ["/bin/sh", "-c", SCRIPT], **own)
    try:
        container.start()
        container.wait(timeout=PROBE_S)
        lines = container.logs(stdout=True, stderr=False).decode(errors="replace").splitlines()
    finally:
        container.remove(force=True)
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    wrong = broken(found, limits)
    if wrong:
        raise RigError(f"this container engine does not keep what was asked of it: {'; '.join(wrong)}")
    return found


def broken(found: dict[str, str], limits: Limits) -> list[str]:
    """The limits that do not hold, in words.

    >>> limits = Limits(memory_mb=256, pids=64, tmpfs_mb=16, cpus=0.5)
    >>> sorted(broken({**{k: v for k, (v, _) in EXPECTED.items()}, "uid": "65534", "forked": "90", "cpu": "50000 100000", "links": "1"}, limits))
    ['it started 90 processes, and 64 are allowed']
    """
    wrong = [
        f"{why} ({found.get(key, 'it says nothing')})"
        for key, (value, why) in EXPECTED.items()
        if found.get(key) != value
    ]
    if found.get("uid") in (None, "", "0"):
        wrong.append("it runs as root")
    if found.get("links") != str(limits.links):
        wrong.append(
            f"it has {found.get('links')} network interfaces, and {limits.links} are allowed (the loopback, and CAN)"
        )
    forked = found.get("forked", "")
    if not forked.isdigit() or int(forked) > limits.pids:
        wrong.append(f"it started {forked or 'no'} processes, and {limits.pids} are allowed")
    quota = found.get("cpu", "").split()
    if (
        not quota
        or not quota[0].isdigit()
        or int(quota[0]) > limits.cpus * int(quota[1] if len(quota) > 1 else 100_000)
    ):
        wrong.append(f"its CPU time has no limit ({found.get('cpu')})")
    return wrong
