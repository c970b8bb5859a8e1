"""A sweep finds where a function fails: the same numbers for any number of workers, resumed after a stop."""

import csv
import json

import pytest

from harness.batch import sweep
from harness.errors import BadInput
from rigs.ecus import build


@pytest.fixture(scope="module")
def submission(tmp_path_factory):
    return build.build(tmp_path_factory.mktemp("sweep") / "submission", ecu="driving_assistance-a")


@pytest.fixture
def small(submission):
    """Late sensors and lost objects, in front of a stationary car."""
    return sweep.make(
        submission, sweep.Order(scenario="AEB-CCRS", over=["latency=0:0.2:3", "dropout=0,0.8"], fixed=["ego_speed=42"])
    )


def test_finds_the_boundary_and_gives_the_numbers(small, tmp_path):
    found = sweep.run(small, tmp_path, workers=2)
    edges = {tuple(e["rest"]): e for e in found["boundary"]}
    low, high = edges[(0.0,)]["between"]
    assert 0.06 < low < high < 0.2  # the reference stops in time at its own latency, and cannot at 0.2 s
    assert high - low < 0.004
    assert edges[(0.0,)]["fails"] == "above"
    assert edges[(0.8,)]["fails"] == "everywhere"
    with (tmp_path / "points.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found["points"]) > 6
    assert {r["failed"] for r in rows} == {"0", "1"}
    assert all(r["fault"] == "" for r in rows)


def test_any_number_of_workers_gives_the_same(small, tmp_path):
    for workers in (1, 2):
        sweep.run(small, tmp_path / str(workers), workers=workers)
    for name in ("sweep.json", "points.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_stopped_sweep_goes_on_where_it_was(small, tmp_path, monkeypatch):
    whole = sweep.run(small, tmp_path, workers=1)
    lines = (tmp_path / "points.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "points.jsonl").write_text("".join(lines[:4]) + lines[4][:20])  # a kill in the middle of a line
    driven = []
    measure = sweep.measure
    monkeypatch.setattr(sweep, "measure", lambda *args: driven.append(args) or measure(*args))
    assert sweep.run(small, tmp_path, workers=1) == json.loads(json.dumps(whole))
    assert len(driven) == len(lines) - 4


def test_an_item_that_gives_up_is_told_and_fails(submission, tmp_path):
    dead = build.build(tmp_path / "dead", {"READY_LINE": "1 / 0"}, ecu="driving_assistance-a")
    found = sweep.run(
        sweep.make(dead, sweep.Order(scenario="AEB-CCRS", over=["latency=0,0.1"])), tmp_path / "out", workers=1
    )
    assert all("ended by itself" in p["fault"] for p in found["points"])
    assert found["boundary"] == [{"rest": [], "between": [], "fails": "everywhere"}]


@pytest.mark.parametrize(
    ("scenario", "over", "fixed", "fails", "said"),
    [
        ("AEB-CCRX", ["latency"], [], "", "there is no scenario 'AEB-CCRX' (did you mean 'AEB-CCRS'?)"),
        ("AEB-CCRS", ["latencie"], [], "", "no such axis (did you mean 'latency'?)"),
        ("AEB-CCRS", ["latency=a,b"], [], "", "should be NAME, NAME=FROM:TO:POINTS or NAME=VALUE,VALUE"),
        ("AEB-CCRS", ["latency=0:1"], [], "", "should be NAME, NAME=FROM:TO:POINTS"),
        ("AEB-CCRS", ["latency=0.1"], [], "", "needs at least two values"),
        ("AEB-CCRS", ["latency", "latency=0,1"], [], "", "each only once"),
        ("AEB-CCRS", ["dropout=0,7"], [], "", "dropout should be 0 to 1 (a probability), not 7"),
        ("AEB-CCRS", ["target_speed=0,50"], ["ego_speed=42"], "", "does not close in on 50 km/h"),
        ("AEB-CCRS", ["actors.3.speed_kmh=0,5"], [], "", "AEB-CCRS has no field"),
        ("AEB-CCRS", ["latency"], ["colour=3"], "", "--set colour=3: should be FIELD=NUMBER"),
        ("AEB-CCRS", ["latency"], [], "impact_mph=0", "no such quantity (did you mean 'impact_kmh'?)"),
        ("AEB-CCRS", ["latency=0:0.5:20000", "dropout"], [], "", "140000 points; 1 to 20000 are allowed"),
    ],
)
def test_wrong_input_is_told(submission, scenario, over, fixed, fails, said):
    with pytest.raises(BadInput) as error:
        sweep.make(submission, sweep.Order(scenario=scenario, over=over, fixed=fixed, limit=fails))
    assert said in str(error.value)
