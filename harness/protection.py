"""End-to-end protection of frames: AUTOSAR PRS_E2EProtocol profiles, computed by the autosar-e2e library."""

import itertools
import math
from collections.abc import Sequence

from e2e import p01, p02, p05, p11

from harness.interface import E2e

PERIOD = {"P01": 15, "P02": 16, "P05": 256, "P11": 15}  # how many counter values a profile goes through
HEADER_BYTES = {"P01": 2, "P02": 2, "P05": 3, "P11": 2}


def protect(rule: E2e, payload: bytes, counter: int) -> bytes:
    """The payload with the given counter and the CRC that belongs to it.

    >>> protect(E2e(message="M", profile="P01", data_id=0x123), bytes(8), 3).hex()
    '2b03000000000000'
    """
    data = bytearray(payload)
    counter %= PERIOD[rule.profile]
    if rule.profile == "P05":
        data[2] = counter
        p05.e2e_p05_protect(data, data_id(rule), increment_counter=False)
    else:
        data[1] = (data[1] & 0xF0) | counter
        if rule.profile == "P01":
            p01.e2e_p01_protect(data, data_id(rule), increment_counter=False)
        elif rule.profile == "P11":
            p11.e2e_p11_protect(data, data_id(rule), increment_counter=False)
        else:
            p02.e2e_p02_protect(data, bytes(rule.data_ids), increment_counter=False)
    return bytes(data)


def check(rule: E2e, payload: bytes) -> bool:
    """Whether the CRC belongs to the payload."""
    data = bytearray(payload)
    if len(data) < HEADER_BYTES[rule.profile] or counter(rule, data) >= PERIOD[rule.profile]:
        return False
    if rule.profile == "P05":
        return bool(p05.e2e_p05_check(bytes(data), data_id(rule)))
    if rule.profile == "P01":
        return bool(p01.e2e_p01_check(data, data_id(rule)))
    if rule.profile == "P11":
        return bool(p11.e2e_p11_check(data, data_id(rule)))
    return bool(p02.e2e_p02_check(data, bytes(rule.data_ids)))


def counter(rule: E2e, payload: bytes | bytearray) -> int:
    """The counter that a payload carries."""
    return payload[2] if rule.profile == "P05" else payload[1] & 0x0F


def ring(rule: E2e | None, *payloads: bytes) -> tuple[bytes, ...]:
    """Every payload that a cyclic sender goes through: the pages of a multiplexed message in turn, each counter value with each."""
    if rule is None:
        return payloads
    length = math.lcm(PERIOD[rule.profile], len(payloads))
    return tuple(protect(rule, payloads[n % len(payloads)], n) for n in range(length))


def jumps(rule: E2e, payloads: Sequence[bytes]) -> int:
    """How often a counter did not go up by exactly one from one frame to the next."""
    counters = [counter(rule, p) for p in payloads]
    return sum((b - a) % PERIOD[rule.profile] != 1 for a, b in itertools.pairwise(counters))


def data_id(rule: E2e) -> int:
    assert rule.data_id is not None  # submission.load refuses anything else
    return rule.data_id
