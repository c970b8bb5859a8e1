"""The board's flash memory: two slots and a word that says which is active, in a folder that outlives the power.

Every write is on disk before it is confirmed, so that what a power cut leaves is what really was written.
"""

import hashlib
import os
from pathlib import Path

SLOT_BYTES = 8_000_000


class Flash:
    def __init__(self, folder, slots):
        self.folder, self.names = Path(folder), ("a", "b")[:slots]
        self.folder.mkdir(parents=True, exist_ok=True)

    def active(self):
        """The name of the slot to boot; None if none is valid."""
        word = self.folder / "active"
        name = word.read_text() if word.is_file() else ""
        return name if name in self.names and self.valid(name) else None

    def spare(self):
        """The slot that a new image goes to: the one that does not run, where there are two."""
        return next((n for n in self.names if n != self.active()), self.names[0])

    def image(self, name):
        return self.folder / f"slot-{name}.bin"

    def valid(self, name):
        mark = self.folder / f"slot-{name}.sha256"
        image = self.image(name)
        return image.is_file() and mark.is_file() and mark.read_text() == hashlib.sha256(image.read_bytes()).hexdigest()

    def erase(self, name):
        for file in (self.folder / f"slot-{name}.sha256", self.image(name)):
            file.unlink(missing_ok=True)
        self.image(name).write_bytes(b"")

    def write(self, name, at, data):
        with self.image(name).open("r+b") as stream:
            stream.seek(at)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    def mark_valid(self, name):
        self.store(f"slot-{name}.sha256", hashlib.sha256(self.image(name).read_bytes()).hexdigest())

    def activate(self, name):
        self.store("active", name)

    def store(self, name, text):
        part = self.folder / f"{name}.part"
        part.write_text(text)
        part.replace(self.folder / name)

    # ------------------------------------------------------------ a word from the application (common.main)

    def programming_asked(self):
        """Whether the application asked for it; asked once."""
        word = self.folder / "programming"
        found = word.is_file()
        word.unlink(missing_ok=True)
        return found
