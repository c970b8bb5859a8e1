"""The documentation's examples run: console blocks as typed, YAML through the loaders, Python through the interpreter."""

import dataclasses
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness import documents
from harness.inputs import rig
from harness.paths import ROOT
from shipei.cli import NOUNS

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md"]
FENCED = re.compile(r"(?:<!-- load: (\w+) -->\n)?```(\w+)\n(.*?)```", re.S)


def blocks(kind):
    return [
        pytest.param(load, text, id=f"{page.name}-{n}")
        for page in PAGES
        for n, (load, found, text) in enumerate(FENCED.findall(page.read_text(encoding="utf-8")))
        if found == kind
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("docs")


@pytest.mark.parametrize(("load", "text"), blocks("console"))
def test_what_the_pages_type_says_what_they_show(load, text, folder):
    """`$ command` runs in one folder for all pages, in their order; the lines below it must be in its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for part in text.split("$ ")[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        command, _, comment = command.partition("  # ")
        code = int(comment.removeprefix("exit ")) if comment.startswith("exit ") else 0
        done = subprocess.run(
            shlex.split(command), cwd=folder, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        )  # fmt: skip
        assert done.returncode == code, (command, done.stdout, done.stderr)
        for line in expected:
            assert line.strip() in done.stdout, (command, line, done.stdout)


@pytest.mark.parametrize(("load", "text"), blocks("yaml"))
def test_yaml_on_the_pages_loads(load, text, tmp_path):
    document = documents.Document("page", text)
    assert documents.load(NOUNS[load], document) is not None, document.mistakes
    if load == "rig":  # with all its recipes and their fields
        (tmp_path / "golden" / "cockpit").mkdir(parents=True)
        (tmp_path / "rig.yaml").write_text(text, encoding="utf-8")
        rig.read(tmp_path / "rig.yaml")


def recipes():
    """Every recipe of the product: (import path, its fields)."""
    for file in sorted((ROOT / "adapters").glob("*.py")):
        module = importlib.import_module(f"adapters.{file.stem}")
        for name, one in vars(module).items():
            mine = isinstance(one, type) and one.__module__ == module.__name__
            if mine and dataclasses.is_dataclass(one) and (hasattr(one, "open") or hasattr(one, "reserve")):
                yield f"adapters.{file.stem}:{name}", [f.name for f in dataclasses.fields(one)]


OF_THE_PROGRAM = {f"adapters.replay:Recorded{port}" for port in ("Can", "Console", "Power")} | {
    "adapters.recording:Recording"
}  # named in no rig by a person


def test_every_recipe_and_every_field_of_it_is_on_the_page():
    page = (ROOT / "docs" / "add-a-rig.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("|") and "`adapters." in line}
    for use, fields in recipes():
        if use in OF_THE_PROGRAM:
            continue
        assert use in rows, use
        for field in fields:
            assert re.search(rf"\b{field}\b", rows[use]), (use, field)


@pytest.mark.parametrize(("load", "text"), blocks("python"))
def test_python_on_the_pages_runs(load, text):
    exec(compile(text, "page", "exec"), {"__name__": "page"})


def test_the_adapter_on_its_page_is_a_port(tmp_path):
    from harness.ports import Bench, Power

    (source,) = [
        text
        for _, kind, text in FENCED.findall((ROOT / "docs" / "write-an-adapter.md").read_text())
        if kind == "python"
    ]
    names: dict = {"__name__": "page"}
    exec(compile(source, "page", "exec"), names)
    bench = Bench(item=None, work=tmp_path, evidence=tmp_path, ports={"body": None}, memory=tmp_path)
    with names["NoSwitch"](of="body").open("power", bench) as port:
        assert isinstance(port, Power)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def called(page):
    """The `shipei` commands of an example for CI, each from its own name on."""
    found = yaml.safe_load((ROOT / "docs" / page).read_text())
    jobs = found["jobs"].values() if "jobs" in found else []
    lines = [s["run"] for job in jobs for s in job["steps"] if "run" in s] + found.get("certify", {}).get("script", [])
    for line in lines:
        for part in re.split(r"#|&&|\bvenv/bin/(?=python)|-- sh -c", line):
            if re.search(r"\bshipei (?!pytest)", part):
                yield "shipei " + part.split("shipei ", 1)[1].strip('" ')


CI_PAGES = (
    "github-actions.yml",
    "github-actions-vcan.yml",
    "github-actions-container.yml",
    "gitlab-ci.yml",
    "gitlab-ci-container.yml",
)


@pytest.mark.parametrize("page", CI_PAGES)
def test_the_examples_for_ci_call_commands_that_exist(page):
    commands = [c for c in called(page) if not c.startswith("shipei pytest")]
    assert commands
    for command in commands:
        words = [
            w for w in command.split() if not w.startswith(("submission/", "$", "{", "}", "-")) and w != "matrix.rig"
        ]
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words[1 : 2 if words[1] == "vcan" else 3], "--help"],
            capture_output=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, command


def test_every_port_recipe_of_the_product_is_on_the_page():
    page = (ROOT / "docs" / "add-a-rig.md").read_text()
    for file in (ROOT / "rigs").glob("*.yaml"):
        for port in yaml.safe_load(file.read_text())["ports"].values():
            assert port["use"] in page
