"""Diagnostic requests, as far as a single frame carries them: whether somebody is there."""

from harness.errors import DeviceError
from harness.interface import DiagnosticsInterface
from harness.ports import EXT, Frame
from harness.seen import MS, Seen
from harness.trace import Rows
from harness.vehicle import Vehicle

TESTER_PRESENT, POSITIVE_PRESENT = b"\x02\x3e\x00", 0x7E
ASK_AGAIN_NS = 100 * MS


def answered(vehicle: Vehicle, diagnostics: DiagnosticsInterface, *, within_s: float) -> Seen:
    """The device's first answer to TesterPresent (ISO 14229-1, 10.6), which is asked for until it comes.

    Raises DeviceError when none came within the limit.
    """
    net, flags = vehicle.networks[diagnostics.bus], EXT if diagnostics.extended else 0
    asked = Frame(id=diagnostics.request, flags=flags, data=TESTER_PRESENT.ljust(8, bytes([diagnostics.padding])))
    until_ns = vehicle.time_ns + round(within_s * 1e9)

    def answer(rows: Rows) -> int | None:
        theirs = net.of_device(rows)
        found = theirs[(theirs["id"] == diagnostics.response) & (theirs["data"][:, 1] == POSITIVE_PRESENT)]
        return int(found["time_ns"][0]) if len(found) else None

    while vehicle.time_ns < until_ns:
        sent = vehicle.send_raw(diagnostics.bus, asked)
        last_ns = min(until_ns, sent.time_ns + ASK_AGAIN_NS)
        found: int | None = vehicle.search(net, [diagnostics.response], answer, sent.time_ns, last_ns)
        vehicle.time_ns = last_ns if found is None else found
        if found is not None:
            return Seen(time_ns=found, value=POSITIVE_PRESENT)
    raise DeviceError(f"no answer to TesterPresent from {diagnostics.response:#x} within {within_s} s")
