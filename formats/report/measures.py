"""What a sample of one variable tells: errors, their histogram, profile, series, differences, one map.

Stage: pairs -> **measures** -> facts. In float64, from the pieces that were read; nothing here reads files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.report.axes import Axes
from adiabat.formats.report.sampling import Box

__all__ = ["Histogram", "Map", "Piece", "Profile", "Roughness", "Series"]
__all__ += ["error_histogram", "error_profile", "map_of", "roughness", "series_at", "shares"]

Floats = NDArray[np.float64]
BINS = 90
BEYOND = 1.2  # bounds that the histogram shows
TIMES = 240  # of a series, at most: more cannot be told apart


@dataclass(frozen=True)
class Piece:
    """One region on both sides, and the error allowed there; None without a bound."""

    box: Box
    source: NDArray[Any]
    stored: NDArray[Any]
    allowed: Floats | None

    @property
    def error(self) -> Floats:
        """Decoded less source; NaN where either is not finite."""
        with np.errstate(invalid="ignore"):
            error = self.stored.astype(np.float64) - self.source.astype(np.float64)
        return np.where(np.isfinite(error), error, np.nan)


@dataclass(frozen=True)
class Histogram:
    """Counts of errors: edges (n + 1,) and counts (n,), in shares of the bound, or in units where there is none."""

    edges: Floats
    counts: NDArray[np.int64]
    beyond: int
    relative: bool


@dataclass(frozen=True)
class Map:
    """One frame, of which every so many cells are kept; where most of the bound is used, and the error there."""

    index: tuple[int, ...]
    origin: tuple[int, int]
    shape: tuple[int, int]
    pooled: tuple[int, int]
    field: Floats
    error: Floats
    worst: tuple[int, int]


@dataclass(frozen=True)
class Profile:
    """Errors along an axis: indices, RMSE, largest error, values compared, and the bound where it is one number."""

    axis: int
    indices: NDArray[np.int64]
    rmse: Floats
    largest: Floats
    compared: NDArray[np.int64]
    bound: Floats | None


@dataclass(frozen=True)
class Series:
    """One point in time: the index of the point (of time the first), times, both sides, and the error allowed."""

    index: tuple[int, ...]
    times: NDArray[np.int64]
    source: Floats
    stored: Floats
    allowed: Floats | None


@dataclass(frozen=True)
class Roughness:
    """Differences of neighbours along an axis: RMS of the source's, and of their errors; pairs compared."""

    axis: int
    source: float
    error: float
    pairs: int

    @property
    def ratio(self) -> float:
        """Error over source; NaN where the source does not vary."""
        return self.error / self.source if self.source else math.nan


def shares(piece: Piece) -> Floats:
    """Errors over what is allowed, of values that may have any; in units where there is no bound."""
    error = piece.error
    if piece.allowed is None:
        return error[np.isfinite(error)]
    allowed = np.broadcast_to(piece.allowed, error.shape)
    known = np.isfinite(error) & (allowed > 0)
    return np.asarray(error[known] / allowed[known], np.float64)


def error_histogram(pieces: Sequence[Piece]) -> Histogram:
    """Count errors of all pieces.

    Examples
    --------
    >>> box = Box((slice(0, 3),))
    >>> found = error_histogram([Piece(box, np.zeros(3), np.array([0.5, -0.5, 2.0]), np.ones(1))])
    >>> int(found.counts.sum()), found.beyond
    (2, 1)
    """
    relative = all(piece.allowed is not None for piece in pieces)
    top = BEYOND
    if not relative:
        top = max((float(np.abs(part).max()) for piece in pieces if (part := shares(piece)).size), default=0.0) or 1.0
    edges = np.linspace(-top, top, BINS + 1)
    counts, beyond = np.zeros(BINS, np.int64), 0
    for piece in pieces:
        found = shares(piece)
        counts += np.histogram(found, edges)[0]
        beyond += int(np.count_nonzero(np.abs(found) > top))
    return Histogram(edges, counts, beyond, relative)


def error_profile(pieces: Sequence[Piece], axis: int, length: int) -> Profile:
    """RMSE and largest error for each index along an axis that was looked at."""
    squares, largest, compared = np.zeros(length), np.zeros(length), np.zeros(length, np.int64)
    bound = np.full(length, np.nan)
    for piece in pieces:
        part = piece.box.region[axis]
        error = np.moveaxis(piece.error, axis, 0).reshape(part.stop - part.start, -1)
        known = np.isfinite(error)
        squares[part] += np.square(np.where(known, error, 0.0)).sum(1)
        largest[part] = np.maximum(largest[part], np.where(known, np.abs(error), 0.0).max(1, initial=0.0))
        compared[part] += known.sum(1)
        if piece.allowed is not None and piece.allowed.size in (1, piece.allowed.shape[axis]):
            bound[part] = piece.allowed.ravel()
    found = np.flatnonzero(compared)
    limit = bound[found] if found.size and np.isfinite(bound[found]).all() else None
    return Profile(axis, found, np.sqrt(squares[found] / compared[found]), largest[found], compared[found], limit)


