"""Recordings of other tools: what comes in is what python-can reads, what is damaged gives what it can and says what it lost."""

import json
import random

import can
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.can import blf, candump, columns, logs
from harness.can.log import Log
from harness.can.messages import flags_of
from harness.can.trace import ROW
from harness.errors import BadInput
from harness.paths import DBC
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX
from shipei import cli

EXAMPLE = """(1436509052.249713) vcan0 044#2A366C2BBA
(1436509052.449847) vcan0 0F6#7ADFE07BD2 T
(1436509052.5) can1 18DA60F1#R8
(1436509052.600000001) can1 123##3AABB
(1436509053.0) can1 20000040#0000000000000000
(1436509053.1) can1 123#
"""
BAD = [
    "nonsense",
    "(1.5) can1 12#AA",
    "(1.5) can1 123#AAB",
    "(1.5) can1 123#1122334455667788AA",
    "(1.5) can1 12G#AA",
    "(x.5) can1 123#AA",
    "(1.5) can1 123##",
    "(1.5)",
    "#",
    "(1.5)  123#AA",
    "(12345678901.5) can1 123#AA",
    "(1.5) can1 123 #AA",
    "\u4f60\u597d (1.5) can1 123#AA",
]


def test_a_candump_log_as_columns(tmp_path):
    (tmp_path / "a.log").write_text(EXAMPLE)
    log = candump.read(tmp_path / "a.log")
    assert (list(log.channels), list(log.lost)) == (["vcan0", "can1"], [])
    assert log.rows["id"].tolist() == [0x44, 0xF6, 0x18DA60F1, 0x123, 0x40, 0x123]
    assert log.rows["flags"].tolist() == [0, TX, EXT | RTR, FD | BRS | ESI, ERROR, 0]
    assert log.rows["channel"].tolist() == [0, 0, 1, 1, 1, 1]
    assert log.rows["length"].tolist() == [5, 5, 8, 2, 8, 0]
    assert log.rows["time_ns"].tolist()[2:4] == [1436509052_500000000, 1436509052_600000001]
    assert log.rows["data"][0, :5].tobytes().hex() == "2a366c2bba"


def test_it_is_read_as_python_can_reads_it(tmp_path):
    (tmp_path / "a.log").write_text(EXAMPLE)
    ours, theirs = candump.read(tmp_path / "a.log"), list(can.CanutilsLogReader(str(tmp_path / "a.log")))
    for row, message in zip(ours.rows, theirs, strict=True):
        assert row["time_ns"] / 1e9 == pytest.approx(message.timestamp, abs=1e-6)
        assert ours.channels[row["channel"]] == message.channel
        if not row["flags"] & ERROR:
            assert (row["id"], row["length"]) == (message.arbitration_id, message.dlc)
            assert row["flags"] == flags_of(message)
            assert row["data"][: len(message.data)].tobytes() == bytes(message.data)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bad", BAD)
def test_a_line_that_is_no_frame_is_named_and_the_rest_is_read(tmp_path, bad, ending):
    lines = EXAMPLE.splitlines()
    (tmp_path / "a.log").write_bytes(ending.join([*lines[:2], bad, "", *lines[2:], ""]).encode())
    log = candump.read(tmp_path / "a.log")
    assert len(log.rows) == len(lines)
    assert [said.partition(":")[0] for said in log.lost] == ["line 3"]


def test_a_log_that_breaks_off_says_so(tmp_path):
    (tmp_path / "a.log").write_text(EXAMPLE.removesuffix(" 123#\n"))
    log = candump.read(tmp_path / "a.log")
    assert len(log.rows) == 5
    assert list(log.lost) == ["line 6: the file breaks off in it: '(1436509053.1) can1'"]


def test_chunks_of_a_large_log_fit_together(tmp_path, monkeypatch):
    text = "".join(f"({n}.{n:06d}) can{n % 3} {n % 0x7FF:03X}#{n:016X}\n" for n in range(2000))
    (tmp_path / "a.log").write_text(text + "nonsense\n")
    whole = candump.read(tmp_path / "a.log")
    monkeypatch.setattr(columns, "CHUNK_BYTES", 1000)
    parts = candump.read(tmp_path / "a.log")
    assert (whole.rows == parts.rows).all()
    assert list(whole.lost) == list(parts.lost) == ["line 2001: no frame of a candump log: 'nonsense'"]


