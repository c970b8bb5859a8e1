"""Vector decoding gives what cantools gives, on every layout that a DBC can describe."""

import cantools
import numpy as np
import pytest
from cantools.database import Signal
from cantools.database.can import Database, Message, Node
from cantools.database.conversion import BaseConversion
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from harness.can.decode import Codec
from harness.can.encode import layout
from harness.can.trace import ROW
from harness.paths import DBC
from harness.ports import EXT, FD

SIZES = (*range(1, 9), 12, 16, 20, 24, 32, 48, 64)


def bit_positions(start, length, big):
    if not big:
        return list(range(start, start + length))
    at = 8 * (start // 8) + 7 - start % 8
    return [8 * (p // 8) + 7 - p % 8 for p in range(at, at + length)]


@st.composite
def conversions(draw, is_float):
    scale = draw(st.sampled_from([1, 2, 0.5, 0.01, -1, 3, 0.1, 1e-3]))
    offset = draw(st.sampled_from([0, 0, -40, 1.5, 100, 0.1]))
    choices = draw(st.sampled_from([None, None, {0: "Off", 1: "On", 3: "Invalid"}])) if not is_float else None
    return BaseConversion.factory(scale, offset, choices, is_float)


@st.composite
def layouts(draw):
    """One message: signals that do not overlap, some multiplexed, classic or FD, both byte orders."""
    size = draw(st.sampled_from(SIZES))
    taken, signals = set(), []
    multiplexed = draw(st.booleans())
    if multiplexed:
        bits = draw(st.integers(1, 4))
        signals.append(
            Signal("Mux", 0, bits, "little_endian", conversion=BaseConversion.factory(), is_multiplexer=True)
        )
        taken.update(range(bits))
    for n in range(draw(st.integers(1, 8))):
        is_float = draw(st.booleans()) and size >= 2
        length = draw(st.sampled_from([16, 32, 64])) if is_float else draw(st.integers(1, 64))
        start, big = draw(st.integers(0, 8 * size - 1)), draw(st.booleans())
        positions = bit_positions(start, length, big)
        if max(positions) >= 8 * size or min(positions) < 0 or len(positions) != length or taken & set(positions):
            continue
        selected = multiplexed and draw(st.booleans())
        if not selected:
            taken.update(positions)
        elif taken & set(positions):
            continue
        signals.append(
            Signal(
                f"S{n}",
                start,
                length,
                "big_endian" if big else "little_endian",
                is_signed=draw(st.booleans()) and not is_float,
                conversion=draw(conversions(is_float)),
                multiplexer_ids=[draw(st.integers(0, 3))] if selected else None,
                multiplexer_signal="Mux" if selected else None,
            )
        )
    if not signals:
        signals = [Signal("S0", 0, 1, "little_endian", conversion=BaseConversion.factory())]
    extended = draw(st.booleans())
    return Message(0x123, "M", size, signals, is_extended_frame=extended, is_fd=size > 8, strict=False)


def rows_of(message, payloads):
    rows = np.zeros(len(payloads), ROW)
    rows["time_ns"] = np.arange(1, len(payloads) + 1)
    rows["id"] = message.frame_id
    rows["flags"] = (EXT if message.is_extended_frame else 0) | (FD if message.is_fd else 0)
    rows["length"] = message.length
    for row, payload in zip(rows, payloads, strict=True):
        row["data"][: message.length] = np.frombuffer(payload, np.uint8)
    return rows


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(layouts(), st.data())
def test_decodes_as_cantools_does(message, data):
    payloads = data.draw(st.lists(st.binary(min_size=message.length, max_size=message.length), min_size=1, max_size=6))
    database = Database([message], [Node("N")], strict=False)
    decoded = Codec(database).decode(rows_of(message, payloads))["M"]
    for n, payload in enumerate(payloads):
        try:
            expected = message.decode(payload, decode_choices=False)
            labelled = message.decode(payload, decode_choices=True)
        except cantools.database.DecodeError:  # a multiplexer value that selects nothing
            assume(len(payloads) > 1)
            continue
        present = {s for s, c in decoded.signals.items() if c.present is None or c.present[n]}
        assert present == set(expected)
        for name, value in expected.items():
            got = decoded.signals[name].values[n]
            assert got == value or (got != got and value != value), (name, got, value)
            assert (
                str(decoded.signals[name].labels()[n]) == str(labelled[name])
                or value != value
                or isinstance(value, float)
            )


def test_short_remote_and_error_frames_are_not_decoded():
    codec = Codec(cantools.database.load_file(DBC / "cockpit-a.dbc"))
    message = codec.messages["ClusterStatus"]
    rows = rows_of(message, [bytes(8)] * 4)
    rows["length"][0] = 7
    rows["flags"][1] |= 32
    rows["flags"][2] |= 64
    decoded = codec.message("ClusterStatus", rows)
    assert (decoded.index.tolist(), decoded.short) == ([3], 1)
    assert codec.decode(rows)["ClusterStatus"].index.tolist() == [3]


def test_the_same_number_as_standard_and_extended_are_two_messages():
    text = 'BO_ 5 A: 1 N\n SG_ V : 0|8@1+ (1,0) [0|0] "" N\nBO_ 2147483653 B: 1 N\n SG_ W : 0|8@1+ (1,0) [0|0] "" N\n'
    codec = Codec(cantools.database.load_string(text, "dbc"))
    rows = np.zeros(2, ROW)
    rows["id"], rows["length"], rows["flags"][1] = 5, 1, EXT
    rows["data"][:, 0] = [1, 2]
    decoded = codec.decode(rows)
    assert decoded["A"].signals["V"].values.tolist() == [1]
    assert decoded["B"].signals["W"].values.tolist() == [2]


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(layouts(), st.data())
def test_frame_by_frame_packing_is_what_cantools_does(message, data):
    assume(not any(s.conversion.is_float for s in message.signals))
    payload = data.draw(st.binary(min_size=message.length, max_size=message.length))
    try:
        expected = message.decode(payload, decode_choices=False)
    except cantools.database.DecodeError:
        reject()
    compiled = layout(message)
    for name, value in expected.items():
        exact = abs(value) < 1 << 53  # beyond, a float is rounded: by us after each step, by cantools once
        assert compiled.value(name, payload) == (float(value) if exact else pytest.approx(float(value), rel=1e-15))
    if all(abs(v) < 1 << 50 for v in expected.values()):  # beyond, a float no longer holds every raw value
        page = int(expected["Mux"]) if "Mux" in expected else None
        if page is None or page in compiled.pages:
            assert message.decode(compiled.pack(expected, page), decode_choices=False) == expected


def test_a_value_beyond_its_range_is_sent_as_the_nearest_that_fits():
    database = cantools.database.load_string('BO_ 1 M: 2 N\n SG_ V : 0|8@1- (0.5,0) [0|0] "" N\n', "dbc")
    compiled = layout(database.messages[0])
    assert compiled.value("V", compiled.pack({"V": 1000.0})) == 63.5
    assert compiled.value("V", compiled.pack({"V": -1000.0})) == -64.0
