"""Stores in tests: a certified run to keep, and records of next to nothing."""

import fcntl
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from harness import certify
from rigs.ecus import build
from store import runs
from store.layout import Layout
from store.runs import FACTS, RECORD_TYPE

PROFILE = 'name: short\nversion: "1"\nsuites: [common, cockpit]\nmandatory: [COCKPIT-SPEED-001]\n'


def certified(folder, constants=None, profile=PROFILE):
    """A run, which is certified unless constants of the device or the profile are others; made once a session, and copied."""
    key = hashlib.sha256(json.dumps([constants, profile]).encode()).hexdigest()[:8]
    made = Path(tempfile.gettempdir()) / "certified" / key
    made.mkdir(parents=True, exist_ok=True)
    with (made / "lock").open("w") as lock:  # of two workers one makes it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "runs").is_dir():
            (made / "short.yaml").write_text(profile)
            certify.certify(
                build.build(made / "s", constants),
                "sim",
                made / "runs",
                certify.Terms(profile=str(made / "short.yaml")),
            )
    shutil.copytree(made, folder, dirs_exist_ok=True)
    (run,) = (folder / "runs").glob("*/1")
    return run


def files(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def kept(folder, name, disk=None, **facts):
    """A record of nothing but a name, and what every such record shares."""
    store = Layout(folder, disk)
    store.prepare()
    with store.adding():
        layers = []
        for title, content in (("record/name", name), ("record/shared", "the same in all")):
            file = folder.parent / f"{name.replace('/', '-')}-{title.partition('/')[2]}"
            file.write_text(content)
            layers.append(runs.layer(store, file, title, runs.FILE_TYPE))
        told = {f"{FACTS}combination": name, **{FACTS + k: v for k, v in facts.items()}}
        return store.add([runs.manifest(store, RECORD_TYPE, layers, told)], told)[0]["digest"]
