"""The site's pages, Chinese and English. Everything that others wrote is text, and no page may load or run anything but its own."""

import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from publication.entries import Entry, nearest
from publication.job import Site

CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
SYMBOL = {"certified": "✔", "waived": "◐", "refused": "✘", "void": "?", "running": "…", "expired": "◔", "revoked": "⊘"}
ZH = {
    "certified": "认证通过", "waived": "附豁免通过", "refused": "未通过", "void": "无效", "running": "进行中", "expired": "已过期", "revoked": "已撤销或暂停",
}  # fmt: skip
MOST_TEXT = 1000
TO_MATRIX = '<nav><a href="../index.html">矩阵 matrix</a></nav>'


def page(title: str, body: str, up: str = "", scripts: Sequence[str] = ()) -> str:
    """A whole page; `up` is the way to the site's root."""
    tags = "".join(f'<script src="{up}{name}"></script>' for name in scripts)
    return (
        f'<!doctype html><html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}"><title>{escape(title)}</title>'
        f'<link rel="stylesheet" href="{up}style.css"><link rel="icon" href="{up}icon.svg"><link rel="alternate" type="application/atom+xml" href="{up}feed.xml" title="Atom"></head>'
        f"<body>{body}{tags}</body></html>\n"
    )


def index(site: Site, kind: str, status: dict[str, Any]) -> str:
    """The matrix; without scripts, the way to the plain list."""
    virtual = (
        "<p>虚拟台架的结论不等同于实物台架。 A virtual rig's verdict is never hardware evidence.</p>"
        if kind == "virtual"
        else ""
    )
    body = (
        f"<main><h1>{escape(site.zh)} · {escape(site.en)}</h1>{virtual}"
        '<noscript><p><a href="list.html">列表 list</a></p></noscript>'
        '<div class="bar"><label><span data-word="rows"></span><select id="rows"></select></label>'
        '<button id="swap" type="button">⇄ <span data-word="swap"></span></button>'
        '<label><span data-word="columns"></span><select id="columns"></select></label>'
        '<label><span data-word="search"></span><input id="q" type="search"></label>'
        '<select id="state" aria-label="状态 state"></select><button id="language" type="button" data-word="language"></button>'
        '<span id="count" class="soft" role="status"></span></div>'
        '<div class="scroll" id="matrix" role="region" tabindex="0" aria-label="适配矩阵 compatibility matrix"></div>'
        '<button id="more" type="button" hidden></button><ul class="legend" id="legend"></ul>'
        f'<p class="soft">状态列表 status list {status["number"]}, {escape(status["issued"])} · <a href="list.html">列表 list</a> · '
        '<a href="vendors/index.html">厂商 vendors</a> · <a href="chips/index.html">芯片 chips</a> · '
        '<a href="changes.html">到期与变化 expiring and changed</a> · <a href="services.html">服务统计 services</a> · '
        '<a href="feed.xml">Atom</a> · <a href="dataset.csv">CSV</a> · <a href="api/v1/combinations.json">API</a> · '
        '<a href="verify.html">自行核验 verify it yourself</a></p></main>'
    )
    return page(f"{site.zh} {site.en}", body, scripts=("data.js", "app.js"))


def listing(site: Site, entries: Sequence[Entry]) -> str:
    """All of it as one table, for who has no scripts."""
    return page(
        f"{site.zh} {site.en}",
        f'<nav><a href="index.html">矩阵 matrix</a></nav><main><h1>{escape(site.zh)} · {escape(site.en)}</h1>{listed(entries)}</main>',
    )


def listed(entries: Sequence[Entry], up: str = "") -> str:
    """Combinations as a table."""
    rows = "".join(
        f'<tr><td class="{e.state}">{SYMBOL[e.state]} {ZH[e.state]} {e.state}<td><a href="{up}c/{e.id}.html">{escape(e.subject)}</a>'
        f"<td>{escape(e.profile)}<td>{escape(e.rig)}<td>{escape(e.since[:10] or '-')}<td>{escape(e.valid_until[:10] or '-')}"
        for e in entries
    )
    names = ("状态 state", "组合 combination", "规范 profile", "台架 rig", "自 since", "有效期至 valid until")
    return scroll("组合 combinations", table_of(*names, rows=()) + rows)


def combination(one: Entry, held: Sequence[Entry], report: str | None = None) -> str:
    """One combination: what holds, since when and until when, what became of it, every requirement, and how to check.

    `held`: the vendor's entries that hold. `report`: the address of its report.
    """
    facts = [
        ("厂商 vendor", linked("vendors", one.vendor)),
        ("芯片 chip", linked("chips", one.chip)),
        ("操作系统 OS", one.os),
        ("应用 application", one.application),
        ("规范 profile", one.profile),
        ("台架 rig", f"{one.rig}{'，虚拟 virtual' if one.virtual else ''}"),
        ("通过 passed", f"{one.passed} / {sum(r['outcome'] != 'inherited' for r in one.requirements)}"),
        ("自 since", one.since or "-"),
        ("有效期至 valid until", one.valid_until or "-"),
        ("组合摘要 manifest", one.manifest),
        ("记录 record", one.record),
    ]
    table = "".join(
        f'<tr><th scope="row">{name}<td>{said if said.startswith("<a") else code(said)}' for name, said in facts
    )
    body = (
        f'{TO_MATRIX}<main><h1>{escape(one.subject)}</h1><p class="tile {one.state}">{SYMBOL[one.state]} {ZH[one.state]} {one.state}'
        f"{': ' + escape(one.detail) if one.detail else ''}</p>"
        f'<p><img src="../badges/{one.id}.svg" alt="{escape(one.state)}"></p>{scroll("事实 facts", table)}'
        f"{of_report(one, report)}{of_certificate(one)}{of_regression(one)}{why_not(one, held)}{earlier(one)}{requirements(one)}"
        "<p>结果仅与被测样品有关。 The results relate only to the items tested.</p></main>"
    )
    return page(one.subject, body, up="../")


