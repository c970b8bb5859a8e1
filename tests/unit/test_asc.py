"""Vector's ASC logs as columns: what python-can reads, what CANoe writes beside frames, and what is damaged."""

import random

import can
import numpy as np
import pytest
from hypothesis import given, settings

from harness.can import asc, columns, logs
from harness.can.log import Log
from harness.can.messages import flags_of
from harness.errors import BadInput
from harness.ports import BRS, ERROR, ESI, EXT, FD, RTR, TX
from tests.unit.test_logs import rows_of

EXAMPLE = """date Thu Nov 26 10:00:00.000 am 2026
base hex  timestamps absolute
internal events logged
// version 9.0.0
Begin TriggerBlock Thu Nov 26 10:00:00.000 am 2026
   0.000000 Start of measurement
   0.010000 CAN 1 Status:chip status error active
   0.015991 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%
   0.020000 1  101             Rx   d 8 00 11 22 33 44 55 66 77  Length = 240000 BitCount = 124 ID = 257
   0.020500 2  18DA60F1x       Tx   d 3 02 3E 00
   0.020600 2  18DA60F1x       TxRq d 3 02 3E 00
   0.021000 1  7FF             Rx   r 4
   0.021100 1  7FE             Rx   r
   0.022000 2  ErrorFrame
   0.023000 CANFD   1 Rx        123                                  1 0 9 12 00 01 02 03 04 05 06 07 08 09 0A 0B   130000  130 3000 0 0 0 0 0
   0.024000 CANFD   2 Tx   18DA60F1x  EngineData                     0 1 2  2 AA BB   130000  130 5000 0 0 0 0 0
   0.025000 CANFD   2 Rx        124                                  0 0 1  1 AA   130000  130 0 0 0 0 0 0
   0.026000 CANFD   1 Rx        125                                  0 0 0  0    130000  130 1000 0 0 0 0 0
   0.027000 CANFD   2 Rx   ErrorFrame   Not Acknowledge error, dominant error flag
End TriggerBlock
"""
BAD = [
    "   0.030000 1  10G             Rx   d 1 00",
    "   0.030000 1  800             Rx   d 1 00",
    "   0.030000 1  101             Rx   d 2 00",
    "   0.030000 1  101             Rx   d 2 00 100",
    "   0.030000 1  101             Rx   d",
    "   0.030000 1  101             Rx   q 1 00",
    "   0.030000 1  101             Rx",
    "   0.030000 CANFD   1 Rx        123   1 0 9 13 00 01",
    "   0.030000 CANFD   1 Rx        123   1 0 9",
    "   0.030000 CANFD   1 Rx        123",
]


def test_an_asc_log_as_columns(tmp_path):
    (tmp_path / "a.asc").write_text(EXAMPLE)
    log = asc.read(tmp_path / "a.asc")
    assert (list(log.channels), list(log.lost)) == (["0", "1"], [])
    assert log.rows["time_ns"].tolist() == [n * 100_000 for n in (200, 205, 210, 211, 220, 230, 240, 250, 260, 270)]
    assert log.rows["id"].tolist() == [0x101, 0x18DA60F1, 0x7FF, 0x7FE, 0, 0x123, 0x18DA60F1, 0x124, 0x125, 0]
    assert log.rows["flags"].tolist() == [0, EXT | TX, RTR, RTR, ERROR, FD | BRS, EXT | TX | FD | ESI, 0, FD, ERROR]
    assert log.rows["channel"].tolist() == [0, 1, 0, 0, 1, 0, 1, 1, 0, 1]
    assert log.rows["length"].tolist() == [8, 3, 4, 0, 0, 12, 2, 1, 0, 0]
    assert log.rows["data"][5, :12].tobytes() == bytes(range(12))


@pytest.mark.parametrize("bad", BAD)
def test_a_frame_that_is_none_is_named_and_the_rest_is_read(tmp_path, bad):
    lines = EXAMPLE.splitlines()
    (tmp_path / "a.asc").write_text("\n".join([*lines[:9], bad, "", *lines[9:], ""]))
    log = asc.read(tmp_path / "a.asc")
    assert len(log.rows) == 10
    assert [said.partition(":")[0] for said in log.lost] == ["line 10"]


