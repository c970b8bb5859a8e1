"""From a vendor's archive to an image of the engine's: looked through, renamed, loaded, and known by its id alone."""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import yaml

from harness.errors import RigError
from harness.inputs import container_archive

QUARANTINE = "shipei-quarantine"
PROBE = "shipei-probe"
COPY_S = 300.0
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}


def loaded(client: Any, archive: Path, work: Path, token: str) -> str:
    """The image's id in the engine. Raises RigError when the archive is not what was looked through, or the engine does not take it."""
    image, mistakes = container_archive.check(archive)
    if image is None or mistakes:
        raise RigError(f"the image: {'; '.join(mistakes)}")
    here = ARCHITECTURES.get(platform.machine(), platform.machine())
    if image.architecture != here:
        raise RigError(f"the image is for {image.architecture}, and this rig's host is {here}")
    name = f"{QUARANTINE}/{token}:1"
    renamed = work / "quarantine.tar"
    rename(image.kind, archive, renamed, name, work)
    try:
        with renamed.open("rb") as stream:
            client.images.load(stream)
        found = client.images.get(name)
    finally:
        renamed.unlink(missing_ok=True)
    layers = tuple(found.attrs["RootFS"]["Layers"])
    if layers != image.layers:
        raise RigError(f"the engine has other layers than the archive: {layers}")
    return str(found.id)


def rename(kind: str, archive: Path, target: Path, name: str, work: Path) -> None:
    """The same image under a name of ours: a vendor's name cannot take the place of another image (skopeo)."""
    tool = shutil.which("skopeo")
    if tool is None:
        raise RigError("container images are renamed by skopeo, which is not installed: apt-get install skopeo")
    command = [tool, "--insecure-policy", "copy", "-q", f"{kind}:{archive}", f"docker-archive:{target}:{name}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=COPY_S, stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(work)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RigError(f"skopeo did not rename the image within {COPY_S:g} s") from None
    if done.returncode:
        raise RigError(f"the image cannot be renamed: {done.stderr.strip()[-300:]}")


def probe_image(client: Any) -> str:
    """An image of ours with nothing but busybox, made once for each engine; its id."""
    tool = shutil.which("busybox")
    if tool is None or b"/ld-linux" in Path(tool).read_bytes()[:4096]:
        raise RigError("the limits of an engine are proven with a static busybox: apt-get install busybox-static")
    binary = Path(tool).read_bytes()
    tag = hashlib.sha256(binary).hexdigest()[:16]
    known = client.images.list(name=f"{PROBE}:{tag}")
    if known:
        return str(known[0].id)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("bin/busybox")
        info.size, info.mode = len(binary), 0o755
        tar.addfile(info, io.BytesIO(binary))
        for name in ("sh", "dd", "id", "cat", "grep", "sleep", "touch", "mount", "date", "ls", "rm"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    client.api.import_image_from_data(packed.getvalue(), repository=PROBE, tag=tag)
    return str(client.images.get(f"{PROBE}:{tag}").id)


def seccomp() -> str:
    """The profile of adapters/_container/seccomp.yaml in the engine's form."""
    told = yaml.safe_load(Path(__file__).with_name("seccomp.yaml").read_text(encoding="utf-8"))
    names = sorted({n for key, text in told.items() if isinstance(text, str) for n in text.split()})
    allow: list[dict[str, Any]] = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    for family in told["families"]:
        allow.append(rule("socket", 0, family, "SCMP_CMP_EQ"))
    allow.append(rule("clone", 0, told["namespaces"], "SCMP_CMP_MASKED_EQ", 0))
    allow.append({"names": told["missing"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    architectures = ["SCMP_ARCH_X86_64"] if platform.machine() == "x86_64" else ["SCMP_ARCH_AARCH64"]
    return json.dumps(
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": architectures, "syscalls": allow}
    )


def rule(name: str, argument: int, value: int, how: str, other: int = 0) -> dict[str, Any]:
    """A call that is allowed by one of its arguments."""
    arguments = [{"index": argument, "value": value, "valueTwo": other, "op": how}]
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments}
