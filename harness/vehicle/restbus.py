"""The restbus: what the bench sends in the place of everybody but the device, in its cycles and with its protection."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cantools.database import EncodeError

from harness.can import vss
from harness.can.decode import Codec
from harness.can.e2e import ring
from harness.errors import SuiteError
from harness.model import BusInterface, E2e, Value
from harness.ports import CanBus, Cycle
from harness.vehicle.bus_view import BusView

MS = 1_000_000


class Restbus(BusView):
    """A bus that the bench sends on: the messages that the others send there, with their present values."""

    def __init__(
        self, name: str, bus: CanBus, interface: BusInterface, codec: Codec, paths: Mapping[str, vss.Mapped]
    ) -> None:
        super().__init__(name, interface, codec, paths)
        self.bus = bus
        self.values: dict[str, dict[str, Any]] = {}
        self.changed: set[str] = set()

    def put(self, mapped: vss.Mapped, value: Value) -> None:
        """Set a signal by its VSS value."""
        if self.interface.node in self.codec.messages[mapped.message].senders:
            raise SuiteError(f"{mapped.path} is sent by the device itself; it cannot be set")
        labels = {str(v): k for k, v in mapped.to_vss.items()}
        self.present(mapped.message)[mapped.signal] = labels.get(str(value), value)
        self.changed.add(mapped.message)

    def present(self, message: str) -> dict[str, Any]:
        """A message's signal values as they are sent now."""
        return self.values.setdefault(message, self.start_values(message))

    def payload(self, message: str, page: int | None = None) -> bytes:
        """A message's bytes as it is sent now; one page of a multiplexed one."""
        found = self.codec.messages[message]
        values = {n: v for n, v in self.present(message).items() if page in (self.pages(message, n) or (page,))}
        values |= {s.name: page for s in found.signals if s.is_multiplexer and page is not None}
        try:
            return bytes(found.encode(values, strict=True))
        except (ValueError, KeyError, OverflowError, EncodeError) as error:
            raise SuiteError(f"{message} cannot carry {values}: {error}") from None

    def payloads(self, message: str, rule: E2e | None = None, step: int = 1) -> tuple[bytes, ...]:
        """What a cyclic sender of a message goes through now; by another protection than its own, or with longer steps."""
        pages = self.pages(message) or (None,)
        return ring(rule or self.rules.get(message), *(self.payload(message, page) for page in pages), step=step)

    def carrying(self, message: str, signals: Collection[str], payloads: Sequence[bytes]) -> Sequence[bytes]:
        """Those of a message's payloads in which one of these signals is."""
        pages = self.pages(message)
        on = {p for s in signals for p in self.pages(message, s) or pages}
        return [data for n, data in enumerate(payloads) if not pages or not on or pages[n % len(pages)] in on]

    def transmit(self, message: str, payloads: tuple[bytes, ...] | None = None) -> tuple[bytes, ...]:
        """Send a message in its cycle from now on; the payloads that go round."""
        found = self.codec.messages[message]
        payloads = payloads or self.payloads(message)
        period_ns = round((found.cycle_time or 100) * MS)
        self.bus.cycle(
            found.frame_id,
            Cycle(id=found.frame_id, period_ns=period_ns, payloads=payloads, flags=self.flags(message)),
        )
        return payloads

    def start(self) -> None:
        """Start the restbus with the DBC's start values."""
        for message in self.restbus():
            self.transmit(message.name)

    def reset(self) -> list[str]:
        """Back to start values; the cyclic messages that must be seen to change."""
        cyclic = {m.name for m in self.restbus()}
        changed = [m for m in sorted(self.changed) if m in cyclic]
        for message in self.changed:
            self.values.pop(message, None)
        self.changed.clear()
        return changed
