"""10,000 records in a store: the list from its sqlite file, the same made anew from the store alone, and what a client without either does: read every
manifest."""

import tempfile
import time
from pathlib import Path

from store import listing, runs
from store.layout import EMPTY, EMPTY_TYPE, MANIFEST, Layout, described, plain
from store.runs import FACTS, RECORD_TYPE

RECORDS = 10_000


def filled(folder):
    store = Layout(folder)
    store.prepare()
    store.put(EMPTY)
    found = []
    for n in range(RECORDS):
        facts = {"vendor": f"v{n % 40}", "combination": f"chip-{n % 100}/os-{n % 7}/app-{n}", "decision": "certified"}
        told = {FACTS + key: value for key, value in facts.items()}
        manifest = plain(runs.manifest(store, RECORD_TYPE, [described(f"{n}".encode(), runs.FILE_TYPE)], told))
        store.blob(described(manifest, MANIFEST)["digest"]).write_bytes(manifest)
        found.append(described(manifest, MANIFEST, artifactType=RECORD_TYPE, annotations=told))
    assert described(EMPTY, EMPTY_TYPE)["size"] == 2
    store.name(found)
    return store


def timed(call):
    began = time.perf_counter()
    found = call()
    return time.perf_counter() - began, found


def measure():
    with tempfile.TemporaryDirectory() as name:
        store = filled(Path(name) / "store")
        anew, first = timed(lambda: listing.listed(store))
        again, found = min((timed(lambda: listing.listed(store)) for _ in range(3)), key=lambda one: one[0])
        every, manifests = timed(lambda: [store.manifest(one["digest"]) for one in store.index()])
    assert found == first
    assert len(found) == len(manifests) == RECORDS
    return [
        [
            f"store: list {RECORDS:,} records (with the list made anew from the store: {anew:.2f} s)",
            f"{again:.2f} s",
            f"reading every manifest {every:.2f} s",
            f"{every / again:.0f}x",
        ]
    ]
