"""A run's test report as PDF/A-3, Chinese and English, with every item of ISO/IEC 17025:2017, 7.8.2.1; the same bytes for the same run, job and fonts."""

import base64
import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import verdicts
from harness.errors import BadInput
from harness.model import Judged, Measured, Outcome
from harness.paths import ROOT
from reports import annex
from reports.evidence import Evidence
from reports.histogram import histogram
from reports.job import ReportJob
from reports.pages import ACTS, DECISIONS, KINDS, TIMES

TEMPLATE = ROOT / "reports" / "report.typ"
FONTS = ("Noto Sans CJK SC", "Noto Serif CJK SC", "WenQuanYi Micro Hei", "Source Han Sans SC")
COLOURS = {"certified": "#d9f2e0", "refused": "#f9d9d9", "void": "#fbeec2"}
INK = {Outcome.PASS: "#06632b", Outcome.FAIL: "#a30d0d", Outcome.ERROR: "#7a0d7a", Outcome.MISS: "#7a5600"}
LEVELS = {"mandatory": "强制 mandatory", "recommended": "推荐 recommended"}
MOST_TEXT, FEWEST_TIMES = 600, 8
RULE = (
    "数值与限值之差在台架不确定度以内时，不作符合判定（结果为 MISS）；否则按限值判定。 A value within the rig's uncertainty of a limit is inconclusive "
    "(MISS); otherwise it is held against the limit as it is (ISO/IEC 17025:2017, 7.8.6)."
)
STATEMENT = (
    "结果仅与被测样品有关。未经实验室书面同意，不得部分复制本报告。 The results relate only to the items tested. This report is not to be reproduced except in full "
    "without the laboratory's approval. 标记为 [V]、[V-sum] 以外的数值为项目默认值或二手资料，本报告不声称其符合所列标准。 For a figure tagged other than "
    "[V] or [V-sum] no conformity with the named standard is stated."
)


def write(run: Path, job: ReportJob, beside: Path = Path()) -> Path:
    """report.pdf in the run's folder; `beside`: where what the job encloses lies. Raises BadInput when a font, the library or a date is missing,
    an enclosure is not what it is called, or the run's files disagree."""
    typst, date, evidence = library(), dated(job.issued), Evidence(run)
    if verdicts.of_record(run / verdicts.RECORD) != evidence.verdict:
        raise BadInput(f"{run}: judged anew, the record does not give what verdict.json says: shipei judge {run}")
    digests = {a.path: a.sha256 for a in evidence.submission.artefacts}
    annexes = annex.read_all(job.enclosed, beside, digests, date)
    data = told(evidence, job, chinese_fonts(typst)) | {"date": [date.year, date.month, date.day]}
    data["annexes"] = [enclosed(n, one) for n, one in enumerate(annexes, 1)]
    made = typst.compile(
        TEMPLATE,
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
        pdf_standards="a-3b",
        timestamp=datetime.datetime(date.year, date.month, date.day, tzinfo=datetime.UTC),
    )
    file = run / "report.pdf"
    file.write_bytes(made)
    return file


def library() -> Any:
    try:
        import typst
    except ImportError:
        raise BadInput("a PDF needs typst: pip install 'shipei[pdf]'") from None
    return typst


def dated(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"issued should be a date, year-month-day, not {text!r}") from None


def chinese_fonts(typst: Any) -> list[str]:
    """The families to set it in."""
    there = set(typst.Fonts().families())
    found = [family for family in FONTS if family in there]
    if not found:
        raise BadInput(f"no Chinese font is installed ({', '.join(FONTS)}): apt-get install fonts-wqy-microhei")
    return found[:1]


# ---------------------------------------------------------------- what it says


def told(evidence: Evidence, job: ReportJob, fonts: list[str]) -> dict[str, Any]:
    """Everything on its pages, as plain data."""
    verdict, plan = evidence.verdict, evidence.plan
    failed = [j for j in verdict.requirements if j.outcome is not Outcome.PASS]
    return {
        "title": f"检测报告 Test report {job.number}",
        "number": job.number,
        "fonts": fonts,
        "laboratory": vars(job.laboratory),
        "facts": facts(evidence, job),
        "colour": COLOURS[verdict.decision.value],
        "decision": f"{DECISIONS[verdict.decision]}: {plan.combination}",
        "evidence": KINDS.get(
            plan.rig_kind, "虚拟台架证据，不是实物台架证据 evidence of a virtual rig, not of hardware"
        ),
        "conclusion": conclusion(evidence),
        "failed": [[j.requirement, LEVELS[j.level], outcome(j), cut(j.reason)] for j in failed],
        "item": item(evidence, job),
        "artefacts": [[a.path, a.sha256] for a in evidence.submission.artefacts],
        "method": method(evidence, job),
        "instruments": [
            [i.what, f"{i.maker} {i.type}", i.serial, i.calibrated or "-", i.valid_until or "-"]
            for i in plan.instruments
        ],
        "rule": RULE,
        "requirements": [requirement(evidence, j) for j in verdict.requirements],
        "left": [[x.id, x.reason] for x in (*plan.not_applicable, *plan.not_decidable)],
        "digests": [
            ["记录 record", verdict.record_sha256],
            ["组合 manifest", plan.manifest_sha256],
            *([name, digest] for name, digest in sorted(plan.digests.items())),
        ],
        "certificate": certificate(evidence),
        "statement": STATEMENT,
    }


