"""The main for simulated time: a request on standard input, an answer on standard output, until the pipe closes.

Request: u32 size, then i64 limit_ns, u16 number of frames, the frames. Answer: u32 size, then i64 next due time, i64 next
due time if a frame is received before, u16 number of frames, the frames, u16 number of console chunks, the chunks (i64 time_ns, u16 size, bytes). A frame: i64 time_ns, u8 bus,
u32 id, u16 flags (2 extended, 4 FD, 8 bit rate switch, 32 remote), u8 length, data. Little-endian throughout.
"""

import struct
import sys

FRAME = struct.Struct("<qBIHB")


def run(core):
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    started = False
    while head := source.read(4):
        body = source.read(struct.unpack("<I", head)[0])
        limit_ns, count = struct.unpack_from("<qH", body)
        offset, frames = 10, []
        for _ in range(count):
            time_ns, _, identifier, flags, length = FRAME.unpack_from(body, offset)
            offset += FRAME.size
            frames.append((time_ns, identifier, flags, body[offset : offset + length]))
            offset += length
        if not started:
            core.start(limit_ns)
            started = True
        if core.leaves:  # a reset
            core.start(limit_ns)
        sent, lines = core.step(limit_ns, frames)
        parts = [struct.pack("<qqH", core.due_ns, core.tick_ns, len(sent))]
        for time_ns, identifier, flags, data in sent:
            parts.append(FRAME.pack(time_ns, 0, identifier, flags, len(data)) + data)
        parts.append(struct.pack("<H", len(lines)))
        for time_ns, text in lines:
            raw = text.encode() + b"\r\n"
            parts.append(struct.pack("<qH", time_ns, len(raw)) + raw)
        answer = b"".join(parts)
        sink.write(struct.pack("<I", len(answer)) + answer)
        sink.flush()
