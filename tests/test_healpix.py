"""Between latitude/longitude and HEALPix: against single harmonics, healpy and xdggs; names, attributes, refusals."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import xarray as xr

from adiabat.codec.faces import centres, from_faces
from adiabat.formats.healpix import RoundTrip, plot, round_trip, to_healpix, to_latlon
from adiabat.formats.healpix_rings import ring_index, rings_of
from adiabat.formats.healpix_transform import (
    LatLonGrid,
    bilinear_to_cells,
    bilinear_to_latlon,
    harmonic_to_cells,
    harmonic_to_latlon,
    highest_degree,
)

LATITUDE, LONGITUDE = np.linspace(90, -90, 91), np.arange(0, 360, 2.0)
ORIENTATIONS = {
    "south first": (LATITUDE[::-1], LONGITUDE),
    "from the date line": (LATITUDE, LONGITUDE - 180),
    "westward": (LATITUDE, LONGITUDE[::-1]),
    "any start": (LATITUDE[::-1], (LONGITUDE + 78) % 360),
    "float32": (LATITUDE.astype("f4"), LONGITUDE.astype("f4")),
}


@pytest.fixture
def ducc0():
    return pytest.importorskip("ducc0", reason="spherical harmonics need ducc0")


@pytest.fixture
def healpy():
    return pytest.importorskip("healpy", reason="the oracle, and whose projection is drawn")


def harmonic(degree, order, latitude, longitude):
    special = pytest.importorskip("scipy.special", reason="scipy evaluates the spherical harmonics")
    return special.sph_harm_y(degree, order, np.radians(90 - latitude), np.radians(longitude)).real


def smooth(latitude, longitude):
    """Degrees up to 3, any shape of coordinates."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return 280 + 30 * np.sin(phi) ** 2 + 5 * np.cos(phi) ** 3 * np.cos(3 * lam) + 2 * np.cos(phi) * np.sin(lam)


def field(latitude=LATITUDE, longitude=LONGITUDE, lead=(), kind="f8", names=("latitude", "longitude")):
    values = smooth(np.asarray(latitude, "f8")[:, None], np.asarray(longitude, "f8")[None])
    values = np.broadcast_to(values, (*lead, *values.shape)).astype(kind)
    dims = [f"axis{k}" for k in range(len(lead))]
    return xr.DataArray(values, dict(zip(names, (latitude, longitude), strict=True)), (*dims, *names), name="t")


def cell_places(nside):
    return tuple(from_faces(each) for each in centres(nside))


# The transforms


@pytest.mark.parametrize("nside", [1, 2, 4, 64])
def test_rings_agree_with_ducc0_and_healpy(nside, ducc0, healpy):
    expected = ducc0.healpix.Healpix_Base(nside, "RING").sht_info()
    found = rings_of(nside)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].astype("f8"), np.asarray(values, "f8"), atol=1e-13, err_msg=name)
    np.testing.assert_array_equal(ring_index(nside), healpy.nest2ring(nside, np.arange(12 * nside**2)))


@pytest.mark.parametrize(("degree", "order"), [(0, 0), (2, 1), (9, 9), (30, 4), (39, 39)])
def test_a_harmonic_arrives_at_the_cells_and_comes_back(degree, order, ducc0):
    nside, grid = 16, LatLonGrid(LATITUDE, LONGITUDE)
    values = harmonic(degree, order, LATITUDE[:, None], LONGITUDE[None])
    cells = harmonic_to_cells(values, grid, nside)
    np.testing.assert_allclose(cells, harmonic(degree, order, *cell_places(nside)), atol=1e-12)
    np.testing.assert_allclose(harmonic_to_latlon(cells, grid), values, atol=1e-5)


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("method", ["sht", "bilinear"])
def test_orientation_of_the_grid_does_not_matter(name, method):
    if method == "sht":
        pytest.importorskip("ducc0", reason="spherical harmonics need ducc0")
    cells = to_healpix(field(), nside=16, method=method)
    turned = field(*ORIENTATIONS[name])
    tolerance = 1e-4 if name == "float32" else 1e-9
    np.testing.assert_allclose(to_healpix(turned, nside=16, method=method), cells, atol=tolerance)
    back = to_latlon(cells, turned.latitude, turned.longitude, method=method)
    straight = to_latlon(cells, LATITUDE, LONGITUDE, method=method)
    assert back.dims == turned.dims
    places = {"latitude": turned.latitude, "longitude": turned.longitude % 360}
    np.testing.assert_allclose(back, straight.sel(**places, method="nearest"), atol=tolerance)


