"""Measure each figure that the README claims beside its peer, in one run, and write benchmarks/README.md and both READMEs.

python -m benchmarks              everything but the loaded host, about ten minutes
python -m benchmarks decode hub   only these
python -m benchmarks loaded       20 + 20 real-time runs with both cores loaded by other processes, about half an hour
"""

import json
import os
import platform
import sys
from pathlib import Path

from benchmarks import (
    blf,
    campaign,
    console,
    cyclic,
    decode,
    driving,
    hub,
    loaded,
    overhead,
    publication,
    simulated,
    store,
    text_logs,
    vcan,
)

ROOT = Path(__file__).resolve().parents[1]
ALL = {
    "decode": decode.measure,
    "blf": blf.measure,
    "text_logs": text_logs.measure,
    "console": console.measure,
    "overhead": overhead.measure,
    "simulated": simulated.measure,
    "store": store.measure,
    "publication": publication.measure,
    "driving": driving.measure,
    "hub": hub.measure,
    "cyclic": cyclic.measure,
    "vcan": vcan.measure,
    "campaign": campaign.measure,
}
RESULTS = Path(__file__).parent / "results.json"


def main(chosen):
    known = {**ALL, "loaded": loaded.measure}
    unknown = [c for c in chosen if c not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in chosen or ALL:
        print(f"{name} ...", flush=True)
        results[name] = known[name]()
        for row in results[name]:
            print("  " + " | ".join(row), flush=True)
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    write(results)


def write(results):
    head = "| what | Shipei | peer | ratio |\n|---|---|---|---|\n"
    table = head + "".join(
        "| " + " | ".join(row) + " |\n" for name in (*ALL, "loaded") for row in results.get(name, ())
    )
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    page = Path(__file__).parent / "README.md"
    page.write_text(
        f"# Figures\n\nWritten by `make bench`; each row's two sides ran in one run on one machine ({machine}).\n\n{table}"
    )
    for name in ("README.md", "README.zh-CN.md"):
        file = ROOT / name
        before, rest = file.read_text(encoding="utf-8").split("<!-- figures -->\n")
        after = rest.split("<!-- /figures -->")[1]
        file.write_text(f"{before}<!-- figures -->\n{table}<!-- /figures -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
