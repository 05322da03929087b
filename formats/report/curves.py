"""Pictures made of lines: histogram, power spectrum, profile along levels, series at a point.

Stage: canvas -> **curves** -> figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.report import canvas
from adiabat.formats.report.axes import label_of, place_of
from adiabat.formats.report.canvas import Picture, make_axes, style, units_of, with_units
from adiabat.formats.report.facts import VariableFacts
from adiabat.formats.report.measures import Histogram
from adiabat.formats.report.svg import INK, to_svg
from adiabat.formats.report.words import bound_words, count, number, percent

__all__ = ["histogram", "profile", "series", "spectrum"]


def histogram(facts: VariableFacts, prefix: str) -> Picture | None:
    """How errors are spread, and the bound."""
    found = facts.histogram
    if found is None or not found.counts.sum() + found.beyond:
        return None
    total = int(found.counts.sum()) + found.beyond
    with style():
        figure, (axes,) = make_axes(canvas.PLOT)
        axes.stairs(found.counts / total, found.edges, fill=True, color=canvas.BLUE)
        unit = "bounds" if found.relative else units_of(facts)
        axes.set(xlabel=f"error [{unit}]", ylabel="share of values", ylim=(0, None))
        if found.relative:
            for side in (-1.0, 1.0):
                axes.axvline(side, color=canvas.ORANGE, linewidth=1.6)
            up = axes.get_xaxis_transform()
            axes.text(1.02, 0.97, "bound", color=canvas.ORANGE, transform=up, va="top", rotation=90)
    alt, caption = _spread(facts, found, total)
    return Picture(to_svg(figure, alt, prefix), caption)


def _spread(facts: VariableFacts, found: Histogram, total: int) -> tuple[str, str]:
    """What a histogram shows, for who does not see it, and its caption."""
    many = f"Histogram of {count(total)} errors of {facts.name}"
    if not found.relative:
        alt = f"{many}: none is larger than {with_units(float(found.edges[-1]), facts)}."
        return alt, f"Errors of {count(total)} values. No bound was asked for."
    middle = np.abs(found.edges[:-1] + found.edges[1:]) / 2 <= 0.5
    half = percent(float(found.counts[middle].sum() / total))
    broken = facts.errors.violations if facts.errors is not None else 0
    outside = f"{count(broken)} break it" if broken else "none is beyond it"
    alt = f"{many}, as shares of the bound: {half} are within half of it, {outside}."
    bound = bound_words(facts.bound, facts.units, tuple(map(str, facts.pair.source.dims)))
    beyond = f" {count(found.beyond)} lie outside the picture." if found.beyond else ""
    return alt, f"Errors as shares of the bound ({bound}; orange): {half} are within half of it, {outside}.{beyond}"


def spectrum(facts: VariableFacts, prefix: str) -> Picture | None:
    """Power of source, decoded and error by wavenumber."""
    found = facts.spectrum
    if found is None or not (found.source > 0).any():
        return None
    with style():
        figure, (axes,) = make_axes(canvas.PLOT)
        lines = (("source", found.source, INK, "-", 2.4), ("decoded", found.stored, canvas.BLUE, "--", 1.5),
                 ("error", found.error, canvas.ORANGE, "-", 1.2))  # fmt: skip
        for label, power, colour, dash, width in lines:
            if (power > 0).any():
                shown = np.where(power > 0, power, np.nan)
                axes.plot(*_thinned(found.wavenumber, shown), dash, color=colour, linewidth=width, label=label)
        canvas.logarithmic(axes, "x", "y")
        axes.set(xlabel=found.kind, ylabel=f"power [{_squared(facts.units)}]")
        axes.legend(**canvas.ABOVE)
    kept = found.stored.sum() / found.source.sum()
    crossing = np.flatnonzero(found.error >= found.source)
    beyond = "the error has less power than the source at every wavenumber"
    if crossing.size:
        first = number(float(found.wavenumber[crossing[0]]))
        beyond = f"the error first has as much power as the source at {found.kind.split(',')[0]} {first}"
    alt = (
        f"Power spectra of {facts.name}: decoded has {number(float(kept), 5)} times the power of the source; {beyond}."
    )
    frames = f"mean of {found.frames} frames" if found.frames > 1 else "one frame"
    return Picture(to_svg(figure, alt, prefix), f"Power by {found.kind}, {frames}: {beyond}.")


def profile(facts: VariableFacts, prefix: str) -> Picture | None:
    """Errors along levels, or another axis."""
    found = facts.profile
    if found is None or found.indices.size < 2 or not (found.largest > 0).any():
        return None
    array, dim = facts.pair.source, str(facts.pair.source.dims[found.axis])
    places, units, down = _positions(facts, dim, found.indices)
    with style():
        figure, (axes,) = make_axes(canvas.PLOT)
        if found.bound is not None:
            axes.plot(found.bound, places, color=canvas.ORANGE, linewidth=1.6, label="bound")
        axes.plot(found.largest, places, color=INK, linewidth=1.1, marker=".", markersize=3, label="largest error")
        axes.plot(found.rmse, places, color=canvas.BLUE, linewidth=1.6, marker=".", markersize=3, label="RMSE")
        drawn = np.concatenate([each[each > 0] for each in (found.largest, found.rmse)])
        if drawn.size and drawn.max() > 30 * drawn.min():
            canvas.logarithmic(axes, "x")
        else:
            axes.set_xlim(0, None)
        axes.set(
            xlabel=f"error [{facts.units or 'units of the variable'}]", ylabel=f"{dim} [{units}]" if units else dim
        )
        if down:
            axes.invert_yaxis()
        axes.legend(**canvas.ABOVE)
    worst = int(np.argmax(found.largest))
    at = label_of(array, dim, int(found.indices[worst]))
    alt = (
        f"Errors of {facts.name} along {dim}: RMSE from {with_units(float(found.rmse.min()), facts)} to "
        f"{with_units(float(found.rmse.max()), facts)}; the largest error, "
        f"{with_units(float(found.largest[worst]), facts)}, at {at}."
    )
    seen = f"{found.indices.size} of {array.sizes[dim]}" if found.indices.size < array.sizes[dim] else "all"
    return Picture(to_svg(figure, alt, prefix), f"Errors along {dim}, {seen} indices; the largest at {at}.")


def series(facts: VariableFacts, prefix: str) -> Picture | None:
    """One point in time, both sides, and the error under it."""
    found = facts.series
    if found is None or not np.isfinite(found.source).any():
        return None
    array, time = facts.pair.source, facts.axes.time
    if time is None:
        return None
    dim = str(array.dims[time])
    first, last = (label_of(array, dim, int(found.times[end])) for end in (0, -1))
    with np.errstate(invalid="ignore"):  # of infinities
        error = found.stored - found.source
    with style():
        figure, (upper, lower) = make_axes(canvas.UPPER, canvas.LOWER)
        for axes, values, colour, dash, width, label in (
            (upper, found.source, INK, "-", 2.2, "source"),
            (upper, found.stored, canvas.BLUE, "--", 1.4, "decoded"),
            (lower, error, canvas.BLUE, "-", 1.0, None),
        ):
            axes.plot(found.times, values, dash, color=colour, linewidth=width, label=label)
        if found.allowed is not None:
            for sign in (-1, 1):
                lower.plot(found.times, sign * found.allowed, color=canvas.ORANGE, linewidth=1.2)
        upper.legend(**canvas.ABOVE)
        upper.tick_params(labelbottom=False)
        upper.set_ylabel(facts.units or "value")
        lower.set(ylabel="error", xlabel=f"index along {dim}")
    known = np.abs(error[np.isfinite(error)])
    place = place_of(array, found.index, without=(time,)) or "the only point"
    largest = with_units(float(known.max()) if known.size else float("nan"), facts)
    alt = f"Series of {facts.name} at {place}, {found.times.size} times: the largest error is {largest}."
    bounds = "; the bound in orange" if found.allowed is not None else ""
    return Picture(to_svg(figure, alt, prefix), f"At {place}, {found.times.size} times from {first} to {last}{bounds}.")


def _positions(facts: VariableFacts, dim: str, indices: NDArray[np.int64]) -> tuple[NDArray[Any], str, bool]:
    """Where indices lie along an axis, its units, and whether it goes down."""
    coordinates = facts.pair.source.coords
    if dim not in coordinates or coordinates[dim].dims != (dim,) or coordinates[dim].dtype.kind not in "fiu":
        return indices, "index", False
    coordinate = coordinates[dim]
    units = str(coordinate.attrs.get("units", ""))
    down = coordinate.attrs.get("positive") == "down" or units.lower() in ("hpa", "pa", "mbar", "millibars", "mb")
    return coordinate.values[indices], units, down or (dim == "level" and units == "")


def _thinned(x: NDArray[Any], y: NDArray[Any], most: int = 160) -> tuple[NDArray[Any], NDArray[Any]]:
    """Points of a logarithmic axis that can be told apart."""
    if x.size <= most:
        return x, y
    kept = np.unique(np.geomspace(1, x.size, most).round().astype(int)) - 1
    return x[kept], y[kept]


def _squared(units: str) -> str:
    return f"({units})²" if units else "squared units"
