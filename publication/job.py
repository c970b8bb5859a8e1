"""What is published, from when on, and under which name."""

from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import urlsplit

from harness import documents
from harness.model import noun
from programme.folder import Folder
from programme.verifier import UTC_FORM


@noun
class Release:
    """A vendor's word: subjects like this one are public from this date on (year-month-day)."""

    subject: str
    published: str


@noun
class Site:
    """A site: its names in both languages, where it will stand, and what vendors have released. What is not released is not on it.

    `reports`: where Allure reports will stand. They run scripts of their own, so that is another origin.
    """

    zh: str
    en: str
    url: str
    reports: str | None = None
    releases: tuple[Release, ...] = ()

    def public(self, subject: str, today: date) -> bool:
        """Whether a subject may be shown today."""
        return any(
            fnmatchcase(subject, one.subject) and date.fromisoformat(one.published) <= today for one in self.releases
        )


@dataclass(frozen=True, kw_only=True)
class Edition:
    """A site as it is at one time (`now`, in UTC): of which programme, and of which runs beside its certificates, if of any."""

    site: Site
    folder: Folder
    now: datetime
    runs: Path | None = None

    @property
    def at(self) -> str:
        """Its time, as files have it."""
        return self.now.strftime(UTC_FORM)

    def public(self, subject: str) -> bool:
        """Whether a subject may be shown in it."""
        return self.site.public(subject, self.now.date())


def check(document: documents.Document, site: Site) -> None:
    """Note every mistake."""
    if not site.url.startswith(("https://", "http://")) or not site.url.endswith("/"):
        document.mistake(("url",), f"url should begin with https:// and end with /, not {site.url!r}")
    if site.reports is not None:
        if not site.reports.startswith(("https://", "http://")) or not site.reports.endswith("/"):
            document.mistake(("reports",), f"reports should begin with https:// and end with /, not {site.reports!r}")
        elif urlsplit(site.reports)[:2] == urlsplit(site.url)[:2]:
            what = "reports run scripts of their own: they stand on another host or port than the site"
            document.mistake(("reports",), what)
    for n, one in enumerate(site.releases):
        try:
            date.fromisoformat(one.published)
        except ValueError:
            document.mistake(("releases", n, "published"), f"should be a date, year-month-day, not {one.published!r}")
