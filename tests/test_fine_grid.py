"""Fine coordinates of coarse ones, and grids that have none."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.block_means import block_means
from adiabat.formats.errors import RequestError
from adiabat.formats.fine_grid import check_grid, fine_axes, fine_axis, goes_round


def axis(values, name="x", **attributes):
    return xr.DataArray(values, dims=name, name=name, attrs=attributes).assign_coords(
        {name: (name, values, attributes)}
    )[name]


@pytest.mark.parametrize("factor", [2, 4, 5, 8])
@pytest.mark.parametrize("centres", [np.arange(0.5, 20), np.linspace(87.5, -87.5, 36), np.arange(0, 360, 1.5, "f4")])
def test_fine_centres_divide_coarse_cells(centres, factor):
    fine = fine_axis(axis(centres), factor).values
    assert fine.dtype == np.float64
    assert np.allclose(fine.reshape(-1, factor).mean(1), centres, atol=1e-5)
    assert np.allclose(np.diff(fine), (centres[1] - centres[0]) / factor, atol=1e-5)
    means = block_means(np.add.outer(fine, np.zeros(4 * factor)), factor)
    assert np.allclose(means, np.asarray(centres, "f8")[:, None], atol=1e-5)


def test_gaussian_latitudes_are_divided_along_lines():
    latitudes = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    fine = fine_axis(axis(latitudes, "lat"), 4).values
    assert (np.diff(fine) > 0).all()
    assert np.allclose(fine.reshape(-1, 4).mean(1), latitudes, atol=0.01)
    assert np.abs(fine).max() < 90


def test_attributes_stay_but_for_bounds():
    fine = fine_axis(axis(np.arange(5.0), "lat", units="degrees_north", bounds="lat_bnds"), 4)
    assert (fine.dims, fine.attrs) == (("lat",), {"units": "degrees_north"})


@pytest.mark.parametrize(
    "centres", [[0.0, 1.0, 3.0, 4.0], [0.0, 1.0, np.nan, 3.0], [1.0, 1.0, 1.0, 1.0], [0, 1, 1.9, 3]]
)
def test_irregular_axes_are_refused(centres):
    with pytest.raises(RequestError, match="expected a regular grid, got steps"):
        fine_axis(axis(np.array(centres, float)), 4)


def test_axes_that_are_no_numbers_are_refused():
    with pytest.raises(RequestError, match="expected numbers along x"):
        fine_axis(axis(np.array(["a", "b", "c", "d"])), 4)


@pytest.mark.parametrize("name", ["lat", "latitude"])
def test_rows_at_the_poles_are_no_cells(name):
    with pytest.raises(RequestError, match="reach beyond a pole"):
        fine_axis(axis(np.linspace(90, -90, 19), name), 4)
    assert np.abs(fine_axis(axis(np.linspace(85, -85, 18), name), 4)).max() < 90


def field(lat, lon, **coords):
    return xr.DataArray(np.zeros((len(lat), len(lon)), "f4"), {"lat": lat, "lon": lon, **coords}, ("lat", "lon"), "t")


def test_which_grids_go_round():
    lat = np.arange(10.0)
    assert goes_round(field(lat, np.arange(0, 360, 10.0)))
    assert goes_round(field(lat, np.arange(175, -185, -10.0)))
    assert not goes_round(field(lat, np.arange(0, 350, 10.0)))
    assert not goes_round(xr.DataArray(np.zeros((4, 36)), {"x": np.arange(0, 360, 10.0)}, ("y", "x")))
    assert not goes_round(xr.DataArray(np.zeros((4, 36)), dims=("lat", "lon")))


def test_fine_axes_of_dimensions_with_coordinates():
    array = xr.DataArray(np.zeros((4, 5)), {"y": np.arange(4.0)}, ("y", "x"))
    fine = fine_axes(array, ("y", "x"), 8)
    assert {name: each.size for name, each in fine.items()} == {"y": 32}


def test_grids_that_can_be_refined():
    check_grid(field(np.arange(4.0), np.arange(4.0)))
    check_grid(xr.DataArray(np.zeros((2, 3, 4, 4)), {"lat": 3.0}, name="t", dims=("time", "level", "y", "x")))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (xr.DataArray(np.zeros((3, 768)), dims=("time", "cell"), name="t"), "HEALPix"),
        (xr.DataArray(np.zeros(9), dims="x", name="t"), "expected t to have rows and columns"),
        (xr.DataArray(np.zeros((3, 9)), dims=("y", "x"), name="t"), "at least 4 x 4 coarse cells, got 3 x 9 of t"),
        (field(np.arange(5.0), np.arange(6.0)).transpose("lon", "lat").expand_dims(z=4, axis=2), "last two dimensions"),
        (xr.DataArray(np.zeros((5, 6)), {"lat": ("x", np.zeros(6)), "lon": ("x", np.zeros(6))}, ("time", "x"), "t"),
         "lies on points along x"),
        (xr.DataArray(np.zeros((5, 6)), {"xlat": (("y", "x"), np.zeros((5, 6)), {"units": "degrees_north"})},
                      ("y", "x"), "t"), r"a latitude for each cell \(xlat\)"),
    ],
)  # fmt: skip
def test_grids_that_cannot(array, said):
    with pytest.raises(RequestError, match=said):
        check_grid(array)
