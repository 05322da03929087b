"""See whether values lie on a lattice phase + k * spacing, as packed GRIB and int16 netCDF leave them.

Used by `bound` to choose a domain. Only the encoder runs this; floats here may differ between machines without harm.
Spec: `spec/bounds.md`, "lattice" (informative).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_spacing", "fit_phase", "half_ulp"]

TINY, HUGE = 1e-290, 1e270  # roundings outside are no lattice's: nothing below can overflow
GLANCE, SAMPLE = 512, 4096  # values looked at: first, and where the first look is promising
DISTINCT = 24  # fewest distinct values that can show a lattice
CHECKED = 1 << 16  # values of a lattice that need not be exact
ODD_ONES = 1e-3  # of them, this many may lie off it
ROUNDS = 3  # of fitting, values that did not fit being added to the sample
HOPELESS = 1e-2  # fraction of values that do not fit: unpacked in float32, most likely
GAPS = 48  # smallest gaps whose common divisor is sought


def half_ulp(values: NDArray[np.floating]) -> float:
    """Half a unit in the last place of the largest magnitude.

    Examples
    --------
    >>> half_ulp(np.array([300.0], np.float32)) == 2.0**-16
    True
    """
    largest = max(float(values.max()), -float(values.min()))
    return math.ldexp(float(np.finfo(values.dtype).eps), math.frexp(largest)[1] - 1) / 2


def find_spacing(values: NDArray[np.floating]) -> float | None:
    """Return the spacing of the lattice a sample of the values lies on, to about a millionth; None if on none.

    Parameters
    ----------
    values : NDArray[np.floating], one axis
        Finite values. A few thousand of them are looked at.

    Examples
    --------
    >>> field = (230 + 0.001 * np.random.default_rng(0).integers(0, 60000, 9999)).astype(np.float32)
    >>> round(find_spacing(field), 7)
    0.001
    >>> find_spacing(np.random.default_rng(0).normal(size=9999)) is None
    True
    """
    rounding = 2 * half_ulp(values)  # of a difference of two values
    if not TINY < rounding < HUGE:
        return None
    spacing = None
    for count in (GLANCE, SAMPLE):
        sample = _distinct(values, count)
        if len(sample) < DISTINCT:
            return None
        divisor = _common_divisor(np.diff(sample), rounding)
        if divisor is None:
            return None
        # From the median, where values are dense, and both ways: never a long step without support.
        offsets = np.sort(np.abs(sample - sample[len(sample) // 2]))
        spacing = _refine(offsets, divisor, rounding)
        if spacing is None:
            return None
    return None if spacing is None else float(spacing)


def _distinct(values: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    stride = max(1, len(values) // count) | 1  # odd: not in step with the rows
    return np.unique(values[::stride].astype(np.float64))


def _common_divisor(gaps: NDArray[np.float64], rounding: float) -> float | None:
    """Approximate greatest common divisor of the smallest gaps; None where it drowns in rounding."""
    small = np.sort(gaps)[:GAPS].tolist()
    divisor, doubt = small[0], rounding
    if divisor < 8 * rounding:
        return None
    for gap in small:
        left, left_doubt = gap, rounding
        while True:
            times = round(left / divisor)
            rest, rest_doubt = abs(left - times * divisor), left_doubt + times * doubt
            if rest <= 1.5 * rest_doubt:
                break
            left, left_doubt, divisor, doubt = divisor, doubt, rest, rest_doubt
            if divisor < 8 * doubt:
                return None
        if times and left_doubt / times < doubt:
            divisor, doubt = left / times, left_doubt / times
    return divisor if divisor >= 8 * rounding else None


def _refine(offsets: NDArray[np.float64], spacing: float, rounding: float) -> float | None:
    """Sharpen the spacing on ever longer offsets (sorted, from 0); None where one is no multiple of it."""
    doubt = rounding  # of the spacing
    reached = 0.0
    while reached < offsets[-1]:
        reach = 0.25 * spacing / doubt * spacing
        near = offsets[(offsets > 0) & (offsets <= max(reach, offsets[1]))]
        counts = np.rint(near / spacing)
        if near[-1] <= reached or not counts[0]:
            return None
        if np.any(np.abs(near - counts * spacing) > rounding + counts * doubt):
            return None
        spacing, doubt, reached = near[-1] / counts[-1], rounding / counts[-1], near[-1]
    counts = np.rint(offsets / spacing)
    return spacing if np.all(np.abs(offsets - counts * spacing) <= 2 * rounding) else None


def fit_phase(values: NDArray[np.floating], spacing: float, *, exact: bool) -> tuple[float, float] | None:
    """Find spacing and phase that give the values back, the simplest numbers that do.

    Parameters
    ----------
    values : NDArray[np.floating], one axis
    spacing : float
        From `find_spacing`.
    exact : bool
        Whether every value must come back bit for bit after rounding to its dtype; otherwise
        nearly all of a larger sample must lie within two ulps (unpacking rounds once or twice).

    Returns
    -------
    tuple of spacing and phase, or None
        The phase lies within half a spacing of zero.
    """
    sample = _distinct(values, SAMPLE)
    checked = values[:: max(1, len(values) // CHECKED) | 1]
    for _ in range(ROUNDS):
        spacing, phase = _fit(sample, spacing, values.dtype)
        wrong = _wrong(checked, spacing, phase)
        if exact and len(checked) < len(values) and not wrong.any():
            checked = values
            wrong = _wrong(checked, spacing, phase)
        if not wrong.any():
            return spacing, phase
        if np.count_nonzero(wrong) > HOPELESS * len(checked):
            break
        sample = np.union1d(sample, checked[wrong][:SAMPLE].astype(np.float64))
    lattice = phase + np.rint((checked - np.float64(phase)) / spacing) * spacing
    far = np.abs(lattice - checked) > 4 * half_ulp(values)
    return None if exact or np.count_nonzero(far) > ODD_ONES * len(checked) else (spacing, phase)


def _wrong(values: NDArray[np.floating], spacing: float, phase: float) -> NDArray[np.bool_]:
    """Where the lattice, rounded to the dtype, does not give the value back."""
    lattice = np.rint((values - np.float64(phase)) / spacing) * spacing + phase
    wrong: NDArray[np.bool_] = lattice.astype(values.dtype) != values
    return wrong


def _fit(sample: NDArray[np.float64], spacing: float, dtype: np.dtype[np.floating]) -> tuple[float, float]:
    """Find the simplest spacing and phase within half an ulp of all of a sorted sample, or the nearest ones."""
    half = np.spacing(np.abs(sample).astype(dtype)).astype(np.float64) / 2
    first = float(sample[0])
    counts = np.rint((sample - first) / spacing)
    low, high = sample - half - first, sample + half - first

    def gap(trial: float) -> float:  # convex in trial; at most 0 where some phase fits every value
        return float((low - counts * trial).max() - (high - counts * trial).min())

    spacing = _simplest_spacing(gap, spacing, 4 * float(half.max()) / float(counts[-1]))
    least = float((low - counts * spacing).max())
    most = float((high - counts * spacing).min())
    origin = round((first + (least + most) / 2) / spacing) * spacing
    ends = sorted((first - origin + least, first - origin + most))
    return spacing, _simplest(ends[0], ends[1])


def _simplest_spacing(gap: Callable[[float], float], middle: float, doubt: float) -> float:
    """Find the simplest spacing for which `gap` is not positive, or the best one where there is none."""
    left, right = middle - doubt, middle + doubt
    for _ in range(60):
        third = (right - left) / 3
        if gap(left + third) < gap(right - third):
            right -= third
        else:
            left += third
    best = (left + right) / 2
    if gap(best) > 0:
        return best
    ends = []
    for end in (middle - 2 * doubt, middle + 2 * doubt):
        inside, outside = best, end
        for _ in range(40):
            trial = (inside + outside) / 2
            inside, outside = (trial, outside) if gap(trial) <= 0 else (inside, trial)
        ends.append(inside)
    decimal = _simplest_decimal(ends[0], ends[1])
    return decimal if decimal is not None and gap(decimal) <= 0 else _simplest(ends[0], ends[1])


def _simplest_decimal(low: float, high: float) -> float | None:
    """Find a GRIB spacing 2**e / 10**d between two numbers, with the smallest d."""
    for digits in range(8):
        spacing: float = 2.0 ** round(math.log2((low + high) / 2 * 10**digits)) / 10**digits
        if low <= spacing <= high:
            return spacing
    return None


def _simplest(low: float, high: float) -> float:
    """Find the number between two others with the fewest bits behind the point."""
    if low <= 0 <= high:
        return 0.0
    scale = 2.0 ** -math.floor(math.log2(max(abs(low), abs(high))))
    for _ in range(64):
        number = math.ceil(low * scale)
        if number <= high * scale:
            return number / scale
        scale *= 2
    return (low + high) / 2
