"""Swath pixels on grid cells: as brute force finds them, at dateline, poles and edges, and where orbits overlap."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from adiabat.training import rasterise
from adiabat.training.rasterise import TIE, Cells, Raster, nearest, on_sphere, spacing


def brute_force(cells, latitude, longitude, valid):
    """Number of each cell's pixel, -1 for none; the first of equally near ones."""
    pixels, out = on_sphere(latitude, longitude), np.full(cells.shape, -1)
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            place = on_sphere(cells.latitude[row], cells.longitude[column])
            chord = np.where(valid, np.sqrt(((pixels - place) ** 2).sum(1)), np.inf)
            first = int(np.flatnonzero(chord <= chord.min() * (1 + TIE))[0])
            out[row, column] = first if chord[first] <= cells.reach[row] else -1
    return out


def found(cells, latitude, longitude, valid):
    pixel, _, cell = nearest(cells, latitude, longitude, valid)
    out = np.full(cells.shape, -1)
    out.ravel()[cell] = pixel
    return out


def test_example():
    assert doctest.testmod(rasterise).failed == 0


@pytest.mark.parametrize(
    ("south", "north", "west", "east", "step"),
    [
        (30, 40, -5, 5, 0.4),
        (-10, 10, 170, 195, 1.0),  # across the dateline
        (80, 90, -180, 180, 1.0),
        (-90, -70, 0, 360, 2.0),
        (-1, 1, 359, 361, 0.05),  # across the meridian of Greenwich, cells smaller than the pixels
    ],
)
@pytest.mark.parametrize("rounded", [False, True], ids=["anywhere", "many equally near"])
def test_equals_brute_force(south, north, west, east, step, rounded):
    rng = np.random.default_rng(0)
    latitude, longitude = rng.uniform(south, north, 2000), rng.uniform(west, east, 2000)
    if rounded:
        latitude, longitude = np.round(latitude * 4) / 4, np.round(longitude * 4) / 4
    valid = rng.random(2000) < 0.7
    longitude = np.mod(longitude + 180, 360) - 180
    cells = Cells.covering(latitude, longitude, step)
    expected = brute_force(cells, latitude, longitude, valid)
    assert (expected >= 0).any()
    np.testing.assert_array_equal(found(cells, latitude, longitude, valid), expected)


def test_equals_brute_force_on_ten_thousand_pixels():
    rng = np.random.default_rng(1)
    latitude, longitude, valid = rng.uniform(40, 44, 10_000), rng.uniform(3, 8, 10_000), rng.random(10_000) < 0.8
    cells = Cells.covering(latitude, longitude, 0.1)
    np.testing.assert_array_equal(
        found(cells, latitude, longitude, valid), brute_force(cells, latitude, longitude, valid)
    )


def test_descending_and_wide_cells():
    rng = np.random.default_rng(2)
    latitude, longitude, valid = rng.uniform(50, 60, 500), rng.uniform(0, 20, 500), np.ones(500, bool)
    cells = Cells(np.arange(60.0, 50.0, -0.5), np.arange(0.0, 20.0, 2.0), (0.5, 2.0))
    np.testing.assert_array_equal(
        found(cells, latitude, longitude, valid), brute_force(cells, latitude, longitude, valid)
    )


def test_nothing_beyond_half_a_diagonal():
    """A pixel a little within a cell's corner, and one a little outside."""
    cells = Cells(np.array([0.5]), np.array([0.5]), (1.0, 1.0))
    inside, outside = nearest(cells, [0.01], [0.01])[0], nearest(cells, [-0.01], [-0.01])[0]
    assert (inside.size, outside.size) == (1, 0)


def test_swath_edge_is_not_smeared():
    latitude, longitude = (x.ravel() for x in np.mgrid[0:2:41j, 0:2:41j])
    cells = Cells.covering([0.0, 2.0], [0.0, 4.0], 0.1)
    raster = Raster(cells)
    raster.add(latitude, longitude, longitude)
    seen = np.isfinite(raster.values)
    assert seen[:, cells.longitude < 2].all()
    assert not seen[:, cells.longitude > 2.1].any()


def test_values_are_values_of_the_swath():
    rng = np.random.default_rng(3)
    values = rng.standard_normal(800).astype(np.float32)
    latitude, longitude = rng.uniform(0, 3, 800), rng.uniform(0, 3, 800)
    raster = Raster(Cells.covering(latitude, longitude, 0.25))
    raster.add(latitude, longitude, values)
    assert np.isin(raster.values[np.isfinite(raster.values)], values).all()


def test_invalid_pixels_give_way_to_farther_valid_ones():
    cells = Cells(np.array([0.0]), np.array([0.0]), (1.0, 1.0))
    for values, valid in (([1.0, 2.0], [False, True]), ([np.nan, 2.0], True), ([np.inf, 2.0], [True, True])):
        raster = Raster(cells)
        raster.add([0.0, 0.3], [0.0, 0.0], values, valid)
        assert raster.values.item() == 2.0


def test_pixels_without_a_place_are_left_out():
    raster = Raster(Cells(np.array([0.0]), np.array([0.0]), (1.0, 1.0)))
    raster.add([np.nan, 0.2], [0.0, 0.0], [1.0, 2.0])
    assert raster.values.item() == 2.0
    raster = Raster(raster.cells)
    raster.add([], [], [])
    assert np.isnan(raster.values.item())


def test_overlapping_orbits_nearest_then_earlier():
    cells = Cells(np.array([0.0]), np.array([0.0]), (1.0, 1.0))
    orbits = ([0.3], [1.0]), ([-0.3], [2.0]), ([0.1], [3.0]), ([-0.1], [4.0]), ([0.2], [5.0])
    raster, after = Raster(cells), []
    for latitude, values in orbits:
        raster.add(latitude, [0.0], values)
        after.append(raster.values.item())
    assert after == [1.0, 1.0, 3.0, 3.0, 3.0]


def test_grid_across_the_dateline_and_around_the_globe():
    cells = Cells.covering([0.0, 1.0], [178.5, -178.5], 1.0)
    np.testing.assert_allclose(cells.longitude, [178.5, 179.5, 180.5, 181.5])
    globe = Cells.covering([-90, 90], np.arange(-180.0, 180.0), 2.0)
    assert globe.shape == (90, 180)
    assert np.abs(globe.latitude).max() < 90


def test_edges_lie_at_multiples_of_the_step():
    cells = Cells.covering([33.2003, 37.9999], [14.0001, 19.3], 0.1)
    assert cells.shape == (48, 53)
    np.testing.assert_allclose([cells.latitude[0], cells.latitude[-1], cells.longitude[0]], [33.25, 37.95, 14.05])


def test_spacing_of_a_regular_swath():
    latitude, longitude = (x.ravel() for x in np.mgrid[-1:1:41j, -1:1:41j])
    assert spacing(latitude, longitude) == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Cells.covering([], [], 1.0), "latitudes and longitudes"),
        (lambda: Cells(np.array([0.0]), np.array([0.0]), (0.0, 1.0)), "more than 0"),
        (lambda: Cells(np.array([91.0]), np.array([0.0]), (1.0, 1.0)), "within 90"),
        (lambda: nearest(Cells(np.zeros(1), np.zeros(1), (1.0, 1.0)), [0.0], [0.0, 1.0]), "as many longitudes"),
        (lambda: spacing([0.0], [0.0]), "at least 5"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