def test_bilinear_errors_fall_with_the_square_of_the_spacing():
    errors = []
    for half in (45, 90, 180):
        grid = LatLonGrid(np.linspace(90, -90, 2 * half + 1), np.arange(0, 360, 90 / half))
        values = smooth(grid.latitude[:, None], grid.longitude[None])
        errors.append(np.abs(bilinear_to_cells(values, grid, 32) - smooth(*cell_places(32))).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("nside", [1, 2, 16])
def test_interpolation_of_cells_agrees_with_healpy(nside, healpy):
    cells = np.random.default_rng(0).standard_normal((2, 12 * nside**2))
    grid = LatLonGrid(LATITUDE, LONGITUDE - 180)
    longitude, latitude = np.meshgrid(grid.longitude, grid.latitude)
    expected = [healpy.get_interp_val(each, longitude, latitude, nest=True, lonlat=True) for each in cells]
    np.testing.assert_allclose(bilinear_to_latlon(cells, grid), expected, atol=1e-12)


@pytest.mark.parametrize("size", [1e-30, 100.0])
def test_bilinear_keeps_bounds_exactly_in_both_directions(size):
    grid = LatLonGrid(LATITUDE, LONGITUDE)
    humidity = size * (np.random.default_rng(1).random((91, 180)) < 0.5)
    cells = bilinear_to_cells(humidity, grid, 32)
    back = bilinear_to_latlon(cells, grid)
    for values in (cells, back):
        assert values.min() >= 0
        assert values.max() <= size
    constant = np.full((91, 180), 0.1)
    assert np.unique(bilinear_to_latlon(bilinear_to_cells(constant, grid, 32), grid)).tolist() == [0.1]


def test_missing_values_spread_to_their_neighbours_only():
    grid, values = LatLonGrid(LATITUDE, LONGITUDE), np.ones((91, 180))
    values[40:42, 60:63] = np.nan
    cells = bilinear_to_cells(values, grid, 16)
    latitude, longitude = cell_places(16)
    beside = (latitude > 90 - 2 * 42) & (latitude < 90 - 2 * 39) & (longitude > 118) & (longitude < 126)
    np.testing.assert_array_equal(np.isnan(cells), beside)
    assert beside.sum() > 1
    values[0] = np.inf
    assert np.isposinf(bilinear_to_cells(values, grid, 64)).any()


def test_harmonics_refuse_missing_values(ducc0):
    values = field().values.copy()
    values[3:5, 7], values[0, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="no missing values for spherical harmonics, got 3: use method='bilinear'"):
        harmonic_to_cells(values, LatLonGrid(LATITUDE, LONGITUDE), 16)
    with pytest.raises(ValueError, match="got 12: use method='bilinear'"):
        harmonic_to_latlon(np.full(12, np.nan), LatLonGrid(LATITUDE, LONGITUDE))


def test_cells_are_evaluated_on_grids_coarser_than_they_resolve(ducc0):
    nside, grid = 16, LatLonGrid(np.linspace(90, -90, 13), np.arange(0, 360, 30.0))
    cells = harmonic(20, 13, *cell_places(nside))
    expected = harmonic(20, 13, grid.latitude[:, None], grid.longitude[None])
    np.testing.assert_allclose(harmonic_to_latlon(cells, grid), expected, atol=1e-5)


def test_highest_degrees():
    assert (highest_degree(256), highest_degree(1), highest_degree(256, (181, 360))) == (639, 1, 179)


# xarray


@pytest.mark.parametrize("kind", ["f4", "f8", "i2"])
def test_names_attributes_and_axes(kind):
    source = field(lead=(2, 3), kind=kind, names=("lat", "lon")).assign_coords(axis0=[10, 20], height=2.0)
    source = source.assign_attrs(units="K").transpose("lat", "axis0", "lon", "axis1")
    cells = to_healpix(source, nside=4, method="bilinear")
    assert cells.dims == ("axis0", "axis1", "cell")
    assert cells.dtype == np.result_type(kind, "f4")
    assert cells.attrs == {"units": "K", "grid_mapping": "healpix"}
    assert set(cells.coords) == {"axis0", "height", "cell", "healpix"}
    assert cells.cell.attrs["standard_name"] == "healpix_index"
    assert cells.cell.attrs["units"] == "1"
    assert cells.healpix.attrs == {
        "grid_mapping_name": "healpix",
        "refinement_level": 2,
        "indexing_scheme": "nested",
    }
    np.testing.assert_array_equal(cells.axis0, [10, 20])
    back = to_latlon(cells, source.lat, source.lon, method="bilinear")
    assert back.dims == ("axis0", "axis1", "lat", "lon")
    assert back.attrs == {"units": "K"}
    assert set(back.coords) == {"axis0", "height", "lat", "lon"}
    assert to_latlon(cells, LATITUDE, LONGITUDE, method="bilinear").latitude.attrs["units"] == "degrees_north"


def test_frames_do_not_see_each_other(ducc0):
    source = field(lead=(3,)) * xr.DataArray([1.0, -2.0, 1e6], dims="axis0")
    cells = to_healpix(source, nside=8)
    for k in range(3):
        np.testing.assert_array_equal(cells[k], to_healpix(source[k], nside=8))


def test_dask_arrays_stay_lazy():
    pytest.importorskip("dask", reason="lazy arrays are dask's")
    source = field(lead=(4,), kind="f4")
    lazy = to_healpix(source.chunk(axis0=1, latitude=20), nside=8, method="bilinear")
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, to_healpix(source, nside=8, method="bilinear"))
    back = to_latlon(lazy, LATITUDE, LONGITUDE, method="bilinear")
    assert back.chunks is not None
    assert back.compute().shape == source.shape


