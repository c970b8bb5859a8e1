"""Published sites in tests: who released what, and two runs to show."""

from programme import life
from programme.session import Session
from publication.job import Release, Site
from tests.support.programmes import NOW
from tests.support.stores import certified

PROFILE = 'name: short\nversion: "1"\nsuites: [common, cockpit]\nmandatory: [COCKPIT-SPEED-001, CAN-TIMEOUT-001]\n'


def site(*releases):
    """A site of which everything virtual is released, or what is given: (subject, date)."""
    said = releases or (("virtual:*", "2026-11-01"),)
    return Site(
        zh="适配",
        en="Compat",
        url="https://c.example.org/",
        releases=tuple(Release(subject=s, published=d) for s, d in said),
    )


def good_and_bad(folder):
    """A certified and a refused run of two builds."""
    made = []
    for name, constants in (("good", None), ("bad", {"HEAL_MS": "505"})):
        (folder / name).mkdir()
        made.append(certified(folder / name, constants, PROFILE))
    return made


def valid(folder, lab, approver, run):
    """The digest of a certificate of a run that two persons signed."""
    return life.approve(Session(folder, approver, NOW), life.issue(Session(folder, lab, NOW), run), run)
