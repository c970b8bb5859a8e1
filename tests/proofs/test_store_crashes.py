"""Whoever is killed, whatever the disk forgets or lacks, whoever writes beside: what was said to be added is there, and the store is valid."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from harness.paths import ROOT
from store import runs
from store.disk import Disk
from store.layout import LAYOUT, Layout, StoreError
from tests.support.stores import kept


class Crash(Exception):
    """The power is gone."""


class Dropping(Disk):
    """Fails at a step; then the disk has lost what it may: bytes that were not synced, names of folders that were not."""

    def __init__(self, steps):
        self.left, self.unsafe, self.names = steps, set(), []

    def step(self):
        self.left -= 1
        if self.left < 0:
            raise Crash

    def create(self, file, source):
        self.step()
        super().create(file, source)
        self.unsafe.add(file)
        self.names.append((file.parent, file, None))

    def sync(self, file):
        self.step()
        self.unsafe.discard(file)

    def rename(self, file, to):
        self.step()
        self.names.append((to.parent, to, to.read_bytes() if to.exists() else None))
        super().rename(file, to)
        if file in self.unsafe:
            self.unsafe.add(to)

    def sync_folder(self, folder):
        self.step()
        self.names = [one for one in self.names if one[0] != folder]

    def remove(self, file):
        self.step()
        if file.exists():
            self.names.append((file.parent, file, file.read_bytes()))
        super().remove(file)

    def forgets(self, chance):
        """What is not safe is lost, or not; of one folder the later before the earlier."""
        for file in self.unsafe:
            if file.exists():
                file.write_bytes(file.read_bytes()[: chance.randrange(2)])
        for folder in {one[0] for one in self.names}:
            mine = [one for one in self.names if one[0] == folder]
            for _, file, before in reversed(mine[chance.randint(0, len(mine)) :]):
                file.unlink(missing_ok=True)
                if before is not None:
                    file.write_bytes(before)


@pytest.mark.parametrize("what", ["a new store", "a second record", "collecting"])
def test_whatever_step_is_the_last_the_store_is_valid_and_nothing_that_was_added_is_lost(what, tmp_path):
    base, crashes = tmp_path / "base" / "store", 0
    first = None if what == "a new store" else kept(base, "first")
    if what == "collecting":
        (base / "blobs" / "sha256" / ".part-1-2-3").write_text("of somebody who was killed")
        Layout(base).put(b"nobody names this")
    for steps in range(60):
        done = False
        for seed in range(4):
            here = tmp_path / f"{steps}-{seed}" / "store"
            shutil.copytree(base, here) if base.exists() else here.parent.mkdir()
            disk = Dropping(steps)
            try:
                Layout(here, disk).collect() if what == "collecting" else kept(here, "second", disk)
                done = True
            except Crash:
                crashes += 1
            disk.forgets(random.Random(seed))
            if (here / LAYOUT).exists():
                store = Layout.opened(here)
                assert list(runs.verify(store)) == []
                there = {one["digest"] for one in store.index()}
                assert first is None or first in there
                assert not done or what == "collecting" or len(there) == 1 + (first is not None)
            kept(here, "second")
            Layout(here).collect()
            store = Layout.opened(here)
            assert list(runs.verify(store)) == []
            assert {f.name for f in store.blobs.iterdir()} == {d.removeprefix("sha256:") for d in store.reachable()}
        if done:
            break
    assert done
    assert crashes >= 4 * 3


ADDS = """import sys
from pathlib import Path
from tests.support.stores import kept
for n in range(int(sys.argv[3])):
    print(kept(Path(sys.argv[1]), f"{sys.argv[2]}{n}"), flush=True)
"""


def adding(folder, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", ADDS, str(folder), name, str(count)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_killed_at_any_moment_what_was_said_to_be_added_is_there(tmp_path):
    chance, told = random.Random(7), set()
    for n in range(8):
        with adding(tmp_path / "store", f"k{n}-", 10_000) as writer:
            told.add(writer.stdout.readline().strip())
            time.sleep(chance.uniform(0.0, 0.1))
            os.kill(writer.pid, signal.SIGKILL)
            told |= {line.strip() for line in writer.stdout if len(line) == 72}
    store = Layout.opened(tmp_path / "store")
    assert told <= {one["digest"] for one in store.index()}
    assert list(runs.verify(store)) == []
    store.collect()
    assert list(runs.verify(store)) == []


def test_two_writers_and_who_collects_beside_them_lose_nothing(tmp_path):
    writers = [adding(tmp_path / "store", name, 40) for name in ("a", "b")]
    while any(w.poll() is None for w in writers):
        if (tmp_path / "store" / LAYOUT).exists():
            Layout.opened(tmp_path / "store").collect()
    told = {line.strip() for w in writers for line in w.stdout}
    for writer in writers:
        writer.stdout.close()
    store = Layout.opened(tmp_path / "store")
    assert len(told) == 80
    assert {one["digest"] for one in store.index()} == told
    assert list(runs.verify(store)) == []


class Full(Disk):
    """A disk with room for so many more files."""

    def __init__(self, room):
        self.room = room

    def create(self, file, source):
        self.room -= 1
        if self.room < 0:
            file.write_bytes(source.read(10))
            raise OSError(errno.ENOSPC, "No space left on device")
        super().create(file, source)


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path):
    first = kept(tmp_path / "store", "first")
    said = []
    for room in range(20):
        try:
            kept(tmp_path / "store", "second", Full(room))
            break
        except StoreError as error:
            said.append(str(error))
        assert not list((tmp_path / "store" / "blobs" / "sha256").glob(".part-*"))
        assert [one["digest"] for one in Layout.opened(tmp_path / "store").index()] == [first]
    assert len(said) >= 3
    assert all("No space left on device; what was there is as it was" in one for one in said)
    assert list(runs.verify(Layout.opened(tmp_path / "store"))) == []
    assert len(Layout.opened(tmp_path / "store").index()) == 2
