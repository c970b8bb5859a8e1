"""docs/threats.md names tests that exist, a row each."""

import ast
import re

from harness.paths import ROOT

NAMED = re.compile(r"(tests/\S+\.py)::(\w+)")
ROW = re.compile(r"^\| (?!a way|---)(.+) \| (.+) \|$", re.M)


def names_in(file):
    return {n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)}


def test_every_threat_names_a_test_that_exists_or_says_that_it_is_open():
    rows = ROW.findall((ROOT / "docs" / "threats.md").read_text())
    assert rows
    for threat, closed_by in rows:
        named = NAMED.findall(closed_by)
        assert named or closed_by.startswith("open"), threat
        for file, test in named:
            assert test in names_in(ROOT / file), (threat, f"{file}::{test}")
