"""The CDF 9/7 wavelet by lifting: forward in float64, inverse in integers, so that it gives the same bits everywhere.

Stage of `hyperprior`: `g_a` is `analyse`, `g_s` is `synthesise`; between them stand the `subband` coefficients.
Spec: spec/hyperprior.md, section 2.

    scale level 0 is the field; level l + 1 holds its smooth part LL, half as large, and three bands of detail beside:
    HL (along x), LH (along y), HH (along both). Levels go on until one value is left.

Low-pass filters have a gain of 1 for constants, so that LL is the field, smoothed, in its own units. How much a
coefficient's error weighs in the field's is the norm of its synthesis function: steps are divided by it.

Source: Cohen, Daubechies, Feauveau 1992; lifting after Daubechies, Sweldens 1998.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.workers import share

BITS = 16  # fraction bits of the lifting's multipliers
MULTIPLIERS: tuple[int, ...] = (-103949, -3472, 57862, 29066)  # -1.586134342, -0.05298011857, 0.8829110755, 0.443506852
INTEGER_GAIN = 80621  # 1.230174105: of the even samples, for constants, once lifted
LIFTS = tuple(by / (1 << BITS) for by in MULTIPLIERS)  # rounded likewise, so that the inverse is one
GAIN = INTEGER_GAIN / (1 << BITS)
STEP_BITS = 16
STEP = 1 << STEP_BITS  # the quantisation step, in the integers' units, of a synthesis function of norm 1
STRIP = 128  # columns whose rows are handled together: as many as stay in the second-level cache
SHARE = 1 << 16  # samples a worker takes at a time

# Norms of the synthesis functions along one axis, as 2**16 over the norm: smooth and detail, by level from 0;
# the last stands for all deeper ones.
SMOOTH = (65536, 46741, 32278, 22590, 15925, 11252, 7955, 5625, 3977, 2812, 1989, 1406, 994, 703, 497, 352, 249)
DETAIL = (65536, 73862, 54169, 36945, 25690, 18076, 12765, 9023, 6380, 4511, 3190, 2255, 1595, 1128, 796, 564, 399)

HL, LH, HH = 0, 1, 2
BANDS = (HL, LH, HH)
PARITY = ((0, 1), (1, 0), (1, 1))  # of the row and column, on the finer level, where a band's coefficients stand

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Scale:
    """One scale level: how a field of some size splits into LL and bands of detail.

    Attributes
    ----------
    size, smooth : tuple of int
        Rows and columns of the finer field and of LL.
    depth : int
        Number of this level among those that halve both axes, from 1; 0 for one before them.
    along_y, along_x : int
        How often the axis has been halved, this level included.
    """

    size: tuple[int, int]
    smooth: tuple[int, int]
    depth: int
    along_y: int
    along_x: int

    def bands(self) -> list[tuple[int, tuple[int, int]]]:
        """The bands that this level has and their sizes, HL, LH, HH."""
        sizes = [(band, self._band(band)) for band in BANDS]
        return [(band, size) for band, size in sizes if min(size) > 0]

    def _band(self, band: int) -> tuple[int, int]:
        """Rows and columns of a band; none of one that would need an axis that is not halved."""
        out = [
            (self.size[axis] + 1 - odd) // 2 if self.halved(axis) else self.size[axis] * (1 - odd)
            for axis, odd in enumerate(PARITY[band])
        ]
        return out[0], out[1]

    def halved(self, axis: int) -> bool:
        """Whether this level halves the axis."""
        return self.smooth[axis] != self.size[axis]

    def steps(self, axis: int) -> int:
        """Distance of LL's values on the finer field."""
        return 2 if self.halved(axis) else 1

    def step(self, band: int) -> int:
        """Quantisation step of a band, in the integers' units."""
        odd_y, odd_x = PARITY[band]
        return _step(_norm(DETAIL if odd_y else SMOOTH, self.along_y), _norm(DETAIL if odd_x else SMOOTH, self.along_x))

    @property
    def smooth_step(self) -> int:
        """Quantisation step of LL."""
        return _step(_norm(SMOOTH, self.along_y), _norm(SMOOTH, self.along_x))


