"""Every format: its example loads, its schema exists, and every mistake is named with file, line and what to do."""

import json
import re
from pathlib import Path

import pytest

from harness import documents, plan
from harness.errors import BadInput
from harness.inputs import inputs, rig, submission, suite
from harness.paths import EXAMPLES, RIGS
from rigs.ecus import build
from shipei.cli import NOUNS


@pytest.fixture
def folder(tmp_path):
    return build.build(tmp_path / "submission")


def edit(folder, old, new, file="submission.yaml"):
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def mistakes(call, *arguments):
    with pytest.raises(BadInput) as caught:
        call(*arguments)
    return "\n".join(caught.value.mistakes)


@pytest.mark.parametrize("name", NOUNS)
def test_every_format_has_a_schema_and_a_commented_example_that_loads(name):
    assert json.dumps(documents.schema(NOUNS[name]))
    file = EXAMPLES / f"{name}.yaml"
    assert file.read_text(encoding="utf-8").startswith("#")
    document = documents.read(file)
    assert documents.load(NOUNS[name], document) is not None, document.mistakes


def test_the_reference_submission_is_without_mistakes(folder):
    assert str(submission.load(folder).combination) == "sim-1/cpython-3.11/cockpit-1.4.0"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "bitrate: 500000",
            "bitrat: 500000",
            r"submission.yaml:\d+: unknown key 'bitrat' \(did you mean 'bitrate'\?\)",
        ),
        (
            "vendor: reference-a ",
            "vendr: reference-a ",
            r"submission.yaml:2: unknown key 'vendr' \(did you mean 'vendor'",
        ),
        ("profile: cockpit-1.0", "features2: {}", r"missing key 'profile'"),
        ("profile: cockpit-1.0", "profile: cockpit-1.0\nprofile: x", r"duplicate key 'profile' \(first on line \d+\)"),
        (
            'version: "1.4.0"',
            "version: 1.4",
            r"submission.yaml:6: .*version: should be a valid string, not 1.4; put it in quotes",
        ),
        ("name: cockpit, ", "name: ../../evil, ", r"'../../evil' should be 1 to 64 letters"),
        ('version: "1.4.0"', 'version: "1|4 [/red]"', r"should be 1 to 64 letters"),
        ("bitrate: 500000", "bitrate: fast", r"bitrate: should be a valid integer, not 'fast'"),
        (
            "vendor: reference-a ",
            "vendor: referenc-a ",
            r"vendor 'referenc-a' is not registered \(did you mean 'reference-a'",
        ),
        (
            "vendor: reference-a ",
            "vendor: Reference A ",
            r"vendor 'Reference A' is spelled 'reference-a' in the registry",
        ),
        ("name: sim,", "name: simulator,", r"chip 'simulator' is spelled 'sim' in the registry"),
        ("name: cpython,", "name: cpyton,", r"system 'cpyton' is not registered \(did you mean 'cpython'"),
        ("node: COCKPIT ", "node: COKPIT ", r"has no node 'COKPIT' \(did you mean 'COCKPIT'"),
        ("telltales: {}", "telltails: {}", r"unknown feature 'telltails' \(did you mean 'telltales'"),
        ("ready_s: 2.5", "redy_s: 2.5", r"unknown setting 'redy_s' of boot \(did you mean 'ready_s'"),
        ("signal: SpeedState", "signal: SpedState", r"has no signal 'SpedState' \(did you mean 'SpeedState'"),
        ("value: Blank", "value: Blanc", r"ShownGear has no value 'Blanc' \(did you mean 'Blank'"),
        (
            "message: GearState, profile",
            "message: GearStat, profile",
            r"has no message 'GearStat' \(did you mean 'GearState'",
        ),
        ("dbc: cockpit-a.dbc", "dbc: ../cockpit-a.dbc", r"'../cockpit-a.dbc' leads outside the submission's folder"),
        ("dbc: cockpit-a.dbc", "dbc: /etc/passwd", r"'/etc/passwd' leads outside the submission's folder"),
        ("dbc: cockpit-a.dbc", "dbc: cockpt-a.dbc", r"no such file: cockpt-a.dbc \(did you mean 'cockpit-a.dbc'"),
        ("role: application, path", "use: adapters.x:Y, path", r"unknown key 'use': a submission cannot name code"),
        ("profile: P05", "profile: P99", r"profile: should be 'P01', 'P02', .*'P07' or 'P11', not 'P99'"),
        (
            "profile: P01, data_id: 0x0101",
            "profile: P04, data_id: 0x0101",
            r"VehicleMotion is too short for profile P04",
        ),
        ("data_id: 0x0101}", "data_id: 0x0101, max_delta_counter: 14}", r"max_delta_counter should be 1 to 13, not 14"),
        (
            "message: ClimateCommand",
            "message: ClimateComand",
            r"has no message 'ClimateComand' \(did you mean 'ClimateCommand'",
        ),
        ("message: ClimateCommand", "message: VehicleMotion", r"VehicleMotion is not sent by COCKPIT"),
        ("message: NmCockpit", "message: NmGateway", r"NmGateway is not sent by COCKPIT"),
        ("first: 0x500", "first: 0x530", r"identifiers from 0x530 to 0x53f should hold 0x520 of NmCockpit and others"),
        ("timeout_ms: 2000", "timeout_ms: 0", r"timeout_ms should be above 0"),
        ("telltales: {}", "telltales: &a {}", r"anchors and aliases are not allowed"),
        ("telltales: {}", "telltales: !!python/object:os.system {}", r"the tag .*os.system. is not allowed"),
    ],
)
def test_a_mistake_is_named(folder, old, new, said):
    edit(folder, old, new)
    text = mistakes(submission.load, folder)
    assert re.search(said, text), text
    assert all(re.match(r".+:\d+: ", line) for line in text.splitlines()), text