def enclosed(n: int, one: annex.Annex) -> dict[str, Any]:
    return {
        "title": f"{one.title}: {one.name}",
        "sha256": one.sha256,
        "facts": [list(fact) for fact in one.facts],
        "findings": one.findings,
        "file": f"annex-{n}{Path(one.name).suffix[:8]}" if one.attached else "",
        "bytes": list(one.attached),
    }


def certificate(evidence: Evidence) -> str:
    """The run's certificate as it lies there, if it has one. Raises BadInput when it is about another record."""
    file = evidence.run / verdicts.CERTIFICATE
    if not file.is_file():
        return ""
    raw = file.read_text(encoding="utf-8")
    try:
        about = json.loads(base64.b64decode(json.loads(raw)["payload"]))["predicate"]["record"]["sha256"]
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{file}: not a certificate") from None
    if about != evidence.verdict.record_sha256:
        raise BadInput(f"{file}: is about another record than the one beside it")
    return raw


def facts(evidence: Evidence, job: ReportJob) -> list[list[str]]:
    def party(one: Any) -> str:
        return ", ".join(filter(None, (one.name, one.address, one.contact)))

    return [
        ["实验室 laboratory", party(job.laboratory)],
        ["检测地点 location", job.location],
        ["客户 customer", party(job.customer)],
        ["样品 item", f"{evidence.plan.vendor} {evidence.plan.combination}"],
        ["收样 received", job.received],
        ["检测 tested", job.tested],
        ["签发 issued", job.issued],
        ["批准 authorised by", job.authorised_by],
    ]


def conclusion(evidence: Evidence) -> list[list[str]]:
    verdict, plan = evidence.verdict, evidence.plan
    rows = []
    for level, name in LEVELS.items():
        of_level = [j for j in verdict.requirements if j.level == level]
        passed = sum(j.outcome is Outcome.PASS for j in of_level)
        rows.append([name, f"{passed} / {len(of_level)} 通过 passed"])
    return [*rows, ["规范 profile", f"{plan.profile}, {plan.effort}"], *(["运行故障 fault", f] for f in verdict.faults)]


def item(evidence: Evidence, job: ReportJob) -> list[list[str]]:
    one = evidence.plan.combination
    return [
        ["芯片 chip", f"{one.chip.name} {one.chip.revision}"],
        ["操作系统 OS", f"{one.os.name} {one.os.version}"],
        ["应用 application", f"{one.application.name} {one.application.version}"],
        ["状态 condition", job.condition],
        ["抽样 sampling", job.sampling],
    ]


def method(evidence: Evidence, job: ReportJob) -> list[list[str]]:
    plan = evidence.plan
    opened = [e for e in evidence.events if e.what == "opened"]
    unsure = ", ".join(f"{e.port}: {(e.uncertainty_ns or 0) / 1e6:g} ms" for e in opened)
    arrived = [str(e.context["image_arrived"]) for e in opened if e.context and "image_arrived" in e.context]
    bracket = "测试前后已核查 checked before and after" if plan.bracketed else "未使用 none"
    return [
        ["规范 profile", f"{plan.profile}; {', '.join(plan.suites)}"],
        ["台架 rig", f"{plan.rig} ({plan.rig_kind})"],
        ["样品装载 image", "; ".join(arrived) or "-"],
        ["时标不确定度 uncertainty of stamps", unsure or "-"],
        ["基准件 golden item", bracket],
        ["偏离 deviations", job.deviations],
        ["外部结果 external results", job.external],
    ]


def requirement(evidence: Evidence, judged: Judged) -> dict[str, Any]:
    one = evidence.planned[judged.requirement].requirement
    return {
        "id": judged.requirement,
        "zh": one.zh,
        "en": one.en,
        "source": f"{one.source.document} {one.source.clause} [{one.trust}]",
        "level": LEVELS[judged.level],
        "outcome": outcome(judged),
        "colour": INK[judged.outcome],
        "reason": cut(judged.reason),
        "measures": measures(judged.measured),
        "pictures": pictures(judged.measured),
    }


def outcome(judged: Judged) -> str:
    mark, zh, _ = ACTS[judged.outcome]
    return f"{mark} {zh} {judged.outcome.name}"


def measures(measured: Iterable[Measured]) -> list[list[str]]:
    """A row a quantity and its limits: how often, least, most, limits, uncertainty, unit."""
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for one in measured:
        groups.setdefault((one.name, one.low, one.high, one.unit), []).append(one)
    rows = []
    for (name, low, high, unit), ones in groups.items():
        values = [m.value for m in ones]
        unsure = max(m.uncertainty for m in ones)
        figures = (min(values), max(values), low, high, unsure)
        rows.append([name, str(len(ones)), *("-" if f is None else f"{f:.6g}" for f in figures), unit])
    return rows


def pictures(measured: Iterable[Measured]) -> list[str]:
    """A histogram of each time that was measured often."""
    groups: dict[tuple[str, str, float | None], list[float]] = {}
    for one in measured:
        if one.unit in TIMES:
            groups.setdefault((one.name, one.unit, one.high), []).append(one.value)
    made = [histogram(n, v, unit, high) for (n, unit, high), v in groups.items() if len(v) >= FEWEST_TIMES]
    return [svg[svg.index("<svg") : svg.index("</svg>") + len("</svg>")] for svg in made if "<svg" in svg]


def cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"
