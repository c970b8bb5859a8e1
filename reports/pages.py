"""A run's own pages, Chinese and English: the verdict, and for each requirement that is not passed what its owner needs."""

from html import escape
from pathlib import Path

from harness.can.trace import show
from harness.certificate import MOST_NAMED
from harness.judge import words
from harness.model import Decision, Judged, Measured, Outcome
from reports import boot, drives, exchange, standing
from reports.evidence import Evidence
from reports.histogram import histogram
from reports.plot import signals_svg
from reports.standing import Standing

MOST_FRAMES = 40
KINDS = {"bench": "实物台架 hardware rig", "replay": "记录，不签发证书 a recording, never signed"}
TIMES = ("ms", "s", "us")
DECISIONS = {Decision.CERTIFIED: "认证通过 certified", Decision.REFUSED: "未通过 refused", Decision.VOID: "无效 void"}
ACTS = {
    Outcome.PASS: ("✔", "通过", "nobody has to act"),
    Outcome.FAIL: ("✘", "不通过", "the vendor acts 由厂商处理"),
    Outcome.ERROR: ("!", "测试错误", "the suite's author acts 由测试套件作者处理"),
    Outcome.MISS: ("?", "未完成", "the lab acts 由实验室处理"),
}
STYLE = """
body{font:15px/1.5 system-ui,"Noto Sans CJK SC","WenQuanYi Micro Hei",sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.3rem .5rem;text-align:left;vertical-align:top}
pre{background:#f4f4f4;padding:.6rem;overflow:auto}.pass{color:#06632b}.fail{color:#a30d0d;font-weight:600}
.error{color:#7a0d7a;font-weight:600}.miss{color:#7a5600;font-weight:600}.certified{background:#d9f2e0}.refused{background:#f9d9d9}
.void{background:#fbeec2}.exchange td{font-size:13px;padding:.15rem .5rem}.banner{padding:.6rem 1rem;font-size:1.2rem}svg{max-width:100%;height:auto}
"""
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="zh"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><body>{body}</body></html>\n"
    )


def write(run: Path, key: Path | None = None) -> Path:
    """page/index.html and a page for each requirement: of one that is passed, what was measured; of another, all that its owner needs."""
    evidence = Evidence(run)
    folder = run / "page"
    folder.mkdir(exist_ok=True)
    for judged in evidence.verdict.requirements:
        made = passed(evidence, judged) if judged.outcome is Outcome.PASS else requirement(evidence, judged)
        (folder / f"{judged.requirement}.html").write_text(made, encoding="utf-8")
    index = folder / "index.html"
    index.write_text(overview(evidence, standing.of(run, key)), encoding="utf-8")
    return index


def overview(evidence: Evidence, stands: Standing) -> str:
    verdict, plan = evidence.verdict, evidence.plan
    rows = []
    for judged in verdict.requirements:
        planned = evidence.planned[judged.requirement].requirement
        mark, zh, _ = ACTS[judged.outcome]
        link = f'<a href="{judged.requirement}.html">{judged.requirement}</a>'
        level = "" if judged.level == "mandatory" else "<br><small>推荐 recommended</small>"
        rows.append(
            f'<tr><td>{link}{level}<td class="{judged.outcome.value}">{mark} {zh} {judged.outcome.name}'
            f"<td>{escape(planned.zh)}<br>{escape(planned.en)}<td>{escape(planned.source.document)}"
            f" {escape(planned.source.clause)} [{planned.trust}]"
        )
    kind = KINDS.get(plan.rig_kind, "虚拟台架 virtual rig")
    body = (
        f"<h1>{escape(plan.vendor)} · {escape(str(plan.combination))}</h1>"
        f'<p class="banner {verdict.decision.value}">{DECISIONS[verdict.decision]}</p>'
        + (f'<p class="miss">未验证 not verified: {escape(stands.why)}</p>' if stands.why else "")
        + f"<p>规范 profile {escape(plan.profile)} · 力度 effort {plan.effort} · 台架 rig {escape(plan.rig)} ({kind}) · "
        f"组合摘要 manifest <code>{plan.manifest_sha256}</code></p>"
        + "".join(f"<p class=miss>本次运行故障 fault of the run: {escape(f)}</p>" for f in verdict.faults)
        + bench(evidence)
        + "<table><tr><th>要求 requirement<th>结果 outcome<th>内容 sentence<th>依据 source"
        + "".join(rows)
        + "</table>"
        + boot.section(evidence)
        + "".join(
            f"<p>未测 not tested: {escape(x.id)}: {escape(x.reason)}</p>"
            for x in (*plan.not_applicable, *plan.not_decidable)
        )
        + "".join(
            f"<p>未核查 not looked at: {len(names)} × {escape(what)}: {escape(', '.join(names[:MOST_NAMED]))}</p>"
            for what, names in plan.unchecked.items()
        )
        + "<p>结果仅与被测样品有关。 The results relate only to the items tested.</p>"
    )
    return document(f"{plan.combination}: {verdict.decision.value}", body)


