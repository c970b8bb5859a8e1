"""The table of defective builds: what its entries depend on, which of them are stale, and what they say."""

import ast
import itertools

import pytest

from harness.paths import ROOT
from tools import digests, mutation

ENTRIES = ("harness/pytest_plugin.py", "harness/judge.py", "harness/run.py", "harness/certify.py")


def imported(file):
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        for name in names:
            path = f"{name.replace('.', '/')}.py"
            if path.startswith(("harness/", "adapters/")) and (ROOT / path).is_file():
                yield path


def test_every_module_that_a_simulated_verdict_imports_is_counted_or_named():
    known, waiting = set(), [*ENTRIES, *(m for m in mutation.VERDICT_MODULES if m.startswith("adapters/"))]
    while waiting:
        if (file := waiting.pop()) not in known:
            known.add(file)
            waiting += [] if file in mutation.NO_PART else imported(file)
    assert known - set(mutation.VERDICT_MODULES) - set(mutation.NO_PART) == set()
    assert [m for m in (*mutation.VERDICT_MODULES, *mutation.NO_PART) if not (ROOT / m).is_file()] == []


def test_a_comment_or_a_docstring_makes_nothing_stale_and_a_figure_does(tmp_path):
    old, worded, other = (tmp_path / name for name in ("old.py", "worded.py", "other.py"))
    old.write_text("LIMIT = 3\n\ndef f():\n    return LIMIT\n")
    worded.write_text('"""Why."""\nLIMIT = 3  # so\n\ndef f():\n    """How."""\n    return LIMIT\n')
    other.write_text("LIMIT = 4\n\ndef f():\n    return LIMIT\n")
    assert digests.of_file(old) == digests.of_file(worded) != digests.of_file(other)


def test_a_build_is_certified_in_the_areas_in_which_it_fails_and_the_reference_in_all():
    for line in mutation.LINES:
        for name, (_, fails, areas) in mutation.cases(line).items():
            assert (areas is None) == (name == "reference")
            assert {mutation.area(r) for r in fails} <= set(areas or ())


def test_another_constant_requirement_or_module_is_another_key(monkeypatch):
    name = "cycle-long"
    before = mutation.key("cockpit", name)
    assert before == mutation.key("cockpit", name)
    with monkeypatch.context() as patched:
        constants, fails, areas = mutation.cases("cockpit")[name]
        patched.setattr(mutation, "cases", lambda line: {name: ({**constants, "X": "1"}, fails, areas)})
        assert mutation.key("cockpit", name) != before
    for what in ("shared", "of_areas"):
        with monkeypatch.context() as patched:
            patched.setattr(mutation, what, lambda *_: "other")
            assert mutation.key("cockpit", name) != before


@pytest.mark.parametrize("line", mutation.LINES)
def test_what_the_table_has_is_what_the_defects_file_expects(line):
    """Of entries that are stale nothing is said here: `make mutants` makes them anew."""
    assert list(mutation.unexpected(line, mutation.table()[line]["results"])) == []


def test_results_that_came_out_otherwise_are_told():
    constants, _, _ = mutation.cases("cockpit")["cycle-long"]
    passed = {"constants": constants, "decision": "certified", "others": {}, "faults": []}
    (said,) = mutation.unexpected("cockpit", {"cycle-long": passed})
    assert "cockpit: cycle-long: expected ['CAN-CYCLE-001'], got certified {}" in said
    assert list(mutation.unexpected("cockpit", {"cycle-long": {**passed, "constants": {}}})) == []


def test_area_in_the_environment_chooses(monkeypatch):
    monkeypatch.setenv("AREA", "AEB,LKA")
    areas = {a for _, _, case in mutation.chosen("driving_assistance").values() for a in case}
    assert {"AEB", "LKA"} <= areas
    assert all({"AEB", "LKA"} & set(case) for _, _, case in mutation.chosen("driving_assistance").values())
    assert not mutation.chosen("cockpit")
    assert list(itertools.islice(mutation.chosen("driving_assistance"), 1)) != ["reference"]
