"""The driven cases of a run as people look at them: one picture on a time axis, and a bird's-eye animation."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from harness import documents
from harness.driving.closed_loop import ACCELERATING, AGAIN, BRAKES, BRAKING, CRUISES, STEERING, STEERS, coupling
from harness.driving.drive import Drive
from harness.driving.plant import STEP_S
from harness.driving.scenario import EGO_LENGTH_M, EGO_WIDTH_M, SIZE_M, Scenario
from harness.model import Event
from harness.vehicle.observation import same
from reports.evidence import Evidence
from reports.plot import as_png, as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNS = {  # what the device shows, in the order of the strip
    "FCW": ("Vehicle.ADAS.FCW.IsOptical", "Vehicle.ADAS.FCW.IsAcoustic", "Vehicle.ADAS.FCW.IsHaptic"),
    "AEB": (BRAKES,),
    "ACC": (CRUISES,),
    "LDW": ("Vehicle.ADAS.LDW.Left.IsWarning", "Vehicle.ADAS.LDW.Right.IsWarning"),
    "LKA": (STEERS,),
    "BSD": ("Vehicle.ADAS.BSD.Left.IsWarning", "Vehicle.ADAS.BSD.Right.IsWarning"),
}
DEGRADED = ("Vehicle.ADAS.System.State", "Degraded")
TTC_SHOWN_S = 10.0
EVERY = 4  # steps of the plant to a point of the picture
SCALE = 6.0  # pixels a metre, in the animation
WIDTH, HEIGHT, EGO_X = 900, 190, 260
COLOURS = ("#c0392b", "#8e44ad", "#d35400", "#16a085")


def of_requirement(evidence: Evidence, requirement: str) -> Iterator[Drive]:
    """Every case that a requirement's tests drove, in their order; of one that was driven again, the second time."""
    events = [e for e in evidence.events if e.what == "driven" and e.requirement == requirement]
    for event, after in zip_longest(events, events[1:]):
        if after is None or after.call != AGAIN:
            yield driven(evidence, event)


def driven(evidence: Evidence, event: Event) -> Drive:
    """A drive from its event and the trace."""
    context = event.context or {}
    bus = str(context["bus"])
    net, interface = evidence.networks[bus], evidence.submission.interface.buses[bus]
    case = documents.from_plain(Scenario, json.loads(str(context["case"])))
    coupled = coupling(case, net.codec, net.paths, interface, event.time_ns or 0)
    rows = evidence.traces[bus]
    end_ns = coupled.start_ns + round(case.duration_s * 1e9)
    return Drive(net, coupled, rows[(rows["time_ns"] > coupled.start_ns) & (rows["time_ns"] <= end_ns)])


def title(drive: Drive) -> str:
    """The case in a line: what varies among its siblings is in it."""
    case = drive.case
    text = f"{case.id}  ego {case.ego_kmh:g} km/h"
    if case.actors:
        text += f", {case.actors[0].kind} {case.actors[0].speed_kmh:g} km/h"
    if case.steering:
        text += f", drift {case.steering[0].drift_mps:g} m/s"
    return f"{text}, seed {case.seed}" + (f", impact {drive.impact_kmh():.1f} km/h" if drive.contact else "")


# ---------------------------------------------------------------- the picture


def picture(drive: Drive) -> str:
    """Distance, speeds, time to collision, demands, warnings: one above the other, on one time axis (SVG)."""
    return as_svg(figure_of(drive))


def picture_png(drive: Drive) -> bytes:
    """The same, smaller."""
    return as_png(figure_of(drive))


def figure_of(drive: Drive) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.2))
    figure.subplots_adjust(left=0.09, right=0.98, top=0.95, bottom=0.06, hspace=0.12)
    figure.suptitle(title(drive), fontsize=10)
    axes = figure.subplots(5, 1, sharex=True, height_ratios=(2, 2, 1.4, 1.6, 1.6))
    time_s = [ego.time_s for ego in drive.egos[::EVERY]]
    axes[1].plot(time_s, [ego.speed_mps * 3.6 for ego in drive.egos[::EVERY]], color="#1f4e9c", label="ego")
    for n, (actor, seen) in enumerate(zip(drive.case.actors, drive.others, strict=True)):
        few = list(zip(drive.egos[::EVERY], seen[::EVERY], strict=True))
        label = f"{actor.kind} {n + 1}"
        axes[0].plot(time_s, [o.gap_m for _, o in few], color=COLOURS[n], label=label)
        axes[1].plot(time_s, [(o.along_mps + e.speed_mps) * 3.6 for e, o in few], color=COLOURS[n], label=label)
        ttc = [o.gap_m / -o.along_mps if o.along_mps < -0.1 and o.gap_m > 0 else None for _, o in few]
        axes[2].plot(time_s, [t if t is not None and t < TTC_SHOWN_S else float("nan") for t in ttc], color=COLOURS[n])
    if drive.case.steering or any(abs(e.lateral_m) > 0.3 for e in drive.egos):
        axes[0].plot(time_s, [e.lateral_m for e in drive.egos[::EVERY]], color="#1f4e9c", ls="--", label="ego lateral")
    if drive.contact:
        for axis in axes:
            axis.axvline(drive.contact.time_s, color="black", lw=0.8, ls=":")
    demands(axes[3], drive)
    strip(axes[4], drive)
    for axis, name in zip(axes, ("distance m", "speed km/h", "TTC s", "demand", "shown"), strict=True):
        axis.set_ylabel(name, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[:2]:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7, loc="upper right")
    axes[-1].set_xlabel("s from the case's start; dotted: contact", fontsize=8)
    return figure


