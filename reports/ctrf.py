"""A run's verdict in the Common Test Report Format (ctrf.io): a test a requirement; what has not passed has failed, and `rawStatus` says how."""

from pathlib import Path
from typing import Any

from harness.model import Outcome
from harness.record import DIGESTS, PLAN, write_json
from reports.evidence import Evidence

MS_NS = 1_000_000


def write(run: Path, file: Path) -> Path:
    """The report in a file."""
    write_json(file, report(Evidence(run)))
    return file


def report(evidence: Evidence) -> dict[str, Any]:
    verdict, plan = evidence.verdict, evidence.plan
    tests = [
        {
            "name": judged.requirement,
            "status": "passed" if judged.outcome is Outcome.PASS else "failed",
            "rawStatus": judged.outcome.value,
            "duration": took,
            "message": judged.reason,
            "suite": [str(plan.combination), plan.rig],
            "tags": [judged.level],
            "extra": {"tests": list(evidence.planned[judged.requirement].tests)},
        }
        for judged, took in zip(verdict.requirements, durations_ms(evidence), strict=True)
    ]
    counts = {status: sum(t["status"] == status for t in tests) for status in ("passed", "failed")}
    start, stop = ((evidence.record / name).stat().st_mtime_ns // MS_NS for name in (PLAN, DIGESTS))
    never = dict.fromkeys(("pending", "skipped", "other"), 0)
    summary = {"tests": len(tests), **counts, **never, "start": start, "stop": max(start, stop)}
    left_out = [*plan.not_applicable, *plan.not_decidable]
    return {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "results": {
            "tool": {"name": "shipei"},
            "summary": summary,
            "tests": tests,
            "environment": {"appName": str(plan.combination), "testEnvironment": plan.rig},
            "extra": {
                "decision": verdict.decision.value,
                "profile": plan.profile,
                "manifest_sha256": plan.manifest_sha256,
                "record_sha256": verdict.record_sha256,
                "faults": list(verdict.faults),
                "not_tested": {one.id: one.reason for one in left_out},
            },
        },
    }


def durations_ms(evidence: Evidence) -> list[int]:
    """How long each requirement's tests took on the rig's clock, in ms: each until the next one starts, the last until the last that was noted."""
    timed = [e for e in evidence.events if e.time_ns is not None]
    started = [e for e in timed if e.what == "started"]
    ends = [*(e.time_ns or 0 for e in started[1:]), max((e.time_ns or 0 for e in timed), default=0)]
    took: dict[str | None, int] = {}
    for one, end_ns in zip(started, ends, strict=True):
        took[one.requirement] = took.get(one.requirement, 0) + end_ns - (one.time_ns or 0)
    return [max(0, took.get(j.requirement, 0)) // MS_NS for j in evidence.verdict.requirements]
