"""The ports of a rig as they open: each in its turn, and what becomes of those that stand on one that does not."""

import dataclasses
import importlib
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from harness.errors import BadInput, DeviceError, RigError
from harness.inputs import rig as rigs
from harness.inputs.rig import Opening, opened
from harness.model import Interface, Item, noun
from harness.paths import RIGS, ROOT
from harness.ports import OR_NOTHING, Bench


class Port:
    """A recipe that opens, or raises what it is given."""

    def __init__(self, error=None, on=None, kinds=("power",), reads=None):
        self.error, self.on, self.kinds, self.reads = error, on, kinds, reads

    def stands_on(self):
        return {"on": self.kinds} if self.on else {}

    @contextmanager
    def open(self, name, bench):
        if self.error is not None:
            raise self.error
        if self.reads is not None:
            bench.ports[self.reads]
        log.append(f"{name} opens")
        try:
            yield name
        finally:
            log.append(f"{name} closes")


log = []


@pytest.fixture(autouse=True)
def fresh():
    log.clear()


@pytest.fixture
def bench(tmp_path):
    item = Item(files={}, interface=Interface(buses={}))
    return Bench(item=item, work=tmp_path, evidence=tmp_path, ports={}, memory=tmp_path)


def rig(**recipes):
    return SimpleNamespace(recipes=recipes)


def failures(bench, **recipes):
    found = {}
    with opened(rig(**recipes), bench, Opening(failed=lambda name, error: found.update({name: str(error)}))):
        pass
    return found


def test_ports_open_from_top_to_bottom_and_close_in_reverse(bench):
    with opened(rig(power=Port(), body=Port(on="power")), bench) as ports:
        assert list(ports) == ["power", "body"]
    assert log == ["power opens", "body opens", "body closes", "power closes"]


def test_the_first_that_does_not_open_is_raised_and_what_is_open_is_closed(bench):
    with (
        pytest.raises(RigError, match="port body did not open: the cable"),
        opened(rig(power=Port(), body=Port(OSError("the cable")), console=Port()), bench),
    ):
        pass
    assert log == ["power opens", "power closes"]


@pytest.mark.parametrize("kinds", [("power",), ("power", OR_NOTHING)])
def test_what_stands_on_a_port_that_did_not_open_is_not_tried(bench, kinds):
    """Found by review: a supply that nobody has to have was flashed without when it was there and broken."""
    found = failures(bench, power=Port(RigError("no volts")), flash=Port(on="power", kinds=kinds))
    assert found["power"] == "port power: no volts"
    assert found["flash"] == "port flash: it stands on port 'power', which is not open"
    assert log == []


def test_a_supply_that_no_rig_has_may_be_missing(bench):
    assert failures(bench, flash=Port(on="power", kinds=("power", OR_NOTHING))) == {}
    assert log == ["flash opens", "flash closes"]


def test_a_labs_recipe_that_does_not_say_what_it_stands_on_is_told_too(bench):
    found = failures(bench, body=Port(RigError("away")), switch=Port(reads="body"), last=Port())
    assert found["switch"] == "port switch: it stands on port 'body', which is not open"
    assert log == ["last opens", "last closes"]


def test_a_devices_fault_is_a_row_where_somebody_is_told_and_raised_where_nobody_is(bench):
    silent = Port(DeviceError("it does not answer"))
    assert failures(bench, flash=silent, last=Port())["flash"] == "it does not answer"
    with pytest.raises(DeviceError), opened(rig(flash=silent), bench):
        pass


# ---------------------------------------------------------------- what kind of rig it is

HEAD = 'name: b\nkind: bench\nchip: {name: sim, revision: "1"}\nclock_ms: 1.0\nports:\n'


@noun
class Silent:
    """A lab's recipe that does not say whether it is hardware."""

    def open(self, name, bench):
        return bench.ports


@pytest.mark.parametrize("file", sorted(RIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_rig_of_ours_becomes_hardware_by_its_file_saying_so(file, tmp_path):
    text = file.read_text().replace("kind: virtual", "kind: bench").replace("kind: simulated", "kind: bench")
    (tmp_path / "rig.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"rig.yaml:\d+: bench is hardware at every port, and port .* is virtual"):
        rigs.read(tmp_path / "rig.yaml")


@pytest.mark.parametrize(
    ("port", "wrong"),
    [
        ("{use: 'adapters.can_python:PythonCan', interface: pcan, channel: PCAN_USBBUS1}", ""),
        ("{use: 'adapters.can_python:PythonCan', interface: socketcan, channel: can0}", ""),
        ("{use: 'adapters.can_python:PythonCan', interface: socketcan, channel: vcan0}", "is virtual"),
        ("{use: 'adapters.can_python:PythonCan', interface: socketcan, channel: vxcan1}", "is virtual"),
        ("{use: 'adapters.can_python:PythonCan', interface: udp_multicast, channel: 239.74.163.2}", "is virtual"),
        ("{use: 'adapters.recording:Recording', file: x, clock_ms: 1}", "is virtual"),
        ("{use: 'tests.unit.test_rig:Silent'}", "does not say whether it is hardware"),
    ],
)
def test_a_bench_is_hardware_at_every_port(port, wrong, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    (tmp_path / "b.yaml").write_text(f"{HEAD}  body: {port}\n")
    if not wrong:
        assert rigs.read(tmp_path / "b.yaml").rig.kind == "bench"
        return
    with pytest.raises(BadInput, match=wrong):
        rigs.read(tmp_path / "b.yaml")


def test_a_rig_is_named_like_a_folder(tmp_path):
    (tmp_path / "b.yaml").write_text(HEAD.replace("name: b", "name: ../../b") + "  power: {use: 'adapters.hub:Hub'}\n")
    with pytest.raises(BadInput, match=r"b.yaml:1: '../../b' should be 1 to 64 letters"):
        rigs.read(tmp_path / "b.yaml")


def test_every_recipe_of_ours_says_whether_it_is_hardware():
    for file in sorted((ROOT / "adapters").glob("*.py")):
        module = importlib.import_module(f"adapters.{file.stem}")
        for name, one in vars(module).items():
            if isinstance(one, type) and one.__module__ == module.__name__ and dataclasses.is_dataclass(one):
                assert not hasattr(one, "open") or hasattr(one, "virtual"), f"{module.__name__}:{name}"
