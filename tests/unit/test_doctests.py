"""Every example in a docstring runs."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    f"{folder.replace('/', '.')}.{f.stem}"
    for folder in ("harness", "adapters", "reports", "rigs/kernels", "store", "programme", "publication", "tools")
    for f in sorted((ROOT / folder).glob("*.py"))
    if re.search(r"^\s*>>> ", f.read_text(encoding="utf-8"), re.M)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted
    assert not done.failed
