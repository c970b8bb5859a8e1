"""The archive that Linux unpacks as its first root file system."""


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """The "newc" form that Linux unpacks."""
    parts = []
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + "".join(f"{f:08x}" for f in fields).encode() + name.encode() + b"\0"
        parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]
    return b"".join(parts)
