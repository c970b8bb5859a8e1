"""A CAN adapter on a serial line, as LAWICEL's protocol has it: one line of text a command, one line a frame."""

from collections.abc import Callable

EXT, FD, BRS, RTR = 2, 4, 8, 32
RATES = dict(zip("012345678", (10, 20, 50, 100, 125, 250, 500, 800, 1000), strict=True))
DLC = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
OK, BELL = b"\r", b"\a"
KINDS = {"t": 0, "T": EXT, "r": RTR, "R": EXT | RTR, "d": FD, "D": EXT | FD, "b": FD | BRS, "B": EXT | FD | BRS}
Frame = tuple[int, int, bytes]  # id, flags, data


class Adapter:
    """`bus_bitrate` is what the bus runs at: an adapter set to another hears nothing and is not heard."""

    def __init__(self, bus_bitrate: int, answer: Callable[[bytes], None], send: Callable[[Frame], None]) -> None:
        self.bus_bitrate, self.answer, self.send = bus_bitrate, answer, send
        self.text = ""
        self.bitrate, self.opened, self.listens = 0, False, False
        self.errors = 0

    def heard(self, data: bytes) -> None:
        """Bytes from the bench."""
        self.text += data.decode("ascii", "replace")
        *lines, self.text = self.text.split("\r")
        for line in lines:
            self.answer(self.command(line) if line else OK)

    def command(self, line: str) -> bytes:
        kind, rest = line[0], line[1:]
        if kind == "S" and rest in RATES and not self.opened:
            self.bitrate = RATES[rest] * 1000
        elif kind in "OL":
            self.opened, self.listens = bool(self.bitrate), kind == "L"
            return OK if self.opened else BELL
        elif kind == "C":
            self.opened = False
        elif kind in "VN":
            return {"V": b"V1013\r", "N": b"NDESK\r"}[kind]
        elif kind == "F":
            return b"FA4\r" if self.errors else b"F00\r"
        elif kind in KINDS and self.opened and not self.listens:
            return self.frame(KINDS[kind], rest)
        elif kind not in "YsM":
            return BELL
        return OK

    def frame(self, flags: int, text: str) -> bytes:
        digits = 8 if flags & EXT else 3
        try:
            identifier, length = int(text[:digits], 16), DLC[int(text[digits], 16)]
            data = b"" if flags & RTR else bytes.fromhex(text[digits + 1 : digits + 1 + 2 * length])
        except (ValueError, IndexError):
            return BELL
        if self.bitrate == self.bus_bitrate:
            self.send((identifier, flags, data))
        else:
            self.errors += 1
        return b"z\r" if not flags & EXT else b"Z\r"

    def receive(self, frame: Frame) -> None:
        """A frame on the bus."""
        identifier, flags, data = frame
        if not self.opened:
            return
        if self.bitrate != self.bus_bitrate:
            self.errors += 1
            return
        kind = next(k for k, f in KINDS.items() if f == flags & (EXT | FD | BRS | RTR))
        digits = 8 if flags & EXT else 3
        payload = "" if flags & RTR else data.hex().upper()
        self.answer(f"{kind}{identifier:0{digits}X}{DLC.index(len(data)):X}{payload}\r".encode())