def test_decimal_numbers_and_stamps_that_count_from_the_one_before(tmp_path, monkeypatch):
    text = "base dec  timestamps relative\nno internal events logged\n"
    text += "".join(f"0.010000 1  {256 + n}  Rx   d 2 {n} 255\n" for n in range(50))
    (tmp_path / "a.asc").write_text(text)
    whole = asc.read(tmp_path / "a.asc")
    assert list(whole.lost) == []
    assert whole.rows["time_ns"].tolist() == [10_000_000 * (n + 1) for n in range(50)]
    assert whole.rows["id"].tolist() == [256 + n for n in range(50)]
    assert whole.rows["data"][:, :2].tolist() == [[n, 255] for n in range(50)]
    monkeypatch.setattr(columns, "CHUNK_BYTES", 100)
    assert (asc.read(tmp_path / "a.asc").rows == whole.rows).all()


def test_a_log_that_breaks_off_says_so(tmp_path):
    text = EXAMPLE[: EXAMPLE.index("04 05 06 07")]
    (tmp_path / "a.asc").write_text(text)
    log = asc.read(tmp_path / "a.asc")
    assert len(log.rows) == 5
    assert log.lost[0].startswith("line 15: the file breaks off in it")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows_of())
def test_it_is_read_as_python_can_reads_it(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("log") / "a.asc"
    rows = rows[
        (rows["flags"] & (FD | RTR) == 0) | (rows["length"] > 0)
    ]  # python-can takes an empty CAN FD frame for a remote one
    rows["time_ns"] = np.arange(len(rows)) * 1_000_000
    logs.write(Log(rows=rows, channels=("0", "1", "2")), file)
    ours, theirs = asc.read(file), list(can.ASCReader(str(file)))
    assert list(ours.lost) == []
    for row, message in zip(ours.rows, theirs, strict=True):
        assert row["time_ns"] / 1e9 == pytest.approx(message.timestamp, abs=1e-6)
        assert (row["channel"], row["id"], row["length"]) == (message.channel, message.arbitration_id, message.dlc)
        assert row["flags"] == flags_of(message)
        assert row["data"][: len(message.data)].tobytes() == bytes(message.data)


def test_whatever_is_in_it_it_is_read_to_its_end(tmp_path):
    chance = random.Random(1)
    for _ in range(300):
        text = bytearray(EXAMPLE.encode())
        for _ in range(chance.randrange(1, 6)):
            text[chance.randrange(len(text))] = chance.choice(b"\x00\xff .0x\n\tEdrRT9")
        (tmp_path / "a.asc").write_bytes(bytes(text))
        assert len(asc.read(tmp_path / "a.asc").rows) <= 12
    (tmp_path / "a.asc").write_bytes(b"date Fri Nov 27 10:00:00 2026\nbase hex  timestamps absolute\n")
    assert len(asc.read(tmp_path / "a.asc").rows) == 0
    for nothing in (b"", b"\n\n\n", b" ", b"(1.5) can0 123#AA\n", bytes(5000)):
        (tmp_path / "a.asc").write_bytes(nothing)
        with pytest.raises(BadInput, match=r"a\.asc: no ASC log"):
            asc.read(tmp_path / "a.asc")


LINES = (
    b" 0.000254 1  3A9             Rx   d 8 B8 0D 44 83 61 0A 71 B6",
    b" 0.000580 2  1A9             Tx   d 8 88 44 92 00 85 11 CC D9",
    b" 0.000600 1  18FEDF00x       Rx   d 3 01 02 03",
    b" 0.000610 1  18FEDF00x       Rx   d 3 01 02 03  Length = 0 BitCount = 0",
    b" 0.000700 12 7FF             Rx   d 0",
    b" 0.000710 1  7FF             Rx   r",
    b" 0.000800 1  ErrorFrame",
    b" 1.000000 Start of measurement",
)
NOISE = b" 019afxXdrRT.\t\r\x00\xff"


@pytest.mark.parametrize("seed", range(60))
def test_lines_that_look_alike_are_read_as_those_that_do_not(seed, tmp_path, monkeypatch):
    """The quick way and the slow way, on lines of which some are spoiled, say the same to the last row and word."""
    chance = random.Random(seed)
    lines = []
    for _ in range(120):
        line = bytearray(chance.choice(LINES[: chance.randint(1, len(LINES))]))
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            line[chance.randrange(len(line))] = chance.choice(NOISE)
        lines.append(bytes(line).replace(b"\n", b" "))
    file = tmp_path / "a.asc"
    file.write_bytes(b"base hex  timestamps absolute\n" + b"\n".join(lines) + b"\n")
    quick = asc.read(file)
    monkeypatch.setattr(asc, "alike", lambda raw, starts, ends, rows: np.zeros(len(starts), bool))
    slow = asc.read(file)
    assert (quick.rows == slow.rows).all()
    assert (quick.channels, quick.lost) == (slow.channels, slow.lost)
