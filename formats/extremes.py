"""Where a field's extremes lie before and after coding: lowest pressure, highest wind, hottest areas.

Stage: evaluation. An extreme is a pixel that nothing within `apart_km` exceeds, so that five extremes are five weather
systems and not five pixels of one, nor the flank of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["EARTH_RADIUS_KM", "Extreme", "extremes", "extremes_table", "great_circle_km"]

EARTH_RADIUS_KM = 6371.0088  # mean radius of WGS 84
MOST_CELLS = 24  # to either side, of the box that sorts out candidates: beyond, it costs more than it saves

Floats = NDArray[np.float64]
Place = tuple[float, float]


@dataclass(frozen=True)
class Extreme:
    """One extreme of a source and what became of it; degrees and the field's units.

    Attributes
    ----------
    index : tuple of int
        Of the leading axes (time, level).
    place, value : (latitude, longitude), float
        In the source.
    decoded_place, decoded_value : (latitude, longitude), float
        The most extreme of the decoded field within half of `apart_km`.
    distance_km : float
        Between both places.
    """

    index: tuple[int, ...]
    place: Place
    value: float
    decoded_place: Place
    decoded_value: float
    distance_km: float

    @property
    def difference(self) -> float:
        """Decoded less source value."""
        return self.decoded_value - self.value


def extremes(
    source: NDArray[Any],
    decoded: NDArray[Any],
    latitude: NDArray[Any],
    longitude: NDArray[Any],
    *,
    kind: Literal["min", "max"],
    count: int = 5,
    apart_km: float = 500.0,
) -> list[Extreme]:
    """Find the extremes of a source and their counterparts in the decoded field.

    Parameters
    ----------
    source, decoded : arrays of one shape (..., latitude, longitude)
        What is missing in either is left out of both.
    latitude, longitude : 1-D arrays, degrees
        The circle is closed where the longitudes go all the way round.
    kind : "min" or "max"
    count : int
        At most so many a field; fewer where there are not so many.
    apart_km : float
        Nothing in the source so near exceeds an extreme, of equals the first counts, so no two are nearer than that. In
        the decoded field the most extreme value within half of it is the counterpart: no two extremes share one, and
        a field that did not change has every extreme in its place.

    Returns
    -------
    list of Extreme
        Field after field in C order of the leading axes, most extreme first.

    Raises
    ------
    ValueError
        Shapes or arguments that do not fit.

    Examples
    --------
    >>> latitude, longitude = np.linspace(90, -90, 91), np.arange(0, 360, 2.0)
    >>> low = 1013 - 40 * np.exp(-((latitude[:, None] - 50) ** 2 + (longitude - 180) ** 2) / 50)
    >>> (found,) = extremes(low, np.roll(low + 1, 1, axis=1), latitude, longitude, kind="min", count=1)
    >>> found.place, round(found.value), found.decoded_place, round(found.distance_km), round(found.difference)
    ((50.0, 180.0), 973, (50.0, 182.0), 143, 1)
    """
    x, x_hat = np.asarray(source, np.float64), np.asarray(decoded, np.float64)
    if x.shape != x_hat.shape or x.shape[-2:] != (len(latitude), len(longitude)):
        raise ValueError(
            f"expected two arrays (..., {len(latitude)}, {len(longitude)}), got shapes {x.shape} and {x_hat.shape}"
        )
    if kind not in ("min", "max") or count < 1 or not apart_km > 0:
        raise ValueError(f"expected kind 'min' or 'max', count >= 1, apart_km > 0, got {kind!r}, {count}, {apart_km}")
    grid = _Grid(np.asarray(latitude, np.float64), np.asarray(longitude, np.float64))
    sign = 1.0 if kind == "max" else -1.0
    out: list[Extreme] = []
    for index in np.ndindex(x.shape[:-2]):
        lost = ~(np.isfinite(x[index]) & np.isfinite(x_hat[index]))
        heights = [np.where(lost, -np.inf, sign * each[index]) for each in (x, x_hat)]
        for at, at_hat in _pairs(heights[0], heights[1], grid, count, apart_km):
            place, decoded_place = grid.place(at), grid.place(at_hat)
            distance = great_circle_km(place, decoded_place)
            out.append(
                Extreme(
                    index, place, float(x[index].flat[at]), decoded_place, float(x_hat[index].flat[at_hat]), distance
                )
            )
    return out


def extremes_table(found: list[Extreme]) -> str:
    """One line an extreme: places and values in the source and the decoded field, distance and difference."""
    lines = ["      source at        value   decoded at        value   km apart   difference"]
    for each in found:
        lines.append(
            f"{_degrees(each.place)} {each.value:12.6g}  {_degrees(each.decoded_place)} {each.decoded_value:12.6g} "
            f"{each.distance_km:10.1f} {each.difference:12.4g}"
        )
    return "\n".join(lines)


def great_circle_km(first: Place, second: Place) -> float:
    """Distance on a sphere of the earth's mean radius between two (latitude, longitude) in degrees.

    Examples
    --------
    >>> round(great_circle_km((0, 0), (0, 180)))  # half the circumference
    20015
    """
    a, b = (_unit_vectors(np.array([place[0]]), np.array([place[1]]))[0] for place in (first, second))
    # Of cross and dot product, so that neither small nor large angles lose digits.
    return EARTH_RADIUS_KM * float(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b))


class _Grid:
    """Unit vectors of a grid's points, and which lie near one of them."""

    def __init__(self, latitude: Floats, longitude: Floats):
        self.latitude, self.longitude = latitude, longitude
        rows, columns = np.meshgrid(latitude, longitude, indexing="ij")
        self.points = _unit_vectors(rows.ravel(), columns.ravel())
        # Closed where the step from the last longitude to the first is as long as any other.
        steps = np.abs((np.diff(longitude, append=longitude[:1]) + 180) % 360 - 180)
        self.closed = bool(longitude.size > 2 and steps[-1] <= 1.01 * steps[:-1].max())

    def place(self, at: int) -> Place:
        row, column = divmod(at, self.longitude.size)
        return float(self.latitude[row]), float(self.longitude[column])

    def disc(self, at: int, km: float) -> NDArray[np.intp]:
        """Flat indices of the points within so many kilometres of one, by their chords."""
        angle, columns = min(km / EARTH_RADIUS_KM, np.pi), self.longitude.size
        rows = np.flatnonzero(np.abs(self.latitude - self.latitude[at // columns]) <= np.degrees(angle) + 1e-9)
        some = (rows[:, None] * columns + np.arange(columns)).ravel()
        chords = np.linalg.norm(self.points[some] - self.points[at], axis=1)
        found: NDArray[np.intp] = some[chords <= 2 * np.sin(angle / 2) + 1e-12]
        return found

    def candidates(self, height: Floats, km: float) -> NDArray[np.intp]:
        """Points that nothing in a box inside the disc exceeds: flat indices, highest first."""
        side = np.degrees(km / EARTH_RADIUS_KM) / 2**0.5
        box = height
        for axis, degrees in enumerate((self.latitude, self.longitude)):
            steps = np.abs((np.diff(degrees) + 180) % 360 - 180)
            cells = int(min(side / steps.max() if steps.size else 0, MOST_CELLS, degrees.size - 1))
            pad = [(0, 0), (0, 0)]
            pad[axis] = (cells, cells)
            around = np.pad(box, pad, "wrap") if axis and self.closed else np.pad(box, pad, constant_values=-np.inf)
            box = np.lib.stride_tricks.sliding_window_view(around, 2 * cells + 1, axis).max(-1)
        places = np.flatnonzero((height == box) & (height > -np.inf))
        order: NDArray[np.intp] = places[np.argsort(-height.flat[places], kind="stable")]
        return order


def _pairs(height: Floats, height_hat: Floats, grid: _Grid, count: int, apart_km: float) -> list[tuple[int, int]]:
    """Flat indices of a field's highest points and of their counterparts in another."""
    taken = np.zeros(height.size, bool)
    out: list[tuple[int, int]] = []
    for at in map(int, grid.candidates(height, apart_km)):
        if len(out) == count:
            break
        if taken[at]:
            continue
        around = grid.disc(at, apart_km)
        if (height.flat[around] > height.flat[at]).any():
            continue
        taken[around] = True
        near = grid.disc(at, apart_km / 2)
        highest = near[height_hat.flat[near] == height_hat.flat[near].max()]
        # Of equals the nearest, so that a plateau does not look moved.
        nearest = np.argmin(np.linalg.norm(grid.points[highest] - grid.points[at], axis=1))
        out.append((at, int(highest[nearest])))
    return out


def _unit_vectors(latitude: Floats, longitude: Floats) -> Floats:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def _degrees(place: Place) -> str:
    latitude, longitude = place
    return f"{abs(latitude):6.2f} {'S' if latitude < 0 else 'N'} {longitude % 360:6.2f} E"