@st.composite
def rows_of(draw):
    """Frames as a bus may carry them."""
    found = np.zeros(draw(st.integers(1, 30)), ROW)
    for row in found:
        flags = draw(st.sampled_from([0, EXT, FD, FD | BRS, FD | BRS | ESI | EXT, RTR, RTR | EXT]))
        length = draw(st.sampled_from([0, 1, 8, 12, 64] if flags & FD else [0, 1, 7, 8]))
        row["time_ns"], row["flags"], row["length"] = draw(st.integers(0, 2**60)), flags, length
        row["id"], row["channel"] = draw(st.integers(0, 0x1FFFFFFF if flags & EXT else 0x7FF)), draw(st.integers(0, 2))
        if not flags & RTR:
            row["data"][:length] = np.frombuffer(draw(st.binary(min_size=length, max_size=length)), np.uint8)
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows_of())
def test_what_is_written_as_candump_comes_back(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("log") / "a.log"
    logs.write(Log(rows=rows, channels=["a", "b", "c"]), file)
    back = logs.read(file)
    assert list(back.lost) == []
    names = [back.channels[n] for n in back.rows["channel"]]
    assert names == ["abc"[n] for n in rows["channel"]]
    for column in ("time_ns", "id", "flags", "length", "data"):
        assert (back.rows[column] == rows[column]).all(), column


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=400), st.integers(0, 200))
def test_no_bytes_do_harm(tmp_path_factory, noise, at):
    file = tmp_path_factory.mktemp("log") / "a.log"
    text = EXAMPLE.encode()
    file.write_bytes(text[:at] + noise + text[at:])
    log = candump.read(file)
    assert len(log.rows) + len(log.lost) <= (text + noise).count(b"\n") + 1


# ---------------------------------------------------------------- damaged BLF


def recorded(tmp_path, count=20_000):
    rows = np.zeros(count, ROW)
    rows["time_ns"], rows["id"] = np.arange(count) * 1_000_000, np.arange(count) % 0x7FF
    rows["length"], rows["data"][:, :8] = 8, np.random.default_rng(1).integers(0, 256, (count, 8))
    blf.write(rows, tmp_path / "a.blf")
    return rows, (tmp_path / "a.blf").read_bytes()


