"""The arrows between folders, and a few promises about the code, checked."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "harness",
    "adapters",
    "test_suites",
    "rigs",
    "reports",
    "store",
    "programme",
    "publication",
    "dbc",
    "registry",
    "tests",
    "benchmarks",
}
MAY_IMPORT = {
    "harness": {
        "harness",
        "reports",
        "rigs",
        "store",
        "programme",
        "publication",
    },  # reports by show, rigs.ecus by the demo; see NARROW
    "adapters": {
        "adapters",
        "harness.errors",
        "harness.frame_bits",
        "harness.images",
        "harness.interface",
        "harness.model",
        "harness.ports",
        "harness.trace",
        "harness.closed_loop",
        "harness.console",
        "harness.descendants",
        "harness.messages",
        "harness.priority",
        "harness.record",
        "harness.shape",
    },
    "test_suites": {
        "harness.ports",
        "harness.marks",
        "harness.scenario",
        "harness.console",
        "harness.disclosure",
        "harness.frame_bits",
        "harness.isotp",
        "harness.tester",
        "harness.protection",
        "harness.signatures",
    },
    "reports": {"reports", "harness"},
    "store": {
        "store",
        "harness.errors",
        "harness.foreign",
        "harness.model",
        "harness.record",
        "harness.shape",
        "harness.verdicts",
    },
    "programme": {
        "programme",
        "harness.certificate",
        "harness.certify",
        "harness.errors",
        "harness.keys",
        "harness.model",
        "harness.record",
        "harness.rejudge",
        "harness.shape",
        "harness.suite",
        "harness.verdicts",
        "store.disk",
    },
    "publication": {"publication", "programme", "harness", "reports.badge"},
    "rigs": {"rigs", "adapters.hub", "adapters.hub_bus"},  # the desk's bus is a hub; see below for the ECUs
}
NARROW = {
    "reports": {"show.py", "campaign_command.py", "ci_command.py", "trace_command.py"},
    "store": {"store_command.py"},
    "programme": {"certificate_command.py", "waiver_command.py", "publish_command.py", "cli.py"},
    "publication": {"publish_command.py", "cli.py"},
    "rigs": {"cli.py", "images_command.py", "rig_check.py", "vcan_command.py"},
}  # who in harness/ may import these


def sources(folder):
    return [f for f in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in f.parts]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(name, may):
    return any(name == ok or name.startswith(f"{ok}.") or ok.startswith(f"{name}.") for ok in may)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_follow_the_arrows(folder):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imports(path)
        if name.split(".")[0] in OURS and not allowed(name, MAY_IMPORT[folder])
    ]
    assert not wrong


def test_only_the_named_modules_of_the_harness_look_outside():
    for path in sources("harness"):
        for top in {n.split(".")[0] for n in imports(path)} & set(NARROW):
            assert path.name in NARROW[top], f"{path.name} imports {top}"


@pytest.mark.parametrize("name", ["model", "judge"])
def test_the_model_and_the_judge_import_nothing_else_of_ours(name):
    assert {n for n in imports(ROOT / "harness" / f"{name}.py") if n.startswith("harness")} <= {
        "harness.model",
        *(f"harness.interface{n}" for n in ("", ".Interface", ".Value", ".noun")),
        *(
            f"harness.model.{n}"
            for n in (
                "Decision",
                "Event",
                "Judged",
                "Limit",
                "Measure",
                "Measured",
                "Outcome",
                "Plan",
                "PlannedRequirement",
                "Verdict",
            )
        ),
    }


def test_only_the_plugin_and_the_marks_import_pytest():
    assert {p.name for f in ("harness", "adapters", "reports") for p in sources(f) if "pytest" in imports(p)} == {
        "pytest_plugin.py",
        "marks.py",
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
    for folder in ("harness", "adapters", "reports", "test_suites", "rigs"):
        for path in sources(folder):
            text = path.read_text(encoding="utf-8")
            assert not text.strip() or ast.get_docstring(ast.parse(text)), path


def test_files_and_functions_stay_short():
    for folder in ("harness", "adapters", "reports"):
        for path in sources(folder):
            text = path.read_text(encoding="utf-8")
            assert text.count("\n") <= 400, path
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef):
                    assert node.end_lineno - node.lineno < 50, f"{path}:{node.lineno} {node.name}"


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
