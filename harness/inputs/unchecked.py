"""What a submission declares and no requirement can look at: counted and named in plan and certificate, so that nobody takes it for tested."""

import re
from collections.abc import Iterator, Mapping

from cantools.database.can import Message

from harness.can.decode import Codec
from harness.inputs.submission import Submitted
from harness.model import BusInterface, Submission

CHECKSUM = re.compile(r"crc|chk|check_?sum|chks", re.IGNORECASE)


def of(submitted: Submitted) -> Mapping[str, tuple[str, ...]]:
    """By what is lacking, the names of what lacks it, as BUS.MESSAGE or BUS.MESSAGE.SIGNAL; what nothing lacks is left out."""
    found: dict[str, list[str]] = {}
    for name, bus in submitted.submission.interface.buses.items():
        for what, which in on_bus(bus, submitted.codecs[name]):
            found.setdefault(what, []).append(f"{name}.{which}")
    if not read_back(submitted.submission):
        application = submitted.submission.combination.application
        found["version that nothing reads back"] = [f"{application.name}-{application.version}"]
    return {what: tuple(names) for what, names in found.items()}


def on_bus(bus: BusInterface, codec: Codec) -> Iterator[tuple[str, str]]:
    """What of one bus is not looked at, and why."""
    protected = {rule.message for rule in bus.e2e}
    otherwise = {one.message for one in bus.events} | ({bus.nm.message} if bus.nm else set())
    for message in codec.messages.values():
        if bus.node not in message.senders:
            if message.cycle_time and message.name not in protected and any(map(CHECKSUM.search, names(message))):
                yield "input with a checksum that no e2e entry lists", message.name
            continue
        if not message.cycle_time and message.name not in otherwise:
            yield "message without a cycle or an event", message.name
        for signal in message.signals:
            if not signal.choices and not ranged(signal.minimum, signal.maximum) and not CHECKSUM.search(signal.name):
                yield "signal without a range or a value table", f"{message.name}.{signal.name}"


def names(message: Message) -> list[str]:
    return [signal.name for signal in message.signals]


def ranged(low: float | None, high: float | None) -> bool:
    """A DBC writes no range as [0|0]."""
    return low is not None and high is not None and low < high


def read_back(submission: Submission) -> bool:
    """Whether a data identifier of the device tells what is claimed."""
    told = submission.interface.diagnostics
    return bool(told and told.identification)
