"""The main for real time on a kernel's bus: a raw socket, its console on standard output. Protocol: docs/submit-an-image.md."""

import os
import select
import socket
import struct
import sys
import time

from .com import BRS, EXT, FD, RTR

FRAME = struct.Struct("=IBB2x")
CAN_RAW_FD_FRAMES = 5
CLASSIC_SIZE, FD_SIZE, DATA = 16, 72, 8
FDF = 4


def channel():
    """SHIPEI_CAN is "BUS=CHANNEL ...", with the buses that the ECU speaks, its first one first."""
    return os.environ["SHIPEI_CAN"].split()[0].partition("=")[2]


def run(core):
    """Until the core leaves (where to)."""
    bus = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    bus.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_FD_FRAMES, 1)
    bus.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    bus.bind((channel(),))
    core.start(time.monotonic_ns())
    frames = []
    while not core.leaves:
        sent, lines = core.step(time.monotonic_ns(), frames)
        for _, identifier, flags, data in sent:
            bus.send(packed(identifier, flags, data))
        for _, text in lines:
            sys.stdout.write(text + "\r\n")
            sys.stdout.flush()
        frames = []
        left_s = max(0.0, (core.due_ns - time.monotonic_ns()) / 1e9)
        readable = select.select([bus], [], [], left_s)[0]
        while readable:
            frames.append((time.monotonic_ns(), *unpacked(bus.recv(FD_SIZE))))
            readable = select.select([bus], [], [], 0)[0]
    return core.leaves


def packed(identifier, flags, data):
    """struct can_frame or canfd_frame of linux/can.h."""
    number = identifier | (socket.CAN_EFF_FLAG if flags & EXT else 0) | (socket.CAN_RTR_FLAG if flags & RTR else 0)
    head = FRAME.pack(number, len(data), (FDF | (1 if flags & BRS else 0)) if flags & FD else 0)
    return (head + data).ljust(FD_SIZE if flags & FD else CLASSIC_SIZE, b"\0")


def unpacked(raw):
    """(identifier, flags, data); the data of a remote frame stands for its length."""
    number, length, fd = FRAME.unpack_from(raw)
    flags = (EXT if number & socket.CAN_EFF_FLAG else 0) | (RTR if number & socket.CAN_RTR_FLAG else 0)
    if len(raw) == FD_SIZE:
        flags |= FD | (BRS if fd & 1 else 0)
    mask = socket.CAN_EFF_MASK if flags & EXT else socket.CAN_SFF_MASK
    return number & mask, flags, raw[DATA : DATA + length]
