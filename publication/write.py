"""Write a site: all of it anew in a folder beside, put in the place of the old one when it is whole."""

import csv
import io
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from harness import documents
from harness.errors import BadInput
from programme.folder import FILE, Folder
from publication import overviews, pages
from publication.entries import Entry, Public, Step, collect
from publication.job import Edition, Site, check
from reports import badge

Files = Iterator[tuple[str, str | bytes]]  # name, content
HERE = Path(__file__).resolve().parent
ATOM = "http://www.w3.org/2005/Atom"
REPORT = Path("allure-report", "index.html")  # in a run
MARK = "shipei-site.json"  # what tells a site of ours from a folder that happens to be there
COLUMNS = ("subject", "vendor", "chip", "os", "application", "profile", "rig", "virtual", "state", "since", "valid_until", "passed", "manifest", "certificate", "record")  # fmt: skip
SHOWN = ("id", "subject", "vendor", "chip", "os", "application", "profile", "rig", "virtual", "state", "detail")


def load(file: Path) -> Site:
    """A site's file; every mistake at once."""
    document = documents.read(file)
    found = documents.load(Site, document)
    if found is not None:
        check(document, found)
    if document.mistakes or found is None:
        raise BadInput(document.mistakes)
    return found


def write(
    output: Path, edition: Edition, reports: Path | None = None, step: Step = lambda done, of: None
) -> tuple[Entry, ...]:
    """Write everything that is public in an edition into a folder, and into `reports` the Allure reports of it; returns what is shown.

    Raises BadInput, and leaves what was there, when the status list is not fresh or a folder is something else's.
    """
    if reports and not (edition.site.reports and edition.runs):
        raise BadInput("reports need --runs, and in the site's file where they will stand: reports: https://…/")
    for one in filter(None, (output, reports)):
        check_ours(one)
    status = edition.folder.fresh(edition.now)
    public = collect(edition, step)
    shown = dict(of_reports(public)) if edition.site.reports else {}
    if reports:  # first: what the site leads to is there
        anew(reports, ((f"{digest}/index.html", file.read_bytes()) for digest, file in shown.items()), edition.at)
    anew(output, of_site(edition, public, status, shown.keys()), edition.at)
    return public.entries


def check_ours(output: Path) -> None:
    if output.exists() and not (output / MARK).is_file() and any(output.iterdir()):
        raise BadInput(f"{output}: holds something that is no site of ours; name an empty or a new folder")


def of_reports(public: Public) -> Iterator[tuple[str, Path]]:
    """Where the Allure report of each public record is, as far as there is one."""
    for digest in {e.record for e in public.entries}:
        file = public.runs[digest] / REPORT if digest in public.runs else None
        if file and file.is_file():
            yield digest, file


