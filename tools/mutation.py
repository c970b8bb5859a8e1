"""Certify every defective build and twin of the reference ECUs; write who catches whom into docs/mutants.md and mutants.json.

python -m tools.mutation [LINE...]: resumes where it was stopped; what has a result for the same inputs is not run again.
"""

import ast
import hashlib
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import SimpleQueue
from pathlib import Path

import yaml
from rich.progress import track

from harness import certify, plan, shape
from harness.model import Outcome
from harness.paths import DBC, ECUS, REGISTRY, RIGS, ROOT, SUITES
from rigs.ecus import build

LINES = ("cockpit", "driving_assistance")
TABLE, PAGE = ROOT / "docs" / "mutants.json", ROOT / "docs" / "mutants.md"
RIG = RIGS / "sim.yaml"
KEPT = ROOT / "runs" / "mutants"
ELSEWHERE = ("defects.yaml", "requirements.yaml")  # beside each result; in the plan
ENTRIES = ("harness/pytest_plugin.py", "harness/judge.py", "harness/run.py")


def defects(line):
    return yaml.safe_load((ECUS / line / "defects.yaml").read_text(encoding="utf-8"))


def cases(line):
    """Name -> (constants, the requirements that must fail), the reference first."""
    found = {"reference": ({}, [])}
    for one in defects(line):
        shared = one.get("with", {})
        found[one["name"]] = ({**shared, one["constant"]: one["defect"]}, sorted(one["fails"]))
        if "twin" in one:
            found[f"{one['name']}, twin"] = ({**shared, one["constant"]: one["twin"]}, [])
    return found


# ---------------------------------------------------------------- what a result depends on


def modules():
    """The modules of ours that a simulated verdict goes through: what the entries and the rig name, and what that imports."""
    ports = yaml.safe_load(RIG.read_text(encoding="utf-8"))["ports"].values()
    adapters = {ROOT / (port["use"].partition(":")[0].replace(".", "/") + ".py") for port in ports}
    waiting = [ROOT / e for e in ENTRIES] + sorted(adapters)
    found = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            waiting += [p for n in names if (p := ROOT / (n.replace(".", "/") + ".py")).is_file()]
    return sorted(p for p in found if p.is_relative_to(ROOT / "harness") or p.is_relative_to(ROOT / "adapters"))


def digest(line):
    """One digest of everything that a line's results depend on, but for the constants of each build: those are kept beside it.

    Of requirements and profiles, what is planned for the line.
    """
    files = [*modules(), RIG, ECUS / "build.py", *sorted(REGISTRY.glob("*.yaml")), *sorted(DBC.glob("*"))]
    for folder in (ECUS / "common", ECUS / line, SUITES / "common", SUITES / line):
        files += sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml") and p.name not in ELSEWHERE)
    found = hashlib.sha256(planned(line))
    for file in files:
        if file.is_file():
            found.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


@cache
def planned(line):
    """The requirements of a line's plan, every figure of them settled."""
    with tempfile.TemporaryDirectory(prefix="shipei-mutant-") as folder:
        made = plan.make(build.build(Path(folder) / "submission", ecu=f"{line}-a"), RIG)
    limits = [made.limit_s, made.ready_s, made.effort]
    return json.dumps([shape.dump(made.requirements), limits], sort_keys=True).encode()


# ---------------------------------------------------------------- certify


def outcome_of(line, name):
    """Build, certify, say: decision, the requirements that did not pass with their outcomes, faults."""
    constants, _ = cases(line)[name]
    with tempfile.TemporaryDirectory(prefix="shipei-mutant-") as folder:
        built = build.build(Path(folder) / "submission", constants, ecu=f"{line}-a")
        verdict = certify.certify(built, "sim", Path(folder) / "runs").verdict
    others = {j.requirement: j.outcome.value for j in verdict.requirements if j.outcome is not Outcome.PASS}
    found = {"decision": verdict.decision.value, "others": dict(sorted(others.items())), "faults": list(verdict.faults)}
    return {"constants": constants, **found}


