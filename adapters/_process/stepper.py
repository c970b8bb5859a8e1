"""An item that runs in simulated time: its artefact as a child process behind a pipe (protocol: docs/submit-an-image.md).

Nothing of it is imported, and whatever it does on the pipe is bounded: sizes, counts, and the time it may take to answer.
"""

import signal
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from adapters._process.confine import Surroundings, begin
from harness.errors import DeviceError, RigError
from harness.processes import below

TIMEVAL = struct.Struct("@ll")
FRAME = struct.Struct("<qBIHB")
ANSWER_S = 5.0
START_S = 20.0
OBSERVED_S = 2.0  # how long a silent item is looked at: whether it has a CPU
STARVED = 4  # times as long as it ran it waited for one: the host's fault
MAX_ANSWER = 4_000_000
Sent = tuple[int, int, int, int, bytes]  # time_ns, bus number, id, flags, data


class Stepper:
    """One life of the item, `work`/artefact, from power-on to power-off."""

    def __init__(self, work: Path) -> None:
        self.line, theirs = socket.socketpair()  # and not pipes: the kernel can limit how long a read waits
        with theirs, (work / "stderr.txt").open("ab") as errors:
            own = Surroundings(work=work, told={"SHIPEI_STEPPER": "1"})
            self.item = begin(own, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors)
            self.child = self.item.child
        self.be_patient(START_S)

    def be_patient(self, seconds: float) -> None:
        """How long the item may take to answer."""
        self.patience_s = seconds
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.line.setsockopt(socket.SOL_SOCKET, option, TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6)))

    def step(self, limit_ns: int, frames: Sequence[Sent]) -> "Answer":
        """Let the item run up to limit_ns with these frames received."""
        parts = [struct.pack("<qH", limit_ns, len(frames))]
        for time_ns, bus, identifier, flags, data in frames:
            parts.append(FRAME.pack(time_ns, bus, identifier, flags, len(data)) + data)
        request = b"".join(parts)
        try:
            self.line.sendall(struct.pack("<I", len(request)) + request)
            answer = self.read()
        except BlockingIOError:
            raise self.silent() from None
        except (BrokenPipeError, ConnectionResetError):
            raise self.ended() from None
        if self.patience_s != ANSWER_S:
            self.be_patient(ANSWER_S)
        try:
            return parse(answer)
        except (struct.error, IndexError):
            raise DeviceError("the item's answer does not follow the stepper protocol") from None

    def read(self) -> bytes:
        """One answer; mostly it comes in one piece."""
        got, size, deadline = b"", 4, 0.0
        while len(got) < size:
            if got:  # it comes in pieces: all of them together have as long as one
                deadline = deadline or time.monotonic() + self.patience_s
                if time.monotonic() > deadline:
                    raise BlockingIOError
            chunk = self.line.recv(65536)
            if not chunk:
                raise self.ended()
            got += chunk
            if len(got) >= 4:
                size = 4 + int.from_bytes(got[:4], "little")
                if size > MAX_ANSWER:
                    raise DeviceError(f"the item's answer is {size} bytes long; {MAX_ANSWER} are allowed")
        if len(got) > size:
            raise DeviceError("the item's answer is longer than it says")
        return got[4:]

    def silent(self) -> DeviceError | RigError:
        """Why no answer came: an item that hangs runs or sleeps; one that mostly waits for a CPU is not the vendor's."""
        before = self.scheduled()
        time.sleep(OBSERVED_S)
        ran_ns, waited_ns = (b - a for a, b in zip(before, self.scheduled(), strict=True))
        if waited_ns > STARVED * ran_ns:
            return RigError(f"the item got {ran_ns / 1e6:.0f} ms of a CPU in {OBSERVED_S:g} s: the host is overloaded")
        return DeviceError(f"the item did not answer its stepper within {self.patience_s} s: it hangs")

    def scheduled(self) -> tuple[int, int]:
        """How long the item and all that it started have run, and how long its own threads waited for a CPU, in ns; nothing where the kernel does
        not say. What it waits for while others of its own run is its own doing.
        """
        ran_ns = waited_ns = 0
        for pid in {self.item.pid, self.child.pid, *below(self.child.pid)}:
            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with suppress(OSError, ValueError):  # it may end meanwhile
                    ran, waited, _ = thread.read_text(encoding="ascii").split()
                    ran_ns, waited_ns = ran_ns + int(ran), waited_ns + int(waited) * (pid == self.item.pid)
        return ran_ns, waited_ns

    def ended(self) -> DeviceError | RigError:
        """Why the pipe closed: an exit is the item's, and behind a fence so is every end; a SIGKILL from outside is not."""
        code = self.child.wait(timeout=5)
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return RigError(f"the item was killed from outside (signal {-code})")
        return DeviceError(f"the item ended by itself with code {code}")

    def kill(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(timeout=10)
        self.line.close()


class Answer(NamedTuple):
    """When the item wants to run next; when it does if a frame is received before; what it sent and said."""

    due_ns: int
    wake_ns: int
    sent: list[Sent]
    console: list[tuple[int, bytes]]


def parse(answer: bytes) -> Answer:
    """An answer from its bytes; raises struct.error or IndexError when it is not one."""
    due_ns, wake_ns, count = struct.unpack_from("<qqH", answer)
    offset, sent, console = 18, [], []
    for _ in range(count):
        time_ns, bus, identifier, flags, length = FRAME.unpack_from(answer, offset)
        offset += FRAME.size
        data = answer[offset : offset + length]
        if len(data) != length or length > 64:
            raise IndexError
        sent.append((time_ns, bus, identifier, flags, data))
        offset += length
    (chunks,) = struct.unpack_from("<H", answer, offset)
    offset += 2
    for _ in range(chunks):
        time_ns, size = struct.unpack_from("<qH", answer, offset)
        console.append((time_ns, answer[offset + 10 : offset + 10 + size]))
        offset += 10 + size
    return Answer(due_ns, wake_ns, sent, console)
