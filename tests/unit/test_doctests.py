"""Every example in a docstring runs."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    ".".join(f.relative_to(ROOT).with_suffix("").parts)
    for folder in ("harness", "adapters", "reports", "shipei", "rigs", "store", "programme", "publication", "tools")
    for f in sorted((ROOT / folder).rglob("*.py"))
    if re.search(r"^\s*>>> ", f.read_text(encoding="utf-8"), re.M)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted
    assert not done.failed