def test_all_mistakes_at_once(folder):
    edit(folder, "vendor: reference-a ", "vendor: nobody ")
    edit(folder, "bitrate: 500000", "bitrate: 5")
    edit(folder, "telltales: {}", "telltails: {}")
    assert len(mistakes(submission.load, folder).splitlines()) == 3


def test_a_digest_that_differs(folder):
    with (folder / "cockpit-1.4.0.pyz").open("ab") as stream:
        stream.write(b"x")
    assert re.search(
        r"submission.yaml:8: cockpit-1.4.0.pyz has the digest [0-9a-f]{64}, not", mistakes(submission.load, folder)
    )


def test_a_link_that_leads_outside(folder, tmp_path):
    (tmp_path / "outside.dbc").write_text("secret")
    (folder / "cockpit-a.dbc").unlink()
    (folder / "cockpit-a.dbc").symlink_to(tmp_path / "outside.dbc")
    assert "a link that leads outside" in mistakes(submission.load, folder)


def test_a_dbc_that_does_not_parse(folder):
    edit(folder, "BO_ 512 ClusterStatus: 8 COCKPIT", "BO_ 512 ClusterStatus 8 COCKPIT", "cockpit-a.dbc")
    assert re.search(r"cockpit-a.dbc:\d+: the DBC does not parse", mistakes(submission.load, folder))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"signal": "VehicleSpeed"',
            '"signal": "VehicleSped"',
            r"cockpit-a.vss_dbc.json:\d+: .*no signal 'VehicleSped' \(did you mean",
        ),
        ('"DisplayedSpeed": {', '"DisplaydSpeed": {', r"unknown VSS path .*DisplaydSpeed \(did you mean"),
        ('"from": "Reverse"', '"from": "Revers"', r"the value table has no 'Revers' \(did you mean 'Reverse'"),
        ('"mapping": [', '"math": "__import__(1)", "mapping": [', r"only transform: \{mapping"),
    ],
)
def test_a_mistake_in_the_map(folder, old, new, said):
    edit(folder, old, new, "cockpit-a.vss_dbc.json")
    assert re.search(said, mistakes(submission.load, folder))


def test_a_dbc_that_lacks_a_mapped_signal(folder):
    edit(folder, "ShownTemperature", "ShowTemperature", "cockpit-a.dbc")
    assert re.search(
        r"vss_dbc.json:\d+: cockpit-a.dbc has no signal 'ShownTemperature'", mistakes(submission.load, folder)
    )


