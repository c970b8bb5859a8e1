"""MF4 through asammdf, which costs every program that imports python-can most of a second: installed for the slow lanes only."""

import random
from contextlib import suppress

import numpy as np
import pytest

from harness.can import logs
from harness.can.log import Log
from harness.can.trace import ROW
from harness.errors import BadInput
from harness.ports import BRS, EXT, FD
from shipei import cli


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")  # of asammdf
def test_mf4_comes_back_and_a_damaged_one_is_told(tmp_path, capsys, monkeypatch):
    rows = np.zeros(40, ROW)
    rows["time_ns"], rows["length"] = np.arange(40) * 10_000_000, 8
    rows["id"], rows["channel"] = 0x100 + np.arange(40), np.arange(40) % 2
    rows["flags"][::4], rows["flags"][1::4] = EXT, FD | BRS
    rows["data"][:, :8] = np.arange(40)[:, None]
    file = tmp_path / "a.mf4"
    logs.write(Log(rows=rows, channels=("a", "b")), file)
    back = logs.read(file).rows
    for column in ("id", "flags", "length", "data"):
        assert (back[column] == rows[column]).all(), column
    assert np.abs(np.diff(back["time_ns"]) - 10_000_000).max() < 1000
    whole, chance = file.read_bytes(), random.Random(1)
    capsys.readouterr()
    for size in (0, 10, 64, 200, len(whole) // 2, len(whole) - 50):
        file.write_bytes(whole[:size])
        with pytest.raises(BadInput, match=r"a\.mf4: after 0 frames: "):
            logs.read(file)
    for _ in range(20):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(changed))
        with suppress(BadInput):
            logs.read(file)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"MF4 needs asammdf: pip install 'shipei\[mf4\]'"):
        logs.read(file)


def test_a_text_log_is_converted_to_mf4(tmp_path, capsys):
    (tmp_path / "a.log").write_text("".join(f"({n}.5) body 101#00100000000000{n:02X}\n" for n in range(10)))
    arguments = ["trace", "convert", str(tmp_path / "a.log"), str(tmp_path / "b.mf4"), "--json"]
    with pytest.raises(SystemExit) as ended:
        cli.app(arguments, standalone_mode=True)
    assert ended.value.code in (0, None)
    assert len(logs.read(tmp_path / "b.mf4").rows) == 10
