"""Every requirement catches a defective build by name, and a twin just inside the limit certifies.

The whole table is made by `make mutants`; here: it is of these inputs, it is what the defects' files expect, and a part of it that
changes from day to day comes out the same again.
"""

import datetime
import json
import random

import pytest
import yaml

from harness import suite
from tools import mutation

TABLE = json.loads(mutation.TABLE.read_text(encoding="utf-8"))
BOOTED = mutation.ROOT / "rigs" / "images" / "defects.yaml"
SAMPLE = {"cockpit": 12, "driving_assistance": 5}
RECOMMENDED = {"CAN-BUSOFF-001", "CAN-CYCLE-002", "CAN-PASSIVE-001", "ISOTP-GAP-001"}


@pytest.mark.parametrize("line", mutation.LINES)
def test_the_table_is_of_these_inputs(line):
    """If this fails, something that verdicts depend on has changed: run `make mutants` (it resumes) and commit its results."""
    assert TABLE[line]["inputs"] == mutation.digest(line)


@pytest.mark.parametrize("line", mutation.LINES)
def test_exactly_the_expected_requirements_fail(line):
    found = TABLE[line]["results"]
    assert set(found) == set(mutation.cases(line))
    assert list(mutation.unexpected(line, found)) == []
    for name, (_, fails) in mutation.cases(line).items():
        decision = "refused" if set(fails) - RECOMMENDED else "certified"
        assert found[name]["decision"] == decision, name


def test_the_page_is_the_tables():
    assert mutation.PAGE.read_text(encoding="utf-8") == mutation.page(TABLE)


@pytest.mark.parametrize("line", mutation.LINES)
def test_a_part_of_it_comes_out_the_same_again(line, tmp_path, monkeypatch):
    monkeypatch.setattr(mutation, "KEPT", tmp_path)
    day = datetime.datetime.now(datetime.UTC).date().toordinal()
    names = random.Random(day).sample(sorted(mutation.cases(line)), SAMPLE[line])
    again = mutation.results(line, names)
    assert again == {name: TABLE[line]["results"][name] for name in names}


@pytest.mark.parametrize("profile", ["cockpit-1.0", "driving-assistance-1.0"])
def test_every_requirement_of_a_profile_catches_somebody(profile):
    found = suite.load_profile(suite.profile_file(profile))
    caught = {r for line in TABLE.values() for result in line["results"].values() for r in result["others"]}
    caught |= {
        r for one in yaml.safe_load(BOOTED.read_text()) for r in one.get("fails", ())
    }  # tests/boards/test_emulated.py boots them
    assert {*found.mandatory, *found.conditional, *found.recommended} <= caught
