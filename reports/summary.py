"""A run for the page of a CI job, in Markdown: the decision, who acts, what did not pass, what is different from the last certified run."""

import re
from collections.abc import Sequence
from pathlib import Path

from harness.compare import Comparison
from harness.model import Decision, Outcome
from reports.evidence import Evidence

MARK = {Decision.CERTIFIED: "✅", Decision.REFUSED: "❌", Decision.VOID: "⚪"}
ACTS = {
    Outcome.FAIL: "the vendor: the device is wrong",
    Outcome.ERROR: "the suite's author: the test is wrong",
    Outcome.MISS: "the lab: it never ran to an end",
}
MOST_ROWS, MOST_TEXT = 50, 300


def markdown(run: Path, compared: Comparison | None) -> str:
    evidence = Evidence(run)
    verdict, plan = evidence.verdict, evidence.plan
    passed = sum(j.outcome is Outcome.PASS for j in verdict.requirements)
    lines = [
        f"## {MARK[verdict.decision]} {verdict.decision.value}: {text(str(plan.combination))}",
        "",
        f"{passed} of {len(verdict.requirements)} requirements of {text(plan.profile)} passed on the rig {text(plan.rig)} ({plan.rig_kind}).",
    ]
    lines += [f"\nFault of the run: {text(fault)}" for fault in verdict.faults]
    failed = [j for j in verdict.requirements if j.outcome is not Outcome.PASS]
    if failed:
        rows = [
            (
                j.requirement,
                j.level,
                j.outcome.value,
                ACTS[j.outcome],
                f"{evidence.planned[j.requirement].requirement.en} {j.reason}",
            )
            for j in failed
        ]
        lines += table(("requirement", "level", "outcome", "who acts", "why"), rows)
    if compared is not None:
        lines += beside(compared)
    return "\n".join(lines) + "\n"


def beside(compared: Comparison) -> list[str]:
    """What is other than in the last certified run."""
    lines = ["", f"### Beside {text(str(compared.before.verdict.combination))}, the last certified", ""]
    for title, changes in (
        ("newly failing", compared.failing),
        ("newly passing", compared.passing),
        ("otherwise", compared.others),
    ):
        lines += [f"- {title}: " + ", ".join(text(c.requirement) for c in changes)] if changes else []
    lines += [f"- {len(compared.inputs)} inputs are others"] if compared.inputs else []
    if compared.drifts:
        rows = [
            (
                d.requirement,
                d.name,
                f"{d.before:.4g}",
                f"{d.after:.4g} {'' if d.unit == '1' else d.unit}",
                f"{d.uncertainty:.2g}",
            )
            for d in compared.drifts
        ]
        lines += table(("requirement", "moved beyond uncertainty", "before", "after", "unsure by"), rows)
    elif not (compared.failing or compared.passing or compared.others):
        lines.append("- the same outcomes, and no value moved by more than both runs are unsure of")
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(text(cell) for cell in row)} |" for row in rows[:MOST_ROWS]]
    return [*lines, f"\n{len(rows) - MOST_ROWS} more stand in the report."] if len(rows) > MOST_ROWS else lines


def text(said: str) -> str:
    """Words of others as text: no markup of Markdown or HTML in it means anything, and it is one line.

    >>> text("a|b <i>\\n# c")
    'a\\\\|b \\\\<i\\\\> \\\\# c'
    """
    one_line = " ".join(said.split())[:MOST_TEXT]
    return re.sub(r"([\\\\`*_{}\[\]<>()#+!|~@])", r"\\\1", one_line)
