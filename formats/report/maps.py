"""Maps of one frame: the source, and the error with a ring where it is worst.

Stage: canvas -> **maps** -> figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.report.axes import place_of
from adiabat.formats.report.canvas import BAR, GAP, MAP, Picture, make_axes, style, with_units
from adiabat.formats.report.facts import VariableFacts
from adiabat.formats.report.measures import Map
from adiabat.formats.report.svg import INK, to_svg

__all__ = ["error_map", "field_map"]


def field_map(facts: VariableFacts, prefix: str) -> Picture | None:
    """The source, in the frame with the largest error."""
    shown = facts.map
    if shown is None or not np.isfinite(shown.field).any():
        return None
    low, high = float(np.nanmin(shown.field)), float(np.nanmax(shown.field))
    where = _frame_words(facts, shown)
    alt = f"Map of {facts.name}{where}: from {with_units(low, facts, 5)} to {with_units(high, facts, 5)}."
    with style():
        figure, (axes, bar) = make_axes(MAP, BAR)
        _draw_map(figure, (axes, bar), facts, shown, shown.field, "cividis", (low, high))
        axes.set_title("source", loc="left")
    thinned = f" Every {_pooled(shown)} cell is drawn." if max(shown.pooled) > 1 else ""
    return Picture(to_svg(figure, alt, prefix), f"The source{where}.{thinned}")


def error_map(facts: VariableFacts, prefix: str) -> Picture | None:
    """Decoded less source, in that frame, and where it is worst."""
    shown = facts.map
    if shown is None or not np.isfinite(shown.error).any():
        return None
    largest = float(np.nanmax(np.abs(shown.error)))
    bound = facts.bound["abs"] if isinstance(facts.bound, dict) and "abs" in facts.bound else None
    top = (max(largest, float(bound)) if isinstance(bound, int | float) else largest) or 1.0
    where = _frame_words(facts, shown)
    place = _worst_place(facts, shown)
    which = (
        "is largest"
        if facts.errors is None or facts.histogram is None or not facts.histogram.relative
        else "uses most of its bound"
    )
    alt = (
        f"Map of the error of {facts.name}{where}: the cells drawn differ by at most {with_units(largest, facts)}; "
        f"the error {which} at {place}."
    )
    with style():
        figure, (axes, bar) = make_axes(MAP, BAR)
        _draw_map(figure, (axes, bar), facts, shown, shown.error, _diverging(), (-top, top))
        axes.set_title("decoded less source", loc="left")
        axes.plot(
            *_spot(facts, shown),
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor="black",
            markeredgewidth=2.6,
        )
        axes.plot(
            *_spot(facts, shown),
            "o",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor="white",
            markeredgewidth=1.2,
        )
    caption = f"The error in the same frame, which of all sampled has the error that {which}: ring, {place}."
    return Picture(to_svg(figure, alt, prefix), caption)


def _draw_map(
    figure: Any,
    places: tuple[Any, Any],
    facts: VariableFacts,
    shown: Map,
    values: NDArray[Any],
    colours: Any,
    ends: tuple[float, float],
) -> None:
    import matplotlib

    axes, bar = places
    palette = (matplotlib.colormaps[colours] if isinstance(colours, str) else colours).with_extremes(bad=GAP)
    extent, names, up = _extent(facts, shown)
    image = axes.imshow(
        np.ma.masked_invalid(values), cmap=palette, vmin=ends[0], vmax=ends[1], extent=extent, aspect="auto",
        interpolation="none", origin="lower" if up else "upper",
    )  # fmt: skip
    axes.set(xlabel=names[1], ylabel=names[0])
    shade = figure.colorbar(image, cax=bar, label=facts.units or None)
    shade.outline.set_edgecolor(INK)


def _extent(facts: VariableFacts, shown: Map) -> tuple[tuple[float, float, float, float], tuple[str, str], bool]:
    """Ends of a map, names of its axes, and whether its first row is at the bottom."""
    (top, left), (rows, columns) = shown.origin, shown.shape
    latitude, longitude = facts.axes.latitude, facts.axes.longitude
    if latitude is not None and longitude is not None and _even(latitude) and _even(longitude):
        y, x = latitude[top : top + rows], longitude[left : left + columns]
        half = [(each[-1] - each[0]) / (each.size - 1) / 2 if each.size > 1 else 0.5 for each in (y, x)]
        low, high = sorted((float(y[0] - half[0]), float(y[-1] + half[0])))
        ends = float(x[0] - half[1]), float(x[-1] + half[1]), low, high
        return ends, ("latitude", "longitude"), bool(y[-1] > y[0])
    dims = [str(facts.pair.source.dims[axis]) for axis in facts.axes.frame]
    return (left - 0.5, left + columns - 0.5, top + rows - 0.5, top - 0.5), (dims[0], dims[1]), False


def _worst_place(facts: VariableFacts, shown: Map) -> str:
    index = list(shown.index)
    for axis, first, at in zip(facts.axes.frame, shown.origin, shown.worst, strict=True):
        index[axis] = first + at
    return place_of(facts.pair.source, tuple(index), without=facts.axes.leading) or "its only cell"


def _spot(facts: VariableFacts, shown: Map) -> tuple[float, float]:
    """Where the worst error lies on a map, x and y."""
    (left, right, bottom, top), _, up = _extent(facts, shown)
    (row, column), (rows, columns) = shown.worst, shown.shape
    down = (row + 0.5) / rows
    return left + (column + 0.5) / columns * (right - left), (bottom + down * (top - bottom)) if up else top + down * (
        bottom - top
    )


def _even(degrees: NDArray[np.float64]) -> bool:
    steps = np.diff(degrees)
    return bool(
        degrees.size < 2 or ((steps != 0).all() and np.abs(steps - steps.mean()).max() <= 0.05 * abs(steps.mean()))
    )


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    stops = ("#0b3c73", "#2a7fc9", "#a9cfee", "#f7f7f5", "#f7c699", "#d1620a", "#6e2f00")
    return LinearSegmentedColormap.from_list("blue_white_orange", stops)


def _frame_words(facts: VariableFacts, shown: Map) -> str:
    place = place_of(facts.pair.source, shown.index, without=facts.axes.frame)
    whole = tuple(facts.axes.shape[axis] for axis in facts.axes.frame)
    part = f", {shown.shape[0]} x {shown.shape[1]} of its {whole[0]} x {whole[1]} cells" if shown.shape != whole else ""
    return (f" at {place}" if place else "") + part


def _pooled(shown: Map) -> str:
    return f"{shown.pooled[0]} x {shown.pooled[1]}"
