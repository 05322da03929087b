"""Many files -> series: which of them follow one another in time, and whether they fit.

Stage: survey -> **arrange** -> series. Files of the same variables follow one another; files of other variables over
the same times lie beside them, as the Climate Data Store splits its files. What does not fit is refused in a sentence
that names two files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.series import Series, make_series
from adiabat.formats.sources.survey import RAW, Facts, Part
from adiabat.formats.sources.times import TimeAxis

__all__ = ["arrange", "gaps"]

_LONGEST_STEP = 27 * 86_400_000_000  # microseconds; months are not evenly long
_MOST_NAMED = 4


def arrange(parts: Sequence[Part]) -> tuple[Series, ...]:
    """Put files after and beside one another.

    Parameters
    ----------
    parts : sequence of Part

    Returns
    -------
    tuple of Series
        Of the same times, each with variables of its own; files without times last.

    Raises
    ------
    RequestError
        If grids, dimensions, units or kinds of numbers differ, a variable is missing somewhere, times are double or
        out of order, or a file has none.
    """
    for part in parts[1:]:
        _check_grid(parts[0], part)
    collections = _collections([part for part in parts if part.times is not None and part.fields])
    still = [part for part in parts if part.times is None or not part.fields]
    if not collections:
        raise RequestError(f"{still[0].path} has no time to put {len(parts)} files in order by: expected a dimension "
                           "time or valid_time, or a coordinate with units such as hours since 2000-01-01")  # fmt: skip
    _check_stills(still, collections)
    first = collections[0][0]
    for collection in collections:
        for part in collection[1:]:
            _check_alike(collection[0], part)
        if collection[0] is not first:
            _check_shared(first, collection[0])
    out = [make_series(_in_order(collection)) for collection in collections]
    for series in out[1:]:
        _check_same_times(out[0], series)
        _check_beside(out[0], series)
    return (*out, *(Series((part.path,), (), None) for part in still))


def gaps(series: Series) -> list[str]:
    """Sentences on times that are missing between files, seen from the step most of them have."""
    axis = series.times
    if axis is None or axis.values.size < 3 or axis.values.dtype.kind not in "fiu":
        return []
    steps = np.diff(axis.values.astype(np.float64))
    usual = float(np.median(steps))
    try:
        day = TimeAxis("", "", np.array([0, usual]), axis.units, axis.calendar)
        length = float(np.diff(day.converted("microseconds since 1970-01-01").values.astype(np.float64))[0])
    except RequestError:
        return []
    wide = np.flatnonzero(steps > 1.5 * usual) if length < _LONGEST_STEP else np.array([], int)
    if not wide.size:
        return []
    where = ", ".join(f"{axis.text(int(i))} and {axis.text(int(i) + 1)}" for i in wide[:_MOST_NAMED])
    return [f"there are times missing between {where}{', ...' if wide.size > _MOST_NAMED else ''}"]


def _collections(parts: Sequence[Part]) -> list[list[Part]]:
    """Files by the variables they hold; sets that share some but not all are refused."""
    found: dict[frozenset[str], list[Part]] = {}
    for part in parts:
        found.setdefault(part.fields, []).append(part)
    # The rarer is the one that lacks, or has too many.
    ordered = sorted(found.values(), key=len, reverse=True)
    for number, some in enumerate(ordered):
        for others in ordered[number + 1 :]:
            _refuse_overlap(some[0], others[0])
    return list(found.values())


def _refuse_overlap(common: Part, rare: Part) -> None:
    if not common.fields & rare.fields:
        return
    missing, extra = sorted(common.fields - rare.fields), sorted(rare.fields - common.fields)
    some, other, names = (rare, common, missing) if missing else (common, rare, extra)
    raise RequestError(f"{some.path} lacks {_named(names)}, which {other.path} has")


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )


def _check_stills(still: Sequence[Part], collections: Sequence[Sequence[Part]]) -> None:
    """Files without times may only hold what no other file does."""
    known: dict[str, Part] = {name: some[0] for some in collections for name in some[0].fields}
    for part in still:
        for name, facts in part.variables.items():
            if name in known and facts.shape:
                raise RequestError(f"{part.path} has no time, but holds {name} as {known[name].path} does")
            if facts.digest is None or len(facts.shape) > 1:
                known.setdefault(name, part)


def _check_grid(first: Part, part: Part) -> None:
    """Refuse other sizes, or other values of coordinates, of dimensions that both have."""
    sizes = _sizes(first)
    for dim, size in _sizes(part).items():
        if dim not in sizes:
            continue
        one, other = first.variables.get(dim), part.variables.get(dim)
        if one is not None and other is not None and one.digest is not None and other.digest is not None:
            _refuse_other(first, part, dim, one, other)
        elif sizes[dim] != size:
            raise RequestError(f"{first.path} and {part.path} are on different grids: {dim} is {sizes[dim]} long in "
                               f"one and {size} in the other")  # fmt: skip


def _refuse_other(first: Part, part: Part, name: str, one: Facts, other: Facts) -> None:
    if one.digest == other.digest and one.shape == other.shape:
        return
    how = (
        f"{name} has {one.text} in one and {other.text} in the other"
        if one.text != other.text
        else f"{name} has other values, {one.text} ({one.dtype} and {other.dtype})"
    )
    raise RequestError(f"{first.path} and {part.path} are on different grids: {how}")


def _check_shared(first: Part, other: Part) -> None:
    """Of files of different variables, what has no time and is in both has to be the same."""
    for name in first.variables.keys() & other.variables.keys():
        one, two = first.variables[name], other.variables[name]
        if one.digest is not None and two.digest is not None and one.digest != two.digest:
            got = "" if one.text == two.text else f": {one.text} and {two.text}"
            raise RequestError(f"{name} differs between {first.path} and {other.path}{got}")


def _sizes(part: Part) -> dict[str, int]:
    dim = part.times.dim if part.times else None
    every = {d: n for facts in part.variables.values() for d, n in zip(facts.dims, facts.shape, strict=True)}
    return {name: size for name, size in every.items() if name != dim}


def _check_alike(first: Part, part: Part) -> None:
    """Refuse a file that does not continue the first: other variables, dimensions, units, kinds of numbers."""
    _check_axis(first, part)
    for one, other in ((first, part), (part, first)):
        missing = sorted(set(one.variables) - set(other.variables))
        if missing:
            raise RequestError(f"{other.path} lacks {_named(missing)}, which {one.path} has")
    for name, facts in first.variables.items():
        there = part.variables[name]
        _check_kind(first, part, name, facts, there)
        if facts.digest is not None and there.digest is not None and facts.shape and there.digest != facts.digest:
            if name in _sizes(first) or len(facts.shape) == 1:
                _refuse_other(first, part, name, facts, there)
            raise RequestError(f"{name} has no time, and differs between {first.path} and {part.path}")


def _check_axis(first: Part, part: Part) -> None:
    """Refuse times along another dimension."""
    one, other = first.times, part.times
    if one and other and (one.name, one.dim) != (other.name, other.dim):
        raise RequestError(f"the times of {first.path} are {one.name}, those of {part.path} {other.name}")


def _check_kind(first: Part, part: Part, name: str, one: Facts, other: Facts) -> None:
    pair = f"{first.path} and {part.path}"
    dims = [tuple(dim for dim in facts.dims) for facts in (one, other)]
    if dims[0] != dims[1]:
        got = " and ".join(" x ".join(each) or "a scalar" for each in dims)
        raise RequestError(f"{name} has different dimensions in {pair}: {got}")
    if (one.dtype.kind in "iub") != (other.dtype.kind in "iub") or (one.dtype.kind == "f") != (other.dtype.kind == "f"):
        raise RequestError(f"{name} is {one.dtype} in {first.path} and {other.dtype} in {part.path}")
    units = [str(facts.attrs.get("units", "")) for facts in (one, other)]
    if units[0] != units[1] and not all(" since " in each for each in units):
        raise RequestError(f"{name} is in {units[0]!r} in {first.path} and in {units[1]!r} in {part.path}")
    for key in RAW:
        if not _equal(one.attrs, other.attrs, key) and one.dtype.kind in "iu":
            raise RequestError(f"the {key} of {name}, which is kept as it is, differs between {pair}")


def _equal(one: Mapping[str, object], other: Mapping[str, object], key: str) -> bool:
    return bool(np.array_equal(np.asarray(one.get(key)), np.asarray(other.get(key))))


def _in_order(parts: Sequence[Part]) -> list[Part]:
    """By time, in the reference of the one that is first."""
    units = [part.times for part in parts if part.times is not None]
    common = [_converted(part, parts[0], units[0]) for part in parts]
    for part, axis in zip(parts, common, strict=True):
        _check_inside(part, axis)
    order = sorted(range(len(parts)), key=lambda number: common[number].values[0])
    for here, there in pairwise(order):
        one, other = common[here], common[there]
        if one.values[-1] >= other.values[0]:
            _refuse_times(parts[here], parts[there], one, other)
    return [parts[number] for number in order]


def _converted(part: Part, first: Part, axis: TimeAxis) -> TimeAxis:
    """Times of a part in the units of another, named where that cannot be."""
    if part.times is None:
        raise RequestError(f"{part.path} has no time")
    if not axis.units and not part.times.units:
        return part.times
    try:
        return part.times.converted(axis.units, axis.calendar)
    except RequestError as error:
        raise RequestError(f"the times of {part.path} and {first.path} do not fit: {error}") from error


def _check_inside(part: Part, axis: TimeAxis) -> None:
    if not axis.values.size:
        raise RequestError(f"{part.path} holds no time at all")
    if axis.values.dtype.kind not in "fiu":
        raise RequestError(f"expected times of {part.path} as numbers, got {axis.values.dtype}")
    steps = np.diff(axis.values)
    if bool((steps > 0).all()):
        return
    place = int(np.flatnonzero(~(steps > 0))[0])
    if steps[place] == 0:
        raise RequestError(f"{part.path} holds the time {axis.text(place)} twice")
    raise RequestError(f"the times of {part.path} are out of order: {axis.text(place)} and then {axis.text(place + 1)}")


def _refuse_times(here: Part, there: Part, one: TimeAxis, other: TimeAxis) -> None:
    double = np.intersect1d(one.values, other.values)
    if double.size:
        place = int(np.flatnonzero(one.values == double[0])[0])
        more = f" and {double.size - 1} more" if double.size > 1 else ""
        raise RequestError(f"{here.path} and {there.path} both hold the time {one.text(place)}{more}")
    raise RequestError(f"the times of {here.path} ({one.span()}) and {there.path} ({other.span()}) overlap")


def _check_same_times(first: Series, series: Series) -> None:
    """Files of other variables lie beside these only where they have the same times."""
    if first.times is None or series.times is None:
        return
    axis = series.times
    if axis.units or first.times.units:
        axis = axis.converted(first.times.units, first.times.calendar)
    if axis.values.shape == first.times.values.shape and bool((axis.values == first.times.values).all()):
        return
    lone = np.setxor1d(axis.values, first.times.values)
    holder = axis if lone[0] in axis.values else first.times
    place = int(np.flatnonzero(holder.values == lone[0])[0])
    lacking = first if holder is axis else series
    raise RequestError(
        f"{first.paths[0]} and {series.paths[0]} hold different variables at different times: nothing at "
        f"{holder.text(place)} in files such as {lacking.paths[0]}; they go into stores of their own"
    )


def _check_beside(first: Series, series: Series) -> None:
    if first.times and series.times and first.times.dim != series.times.dim:
        raise RequestError(f"the times of {first.paths[0]} are {first.times.dim}, those of {series.paths[0]} "
                           f"{series.times.dim}")  # fmt: skip
