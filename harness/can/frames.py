"""How long a CAN frame occupies the bus: every bit of it, stuff bits included (ISO 11898-1:2015, 10.4 and 10.5)."""

from functools import lru_cache

from harness.ports import BRS, EXT, FD, RTR

TAIL = 1 + 1 + 1 + 7 + 3  # CRC delimiter, ACK slot and delimiter, end of frame, intermission
DLC = {**{n: n for n in range(9)}, 12: 9, 16: 10, 20: 11, 24: 12, 32: 13, 48: 14, 64: 15}
RECOVERY_BITS = 128 * 11  # that a sender waits off the bus (ISO 11898-1:2015, 12.1.4.4)
ERROR_FRAME_BITS = 6 + 6 + 8 + 3  # flag, superposed flag, delimiter, intermission


def crc15(bits: str) -> int:
    """The CRC of classic CAN, polynomial 0x4599."""
    crc = 0
    for bit in bits:
        crc = ((crc << 1) ^ 0x4599 if (crc >> 14) ^ (bit == "1") else crc << 1) & 0x7FFF
    return crc


def stuff_bits(bits: str, until: int | None = None) -> int:
    """How many bits are stuffed into a bit string (those up to position `until`, where given).

    >>> stuff_bits("00000"), stuff_bits("000001111"), stuff_bits("0101")
    (1, 2, 0)
    """
    last, run, stuffed = "", 0, 0
    for position, bit in enumerate(bits):
        if until is not None and position == until:
            break
        run = run + 1 if bit == last else 1
        last = bit
        if run == 5:
            stuffed += 1
            last, run = ("1" if bit == "0" else "0"), 1
    return stuffed


def fd_length(length: int) -> int:
    """The next length that CAN FD can carry.

    >>> fd_length(9), fd_length(64)
    (12, 64)
    """
    return next(n for n in DLC if n >= length)


@lru_cache(maxsize=200_000)
def bit_counts(identifier: int, flags: int, data: bytes) -> tuple[int, int]:
    """(bits at the nominal rate, bits at the data rate) of one frame with its intermission.

    >>> bit_counts(0x555, 0, bytes([0x55] * 8))  # 111 bits and one stuff bit, in the CRC
    (112, 0)
    """
    remote = bool(flags & RTR)
    arbitration = f"0{identifier >> 18:011b}11{identifier & 262143:018b}" if flags & EXT else f"0{identifier:011b}"
    payload = "".join(f"{byte:08b}" for byte in data)
    if not flags & FD:
        control = f"{int(remote)}{'' if flags & EXT else '0'}{'00' if flags & EXT else '0'}{len(data):04b}"
        covered = arbitration + control + ("" if remote else payload)
        covered += f"{crc15(covered):015b}"
        return len(covered) + stuff_bits(covered) + TAIL, 0
    return fd_counts(arbitration, flags, data, payload)


def fd_counts(arbitration: str, flags: int, data: bytes, payload: str) -> tuple[int, int]:
    """CAN FD: RRS, IDE (base format), FDF, res, BRS; ESI, DLC, data, stuff count, CRC with fixed stuff bits."""
    head = arbitration + ("0" if flags & EXT else "00") + "10" + ("1" if flags & BRS else "0")
    covered = head + "0" + f"{DLC[len(data)]:04b}" + payload
    in_head = stuff_bits(covered, len(head))
    crc = 4 + (17 if len(data) <= 16 else 21)
    nominal = len(head) + in_head + TAIL
    fast = len(covered) - len(head) + stuff_bits(covered) - in_head + crc + -(-crc // 4)
    return (nominal, fast) if flags & BRS else (nominal + fast, 0)


def duration_ns(identifier: int, flags: int, data: bytes, bitrate: int, data_bitrate: int | None) -> int:
    """The time in ns that a frame and its intermission take."""
    nominal, fast = bit_counts(identifier, flags, data)
    return (nominal * 1_000_000_000) // bitrate + (fast * 1_000_000_000) // (data_bitrate or bitrate)
