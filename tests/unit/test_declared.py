"""The vendor declares, the lab decides: what a submission may set and how far, what a profile stands for, and what no map can mean."""

import json
import math
import re

import pytest
import yaml

from harness import certificate, documents, plan
from harness.errors import BadInput
from harness.inputs import inputs, submission, suite
from harness.model import Limit, Requirement, Setting
from harness.paths import PROFILES, RIGS
from rigs.ecus import build

LAWS = ("V", "V-sum", "S", "M")


@pytest.fixture
def folder(tmp_path):
    return build.build(tmp_path / "s")


def declare(folder, **features):
    """Features in the place of those that are declared; None takes one away."""
    file = folder / "submission.yaml"
    said = yaml.safe_load(file.read_text())
    said["features"] = {k: v for k, v in {**said["features"], **features}.items() if v is not None}
    file.write_text(yaml.safe_dump(said, sort_keys=False))
    return folder


def mistakes(call, *arguments):
    with pytest.raises(BadInput) as caught:
        call(*arguments)
    return "\n".join(caught.value.mistakes)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("feature", "settings", "said"),
    [
        ("rear_view", {"response_s": 60}, r"response_s is 60; COCKPIT-REARVIEW-001 allows 0.05 to 2 \(.+\)"),
        ("boot", {"watch_s": 0.001}, r"watch_s of boot is not a submission's to set; settable: .*ready_s"),
        ("boot", {"ready_s": 100_000}, r"ready_s is 100000; BOOT-READY-001 allows 0.01 to 120"),
        ("speed_display", {"max_kmh": 1}, r"max_kmh is 1; COCKPIT-SPEED-001 allows 150 to 450"),
        ("speed_display", {"settle_s": 100}, "settle_s of speed_display is not a submission's to set"),
        ("telltales", {"latency_ms": 99_999}, "latency_ms is 99999; COCKPIT-TELLTALE-001 allows 1 to 200"),
        ("supervision", {"tolerance_ms": 99_999}, "tolerance_ms of supervision is not a submission's to set"),
        ("supervision", {"heal_ms": 99_999}, "heal_ms is 99999; CAN-TIMEOUT-001 allows 1 to 500"),
        ("diagnostics", {"times": 1}, "times of diagnostics is not a submission's to set"),
    ],
)
def test_a_setting_that_loosens_a_limit_or_switches_a_test_off_is_refused_when_it_is_read(
    folder, feature, settings, said
):
    text = mistakes(submission.load, declare(folder, **{feature: settings}))
    assert re.search(rf"submission.yaml:\d+: {said}", text), text


@pytest.mark.parametrize(
    ("feature", "settings"),
    [
        *(("aeb", {k: v}) for k, v in (("lead_s", 0.01), ("demand_mps2", 0.1))),
        *(
            ("fcw", {"ttc_s": v}) for v in (0.1, 2.2)
        ),  # 2.2 s is tighter than one of its limits, and looser than another
        *(("acc", {k: v}) for k, v in (("gap_s", 0.01), ("jerk_over_s", 999), ("jerk_mps3", 20))),
        *(("ldw", {"beyond_m": v}) for v in (50, 0.31)),
        *(("degraded_driving", {k: 30_000}) for k in ("ftti_ms", "telltale_ms", "recovery_ms")),
    ],
)
def test_no_setting_of_a_driving_function_loosens_it(tmp_path, feature, settings):
    folder = declare(build.build(tmp_path / "s", ecu="driving_assistance-a"), **{feature: settings})
    assert "allows" in (said := mistakes(submission.load, folder)) or "not a submission's to set" in said


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, True, "2.5", [2.5], [1, 2], {}, None, 0, -1, 10**400])
def test_a_setting_of_another_type_is_a_mistake_and_never_the_suites(folder, value):
    assert "ready_s" in mistakes(submission.load, declare(folder, boot={"ready_s": value}))


def test_a_figure_of_a_law_is_only_made_tighter_in_every_suite_of_ours():
    for one in suite.all_suites().values():
        for requirement in one.requirements.values():
            for name in requirement.settable if requirement.trust in LAWS else ():
                low, high = requirement.settable[name]
                for measure in requirement.measures:
                    for limit, end in ((measure.low, low), (measure.high, high)):
                        if isinstance(limit, Limit) and limit.parameter == name:
                            assert end == requirement.parameters[name], requirement.id


