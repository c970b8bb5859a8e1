"""Kernel ISO-TP for User-Mode Linux, which Debian leaves out: can-isotp built from the exactly matching source."""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from rigs.images import packages
from rigs.images.packages import Refused, Tell

NEEDS = {
    "make": "make", "gcc": "gcc", "bc": "bc", "bison": "bison", "flex": "flex", "xz": "xz-utils", "tar": "tar", "ld": "binutils",
}  # fmt: skip
HEADERS = {"gelf.h": "libelf-dev", "openssl/opensslv.h": "libssl-dev"}
TARGETS = ("net/can/can.ko", "net/can/can-isotp.ko")


def place(files: Path, version: str) -> Path:
    return files.parent / f"isotp-{version}-{files.name}"


def built(files: Path, version: str) -> Path | None:
    """The folder of the module, if it has been built for this kernel."""
    found = place(files, version)
    return found if (found / "can-isotp.ko").is_file() else None


def build(files: Path, version: str, tell: Tell) -> Path:
    """Build it (half a minute and 150 MB to fetch, once). Raises Refused, saying what is missing."""
    target = place(files, version)
    if (target / "can-isotp.ko").is_file():
        return target
    missing = sorted({package for tool, package in NEEDS.items() if shutil.which(tool) is None} | headers_missing())
    if missing:
        raise Refused(f"building it needs: apt-get install {' '.join(missing)}")
    source_name = f"linux-source-{'.'.join(version.split('.')[:2])}"
    archive_version = exact(source_name, version)
    source = packages.fetched(source_name, tell, archive_version)
    (tarball,) = (source / "usr" / "src").glob("linux-source-*.tar.xz")
    with tempfile.TemporaryDirectory(dir=packages.cache(), prefix=".isotp-") as work:
        tell(f"building can-isotp for {version}")
        packages.run(["tar", "-xf", str(tarball)], Path(work))
        (tree,) = Path(work).glob("linux-source-*")
        make(tree, Path(work) / "out", files, version)
        done = Path(work) / "done"
        done.mkdir()
        shutil.copyfile(Path(work) / "out" / TARGETS[1], done / "can-isotp.ko")
        done.rename(target)
    shutil.rmtree(source, ignore_errors=True)
    return target


def make(tree: Path, out: Path, files: Path, version: str) -> None:
    out.mkdir()
    config = gzip.decompress((files / "usr/share/doc/user-mode-linux/config.gz").read_bytes()).decode()
    (out / ".config").write_text(config.replace("# CONFIG_CAN_ISOTP is not set", "CONFIG_CAN_ISOTP=m"))
    makefile = tree / "Makefile"
    makefile.write_text(re.sub(r"(?m)^SUBLEVEL = .*$", f"SUBLEVEL = {version.split('.')[2]}", makefile.read_text()))
    order = ["make", "-s", "-C", str(tree), "ARCH=um", f"O={out}", f"-j{os.cpu_count()}"]
    for what in (["olddefconfig"], ["modules_prepare"], ["KBUILD_MODPOST_WARN=1", *TARGETS]):
        packages.run([*order, *what], tree)


def exact(name: str, version: str) -> str:
    """The archive's version of a source that is this kernel's, such as 6.1.176-1 for 6.1.176."""
    said = subprocess.run(["apt-cache", "madison", name], capture_output=True, text=True).stdout
    found = [v for v in re.findall(r"\|\s*(\S+)\s*\|", said) if v.rpartition("-")[0] == version]
    if not found:
        raise Refused(f"the archive has no {name} of exactly {version}, and a module of another would crash it")
    return str(found[0])


def headers_missing() -> set[str]:
    """Packages of the headers that the compiler does not find."""
    found = set()
    for header, package in HEADERS.items():
        done = subprocess.run(
            ["gcc", "-E", "-x", "c", "-"], input=f"#include <{header}>\n", capture_output=True, text=True
        ) if shutil.which("gcc") else None  # fmt: skip
        if done is None or done.returncode:
            found.add(package)
    return found
