"""What a vendor puts on a page: the decision as a small picture, and as the data that shields.io's endpoint takes."""

from html import escape
from pathlib import Path
from string import Template

from harness.model import Decision
from harness.record import write_json
from reports import standing

VIRTUAL = ("simulated", "virtual")
COLOUR = {Decision.CERTIFIED: "#2e7d32", Decision.REFUSED: "#c62828", Decision.VOID: "#616161"}
OTHERS = {
    "waived": "#827717",
    standing.UNVERIFIED: "#616161",
    "running": "#0b4f9e",
    "expired": "#5e3a8c",
    "revoked": "#8c1a5b",
}  # of the states of a certificate
WIDE_PX, PAD_PX = 6.6, 12  # of a character, beside a text
SVG = Template("""<svg xmlns="http://www.w3.org/2000/svg" width="$whole" height="20" role="img" aria-label="$label: $message">
<title>$label: $message</title>
<rect width="$left" height="20" rx="3" fill="#444"/><rect x="$left" width="$right" height="20" rx="3" fill="$colour"/>
<rect x="$left" width="4" height="20" fill="$colour"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="$at_label" y="14">$label</text><text x="$at_message" y="14">$message</text></g></svg>
""")


def write(run: Path, folder: Path, key: Path | None = None) -> dict[str, Path]:
    """badge.svg and badge.json in a folder: what the run's certificate says (`key`: the lab's), not what lies beside it."""
    found = standing.of(run, key)
    state, plan = found.state, found.plan
    rig = "virtual rig" if plan.rig_kind in VIRTUAL else "hardware rig"
    label, message = (
        f"{plan.combination.application.name} {plan.combination.application.version}",
        f"{state}, {rig}",
    )
    svg, data = folder / "badge.svg", folder / "badge.json"
    svg.write_text(drawn(label, message, of_state(state)), encoding="utf-8")
    write_json(data, {"schemaVersion": 1, "label": label, "message": message, "color": of_state(state)})
    return {"badge": svg, "badge_json": data}


def of_state(state: str) -> str:
    """The colour of a decision, or of a state of a certificate, by its word."""
    return OTHERS.get(state) or COLOUR[Decision(state)]


def drawn(label: str, message: str, colour: str) -> str:
    """Two texts beside each other.

    >>> "certified" in drawn("cockpit <1>", "certified", "#2e7d32"), "<1>" in drawn("cockpit <1>", "certified", "#2e7d32")
    (True, False)
    """
    left, right = (round(WIDE_PX * len(text) + PAD_PX) for text in (label, message))
    return SVG.substitute(
        whole=left + right,
        left=left,
        right=right,
        colour=colour,
        label=escape(label),
        message=escape(message),
        at_label=left / 2,
        at_message=left + right / 2,
    )
