"""End-to-end protection: the published check values, every profile round trip, and an independent implementation."""

import importlib.util
import itertools
import os

import pytest
from e2e import crc

from harness.can.e2e import PERIOD, check, counter, jumps, masquerade, protect, ring
from harness.model import E2e
from harness.paths import ECUS

RULES = [
    E2e(message="M", profile="P01", data_id=0x123),
    E2e(message="M", profile="P02", data_ids=tuple(range(16))),
    E2e(message="M", profile="P05", data_id=0x1234),
    E2e(message="M", profile="P11", data_id=0x123),
]


def test_the_checksums_give_their_published_check_values():
    text = b"123456789"
    assert crc.calculate_crc8(text, 0xFF, True) == 0x4B
    assert crc.calculate_crc8_h2f(text, 0xFF, True) == 0xDF
    assert crc.calculate_crc16(text, 0xFFFF, True) == 0x29B1


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.profile)
def test_a_ring_is_right_in_every_frame_and_any_flipped_bit_is_found(rule):
    frames = ring(rule, bytes(range(8)))
    assert len(frames) == PERIOD[rule.profile] == len(set(frames))
    assert all(check(rule, f) for f in frames)
    assert [counter(rule, f) for f in frames] == list(range(PERIOD[rule.profile]))
    assert jumps(rule, [*frames, frames[0]]) == 0
    assert jumps(rule, [frames[0], frames[2], frames[2]]) == 2
    for bit in range(64):
        flipped = bytearray(frames[3])
        flipped[bit // 8] ^= 1 << bit % 8
        assert not check(rule, bytes(flipped)), bit


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.profile)
def test_a_frame_that_is_too_short_or_masquerades_is_wrong(rule):
    assert not check(rule, b"\0")
    other = E2e(message="M", profile=rule.profile, data_id=0x777, data_ids=tuple(range(1, 17)))
    assert not check(other, protect(rule, bytes(8), 3))


@pytest.mark.parametrize(("profile", "bits"), [("P04", 16), ("P06", 8), ("P07", 32)])
def test_the_profiles_with_long_headers(profile, bits):
    """Length, counter, data id and CRC stand in the frame, big-endian (AUTOSAR PRS_E2EProtocol, profiles 4, 6 and 7)."""
    rule = E2e(message="M", profile=profile, data_id=0x0A0B)
    last = (1 << bits) - 1
    frames = [protect(rule, bytes(range(24)), n) for n in (0, 1, last, last + 1)]
    assert [counter(rule, f) for f in frames] == [0, 1, last, 0]
    assert all(check(rule, f) for f in frames)
    assert jumps(rule, frames[:2]) == 0
    assert jumps(rule, frames[2:]) == 0
    assert not check(masquerade(rule, [rule]), frames[0])
    for bit in range(8 * 24):
        flipped = bytearray(frames[1])
        flipped[bit // 8] ^= 1 << bit % 8
        assert not check(rule, bytes(flipped)), bit


def test_a_ring_with_longer_steps_goes_round_too():
    for rule in RULES:
        frames = ring(rule, bytes(8), step=3)
        counters = [counter(rule, f) for f in (*frames, frames[0])]
        assert {(b - a) % PERIOD[rule.profile] for a, b in itertools.pairwise(counters)} == {3}
        assert all(check(rule, f) for f in frames)


def test_counter_15_is_forbidden_in_profile_1():
    assert not check(RULES[0], bytes([0, 0x0F, 0, 0]))


def test_the_reference_ecus_own_checksums_agree():
    spec = importlib.util.spec_from_file_location("frames", ECUS / "common" / "frames.py")
    frames = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(frames)
    wide = [E2e(message="M", profile=p, data_id=0x0A0B) for p in ("P04", "P06", "P07")]
    assert set(frames.E2E) == set(PERIOD)
    for n in range(200):
        for rule in (*RULES, *wide):
            payload = os.urandom(24 if rule in wide else 8)
            theirs, fields = bytearray(payload), {"data_id": rule.data_id, "data_ids": rule.data_ids}
            frames.E2E[rule.profile].protect(theirs, fields, n % frames.E2E[rule.profile].period)
            assert bytes(theirs) == protect(rule, payload, n)
            assert frames.E2E[rule.profile].holds(theirs, fields)
