"""End-to-end protection of frames: AUTOSAR PRS_E2EProtocol profiles, computed by the autosar-e2e library."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from e2e import p01, p02, p04, p05, p06, p07, p11

from harness.errors import given
from harness.model import E2e

PERIOD = {"P01": 15, "P02": 16, "P04": 1 << 16, "P05": 256, "P06": 256, "P07": 1 << 32, "P11": 15}  # counter values
LONGEST_RING = 256  # payloads that a cyclic sender goes through; the kernel's broadcast manager takes no more
COUNTER_BYTES = {"P04": slice(2, 4), "P05": slice(2, 3), "P06": slice(4, 5), "P07": slice(12, 16)}
HEADER_BYTES = {"P01": 2, "P02": 2, "P04": 12, "P05": 3, "P06": 5, "P07": 20, "P11": 2}
WIDE_IDS = ("P04", "P07")  # their data id has 32 bits
PROTECT = {
    "P01": p01.e2e_p01_protect, "P04": p04.e2e_p04_protect, "P05": p05.e2e_p05_protect, "P06": p06.e2e_p06_protect,
    "P07": p07.e2e_p07_protect, "P11": p11.e2e_p11_protect,
}  # fmt: skip
CHECK = {
    "P01": p01.e2e_p01_check, "P04": p04.e2e_p04_check, "P05": p05.e2e_p05_check, "P06": p06.e2e_p06_check,
    "P07": p07.e2e_p07_check, "P11": p11.e2e_p11_check,
}  # fmt: skip


def protect(rule: E2e, payload: bytes, counter: int) -> bytes:
    """The payload with the given counter and the CRC that belongs to it.

    >>> protect(E2e(message="M", profile="P01", data_id=0x123), bytes(8), 3).hex()
    '2b03000000000000'
    >>> protect(E2e(message="M", profile="P04", data_id=0x0A0B0C0D), bytes(16), 1)[:8].hex()
    '001000010a0b0c0d'
    """
    data = bytearray(payload)
    counter %= PERIOD[rule.profile]
    place = COUNTER_BYTES.get(rule.profile)
    if place is None:
        data[1] = (data[1] & 0xF0) | counter
    else:
        data[place] = counter.to_bytes(place.stop - place.start, "big")
    if rule.profile == "P02":
        p02.e2e_p02_protect(data, bytes(rule.data_ids), increment_counter=False)
    else:
        PROTECT[rule.profile](data, data_id(rule), increment_counter=False, **whole(rule, data))
    return bytes(data)


def check(rule: E2e, payload: bytes) -> bool:
    """Whether the CRC belongs to the payload."""
    data = bytearray(payload)
    if len(data) < HEADER_BYTES[rule.profile] or counter(rule, data) >= PERIOD[rule.profile]:
        return False
    if rule.profile == "P02":
        return bool(p02.e2e_p02_check(data, bytes(rule.data_ids)))
    return bool(CHECK[rule.profile](data, data_id(rule), **whole(rule, data)))


def whole(rule: E2e, data: bytearray) -> dict[str, int]:
    """What profile 6 must be told: that all of the frame is protected."""
    return {"length": len(data)} if rule.profile == "P06" else {}


def counter(rule: E2e, payload: bytes | bytearray) -> int:
    """The counter that a payload carries."""
    place = COUNTER_BYTES.get(rule.profile)
    return payload[1] & 0x0F if place is None else int.from_bytes(payload[place], "big")


def ring(rule: E2e | None, *payloads: bytes, step: int = 1) -> tuple[bytes, ...]:
    """Every payload that a cyclic sender goes through: the pages of a multiplexed message in turn, each counter value with each.

    `step` is what the counter goes up by from one to the next.
    """
    if rule is None:
        return payloads
    length = math.lcm(PERIOD[rule.profile], len(payloads))
    return tuple(protect(rule, payloads[n % len(payloads)], n * step) for n in range(length))


def jumps(rule: E2e, payloads: Sequence[bytes]) -> int:
    """How often a counter did not go up by exactly one from one frame to the next."""
    counters = [counter(rule, p) for p in payloads]
    return sum((b - a) % PERIOD[rule.profile] != 1 for a, b in itertools.pairwise(counters))


def data_id(rule: E2e) -> int:
    return given(rule.data_id)  # submission.load refuses anything else


def masquerade(rule: E2e, rules: Sequence[E2e]) -> E2e:
    """The same protection with the data id of another message, where there is one of the same profile; with its neighbour otherwise.

    >>> one = E2e(message="A", profile="P01", data_id=0x101)
    >>> masquerade(one, [one, E2e(message="B", profile="P01", data_id=0x110)]).data_id, masquerade(one, [one]).data_id
    (272, 256)
    """
    for other in rules:
        if other.profile == rule.profile and other.message != rule.message:
            return dataclasses.replace(rule, data_id=other.data_id, data_ids=other.data_ids)
    if rule.profile == "P02":
        return dataclasses.replace(rule, data_ids=tuple(i ^ 1 for i in rule.data_ids))
    return dataclasses.replace(rule, data_id=data_id(rule) ^ 1)
