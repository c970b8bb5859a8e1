"""A fence around an item that is a program of this host: namespaces of its own (user, mount, process, IPC, host name, network), by util-linux's `unshare`.

Inside there are the system's programs and libraries and this Python, all read-only; the item itself, its own home and /tmp, the files that it is told of (its
hub, its terminal), a few devices; no process but its own, no network, no privilege and no way to one. Of the lab's home, keys, checkout, records and other runs there is
nothing. Where the kernel or its keeper forbids that, `lacking` says why, and the item runs unfenced, which its record says.
"""

import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from harness.errors import RigError, shown

UNSHARE = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
HOME, TEMPORARY, ITEM = "/home/item", "/tmp", "/item/artefact"
PROBE_S = 20.0
TOOLS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SCRIPT = r"""
set -e
root=$1 work=$2 ready=$3
shift 3
locked() { mount -o "remount,bind,$1" "$2" 2>/dev/null || mount -o "remount,bind,$1,nosuid,nodev" "$2" 2>/dev/null || mount -o "remount,bind,$1,nosuid,nodev,noexec" "$2"; }
mount -t tmpfs -o size=2m,mode=755,nosuid,nodev tmpfs "$root"
cd "$root"
mkdir -p dev/shm dev/pts proc tmp home/item item etc old
mount --bind "$work/tmp" tmp
for place; do
  if [ -L "$place" ]; then
    mkdir -p ".${place%/*}"
    cp -P "$place" ".$place"
  elif [ -d "$place" ]; then
    mkdir -p ".$place"
    mount --rbind "$place" ".$place"
  fi
done
cut -d " " -f 5 /proc/self/mountinfo | while read -r at; do
  case "$at" in "$root"/tmp | "$root") ;; "$root"/*) locked ro "$at" ;; esac
done
for place; do
  if [ ! -d "$place" ] && [ ! -L "$place" ] && [ -e "$place" ]; then
    mkdir -p ".${place%/*}"
    : >".$place"
    mount --bind "$place" ".$place"
  fi
done
mount --bind "$work/home" home/item
mount -t tmpfs -o size=16m,mode=1777,nosuid,nodev tmpfs dev/shm
for device in null zero full random urandom; do : >"dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
for name in ld.so.cache passwd group nsswitch.conf localtime; do [ ! -f "/etc/$name" ] || cp -L "/etc/$name" "etc/$name"; done
[ ! -d /etc/alternatives ] || cp -dR /etc/alternatives etc/
: >item/artefact
mount --bind "$work/artefact" item/artefact
locked ro item/artefact
mount -t proc -o nosuid,nodev,noexec proc proc
mount -o remount,bind,ro,nosuid,nodev,noexec proc
pivot_root . old
umount -l /old
rmdir /old
mount -o remount,bind,ro,nosuid,nodev /
cd /home/item
printf . >"/proc/self/fd/$ready"
setpriv --no-new-privs --bounding-set=-all --inh-caps=-all -- /item/artefact
exit $?
"""


def command(work: Path, ready: int, seen: Sequence[str], *, network: bool) -> list[str]:
    """Run `work`/artefact inside. It has begun when a byte comes on the pipe `ready`; `seen` are files that are there too; `network`: with the host's."""
    root = work / "root"
    root.mkdir(exist_ok=True)
    alone = () if network else ("--net",)
    places = [*SYSTEM, *python_places(), *seen]
    return [*UNSHARE, *alone, "/bin/sh", "-c", SCRIPT, "fence", str(root), str(work), str(ready), *places]


def python_places() -> list[str]:
    """Where the Python lies that items find as python3, with its packages, as far as it is no part of the system."""
    named = (sys.base_prefix, sys.prefix)
    places = dict.fromkeys(place for one in named for place in (os.path.realpath(one), one))
    return [place for place in places if not Path(place).is_relative_to("/usr")]


def environment(told: Mapping[str, str]) -> dict[str, str]:
    """What the item has in its environment: the way to programs, its own folders, and what it is told."""
    own = [f"{place}/bin" for place in dict.fromkeys((sys.prefix, sys.base_prefix))]
    path = [*own, "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    return {"PATH": os.pathsep.join(path), "HOME": HOME, "TMPDIR": TEMPORARY, **told}


@cache
def lacking(network: bool = False) -> str:
    """Why there is no fence on this host; empty if there is one. Tried once, with a program that does nothing. Raises RigError where the host is too busy to try."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    missing = [tool for tool in ("unshare", "setpriv", "pivot_root", "mount") if not shutil.which(tool, path=TOOLS)]
    if missing:
        return f"util-linux's {', '.join(missing)} is missing"
    with tempfile.TemporaryDirectory(prefix="shipei-fence-") as name:
        work = Path(name)
        for folder in ("home", "tmp"):
            (work / folder).mkdir()
        (work / "artefact").write_text("#!/bin/sh\nexit 0\n")
        (work / "artefact").chmod(0o500)
        reads, writes = os.pipe()
        try:
            done = subprocess.run(
                command(work, writes, (), network=network), capture_output=True, text=True, errors="replace",
                env=environment({}), pass_fds=(writes,), timeout=PROBE_S, check=False,
            )  # fmt: skip
            begun = bool(select.select([reads], [], [], 0)[0])
        except subprocess.TimeoutExpired:
            raise RigError(f"this host took more than {PROBE_S:g} s to put up a fence around nothing") from None
        except OSError as error:
            return f"a fence cannot be put up: {error}"
        finally:
            os.close(reads)
            os.close(writes)
    if done.returncode == 0 and begun:
        return ""
    return f"a fence cannot be put up: {shown(done.stderr.strip().partition(chr(10))[0] or f'code {done.returncode}')}"
