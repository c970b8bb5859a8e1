"""Certify every defective build and twin of the reference ECUs; write who catches whom into docs/mutants.md and mutants.json.

python -m tools.mutation [--check] [LINE...]: certifies what is stale only, two builds at a time, and resumes where it was stopped. AREA=AEB,CAN in the
environment takes the builds of these areas alone; --check says what is stale, and certifies nothing.
"""

import hashlib
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from multiprocessing import SimpleQueue
from pathlib import Path

import yaml
from rich.progress import track

from harness import certify, documents, plan
from harness.inputs import inputs, suite
from harness.model import Outcome
from harness.paths import DBC, ECUS, REGISTRY, RIGS, ROOT, SUITES
from rigs.ecus import build
from tools import digests

LINES = ("cockpit", "driving_assistance")
TABLE, PAGE = ROOT / "docs" / "mutants.json", ROOT / "docs" / "mutants.md"
RIG = RIGS / "sim.yaml"
KEPT = ROOT / "runs" / "mutants"
AT_A_TIME = 2
LEVELS = ("mandatory", "conditional", "recommended")
VERDICT_MODULES = tuple(
    f"{folder}/{name}.py"
    for folder, names in {
        "adapters": "can_simulated simulation",
        "adapters/_process": "stepper",
        "harness": "attribution bring_up certify console documents fixtures judge marks model plan ports pytest_plugin record run verdicts",
        "harness/bench": "logged",
        "harness/can": "decode e2e encode frames trace vss",
        "harness/driving": "closed_loop drive plant scenario sensors",
        "harness/inputs": "declared_diagnostics declared_flashing inputs rig submission suite",
        "harness/vehicle": "bus_view restbus crash_signatures diagnostics identity isotp observation operated programmer stimulated vehicle",
    }.items()
    for name in names.split()
)  # what a simulated verdict goes through; tests/unit/test_mutation.py holds it against the imports
NO_PART = {
    "adapters/_process/confine.py": "keeps a process in bounds",
    "adapters/_process/fence.py": "keeps a process from the lab's things",
    "harness/certificate.py": "signs what was decided",
    "harness/compare.py": "holds verdicts against each other",
    "harness/processes.py": "ends processes, and who goes first",
    "harness/errors.py": "words",
    "harness/bench/guard.py": "leaves a bench safe",
    "harness/bench/claim.py": "who has a bench",
    "harness/inputs/container_archive.py": "container images",
    "harness/paths.py": "where things lie",
    "harness/inputs/unchecked.py": "names what nobody looks at",
    "harness/rejudge.py": "judges again, before a signature by hand",
    "harness/signing/keys.py": "keys",
    "harness/signing/seals.py": "seals what was judged",
    "harness/signing/token.py": "keys in tokens",
    "harness/commissioning/golden.py": "golden checks",
}  # imported too, without a part in a simulated verdict


@cache
def defects(line):
    return yaml.safe_load((ECUS / line / "defects.yaml").read_text(encoding="utf-8"))


def area(requirement):
    """The first word of a requirement's id: AEB, CAN, UDS."""
    return requirement.partition("-")[0]


@cache
def cases(line):
    """Name -> (constants, the requirements that must fail, the areas that it is certified in), the reference first, in every area."""
    found = {"reference": ({}, [], None)}
    for one in defects(line):
        shared = one.get("with", {})
        areas = sorted({area(r) for r in one["fails"]})
        found[one["name"]] = ({**shared, one["constant"]: one["defect"]}, sorted(one["fails"]), areas)
        if "twin" in one:
            found[f"{one['name']}, twin"] = ({**shared, one["constant"]: one["twin"]}, [], areas)
    return found


def asked_areas():
    return {a.strip() for a in os.environ.get("AREA", "").split(",") if a.strip()}


def chosen(line):
    """The cases that AREA in the environment asks for; without it all."""
    wanted = asked_areas()
    return {name: case for name, case in cases(line).items() if not wanted or wanted & set(case[2] or ())}


# ---------------------------------------------------------------- what a result depends on


