"""Rate against distortion of everything that was compared: bits per value against largest error, and against RMSE.

Stage: evaluation, after `compare`. All axes are logarithmic; adiabat's lines are thick and black, the others told apart
by marks, and by colours of Okabe and Ito that colour-blind readers can tell. Each panel shows what was asked for in its
terms, and of a codec that was not, what there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.comparison import ERROR, RMSE, Comparison, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["draw"]

OURS = {"pyramid": ("-", "o"), "hyperprior": ("--", "s"), "vq": (":", "^"), "hvae": ("-.", "D")}
THEIRS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#8C6D1F", "#0072B2", "#D55E00", "#777777", "#4B0092", "#AAAAAA")
MARKS = "sD^vP*X<>p"


def draw(comparison: Comparison, path: str | Path) -> None:
    """Write the picture.

    Parameters
    ----------
    comparison : Comparison
    path : path
        Its suffix says the format: .png, .svg or .pdf.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    unit = f" ({comparison.units})" if comparison.units else ""
    for axes, equal, label in ((left, ERROR, "largest error"), (right, RMSE, "RMSE")):
        _panel(axes, comparison, equal)
        axes.set_xlabel("bits per value")
        axes.set_ylabel(f"{label}{unit}")
        top = axes.secondary_xaxis("top", functions=(_inverse, _inverse))
        top.set_xlabel("ratio")
        for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()), (top.xaxis, axes.get_xlim())):
            _ticks(axis, ends[1] / ends[0])
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    shape = " x ".join(map(str, comparison.shape))
    crosses = "; crosses: what was asked is not kept" if any(row.kept is False for row in comparison.rows) else ""
    figure.suptitle(f"{comparison.name or 'field'}, {shape}: lower and further left is better{crosses}", fontsize=11)
    figure.savefig(path, dpi=130)


def _ticks(axis: Axis, span: float) -> None:
    """Plain numbers, few of them."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0,) if span > 300 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _inverse(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits per value of a ratio, and the other way round."""
    return 32 / np.maximum(x, 1e-9)


def _panel(axes: Axes, comparison: Comparison, equal: str) -> None:
    name, drawn = "max_error" if equal == ERROR else "rmse", 0
    for codec, rows in _by_codec(comparison).items():
        style = _style(codec, rows[0].ours, drawn)
        drawn += not rows[0].ours
        asked = [row for row in rows if row.equal == equal] or rows
        points = sorted((row.bits or 0.0, float(getattr(row, name))) for row in asked)
        axes.plot([bits for bits, _ in points], [error for _, error in points], **style)
        broken = [(row.bits, getattr(row, name)) for row in asked if row.kept is False]
        if broken:
            axes.plot(*zip(*broken, strict=True), "x", color="#B00020", markersize=11, zorder=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.08)
    axes.grid(visible=True, which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines["right"].set_visible(False)


def _by_codec(comparison: Comparison) -> dict[str, list[Row]]:
    """Rows with a result and an error, adiabat's last, so that they lie on top."""
    out: dict[str, list[Row]] = {}
    for row in sorted(comparison.rows, key=lambda row: row.ours):
        if row.size is not None and row.max_error:
            out.setdefault(row.codec, []).append(row)
    return out


def _style(codec: str, ours: bool, number: int) -> dict[str, Any]:
    if ours:
        line, mark = OURS.get(codec, ("-", "o"))
        return {
            "label": f"adiabat {codec}", "color": "#000000", "linestyle": line, "marker": mark, "linewidth": 2.8,
            "markersize": 7, "zorder": 5,
        }  # fmt: skip
    return {
        "label": codec, "color": THEIRS[number % len(THEIRS)], "marker": MARKS[number % len(MARKS)],
        "linewidth": 1.3, "markersize": 5.5,
    }  # fmt: skip