def dataset():
    source = field(lead=(2,), kind="f4")
    source.attrs["grid_mapping"] = "crs"
    variables = {
        "t": source,
        "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        "lat_bnds": (("latitude", "nv"), np.zeros((91, 2))),
        "global_mean": ("axis0", [280.0, 281.0]),
        "q": source * 0,
    }
    return xr.Dataset(variables, attrs={"Conventions": "CF-1.7", "title": "made up"})


def test_datasets_keep_what_has_no_place_and_drop_what_lost_it():
    cells = to_healpix(dataset(), nside=4, method="bilinear")
    assert list(cells.data_vars) == ["t", "global_mean", "q"]
    assert cells.attrs == {"Conventions": "CF-1.13", "title": "made up"}
    assert cells.t.dims == cells.q.dims == ("axis0", "cell")
    assert set(cells.coords) == {"cell", "healpix"}
    with pytest.raises(ValueError, match="expected a variable with latitude and longitude"):
        to_healpix(dataset()[["global_mean", "lat_bnds"]], method="bilinear")


@pytest.mark.parametrize("stored", [False, True])
def test_xdggs_opens_it(stored, tmp_path):
    xdggs = pytest.importorskip("xdggs", reason="the reader of HEALPix datasets")
    cells = to_healpix(dataset(), nside=4, method="bilinear")
    if stored:
        cells.to_zarr(tmp_path / "cells.zarr", zarr_format=3, consolidated=False)
        cells = xr.open_zarr(tmp_path / "cells.zarr", consolidated=False)
    decoded = xdggs.decode(cells, convention="cf")
    info = decoded.dggs.grid_info
    assert (info.level, info.nside, info.indexing_scheme) == (2, 4, "nested")
    places = decoded.dggs.cell_centers()
    latitude, longitude = cell_places(4)
    np.testing.assert_allclose(places.latitude, latitude, atol=1e-9)
    np.testing.assert_allclose((places.longitude - longitude + 180) % 360, 180, atol=1e-9)
    assert "grid_mapping" not in decoded.t.attrs
    np.testing.assert_allclose(decoded.t[0], smooth(latitude, longitude), atol=0.1)


@pytest.mark.parametrize("decode_coords", [True, "all"])
def test_a_stored_field_comes_back(decode_coords, tmp_path):
    to_healpix(dataset(), nside=4, method="bilinear").to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    cells = xr.open_zarr(tmp_path / "a.zarr", consolidated=False, decode_coords=decode_coords).t
    back = to_latlon(cells, LATITUDE, LONGITUDE, method="bilinear")
    assert set(back.coords) == {"latitude", "longitude"}
    assert "grid_mapping" not in back.attrs
    assert float(abs(back - field()).max()) < 2


# What it costs


def test_round_trip_is_the_error_of_both_ways():
    source = field(lead=(2,), kind="f4")
    source[1] = 0
    found = round_trip(source.transpose("longitude", "latitude", "axis0"), nside=16, method="bilinear")
    back = to_latlon(to_healpix(source, nside=16, method="bilinear"), LATITUDE, LONGITUDE, method="bilinear")
    error = (back - source).values.astype("f8")[0]
    weights = np.cos(np.radians(LATITUDE))[:, None]
    assert found.rmse[0] == pytest.approx(math.sqrt((weights * error**2).mean() / weights.mean()), rel=1e-6)
    assert found.max_error[0] == pytest.approx(np.abs(error).max(), rel=1e-6)
    assert (found.rmse[1], found.max_error[1]) == (0, 0)
    assert (found.method, found.nside, found.values, found.cells) == ("bilinear", 16, 16380, 3072)
    assert str(found).startswith("bilinear to nside 16 (16380 values to 3072 cells) and back: RMSE 0 to 0.")
    assert "RMSE 1, largest error 2" in str(RoundTrip("sht", 1, np.ones(3), np.full(3, 2.0), 1, 12))