@cache
def shared(line):
    """The digest of what decides every result of a line: the modules that verdicts go through, the builds' sources, the rig."""
    files = [ROOT / name for name in VERDICT_MODULES]
    files += [RIG, ECUS / "build.py", *sorted(REGISTRY.glob("*.yaml")), *sorted(DBC.glob("*")), SUITES / "__init__.py"]
    for folder in (ECUS / "common", ECUS / line):
        files += sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".yaml") and p.name != "defects.yaml")
    return digests.of_files(f for f in files if f.is_file())


@cache
def planned(line):
    """The requirements of a line's plan, every figure of them settled; and the run's own figures."""
    with tempfile.TemporaryDirectory(prefix="shipei-mutant-") as folder:
        made = plan.make(inputs.load(build.build(Path(folder) / "submission", ecu=f"{line}-a"), RIG))
    return tuple(made.requirements), (made.limit_s, made.ready_s, made.effort)


@cache
def test_digest(file):
    return digests.of_file(SUITES / file)


@cache
def of_areas(line, areas):
    """The digest of the requirements of some areas, and of the tests that measure them; None: of all areas."""
    requirements, figures = planned(line)
    asked = [p for p in requirements if areas is None or area(p.requirement.id) in areas]
    tests = sorted({test.partition("::")[0] for p in asked for test in p.tests})
    content = [documents.dump(tuple(asked)), figures, [(test, test_digest(test)) for test in tests]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def key(line, name):
    """What decides a result, as one digest: another key, another result may come."""
    constants, _, areas = cases(line)[name]
    content = [shared(line), of_areas(line, None if areas is None else tuple(areas)), constants]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def stale(line):
    """The cases whose result in the table is of something else, or is missing."""
    rows = table().get(line, {}).get("results", {})
    return [name for name in cases(line) if rows.get(name, {}).get("key") != key(line, name)]


# ---------------------------------------------------------------- certify


def profile_of(line, areas, file):
    """Write the line's profile, narrowed to some areas; None: all of it."""
    whole = suite.load_profile(suite.profile_file(f"{line.replace('_', '-')}-1.0"))
    narrowed = {level: tuple(r for r in getattr(whole, level) if areas is None or area(r) in areas) for level in LEVELS}
    file.write_text(yaml.safe_dump(documents.dump(replace(whole, **narrowed)), sort_keys=False), encoding="utf-8")
    return file


def outcome_of(line, name):
    """Build, certify, say: decision, the requirements that did not pass with their outcomes, faults."""
    constants, _, areas = cases(line)[name]
    with tempfile.TemporaryDirectory(prefix="shipei-mutant-") as folder:
        built = build.build(Path(folder) / "submission", constants, ecu=f"{line}-a")
        profile = profile_of(line, areas, Path(folder) / "profile.yaml")
        verdict = certify.certify(built, "sim", Path(folder) / "runs", profile=str(profile)).verdict
    others = {j.requirement: j.outcome.value for j in verdict.requirements if j.outcome is not Outcome.PASS}
    found = {"decision": verdict.decision.value, "others": dict(sorted(others.items())), "faults": list(verdict.faults)}
    return {"key": key(line, name), "constants": constants, **found}


def have_a_cpu(cpus):
    """In a worker: one for itself and its item, so that no two share one while another idles."""
    cpu = cpus.get()
    if sys.platform == "linux" and cpu in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {cpu})


def results(line, names):
    """Certify some cases and yield (name, result) as they come; a result of the same key from before is taken as it is."""
    KEPT.mkdir(parents=True, exist_ok=True)
    files = {name: KEPT / f"{line}-{name.replace(', ', '-')}-{key(line, name)}.json" for name in names}
    missing = [name for name, file in files.items() if not file.is_file()]
    yield from ((name, json.loads(file.read_text(encoding="utf-8"))) for name, file in files.items() if file.is_file())
    cpus = SimpleQueue()
    for cpu in range(AT_A_TIME):
        cpus.put(cpu)
    with ProcessPoolExecutor(AT_A_TIME, initializer=have_a_cpu, initargs=(cpus,)) as pool:
        running = {pool.submit(outcome_of, line, name): name for name in missing}
        for future in track(as_completed(running), line, len(running), disable=not sys.stderr.isatty()):
            name, result = running[future], future.result()
            part = files[name].with_suffix(".part")
            part.write_text(json.dumps(result), encoding="utf-8")
            part.replace(files[name])
            yield name, result


