"""The arrows between folders, and a few promises about the code, checked."""

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = (  # of harness/, the lowest first: what stands on one imports from it and from those below; a folder, or modules at the root
    ("errors", "paths", "processes", "signing"),
    ("model", "documents", "ports"),
    ("judge", "marks", "console", "record", "verdicts"),
    ("can",),
    ("vehicle",),
    ("driving",),
    ("inputs",),
    ("bench",),
    (
        "attribution",
        "bring_up",
        "certificate",
        "compare",
        "fixtures",
        "judge_log",
        "plan",
        "pytest_plugin",
        "rejudge",
        "run",
    ),
    ("commissioning",),
    ("certify",),
    ("batch",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
GROUND = {
    f"harness.{room}" for rooms in FLOORS[:3] for room in rooms if room not in ("judge", "marks", "signing", "verdicts")
}
FOLDERS = {  # what each may import of the others, beside itself
    "harness": set(),
    "adapters": {*GROUND, "harness.can", "harness.inputs.container_archive"},
    "test_suites": {
        "harness.marks",
        "harness.ports",
        "harness.console",
        "harness.can",
        "harness.vehicle",
        "harness.driving",
    },
    "rigs": set(),
    "reports": {"harness"},
    "store": {"harness"},
    "programme": {"harness", "store"},
    "publication": {"harness", "programme", "reports"},
    "shipei": {"harness", "adapters", "rigs", "reports", "store", "programme", "publication"},
}


def sources(folder):
    return [f for f in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in f.parts]


def module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path): path for folder in FOLDERS for path in sources(folder)}


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path):
    """The modules that a file imports when it runs; of ours the module itself, not what is taken from it."""
    found = set()
    tree = tree_of(path)
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for one in node.body
        for inner in ast.walk(one)
    }
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= deeper or {node.module}
    return found


def room(name):
    return name.split(".")[1]


def within(name, allowed):
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_follow_the_arrows_between_folders(folder):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imports(path)
        if name.split(".")[0] in {*FOLDERS, "tests", "tools", "benchmarks"} - {folder}
        and not within(name, FOLDERS[folder])
    ]
    assert not wrong


def test_every_room_of_the_harness_has_its_floor_and_no_import_goes_up():
    there = {
        p.stem
        for p in (ROOT / "harness").iterdir()
        if (p.is_dir() and (p / "__init__.py").exists()) or p.suffix == ".py"
    }
    assert there - {"__init__", "__main__"} == set(FLOOR)
    assert len(list((ROOT / "harness").glob("[!_]*.py"))) <= 22
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if name.startswith("harness.") and room(name) in FLOOR
        for other in imports(path)
        if other.startswith("harness.") and FLOOR[room(other)] > FLOOR[room(name)]
    ]
    assert not wrong


def test_the_page_of_the_house_shows_these_floors():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", page[page.index("| rooms") :].split("\n\n")[0], re.M)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(rooms) for rooms in reversed(FLOORS)]
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", page))
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_no_circle_of_imports():
    order = TopologicalSorter({name: imports(path) & set(MODULES) - {name} for name, path in MODULES.items()})
    assert list(order.static_order())


def test_what_stands_behind_an_underscore_is_imported_by_its_own_folder_only():
    wrong = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        for other in imports(path)
        if re.search(r"\._[a-z]", other) and other in MODULES and other.split(".")[0] != name.split(".")[0]
    ]
    assert not wrong


@pytest.mark.parametrize(("name", "may"), [("model", set()), ("judge", {"harness.model"})])
def test_the_model_and_the_judge_import_nothing_else_of_ours(name, may):
    assert {n for n in imports(ROOT / "harness" / f"{name}.py") if n.split(".")[0] in FOLDERS} == may


def test_only_the_plugin_and_the_marks_import_pytest():
    assert {p.name for f in ("harness", "adapters", "reports") for p in sources(f) if "pytest" in imports(p)} == {
        "fixtures.py",
        "marks.py",
        "pytest_plugin.py",
    }


def test_the_reference_ecus_import_only_the_standard_library_and_themselves():
    import sys

    for name in ("common", "cockpit", "driving_assistance", "loader"):
        for path in sources(f"rigs/ecus/{name}"):
            assert {n.split(".")[0] for n in imports(path)} <= {*sys.stdlib_module_names, "common", name}, path


def test_suites_neither_sleep_nor_skip_nor_own_a_clock():
    forbidden = re.compile(
        r"time\.(sleep|time|monotonic|perf_counter)|pytest\.(skip|xfail|importorskip)|reruns|flaky|\bassert\b"
    )
    for path in sources("test_suites"):
        assert not forbidden.search(path.read_text(encoding="utf-8")), path


def test_no_vendors_message_in_a_suite():
    import cantools

    names = {m.name for f in sorted((ROOT / "dbc").glob("*.dbc")) for m in cantools.database.load_file(f).messages}
    for path in sources("test_suites"):
        words = set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
        assert not words & names, path


def test_every_module_says_what_it_is_for():
    for folder in FOLDERS:
        for path in sources(folder):
            text = path.read_text(encoding="utf-8")
            assert not text.strip() or ast.get_docstring(ast.parse(text)), path


def test_no_assert_checks_anything_when_the_product_runs():
    """python -O takes them out."""
    found = [f"{p}:{n.lineno}" for p in MODULES.values() for n in ast.walk(tree_of(p)) if isinstance(n, ast.Assert)]
    assert not found


@pytest.mark.parametrize("what", ["flock(", "PR_SET_PDEATHSIG, signal", '"PYTHONPATH": os.pathsep'])
def test_what_processes_need_stands_once(what):
    assert [name for name, path in MODULES.items() if what in path.read_text(encoding="utf-8")] == ["harness.processes"]


def test_functions_stay_short():
    for folder in FOLDERS:
        for path in sources(folder):
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.FunctionDef):
                    assert node.end_lineno - node.lineno < 40, f"{path}:{node.lineno} {node.name}"


def test_no_public_function_outside_the_face_takes_more_than_five_parameters():
    for path in (path for folder in FOLDERS.keys() - {"shipei"} for path in sources(folder)):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                own = node.args
                named = [a.arg for a in (*own.posonlyargs, *own.args, *own.kwonlyargs) if a.arg not in ("self", "cls")]
                assert len(named) <= 5, f"{path}:{node.lineno} {node.name}: {', '.join(named)}"


def test_nothing_reads_the_shared_folder():
    for path in [
        *ROOT.glob("*"),
        *(
            p
            for f in ("harness", "adapters", "reports", "tests", "docs", "rigs", "benchmarks")
            for p in (ROOT / f).rglob("*")
        ),
    ]:
        if path.is_file() and path.suffix in {".py", ".md", ".toml", ".ini", ".yaml", ""} and path != Path(__file__):
            assert "../shared" not in path.read_text(encoding="utf-8", errors="replace"), path
