"""Swath pixels -> grid cells: each cell takes the nearest valid pixel within half its diagonal, or stays missing.

Before gap filling: sources (pixels, orbit by orbit) -> **rasterise** -> cube with holes -> gap_filling. Nothing is
interpolated: every value of the raster is a value of the swath. Distances are chords of the unit sphere, so the
dateline and the poles need no care of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

STEPS = (0.01, 0.02, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0)  # degrees; the grids chosen from
GAP = 36.0  # degrees without a pixel; narrower ones do not make a grid run across the dateline
TIE = 1e-9  # of the distance: pixels closer together than this are equally near
FIRST, SOME = 2, 16  # neighbours looked at for ties, at first and where the first are tied


@dataclass(frozen=True)
class Cells:
    """A regular grid of cell centres.

    Parameters
    ----------
    latitude, longitude : NDArray[np.float64]
        Centres in degrees, evenly spaced, ascending or descending.
    step : tuple of two float
        Sides of a cell in degrees, north-south and east-west.
    """

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    step: tuple[float, float]

    def __post_init__(self) -> None:
        if not all(0 < side < 90 for side in self.step):
            raise ValueError(f"expected cells of more than 0 and less than 90 degrees, got {self.step}")
        if self.latitude.ndim != 1 or self.longitude.ndim != 1 or not self.latitude.size or not self.longitude.size:
            raise ValueError(f"expected two lists of centres, got {self.latitude.shape} and {self.longitude.shape}")
        if not (np.abs(self.latitude) <= 90).all():
            raise ValueError(f"expected latitudes within 90 degrees, got up to {np.abs(self.latitude).max():g}")

    @classmethod
    def covering(cls, latitude: ArrayLike, longitude: ArrayLike, step: float) -> Cells:
        """Take the cells, with edges at multiples of `step`, that lie between the outermost latitudes and longitudes.

        Longitudes run on across the dateline where the points do: 178, 179, 180, 181 rather than from -180 to 180.
        """
        north = np.asarray(latitude, np.float64).ravel()
        east = np.asarray(longitude, np.float64).ravel()
        north, east = north[np.isfinite(north)], east[np.isfinite(east)]
        if not north.size or not east.size:
            raise ValueError(f"expected latitudes and longitudes, got {north.size} and {east.size} that are finite")
        low, high = _span(east)
        columns = _centres(low, high, step)[: max(1, round(360 / step))]
        rows = _centres(float(north.min()), float(north.max()), step)
        return cls(rows[np.abs(rows) < 90], columns, (step, step))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.latitude.size, self.longitude.size

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """Centres on the unit sphere, (rows * columns, 3)."""
        return on_sphere(self.latitude[:, None], self.longitude[None, :]).reshape(-1, 3)

    @cached_property
    def reach(self) -> NDArray[np.float64]:
        """Half a cell's diagonal, as a chord of the unit sphere, for each row: shape (rows,)."""
        north, east = np.radians(self.step[0]) / 2, np.radians(self.step[1]) / 2
        arc = np.hypot(north, east * np.cos(np.radians(self.latitude)))
        return np.asarray(2 * np.sin(arc / 2), np.float64)


def on_sphere(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.float64]:
    """Place degrees on the unit sphere: (..., 3)."""
    phi, lam = np.broadcast_arrays(np.radians(latitude, dtype=np.float64), np.radians(longitude, dtype=np.float64))
    return np.stack((np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)), -1)


@dataclass
class Raster:
    """One day's raster, filled orbit by orbit.

    Parameters
    ----------
    cells : Cells

    Attributes
    ----------
    values : NDArray[np.float32]
        (rows, columns); NaN where no valid pixel lies near enough.
    distance : NDArray[np.float64]
        Chord from each centre to its pixel; infinite where there is none.

    Examples
    --------
    >>> import numpy as np
    >>> cells = Cells(np.array([10.0, 11.0]), np.array([20.0, 21.0]), (1.0, 1.0))
    >>> raster = Raster(cells)
    >>> raster.add(latitude=[10.1, 10.2], longitude=[20.0, 20.0], values=[1.0, 2.0])
    >>> raster.values.tolist()
    [[1.0, nan], [nan, nan]]
    """

    cells: Cells
    values: NDArray[np.float32] = field(init=False)
    distance: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.values = np.full(self.cells.shape, np.nan, np.float32)
        self.distance = np.full(self.cells.shape, np.inf)

    def add(self, latitude: ArrayLike, longitude: ArrayLike, values: ArrayLike, valid: ArrayLike = True) -> None:
        """Lay one orbit's pixels; where orbits overlap the nearer pixel stays, and of equally near ones the earlier.

        Parameters
        ----------
        latitude, longitude : (pixels,)
            Degrees; longitudes in any turn (-180..180, 0..360).
        values : (pixels,)
        valid : (pixels,) bool
            Pixels to use, for example those above a threshold of `qa_value`. Values and places that are not finite
            are never used.
        """
        taken, chord, reached = nearest(self.cells, latitude, longitude, np.asarray(valid) & np.isfinite(values))
        rows, columns = np.unravel_index(reached, self.cells.shape)
        nearer = chord < self.distance[rows, columns] * (1 - TIE)  # not merely as near as an earlier orbit's
        rows, columns = rows[nearer], columns[nearer]
        self.distance[rows, columns] = chord[nearer]
        self.values[rows, columns] = np.asarray(values, np.float32).ravel()[taken[nearer]]


