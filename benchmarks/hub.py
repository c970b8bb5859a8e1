"""The hub beside python-can's udp_multicast and socketcand: round trip, throughput; and 70,000 frames/s from 8 senders."""

import logging
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import can
import numpy as np

from adapters.can_python import owned
from adapters.hub import running
from adapters.hub_bus import HubBus
from benchmarks import socketcand_server

ROUNDS, BURST = 2000, 20_000
SENDERS, RATE, SECONDS = 8, 70_000, 10
MULTICAST = {"interface": "udp_multicast", "channel": "239.74.163.2", "hop_limit": 0, "port": 43_217}


def measure():
    logging.getLogger("can").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "hub.sock") as hub:
        ours = {"interface": "shipei_hub", "channel": str(hub.path), "bus": "bench"}
        with socketcand_server.running() as port:
            peers = {
                "udp_multicast": MULTICAST,
                "socketcand": {"interface": "socketcand", "host": "127.0.0.1", "port": port, "channel": "can0"},
            }
            trips = {n: round_trip(b) for n, b in {"hub": ours, **peers}.items()}
            rates = {n: burst(b) for n, b in {"hub": ours, **peers}.items()}
        rows = []
        for peer in peers:
            rows.append(
                [
                    "hub: round trip between two processes, median",
                    f"{trips['hub']:.0f} us",
                    f"{peer} {trips[peer]:.0f} us",
                    f"{trips[peer] / trips['hub']:.1f}x",
                ]
            )
            lost = f", {rates[peer][1]} of {BURST} lost" if rates[peer][1] else ""
            rows.append(
                [
                    f"hub: one sender to one listener, {BURST} unpaced frames",
                    f"{rates['hub'][0]:,.0f} frames/s, {rates['hub'][1]} lost",
                    f"{peer} {rates[peer][0]:,.0f} frames/s{lost}",
                    f"{rates['hub'][0] / rates[peer][0]:.1f}x",
                ]
            )
        rows.append(eight_senders(ours, Path(name)))
    return rows


def echo(bus, ready):
    with can.Bus(**bus) as mine:
        ready.set()
        while (message := mine.recv(5)) is not None and message.arbitration_id != 0x7FF:
            if message.arbitration_id == 1:
                message.arbitration_id = 2
                mine.send(message)


def round_trip(bus):
    """Median microseconds from send to the answer of another process."""
    ready = multiprocessing.Event()
    child = multiprocessing.Process(target=echo, args=(bus, ready))
    child.start()
    trips = []
    with can.Bus(**bus) as mine:
        ready.wait(10)
        time.sleep(0.2)
        for _ in range(ROUNDS):
            start = time.perf_counter_ns()
            mine.send(can.Message(arbitration_id=1, is_extended_id=False, data=bytes(8)))
            while (got := mine.recv(1)) is not None and got.arbitration_id != 2:
                pass
            if got is not None:
                trips.append(time.perf_counter_ns() - start)
        mine.send(can.Message(arbitration_id=0x7FF, is_extended_id=False))
    child.join(10)
    child.terminate()
    return statistics.median(trips) / 1000


def send_burst(bus, start):
    with can.Bus(**bus) as mine:
        start.wait(10)
        for n in range(BURST):
            mine.send(can.Message(arbitration_id=3, is_extended_id=False, data=n.to_bytes(8, "big")))
        time.sleep(0.5)


def burst(bus):
    """(frames/s heard by a python-can listener in another process, frames lost)."""
    start = multiprocessing.Event()
    child = multiprocessing.Process(target=send_burst, args=(bus, start))
    with can.Bus(**bus) as mine:
        child.start()
        time.sleep(1.0)
        start.set()
        got, first, last = 0, None, None
        while got < BURST and (message := mine.recv(2)) is not None:
            if message.arbitration_id == 3:
                last = time.perf_counter()
                first = first or last
                got += 1
    child.join(10)
    child.terminate()
    return got / (last - first), BURST - got


def paced(bus, number, start):
    """One sender: its share of the frames in ticks of a millisecond, a python-can message at a time until it is due."""
    with HubBus(bus["channel"], bus=bus["bus"], listen=False) as mine:
        start.wait(20)
        begin, sent, total = time.monotonic(), 0, RATE * SECONDS // SENDERS
        while sent < total:
            due = min(total, int((time.monotonic() - begin) * RATE / SENDERS))
            for n in range(sent, due):
                mine.send(can.Message(arbitration_id=0x100 + number, is_extended_id=False, data=n.to_bytes(8, "big")))
            sent = due
            time.sleep(0.001)


def eight_senders(bus, folder):
    """Captured and written by the bus's owner while this process computes; every frame is accounted for."""
    start = multiprocessing.Event()
    children = [multiprocessing.Process(target=paced, args=(bus, n, start)) for n in range(SENDERS)]
    for child in children:
        child.start()
    time.sleep(1.5)
    with owned({**bus, "receive_own_messages": True}, "bench", folder / "trace.bin") as port:
        start.set()
        begin = time.monotonic()
        while any(c.is_alive() for c in children) and time.monotonic() - begin < 60:
            sum(range(100_000))  # a test thread that computes
        took = time.monotonic() - begin
        port.wait(1 << 60, time.monotonic_ns())
        rows = port.rows()
        for number in range(SENDERS):
            mine = rows[rows["id"] == 0x100 + number]
            counted = mine["data"][:, :8].copy().view(">u8")[:, 0]
            assert np.array_equal(counted, np.arange(RATE * SECONDS // SENDERS)), f"sender {number}: frames are missing"
        count = len(rows)
    return [
        f"hub: {SENDERS} senders, {RATE:,} frames/s for {SECONDS} s, captured to disk while the test computes",
        f"{count:,} of {RATE * SECONDS:,} frames in {took:.1f} s, {RATE * SECONDS - count} lost",
        "-",
        f"{count / took:,.0f} frames/s",
    ]
