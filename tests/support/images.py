"""Container images for tests: hostile ones, and archives that must never reach an engine."""

import gzip
import hashlib
import io
import json
import tarfile

from rigs.ecus import build, image

BUSYBOX = {"/bin/busybox": (0o755, image.busybox())} | {
    f"/bin/{n}": (0o777, "busybox")
    for n in (
        "sh",
        "cat",
        "dd",
        "date",
        "id",
        "ls",
        "head",
        "sleep",
        "yes",
        "kill",
        "find",
        "tr",
        "nc",
        "mount",
        "mkdir",
        "grep",
    )
}
PREFACE = "#!/bin/sh\nexec >$SHIPEI_CONSOLE 2>&1\necho begins\n"


def with_artefact(folder, archive_bytes, ecu="cockpit-a"):
    """A submission of the reference's, whose artefact is this archive."""
    build.build(folder, ecu=ecu)
    (folder / "cockpit-1.4.0.pyz").unlink()
    (folder / "image.tar").write_bytes(archive_bytes)
    file = folder / "submission.yaml"
    lines = [line for line in file.read_text().splitlines() if "role: application" not in line]
    at = lines.index("artefacts:") + 1
    digest = hashlib.sha256(archive_bytes).hexdigest()
    lines.insert(at, f"  - {{role: application, path: image.tar, form: container, sha256: {digest}}}")
    file.write_text("\n".join(lines) + "\n")
    return folder


def shell(folder, script, *more_layers, tag="vendor:1", **config):
    """An image that runs a script of busybox's shell, its output on the console."""
    layers = [image.layer(BUSYBOX), image.layer({"/run.sh": (0o755, (PREFACE + script).encode())}), *more_layers]
    target = folder.parent / f"{folder.name}.tar"
    image.write_archive(target, layers, ["/bin/sh", "/run.sh"], tag, **config)
    return with_artefact(folder, target.read_bytes())


def python(folder, script):
    """The reference cockpit with a program of the vendor's beside it."""
    made = image.build_image(folder.parent / f"{folder.name}-reference")
    with tarfile.open(made / "cockpit-1.4.0.tar") as tar:
        layers = [tar.extractfile(n).read() for n in json.load(tar.extractfile("manifest.json"))[0]["Layers"]]
    files = {
        "/extra.py": (0o644, script.encode()),
        "/run.sh": (0o755, b"#!/bin/sh\npython3 /extra.py &\n" + image.COMMAND[2].encode()),
    }
    target = folder.parent / f"{folder.name}.tar"
    image.write_archive(target, [*layers, image.layer(files)], ["/bin/sh", "/run.sh"], "vendor:1")
    return with_artefact(folder, target.read_bytes())


def raw_layer(*entries):
    """A layer of tar entries as they are given: (TarInfo, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def entry(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def archive(tmp_path, *layers, **config):
    """docker save's form, from raw layers."""
    target = tmp_path / "made.tar"
    image.write_archive(target, layers, ["/bin/sh"], "vendor:1", **config)
    return target.read_bytes()


def oci(layers, wrong=None):
    """OCI's form, its layers packed; `wrong` spoils one thing."""
    blobs = {}

    def blob(raw):
        digest = hashlib.sha256(raw).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = raw
        return {"digest": f"sha256:{digest}", "size": len(raw)}

    packed = [blob(gzip.compress(raw, 9, mtime=0)) for raw in layers]
    diffs = [f"sha256:{hashlib.sha256(raw).hexdigest()}" for raw in layers]
    if wrong == "diff":
        diffs[0] = "sha256:" + "0" * 64
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh", "/run.sh"]},
        "rootfs": {"type": "layers", "diff_ids": diffs},
    }
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
    manifest["config"] = {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(config).encode())}
    manifest["layers"] = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **p} for p in packed]
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": manifest["mediaType"], **blob(json.dumps(manifest).encode())}],
    }
    if wrong == "blob":
        name = packed[0]["digest"].replace("sha256:", "blobs/sha256/")
        blobs[name] = gzip.compress(layers[0] + bytes(512), 9, mtime=0)
    files = {n: (0o644, raw) for n, raw in blobs.items()}
    files |= {
        "index.json": (0o644, json.dumps(index).encode()),
        "oci-layout": (0o644, b'{"imageLayoutVersion": "1.0.0"}'),
    }
    return image.layer(files)
