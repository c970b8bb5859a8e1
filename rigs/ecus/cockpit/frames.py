"""Signals to bytes and back, by the layout table that the build takes from the DBC; and the E2E checksums."""


def crc_table(polynomial, width):
    table, top, mask = [], 1 << (width - 1), (1 << width) - 1
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


CRC8 = crc_table(0x1D, 8)
CRC16 = crc_table(0x1021, 16)


def crc8(data, value=0):
    """CRC-8 with the SAE-J1850 polynomial; profile 1 starts and ends it with 0x00."""
    for byte in data:
        value = CRC8[value ^ byte]
    return value


def crc16(data, value=0xFFFF):
    """CRC-16 CCITT-FALSE, as in AUTOSAR profile 5."""
    for byte in data:
        value = ((value << 8) & 0xFFFF) ^ CRC16[(value >> 8) ^ byte]
    return value


def p01_crc(data, data_id):
    """Profile 1, data id in both bytes: low, high, then everything behind the CRC."""
    return crc8(bytes((data_id & 0xFF, data_id >> 8)) + bytes(data[1:]))


def p05_crc(data, data_id):
    """Profile 5: everything behind the CRC, then the data id, low byte first."""
    return crc16(bytes(data[2:]) + bytes((data_id & 0xFF, data_id >> 8)))


class Message:
    """One message's layout: name -> (start, bits, big_endian, signed, scale, offset)."""

    def __init__(self, name, spec):
        self.name, self.id, self.extended = name, spec["id"], spec["extended"]
        self.length, self.cycle_ms, self.e2e = spec["length"], spec["cycle_ms"], spec.get("e2e")
        self.signals = {}
        for signal, (start, bits, big, signed, scale, offset) in spec["signals"].items():
            if big:  # from the sawtooth start bit to a shift in the big-endian number
                first = 8 * (start // 8) + 7 - start % 8
                start = 8 * self.length - first - bits
            self.signals[signal] = (start, (1 << bits) - 1, big, bits if signed else 0, scale, offset)

    def unpack(self, data):
        little, big = int.from_bytes(data, "little"), int.from_bytes(data[: self.length], "big")
        values = {}
        for name, (shift, mask, is_big, sign_bits, scale, offset) in self.signals.items():
            raw = ((big if is_big else little) >> shift) & mask
            if sign_bits and raw >> (sign_bits - 1):
                raw -= 1 << sign_bits
            values[name] = raw * scale + offset
        return values

    def pack(self, values):
        little = big = 0
        for name, value in values.items():
            shift, mask, is_big, _, scale, offset = self.signals[name]
            raw = round((value - offset) / scale) & mask
            if is_big:
                big |= raw << shift
            else:
                little |= raw << shift
        return bytearray(
            (little | int.from_bytes(big.to_bytes(self.length, "big"), "little")).to_bytes(self.length, "little")
        )