def test_a_chip_that_is_not_the_rigs(folder, tmp_path):
    other = tmp_path / "bench.yaml"
    other.write_text((RIGS / "sim.yaml").read_text().replace("{name: sim, revision", "{name: sa8155p, revision"))
    text = mistakes(inputs.load, folder, other)
    assert "claims the chip sim 1, but the rig sim is sa8155p 1" in text
    assert re.match(r".*submission.yaml:4: ", text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "SimulatedCan",
            "SimulatdCan",
            r":\d+: adapters.can_simulated has no recipe 'SimulatdCan' \(did you mean 'SimulatedCan'",
        ),
        ("adapters.can_simulated", "adapters.can_simulatd", r"no module 'adapters.can_simulatd' \(did you mean"),
        ("seed: 1", "sed: 1", r"sim.yaml:\d+: unknown key 'sed' \(did you mean 'seed'"),
        ("seed: 1", "seed: one", r"seed: should be a valid integer, not 'one'"),
        ("kind: simulated", "kind: imaginary", r"kind: should be"),
        ("  body:", "  boddy:", r"the rig sim has no port 'body' \(did you mean 'boddy'"),
        ("clock_ms: 0.0", "clock_ms: 5.0\nclock_ms: 1.0", r"duplicate key 'clock_ms'"),
    ],
)
def test_a_mistake_in_a_rig(folder, tmp_path, old, new, said):
    file = tmp_path / "sim.yaml"
    text = (RIGS / "sim.yaml").read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert re.search(said, mistakes(inputs.load, folder, file))


HUB = (RIGS / "hub.yaml").read_text()
POWER = '  power: {use: "adapters.program:ProgramTarget", on: hub}\n'
FLASH = '  flash: {use: "adapters.flash_preflashed:Preflashed", on: diag}\n'
DIAG = '  diag: {use: "adapters.uds:UdsOverCan"}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HUB.replace("SerialConsole\", on: power", "SerialConsole\", on: pover"), r"hub.yaml:12: on: there is no port 'pover' \(did you mean 'power'"),
        (HUB.replace("shipei_hub, on: hub", "shipei_hub, on: hb"), r"hub.yaml:9: on: there is no port 'hb' \(did you mean 'hub'.*\n.*hub.yaml:10: on"),
        (HUB.replace(POWER, "") + POWER, r"on: power opens after console; ports open from top to bottom, so power goes above it"),
        (HUB.replace("SerialConsole\", on: power", "SerialConsole\", on: body"), r"on: console stands on a terminal, and body is none"),
        (HUB.replace(POWER, POWER.replace("hub}", "body}")), r"hub.yaml:11: on: power stands on a hub, and body is none"),
        (HUB + FLASH, r"on: there is no port 'diag'"),
        (HUB + FLASH + DIAG, r"on: diag opens after flash"),
        (HUB + DIAG + FLASH.replace("on: diag", "on: diag, power: pwr"), r"power: there is no port 'pwr' \(did you mean 'power'"),
        (HUB.replace("  hub: {", "  hub2: {"), r"on: there is no port 'hub' \(did you mean 'hub2'"),
    ],
)  # fmt: skip
def test_a_port_that_stands_on_none_of_the_rigs(tmp_path, text, said):
    assert text != HUB
    file = tmp_path / "hub.yaml"
    file.write_text(text)
    assert re.search(said, mistakes(rig.read, file))


@pytest.mark.parametrize(
    "text", [HUB, HUB + DIAG + FLASH, HUB.replace(POWER, "").replace("on: power", "url: /dev/ttyS0") + DIAG + FLASH]
)
def test_a_supply_that_nobody_names_may_be_missing(tmp_path, text):
    file = tmp_path / "hub.yaml"
    file.write_text(text)
    assert rig.read(file)


def test_unknown_rig_and_profile_names():
    assert "unknown rig 'smi' (did you mean 'sim'?)" in mistakes(rig.locate, "smi")
    assert "unknown profile 'cockpit-1.1' (did you mean 'cockpit-1.0'?)" in mistakes(suite.profile_file, "cockpit-1.1")


