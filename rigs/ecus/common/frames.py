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


CRC8_2F = crc_table(0x2F, 8)


def reflected_table(polynomial):
    """Of a polynomial with its lowest bit first."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


CRC32 = reflected_table(0xC8DF352F)  # 0xF4ACFB13, as in AUTOSAR profile 4
CRC64 = reflected_table(0xC96C5795D7870F42)  # ECMA-182, as in AUTOSAR profile 7


def reflected(table, data, width):
    value = ones = (1 << width) - 1
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value ^ ones


def crc8_2f(data, value=0xFF):
    """CRC-8 with the polynomial 0x2F, as in AUTOSAR profile 2."""
    for byte in data:
        value = CRC8_2F[value ^ byte]
    return value ^ 0xFF


class P01:
    """CRC in byte 0, counter in the low nibble of byte 1, data id in both bytes: low, high, then everything behind the CRC."""

    period = 15

    @staticmethod
    def crc(data, rule):
        data_id = rule["data_id"]
        return crc8(bytes((data_id & 0xFF, data_id >> 8)) + bytes(data[1:]))

    @classmethod
    def holds(cls, data, rule):
        return cls.crc(data, rule) == data[0]

    @staticmethod
    def counter(data):
        return data[1] & 0x0F

    @classmethod
    def protect(cls, data, rule, counter):
        data[1] = data[1] & 0xF0 | counter
        data[0] = cls.crc(data, rule)


class P02(P01):
    """As profile 1, with its own polynomial and one of sixteen data ids, by the counter, behind the data."""

    period = 16

    @staticmethod
    def crc(data, rule):
        return crc8_2f(bytes(data[1:]) + bytes((rule["data_ids"][data[1] & 0x0F],)))


class P05:
    """CRC-16 in bytes 0 and 1, counter in byte 2; the data id behind the data, low byte first."""

    period = 256

    @staticmethod
    def crc(data, rule):
        data_id = rule["data_id"]
        return crc16(bytes(data[2:]) + bytes((data_id & 0xFF, data_id >> 8)))

    @classmethod
    def holds(cls, data, rule):
        return cls.crc(data, rule) == int.from_bytes(data[0:2], "little")

    @staticmethod
    def counter(data):
        return data[2]

    @classmethod
    def protect(cls, data, rule, counter):
        data[2] = counter
        data[0:2] = cls.crc(data, rule).to_bytes(2, "little")


class P06:
    """CRC-16 in bytes 0 and 1, length in 2 and 3, counter in 4, all big-endian; the data id behind the data, high byte first."""

    period = 256

    @staticmethod
    def crc(data, rule):
        return crc16(bytes(data[2:]) + rule["data_id"].to_bytes(2, "big"))

    @classmethod
    def holds(cls, data, rule):
        return cls.crc(data, rule).to_bytes(2, "big") == data[0:2] and int.from_bytes(data[2:4], "big") == len(data)

    @staticmethod
    def counter(data):
        return data[4]

    @classmethod
    def protect(cls, data, rule, counter):
        data[2:4], data[4] = len(data).to_bytes(2, "big"), counter
        data[0:2] = cls.crc(data, rule).to_bytes(2, "big")


class P04:
    """Length, counter, data id and CRC-32 in bytes 0, 2, 4 and 8, all big-endian."""

    period = 1 << 16

    @staticmethod
    def crc(data):
        return reflected(CRC32, bytes(data[:8]) + bytes(data[12:]), 32)

    @classmethod
    def holds(cls, data, rule):
        ours = int.from_bytes(data[0:2], "big") == len(data) and int.from_bytes(data[4:8], "big") == rule["data_id"]
        return ours and cls.crc(data) == int.from_bytes(data[8:12], "big")

    @staticmethod
    def counter(data):
        return int.from_bytes(data[2:4], "big")

    @classmethod
    def protect(cls, data, rule, counter):
        data[0:2], data[2:4] = len(data).to_bytes(2, "big"), counter.to_bytes(2, "big")
        data[4:8] = rule["data_id"].to_bytes(4, "big")
        data[8:12] = cls.crc(data).to_bytes(4, "big")


class P07:
    """CRC-64, length, counter and data id in bytes 0, 8, 12 and 16, all big-endian."""

    period = 1 << 32

    @staticmethod
    def crc(data):
        return reflected(CRC64, bytes(data[8:]), 64)

    @classmethod
    def holds(cls, data, rule):
        ours = int.from_bytes(data[8:12], "big") == len(data) and int.from_bytes(data[16:20], "big") == rule["data_id"]
        return ours and cls.crc(data) == int.from_bytes(data[0:8], "big")

    @staticmethod
    def counter(data):
        return int.from_bytes(data[12:16], "big")

    @classmethod
    def protect(cls, data, rule, counter):
        data[8:12], data[12:16] = len(data).to_bytes(4, "big"), counter.to_bytes(4, "big")
        data[16:20] = rule["data_id"].to_bytes(4, "big")
        data[0:8] = cls.crc(data).to_bytes(8, "big")


class P11(P01):
    """As profile 1, with the data id in both bytes."""


E2E = {"P01": P01, "P02": P02, "P04": P04, "P05": P05, "P06": P06, "P07": P07, "P11": P11}


class Message:
    """One message's layout; its signals go by their role in the core, whatever the matrix calls them.

    In a multiplexed message, `selector` names the signal that says which page the rest is; pages are sent in turn.
    """

    def __init__(self, spec):
        self.name, self.id, self.extended, self.fd = spec["name"], spec["id"], spec["extended"], spec["fd"]
        self.length, self.cycle_ms, self.e2e = spec["length"], spec["cycle_ms"], spec["e2e"]
        self.selector, self.page = spec["selector"], 0
        self.signals = {}
        for signal in spec["signals"]:
            start, bits = signal["start"], signal["bits"]
            if signal["big"]:  # from the sawtooth start bit to a shift in the big-endian number
                start = 8 * self.length - (8 * (start // 8) + 7 - start % 8) - bits
            self.signals[signal["role"]] = (
                *(start, (1 << bits) - 1, signal["big"], bits if signal["signed"] else 0),
                *(signal["scale"], signal["offset"], signal["page"]),
            )
        self.pages = self.declared = sorted({s[6] for s in self.signals.values() if s[6] is not None})

    def leave_out(self, pages, besides):
        """Go round without some pages, and with some that are not declared."""
        if self.declared:
            self.pages = sorted({*self.declared, *besides} - set(pages))

    def unpack(self, data):
        little, big = int.from_bytes(data, "little"), int.from_bytes(data[: self.length], "big")
        values, page = {}, None
        if self.selector is not None:
            shift, mask, is_big = self.signals[self.selector][:3]
            page = ((big if is_big else little) >> shift) & mask
        for name, (shift, mask, is_big, sign_bits, scale, offset, on_page) in self.signals.items():
            if on_page is not None and on_page != page:
                continue
            raw = ((big if is_big else little) >> shift) & mask
            if sign_bits and raw >> (sign_bits - 1):
                raw -= 1 << sign_bits
            values[name] = raw * scale + offset
        return values

    def pack(self, roles, now):
        """The message from the functions of its roles; what has none stays 0 (what the protection fills in)."""
        little = big = 0
        page = self.pages[self.page % len(self.pages)] if self.pages else None
        self.page += 1
        for name, (shift, mask, is_big, _, scale, offset, on_page) in self.signals.items():
            if on_page is not None and on_page != page:
                continue
            if name == self.selector:
                raw = page
            elif name in roles:
                raw = round((roles[name](now) - offset) / scale) & mask
            else:
                continue
            if is_big:
                big |= raw << shift
            else:
                little |= raw << shift
        size = self.length
        return bytearray((little | int.from_bytes(big.to_bytes(size, "big"), "little")).to_bytes(size, "little"))
