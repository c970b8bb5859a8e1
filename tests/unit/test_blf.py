"""BLF by columns is the BLF of python-can, both ways; and damaged files say so."""

import can
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import certify
from harness.can import blf, trace
from harness.can.messages import of_row
from harness.can.trace import ROW
from harness.errors import BadInput
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX
from rigs.ecus import build
from shipei import show

LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)


@st.composite
def frames(draw):
    row = np.zeros(1, ROW)[0]
    fd = draw(st.booleans())
    length = draw(st.sampled_from(LENGTHS if fd else LENGTHS[:9]))
    extended = draw(st.booleans())
    row["id"] = draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF))
    row["flags"] = (EXT if extended else 0) | draw(st.sampled_from([0, TX]))
    if fd:
        row["flags"] |= FD | draw(st.sampled_from([0, BRS])) | draw(st.sampled_from([0, ESI]))
    remote = not fd and draw(st.integers(0, 9)) == 0
    row["length"], row["channel"] = length, draw(st.integers(0, 3))
    if remote:
        row["flags"] |= RTR
    else:
        row["data"][:length] = np.frombuffer(draw(st.binary(min_size=length, max_size=length)), np.uint8)
    return row


def stacked(found):
    rows = np.array(found, ROW)
    rows["time_ns"] = np.arange(1, len(rows) + 1) * 1_234_567
    return rows


def as_python_can(file):
    with can.BLFReader(str(file)) as reader:
        return list(reader)


def same_message(message, row):
    wanted = of_row(row)
    wanted.channel = int(row["channel"])
    assert message.equals(wanted, timestamp_delta=1e-6, check_direction=True), (message, wanted)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(frames(), min_size=1, max_size=40))
def test_what_we_write_is_what_python_can_and_we_read(tmp_path_factory, found):
    file, rows = tmp_path_factory.mktemp("blf") / "a.blf", stacked(found)
    blf.write(rows, file)
    assert (blf.read(file) == rows).all()
    for message, row in zip(as_python_can(file), rows, strict=True):
        same_message(message, row)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(frames(), min_size=1, max_size=40))
def test_what_python_can_writes_is_what_we_read(tmp_path_factory, found):
    file, rows = tmp_path_factory.mktemp("blf") / "a.blf", stacked(found)
    with can.BLFWriter(str(file)) as writer:
        for row in rows:
            writer(of_row(row))
    read = blf.read(file)
    assert len(read) == len(rows)
    for message, row in zip(as_python_can(file), read, strict=True):
        message.timestamp = row["time_ns"] / 1e9
        same_message(message, row)


@pytest.mark.parametrize("flags", [0, EXT, FD, FD | BRS])
def test_many_frames_over_many_containers(tmp_path, flags):
    rows = np.zeros(20_000, ROW)
    rows["time_ns"], rows["id"], rows["flags"] = np.arange(20_000) * 1000, np.arange(20_000) % 0x7FF, flags
    rows["length"], rows["data"][:, :8] = 8, np.random.default_rng(1).integers(0, 256, (20_000, 8))
    blf.write(rows, tmp_path / "a.blf")
    assert (blf.read(tmp_path / "a.blf") == rows).all()
    assert len(as_python_can(tmp_path / "a.blf")) == 20_000


def test_data_that_looks_like_the_beginning_of_an_object(tmp_path):
    rows = np.zeros(3, ROW)
    rows["time_ns"], rows["id"], rows["length"] = (1, 2, 3), 1, 8
    rows["data"][:, :8] = np.frombuffer(b"LOBJLOBJ", np.uint8)
    blf.write(rows, tmp_path / "a.blf")
    assert (blf.read(tmp_path / "a.blf") == rows).all()


def test_error_frames_stay_error_frames(tmp_path):
    rows = np.zeros(2, ROW)
    rows["time_ns"], rows["flags"] = (5, 7), (ERROR, 0)
    blf.write(rows, tmp_path / "a.blf")
    assert (blf.read(tmp_path / "a.blf")["flags"] == rows["flags"]).all()
    assert [m.is_error_frame for m in as_python_can(tmp_path / "a.blf")] == [True, False]


def test_an_empty_file_is_empty(tmp_path):
    blf.write(np.zeros(0, ROW), tmp_path / "a.blf")
    assert len(blf.read(tmp_path / "a.blf")) == 0
    assert as_python_can(tmp_path / "a.blf") == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: b"GIF89a" + raw[6:], "does not begin with LOGG"),
        (lambda raw: raw[:144] + b"JUNK" + raw[148:], "byte 144: an object was expected here"),
        (lambda raw: raw[:200] + bytes(40) + raw[240:], "byte 144: a container"),
        (lambda raw: raw[:160] + b"\x07" + raw[161:], "byte 144: unknown compression 7"),
        (lambda raw: raw[:168] + b"\xff\xff\xff\xff" + raw[172:], "byte 144: a container"),
        (lambda raw: raw[:-60], "byte 144: a container"),
    ],
)
def test_a_damaged_file_says_where(tmp_path, damage, said):
    rows = np.zeros(500, ROW)
    rows["data"][:, :8] = np.random.default_rng(2).integers(0, 256, (500, 8))
    rows["length"] = 8
    blf.write(rows, tmp_path / "a.blf")
    (tmp_path / "b.blf").write_bytes(damage((tmp_path / "a.blf").read_bytes()))
    with pytest.raises(BadInput, match=said):
        blf.read(tmp_path / "b.blf")


def test_a_run_is_exported_for_other_tools(tmp_path):
    submission = build.build(tmp_path / "s", ecu="driving_assistance-b")
    profile = tmp_path / "short.yaml"
    profile.write_text('name: short\nversion: "1"\nsuites: [common]\nmandatory: [CAN-MATRIX-001]\nlimit_s: 60\n')
    done = certify.certify(submission, "sim", tmp_path / "runs", certify.Terms(profile=str(profile)))
    rows, _ = trace.load(done.folder / "record" / "trace-adas.bin")
    for form, reader in (("blf", can.BLFReader), ("asc", can.ASCReader), ("csv", can.CSVReader)):
        file = show.exported(done.folder, form)["adas"]
        with reader(str(file)) as found:
            assert sum(1 for _ in found) == len(rows)
    with pytest.raises(BadInput, match="unknown"):
        show.exported(done.folder, "doc")
    with pytest.raises(BadInput, match="no run with traces"):
        show.exported(tmp_path, "blf")
