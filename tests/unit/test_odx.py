"""A vendor's ODX becomes what a submission declares: the references' own, through a PDX and back; and what is no ODX is refused in words."""

import dataclasses
import json
import zipfile

import pytest
import yaml
from typer.testing import CliRunner

from harness import documents as shape
from harness.errors import BadInput
from harness.inputs import odx, submission
from harness.model import DiagnosticsInterface
from rigs.ecus import build
from shipei.cli import app
from tests.support import odx_file

TOLD = ("request", "response", "extended", "functional", "padding", "addressing", "target", "source", "sessions")
TOLD += ("fd", "p2_ms", "p2_star_ms", "s3_ms")
BY = {"services": "sid", "data": "did", "security": "level", "routines": "rid"}
NOT_IN_ODX = {"attempts", "delay_s", "key", "takes_s"}


@pytest.fixture(scope="module", params=build.ECUS)
def told(request, tmp_path_factory):
    folder = build.build(tmp_path_factory.mktemp("odx") / "s", ecu=request.param)
    return submission.load(folder).interface.diagnostics


@pytest.fixture(scope="module")
def cockpit(tmp_path_factory):
    folder = build.build(tmp_path_factory.mktemp("odx") / "s")
    return submission.load(folder).interface.diagnostics


def ordered(things, key):
    """By their number, sub-functions and sessions too, without what no ODX says."""
    plain = [
        {k: sorted(v) if isinstance(v, list) else v for k, v in one.items() if k not in NOT_IN_ODX}
        for one in shape.dump(things)
    ]
    return sorted(plain, key=lambda one: one[key])


def test_what_a_reference_declares_comes_back_from_its_odx(told, tmp_path):
    found = odx.declared(odx_file.write(tmp_path / "ecu.pdx", told), None, told.bus)
    read = shape.from_plain(DiagnosticsInterface, found.diagnostics)
    assert {key: getattr(read, key) for key in TOLD} == {key: getattr(told, key) for key in TOLD}
    for key, number in BY.items():
        assert ordered(getattr(read, key), number) == ordered(getattr(told, key), number), key
    said = " ".join(found.notes)
    assert all(f"{t.code:#08x}" in said for t in told.troubles)
    assert ("attempts, delay_s and key" in said) == bool(told.security)


def test_mixed_addressing_comes_back_too(cockpit, tmp_path):
    mixed = dataclasses.replace(cockpit, addressing="mixed", target=0x30)
    found = odx.declared(odx_file.write(tmp_path / "ecu.pdx", mixed), None, "body")
    assert (found.diagnostics["addressing"], found.diagnostics["target"]) == ("mixed", 0x30)
    assert not any("addressing" in note for note in found.notes)


def test_the_lines_are_those_of_a_submission(cockpit, tmp_path):
    file = odx_file.write(tmp_path / "ecu.pdx", cockpit)
    done = CliRunner().invoke(app, ["submission", "odx", str(file), "--bus", "body", "-o", str(tmp_path / "d.yaml")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "d.yaml").read_text()
    assert "    - {did: 0x0110, length: 4, writable: true, security: 1}\n" in text
    read = shape.from_plain(DiagnosticsInterface, yaml.safe_load(text)["diagnostics"])
    assert read.request == 0x7A0
    again = CliRunner().invoke(app, ["submission", "odx", str(file), "-o", str(tmp_path / "d.yaml")])
    assert (again.exit_code, "exists already" in again.output) == (2, True)
    as_json = CliRunner().invoke(app, ["submission", "odx", str(file), "--json"])
    assert shape.from_plain(DiagnosticsInterface, json.loads(as_json.stdout)["diagnostics"]) == read


# ---------------------------------------------------------------- what is no ODX, or not all of it


def layer(cockpit, *changes):
    text = odx_file.Layer(cockpit, "Cockpit").document()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def said(file, ecu=None):
    with pytest.raises(BadInput) as error:
        odx.declared(file, ecu, "body")
    return str(error.value)


def pdx(file, **documents):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in documents.items():
            archive.writestr(f"{name}.odx-d", text)
    return file


BOMB = '<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>\n<ODX>&b;</ODX>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no XML", "x.odx-d:1: is no XML: syntax error, column 1"),
        (f"{odx_file.HEAD}\n<DIAG-LAYER-CONTAINER>\n</ODX>", "x.odx-d:4: is no XML: mismatched tag"),
        (BOMB, "x.odx-d:2: has a document type (<!DOCTYPE), which no ODX has: refused"),
        (f"{odx_file.HEAD}<SOMETHING><SHORT-NAME>x</SHORT-NAME></SOMETHING></ODX>", "odxtools does not understand it"),
        ("<ODX/>", "odxtools does not understand it"),
    ],
)
def test_a_document_that_is_no_odx_is_refused_with_its_line(tmp_path, text, words):
    assert words in said(pdx(tmp_path / "ecu.pdx", x=text))