def code(value: str) -> str:
    return f"<code>{escape(value)}</code>" if len(value) == 64 else escape(value)


def of_certificate(one: Entry) -> str:
    if not one.certificate:
        return ""
    steps = [[step[key] for key in ("since", "state", "by", "reason")] for step in one.life]
    return (
        f"<h2>证书 certificate</h2><p>{to_certificate(one.certificate)}</p>"
        f"{scroll('证书的状态 life of the certificate', table_of('自 since', '状态 state', '签署 by', '理由 reason', rows=steps))}"
    )


def to_certificate(digest: str, up: str = "../") -> str:
    return f'<a href="{up}programme/certificates/{digest}.json"><code>{digest}</code></a>'


def of_report(one: Entry, report: str | None) -> str:
    return f'<p><a href="{escape(report)}">Allure</a></p>' if report else ""


def of_regression(one: Entry) -> str:
    """What is not as it was with the last certified version."""
    found = one.regression
    if found is None:
        return ""
    parts = [
        ("新失败 newly failing", found.failing),
        ("新通过 newly passing", found.passing),
        ("输入变化 changed inputs", found.inputs),
        ("测量漂移 drifted beyond uncertainty", found.drifts),
    ]
    rows = "".join(
        f'<tr><th scope="row">{name}<td>{"记录不在此 the records are not here" if said is None else escape("; ".join(said)) or "-"}'
        for name, said in parts
    )
    return (
        f"<h2>回归 regression</h2><p>与上一个已认证版本相比 beside the last certified: {escape(found.subject)}, {to_certificate(found.against)}</p>"
        + scroll("回归 regression", rows)
    )


def earlier(one: Entry) -> str:
    """What was said of the very same combination before."""
    if not one.earlier:
        return ""
    rows = [
        [e["since"] or "-", e["state"], e["detail"], (e["certificate"] or e["record"])[:16]]
        for e in reversed(one.earlier)
    ]
    names = ("自 since", "状态 state", "说明 why", "证书或记录 certificate or record")
    return f"<h2>此前 before</h2>{scroll('此前 before', table_of(*names, rows=rows))}"


def table_of(*names: str, rows: Iterable[Sequence[str]]) -> str:
    """A table's rows; what others wrote is text."""
    head = "".join(f'<th scope="col">{name}' for name in names)
    return f"<tr>{head}" + "".join("<tr>" + "".join(f"<td>{escape(said)}" for said in row) for row in rows)


def scroll(name: str, rows: str) -> str:
    """A table that may be wider than the screen, and can be reached by the keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}"><table>{rows}</table></div>'


def linked(group: str, name: str) -> str:
    """The way from a combination's page to its vendor's or chip's."""
    return f'<a href="../{group}/{slug(name)}.html">{escape(name)}</a>'


def slug(name: str) -> str:
    """A file's name for what somebody else named."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def why_not(one: Entry, held: Sequence[Entry]) -> str:
    """Where it is not certified: the nearest that is, and what passed there and not here."""
    other = None if one.holds else nearest(one, held)
    if other is None:
        return ""
    passed = {r["id"] for r in other.requirements if r["outcome"] == "pass"}
    missing = [r["id"] for r in one.requirements if r["outcome"] != "pass" and r["id"] in passed]
    differs = [k for k in ("chip", "os", "application", "profile", "rig") if getattr(one, k) != getattr(other, k)]
    told = ", ".join(f"{k}: {escape(getattr(other, k))}" for k in differs) or "同一组合 the same combination"
    return (
        f'<h2>为何未通过 why not?</h2><p>最近的已认证组合 the nearest certified: <a href="{other.id}.html">{escape(other.subject)}</a> ({told})</p>'
        + (f"<p>彼处通过而此处未通过 passed there and not here: {escape(', '.join(missing))}</p>" if missing else "")
    )


def requirements(one: Entry) -> str:
    rows = [[r["id"], r["level"], r["outcome"], str(r.get("reason", ""))[:MOST_TEXT]] for r in one.requirements]
    names = ("要求 requirement", "级别 level", "结果 outcome", "说明 why")
    return f"<h2>要求 requirements</h2>{scroll('要求 requirements', table_of(*names, rows=rows))}"


def verifying(site: Site) -> str:
    """How anybody checks a certificate of this site."""
    command = "shipei certificate verify programme/certificates/….json --programme programme --record RECORD"
    body = (
        '<nav><a href="index.html">矩阵 matrix</a></nav><main><h1>自行核验 verify it yourself</h1>'
        "<p>下载 programme/ 下的文件（programme.yaml、公钥、最新状态列表、证书）。 Download what lies in programme/: programme.yaml, public keys, the newest status list, the certificate.</p>"
        f"<p><code>pip install shipei</code></p><p><code>{command}</code></p>"
        "<p>状态列表未列为 valid 的证书一律无效。 What the status list does not call valid is not valid.</p>"
        f"<p>{escape(site.url)}</p></main>"
    )
    return page("verify", body)