@pytest.mark.parametrize(
    ("settable", "said"),
    [
        ({"response_s": [0.1, 3.0]}, "a submission may only make it tighter"),
        ({"response_s": [2.5, 3.0]}, "response_s is 2: not within 2.5 to 3"),
        ({"response_s": [0.0, 2.0]}, "or these are not above 0"),
        ({"respons_s": [0.1, 2.0]}, "no single number 'respons_s' among the parameters (did you mean 'response_s'"),
        ({"speeds": [0.1, 2.0]}, "no single number 'speeds'"),
    ],
)
def test_a_suite_that_lets_a_law_be_loosened_does_not_load(tmp_path, settable, said):
    data = [
        {
            "id": "X-1",
            "en": "x",
            "zh": "x",
            "source": {"document": "UN R158", "clause": "16"},
            "trust": "V",
            "parameters": {"response_s": 2.0, "speeds": [1.0, 2.0]},
            "settable": settable,
            "measures": [{"name": "response_s", "unit": "s", "high": {"parameter": "response_s"}}],
        }
    ]
    (tmp_path / "requirements.yaml").write_text(yaml.safe_dump(data))
    (tmp_path / "test_x.py").write_text('@requirement("X-1")\ndef test_x():\n    pass\n')
    assert said in mistakes(suite.load, tmp_path)


def test_only_what_is_settable_is_taken_and_the_certificate_names_it(folder):
    found = plan.make(inputs.load(declare(folder, telltales={"latency_ms": 150}), RIGS / "sim.yaml"))
    one = {p.requirement.id: p for p in found.requirements}["COCKPIT-TELLTALE-001"]
    assert (one.requirement.measures[0].high, dict(one.settings)) == (150.0, {"latency_ms": 150.0})
    named = certificate.settings_of(found)
    assert Setting(requirement="COCKPIT-TELLTALE-001", parameter="latency_ms", value=150.0) in named
    assert Setting(requirement="BOOT-READY-001", parameter="ready_s", value=2.5) in named


# ---------------------------------------------------------------- profiles


def test_less_than_a_profiles_core_earns_a_name_that_says_what_is_left_out(folder):
    whole = plan.make(inputs.load(folder, RIGS / "sim.yaml"))
    less = plan.make(inputs.load(declare(folder, rear_view=None, telltales=None), RIGS / "sim.yaml"))
    assert (whole.profile, less.profile) == ("cockpit-1.0", "cockpit-1.0 without telltales, rear_view")


@pytest.mark.parametrize("kept", [(), ("e2e",)])
def test_nothing_of_a_profiles_core_earns_nothing(folder, kept):
    file = folder / "submission.yaml"
    said = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**said, "features": {k: v for k, v in said["features"].items() if k in kept}}))
    text = mistakes(inputs_of, folder)
    assert re.search(r"submission.yaml:\d+: cockpit stands for boot, .*: none of them is declared", text), text


def inputs_of(folder):
    return plan.make(inputs.load(folder, RIGS / "sim.yaml"))


def test_a_domains_profile_without_a_feature_of_its_domain_is_a_mistake(folder):
    """Boot and supervision alone are no cockpit."""
    file = folder / "submission.yaml"
    said = yaml.safe_load(file.read_text())
    few = {k: v for k, v in said["features"].items() if k in ("boot", "supervision")}
    file.write_text(yaml.safe_dump({**said, "features": few}))
    assert "cockpit is about chimes, climate" in mistakes(inputs_of, folder)


@pytest.mark.parametrize("named", ["./mine.yaml", "mine.yaml", "/etc/mine.yaml", "../../../tmp/mine", "a/b"])
def test_a_submission_names_a_profile_and_never_brings_one(folder, named):
    (folder / "mine.yaml").write_text('name: cockpit\nversion: "1.0"\nsuites: [common]\nmandatory: [BOOT-READY-001]\n')
    file = folder / "submission.yaml"
    file.write_text(file.read_text().replace("profile: cockpit-1.0", f"profile: {named}"))
    assert (
        "a profile is the lab's, by its name" in mistakes(inputs.load, folder, RIGS / "sim.yaml")
        or named == "mine.yaml"
    )


def test_every_profile_of_ours_that_certifies_has_a_core():
    for file in PROFILES.glob("*.yaml"):
        assert suite.load_profile(file).core or file.stem == "recording-1.0", file.name


# ---------------------------------------------------------------- maps and supervision


def in_map(folder, change):
    file = folder / "cockpit-a.vss_dbc.json"
    data = json.loads(file.read_text())
    change(leaf(data))
    file.write_text(json.dumps(data, indent=1))
    return folder


