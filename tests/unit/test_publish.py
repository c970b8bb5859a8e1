"""The site shows what vendors released and what the programme's lists say, and gives an outsider all that it takes to check it."""

import csv
import dataclasses
import io
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner

from harness.errors import BadInput
from programme import life, waivers
from programme.session import Session
from publication import pages, write
from publication.entries import Entry
from publication.job import Edition, Release, Site
from shipei.cli import app
from tests.support.programmes import NOW, programme
from tests.support.sites import good_and_bad, site, valid

SUBJECT = "virtual:reference-a:sim-1/cpython-3.11/cockpit-1.4.0"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A certified and a refused run of two builds: (good, bad)."""
    return good_and_bad(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def made(tmp_path, runs):
    """(folder, lab, approver, digest of a valid certificate)."""
    folder, lab, approver = programme(tmp_path / "p", more="waivable: [CAN-TIMEOUT-001]\n")
    return folder, lab, approver, valid(folder, lab, approver, runs[0])


def written(tmp_path, folder, wanted=None, runs=None, now=NOW):
    return write.write(tmp_path / "site", Edition(site=wanted or site(), folder=folder, now=now, runs=runs))


def everything(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_every_part_of_the_site_says_the_same(tmp_path, made):
    folder, _, _, digest = made
    (one,) = written(tmp_path, folder)
    root = tmp_path / "site"
    assert (one.state, one.subject, one.passed) == ("certified", SUBJECT, 2)
    api = json.loads((root / "api/v1/combinations.json").read_text())
    assert api["combinations"] == [json.loads((root / f"api/v1/combinations/{one.id}.json").read_text())]
    assert TypeAdapter(tuple[Entry, ...]).validate_python(api["combinations"])[0].state == "certified"
    assert "properties" in json.dumps(json.loads((root / "api/v1/schema.json").read_text()))
    (row,) = csv.DictReader(io.StringIO((root / "dataset.csv").read_text()))
    assert (row["state"], row["certificate"]) == ("certified", digest)
    feed = ET.fromstring((root / "feed.xml").read_text())
    assert [e.findtext(f"{{{write.ATOM}}}title") for e in feed.iter(f"{{{write.ATOM}}}entry")] == [
        f"certified: {SUBJECT}"
    ]
    page = (root / f"c/{one.id}.html").read_text()
    assert SUBJECT in page
    assert digest in page
    assert "Wang Fang" in page
    assert (
        ET.fromstring((root / f"badges/{one.id}.svg").read_text()).get("aria-label")
        == "cockpit 1.4.0: certified, virtual rig"
    )


def test_what_is_not_released_is_nowhere(tmp_path, made, runs):
    folder, *_ = made
    for releases in ((("virtual:reference-b:*", "2026-01-01"),), (("virtual:*", "2026-11-28"),), ()):
        wanted = Site(
            zh="x",
            en="y",
            url="https://c.example.org/",
            releases=tuple(Release(subject=s, published=d) for s, d in releases),
        )
        assert written(tmp_path, folder, wanted, runs[1].parents[1]) == ()
        for name, content in everything(tmp_path / "site").items():
            assert b"reference-a" not in content, name
            assert b"cockpit" not in content, name
    assert len(written(tmp_path, folder, site(("virtual:*", "2026-11-28")), now=NOW + DAY)) == 1


def test_the_states_of_a_life(tmp_path, made, runs):
    folder, lab, approver, digest = made

    def state(now=NOW):
        (one,) = written(tmp_path, folder, now=now)
        assert one.state in pages.SYMBOL
        return one.state, one.detail

    life.step(Session(folder, lab, NOW), "suspend", digest, "challenge 12")
    assert state() == ("revoked", "suspended: challenge 12")
    life.step(Session(folder, approver, NOW), "reinstate", digest, "refuted")
    assert state()[0] == "certified"
    life.restate(Session(folder, lab, NOW + 366 * DAY))
    assert state(NOW + 366 * DAY)[0] == "expired"
    life.step(Session(folder, lab, NOW), "revoke", digest, "defect 7")
    assert state() == ("revoked", "defect 7")
    new = life.issue(Session(folder, lab, NOW + DAY), runs[0])
    assert state(NOW + DAY)[0] == "running"
    life.approve(Session(folder, approver, NOW + DAY), new, runs[0])
    assert state(NOW + DAY)[0] == "certified"


def test_a_refused_run_says_why_not_and_a_waived_one_so(tmp_path, made, runs):
    folder, lab, approver, _ = made
    found = written(tmp_path, folder, runs=runs[1].parents[1])
    refused = next(e for e in found if e.state == "refused")
    page = (tmp_path / "site" / "c" / f"{refused.id}.html").read_text()
    assert "why not?" in page
    assert "passed there and not here: CAN-TIMEOUT-001" in page
    assert "heal_ms is 549" in page
    late = waivers.Request(scope=SUBJECT, requirements=["CAN-TIMEOUT-001"], reason="late", issue="7", days=9)
    asked = waivers.request(Session(folder, lab, NOW), late)
    waivers.approve(Session(folder, approver, NOW), asked)
    digest = life.issue(Session(folder, lab, NOW), runs[1], [asked])
    life.approve(Session(folder, approver, NOW), digest, runs[1])
    assert sorted(e.state for e in written(tmp_path, folder)) == ["certified", "waived"]


def test_words_of_others_are_words_and_nothing_foreign_is_loaded(tmp_path, made):
    folder, lab, _, digest = made
    life.step(Session(folder, lab, NOW), "revoke", digest, '<script>alert("x")</script></script> =1+1')
    written(tmp_path, folder)
    for file in (tmp_path / "site").rglob("*.html"):
        page = file.read_text()
        assert f'content="{pages.CSP}"' in page, file
        assert "<script>" not in page, file
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page), file
        assert not re.search(r"\son\w+=", page), file
    assert write.harmless("=1+1") == "'=1+1"
    assert "unsafe" not in pages.CSP


def test_a_stale_list_or_a_foreign_folder_leaves_all_as_it_was(tmp_path, made):
    folder, *_ = made
    written(tmp_path, folder)
    before = everything(tmp_path / "site")
    with pytest.raises(BadInput, match="to be renewed by"):
        written(tmp_path, folder, now=NOW + 8 * DAY)
    assert everything(tmp_path / "site") == before
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(BadInput, match="holds something that is no site of ours"):
        write.write(tmp_path / "home", Edition(site=site(), folder=folder, now=NOW))
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


def test_a_full_disk_leaves_the_old_site(tmp_path, made, monkeypatch):
    folder, *_ = made
    written(tmp_path, folder)
    before = everything(tmp_path / "site")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "fill", full)
    with pytest.raises(BadInput, match="No space left on device; .*is as it was"):
        written(tmp_path, folder)
    assert everything(tmp_path / "site") == before
    assert sorted(f.name for f in tmp_path.iterdir() if f.name.startswith(".")) == []


def test_the_sites_file_tells_all_its_mistakes(tmp_path):
    (tmp_path / "site.yaml").write_text(
        "zh: x\nen: y\nurl: c.example.org\nreleases:\n  - {subject: '*', published: soon}\n"
    )
    with pytest.raises(BadInput) as caught:
        write.load(tmp_path / "site.yaml")
    said = "\n".join(caught.value.mistakes)
    assert "site.yaml:3: url should begin with https://" in said
    assert "site.yaml:5: should be a date, year-month-day, not 'soon'" in said


def test_an_outsider_checks_it_with_what_is_on_the_site(tmp_path, runs):
    folder, lab, approver = programme(tmp_path / "p")
    today = datetime.now(UTC).replace(microsecond=0)
    digest = life.approve(Session(folder, approver, today), life.issue(Session(folder, lab, today), runs[0]), runs[0])
    (tmp_path / "site.yaml").write_text(
        "zh: x\nen: y\nurl: https://c.example.org/\nreleases: [{subject: '*', published: '2026-01-01'}]\n"
    )
    done = shipei("publish", tmp_path / "site.yaml", "--programme", folder.path, "-o", tmp_path / "site", "--json")
    assert json.loads(done.stdout)["certified"] == 1
    shutil.rmtree(folder.path)
    site_ = tmp_path / "site" / "programme"
    verified = shipei(
        "certificate", "verify", site_ / "certificates" / f"{digest}.json", "--programme", site_, "--record", runs[0]
    )
    assert verified.exit_code == 0, verified.output
    assert not list((tmp_path / "site").rglob("*.key"))


def test_pages_of_vendors_chips_changes_and_services(tmp_path, made, runs):
    folder, lab, approver, digest = made
    (one,) = written(tmp_path, folder)
    root = tmp_path / "site"
    for group, name in (("vendors", one.vendor), ("chips", one.chip)):
        index, page = (root / group / f"{f}.html" for f in ("index", pages.slug(name)))
        assert f'<a href="{pages.slug(name)}.html">{name}</a>' in index.read_text()
        assert f'<a href="../c/{one.id}.html">{SUBJECT}</a>' in page.read_text()
        assert f'<a href="../{group}/{pages.slug(name)}.html">' in (root / f"c/{one.id}.html").read_text()
    said = (root / "changes.html").read_text()
    assert "expiring within 60 days</h2><p>无 none" in said
    assert said.count(SUBJECT) == 1  # changed lately
    life.restate(Session(folder, lab, NOW + 320 * DAY))
    written(tmp_path, folder, now=NOW + 320 * DAY)
    assert (root / "changes.html").read_text().count(SUBJECT) == 2  # and expires soon
    new = life.renew(Session(folder, lab, NOW + 320 * DAY), digest, runs[0])
    life.approve(Session(folder, approver, NOW + 320 * DAY), new, runs[0])
    (one,) = written(tmp_path, folder, now=NOW + 320 * DAY)
    assert [e["certificate"] for e in one.earlier] == [digest]
    assert digest[:16] in (root / f"c/{one.id}.html").read_text()
    services = json.loads((root / "api/v1/services.json").read_text())
    assert [(y, s["enterprises_served"], s["services"], s["certificates"]) for y, s in services.items()] == [
        ("2026", 1, 1, 1),
        ("2027", 1, 1, 1),
    ]
    assert services["2026"]["evidence"] == {
        "enterprises": ["reference-a"],
        "records": [one.record],
        "certificates": [digest],
    }
    for known in (digest, new):
        assert (root / f"programme/certificates/{known}.json").is_file()
        assert known in (root / "services.html").read_text()


def test_what_is_not_as_with_the_last_certified_version(tmp_path, made, runs):
    folder, *_ = made
    found = written(tmp_path, folder, runs=runs[1].parents[1])
    refused = next(e for e in found if e.state == "refused")
    assert refused.regression.failing == ("CAN-TIMEOUT-001",)
    assert refused.regression.passing == ()
    assert "artefact:application" in refused.regression.inputs
    assert refused.regression.drifts is None  # the certified run is in another folder
    page = (tmp_path / "site" / "c" / f"{refused.id}.html").read_text()
    assert "newly failing<td>CAN-TIMEOUT-001" in page
    assert "the records are not here" in page
    together = tmp_path / "runs"
    for n, run in enumerate(runs):
        shutil.copytree(run, together / f"r{n}" / "1")
    refused = next(e for e in written(tmp_path, folder, runs=together) if e.state == "refused")
    assert any("CAN-TIMEOUT-001 heal_ms" in d for d in refused.regression.drifts), refused.regression.drifts
    certified_one = next(e for e in written(tmp_path, folder, runs=together) if e.state == "certified")
    assert certified_one.regression is None  # nothing before it
    assert certified_one.earlier == ()  # its own run is no other thing


def test_reports_stand_somewhere_else(tmp_path, made, runs):
    folder, *_ = made
    edition = Edition(site=site(), folder=folder, now=NOW, runs=runs[0].parents[1])
    with pytest.raises(BadInput, match="reports need --runs"):
        write.write(tmp_path / "site", edition, tmp_path / "reports")
    assert not (tmp_path / "site").exists()
    shutil.copytree(runs[0], tmp_path / "runs" / "good" / "1")
    report = tmp_path / "runs" / "good" / "1" / write.REPORT
    report.parent.mkdir(exist_ok=True)
    report.write_text("<script>all of its own</script>")
    today = datetime.now(UTC).replace(microsecond=0)
    life.restate(Session(folder, made[1], today))  # a list that is fresh for the command
    file = tmp_path / "s.yaml"
    file.write_text(
        "zh: x\nen: y\nurl: https://c.example.org/\nreports: https://r.example.org/\nreleases: [{subject: '*', published: '2026-01-01'}]\n"
    )
    said = ["publish", file, "--programme", folder.path, "-o", tmp_path / "by-hand", "--reports", tmp_path / "r"]
    assert shipei(*said).exit_code == 2  # whose runs?
    assert not (tmp_path / "by-hand").exists()
    assert shipei(*said, "--runs", tmp_path / "runs").exit_code == 0
    assert len(list((tmp_path / "r").glob("*/index.html"))) == 1
    wanted = dataclasses.replace(site(), reports="https://reports.example.org/")
    edition = Edition(site=wanted, folder=folder, now=today, runs=tmp_path / "runs")
    (one,) = write.write(tmp_path / "site", edition, tmp_path / "reports")
    page = (tmp_path / "site" / "c" / f"{one.id}.html").read_text()
    assert f'<a href="https://reports.example.org/{one.record}/">Allure</a>' in page
    assert (tmp_path / "reports" / one.record / "index.html").read_text() == report.read_text()
    assert not list((tmp_path / "site").rglob("allure*"))
    (tmp_path / "site.yaml").write_text(
        "zh: x\nen: y\nurl: https://c.example.org/\nreports: https://c.example.org/allure/\n"
    )
    with pytest.raises(BadInput, match=r"site.yaml:4: reports run scripts of their own"):
        write.load(tmp_path / "site.yaml")


def shipei(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])