def short(constants):
    """A build's constants as a part of a file's name."""
    return hashlib.sha256(json.dumps(constants, sort_keys=True).encode()).hexdigest()[:8]


def have_a_cpu(cpus):
    """In a worker: one for itself and its item, so that no two share one while another idles."""
    cpu = cpus.get()
    if sys.platform == "linux" and cpu in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {cpu})


def results(line, names):
    """The results of some cases, from the last time where nothing that they depend on has changed since."""
    folder = KEPT / digest(line)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{line}-{name.replace(', ', '-')}-{short(cases(line)[name][0])}.json" for name in names}
    missing = [name for name, file in files.items() if not file.is_file()]
    cpus = SimpleQueue()
    for cpu in range(os.cpu_count()):
        cpus.put(cpu)
    with ProcessPoolExecutor(os.cpu_count(), initializer=have_a_cpu, initargs=(cpus,)) as pool:
        running = {pool.submit(outcome_of, line, name): name for name in missing}
        for future in track(as_completed(running), line, len(running), disable=not sys.stderr.isatty()):
            part = files[running[future]].with_suffix(".part")
            part.write_text(json.dumps(future.result()), encoding="utf-8")
            part.replace(files[running[future]])
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}


# ---------------------------------------------------------------- the table


def page(table):
    """The table for people: a row a build, and for every requirement the builds that it catches."""
    out = ["# Defective builds, and who catches them", ""]
    out += [
        "Each build of a reference ECU differs in one constant, by about the smallest amount that breaks a limit; a twin just inside the",
        "limit must be certified. Generated by `make mutants` in simulated time; CI checks that nothing it depends on has changed since,",
        "and certifies a part of them again that changes from day to day.",
        "",
    ]
    for line, found in table.items():
        told = {d["name"]: d for d in defects(line)}
        out += [
            f"## {line.replace('_', ' ')}",
            "",
            f"inputs `{found['inputs'][:16]}`, {len(found['results'])} builds",
            "",
        ]
        out += ["| build | constant | defect | fails, exactly | twin | twin is |", "|---|---|---|---|---|---|"]
        for name, d in told.items():
            result, twin = found["results"][name], found["results"].get(f"{name}, twin")
            fails = ", ".join(f"{r}" + ("" if o == "fail" else f" ({o})") for r, o in result["others"].items())
            defect, inside = (f"`{d[k]}`".replace("|", "\\|") if k in d else "" for k in ("defect", "twin"))
            out.append(
                f"| {name} | `{d['constant']}` | {defect} | {fails} | {inside} | {twin['decision'] if twin else ''} |"
            )
        out += ["", "| requirement | catches |", "|---|---|"]
        caught = {}
        for name in told:
            for requirement in found["results"][name]["others"]:
                caught.setdefault(requirement, []).append(name)
        out += [f"| {r} | {', '.join(names)} |" for r, names in sorted(caught.items())]
        out.append("")
    return "\n".join(out)


def unexpected(line, found):
    """Where a result is not what the defects' file says."""
    for name, (constants, fails) in cases(line).items():
        result = found[name]
        if result["constants"] != constants:
            yield f"{line}: {name}: the result is of {result['constants']}, not of {constants}"
        wanted = dict.fromkeys(fails, "fail")
        if result["others"] != wanted or result["faults"]:
            yield f"{line}: {name}: expected {wanted}, got {result['others']} {result['faults']}"


def main(lines):
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    wrong = []
    for line in lines:
        found = results(line, list(cases(line)))
        table[line] = {"inputs": digest(line), "results": found}
        wrong += unexpected(line, found)
    table = {line: table[line] for line in LINES if line in table}
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(table), encoding="utf-8")
    print("\n".join(wrong) or f"as expected: {sum(len(t['results']) for t in table.values())} builds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or LINES))
