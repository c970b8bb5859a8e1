"""The compatibility matrix: the newest run of every combination on every rig; terminal, Markdown, HTML and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from rich.table import Table

from harness import certify
from harness.errors import BadInput
from harness.signing import keys
from reports import standing
from reports.pages import document
from reports.standing import UNVERIFIED, Standing

SYMBOL = {"certified": "✔", "refused": "✘", "void": "?", UNVERIFIED: "!"}
ZH = {"certified": "认证通过", "refused": "未通过", "void": "无效", UNVERIFIED: "未验证"}
COLOUR = {"certified": "green", "refused": "red", "void": "yellow", UNVERIFIED: "magenta"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination on one rig: what the newest run says, where it lies, and why it is not verified where it is not."""

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
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Every tile, and what was left out of it: a folder and why, a sentence each."""

    cells: tuple[Cell, ...]
    left_out: tuple[str, ...]


def collect(runs: Path, key: Path | None = None) -> Matrix:
    """The newest run of each combination, by the digest of its manifest, on each rig by each profile.

    A tile is certified only by a certificate that holds (`key`: the lab's, for hardware) and is of that record; refused or void only by a record that was
    sealed here. Folders that hold no whole run, a run of another combination, or a copy of another, are left out, by name. Raises BadInput for a key that is none.
    """
    if key is not None:
        keys.verifying(key)
    newest: dict[tuple[str, str, str], Cell] = {}
    left_out: list[str] = []
    seen: dict[str, Path] = {}
    for run in sorted((f.parent for f in runs.glob("*/*/verdict.json")), key=in_order):
        try:
            found = standing.of(run, key)
        except BadInput as error:
            left_out.append(f"{run.relative_to(runs)}: {error}")
            continue
        if why := misplaced(run, found, seen):
            left_out.append(f"{run.relative_to(runs)}: {why}")
            continue
        seen[found.verdict.record_sha256] = run
        what = found.plan.manifest_sha256, found.plan.rig, found.plan.profile
        if found.why and what in newest and not newest[what].why:
            left_out.append(f"{run.relative_to(runs)}: {found.why}; {newest[what].run} stands")
            continue
        newest[what] = cell(run, found, runs)
    return Matrix(cells=tuple(newest.values()), left_out=tuple(left_out))


def in_order(run: Path) -> tuple[str, int, str]:
    """By the combination, then as they were made."""
    return run.parent.name, int(run.name) if run.name.isdecimal() and len(run.name) < 10 else 0, run.name


def misplaced(run: Path, found: Standing, seen: Mapping[str, Path]) -> str:
    """Why a folder is not where such a run is put; empty if it is."""
    if found.verdict.record_sha256 in seen:
        return f"is a copy of {seen[found.verdict.record_sha256]}"
    if not (run.name.isdecimal() and run.parent.name == certify.folder_name(found.plan)):
        return f"is a run of {certify.folder_name(found.plan)}, and not in a folder of its own there"
    return ""


def cell(run: Path, found: Standing, runs: Path) -> Cell:
    plan, combination = found.plan, found.plan.combination
    return Cell(
        vendor=plan.vendor,
        chip=f"{combination.chip.name} {combination.chip.revision}",
        os=f"{combination.os.name} {combination.os.version}",
        application=f"{combination.application.name} {combination.application.version}",
        profile=plan.profile,
        rig=plan.rig,
        virtual=plan.rig_kind != "bench",
        state=found.state,
        passed=sum(j.outcome.value == "pass" for j in found.verdict.requirements),
        requirements=len(found.verdict.requirements),
        manifest_sha256=plan.manifest_sha256,
        run=str(run.relative_to(runs)),
        why=found.why,
    )


def grid(cells: Sequence[Cell]) -> tuple[list[str], list[str], dict[tuple[str, str], list[Cell]]]:
    """Rows (chip x OS), columns (vendor's application), and what lies where they cross."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for one in cells:
        found.setdefault((f"{one.chip} x {one.os}", f"{one.vendor}: {one.application}"), []).append(one)
    return sorted({r for r, _ in found}), sorted({c for _, c in found}), found


def tile(one: Cell) -> str:
    where = f"{one.rig}, virtual" if one.virtual else one.rig
    return f"{SYMBOL[one.state]} {one.state} ({where}) {one.passed}/{one.requirements}"


def table(cells: Sequence[Cell]) -> Table:
    """For the terminal."""
    rows, columns, found = grid(cells)
    out = Table(title="compatibility matrix 适配矩阵", title_justify="left", show_lines=True)
    for name in ("chip x OS", *columns):
        out.add_column(name)
    for row in rows:
        tiles = (
            "\n".join(f"[{COLOUR[c.state]}]{tile(c)}[/]" for c in found.get((row, col), [])) or "· untested"
            for col in columns
        )
        out.add_row(row, *tiles)
    return out


def write(runs: Path, key: Path | None = None) -> tuple[Matrix, dict[str, Path]]:
    """The matrix, and matrix.md, matrix.html and matrix.json in the folder of runs."""
    runs.mkdir(parents=True, exist_ok=True)
    found = collect(runs, key)
    files = {kind: runs / f"matrix.{kind}" for kind in ("md", "html", "json")}
    files["md"].write_text(markdown(found), encoding="utf-8")
    files["html"].write_text(html(found), encoding="utf-8")
    files["json"].write_text(
        json.dumps([asdict(c) for c in found.cells], ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return found, files


def markdown(matrix: Matrix) -> str:
    rows, columns, found = grid(matrix.cells)
    lines = ["| chip x OS | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        tiles = ["<br>".join(tile(c) for c in found.get((row, col), [])) or "· untested" for col in columns]
        lines.append(f"| {row} | " + " | ".join(tiles) + " |")
    lines += [""] * bool(matrix.left_out) + [f"- left out: {why}" for why in matrix.left_out]
    return "\n".join(lines) + "\n"


def html(matrix: Matrix) -> str:
    rows, columns, found = grid(matrix.cells)
    body = ["<h1>适配矩阵 compatibility matrix</h1><table><tr><th>芯片 × 系统 chip × OS"]
    body += [f"<th>{escape(c)}" for c in columns]
    for row in rows:
        body.append(f"<tr><th>{escape(row)}")
        for column in columns:
            here = found.get((row, column), [])
            tiles = [
                f'<p class="{c.state}"><a href="{escape(c.run)}/page/index.html">{SYMBOL[c.state]} {ZH[c.state]} {c.state}</a><br>'
                f"{escape(c.rig)}{' 虚拟 virtual' if c.virtual else ''} · {c.passed}/{c.requirements} · {escape(c.profile)}"
                + (f"<br><small>{escape(c.why)}</small>" if c.why else "")
                + "</p>"
                for c in here
            ]
            body.append("<td>" + ("".join(tiles) or "· 未测 untested"))
    body.append("</table>")
    body += [f"<p>未计入 left out: {escape(why)}</p>" for why in matrix.left_out]
    body.append("<p>虚拟台架的结论不等同于实物台架。 A virtual rig's verdict is never hardware evidence.</p>")
    return document("compatibility matrix", "".join(body))
