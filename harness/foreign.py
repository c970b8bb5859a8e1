"""Text that somebody else wrote, where it is shown: on one line, and no orders to a terminal."""

MOST = 200


def shown(text: object) -> str:
    r"""
    >>> shown("a\nb\x1b[2J"), len(shown("x" * 1000))
    ('a\ufffdb\ufffd[2J', 200)
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text)[:MOST])
