"""A run's verdict as JUnit XML: a test case a requirement; MISS and ERROR are errors, never skips."""

import xml.etree.ElementTree as ET
from pathlib import Path

from harness.model import Outcome
from reports.evidence import Evidence


def write(run: Path) -> Path:
    """junit.xml in the run's folder."""
    evidence = Evidence(run)
    verdict, plan = evidence.verdict, evidence.plan
    counts = {o: sum(j.outcome is o for j in verdict.requirements) for o in Outcome}
    suite = ET.Element(
        "testsuite",
        name=f"{plan.combination} on {plan.rig}",
        tests=str(len(verdict.requirements)),
        failures=str(counts[Outcome.FAIL]),
        errors=str(counts[Outcome.ERROR] + counts[Outcome.MISS]),
        skipped="0",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("verdict", verdict.decision.value),
        ("profile", plan.profile),
        ("manifest_sha256", plan.manifest_sha256),
        *((f"fault.{n}", fault) for n, fault in enumerate(verdict.faults)),
    ):
        ET.SubElement(properties, "property", name=name, value=clean(value))
    for judged in verdict.requirements:
        case = ET.SubElement(suite, "testcase", classname=str(plan.combination), name=judged.requirement)
        if judged.outcome is not Outcome.PASS:
            kind = "failure" if judged.outcome is Outcome.FAIL else "error"
            ET.SubElement(case, kind, type=judged.outcome.value, message=clean(judged.reason))
    file = run / "junit.xml"
    ET.indent(suite)
    ET.ElementTree(suite).write(file, encoding="utf-8", xml_declaration=True)
    return file


def clean(text: str) -> str:
    """XML 1.0 cannot carry most control characters."""
    return "".join(c if c in "\t\n\r" or (ord(c) >= 32 and ord(c) not in (0xFFFE, 0xFFFF)) else "�" for c in text)
