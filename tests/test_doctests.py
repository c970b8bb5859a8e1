"""Every example in a docstring runs."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = [
    f"{folder}.{f.stem}"
    for folder in ("harness", "adapters", "reports")
    for f in sorted((ROOT / folder).glob("*.py"))
    if f.stem != "__init__"
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
