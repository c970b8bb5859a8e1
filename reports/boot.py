"""How a device started: every stage that its console announced, when, and how long it took to get there; from the record's measurements."""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from reports.evidence import Evidence
from reports.plot import as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STAGES, READY = "BOOT-STAGES-001", "BOOT-READY-001"
MARKS = {"first_frame_s": "first frame", "ready_s": "ready"}  # of the power cycle that BOOT-READY-001 made
MOST_SHOWN = 70


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One announced stage; `time_s` from power-on, `since_s` from the stage before."""

    name: str
    said: str
    time_s: float
    since_s: float


def stages(evidence: Evidence) -> list[Stage]:
    """The stages in the order they came; empty where none was measured."""
    found: list[Stage] = []
    for judged in evidence.verdict.requirements:
        if judged.requirement == STAGES:
            for m in sorted((m for m in judged.measured if m.name == "stage_s"), key=lambda m: m.value):
                since_s = m.value - (found[-1].time_s if found else 0.0)
                name, said = str(m.context.get("stage", "")), str(m.context.get("said", ""))
                found.append(Stage(name=name, said=said, time_s=m.value, since_s=since_s))
    return found


def marks(evidence: Evidence) -> dict[str, float]:
    """First frame and ready line, in s from power-on, by what they are called."""
    measured = [m for j in evidence.verdict.requirements if j.requirement == READY for m in j.measured]
    return {MARKS[m.name]: m.value for m in measured if m.name in MARKS}


def picture(evidence: Evidence) -> str:
    """A bar a stage, from the stage before to its own line, on one time axis (SVG)."""
    return as_svg(figure_of(stages(evidence), marks(evidence)))


def figure_of(found: list[Stage], known: dict[str, float]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.34 * len(found)), layout="constrained")
    axis = figure.subplots()
    for n, stage in enumerate(found):
        axis.barh(n, max(stage.since_s, 0.01), left=stage.time_s - stage.since_s, color="#3b6ea5", height=0.7)
        axis.text(stage.time_s, n, f" {stage.time_s:.2f} s", va="center", fontsize=8)
    for (name, time_s), colour in zip(known.items(), ("#a30d0d", "#06632b"), strict=False):
        axis.axvline(time_s, color=colour, lw=1, ls="--", label=f"{name} {time_s:.2f} s")
    axis.set_yticks(range(len(found)), [s.said[:MOST_SHOWN] for s in found], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.15 * max([s.time_s for s in found] + list(known.values())))
    axis.set_xlabel("s from power-on; dashed: another power cycle", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    if known:
        axis.legend(fontsize=7, loc="lower left")
    return figure


def section(evidence: Evidence) -> str:
    """The report as a piece of a page; empty where no stage was measured."""
    found = stages(evidence)
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{escape(s.said)}<td><code>{escape(s.name)}</code><td>{s.time_s:.3f}<td>{s.since_s:.3f}" for s in found
    )
    head = (
        "<tr><th>控制台 console said<th>阶段 stage<th>上电后 after power-on, s<th>距上一阶段 since the stage before, s"
    )
    drawn = picture(evidence)
    after = "; ".join(f"{name} {time_s:.3f} s" for name, time_s in marks(evidence).items())
    return f"<h2>启动 boot</h2><p>{drawn[drawn.find('<svg') :]}</p><table>{head}{rows}</table><p>{escape(after)}</p>"