def demands(axis: Any, drive: Drive) -> None:
    """What the device asks of brakes, drive and steering."""
    for path, sign, colour, label in (
        (BRAKING, -1.0, "#c0392b", "AEB m/s2"),
        (ACCELERATING, 1.0, "#1e8449", "ACC m/s2"),
        (STEERING, 1000.0, "#7d3c98", "LKA 1/km"),
    ):
        series = drive.series(path)
        values = [sign * float(v) for v in series.values]
        if any(abs(v) > 1e-9 for v in values):
            axis.step(
                [drive.seconds(t) for t in series.time_ns.tolist()], values, where="post", color=colour, label=label
            )
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, loc="lower left")


def strip(axis: Any, drive: Drive) -> None:
    """A bar a function, where it warns or acts; and where the system is degraded, and where the scenario has a fault."""
    rows = [(name, spans(drive, paths, True)) for name, paths in SIGNS.items()]
    rows.append(("degraded", spans(drive, DEGRADED[:1], DEGRADED[1])))
    rows.append(("fault", [(f.at_s, f.for_s) for f in drive.case.faults]))
    for n, (_, found) in enumerate(rows):
        axis.broken_barh(found, (n - 0.35, 0.7), color="#555" if n == len(rows) - 1 else "#d68910")
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)


def spans(drive: Drive, paths: Sequence[str], value: bool | str) -> list[tuple[float, float]]:
    """(from, how long) in s, where the device shows a value for any of the paths."""
    found = []
    for path in drive.known(paths):
        series, start = drive.series(path), None
        for time_ns, one in zip(series.time_ns.tolist(), series.values, strict=True):
            shown = same(one, value)
            if shown and start is None:
                start = drive.seconds(time_ns)
            elif not shown and start is not None:
                found.append((start, drive.seconds(time_ns) - start))
                start = None
        if start is not None:
            found.append((start, drive.case.duration_s - start))
    return found


# ---------------------------------------------------------------- the animation


def birdseye(drive: Drive) -> str:
    """The case from above, moving in real time and over again: an SVG that needs no script. The ego vehicle stays in place."""
    seconds, step = drive.case.duration_s, round(0.05 / STEP_S)
    lane = drive.case.lane_m * SCALE
    middle = HEIGHT / 2
    egos = drive.egos[::step]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#e8ece8"/><text x="8" y="16" font-size="12">{escape(title(drive))}</text>',
        f'<rect y="{middle - 2.5 * lane}" width="{WIDTH}" height="{5 * lane}" fill="#777"/>',
    ]
    for n in range(-2, 4):
        y = middle + (n - 0.5) * lane
        dash = "" if n in (-2, 3) else ' stroke-dasharray="18 27"'
        away = [f"{-(e.along_m * SCALE) % 45 - 45:.0f} 0" for e in egos]
        line = f'<line x1="0" x2="{WIDTH + 90}" y1="{y}" y2="{y}" stroke="white" stroke-width="2"{dash}>'
        out.append(f"{line}{moved(away, seconds, 'discrete')}</line>")
    for n, (actor, seen) in enumerate(zip(drive.case.actors, drive.others, strict=True)):
        length, width = (max(3.0, size * SCALE) for size in SIZE_M[actor.kind])
        way = [
            f"{EGO_X + max(-90.0, min(120.0, o.gap_m)) * SCALE:.1f} {middle - (o.left_m + e.lateral_m) * SCALE - width / 2:.1f}"
            for e, o in zip(egos, seen[::step], strict=True)
        ]
        out.append(
            f'<rect width="{length:.1f}" height="{width:.1f}" rx="2" fill="{COLOURS[n]}">{moved(way, seconds)}</rect>'
        )
    length, width = EGO_LENGTH_M * SCALE, EGO_WIDTH_M * SCALE
    way = [f"{EGO_X - length:.1f} {middle - e.lateral_m * SCALE - width / 2:.1f}" for e in egos]
    out.append(f'<rect width="{length:.1f}" height="{width:.1f}" rx="3" fill="#1f4e9c">{moved(way, seconds)}</rect>')
    out += signs(drive, seconds)
    return "\n".join(out) + "\n</svg>\n"


def moved(places: Sequence[str], seconds: float, mode: str = "linear") -> str:
    return (
        f'<animateTransform attributeName="transform" type="translate" dur="{seconds:g}s" repeatCount="indefinite" '
        f'calcMode="{mode}" values="{";".join(places)}"/>'
    )


def signs(drive: Drive, seconds: float) -> Iterator[str]:
    """Words that light up while a function warns or acts; and a bar that runs with the time."""
    shown = [(name, spans(drive, paths, True)) for name, paths in SIGNS.items()]
    shown.append(("DEGRADED", spans(drive, DEGRADED[:1], DEGRADED[1])))
    if drive.contact:
        shown.append(("CONTACT", [(drive.contact.time_s, seconds)]))
    for n, (name, found) in enumerate(shown):
        lit = [any(a <= k / 20 < a + d for a, d in found) for k in range(int(seconds * 20) + 1)]
        values = ";".join("1" if on else "0.12" for on in lit)
        yield (
            f'<text x="{12 + n * 92}" y="{HEIGHT - 10}" font-size="14" font-weight="bold" fill="#a30d0d">{name}<animate '
            f'attributeName="opacity" dur="{seconds:g}s" repeatCount="indefinite" calcMode="discrete" values="{values}"/></text>'
        )
    yield (
        f'<rect y="{HEIGHT - 4}" height="4" fill="#1f4e9c"><animate attributeName="width" dur="{seconds:g}s" '
        f'repeatCount="indefinite" values="0;{WIDTH}"/></rect>'
    )
