"""Results of compatibility suites: Android's CTS and VTS (Tradefed's test_result.xml), OpenHarmony's XTS (xdevice's summary_report.xml).

They are counted anew from the single tests: what a summary says is not believed.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from harness.errors import BadInput

CHUNK = 1 << 20
MOST_NAMED, MOST_MODULES = 20, 100_000
ROOTS = {"cts": "Result", "vts": "Result", "xts": "testsuites"}
NOT_RUN = ("ignored", "disabled", "unavailable", "notrun")


@dataclass(kw_only=True)
class Results:
    """What a suite's report says, and what its single tests come to."""

    suite: str
    version: str
    plan: str = ""
    build: str = ""
    began: datetime.datetime | None = None
    tests: int = 0
    failed: int = 0
    first_failed: list[str] = field(default_factory=list)  # by name, a few
    left: int = 0  # not run
    modules: set[str] = field(default_factory=set)
    unfinished: set[str] = field(default_factory=set)
    said: dict[str, int] = field(default_factory=dict)  # by its summary

    def facts(self) -> list[tuple[str, str]]:
        began = f"{self.began:%Y-%m-%d %H:%M}" if self.began else "-"
        counts = f"{self.tests}，{self.failed} 失败 failed，{self.left} 未运行 not run"
        rows = [("套件 suite", f"{self.suite} {self.version}".strip()), ("计划 plan", self.plan), ("开始 began", began), ("被测 build", self.build)]  # fmt: skip
        return [row for row in rows if row[1]] + [
            ("模块 modules", f"{len(self.modules)}，{len(self.unfinished)} 未完成 not done"),
            ("测试 tests", counts),
        ]

    def findings(self, issued: datetime.date, old_days: int) -> list[str]:
        found = []
        if not self.version:
            found.append("does not say which version of the suite ran")
        if self.began is None:
            found.append("does not say when it ran")
        elif not 0 <= (issued - self.began.date()).days <= old_days:
            found.append(f"ran on {self.began:%Y-%m-%d}, not within {old_days} days before this report was issued")
        if self.failed:
            found.append(f"{self.failed} failed: {some(self.first_failed, self.failed)}")
        if self.unfinished:
            found.append(f"modules not done: {some(sorted(self.unfinished), len(self.unfinished))}")
        counted = {"tests": self.tests, "failed": self.failed, "modules": len(self.modules)}
        found += [
            f"its summary says {said} {key}, and it lists {counted[key]}"
            for key, said in self.said.items()
            if said != counted[key]
        ]
        return found if self.tests else ["lists no single test", *found]


def read(file: Path, kind: str, version: str) -> Results:
    """Raises BadInput when it is no such report."""
    found = Results(suite=kind.upper(), version=version)
    module = case = ""
    for n, (name, has) in enumerate(elements(file)):
        if n == 0 and name != ROOTS[kind]:
            raise BadInput(f"{file}: begins with <{name}>; a report of {kind.upper()} begins with <{ROOTS[kind]}>")
        if name in ("Result", "Build", "Summary", "testsuites"):
            head(found, name, has)
        elif name in ("Module", "testsuite"):
            module = has.get("name") or has.get("modulename") or ""
            add_module(found, f"{module} {has.get('abi', '')}".strip(), has)
            if len(found.modules) > MOST_MODULES:
                raise BadInput(f"{file}: names more than {MOST_MODULES} modules: no suite has so many")
        elif name == "TestCase":
            case = has.get("name", "")
        elif name in ("Test", "testcase"):
            count(found, "/".join(filter(None, (module, has.get("classname", case), has.get("name", "")))), has)
    return found


def head(found: Results, name: str, has: Mapping[str, str]) -> None:
    """What is said once, above the tests."""
    if name == "Result":
        found.suite, found.plan = has.get("suite_name", found.suite), has.get("suite_plan", "")
        found.version = has.get("suite_version", found.version)
        with suppress(ValueError, OverflowError, OSError):
            found.began = datetime.datetime.fromtimestamp(int(has.get("start", "")) / 1000, datetime.UTC)
    elif name == "Build":
        found.build = has.get("build_fingerprint", "")
    elif name == "Summary":
        say(found, has, failed="failed", modules="modules_total")
    else:
        with suppress(ValueError):
            found.began = datetime.datetime.fromisoformat(has.get("timestamp") or has.get("starttime", ""))
        say(found, has, tests="tests", modules="modules")


def say(found: Results, has: Mapping[str, str], **keys: str) -> None:
    for key, name in keys.items():
        if has.get(name, "").isdigit():
            found.said[key] = int(has[name])


def add_module(found: Results, name: str, has: Mapping[str, str]) -> None:
    if name:
        found.modules.add(name)
    if has.get("done", "true") != "true" or has.get("unavailable", "0") not in ("0", ""):
        found.unfinished.add(name)


def count(found: Results, name: str, has: Mapping[str, str]) -> None:
    """A single test; of what neither passed nor was left out, it failed."""
    result, status = has.get("result", "").lower(), has.get("status", "").lower()
    found.tests += 1
    if result in NOT_RUN or status in NOT_RUN or has.get("skipped") == "true":
        found.left += 1
    elif result not in ("pass", "true", "assumption_failure"):
        found.failed += 1
        if len(found.first_failed) < MOST_NAMED:
            found.first_failed.append(name)


def some(names: Sequence[str], of: int) -> str:
    """The first of so many."""
    return ", ".join(names[:MOST_NAMED]) + (f" and {of - MOST_NAMED} more" if of > MOST_NAMED else "")


def elements(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Every element as it begins, read piece by piece. With a document type come entities: none is taken."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise BadInput(f"{file}:{parser.CurrentLineNumber}: has a document type (<!DOCTYPE): refused")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, has: found.append((name, has))
    try:
        with file.open("rb") as source:
            while chunk := source.read(CHUNK):
                parser.Parse(chunk, False)
                yield from found
                found.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise BadInput(f"{file}:{error.lineno}: is no XML: {expat.ErrorString(error.code)}") from None
