"""python -m shipei.desk FOLDER [--bus body --request 0x7A0 --response 0x7A8 --padding 0xCC --bitrate 500000 --slots 2 --extended]"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from adapters.hub import running
from rigs.desk import desk


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m shipei.desk", description="A simulated bench with everything on it."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bus", default="body")
    for name, default in (("request", "0x7A0"), ("response", "0x7A8"), ("padding", "0xCC")):
        parser.add_argument(f"--{name}", type=lambda text: int(text, 0), default=int(default, 0))
    parser.add_argument("--bitrate", type=int, default=500_000)
    parser.add_argument("--slots", type=int, choices=(1, 2), default=2)
    parser.add_argument("--extended", action="store_true")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    diagnostics = {k: getattr(given, k) for k in ("bus", "request", "response", "padding", "extended")} | {"fd": False}
    with running(given.folder / "hub.sock") as hub:
        loop = asyncio.new_event_loop()
        task = loop.create_task(desk.run(given.folder.resolve(), hub.path, diagnostics, given.bitrate, given.slots))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