def leaf(data):
    """leaf("Vehicle.Speed"): what the map says of a path."""

    def found(path):
        first, *rest = path.split(".")
        node = data[first]
        for name in rest:
            node = node["children"][name]
        return node["dbc2vss"]

    return found


def turned(of):
    for entry in of("Vehicle.IsSpeedValid")["transform"]["mapping"]:
        entry["to"] = not entry["to"]


def swapped(of):
    asked, shown = of("Vehicle.Cabin.Cluster.Telltale.Brake.Request"), of("Vehicle.Cabin.Cluster.Telltale.Brake.State")
    asked["signal"], shown["signal"] = shown["signal"], asked["signal"]
    asked["transform"], shown["transform"] = shown.get("transform"), asked.get("transform")


def geared(of):
    turned = {127: -1, -1: 127}
    for entry in of("Vehicle.Cabin.Cluster.DisplayedGear")["transform"]["mapping"]:
        entry["to"] = turned.get(entry["to"], entry["to"])


def doubled(of):
    abs_, brake = of("Vehicle.Cabin.Cluster.Telltale.ABS.State"), of("Vehicle.Cabin.Cluster.Telltale.Brake.State")
    abs_["signal"] = brake["signal"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (turned, r"Valid of \w+ is False in Vehicle.IsSpeedValid: its opposite"),
        (swapped, r"Telltale.Brake.Request is asked of the device, and \w+ with \w+ is sent by it"),
        (geared, r"Drive of \w+ is -1 in Vehicle.Cabin.Cluster.DisplayedGear, and VSS has 127 for it"),
        (
            doubled,
            r"\w+ is Vehicle.Cabin.Cluster.Telltale.\w+.State already, in the same way: one signal shows one thing",
        ),
    ],
)
def test_a_map_that_cannot_be_meant_is_a_mistake(folder, change, said):
    assert re.search(said, text := mistakes(submission.load, in_map(folder, change))), text


def test_a_supervision_that_waits_for_ever_is_a_mistake(folder):
    file = folder / "submission.yaml"
    file.write_text(file.read_text().replace("VehicleMotion, timeout_ms: 200", "VehicleMotion, timeout_ms: 60000"))
    assert "60000 ms for a message that comes every 20 ms: at most 2000 ms are taken" in mistakes(
        submission.load, folder
    )


def test_a_boot_without_a_stage_is_a_mistake(folder):
    file = folder / "submission.yaml"
    said = yaml.safe_load(file.read_text())
    said["interface"]["console"]["boot"] = []
    file.write_text(yaml.safe_dump(said))
    assert "interface.console.boot names none" in mistakes(submission.load, folder)


def test_the_schema_says_what_is_settable():
    assert "settable" in json.dumps(documents.schema(Requirement))


# ---------------------------------------------------------------- what nobody looks at


def without_identification(folder):
    file = folder / "submission.yaml"
    said = yaml.safe_load(file.read_text())
    said["interface"]["diagnostics"].pop("identification")
    file.write_text(yaml.safe_dump(said))


def in_file(name, *pairs):
    def change(folder):
        text = (folder / name).read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "what", "which"),
    [
        (without_identification, "version that nothing reads back", "cockpit-1.4.0"),
        (
            in_file("submission.yaml", ("        - {message: GearState, profile: P01, data_id: 0x0110}\n", "")),
            "input with a checksum that no e2e entry lists",
            "body.GearState",
        ),
        (
            in_file("cockpit-a.dbc", ('BA_ "GenMsgCycleTime" BO_ 512 50;\n', "")),
            "message without a cycle or an event",
            "body.ClusterStatus",
        ),
    ],
)
def test_what_no_requirement_can_look_at_is_counted_and_named(folder, change, what, which):
    assert which not in plan.make(inputs.load(folder, RIGS / "sim.yaml")).unchecked.get(what, ())
    change(folder)
    found = plan.make(inputs.load(folder, RIGS / "sim.yaml"))
    assert which in found.unchecked[what]


def test_a_signal_without_a_range_or_a_table_is_named(folder):
    text = (folder / "cockpit-a.dbc").read_text()
    line = next(one for one in text.splitlines() if one.startswith(" SG_ ShownSpeed ") or " SG_ DisplayedSpeed " in one)
    (folder / "cockpit-a.dbc").write_text(text.replace(line, re.sub(r"\[[^]]*\]", "[0|0]", line)))
    found = plan.make(inputs.load(folder, RIGS / "sim.yaml"))
    assert any(one.endswith(line.split()[1]) for one in found.unchecked["signal without a range or a value table"])
