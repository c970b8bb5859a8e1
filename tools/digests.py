"""Digests of sources by what they do: comments, docstrings and layout of Python do not count."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from harness.paths import ROOT

BODIES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IGNORED = {"__pycache__", ".venv", "runs"}


def meaning(source: str) -> str:
    """Return a text that is equal for two sources that differ in comments, docstrings and layout only.

    >>> meaning('def f(x):\\n    \\"\\"\\"Why.\\"\\"\\"\\n    return x  # so') == meaning("def f(x): return x")
    True
    >>> meaning("x = 1") == meaning("x = 2")
    False
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, BODIES) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def of_file(file: Path) -> str:
    """Return the digest of one file: of Python its meaning, of anything else its bytes."""
    content = file.read_bytes()
    if file.suffix == ".py":
        content = meaning(content.decode("utf-8")).encode()
    return hashlib.sha256(content).hexdigest()


def files_of(names: Iterable[str]) -> list[Path]:
    """Return the files that some names stand for: a folder for all below it, a file for itself."""
    found = set()
    for name in names:
        path = ROOT / name
        below = path.rglob("*") if path.is_dir() else (path,)
        found |= {f for f in below if f.is_file() and not IGNORED & set(f.relative_to(ROOT).parts)}
    return sorted(found)


def of_files(files: Iterable[Path]) -> str:
    """Return one digest over the names and digests of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(ROOT).as_posix()} {of_file(file)}\n".encode())
    return digest.hexdigest()
