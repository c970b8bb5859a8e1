"""Build a reference ECU as a container image, without an engine and without a registry: this Python's own files on busybox.

python -m rigs.ecus.image FOLDER [ECU]: the same submission as rigs.ecus.build makes, with an image (docker save's form) as its artefact.
"""

import ast
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rigs.ecus import build

ECU = "/ecu"
COMMAND = ["/bin/sh", "-c", f"exec {ECU} <$SHIPEI_CONSOLE >$SHIPEI_CONSOLE"]
ALWAYS = ("encodings", "runpy", "zipimport", "zipfile", "pkgutil", "collections", "importlib")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def build_image(folder: str | Path, constants: Mapping[str, str] | None = None, ecu: str = "cockpit-a") -> Path:
    """As rigs.ecus.build.build, the artefact a container image. Returns the folder."""
    folder = build.build(folder, constants, ecu)
    file = folder / "submission.yaml"
    text = file.read_text(encoding="utf-8")
    (name,) = re.findall(r"path: (\S+\.pyz)", text)
    program = folder / name
    archive = folder / (name.removesuffix(".pyz") + ".tar")
    layers = [layer(base_files()), layer({ECU: (0o755, program.read_bytes())})]
    write_archive(archive, layers, COMMAND, f"{ecu}:1")
    program.unlink()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    line = f"{{role: application, path: {archive.name}, form: container, sha256: {digest}}}"
    file.write_text(re.sub(r"\{role: application, .*\}", line, text), encoding="utf-8")
    return folder


def write_archive(archive: Path, layers: Iterable[bytes], command: list[str], tag: str, **config: Any) -> None:
    """docker save's form: layers, configuration, manifest.json."""
    files: dict[str, tuple[int, bytes]] = {}
    digests = []
    for raw in layers:
        digest = hashlib.sha256(raw).hexdigest()
        digests.append(digest)
        files[f"{digest}.tar"] = (0o644, raw)
    inner = {"Cmd": command, "Env": ["PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1", "LANG=C.UTF-8"], **config}
    described = {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{d}" for d in digests]},
        "history": [{"created": "1980-01-01T00:00:00Z"} for _ in digests],
    }
    raw = json.dumps(described, sort_keys=True).encode()
    name = f"{hashlib.sha256(raw).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": [f"{d}.tar" for d in digests]}]
    files |= {name: (0o644, raw), "manifest.json": (0o644, json.dumps(manifest).encode())}
    archive.write_bytes(layer(files))


def layer(files: Mapping[str, tuple[int, bytes | str]]) -> bytes:
    """A tar of files by name: (mode, content), where a text is the target of a symbolic link. The same bytes every time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (mode, content) in sorted(files.items()):
            info = tarfile.TarInfo(name.lstrip("/"))
            info.mode = mode
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


# ---------------------------------------------------------------- this Python, as files


def base_files() -> dict[str, tuple[int, bytes | str]]:
    """Busybox, and as much of this Python as the ECUs need, where it lies on this host."""
    interpreter = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]
    modules = needed_modules(interpreter)
    found: dict[str, tuple[int, bytes | str]] = {"/bin/busybox": (0o755, busybox())}
    found |= {f"/bin/{name}": (0o777, "busybox") for name in ("sh", "env", "cat", "sleep", "ls", "kill")}
    found |= {"/usr/bin/env": (0o777, "/bin/busybox"), "/usr/bin/python3": (0o777, interpreter)}
    for file in {interpreter, *modules, *libraries([interpreter, *(m for m in modules if m.endswith(".so"))])}:
        found[file] = (0o755, Path(file).read_bytes())
    return found | compiled(m for m in modules if m.endswith(".py"))


def needed_modules(interpreter: str) -> list[str]:
    """The files of the standard library that the ECUs import, with what that imports."""
    wanted = set(ALWAYS)
    for source in build.HERE.rglob("*.py"):
        if source.parent != build.HERE:
            for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
                wanted |= {a.name for a in node.names} if isinstance(node, ast.Import) else set()
                wanted |= (
                    {node.module} if isinstance(node, ast.ImportFrom) and node.module and not node.level else set()
                )
    names = sorted(w for w in wanted if w.split(".")[0] in sys.stdlib_module_names)
    script = (
        f"import {', '.join(names)}\nimport encodings.utf_8, encodings.ascii, encodings.latin_1, encodings.idna, encodings.cp437\n"
        "import sys, json\nprint(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
    )
    said = subprocess.run([interpreter, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    import sysconfig

    marks = [os.path.join(sysconfig.get_path("stdlib"), "os.py")]  # by which Python finds its library
    return sorted({*json.loads(said), *marks})


def compiled(sources: Iterable[str]) -> dict[str, tuple[int, bytes | str]]:
    """Byte code that is not held against the date of its source, so that a read-only image starts quickly."""
    import importlib.util
    import py_compile

    found: dict[str, tuple[int, bytes | str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "one.pyc"
        for source in sources:
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(source, str(target), dfile=source, doraise=True, invalidation_mode=mode)
            found[importlib.util.cache_from_source(source)] = (0o644, target.read_bytes())
    return found


def libraries(binaries: Iterable[str]) -> set[str]:
    """The shared libraries that they need, and the loader, by the names under which they are looked for."""
    said = subprocess.run(["ldd", *binaries], capture_output=True, text=True).stdout
    return {path for path in re.findall(r"(/\S+) \(0x", said) if os.path.isfile(path)}


def busybox() -> bytes:
    tool = shutil.which("busybox")
    if tool is None:
        raise FileNotFoundError("a reference image stands on a static busybox: apt-get install busybox-static")
    return Path(tool).read_bytes()


if __name__ == "__main__":
    print(build_image(sys.argv[1], ecu=sys.argv[2] if len(sys.argv) > 2 else "cockpit-a"))
