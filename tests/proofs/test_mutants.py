"""Every requirement catches a defective build by name, and a twin just inside the limit certifies: a part of the table, for real."""

import json
import random

import pytest
import yaml

from harness.inputs import suite
from tools import mutation

BOOTED = mutation.ROOT / "rigs" / "images" / "defects.yaml"
SAMPLE = 6
SEED = 17
RECOMMENDED = {"CAN-BUSOFF-001", "CAN-CYCLE-002", "CAN-PASSIVE-001", "ISOTP-GAP-001"}


@pytest.mark.parametrize("line", mutation.LINES)
def test_a_part_of_the_builds_comes_out_as_their_file_says(line):
    names = random.Random(SEED).sample(sorted(set(mutation.cases(line)) - {"reference"}), SAMPLE)
    for name in names:
        _, fails, _ = mutation.cases(line)[name]
        result = mutation.outcome_of(line, name)
        assert result["others"] == dict.fromkeys(fails, "fail"), name
        assert result["decision"] == ("refused" if set(fails) - RECOMMENDED else "certified"), name
        assert not result["faults"], name


def test_the_page_is_the_tables():
    assert mutation.PAGE.read_text(encoding="utf-8") == mutation.page(json.loads(mutation.TABLE.read_text("utf-8")))


@pytest.mark.parametrize("profile", ["cockpit-1.0", "driving-assistance-1.0"])
def test_every_requirement_of_a_profile_catches_somebody(profile):
    found = suite.load_profile(suite.profile_file(profile))
    caught = {r for line in mutation.table().values() for result in line["results"].values() for r in result["others"]}
    caught |= {r for one in yaml.safe_load(BOOTED.read_text("utf-8")) for r in one.get("fails", ())}
    assert {
        *found.mandatory,
        *found.conditional,
        *found.recommended,
    } <= caught  # the last: tests/boards/test_emulated.py
