"""Stores in tests: a certified run to keep, and records of next to nothing."""

from harness import certify
from rigs.ecus import build
from store import runs
from store.layout import Layout
from store.runs import FACTS, RECORD_TYPE

PROFILE = 'name: short\nversion: "1"\nsuites: [common, cockpit]\nmandatory: [COCKPIT-SPEED-001]\n'


def certified(folder, constants=None, profile=PROFILE):
    """A run, which is certified unless constants of the device or the profile are others."""
    (folder / "short.yaml").write_text(profile)
    made = build.build(folder / "s", constants)
    return certify.certify(made, "sim", folder / "runs", profile=str(folder / "short.yaml")).folder


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
