"""A sweep drawn: the quantity over one or two conditions, and the boundary beyond which the function fails."""

from pathlib import Path
from typing import Any

from reports.plot import as_svg


def write(found: dict[str, Any], folder: Path) -> Path:
    """boundary.svg in the sweep's folder. More than two axes: a panel for every combination of the others."""
    file = folder / "boundary.svg"
    file.write_text(curve(found) if len(found["axes"]) == 1 else maps(found), encoding="utf-8")
    return file


def name_of(axis: dict[str, Any]) -> str:
    return f"{axis['name']} {axis['unit']}".strip()


def curve(found: dict[str, Any]) -> str:
    """One axis: every seed's value, the limit, the boundary."""
    from matplotlib.figure import Figure

    ((quantity, limit),) = found["fails_above"].items()
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    points = [p for p in found["points"] if p.get(quantity) is not None]
    axis.plot([p["values"][0] for p in points], [p[quantity] for p in points], "o", ms=4, color="#1f4e9c")
    axis.axhline(limit, color="#1e8449", lw=1, ls="--", label=f"limit {limit:g}")
    for edge in (e for e in found["boundary"] if e["between"]):
        axis.axvspan(*edge["between"], color="#c0392b", alpha=0.6)
        axis.axvline(sum(edge["between"]) / 2, color="#c0392b", lw=1)
    axis.set_xlabel(name_of(found["axes"][0]))
    axis.set_ylabel(quantity)
    axis.set_title(f"{found['scenario']}: red where it begins to fail", fontsize=10)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    return as_svg(figure)


def maps(found: dict[str, Any]) -> str:
    """Two axes and more: the worst seed of every point as a colour, the boundary as a line."""
    from matplotlib.figure import Figure

    ((quantity, limit),) = found["fails_above"].items()
    rests = sorted({tuple(p["values"][2:]) for p in found["points"]})
    figure = Figure(figsize=(8, 1 + 4.2 * len(rests)), layout="constrained")
    values = [p[quantity] for p in found["points"] if p.get(quantity) is not None]
    span = {"vmin": min(values, default=0), "vmax": max([*values, limit + 1e-9])}
    for axis, rest in zip(figure.subplots(len(rests), 1, squeeze=False)[:, 0], rests, strict=True):
        worst: dict[tuple[float, float], float] = {}
        for p in found["points"]:
            if tuple(p["values"][2:]) == rest and p.get(quantity) is not None:
                key = (p["values"][0], p["values"][1])
                worst[key] = max(worst.get(key, p[quantity]), p[quantity])
        drawn = axis.scatter(
            [k[0] for k in worst], [k[1] for k in worst], c=list(worst.values()), cmap="RdYlGn_r", s=42, **span
        )
        figure.colorbar(drawn, ax=axis, label=quantity)
        edges = [e for e in found["boundary"] if e["between"] and tuple(e["rest"][1:]) == rest]
        axis.plot(
            [sum(e["between"]) / 2 for e in edges], [e["rest"][0] for e in edges], "k-x", lw=1.5, label="fails beyond"
        )
        axis.set_xlabel(name_of(found["axes"][0]))
        axis.set_ylabel(name_of(found["axes"][1]))
        others = ", ".join(f"{name_of(a)} = {v:g}" for a, v in zip(found["axes"][2:], rest, strict=True))
        axis.set_title(f"{found['scenario']}: {quantity} above {limit:g} fails. {others}".strip(), fontsize=10)
        if edges:
            axis.legend(fontsize=8)
    return as_svg(figure)
