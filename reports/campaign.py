"""A campaign's own page and data: every cell with its verdict and where its run, report and certificate lie."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from harness import record
from harness.batch.campaign import Done
from reports import matrix
from reports.matrix import SYMBOL, ZH
from reports.pages import document

LINKS = {
    "page/index.html": "结论 verdict",
    "allure-report/index.html": "Allure",
    "certificate.json": "证书 certificate",
    "junit.xml": "JUnit",
}


def links(run: Path | None, folder: Path) -> dict[str, str]:
    """What lies in a run, by its name, relative to the campaign's folder."""
    if run is None:
        return {}
    found = {"run": os.path.relpath(run, folder)}
    return found | {k: os.path.relpath(run / k, folder) for k in LINKS if (run / k).is_file()}


def data(done: Done, folder: Path) -> dict[str, Any]:
    verdict = done.verdict
    requirements = verdict.requirements if verdict else ()
    return {
        "vendor": done.cell.plan.vendor,
        "combination": str(done.cell.plan.combination),
        "rig": done.cell.plan.rig,
        "profile": done.cell.plan.profile,
        "decision": done.decision,
        "passed": sum(j.outcome.value == "pass" for j in requirements),
        "requirements": len(requirements),
        "not_passed": [j.requirement for j in requirements if j.outcome.value != "pass"],
        "faults": list(verdict.faults) if verdict else [],
        "says": done.says,
        "code": done.code,
        "seconds": round(done.seconds, 1),
        "earlier": done.earlier,
        "links": links(done.run, folder),
    }


def write(name: str, results: Sequence[Done], folder: Path, runs: Path, key: Path | None) -> dict[str, Path]:
    """campaign.json, index.html, and the matrix of the campaign's runs."""
    rows = [data(d, folder) for d in results]
    files = {"index": folder / "index.html", "data": folder / "campaign.json"}
    record.write_json(files["data"], {"name": name, "cells": rows})
    _, matrices = matrix.write(runs, key)
    files["matrix"] = matrices["html"]
    files["index"].write_text(page(name, rows, os.path.relpath(matrices["html"], folder)), encoding="utf-8")
    return files


def page(name: str, rows: list[dict[str, Any]], matrix_link: str) -> str:
    counts = {k: sum(r["decision"] == k for r in rows) for k in ("certified", "refused", "void")}
    said = " · ".join(f"{SYMBOL[k]} {ZH[k]} {k} {n}" for k, n in counts.items())
    body = [
        f"<h1>认证批次 campaign {escape(name)}</h1><p>{said} · <a href='{escape(matrix_link)}'>适配矩阵 matrix</a></p>"
    ]
    body.append("<table><tr><th>厂商 vendor<th>组合 combination<th>台架 rig<th>规范 profile<th>结论 verdict<th>&nbsp;")
    for row in rows:
        where = "<br>".join(
            f"<a href='{escape(row['links'][k])}'>{v}</a>" for k, v in LINKS.items() if k in row["links"]
        )
        why = ", ".join(row["not_passed"]) or "; ".join(row["faults"]) or row["says"]
        body.append(
            f"<tr><td>{escape(row['vendor'])}<td>{escape(row['combination'])}<td>{escape(row['rig'])}"
            f"<td>{escape(row['profile'])}<td class='{row['decision']}'>{SYMBOL[row['decision']]} {ZH[row['decision']]} "
            f"{row['decision']} {row['passed']}/{row['requirements']}"
            + (f"<br><small>{escape(why)}</small>" if why else "") + f"<td>{where}"
        )  # fmt: skip
    return document(f"campaign {name}", "".join(body) + "</table>")