def test_an_archive_is_bounded_and_says_what_it_lacks(tmp_path, cockpit, monkeypatch):
    assert "there is no ODX document" in said(pdx(tmp_path / "empty.pdx"))
    monkeypatch.setattr(odx, "MAX_BYTES", 1 << 20)
    assert "more than 1 MiB" in said(pdx(tmp_path / "bomb.pdx", x=" " * (2 << 20)))
    (tmp_path / "big.odx-d").write_bytes(b" " * (2 << 20))
    assert "more than 1 MiB" in said(tmp_path / "big.odx-d")
    monkeypatch.setattr(odx, "MAX_DOCUMENTS", 2)
    assert "more than 2 ODX documents" in said(pdx(tmp_path / "many.pdx", a="", b="", c=""))
    cut = pdx(tmp_path / "cut.pdx", x=layer(cockpit)).read_bytes()
    spoiled = bytearray(cut)
    spoiled[200:260] = bytes(60)
    (tmp_path / "cut.pdx").write_bytes(spoiled)
    assert "cannot be unpacked" in said(tmp_path / "cut.pdx")
    assert "there is no file" in said(tmp_path / "none.pdx")


def test_which_ecu_is_asked_where_there_are_several(tmp_path, cockpit):
    second = layer(cockpit).replace('"BV.1"', '"BV.2"').replace('"DLC.1"', '"DLC.2"')
    second = second.replace(">Cockpit<", ">Cluster<").replace(">CockpitContainer<", ">ClusterContainer<")
    with zipfile.ZipFile(odx_file.write(tmp_path / "two.pdx", cockpit), "a") as archive:
        archive.writestr("Cluster.odx-d", second)
    assert "describes Cluster, Cockpit: say which with --ecu" in said(tmp_path / "two.pdx")
    assert "there is no ECU 'Cluste' in it (did you mean 'Cluster'?)" in said(tmp_path / "two.pdx", "Cluste")
    assert odx.declared(tmp_path / "two.pdx", "Cluster", "body").ecu == "Cluster"


def test_what_has_no_constant_length_or_identifier_is_said_and_not_guessed(tmp_path, cockpit):
    """A record that is as long as the answer, a service that is read by a table, a seed of any length."""
    text = layer(
        cockpit,
        (
            'xsi:type="STANDARD-LENGTH-TYPE"><BIT-LENGTH>320</BIT-LENGTH>',
            'xsi:type="MIN-MAX-LENGTH-TYPE" TERMINATION="END-OF-PDU"><MIN-LENGTH>1</MIN-LENGTH>',
        ),
    )
    with zipfile.ZipFile(tmp_path / "ecu.pdx", "w") as archive:
        archive.writestr("a.odx-d", text)
        archive.writestr("b.odx-cs", odx_file.comparams())
    found = odx.declared(tmp_path / "ecu.pdx", None, "body")
    assert [r["did"] for r in found.diagnostics["data"]] == [0x0110, 0xF189]
    assert "record_22_0120: the length of record 0x0120 is not constant; add it to data" in found.notes


def test_a_name_cannot_put_a_line_of_its_own_into_the_submission(tmp_path, cockpit):
    text = layer(cockpit, ("<SHORT-NAME>Cockpit</SHORT-NAME>", "<SHORT-NAME>Cockpit\nvendor: mine</SHORT-NAME>"))
    start, rest = text.split("<COMPARAM-REFS>")
    (tmp_path / "ecu.odx-d").write_text(start + rest.split("</COMPARAM-REFS>")[1])
    done = CliRunner().invoke(app, ["submission", "odx", str(tmp_path / "ecu.odx-d")])
    assert done.exit_code == 0, done.output
    assert set(yaml.safe_load(done.output)) == {"diagnostics"}
    nowhere = CliRunner().invoke(
        app, ["submission", "odx", str(tmp_path / "ecu.odx-d"), "-o", str(tmp_path / "no" / "x")]
    )
    assert (nowhere.exit_code, "cannot be written" in nowhere.output) == (2, True), nowhere.output


def test_an_addressing_that_is_not_read_is_said(tmp_path, cockpit):
    with zipfile.ZipFile(tmp_path / "ecu.pdx", "w") as archive:
        archive.writestr("a.odx-d", layer(cockpit, ("normal segmented 11-bit", "remote segmented 11-bit")))
        archive.writestr("b.odx-cs", odx_file.comparams())
    found = odx.declared(tmp_path / "ecu.pdx", None, "body")
    assert "addressing: the file says 'remote segmented 11-bit', which is not read; declare it" in found.notes
    assert "addressing" not in found.diagnostics


def test_a_file_without_communication_parameters_says_that_identifiers_are_missing(tmp_path, cockpit):
    start, rest = layer(cockpit).split("<COMPARAM-REFS>")
    (tmp_path / "ecu.odx-d").write_text(start + rest.split("</COMPARAM-REFS>")[1])
    found = odx.declared(tmp_path / "ecu.odx-d", None, "body")
    assert "request" not in found.diagnostics
    assert found.notes[0] == "request and response: not in the file, add the identifiers"
