"""The ports of a rig as they open: each in its turn, and what becomes of those that stand on one that does not."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from harness.errors import DeviceError, RigError
from harness.inputs.rig import Opening, opened
from harness.model import Interface, Item
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
