"""The golden item: certify it to qualify a rig, check a little of it around every run, mark the rig bad when that fails."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from harness import plan as plans
from harness import record, verdicts
from harness.bench import claim, guard
from harness.bench.claim import GoldenCheck, Hold
from harness.errors import BadInput
from harness.inputs.inputs import taken
from harness.inputs.rig import RigFile
from harness.inputs.suite import profile_file
from harness.model import Decision, Plan, Rig, Verdict
from harness.paths import memory_of_rig
from harness.run import Watch, run

QUALIFIED, BAD = "qualified.json", "bad.json"


def must_be_qualified(said: RigFile) -> None:
    """Raises BadInput when a rig with a golden item has not qualified as it is now, or has failed since."""
    rig, rig_file = said.rig, said.file
    if rig.golden is None:
        return
    memory = memory_of_rig(rig.name)
    again = f"shipei rig qualify {rig_file}"
    if (memory / BAD).is_file():
        bad = known(memory / BAD)
        raise BadInput(
            f"{rig_file}: the rig {rig.name} is marked bad since {bad['at']} ({bad['why']}): repair it, then {again}"
        )
    if not (memory / QUALIFIED).is_file():
        raise BadInput(f"{rig_file}: the rig {rig.name} has never qualified with its golden item: {again}")
    if known(memory / QUALIFIED)["rig_sha256"] != said.document.sha256:
        raise BadInput(f"{rig_file}: the rig file has changed since the rig qualified: {again}")


def known(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def status(rig: Rig) -> dict[str, Any]:
    """How a rig stands, by what is remembered of it."""
    memory = memory_of_rig(rig.name)
    found: dict[str, Any] = {"rig": rig.name, "memory": str(memory), "taken": claim.taken(memory)}
    for name, file in (("qualified", QUALIFIED), ("bad", BAD), ("left", guard.LEFT)):
        found[name] = known(memory / file) if (memory / file).is_file() else None
    found["interrupted"] = [
        json.loads(f.read_text(encoding="utf-8")) for f in sorted(memory.glob("*-interrupted.json"))
    ]
    return found


def mark_bad(rig: Rig, why: str) -> None:
    record.write_json(memory_of_rig(rig.name) / BAD, {"at": now(), "why": why})


def qualify(said: RigFile, folder: Path, hold: Hold, watch: Watch) -> tuple[Plan, Verdict]:
    """Certify the golden item whole; the rig is qualified if it is certified, and else marked bad. Signs nothing."""
    rig, rig_file = said.rig, said.file
    if rig.golden is None:
        raise BadInput(
            f"{rig_file}: the rig names no golden item to qualify with (golden: {{submission: ..., check: [...]}})"
        )
    with taken(rig_file.parent / rig.golden.submission, rig_file, profile_of(said)) as given:
        plan = dataclasses.replace(plans.make(given), bracketed=False)
        digest = run(plan, given, folder / verdicts.RECORD, watch, hold)
    verdict = verdicts.of_record(folder / verdicts.RECORD)
    verdicts.write(folder, verdict)
    memory = memory_of_rig(rig.name)
    if verdict.decision is Decision.CERTIFIED:
        found = {"at": now(), "rig_sha256": said.document.sha256, "golden": plan.manifest_sha256, "record": digest}
        record.write_json(memory / QUALIFIED, found)
        (memory / BAD).unlink(missing_ok=True)
    else:
        mark_bad(rig, f"its golden item is {verdict.decision.value}: {'; '.join(verdicts.troubles(verdict))[:500]}")
    return plan, verdict


def profile_of(said: RigFile) -> Path | None:
    """The file of the profile that the golden item qualifies by, where that is not its own."""
    named = said.rig.golden.profile if said.rig.golden else None
    return None if named is None else profile_file(str(said.file.parent / named) if named.endswith(".yaml") else named)


def golden_check(said: RigFile, hold: Hold, watch: Watch) -> GoldenCheck | None:
    """A check of the golden item's chosen requirements into a record's folder; what is wrong. It marks the rig bad."""
    rig = said.rig
    if rig.golden is None or not rig.golden.bracket:
        return None
    submission, only = said.file.parent / rig.golden.submission, ",".join(rig.golden.check)

    def check(folder: Path) -> list[str]:
        with taken(submission, said.file, profile_of(said)) as given:
            plan = dataclasses.replace(plans.make(given, only), bracketed=False)
            run(plan, given, folder, lambda what: watch(f"{folder.name}: {what}"), hold.unbracketed())
        verdict = verdicts.of_record(folder)
        wrong = [f"{folder.name}: {what}" for what in verdicts.troubles(verdict)]
        if wrong:
            mark_bad(rig, "; ".join(wrong)[:500])
        return wrong

    return check