def _norm(norms: tuple[int, ...], level: int) -> int:
    return norms[min(level, len(norms) - 1)]


def _step(y: int, x: int) -> int:
    return max(1, (y * x) >> (2 * 16 - STEP_BITS))


def scales(height: int, width: int, *, x_first: bool) -> list[Scale]:
    """The scale levels of a frame, finest first, until one value is left.

    x_first: whether a level that halves x alone stands before the others: on a latitude-longitude grid, columns are
    closer together than rows nearly everywhere.
    """
    out: list[Scale] = []
    size, depth, y, x = (height, width), 0, 0, 0
    while size != (1, 1):
        only_x = x_first and not out and width > 1
        smooth = (size[0] if only_x else (size[0] + 1) // 2, (size[1] + 1) // 2)
        depth, y, x = depth + (not only_x), y + (smooth[0] != size[0]), x + (smooth[1] != size[1])
        out.append(Scale(size, smooth, depth, y, x))
        size = smooth
    return out


def analyse(field: Floats, levels: Sequence[Scale], *, wrap: bool) -> tuple[Floats, list[dict[int, Floats]]]:
    """`g_a`: the transform of some frames.

    Parameters
    ----------
    field : NDArray[np.float64], shape (frames, y, x)
    levels : sequence of Scale
        Finest first.
    wrap : bool
        Whether x closes on itself; it is then periodic on every level of even width.

    Returns
    -------
    smooth : NDArray[np.float64], shape (frames, 1, 1)
    details : list of dict
        For each level its bands, shape (frames, rows, columns).
    """
    x, details = field.copy(), []
    for scale in levels:
        if scale.halved(0):
            _lift(x.swapaxes(1, 2), wrap=False)
        if scale.halved(1):
            _lift(x, wrap=wrap and scale.size[1] % 2 == 0)
        y_step, x_step = scale.steps(0), scale.steps(1)
        details.append(
            {band: x[:, PARITY[band][0] :: y_step, PARITY[band][1] :: x_step].copy() for band, _ in scale.bands()}
        )
        x = x[:, ::y_step, ::x_step].copy()
    return x, details


def _lift(x: Floats, *, wrap: bool) -> None:
    """Lift along the last axis, in place; samples are then smooth and detail in turn."""
    even, odd = x[:, :, ::2], x[:, :, 1::2]
    for number, by in enumerate(LIFTS):
        if number % 2 == 0:
            odd += by * even[:, :, : odd.shape[2]]
            odd[:, :, : even.shape[2] - 1] += by * even[:, :, 1:]
            if even.shape[2] == odd.shape[2]:
                odd[:, :, -1] += by * even[:, :, 0 if wrap else -1]
        else:
            even[:, :, 1:] += by * odd[:, :, : even.shape[2] - 1]
            even[:, :, : odd.shape[2]] += by * odd
            even[:, :, 0] += by * odd[:, :, -1 if wrap else 0]
            if even.shape[2] > odd.shape[2]:
                even[:, :, -1] += by * odd[:, :, -1]
    even /= GAIN


def synthesise(
    smooth: Integers, bands: Mapping[int, Integers], scale: Scale, *, wrap: bool, threads: int = 1
) -> Integers:
    """`g_s`, one level of it: LL of the next finer level from LL and the bands of this one, in integers.

    Parameters
    ----------
    smooth, bands : NDArray[np.int64], shape (frames, rows, columns)
    """
    frames, (height, width) = len(smooth), scale.size
    x = np.empty((frames, height, width), np.int64)
    wrap, along_x = wrap and width % 2 == 0, scale.halved(1)
    parts = [(0, smooth, bands.get(HL, smooth))]
    if LH in bands:
        parts.append((1, bands[LH], bands.get(HH, bands[LH])))
    lines = max(1, SHARE // width)
    rows = [
        partial(_unlift_rows, low, high, x, row, scale.steps(0), start, start + lines, along_x, wrap)
        for row, low, high in parts
        for start in range(0, frames * low.shape[1], lines)
    ]
    share(rows, threads)
    if scale.halved(0):
        strips = frames * -(-width // STRIP)
        some = max(1, SHARE // (height * min(STRIP, width)))
        share([partial(_unlift_columns, x, start, start + some) for start in range(0, strips, some)], threads)
    return x


@numba.njit(inline="always")
def _times(value, by):  # type: ignore[no-untyped-def]
    return (value * by + (1 << (BITS - 1))) >> BITS


@numba.njit(nogil=True, cache=True)
def _unlift_rows(low, high, x, row, step, first, last, along_x, wrap):  # type: ignore[no-untyped-def]
    """Undo lifting along x of lines first..last, counted over frames and rows of `low`, into rows row, row + step, ...

    Smooth and detail samples stand apart, so that neighbours do; odd has one before its first, even one after its last.
    """
    rows, width = low.shape[1], x.shape[2]
    even, odd = np.empty((width + 1) // 2 + 1, np.int64), np.empty(width // 2 + 2, np.int64)
    for line in range(first, min(last, low.shape[0] * rows)):
        f, i = line // rows, line % rows
        out, smooth, detail = x[f, row + step * i], low[f, i], high[f, i]
        if not along_x:
            for j in range(width):
                out[j] = smooth[j]
            continue
        for m in range((width + 1) // 2):
            even[m] = _times(smooth[m], INTEGER_GAIN)
        for m in range(width // 2):
            odd[m + 1] = detail[m]
        _unlift_line(even, odd, width, wrap)
        for m in range(width // 2):
            out[2 * m] = even[m]
            out[2 * m + 1] = odd[m + 1]
        if width % 2:
            out[width - 1] = even[width // 2]


@numba.njit(nogil=True, cache=True)
def _unlift_line(even, odd, width, wrap):  # type: ignore[no-untyped-def]
    """The four steps of one line, in place; beyond its ends it is mirrored, or goes on round the circle."""
    evens, odds = (width + 1) // 2, width // 2
    for number in range(3, -1, -1):
        by = MULTIPLIERS[number]
        if number % 2:
            odd[0] = odd[odds] if wrap else odd[1]
            odd[odds + 1] = odd[odds]  # read where the last sample is an even one
            for m in range(evens):
                even[m] -= _times(odd[m] + odd[m + 1], by)
        else:
            even[evens] = even[0] if wrap else even[evens - 1]  # read where the last sample is an odd one
            for m in range(odds):
                odd[m + 1] -= _times(even[m] + even[m + 1], by)


@numba.njit(nogil=True, cache=True)
def _unlift_columns(x, first, last):  # type: ignore[no-untyped-def]
    """Undo lifting along y, in place, of strips first..last of columns, counted over frames and columns."""
    height, width = x.shape[1], x.shape[2]
    strips = -(-width // STRIP)
    for strip in range(first, min(last, x.shape[0] * strips)):
        part = x[strip // strips, :, STRIP * (strip % strips) : STRIP * (strip % strips + 1)]
        for i in range(0, height, 2):
            line = part[i]
            for j in range(line.size):
                line[j] = _times(line[j], INTEGER_GAIN)
        for number in range(3, -1, -1):
            by = MULTIPLIERS[number]
            for i in range(1 - number % 2, height, 2):
                before, after = i - 1 if i > 0 else 1, i + 1 if i + 1 < height else height - 2
                line, above, below = part[i], part[before], part[after]
                for j in range(line.size):
                    line[j] -= _times(above[j] + below[j], by)
