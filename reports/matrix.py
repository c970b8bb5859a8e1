"""The compatibility matrix: the newest run of every combination on every rig; terminal, Markdown, HTML and JSON."""

import json
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from rich.table import Table

from harness import certificate, record, verdicts
from harness.errors import BadInput
from harness.model import Decision
from reports.pages import document

SYMBOL = {"certified": "✔", "refused": "✘", "void": "?"}
ZH = {"certified": "认证通过", "refused": "未通过", "void": "无效"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination on one rig: what the newest run says, and where it lies."""

    vendor: str
    chip: str
    os: str
    application: str
    profile: str
    rig: str
    virtual: bool
    state: str
    passed: int
    requirements: int
    manifest_sha256: str
    run: str


def collect(runs: Path) -> list[Cell]:
    """Every newest run. Certified counts only with a certificate that holds; without it the cell is void."""
    newest: dict[tuple[str, str], Path] = {}
    for file in sorted(runs.glob("*/*/verdict.json"), key=lambda f: (f.parent.parent.name, int(f.parent.name))):
        newest[file.parent.parent.name, record.load_plan(file.parent / verdicts.RECORD).profile] = file.parent
    return [cell(run, runs) for run in newest.values()]


def cell(run: Path, runs: Path) -> Cell:
    verdict = verdicts.load(run)
    plan = record.load_plan(run / verdicts.RECORD)
    state = verdict.decision.value
    if verdict.decision is Decision.CERTIFIED and plan.rig_kind != "bench":
        try:
            certificate.verify(run / verdicts.CERTIFICATE, manifest_sha256=plan.manifest_sha256)
        except BadInput:
            state = "void"
    combination = verdict.combination
    return Cell(
        vendor=plan.vendor,
        chip=f"{combination.chip.name} {combination.chip.revision}",
        os=f"{combination.os.name} {combination.os.version}",
        application=f"{combination.application.name} {combination.application.version}",
        profile=plan.profile,
        rig=plan.rig,
        virtual=plan.rig_kind != "bench",
        state=state,
        passed=sum(j.outcome.value == "pass" for j in verdict.requirements),
        requirements=len(verdict.requirements),
        manifest_sha256=plan.manifest_sha256,
        run=str(run.relative_to(runs)),
    )


def grid(cells: list[Cell]) -> tuple[list[str], list[str], dict[tuple[str, str], list[Cell]]]:
    """Rows (chip x OS), columns (vendor's application), and what lies where they cross."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for one in cells:
        found.setdefault((f"{one.chip} x {one.os}", f"{one.vendor}: {one.application}"), []).append(one)
    return sorted({r for r, _ in found}), sorted({c for _, c in found}), found


def tile(one: Cell) -> str:
    where = f"{one.rig}, virtual" if one.virtual else one.rig
    return f"{SYMBOL[one.state]} {one.state} ({where}) {one.passed}/{one.requirements}"


def table(cells: list[Cell]) -> Table:
    """For the terminal."""
    rows, columns, found = grid(cells)
    out = Table(title="compatibility matrix 适配矩阵", title_justify="left", show_lines=True)
    for name in ("chip x OS", *columns):
        out.add_column(name)
    colour = {"certified": "green", "refused": "red", "void": "yellow"}
    for row in rows:
        tiles = (
            "\n".join(f"[{colour[c.state]}]{tile(c)}[/]" for c in found.get((row, col), [])) or "· untested"
            for col in columns
        )
        out.add_row(row, *tiles)
    return out


def write(runs: Path) -> dict[str, Path]:
    """matrix.md, matrix.html and matrix.json in the folder of runs."""
    runs.mkdir(parents=True, exist_ok=True)
    cells = collect(runs)
    files = {kind: runs / f"matrix.{kind}" for kind in ("md", "html", "json")}
    files["md"].write_text(markdown(cells), encoding="utf-8")
    files["html"].write_text(html(cells), encoding="utf-8")
    files["json"].write_text(
        json.dumps([asdict(c) for c in cells], ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return files


def markdown(cells: list[Cell]) -> str:
    rows, columns, found = grid(cells)
    lines = ["| chip x OS | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        tiles = ["<br>".join(tile(c) for c in found.get((row, col), [])) or "· untested" for col in columns]
        lines.append(f"| {row} | " + " | ".join(tiles) + " |")
    return "\n".join(lines) + "\n"


def html(cells: list[Cell]) -> str:
    rows, columns, found = grid(cells)
    body = ["<h1>适配矩阵 compatibility matrix</h1><table><tr><th>芯片 × 系统 chip × OS"]
    body += [f"<th>{escape(c)}" for c in columns]
    for row in rows:
        body.append(f"<tr><th>{escape(row)}")
        for column in columns:
            here = found.get((row, column), [])
            tiles = [
                f'<p class="{c.state}"><a href="{escape(c.run)}/page/index.html">{SYMBOL[c.state]} {ZH[c.state]} {c.state}</a><br>'
                f"{escape(c.rig)}{' 虚拟 virtual' if c.virtual else ''} · {c.passed}/{c.requirements} · {escape(c.profile)}</p>"
                for c in here
            ]
            body.append("<td>" + ("".join(tiles) or "· 未测 untested"))
    body.append("</table><p>虚拟台架的结论不等同于实物台架。 A virtual rig's verdict is never hardware evidence.</p>")
    return document("compatibility matrix", "".join(body))