def test_a_truncated_blf_gives_all_that_came_before(tmp_path):
    rows, raw = recorded(tmp_path)
    (tmp_path / "b.blf").write_bytes(raw[: len(raw) // 2])
    log = logs.read(tmp_path / "b.blf")
    assert len(rows) // 3 < len(log.rows) < 0.55 * len(rows)
    assert (log.rows == rows[: len(log.rows)]).all()
    assert log.lost
    with pytest.raises(BadInput):
        blf.read(tmp_path / "b.blf")


def test_a_blf_with_a_hole_gives_what_is_around_it(tmp_path):
    rows, raw = recorded(tmp_path)
    at = len(raw) // 3
    (tmp_path / "b.blf").write_bytes(raw[:at] + bytes(300) + raw[at + 300 :])
    log = logs.read(tmp_path / "b.blf")
    assert len(log.rows) > 0.6 * len(rows)
    assert any("a container" in said for said in log.lost)
    assert set(log.rows["time_ns"].tolist()) <= set(rows["time_ns"].tolist())


def test_no_damage_makes_the_reader_stop_or_hang(tmp_path):
    _, raw = recorded(tmp_path, 2000)
    chance = random.Random(7)
    for _ in range(60):
        broken = bytearray(raw)
        for _ in range(chance.randint(1, 20)):
            broken[chance.randrange(144, len(broken))] = chance.randrange(256)
        (tmp_path / "b.blf").write_bytes(broken[: chance.randint(200, len(broken))])
        assert len(logs.read(tmp_path / "b.blf").rows) <= 2200


# ---------------------------------------------------------------- the commands


def shipei(capsys, *arguments):
    """(exit code, standard output, standard error)."""
    with pytest.raises(SystemExit) as ended:
        cli.app(list(map(str, arguments)), standalone_mode=True)
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err


def test_info_convert_and_decode(tmp_path, capsys):
    lines = [f"({n}.5) body 101#00100000000000{n:02X}\n" for n in range(10)]
    (tmp_path / "a.log").write_text("".join(lines) + "(1.0) body 101#\nnonsense\n")
    code, out, _ = shipei(capsys, "trace", "info", tmp_path / "a.log", "--json")
    found = json.loads(out)
    assert (code, found["frames"], found["out_of_order"]) == (0, 11, 1)
    assert found["channels"][0]["channel"] == "body"
    assert "line 12" in found["lost"][0]
    for ending in ("blf", "asc", "csv", "log"):
        to = tmp_path / f"b.{ending}"
        assert shipei(capsys, "trace", "convert", tmp_path / "a.log", to, "--json")[0] == 0
        assert len(logs.read(to).rows) == 11
    code, out, err = shipei(capsys, "trace", "convert", tmp_path / "a.log", tmp_path / "b.blf")
    assert code == 2
    assert "exists already" in out + err
    code, out, _ = shipei(
        capsys, "trace", "decode", tmp_path / "a.log", "--dbc", DBC / "cockpit-a.dbc",
        "-s", "SpeedValid", "-o", tmp_path / "v.csv", "--json",
    )  # fmt: skip
    (signal,) = json.loads(out)["signals"]
    assert (signal["count"], signal["last"]) == (10, "Valid")
    assert (tmp_path / "v.csv").read_text().splitlines()[1] == "0.500000000,VehicleMotion,SpeedValid,1"


def test_signals_are_drawn_over_time(tmp_path, capsys):
    lines = [f"({n}.5) body 101#00100000000000{n:02X}\n" for n in range(10)]
    (tmp_path / "a.log").write_text("".join(lines))
    arguments = (
        "trace",
        "plot",
        tmp_path / "a.log",
        "--dbc",
        DBC / "cockpit-a.dbc",
        "-s",
        "SpeedValid",
        "-s",
        "VehicleSpeed",
    )
    assert shipei(capsys, *arguments, "-o", tmp_path / "p.svg")[0] == 0
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
    assert shipei(capsys, *arguments, "-o", tmp_path / "p.png")[0] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = shipei(capsys, *arguments, "-o", tmp_path / "p.png")
    assert (code, "exists already" in out + err) == (2, True)
    code, out, err = shipei(capsys, *arguments, "-s", "ShownGear", "-o", tmp_path / "q.png")
    assert (code, "no frame with ShownGear" in out + err) == (2, True)
    assert not (tmp_path / "q.png").exists()
    code, out, err = shipei(capsys, *arguments, "-o", tmp_path / "nowhere" / "q.png")
    assert (code, "cannot be written: No such file or directory" in out + err) == (2, True)
    code, out, err = shipei(capsys, *arguments, "-o", tmp_path / "q.pdf")
    assert (code, "a picture is .svg or .png" in out + err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("info", "a.doc"), "unknown ending"),
        (("info", "none.log"), "no such file"),
        (("convert", "a.log", "b.bin"), "written by a run only"),
        (("convert", "a.log", "none/b.blf"), "cannot be written: No such file or directory"),
        (("convert", "a.log", "b.trc"), "there are CAN FD frames"),
        (("decode", "a.log", "--dbc", str(DBC / "cockpit-a.dbc"), "-o", "none/v.csv"), "there is no folder none"),
        (("decode", "a.log", "--dbc", str(DBC / "cockpit-a.dbc"), "-s", "SpeedValit"), "did you mean 'SpeedValid'"),
        (("decode", "a.log", "--dbc", str(DBC / "cockpit-a.dbc"), "--channel", "cann"), "no channel 'cann'"),
    ],
)
def test_mistakes_are_told(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(EXAMPLE)
    (tmp_path / "a.doc").write_text("")
    code, out, err = shipei(capsys, "trace", *arguments)
    assert code == 2
    assert said in (out + err).replace("\n", " ")
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.doc", "a.log"]
