"""Reference images for the tests, and their boards opened port by port."""

from adapters.can_slcan import Slcan
from adapters.console_serial import SerialConsole
from adapters.qemu import QemuTarget
from harness.inputs import submission
from harness.ports import Bench
from rigs.images import build, linux

MS = 1_000_000
REFERENCE = "qemu-virt-a53-linux6.1-cluster-c"
MPS2 = QemuTarget(system="arm", machine="mps2-an385", memory_mb=16, line="serial")


def quiet(what):
    """Nobody to tell."""


def image(folder, name=REFERENCE, **defect):
    """The submission of a reference image, or of a defective one."""
    return build.build(folder / name, build.catalogue()[name], quiet, linux.Defect(**defect))


def opened(stack, folder, work, power=MPS2):
    """The ports of a submission's board, closed with the stack."""
    item = submission.read(folder).item
    ports = {}
    for name, recipe in {"body": Slcan(), "power": power, "console": SerialConsole(on="power")}.items():
        bench = Bench(item=item, work=work, evidence=work, ports=ports, memory=work)
        ports[name] = stack.enter_context(recipe.open(name, bench))
    return ports
