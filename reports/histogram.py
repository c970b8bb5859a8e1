"""How often a time was measured, as a small picture that a page carries: bars, limits, median, 95th percentile and maximum."""

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 150, 10, 34, 22
BINS = 30
LEAST = 2


def histogram(
    title: str, values: Sequence[float], unit: str, low: float | None = None, high: float | None = None
) -> str:
    """An SVG of these values, in their unit; limits are red lines. Empty for fewer than two values.

    >>> histogram("reaction", [1.0], "ms")
    ''
    >>> "median 2 ms, 95 % 2.9 ms, most 3 ms, 3 values" in histogram("reaction", [1.0, 2.0, 3.0], "ms", high=5)
    True
    """
    if len(values) < LEAST:
        return ""
    limits = [x for x in (low, high) if x is not None]
    first, last = min([*values, *limits]), max([*values, *limits])
    span = (last - first) or 1.0
    first, last = max(first - 0.03 * span, min(first, 0.0)), last + 0.03 * span  # times begin at 0
    counts, edges = np.histogram(values, BINS, (first, last))
    x = [LEFT + (e - first) / (last - first) * (WIDTH - 2 * LEFT) for e in edges]
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    bars = "".join(
        f'<rect x="{x[n]:.1f}" y="{floor - room * c / counts.max():.1f}" width="{max(1.0, x[n + 1] - x[n] - 1):.1f}" '
        f'height="{room * c / counts.max():.1f}" fill="#3b6ea5"/>'
        for n, c in enumerate(counts)
        if c
    )
    lines = "".join(limit(LEFT + (at - first) / (last - first) * (WIDTH - 2 * LEFT), at, unit) for at in limits)
    middle, p95 = np.percentile(values, [50, 95])
    said = f"median {middle:.4g} {unit}, 95 % {p95:.4g} {unit}, most {max(values):.4g} {unit}, {len(values)} values"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" font-size="11">'
        f'<text x="{LEFT}" y="12" font-weight="600">{escape(title)}</text>{bars}'
        f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH - LEFT}" y2="{floor}" stroke="#666"/>{lines}'
        f'<text x="{LEFT}" y="{floor + 14}">{first:.4g} {unit}</text>'
        f'<text x="{WIDTH - LEFT}" y="{floor + 14}" text-anchor="end">{last:.4g} {unit}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 5}" fill="#555">{escape(said)}</text></svg>'
    )


def limit(x: float, at: float, unit: str) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#a30d0d" stroke-dasharray="4 2"/>'
        f'<text x="{x:.1f}" y="{TOP - 8}" fill="#a30d0d" text-anchor="middle">{at:.4g} {unit}</text>'
    )