# ---------------------------------------------------------------- the table


def page(table):
    """The table for people: a row a build, and for every requirement the builds that it catches."""
    out = ["# Defective builds, and who catches them", ""]
    out += [
        "Each build of a reference ECU differs in one constant, by about the smallest amount that breaks a limit; a twin just inside the",
        "limit must be certified. The reference is certified by the whole profile, a build and its twin by the requirements of the areas in",
        "which the build fails. Generated by `make mutants` in simulated time; `make test` says which entries something has changed for since.",
        "",
    ]
    for line, found in table.items():
        told = {d["name"]: d for d in defects(line)}
        out += [
            f"## {line.replace('_', ' ')}",
            "",
            f"{len(found['results'])} builds",
            "",
        ]
        out += ["| build | constant | defect | fails, exactly | twin | twin is |", "|---|---|---|---|---|---|"]
        for name, d in told.items():
            result, twin = found["results"].get(name), found["results"].get(f"{name}, twin")
            if result is None:
                continue
            fails = ", ".join(f"{r}" + ("" if o == "fail" else f" ({o})") for r, o in result["others"].items())
            defect, inside = (f"`{d[k]}`".replace("|", "\\|") if k in d else "" for k in ("defect", "twin"))
            out.append(
                f"| {name} | `{d['constant']}` | {defect} | {fails} | {inside} | {twin['decision'] if twin else ''} |"
            )
        out += ["", "| requirement | catches |", "|---|---|"]
        caught = {}
        for name in told:
            for requirement in found["results"].get(name, {"others": ()})["others"]:
                caught.setdefault(requirement, []).append(name)
        out += [f"| {r} | {', '.join(names)} |" for r, names in sorted(caught.items())]
        out.append("")
    return "\n".join(out)


def unexpected(line, found):
    """Where a result is not what the defects' file says."""
    for name, (constants, fails, _) in cases(line).items():
        if (result := found.get(name)) is None or result["constants"] != constants:
            continue  # stale, or not made yet
        if result["others"] != dict.fromkeys(fails, "fail") or result["faults"]:
            yield f"{line}: {name}: expected {fails}, got {result['decision']} {result['others']} {result['faults']}"


def table():
    return json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}


def said_stale():
    """One line on the entries that are stale, and how to make them; empty where none is."""
    waiting = {line: stale(line) for line in LINES}
    areas = sorted({a for line in LINES for n in waiting[line] for a in cases(line)[n][2] or ("(references)",)})
    count, whole = sum(map(len, waiting.values())), sum(len(cases(line)) for line in LINES)
    return f"defective builds: {count} of {whole} results are stale (make mutants): {', '.join(areas)}" if count else ""


def keep(line, found):
    """Put results into the table, in the order of the cases; what is no case any more goes."""
    whole = table()
    rows = {**whole.get(line, {}).get("results", {}), **found}
    whole[line] = {"results": {name: rows[name] for name in cases(line) if name in rows}}
    TABLE.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(words):
    if "--check" in words:
        print(said_stale() or "defective builds: every result is of these sources")
        return 1 if said_stale() else 0
    known = {"--check", *LINES}, {a for line in LINES for _, _, areas in cases(line).values() for a in areas or ()}
    if unknown := [w for w in words if w not in known[0]] + [a for a in asked_areas() if a not in known[1]]:
        print(f"unknown: {', '.join(unknown)}; lines are {', '.join(LINES)}, areas {', '.join(sorted(known[1]))}")
        return 2
    wrong, made = [], 0
    for line in words or LINES:
        names = set(stale(line)) & set(chosen(line))
        found = dict(results(line, sorted(names)))
        keep(line, found)
        made += len(found)
        wrong += unexpected(line, table()[line]["results"])
    PAGE.write_text(page(table()), encoding="utf-8")
    print("\n".join(wrong) or f"as expected: {made} builds certified anew; {said_stale() or 'none is stale'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