def nearest(
    cells: Cells, latitude: ArrayLike, longitude: ArrayLike, valid: ArrayLike = True
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Find each cell's nearest valid pixel within half the cell's diagonal.

    Returns
    -------
    pixel : NDArray[np.int64]
        (reached,) Number of the pixel; of equally near ones the first.
    chord : NDArray[np.float64]
        (reached,) How far it is from the centre, on the unit sphere.
    cell : NDArray[np.int64]
        (reached,) Number of the cell, counted along rows: only cells that have such a pixel.
    """
    north, east = np.asarray(latitude, np.float64).ravel(), np.asarray(longitude, np.float64).ravel()
    if north.shape != east.shape:
        raise ValueError(f"expected as many longitudes as latitudes, got {east.size} and {north.size}")
    good = np.isfinite(north) & np.isfinite(east) & np.broadcast_to(np.asarray(valid, bool).ravel(), north.shape)
    number = np.flatnonzero(good)
    candidates = _within(cells, north[number], east[number])
    if not candidates.size:
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    tree = cKDTree(on_sphere(north[number], east[number]), balanced_tree=False, compact_nodes=False)
    reach = cells.reach[candidates // cells.shape[1]]
    chord, found = _first_of_nearest(tree, cells.places[candidates], float(reach.max()))
    near = chord <= reach
    return number[found[near]], chord[near], candidates[near]


def _first_of_nearest(tree: Any, places: NDArray[np.float64], reach: float) -> tuple[Any, Any]:
    """Distance and number of the nearest point; among equally near ones the lowest number."""
    number = np.full(len(places), tree.n, np.int64)
    chord = np.full(len(places), np.inf)
    open_ = np.arange(len(places))
    for many in (min(FIRST, tree.n), min(SOME, tree.n), tree.n):
        far, which = tree.query(places[open_], k=np.arange(1, many + 1), distance_upper_bound=reach * (1 + TIE))
        tied = far <= far[:, :1] * (1 + TIE)
        chord[open_] = far[:, 0]
        number[open_] = np.where(tied, which, tree.n).min(1)
        open_ = open_[tied[:, -1] & np.isfinite(far[:, 0])]  # there may be more
        if not open_.size or many == tree.n:
            break
    return chord, number


def _within(cells: Cells, north: NDArray[np.float64], east: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cells worth a look: those with a pixel in a box of cells around them, as wide as half a diagonal can reach."""
    rows, columns = cells.shape
    height, widths = _box(cells)
    margin = int(widths.max())
    taken = np.zeros((rows + 2 * height, columns + 2 * margin), bool)
    row = np.rint((north - cells.latitude[0]) / _stride(cells.latitude, cells.step[0])).astype(np.int64) + height
    turned = np.mod(east - cells.longitude[0] + 180.0, 360.0) - 180.0
    for turn in (-360.0, 0.0, 360.0):
        place = np.rint((turned + turn) / _stride(cells.longitude, cells.step[1])).astype(np.int64) + margin
        inside = (row >= 0) & (row < taken.shape[0]) & (place >= 0) & (place < taken.shape[1])
        taken[row[inside], place[inside]] = True
    above = np.cumsum(np.pad(taken, ((1, 0), (0, 0))), 0, dtype=np.int32)
    beside = np.cumsum(above[2 * height + 1 :] - above[: -2 * height - 1] > 0, 1, dtype=np.int32)
    beside = np.pad(beside, ((0, 0), (1, 0)))
    first = margin + np.arange(columns) - widths[:, None]
    found = np.take_along_axis(beside, first + 2 * widths[:, None] + 1, 1) > np.take_along_axis(beside, first, 1)
    return np.flatnonzero(found)


def _box(cells: Cells) -> tuple[int, NDArray[np.int64]]:
    """How many cells half a diagonal reaches, up and (for each row) sideways."""
    degrees = np.degrees(2 * np.arcsin(cells.reach / 2))
    height = int(np.ceil(degrees.max() / cells.step[0] + 0.5))
    # The parallel is shortest, hence the reach in cells longest, at the box's end nearest to the pole.
    farthest = np.minimum(np.abs(cells.latitude) + degrees, 90.0)
    shortest = np.maximum(np.cos(np.radians(farthest)), 1e-9)
    widths = np.ceil(np.minimum(2 * degrees / (cells.step[1] * shortest), cells.shape[1]) + 0.5)
    return height, np.minimum(widths, cells.shape[1]).astype(np.int64)


def _stride(centres: NDArray[np.float64], step: float) -> float:
    """From one centre to the next, negative where they descend."""
    return float(centres[1] - centres[0]) if centres.size > 1 else step


def _centres(low: float, high: float, step: float) -> NDArray[np.float64]:
    """Centres of the cells, with edges at multiples of `step`, from the one of `low` to the one of `high`."""
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return np.round((np.arange(first, max(last, first + 1)) + 0.5) * step, 9)


def _span(east: NDArray[np.float64]) -> tuple[float, float]:
    """The stretch of longitudes that holds all: across the dateline only where a wide gap shows that it is shorter."""
    turned = np.unique(np.mod(east + 180.0, 360.0) - 180.0)
    gaps = np.diff(turned, append=turned[0] + 360.0)
    widest = int(np.argmax(gaps))
    if gaps[widest] < GAP or widest == turned.size - 1:
        return float(turned[0]), float(turned[-1])
    return float(turned[widest + 1]), float(turned[widest]) + 360.0


def spacing(latitude: ArrayLike, longitude: ArrayLike) -> float:
    """How far apart pixels lie, in degrees of a great circle: half of them have four others nearer than this."""
    places = on_sphere(np.ravel(latitude), np.ravel(longitude))
    places = places[np.isfinite(places).all(1)]
    if len(places) < 5:
        raise ValueError(f"expected at least 5 pixels to see their spacing, got {len(places)}")
    few = places[:: max(1, len(places) // 5000)]
    chord = cKDTree(places).query(few, k=5)[0][:, 4]
    return float(np.degrees(2 * np.arcsin(np.median(chord) / 2)))