def map_of(pieces: Sequence[Piece], axes: Axes, *, most: tuple[int, int] = (200, 300)) -> Map | None:
    """The frame in which the bound is used most, or with the largest error where there is none.

    None where there are no frames.
    """
    peaks = [_used(piece).max(axis=axes.frame) if piece.box.whole else np.full((), -2.0) for piece in pieces]
    if len(axes.frame) != 2 or not any(piece.box.whole for piece in pieces):
        return None
    number = max(range(len(pieces)), key=lambda each: float(peaks[each].max()))
    piece, at = pieces[number], np.unravel_index(int(np.argmax(peaks[number])), peaks[number].shape)
    select = dict(zip(axes.leading, map(int, at), strict=True))
    cut = tuple(select.get(axis, slice(None)) for axis in range(len(axes.shape)))
    parts = [each[cut] for each in (piece.source, piece.error, _used(piece))]
    source, error, used = (part.T if axes.frame[0] > axes.frame[1] else part for part in parts)
    index = tuple(first + select.get(axis, 0) for axis, first in enumerate(piece.box.start))
    origin = piece.box.start[axes.frame[0]], piece.box.start[axes.frame[1]]
    rows, columns = source.shape
    down, right = math.ceil(rows / most[0]), math.ceil(columns / most[1])
    thin = slice(down // 2, None, down), slice(right // 2, None, right)
    field = np.where(np.isfinite(source), source, np.nan)[thin].astype(np.float64)
    row, column = divmod(int(np.argmax(used)), columns)
    return Map(index, origin, (rows, columns), (down, right), field, error[thin], (row, column))


def _used(piece: Piece) -> Floats:
    """Sizes of errors over what is allowed, or as they are without a bound; infinite where none is allowed.

    Below zero where there is no value.
    """
    size = np.abs(piece.error)
    if piece.allowed is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.where(size == 0, 0.0, size / piece.allowed)
    return np.asarray(np.where(np.isnan(size), -1.0, size), np.float64)


def roughness(pieces: Sequence[Piece], axis: int) -> Roughness | None:
    """Compare differences of neighbours along an axis; None where there are no two."""
    squares, errors, pairs = 0.0, 0.0, 0
    for piece in pieces:
        if piece.source.shape[axis] < 2:
            continue
        with np.errstate(invalid="ignore"):
            step = np.diff(piece.source.astype(np.float64), axis=axis)
        wrong = np.diff(piece.error, axis=axis)
        both = np.isfinite(step) & np.isfinite(wrong)
        squares, errors = squares + float((step[both] ** 2).sum()), errors + float((wrong[both] ** 2).sum())
        pairs += int(both.sum())
    return Roughness(axis, math.sqrt(squares / pairs), math.sqrt(errors / pairs), pairs) if pairs else None


def series_at(pieces: Sequence[Piece], axes: Axes, worst: Sequence[int] | None) -> Series | None:
    """The longest stretch of time at one point: where the error is largest if that was read, else in the middle."""
    if axes.time is None or not pieces:
        return None
    time = axes.time
    point = _point(pieces, time, worst)
    times, source, stored, allowed = [], [], [], []
    for piece in pieces:
        inside = all(
            k == time or part.start <= at < part.stop
            for k, (part, at) in enumerate(zip(piece.box.region, point, strict=True))
        )
        if not inside:
            continue
        cut = tuple(
            slice(None) if k == time else at - part.start
            for k, (part, at) in enumerate(zip(piece.box.region, point, strict=True))
        )
        times.append(np.arange(piece.box.region[time].start, piece.box.region[time].stop))
        source.append(piece.source[cut].astype(np.float64))
        stored.append(piece.stored[cut].astype(np.float64))
        if piece.allowed is not None:
            allowed.append(np.broadcast_to(piece.allowed, piece.source.shape)[cut].astype(np.float64))
    at, x, y = np.concatenate(times), np.concatenate(source), np.concatenate(stored)
    limit = np.concatenate(allowed) if len(allowed) == len(times) else None
    order = _run(np.argsort(at), at, point[time])
    middle = int(np.searchsorted(at[order], point[time]))
    order = order[max(0, min(middle - TIMES // 2, order.size - TIMES)) :][:TIMES]
    if order.size < 3 or not np.isfinite(x[order]).any():
        return None
    return Series(point, at[order], x[order], y[order], None if limit is None else limit[order])


def _point(pieces: Sequence[Piece], time: int, worst: Sequence[int] | None) -> tuple[int, ...]:
    def holds(piece: Piece, index: Sequence[int]) -> bool:
        return all(part.start <= at < part.stop for part, at in zip(piece.box.region, index, strict=True))

    def length(piece: Piece) -> int:
        return int(piece.box.region[time].stop - piece.box.region[time].start)

    longest = max(pieces, key=length)
    if worst is not None and any(holds(piece, worst) and 2 * length(piece) > length(longest) for piece in pieces):
        return tuple(worst)
    return tuple((part.start + part.stop) // 2 for part in longest.box.region)


def _run(order: NDArray[np.intp], at: NDArray[np.int64], inside: int) -> NDArray[np.intp]:
    """Of times in order the ones that follow one another around one of them."""
    breaks = np.flatnonzero(np.diff(at[order]) != 1) + 1
    for part in np.split(order, breaks):
        if at[part[0]] <= inside <= at[part[-1]]:
            return part
    return order[:0]