def test_round_trip_by_harmonics_is_exact_below_their_limit(ducc0):
    found = round_trip(field(), nside=16)
    assert float(found.max_error) < 1e-4
    assert float(round_trip(field(), nside=16, method="bilinear").rmse) > 0.01


def test_round_trip_of_a_real_temperature(data, ducc0):
    """ERA5's own resolution is T639, which nside 256 just holds."""
    source = xr.open_dataset(data / "era5" / "t850_2023-01-10T23.nc").temperature
    found = round_trip(source)
    assert found.rmse.shape == (1, 1)
    assert float(found.rmse.squeeze()) < 0.002
    assert float(found.max_error.squeeze()) < 0.05


# Refusals


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (LATITUDE[1:-1], LONGITUDE),
        (LATITUDE[:46], LONGITUDE),
        (LATITUDE, LONGITUDE[:90]),
        (LATITUDE, np.linspace(0, 360, 181)),
        (np.degrees(np.arcsin(np.linspace(1, -1, 91))), LONGITUDE),
    ],
)
def test_other_grids_are_refused_in_one_sentence(latitude, longitude):
    expected = r"expected equidistant latitudes from pole to pole .*, got \d+ latitudes from .* and \d+ longitudes from"
    with pytest.raises(ValueError, match=expected):
        to_healpix(field(latitude, longitude), method="bilinear")
    with pytest.raises(ValueError, match=expected):
        to_latlon(xr.DataArray(np.zeros(12), dims="cell"), latitude, longitude, method="bilinear")


CELLS = xr.DataArray(np.zeros(48), {"cell": np.arange(48)}, ("cell",))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_healpix(field(), nside=100), "nside a power of two, got 100"),
        (lambda: to_healpix(field(), method="nearest"), "expected method 'sht' or 'bilinear', got 'nearest'"),
        (lambda: to_healpix(field().isel(latitude=0), method="bilinear"), "coordinates of latitude and longitude"),
        (lambda: to_healpix(field().astype(str), method="bilinear"), "expected numbers"),
        (lambda: to_latlon(CELLS, LATITUDE, LONGITUDE, method="linear"), "expected method"),
        (lambda: to_latlon(CELLS[:40], LATITUDE, LONGITUDE, method="bilinear"), "expected 12 nside"),
        (lambda: to_latlon(CELLS[::-1], LATITUDE, LONGITUDE, method="bilinear"), "another order"),
        (lambda: to_latlon(CELLS.rename(cell="x"), LATITUDE, LONGITUDE), "expected a dimension 'cell'"),
        (lambda: to_latlon(CELLS, LATITUDE[None], LONGITUDE), "latitude along one dimension"),
        (
            lambda: to_latlon(
                CELLS.assign_coords(
                    healpix=((), 0, {"grid_mapping_name": "healpix", "indexing_scheme": "ring"}),
                ),
                LATITUDE,
                LONGITUDE,
            ),
            "nested order, got indexing_scheme 'ring'",
        ),
        (lambda: bilinear_to_cells(np.zeros((3, 4)), LatLonGrid(LATITUDE, LONGITUDE), 1), "expected numbers of shape"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_the_extra_one_sentence_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ducc0", None)
    monkeypatch.setitem(sys.modules, "healpy", None)
    for call in (
        lambda: to_healpix(field(), nside=4),
        lambda: to_latlon(CELLS, LATITUDE, LONGITUDE),
        lambda: plot(CELLS, tmp_path / "a.png"),
    ):
        with pytest.raises(ImportError, match=r'pip install "adiabat\[healpix\]"'):
            call()


def test_importing_it_brings_in_none_of_the_extra(python):
    script = (
        "import sys, adiabat.formats.healpix, adiabat.formats.metrics\n"
        "print({'healpy', 'ducc0', 'xdggs', 'matplotlib'} & set(sys.modules))"
    )
    ran = python(script)
    assert (ran.returncode, ran.stdout.strip()) == (0, "set()")


def test_plot_draws_one_field(healpy, tmp_path):
    pytest.importorskip("matplotlib", reason="it draws")
    cells = to_healpix(field(), nside=16, method="bilinear")
    cells[100:200] = np.nan
    plot(cells, tmp_path / "map.png", title="t", unit="K")
    image = pytest.importorskip("matplotlib.image").imread(tmp_path / "map.png")
    assert image.shape[0] > 500
    assert image.std() > 0.05
    with pytest.raises(ValueError, match="alone"):
        plot(cells.expand_dims("time"), tmp_path / "b.png")
