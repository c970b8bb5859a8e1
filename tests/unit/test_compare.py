"""A run beside an earlier one: what got worse, what got better, what moved, what it was made of; and nothing where nothing changed."""

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from harness import certify, compare
from harness.errors import BadInput
from harness.model import Measured, Outcome
from rigs.ecus import build
from shipei.cli import app

PROFILE = 'name: short\nversion: "1"\nsuites: [common, cockpit]\nmandatory: [COCKPIT-SPEED-001, CAN-MATRIX-001]\n'
BUILDS = {"sound": {}, "inside": {"SPEED_OFFSET_KMH": "0.2"}, "defective": {"SPEED_OFFSET_KMH": "-0.9"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of runs, one after the other."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "short.yaml").write_text(PROFILE)
    found = {}
    for n, (name, constants) in enumerate(BUILDS.items(), 1):
        made = build.build(folder / name, constants)
        found[name] = certify.certify(
            made, "sim", folder / "runs", certify.Terms(profile=str(folder / "short.yaml"))
        ).folder
        os.utime(found[name] / "record" / "manifest.json", (2 * n, 2 * n))
    found["again"] = found["sound"].with_name("9")  # simulated time: the same inputs give the same record
    shutil.copytree(found["sound"], found["again"])
    os.utime(found["again"] / "record" / "manifest.json", (3, 3))
    compare.against_last(found["again"], folder / "runs")
    return found


def beside(*given):
    done = CliRunner().invoke(app, ["compare", *map(str, given), "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_the_same_again_is_no_change(runs):
    code, found = beside(runs["sound"], runs["again"])
    assert code == 0
    assert [found[key] for key in ("inputs", "failing", "passing", "others", "drifts")] == [[], [], [], [], []]
    shown = CliRunner().invoke(app, ["compare", str(runs["sound"]), str(runs["again"])])
    assert "no value moved by more than both runs are unsure of" in shown.stdout.replace("\n", " ")


def test_what_newly_fails_is_named_with_why_and_the_artefact_that_changed(runs):
    code, found = beside(runs["sound"], runs["defective"])
    assert code == 1
    (one,) = found["failing"]
    assert (one["requirement"], one["before"], one["after"]) == ("COCKPIT-SPEED-001", "pass", "fail")
    assert "allowed" in one["reason"]
    assert {line.partition(":")[0] for line in found["inputs"]} >= {"artefact"}
    code, back = beside(runs["defective"], runs["sound"])
    assert (code, [c["requirement"] for c in back["passing"]], back["failing"]) == (0, ["COCKPIT-SPEED-001"], [])


def test_every_run_is_held_against_the_last_certified_one(runs):
    assert compare.told(runs["sound"]) == {}  # the first of its kind
    kept = json.loads((runs["defective"] / compare.FILE).read_text())
    assert kept["before"]["run"] == str(runs["inside"])
    assert [one["requirement"] for one in kept["failing"]] == ["COCKPIT-SPEED-001"]
    told = compare.told(runs["defective"])
    assert told["beside"].startswith(f"{runs['inside']}: 1 newly failing (COCKPIT-SPEED-001), 0 newly passing, ")
    again = compare.told(runs["again"])["beside"]
    assert again == f"{runs['sound']}: 0 newly failing, 0 newly passing, 0 values moved"


def test_what_moved_inside_its_limits_is_shown_with_the_room_that_is_left(runs):
    code, found = beside(runs["sound"], runs["inside"])
    assert (code, found["failing"]) == (0, [])
    moved = [one for one in found["drifts"] if one["requirement"] == "COCKPIT-SPEED-001"]
    assert moved
    assert moved[0]["after"] - moved[0]["before"] == pytest.approx(-0.8, abs=0.1)  # the reference shows 1 km/h more
    assert 0 <= moved[0]["room_after"] < moved[0]["room_before"]
    shown = CliRunner().invoke(app, ["compare", str(runs["sound"]), str(runs["inside"])]).stdout
    assert "moved beyond uncertainty" in shown


def test_alone_it_is_held_against_the_last_certified_one_before_it(runs):
    folder = runs["sound"].parents[1]
    code, found = beside(runs["defective"], "--runs", folder)
    assert (code, found["before"]["run"]) == (1, str(runs["inside"]))
    none = CliRunner().invoke(app, ["compare", str(runs["sound"]), "--runs", str(folder)])
    assert (none.exit_code, "no earlier certified run" in none.output) == (2, True)


def test_two_different_things_are_not_compared(runs, tmp_path):
    (tmp_path / "short.yaml").write_text(PROFILE)
    made = build.build(tmp_path / "b", ecu="cockpit-b")
    other = certify.certify(made, "sim", tmp_path / "runs", certify.Terms(profile=str(tmp_path / "short.yaml")))
    with pytest.raises(BadInput, match="nothing to compare"):
        compare.compare(compare.read(runs["sound"]), compare.read(other.folder))
    done = CliRunner().invoke(app, ["compare", str(runs["sound"]), str(tmp_path)])
    assert (done.exit_code, "not a record" in done.output) == (2, True)


def test_a_record_that_was_altered_is_void_and_says_so(runs, tmp_path):
    shutil.copytree(runs["again"], tmp_path / "run")
    (tmp_path / "run" / "record" / "pytest.log").write_text("x")
    code, found = beside(runs["sound"], tmp_path / "run")
    assert (code, found["after"]["decision"]) == (3, "void")


def value(number, uncertainty=0.0, **context):
    return Measured(
        name="x",
        value=number,
        unit="ms",
        low=0,
        high=100,
        uncertainty=uncertainty,
        outcome=Outcome.PASS,
        context=context,
    )


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ([value(10, 1)], [value(11.9, 1)], False),
        ([value(10, 1)], [value(12.1, 1)], True),
        ([value(10), value(20)], [value(20), value(10)], False),
        ([value(10, message="a"), value(20, message="b")], [value(20, message="a"), value(10, message="b")], True),
        ([value(10, said="a"), value(20, said="b")], [value(20, said="c"), value(10, said="d")], False),
        ([value(float("nan"))], [value(1)], False),
        ([value(0.1 + 0.2)], [value(0.3)], False),
    ],
)
def test_a_value_moves_when_both_uncertainties_do_not_explain_it(before, after, moves):
    assert bool(list(compare.moved("R", before, after))) == moves
