"""Leave a bench safe, however it is left: a process that outlives its harness, even a killed one, and then switches everything safe.

python -m harness.bench.guard RIG_FILE MEMORY. On standard input: "safe" (answered with one JSON line) and "done"; when the input ends without
"done", whoever held the bench is dead. It holds the bench's lock until then.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from harness.errors import Fault
from harness.inputs import rig
from harness.record import write_json

LEFT = "left.json"  # in the rig's memory: how a bench was left that nobody closed
TRY_S = 15.0  # the dead harness's ports may take a moment to be free
PAUSE_S = 0.5


def make_safe(recipes: dict[str, Any], memory: Path, within_s: float = 0.0) -> dict[str, list[str]]:
    """Everything to its safe state: what was done, and what could not be done."""
    done, failed = [], []
    for name, recipe in recipes.items():
        deadline = time.monotonic() + within_s
        while True:
            try:
                done.append(f"{name}: {recipe.make_safe(memory)}")
                break
            except (Fault, OSError) as error:
                if time.monotonic() >= deadline:
                    failed.append(f"{name}: {error}")
                    break
                time.sleep(PAUSE_S)
    return {"done": done, "failed": failed}


def main(rig_file: Path, memory: Path) -> int:
    """Serve until told that all is done, or until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    recipes = rig.read(rig_file).switching
    print(json.dumps({"guards": list(recipes)}), flush=True)
    for line in sys.stdin:
        if line.strip() == "done":
            return 0
        print(json.dumps(make_safe(recipes, memory)), flush=True)
    left = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **make_safe(recipes, memory, TRY_S)}
    write_json(memory / LEFT, left)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
