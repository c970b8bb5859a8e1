"""What is in a store, fast: an sqlite file beside the index, made anew from the index alone whenever it is not of that very index."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from store.layout import INDEX, Layout
from store.runs import CERTIFICATE_TYPE, RECORD_TYPE, told_of

FILE = "index.sqlite"
COLUMNS = ("digest", "vendor", "combination", "profile", "rig", "kind", "decision", "manifest", "seal", "certified")
FORM = 1  # of this file


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A run in a store; `certified`: whether a certificate refers to it."""

    digest: str
    vendor: str
    combination: str
    profile: str
    rig: str
    kind: str
    decision: str
    manifest: str
    seal: str
    certified: bool


def listed(store: Layout, combination: str = "", decision: str = "") -> list[Kept]:
    """The runs in a store, those of a combination that contains a text, of a decision; in the order in which they were added."""
    query = (
        f"select {', '.join(COLUMNS)} from runs where instr(combination, ?) and (? = '' or decision = ?) order by place"
    )
    with closing(opened(store)) as base:
        return [
            Kept(**dict(zip(COLUMNS, row, strict=True)) | {"certified": bool(row[-1])})
            for row in base.execute(query, (combination, decision, decision))
        ]


def opened(store: Layout) -> sqlite3.Connection:
    """The file, made anew if it is another index's or none; for who may not write there, in memory."""
    try:
        refresh(store)
        return sqlite3.connect(f"file:{store.folder / FILE}?mode=ro", uri=True)
    except OSError:
        base = sqlite3.connect(":memory:")
        with base:
            fill(base, store, of_index(store))
        return base


def refresh(store: Layout) -> None:
    stamp = of_index(store)
    if stamp != kept_stamp(store.folder / FILE):
        handle, name = tempfile.mkstemp(prefix=".index-", dir=store.folder)
        os.close(handle)
        part = Path(name)
        try:
            with closing(sqlite3.connect(part)) as base, base:
                fill(base, store, stamp)
            part.replace(store.folder / FILE)
        finally:
            part.unlink(missing_ok=True)


def fill(base: sqlite3.Connection, store: Layout, stamp: str) -> None:
    base.execute(f"create table runs (place integer primary key, {', '.join(COLUMNS)})")
    base.execute("create table made (form, stamp)")
    base.execute("insert into made values (?, ?)", (FORM, stamp))
    marks = ", ".join("?" * len(COLUMNS))
    base.executemany(f"insert into runs ({', '.join(COLUMNS)}) values ({marks})", rows(store))


def of_index(store: Layout) -> str:
    """Which index it is: a file that is only ever replaced whole."""
    seen = (store.folder / INDEX).stat()
    return f"{seen.st_ino} {seen.st_size} {seen.st_mtime_ns}"


def kept_stamp(file: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as base:
            form, stamp = base.execute("select form, stamp from made").fetchone()
            return str(stamp) if form == FORM else ""
    except (sqlite3.Error, TypeError, ValueError):
        return ""


def rows(store: Layout) -> Iterator[tuple[object, ...]]:
    index = store.index()
    seals = {told_of(one).get("seal") for one in index if one.get("artifactType") == CERTIFICATE_TYPE}
    for one in index:
        if one.get("artifactType") == RECORD_TYPE:
            facts = told_of(one)
            said = [facts.get(name, "") for name in COLUMNS[1:-1]]
            yield one["digest"], *said, int(facts.get("seal") in seals)
