"""Swaths: simulated files of each kind and the real ones, read orbit by orbit and laid on a grid."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import tropomi

NO2 = "nitrogendioxide_tropospheric_column"
PIXELS = "no2_pixels_2018-05_2021-06.nc"
CH4 = "S5P_OFFL_L2__CH4____20190311T101655_20190311T115825_07293_01_010202_20190317T121015.SUB.nc4"


def swath(orbit, lines=30, across=20):
    """Simulated: centres 0.05 degree apart, shifted a little from orbit to orbit; values that tell the place."""
    north, east = np.mgrid[0:lines, 0:across] * 0.05
    return 10 + north + 0.004 * orbit, 20 + east + 0.003 * orbit


def write_level_2(path, day, orbit, *, name=NO2, percent=False, second=None):
    """Simulated S5P L2: group PRODUCT, packed qa_value, fill values."""
    north, east = swath(orbit)
    with netCDF4.Dataset(path, "w") as file:
        file.orbit = orbit
        group = file.createGroup("PRODUCT")
        for dimension, size in (("time", 1), ("scanline", 30), ("ground_pixel", 20)):
            group.createDimension(dimension, size)
        cells = ("time", "scanline", "ground_pixel")
        group.createVariable("latitude", "f4", cells)[0] = north
        group.createVariable("longitude", "f4", cells)[0] = east
        time = group.createVariable("time", "i4", ("time",))
        time.units, time[:] = "seconds since 2010-01-01 00:00:00", [86400 * day + 60 * orbit]
        group.createVariable("delta_time", "i4", ("time", "scanline"))[0] = 1000 * 3600 * 11 + 840 * np.arange(30)
        for field in (name, f"{name}_precision", *([second] if second else [])):
            values = group.createVariable(field, "f4", cells, fill_value=9.96921e36)
            values.units, values.long_name = "mol m-2", "simulated column"
            values[0] = np.ma.masked_where(np.arange(600).reshape(30, 20) == 45, north + 100 * east)
        quality = group.createVariable("qa_value", "u1", cells, fill_value=255)
        quality.set_auto_maskandscale(False)
        if not percent:
            quality.scale_factor = np.float32(0.01)
        quality[0] = np.where(np.arange(20) < 4, 75, np.where(np.arange(20) < 8, 76, 100))[None].repeat(30, 0)
    return path


def write_pixels(path, overpasses, *, quality=True):
    """Simulated list of pixels, packed latitude."""
    fields = [(orbit, *swath(orbit)) for orbit in overpasses]
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("pixel", 600 * len(fields))
        file.createDimension("overpass", len(fields))
        latitude = file.createVariable("latitude", "u2", ("pixel",))
        latitude.scale_factor, latitude.add_offset = 1e-4, 9.0
        latitude[:] = np.concatenate([north.ravel() for _, north, _ in fields])
        file.createVariable("longitude", "f4", ("pixel",))[:] = np.concatenate([e.ravel() for _, _, e in fields])
        column = file.createVariable("no2_slant_column", "f4", ("pixel",))
        column[:] = np.repeat([float(orbit) for orbit, _, _ in fields], 600)
        if quality:
            file.createVariable("qa_value", "i1", ("pixel",))[:] = np.tile(np.r_[[70] * 300, [90] * 300], len(fields))
        file.createVariable("orbit", "i4", ("overpass",))[:] = [orbit for orbit, _, _ in fields]
        file.createVariable("n_pixels", "i4", ("overpass",))[:] = 600
        start = file.createVariable("overpass_start", "i8", ("overpass",))
        start.units, start[:] = "hours since 2020-02-28 12:00:00", [24 * orbit for orbit, _, _ in fields]
    return path


@pytest.fixture
def folder(tmp_path):
    """Four orbits, two of them on one day, in an order of names that is not that of time."""
    for name, day, orbit in (("d", 0, 1), ("c", 0, 2), ("a", 3, 3), ("b", 2, 4)):
        write_level_2(tmp_path / f"{name}.nc", day, orbit)
    (tmp_path / "notes.txt").write_text("not a swath")
    return tmp_path


def test_level_2_orbit_by_orbit_in_order_of_time(folder):
    found = list(tropomi.orbits(folder))
    assert [orbit.number for orbit in found] == [1, 2, 4, 3]
    first = found[0]
    assert str(first.time)[:16] == "2010-01-01T11:01"
    assert first.attrs == {"units": "mol m-2", "long_name": "simulated column"}
    assert np.flatnonzero(np.isnan(first.values)).tolist() == [45]
    np.testing.assert_allclose(first.qa.reshape(30, 20)[0, [0, 5, 9]], [0.75, 0.76, 1.0], rtol=1e-6)


def test_cube_of_level_2(folder):
    cube = tropomi.to_cube(folder, 0.1)
    assert cube.dims == ("time", "latitude", "longitude")
    assert cube.name == NO2
    assert cube.dtype == np.float32
    assert cube["time"].dt.strftime("%m-%d").values.tolist() == ["01-01", "01-03", "01-04"]
    assert cube.attrs["units"] == "mol m-2"
    assert cube["latitude"].attrs["units"] == "degrees_north"
    assert (np.diff(cube["latitude"]) > 0).all()
    north, east = np.meshgrid(cube["latitude"], cube["longitude"], indexing="ij")
    seen = np.isfinite(cube.values)
    assert seen.mean() > 0.5
    far = np.abs(cube.values - (north + 100 * east))[seen]
    assert far.max() <= 100 * 0.0722 + 0.08  # half a diagonal, at 12 degrees north


def test_quality_is_above_the_threshold_not_at_it(folder):
    """Columns of pixels at 0.75 are not used for NO2, those at 0.76 are; percent and share mean the same."""
    west = tropomi.to_cube(folder, 0.05).isel(time=1)
    assert float(west["longitude"][np.isfinite(west.values).any(0)].min()) == pytest.approx(20.2, abs=0.06)
    every = tropomi.to_cube(folder, 0.05, qa=0.74).isel(time=1)
    assert float(every["longitude"][np.isfinite(every.values).any(0)].min()) == pytest.approx(20.0, abs=0.06)
    np.testing.assert_array_equal(every, tropomi.to_cube(folder, 0.05, qa=74).isel(time=1))
    strict = tropomi.to_cube(folder, 0.05, qa=0.76).isel(time=1)
    assert np.isfinite(strict).sum() < np.isfinite(west).sum()


def test_other_species_have_another_threshold_and_raw_percent_is_seen(tmp_path):
    write_level_2(tmp_path / "a.nc", 0, 1, name="formaldehyde_tropospheric_vertical_column", percent=True)
    cube = tropomi.to_cube(tmp_path / "a.nc", 0.1)
    assert cube.attrs["qa_threshold"] == 0.5
    assert np.isfinite(cube.values).all(1).any()


def test_default_grid_is_not_finer_than_the_pixels(folder):
    cube = tropomi.to_cube(folder)
    assert np.diff(cube["latitude"]).mean() == pytest.approx(0.05)


def test_list_of_pixels(tmp_path):
    path = write_pixels(tmp_path / "list.nc", [5, 6, 9])
    found = list(tropomi.orbits(path))
    assert [orbit.number for orbit in found] == [5, 6, 9]
    assert [set(orbit.values) for orbit in found] == [{5.0}, {6.0}, {9.0}]
    assert str(found[2].time)[:13] == "2020-03-08T12"
    cube = tropomi.to_cube(path, 0.1)
    assert cube.shape[0] == 3
    assert np.nanmax(cube.values, (1, 2)).tolist() == [5, 6, 9]
    assert float(cube["latitude"][np.isfinite(cube[0]).any("longitude").values].min()) > 10.7  # qa 70 is left out


def test_is_swath(tmp_path, folder):
    assert tropomi.is_swath(folder)
    assert tropomi.is_swath(folder / "a.nc")
    assert not tropomi.is_swath(folder / "notes.txt")
    assert not tropomi.is_swath(tmp_path / "none.nc")
    with netCDF4.Dataset(tmp_path / "grid.nc", "w") as file:
        file.createDimension("latitude", 3)
        file.createVariable("latitude", "f4", ("latitude",))
    assert not tropomi.is_swath(tmp_path / "grid.nc")


def test_refused(tmp_path, folder):
    write_level_2(tmp_path / "two.nc", 0, 1, name="ozone_a", second="ozone_b")
    write_pixels(tmp_path / "plain.nc", [1], quality=False)
    (tmp_path / "cut.nc").write_bytes((folder / "a.nc").read_bytes()[:3000])
    with netCDF4.Dataset(tmp_path / "grid.nc", "w") as file:
        file.createDimension("x", 3)
    (tmp_path / "empty").mkdir()
    for source, message, settings in (
        ("none", "does not exist", {}),
        ("notes.txt", "not NetCDF", {}),
        ("grid.nc", "is no swath", {}),
        ("empty", "no swaths", {}),
        ("cut.nc", "cannot be read", {}),
        ("two.nc", "several variables; choose one of ozone_a, ozone_b", {}),
        ("a.nc", "has no temperature; it has nitrogendioxide", {"variable": "temperature"}),
        ("a.nc", "not one value a pixel", {"variable": "delta_time"}),
        ("a.nc", "at most 10 degrees", {"grid": -1.0}),
        ("a.nc", "quality from 0 to 1", {"qa": 200.0}),
        ("a.nc", "no pixel of .* quality above 1", {"qa": 1.0}),
        ("plain.nc", "has no quality", {"qa": 0.5}),
    ):
        with pytest.raises(RequestError, match=message) as caught:
            tropomi.to_cube(tmp_path / source, **settings)
        assert "\n" not in str(caught.value)
    assert np.isfinite(tropomi.to_cube(tmp_path / "plain.nc", 0.1)).mean() > 0.9


def test_real_harp_orbits(data):
    """Three overpasses, three species, each with its validity."""
    for name, threshold in (("NO2_slant_column_number_density", 0.75), ("HCHO_slant_column_number_density", 0.5)):
        cube = tropomi.to_cube(data / "tropomi" / "orbits", variable=name)
        assert cube["time"].dt.strftime("%Y-%m-%d").values.tolist() == ["2020-01-02", "2020-01-16", "2020-01-30"]
        assert cube.attrs["qa_threshold"] == threshold
        assert cube.shape == (3, 48, 53)  # 0.1 degree
        assert np.isfinite(cube.values).mean() > 0.9
    numbers = [orbit.number for orbit in tropomi.orbits(data / "tropomi" / "orbits", "SO2_slant_column_number_density")]
    assert numbers == [11507, 11706, 11904]
    with pytest.raises(RequestError, match="choose one of HCHO"):
        tropomi.to_cube(data / "tropomi" / "orbits")


def test_real_methane_granule(data):
    """Three pixels only, of quality 0.4; each lands on a cell or two, with its value."""
    granule = data / "tropomi" / CH4
    (orbit,) = tropomi.orbits(granule)
    assert (orbit.number, str(orbit.time)[:10]) == (7293, "2019-03-11")
    with pytest.raises(RequestError, match="quality above"):
        tropomi.to_cube(granule)
    cube = tropomi.to_cube(granule, qa=0.3)
    assert cube.attrs["standard_name"] == "dry_atmosphere_mole_fraction_of_methane"
    assert cube.name == "methane_mixing_ratio"
    values = cube.values[np.isfinite(cube.values)]
    assert values.size >= 3
    assert np.isin(values, orbit.values).all()


def test_real_pixels_equal_the_orbit_they_come_from(data):
    """The list of pixels and the HARP file of the same orbit give the same raster, but for the rounding of places."""
    listed = next(o for o in tropomi.orbits(data / "tropomi" / PIXELS) if o.number == 11507)
    original = next(tropomi.orbits(data / "tropomi" / "orbits", "NO2_slant_column_number_density"))
    np.testing.assert_array_equal(np.sort(listed.values), np.sort(original.values[np.isfinite(original.values)]))
    assert abs(listed.time - original.time) < np.timedelta64(10, "m")