def anew(output: Path, files: Files, at: str) -> None:
    """A folder written beside the old one, and put in its place when it is whole. Raises BadInput, with all as it was."""
    new = output.with_name(f".{output.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        fill(new, chain(files, [(MARK, told({"generated": at}))]))
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise BadInput(f"{new}: cannot be written: {error.strerror}; {output} is as it was") from None
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    new.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def fill(new: Path, files: Iterable[tuple[str, str | bytes]]) -> None:
    for name, content in files:
        file = new / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def of_site(edition: Edition, public: Public, status: bytes, reported: Collection[str]) -> Files:
    """Yield every file of a site; `status`: the newest status list; `reported`: digests of the records that have a report elsewhere."""
    folder, entries = edition.folder, public.entries
    years = overviews.services(public.certificates)
    yield from of_all(edition, entries)
    yield from overviews.groups(entries)
    yield "changes.html", overviews.changes(entries, edition.now)
    yield "services.html", overviews.services_page(years)
    yield "api/v1/services.json", told(years)
    yield from of_each(edition.site, public, reported)
    for one in public.certificates:
        yield f"programme/certificates/{one.certificate}.json", folder.certificate_file(one.certificate).read_bytes()
    yield from to_verify(folder, status)


def of_all(edition: Edition, entries: Sequence[Entry]) -> Files:
    """Yield the matrix, the plain list, and the same as data."""
    site, programme = edition.site, edition.folder.programme
    rows = [{key: getattr(one, key) for key in SHOWN} for one in entries]
    whole = {
        "generated": edition.at,
        "programme": programme.name,
        "kind": programme.kind,
        "combinations": list(map(asdict, entries)),
    }
    yield from ((name, (HERE / name).read_bytes()) for name in ("style.css", "app.js", "icon.svg"))
    yield "data.js", f"window.SHIPEI = {json.dumps(rows, ensure_ascii=False)};\n"
    yield "index.html", pages.index(site, programme.kind, edition.folder.listed())
    yield "list.html", pages.listing(site, entries)
    yield "verify.html", pages.verifying(site)
    yield "dataset.csv", dataset(entries)
    yield "feed.xml", feed(site, entries, edition.at)
    yield "api/v1/combinations.json", told(whole)
    yield "api/v1/schema.json", told(documents.schema(tuple[Entry, ...]))


def of_each(site: Site, public: Public, reported: Collection[str]) -> Files:
    """What each combination has of its own."""
    held: dict[str, list[Entry]] = {}
    for one in public.entries:
        if one.holds:
            held.setdefault(one.vendor, []).append(one)
    for one in public.entries:
        said = f"{one.state}{', virtual rig' if one.virtual else ''}"
        report = f"{site.reports}{one.record}/" if one.record in reported else None
        yield f"c/{one.id}.html", pages.combination(one, held.get(one.vendor, ()), report)
        yield f"api/v1/combinations/{one.id}.json", told(asdict(one))
        yield f"badges/{one.id}.svg", badge.drawn(one.application, said, badge.of_state(one.state))


def to_verify(folder: Folder, status: bytes) -> Files:
    """The programme's public files, as `shipei certificate verify --programme` takes them."""
    programme = folder.programme
    roots = [programme.timestamps.root] if programme.timestamps else []
    for name in (FILE, *(key.public for key in programme.keys), *roots):
        yield f"programme/{name}", (folder.path / name).read_bytes()
    yield f"programme/status/{folder.listed()['number']:06d}.json", status


def told(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def dataset(entries: Sequence[Entry]) -> str:
    """CSV for spreadsheets; what would be a formula there is text."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(COLUMNS)
    for one in entries:
        table.writerow([harmless(str(getattr(one, name))) for name in COLUMNS])
    return out.getvalue()


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    >>> harmless("=1+1"), harmless("sim 1")
    ("'=1+1", 'sim 1')
    """
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else cell


def feed(site: Site, entries: Sequence[Entry], at: str) -> str:
    """Atom (RFC 4287): the newest changes first."""
    ET.register_namespace("", ATOM)
    root = ET.Element(f"{{{ATOM}}}feed")

    def add(parent: ET.Element, name: str, said: str = "", **attributes: str) -> ET.Element:
        made = ET.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
        made.text = said or None
        return made

    add(root, "id", site.url)
    add(root, "title", f"{site.zh} {site.en}")
    add(root, "updated", max((e.since for e in entries if e.since), default=at))
    add(root, "link", href=f"{site.url}feed.xml", rel="self")
    add(add(root, "author"), "name", site.en)
    for one in sorted((e for e in entries if e.since), key=lambda e: e.since, reverse=True):
        item = add(root, "entry")
        add(item, "id", f"{site.url}c/{one.id}.html#{one.since}")
        add(item, "title", f"{one.state}: {one.subject}")
        add(item, "updated", one.since)
        add(item, "link", href=f"{site.url}c/{one.id}.html")
        add(item, "summary", f"{one.profile}, {one.rig}{': ' + one.detail if one.detail else ''}")
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
