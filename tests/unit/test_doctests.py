"""Every example in a docstring runs."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = [
    f"{folder.replace('/', '.')}.{f.stem}"
    for folder in ("harness", "adapters", "reports", "rigs/kernels", "store", "programme", "publication")
    for f in sorted((ROOT / folder).glob("*.py"))
    if f.stem not in ("__init__", "agent")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
