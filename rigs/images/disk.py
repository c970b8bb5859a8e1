"""A bootable disk: a partition table, one ext2 file system, a kernel and its root file system as an archive. The same bytes every time."""

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

SECTOR, ALIGNED = 512, 2048  # the partition starts at 1 MiB
MB = 1 << 20
UUID = "5a1f3e0e-7d0c-4c58-9a4e-5348495045c0"
EPOCH = "315532800"  # 1980-01-01, as every stamp in it
SLACK_MB = 4


class Unwritable(Exception):
    """A disk that could not be written, in words."""


def write(to: Path, files: Mapping[str, bytes]) -> None:
    """A disk image with these files, by their paths in the file system. Raises Unwritable."""
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".disk-") as folder:
        tree, partition, whole = Path(folder) / "tree", Path(folder) / "partition", Path(folder) / "disk"
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)
            (tree / name).chmod(0o644)
        for place in (tree, *(p for p in tree.rglob("*") if p.is_dir())):
            place.chmod(0o755)
        size_mb = sum(len(c) + MB // 64 for c in files.values()) // MB + SLACK_MB
        make_file_system(tree, partition, size_mb)
        settle_inodes(partition, files)
        with whole.open("wb") as sink, partition.open("rb") as source:
            sink.write(partition_table(size_mb * MB // SECTOR).ljust(ALIGNED * SECTOR, b"\0"))
            shutil.copyfileobj(source, sink)
        whole.rename(to)


def make_file_system(tree: Path, partition: Path, size_mb: int) -> None:
    stable = f"hash_seed={UUID},root_owner=0:0,lazy_itable_init=0"
    tool(
        "mke2fs", "-q", "-F", "-t", "ext2", "-O", "^resize_inode,^dir_index", "-m", "0", "-I", "128", "-U", UUID,
        *("-L", "system", "-E", stable, "-d", str(tree), str(partition), f"{size_mb}M"),
    )  # fmt: skip


def settle_inodes(partition: Path, files: Mapping[str, bytes]) -> None:
    """Owner and stamps of every file and folder, which mke2fs takes from the host."""
    names = {"/", "/lost+found", *(f"/{n}" for n in files)}
    names |= {f"/{p}" for n in files for p in Path(n).parents if str(p) != "."}
    fields = {"uid": "0", "gid": "0", "atime": EPOCH, "ctime": EPOCH, "mtime": EPOCH}
    lines = [f"set_inode_field {name} {key} {value}" for name in sorted(names) for key, value in fields.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as script:
        script.write("\n".join(lines) + "\n")
        script.flush()
        tool("debugfs", "-w", "-f", script.name, str(partition))


def partition_table(sectors: int) -> bytes:
    """A master boot record with one bootable Linux partition."""
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", ALIGNED, sectors)
    return b"\0" * 440 + b"SHPI\0\0" + entry + b"\0" * 48 + b"\x55\xaa"


def tool(name: str, *arguments: str) -> None:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if path is None:
        raise Unwritable(f"there is no {name}: apt-get install e2fsprogs")
    environment = {**os.environ, "E2FSPROGS_FAKE_TIME": EPOCH, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run([path, *arguments], capture_output=True, text=True, errors="replace", env=environment)
    if done.returncode:
        raise Unwritable(f"{name} failed: {' / '.join(done.stderr.splitlines()[-3:])}")
