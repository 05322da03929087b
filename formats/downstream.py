"""What decoding errors do to quantities that users derive: winds, rotation, wet days, trends, spread, depressions.

Stage: evaluation, for the report. Both sides are derived alike and compared; means are by area. Which checks apply is
seen from CF standard names, units and usual names. A check reads a sample of the fields, not all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats import field_search
from adiabat.formats.derived_fields import Minimum, divergence, geostrophic_wind, minima, vorticity
from adiabat.formats.derived_series import ensemble_spread, linear_trend, wet_days
from adiabat.formats.downstream_sample import Fields, Sides
from adiabat.formats.extremes import great_circle_km

__all__ = ["DownstreamCheck", "downstream_checks"]

Floats = NDArray[np.float64]
POLAR: Final = 85.0  # degrees, beyond which meridians are too near to each other for derivatives
EQUATOR: Final = 10.0  # degrees, nearer to which there is no geostrophic balance
WET: Final = 1.0  # mm a day
APART_KM: Final = 500.0  # of depressions
DEPTH: Final = {"hPa": 4.0, "m2 s-2": 300.0}  # of a depression below the mean around
TROPICAL: Final = 850.0  # hPa, where geopotential shows the depressions


@dataclass(frozen=True)
class DownstreamCheck:
    """One derived quantity, of the source and of the decoded fields: `downstream_checks` makes it.

    Attributes
    ----------
    name : str
    of : tuple of str
        The variables it is derived from.
    unit : str
        Of the three numbers that follow.
    size : float
        Standard deviation of the source's quantity; of wet days their mean count, of depressions their mean depth.
    error, largest : float
        Root mean square of decoded less source, and the largest of its absolute values; of a wind, of the vector.
    told : str
        What was found, in one sentence.
    """

    name: str
    of: tuple[str, ...]
    unit: str
    size: float
    error: float
    largest: float
    told: str

    def as_dict(self) -> dict[str, str | float | tuple[str, ...]]:
        """Plain values by name; NaN as it is."""
        return asdict(self)


def downstream_checks(source: xr.Dataset, decoded: xr.Dataset, *, most: int = 2**23) -> list[DownstreamCheck]:
    """Derive what users derive from both sides, and compare.

    Parameters
    ----------
    source, decoded : xarray.Dataset
        The same variables in one shape, values decoded (scaled, missing ones NaN); axes are the source's. What is in
        one only is passed over.
    most : int
        Values of one side read for one check; at least one field or one day.

    Returns
    -------
    list of DownstreamCheck
        None where nothing applies. A check that cannot be made, of data that are odd, is left out.

    Examples
    --------
    >>> latitude, longitude = np.linspace(-88, 88, 45), np.arange(0, 360, 4.0)
    >>> wave = 200 * np.cos(np.radians(latitude))[:, None] ** 2 * np.sin(np.radians(3 * longitude))
    >>> height = xr.DataArray(
    ...     5500 + wave, {"latitude": latitude, "longitude": longitude, "plev": 500.0}, ("latitude", "longitude"),
    ...     attrs={"standard_name": "geopotential_height", "units": "m"},
    ... )
    >>> height.plev.attrs["units"] = "hPa"
    >>> source = xr.Dataset({"gh": height})
    >>> (found,) = downstream_checks(source, source + np.random.default_rng(0).uniform(-1, 1, wave.shape))
    >>> found.name, found.of, found.unit, round(found.size, 1), round(found.error, 1)
    ('geostrophic wind', ('gh',), 'm s-1', 9.9, 0.2)
    """
    out, sides = [], Sides(source, decoded, most)
    for job in _jobs(source):
        try:
            with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # of infinities
                out.append(job(sides))
        except (ArithmeticError, LookupError, TypeError, ValueError):
            continue  # odd data: other checks may still be made
    return [check for check in out if check is not None]


Job = Callable[[Sides], DownstreamCheck | None]


def _jobs(source: xr.Dataset) -> Iterator[Job]:
    """Every check that the names and units of the variables speak for."""
    for name, factor in field_search.GEOPOTENTIAL.find(source).items():
        if field_search.pressure_axis(source[name]) is not None:
            yield partial(_geostrophic, name, factor)
            yield partial(_depressions, name, factor, "m2 s-2")
    for name in field_search.EASTWARD_WIND.find(source):
        partner = field_search.northward_of(source, name)
        if partner is not None:
            yield partial(_turning, (name, partner), "vorticity")
            yield partial(_turning, (name, partner), "divergence")
    for name, factor in field_search.SEA_LEVEL_PRESSURE.find(source).items():
        yield partial(_depressions, name, factor, "hPa")
    for name, factor in field_search.RAIN_RATE.find(source).items():
        yield partial(_wet, name, factor, True)
    for name, factor in field_search.RAIN_SUM.find(source).items():
        yield partial(_wet, name, factor, False)
    for name in [str(each) for each, array in source.data_vars.items() if array.dtype.kind == "f"]:
        yield partial(_trend, name)
        yield partial(_spread, name)


def _geostrophic(name: str, factor: float, sides: Sides) -> DownstreamCheck | None:
    fields = sides.fields((name,))
    if fields is None:
        return None
    winds = [
        np.stack(geostrophic_wind(factor * each[0], fields.latitude, fields.longitude, equator=EQUATOR))
        for each in fields.sides
    ]
    return _told("geostrophic wind", (name,), "m s-1", winds, fields)


def _turning(names: tuple[str, str], quantity: str, sides: Sides) -> DownstreamCheck | None:
    fields = sides.fields(names)
    if fields is None:
        return None
    derive = vorticity if quantity == "vorticity" else divergence
    found = [derive(u, v, fields.latitude, fields.longitude)[None] for u, v in fields.sides]
    return _told(quantity, names, "s-1", found, fields)


def _told(name: str, of: tuple[str, ...], unit: str, sides: Sequence[Floats], fields: Fields) -> DownstreamCheck | None:
    """Compare derived fields (component, frame, y, x), but for those near the poles."""
    weights = np.where(np.abs(fields.latitude) <= POLAR, fields.weights, 0.0)[:, None]
    scores = _compare(sides[0], sides[1], weights)
    if scores is None:
        return None
    between = f"from {EQUATOR:g}" if unit == "m s-1" else "up"
    where = f", {between} to {POLAR:g} degrees of latitude" if (np.abs(fields.latitude) > POLAR).any() else ""
    told = f"{_share(name, of, unit, scores)}{where}, in {_counted(sides[0].shape[1], 'field')}."
    return DownstreamCheck(name, of, unit, *scores, told)


def _wet(name: str, factor: float, is_rate: bool, sides: Sides) -> DownstreamCheck | None:
    days = sides.days(name)
    if days is None:
        return None
    sums = [factor * (each.mean(1) if is_rate else each.sum(1)) for each in days.sides]  # (day, ...), mm
    known = np.isfinite(sums[0]) & np.isfinite(sums[1])
    first, second = (np.where(known, each, np.nan) for each in sums)
    counts = [wet_days(each, threshold=WET) for each in (first, second)]
    scores = _compare(counts[0][None], counts[1][None], days.weights)
    if scores is None:
        return None
    mean = float(np.nanmean(counts[0]))
    flipped = float(np.mean(((first > WET) != (second > WET))[known]))
    told = (
        f"On average over the cells {mean:.3g} of {_counted(len(first), 'day')} have more than {WET:g} mm; "
        f"{_percent(flipped)} of all days and cells change side."
    )
    return DownstreamCheck("wet days", (name,), "days", mean, *scores[1:], told)


def _trend(name: str, sides: Sides) -> DownstreamCheck | None:
    series = sides.series(name)
    if series is None or series.years is None:
        return None
    slopes = [10 * linear_trend(each, series.years)[None] for each in series.sides]
    scores = _compare(slopes[0], slopes[1], series.weights)
    return _of_series("trend", name, f"{series.units} per decade", scores, f"over {len(series.years)} years")


def _spread(name: str, sides: Sides) -> DownstreamCheck | None:
    series = sides.series(name, members=True)
    if series is None:
        return None
    spreads = [ensemble_spread(each)[None] for each in series.sides]
    scores = _compare(spreads[0], spreads[1], series.weights)
    means = " of yearly means" if series.years is not None else ""
    return _of_series("ensemble spread", name, series.units, scores, f"of {len(series.sides[0])} members{means}")


def _of_series(
    name: str, of: str, unit: str, scores: tuple[float, float, float] | None, over: str
) -> DownstreamCheck | None:
    told = None if scores is None else f"{_share(name, (of,), unit, scores)}, {over}."
    return None if scores is None or told is None else DownstreamCheck(name, (of,), unit, *scores, told)


def _depressions(name: str, factor: float, unit: str, sides: Sides) -> DownstreamCheck | None:
    level = TROPICAL if unit == "m2 s-2" else None
    fields = sides.fields((name,), level=level)
    if fields is None:
        return None
    found = [
        minima(factor * each[0], fields.latitude, fields.longitude, depth=DEPTH[unit], apart_km=APART_KM)
        for each in fields.sides
    ]
    if not any(found):
        return None
    pairs = [(each, near) for each in found[0] if (near := _nearest(each, found[1])) is not None]
    off = np.array([b.depth - a.depth for a, b in pairs])
    moved = max((great_circle_km(a.place, b.place) for a, b in pairs), default=math.nan)
    size = float(np.mean([each.depth for each in found[0]])) if found[0] else math.nan
    error, largest = (float(np.sqrt(np.mean(off**2))), float(np.abs(off).max())) if pairs else (math.nan, math.nan)
    told = (
        f"{_counted(len(found[0]), 'depression')} in {_counted(fields.sides[0].shape[1], 'field')}, at least "
        f"{DEPTH[unit]:g} {unit} below the mean within {APART_KM:g} km; {len(pairs)} found again in the decoded fields"
        + (f", at most {moved:.0f} km away" if pairs else "")
        + f", {len(found[1]) - len({id(b) for _, b in pairs})} new."
    )
    quantity = "depressions of sea level pressure" if unit == "hPa" else "depressions of geopotential"
    return DownstreamCheck(quantity, (name,), unit, size, error, largest, told)


def _nearest(one: Minimum, others: Sequence[Minimum]) -> Minimum | None:
    """The nearest in the same field, within half of what depressions lie apart."""
    near = [(great_circle_km(one.place, each.place), k) for k, each in enumerate(others) if each.index == one.index]
    distance, k = min(near, default=(math.inf, 0))
    return others[k] if distance <= APART_KM / 2 else None


def _compare(x: Floats, y: Floats, weights: Floats) -> tuple[float, float, float] | None:
    """Spread of x, RMSE and largest error of y, (component, ..., y, x); None where no cell is known of both."""
    known = (np.isfinite(x) & np.isfinite(y)).all(0)
    weight = np.where(known, np.broadcast_to(weights, known.shape), 0.0)
    total = float(weight.sum())
    if not total > 0:
        return None
    x, error = (np.where(weight > 0, each, 0.0) for each in (x, y - x))
    axes = tuple(range(1, x.ndim))
    off = x - (weight * x).sum(axes, keepdims=True) / total
    size, rmse = (math.sqrt(float((weight * (each**2).sum(0)).sum() / total)) for each in (off, error))
    return size, rmse, math.sqrt(float((error**2).sum(0).max()))


def _share(name: str, of: tuple[str, ...], unit: str, scores: tuple[float, float, float]) -> str:
    size, error, _ = scores
    share = f", {_percent(error / size)} of its standard deviation" if size > 0 else ""
    return f"{name[0].upper()}{name[1:]} of {' and '.join(of)} errs by {error:.2g} {unit} (RMSE){share}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