def bench(evidence: Evidence) -> str:
    """How the image got onto the target, and the instruments with the validity of their calibration."""
    arrivals = [str(e.context["image_arrived"]) for e in evidence.events if e.what == "opened" and e.context]
    text = "".join(f"<p>样品 image: {escape(how)}</p>" for how in arrivals)
    if evidence.plan.bracketed:
        text += "<p>测试前后已用基准件核查台架。 The bench was checked with its golden item before and after.</p>"
    if not evidence.plan.instruments:
        return text
    rows = "".join(
        f"<tr><td>{escape(i.what)}<td>{escape(i.maker)} {escape(i.type)}<td>{escape(i.serial)}<td>{escape(i.calibrated or '-')}"
        f"<td>{escape(i.valid_until or '-')}<td>{escape(i.certificate or '-')}"
        for i in evidence.plan.instruments
    )
    head = "<tr><th>仪器 instrument<th>型号 type<th>编号 serial<th>校准 calibrated<th>有效期 valid until<th>校准证书 certificate"
    return f"{text}<table>{head}{rows}</table>"


def head(evidence: Evidence, judged: Judged) -> str:
    """What the requirement is, and its outcome."""
    planned = evidence.planned[judged.requirement].requirement
    mark, zh, acts = ACTS[judged.outcome]
    return (
        f"<p><a href=index.html>↑</a></p><h1>{judged.requirement}</h1>"
        f'<p class="{judged.outcome.value}">{mark} {zh} {judged.outcome.name}: {acts}</p>'
        f"<p>{escape(planned.zh)}<br>{escape(planned.en)}</p>"
        f"<p>{escape(planned.source.document)} {escape(planned.source.clause)} [{planned.trust}]</p>"
    )


def seen(evidence: Evidence, judged: Judged) -> str:
    """What was measured, its times as pictures, and the diagnostic exchange."""
    return (
        f"<h2>期望与实测 expected and seen</h2>{measurements(judged.measured)}"
        f"{histograms(judged)}{exchange.section(evidence, judged)}"
    )


def histograms(judged: Judged) -> str:
    """A picture for every quantity that is a time and was measured several times."""
    found: dict[str, list[Measured]] = {}
    for m in judged.measured:
        if m.unit in TIMES:
            found.setdefault(m.name, []).append(m)
    drawn = []
    for name, several in found.items():
        low, high = ({getattr(m, side) for m in several} for side in ("low", "high"))
        limits = [next(iter(s)) if len(s) == 1 else None for s in (low, high)]
        drawn.append(histogram(name, [m.value for m in several], several[0].unit, *limits))
    return "".join(f"<p>{d}</p>" for d in drawn if d)


def passed(evidence: Evidence, judged: Judged) -> str:
    body = head(evidence, judged) + seen(evidence, judged)
    return document(f"{judged.requirement}: {judged.outcome.value}", body)


def requirement(evidence: Evidence, judged: Judged) -> str:
    """Stimulus, expected, seen, the frames, how to reproduce."""
    stimulus = "\n".join(evidence.stimulus(judged.requirement)) or "无变化 nothing was changed"
    frames = "\n".join(f"{bus}\n{show(evidence.decisive(judged, bus), MOST_FRAMES)}" for bus in evidence.traces)
    said = "\n".join(
        f"{line.time_ns / 1e9:.6f} {line.text}" for line in evidence.said(judged.requirement)[-MOST_FRAMES:]
    )
    body = (
        f"{head(evidence, judged)}<h2>原因 reason</h2><pre>{escape(judged.reason)}</pre>{seen(evidence, judged)}"
        f"<h2>激励 stimulus</h2><pre>{escape(stimulus)}</pre>"
        f"{driven(evidence, judged)}<h2>信号 signals</h2>{svg(evidence, judged)}"
        f"<h2>控制台 console</h2><pre>{escape(said) or '-'}</pre>"
        f"<h2>报文 frames (the last {MOST_FRAMES} before it was measured)</h2><pre>{escape(frames)}</pre>"
        f"<h2>复现 reproduce</h2><pre>{escape(evidence.reproduce(judged))}</pre>"
    )
    return document(f"{judged.requirement}: {judged.outcome.value}", body)


def driven(evidence: Evidence, judged: Judged) -> str:
    """Every case that was driven: its picture, and the view from above; those that ended in a contact first."""
    found = sorted(drives.of_requirement(evidence, judged.requirement), key=lambda drive: -drive.impact_kmh())
    shown = [inline(drives.picture(drive)) + inline(drives.birdseye(drive)) for drive in found]
    return f"<h2>场景 scenarios</h2>{''.join(shown)}" if shown else ""


def inline(svg: str) -> str:
    return f"<p>{svg[svg.find('<svg') :]}</p>"


def measurements(measured: tuple[Measured, ...]) -> str:
    rows = "".join(
        f'<tr><td>{m.name}<td>{escape(said.allowed)}<td class="{m.outcome.value}">{escape(said.value)}<td>{escape(said.unsure)}'
        f"<td>{escape(', '.join(f'{k}={v}' for k, v in m.context.items()))}"
        for m, said in ((m, words(m)) for m in measured)
    )
    return f"<table><tr><th>量 quantity<th>允许 allowed<th>实测 seen<th>不确定度 ±<th>条件 context{rows}</table>"


def svg(evidence: Evidence, judged: Judged) -> str:
    tracks = evidence.tracks(judged.requirement)
    drawn = signals_svg(tracks, judged.requirement) if tracks else "-"
    return drawn[drawn.find("<svg") :] if "<svg" in drawn else drawn
