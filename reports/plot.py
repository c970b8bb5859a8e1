"""The signals of one test on one time axis, as SVG."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reports.evidence import MOST_SIGNALS, Track

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def signals_svg(tracks: Sequence[Track], title: str) -> str:
    """Steps over seconds from the test's start; what the bench sent is blue, what the device sent is red."""
    return as_svg(signals_figure(pick(tracks), title, "s from the test's start (blue: bench, red: device)"))


def signals_figure(chosen: Sequence[Track], title: str, axis_label: str) -> "Figure":
    """One axis a signal, over the same seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 1.1 * max(1, len(chosen))), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(max(1, len(chosen)), 1, sharex=True, squeeze=False)[:, 0]
    for axis, track in zip(axes, chosen, strict=False):
        values = [v if isinstance(v, int | float) else str(v) for v in track.values]
        if len({isinstance(v, str) for v in values}) > 1:
            values = [str(v) for v in values]
        axis.step(
            track.time_s, values, where="post", color="tab:blue" if track.sent_by_bench else "tab:red", linewidth=1.4
        )
        axis.set_ylabel(track.name, rotation=0, ha="right", va="center", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel(axis_label, fontsize=8)
    return figure


def as_svg(figure: "Figure") -> str:
    """A figure's SVG, the same text for the same figure."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    figure.set_canvas(FigureCanvasSVG(figure))
    with as_written(figure):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


@contextmanager
def as_written(figure: "Figure") -> Iterator[None]:
    """What others wrote is drawn as it stands: between two dollar signs there is no formula that may be none."""
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with rc_context({"svg.hashsalt": "shipei", "text.parse_math": False}):
        yield


def as_png(figure: "Figure") -> bytes:
    """A figure as a small picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    figure.set_canvas(FigureCanvasAgg(figure))
    with as_written(figure):
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()


def pick(tracks: Sequence[Track]) -> list[Track]:
    """Half of the room for the bench's signals, the rest for the device's."""
    ours = [t for t in tracks if t.sent_by_bench][: MOST_SIGNALS // 2]
    theirs = [t for t in tracks if not t.sent_by_bench][: MOST_SIGNALS - len(ours)]
    return ours + theirs
