"""docs/scenarios.md is what the scenarios say, with a picture of each."""

from harness.driving.scenario import load
from harness.paths import SUITES
from tools import scenario_page


def test_the_page_is_the_scenarios():
    """If this fails: `make scenarios`."""
    found = load(SUITES / "driving_assistance" / "scenarios.yaml")
    assert scenario_page.PAGE.read_text(encoding="utf-8") == scenario_page.page(found)
    assert {f.stem for f in scenario_page.PICTURES.glob("*.png")} == set(found)


def test_every_scenario_decides_something_or_is_for_rating():
    found = load(SUITES / "driving_assistance" / "scenarios.yaml")
    rating = {name for name, one in found.items() if one.en.startswith("Rating, for sweeps")}
    assert set(found) - rating == set(found) & set(scenario_page.used_by())
