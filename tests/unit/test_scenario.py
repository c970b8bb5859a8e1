"""Scenario data says what is wrong with it, with file, line and reason, all at once."""

import shutil

import pytest

from harness.driving.scenario import cases, load, start_of
from harness.errors import BadInput
from harness.inputs import suite
from harness.paths import SUITES

GOOD = """- id: S-1
  en: A car ahead.
  zh: 前方车辆。
  source: {document: d, clause: "1"}
  trust: P
  ego_kmh: 42
  duration_s: 8
  actors: [{kind: car, ttc_s: 4.0}]
"""


def mistakes(tmp_path, text):
    file = tmp_path / "scenarios.yaml"
    file.write_text(text)
    with pytest.raises(BadInput) as error:
        load(file)
    return [m.replace(str(file), "scenarios.yaml") for m in error.value.mistakes]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("ego_kmh: 42", "ego_kmh: 420", "scenarios.yaml:6: S-1: ego_kmh should be 0 to 250 km/h, not 420"),
        ("ego_kmh: 42", "ego_mph: 42", "scenarios.yaml:6: unknown key 'ego_mph' (did you mean 'ego_kmh'?)"),
        ("duration_s: 8", "duration_s: 8000", "scenarios.yaml:7: S-1: duration_s should be 0.5 to 120 s, not 8000"),
        ("duration_s: 8", 'duration_s: "8"', "scenarios.yaml:7: duration_s: should be a valid number, not '8'"),
        ("ttc_s: 4.0", "ttc_s: 4.0, gap_m: 10", "scenarios.yaml:8: S-1: an actor needs either gap_m or ttc_s"),
        ("ttc_s: 4.0", "gap_m: -3.0", "scenarios.yaml:8: S-1: it starts inside the ego vehicle"),
        (
            "ttc_s: 4.0",
            "ttc_s: 4.0, speed_kmh: 50",
            "scenarios.yaml:8: S-1: no time to collision: the ego vehicle (42 km/h) does not close in on 50 km/h",
        ),
        (
            "ttc_s: 4.0",
            "gap_m: 20, speed_kmh: 50, crossing_kmh: 5",
            "scenarios.yaml:8: S-1: they never meet: the ego vehicle does not close in",
        ),
        ("kind: car", "kind: cat", "(did you mean 'car'?)"),
        ("trust: P", "trust: P\n  radius_m: 5", "scenarios.yaml:6: S-1: radius_m should be 30 to 100000 m, not 5"),
        (
            "trust: P",
            "trust: P\n  sensors: {latency_s: 60}",
            "scenarios.yaml:6: S-1: latency_s should be 0 to 2 s (not ms), not 60",
        ),
        (
            "trust: P",
            "trust: P\n  vary: {ego_kph: [10, 20]}",
            "scenarios.yaml:6: S-1: there is no field 'ego_kph' to vary (did you mean 'ego_kmh'?)",
        ),
        (
            "trust: P",
            "trust: P\n  vary: {ego_kmh: [42, 300]}",
            "scenarios.yaml:7: S-1: ego_kmh should be 0 to 250 km/h, not 300",
        ),
        ("trust: P", "trust: P\n  vary: {ego_kmh: []}", "scenarios.yaml:6: S-1: 0 cases; 1 to 10000 are allowed"),
        ("trust: P", "trust: X", "scenarios.yaml:5: trust: should be"),
    ],
)
def test_a_mistake_has_its_line_and_its_reason(tmp_path, before, after, said):
    assert any(said in m for m in mistakes(tmp_path, GOOD.replace(before, after)))


def test_all_mistakes_at_once(tmp_path):
    text = GOOD.replace("42", "420") + GOOD.replace("duration_s: 8", "duration_s: 0")
    found = mistakes(tmp_path, text)
    assert len(found) == 3  # a speed, an id that is there already, a duration
    assert any("scenario S-1 is there already" in m for m in found)


def test_what_we_carry_loads_and_says_where_it_comes_from():
    found = load(SUITES / "driving_assistance" / "scenarios.yaml")
    assert len(found) >= 30
    for scenario in found.values():
        assert scenario.source.document
        assert scenario.source.clause
        assert scenario.en.endswith(".")
        assert scenario.zh.endswith("。")


def test_a_crossing_child_meets_the_middle_of_the_vehicle():
    (case, *_) = cases(load(SUITES / "driving_assistance" / "scenarios.yaml")["AEB-PED"])
    gap_m, lateral_m = start_of(case, case.actors[0])
    assert gap_m == pytest.approx(20 / 3.6 * 6)
    assert lateral_m == pytest.approx(-5 / 3.6 * 6)


def test_a_broken_scenario_file_stops_the_suite_before_anything_runs(tmp_path):
    folder = tmp_path / "driving_assistance"
    shutil.copytree(SUITES / "driving_assistance", folder)
    file = folder / "scenarios.yaml"
    file.write_text(file.read_text().replace("duration_s: 8.5", "duration_s: 850", 1))
    with pytest.raises(BadInput, match=r"scenarios.yaml:\d+: AEB-CCRS: duration_s"):
        suite.load(folder)
