"""Pages about many combinations: each vendor's and each chip's, what expires soon, what changed lately, and what was done in a year."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

from programme.verifier import UTC_FORM, VALID
from publication.entries import Entry
from publication.pages import SYMBOL, TO_MATRIX, listed, page, scroll, slug, table_of, to_certificate

GROUPS = {"vendors": ("vendor", "厂商 vendors"), "chips": ("chip", "芯片 chips")}
SOON_DAYS = 60
MOST_CHANGES = 100


def groups(entries: Sequence[Entry]) -> Iterable[tuple[str, str]]:
    """(file, page): for vendors and for chips one page each, and an index of them."""
    for folder, (key, name) in GROUPS.items():
        of_each: dict[str, list[Entry]] = {}
        for one in entries:
            of_each.setdefault(getattr(one, key), []).append(one)
        rows = ""
        for title, found in sorted(of_each.items()):
            states = Counter(e.state for e in found)
            counts = "".join(f"<td>{states[state] or ''}" for state in SYMBOL)
            rows += f'<tr><th scope="row"><a href="{slug(title)}.html">{escape(title)}</a>{counts}'
            body = f"{TO_MATRIX}<main><h1>{escape(title)}</h1>{listed(found, '../')}</main>"
            yield f"{folder}/{slug(title)}.html", page(title, body, up="../")
        head = table_of(name, *(f"{symbol} {state}" for state, symbol in SYMBOL.items()), rows=())
        body = f"{TO_MATRIX}<main><h1>{name}</h1>{scroll(name, head + rows)}</main>"
        yield f"{folder}/index.html", page(name, body, up="../")


def changes(entries: Sequence[Entry], now: datetime) -> str:
    """What somebody has to renew, and what is not as it was."""
    until = (now + timedelta(days=SOON_DAYS)).strftime(UTC_FORM)
    soon = sorted((e for e in entries if e.holds and e.valid_until <= until), key=lambda e: e.valid_until)
    lately = sorted((e for e in entries if e.since), key=lambda e: e.since, reverse=True)[:MOST_CHANGES]
    body = (
        '<nav><a href="index.html">矩阵 matrix</a></nav><main><h1>到期与变化 expiring and changed</h1>'
        f"<h2>{SOON_DAYS} 天内到期 expiring within {SOON_DAYS} days</h2>{listed(soon) if soon else '<p>无 none</p>'}"
        f"<h2>近期变化 changed lately</h2>{listed(lately) if lately else '<p>无 none</p>'}</main>"
    )
    return page("到期与变化 expiring and changed", body)


def services(certificates: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """For each year: enterprises served, services (records assessed for a certificate), certificates that came into force; and the evidence.

    Years are those of the programme's signed lists. Runs without a certificate have no signed date, and are not counted.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for one in certificates:
        approved = next((step["since"] for step in one.life if step["state"] == VALID), None)
        for since, key, digest in (
            (one.life[0]["since"], "records", one.record),
            (approved, "certificates", one.certificate),
        ):
            if since:
                year = found.setdefault(since[:4], {"enterprises": set(), "records": set(), "certificates": set()})
                year["enterprises"].add(one.vendor)
                year[key].add(digest)
    return {
        year: {
            "enterprises_served": len(of["enterprises"]),
            "services": len(of["records"]),
            "certificates": len(of["certificates"]),
            "evidence": {key: sorted(of[key]) for key in ("enterprises", "records", "certificates")},
        }
        for year, of in sorted(found.items(), reverse=True)
    }


def services_page(years: Mapping[str, Mapping[str, Any]]) -> str:
    """The yearly indicators of a service centre, each with what proves it."""
    rows = [
        [year, *(str(of[key]) for key in ("enterprises_served", "services", "certificates"))]
        for year, of in years.items()
    ]
    names = ("年 year", "服务企业 enterprises served", "服务次数 services", "证书 certificates")
    proof = ""
    for year, of in years.items():
        digests = "".join(f"<li>{to_certificate(digest, '')}" for digest in of["evidence"]["certificates"])
        proof += f"<h2>{year}</h2><p>{escape(', '.join(of['evidence']['enterprises']))}</p><ul>{digests}</ul>"
    body = (
        '<nav><a href="index.html">矩阵 matrix</a></nav><main><h1>服务统计 services by year</h1>'
        f"{scroll('服务统计 services by year', table_of(*names, rows=rows))}"
        "<p>仅统计已公开且有签名日期者；每项附证据。 Only what is public and has a signed date is counted, each with its evidence.</p>"
        f'{proof}<p><a href="api/v1/services.json">API</a></p></main>'
    )
    return page("服务统计 services by year", body)