def test_a_profile_with_an_unknown_requirement(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text('name: p\nversion: "1"\nsuites: [common]\nmandatory:\n  - CAN-CYCLE-001\n  - CAN-CICLE-001\n')
    assert (
        mistakes(suite.load_profile, file)
        == f"{file}:6: unknown requirement 'CAN-CICLE-001' (did you mean 'CAN-CYCLE-001'?)"
    )


REQUIREMENT = """- id: X-1
  en: a
  zh: b
  source: {document: d, clause: "1"}
  trust: P
  measures: [{name: m, unit: s, low: 0}]
"""


def test_a_test_without_a_requirement_and_the_reverse(tmp_path):
    (tmp_path / "requirements.yaml").write_text(REQUIREMENT + REQUIREMENT.replace("X-1", "X-2"))
    (tmp_path / "test_x.py").write_text(
        '@requirement("X-1")\ndef test_a(): ...\n@requirement("X-3")\ndef test_b(): ...\ndef test_c(): ...\n'
    )
    text = mistakes(suite.load, tmp_path)
    assert re.search(r"test_x.py:4: unknown requirement 'X-3'", text)
    assert re.search(r"test_x.py:5: test_c needs exactly one @requirement", text)
    assert re.search(r"requirements.yaml:7: requirement X-2 has no test", text)


def test_a_requirement_that_could_not_fail(tmp_path):
    (tmp_path / "requirements.yaml").write_text(REQUIREMENT.replace("[{name: m, unit: s, low: 0}]", "[]"))
    (tmp_path / "test_x.py").write_text('@requirement("X-1")\ndef test_a(): ...\n')
    assert "measures nothing" in mistakes(suite.load, tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[1, 2", "a: b: c", "\x00", "- " * 100, "{" * 5000, "a: !!python/name:os.system x", "\xff\xfe"]
)
def test_hostile_text_is_a_mistake_and_nothing_else(tmp_path, text):
    file = tmp_path / "submission.yaml"
    file.write_bytes(text.encode("latin-1"))
    assert mistakes(submission.load, file)


def test_a_feature_that_is_not_declared_is_not_planned(folder):
    edit(folder, "  seat: {}\n", "")
    made = plan.make(inputs.load(folder, RIGS / "sim.yaml"))
    left = {x.id: x.reason for x in made.not_applicable}
    assert left.pop("COCKPIT-SEAT-001") == "feature seat is not declared"
    images = {"BOOT-SOAK-001", "BOOT-WATCHDOG-001", "BOOT-LOGIN-001", "BOOT-CLOCK-001"}
    assert set(left) == {
        *images,
        "CAN-FORMAT-002",
        "ISOTP-ADDRESS-001",
        "ISOTP-FD-001",
        "ISOTP-FD-002",
    }  # of complete images, of CAN FD, of address bytes


def test_a_declared_figure_replaces_a_default(folder):
    made = plan.make(inputs.load(folder, RIGS / "sim.yaml"))
    ready = next(p.requirement for p in made.requirements if p.requirement.id == "BOOT-READY-001")
    assert [m.high for m in ready.measures] == [1.5, 2.5]


def test_what_a_rig_cannot_decide_is_said_or_refused(folder, tmp_path):
    made = plan.make(inputs.load(folder, RIGS / "hub.yaml"))
    assert [x.id for x in made.not_decidable] == ["CAN-CYCLE-002", "ISOTP-GAP-001", "CAN-PASSIVE-001", "CAN-BUSOFF-001"]
    assert made.not_decidable[2].reason == "it needs buses that can do faults, and those of the rig hub cannot"
    strict = tmp_path / "strict.yaml"
    strict.write_text('name: strict\nversion: "1"\nsuites: [common]\nmandatory: [CAN-CYCLE-002]\n')
    assert "needs a clock exact to 0.5 ms" in mistakes(plan.make, inputs.load(folder, RIGS / "hub.yaml", strict))


def test_full_effort_repeats_more_and_is_written_down(folder, tmp_path):
    full = tmp_path / "full.yaml"
    full.write_text('name: full\nversion: "1"\nsuites: [common]\nmandatory: [NM-WAKE-003]\neffort: full\n')
    made = {file: plan.make(inputs.load(folder, RIGS / "sim.yaml", file)) for file in (None, full)}
    times = {
        file: next(p.requirement.parameters["times"] for p in m.requirements if p.requirement.id == "NM-WAKE-003")
        for file, m in made.items()
    }
    assert times == {None: 3.0, full: 1000.0}
    assert {m.effort for m in made.values()} == {"ci", "full"}


def test_the_plan_names_every_input(folder: Path):
    digests = plan.make(inputs.load(folder, RIGS / "sim.yaml")).digests
    assert {
        "submission",
        "rig",
        "profile",
        "artefact:application",
        "dbc:body",
        "vss:body",
        "harness",
        "adapters",
        "registry",
        "vss",
    } <= set(digests)
    assert all(re.fullmatch("[0-9a-f]{64}", d) for d in digests.values())
