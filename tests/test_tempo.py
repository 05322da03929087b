"""The reader of TEMPO granules: simulated ones come back whole, malformed ones are refused in a sentence."""

from __future__ import annotations

import shutil

import netCDF4
import numpy as np
import pytest
import xarray as xr
from tempo_tables import write_tables

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.tempo import BAD, BANDS, is_tempo, open_tempo
from adiabat.training.simulate_tempo import simulate_granule, simulate_irradiance

UV = BANDS[0]
FILL = np.float32(-1e30)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("spectroscopy"))


@pytest.fixture(scope="module")
def granule(tables, tmp_path_factory):
    """A simulated granule in which some values are flagged in each way."""
    path = tmp_path_factory.mktemp("granule") / "TEMPO_RAD_L1_V03_simulated.nc"
    simulate_granule(path, mirror_steps=3, xtrack=6, seed=1, spectroscopy=tables)
    with netCDF4.Dataset(path, "a") as file:
        flags = file[f"{UV}/pixel_quality_flag"]
        flags[:] = 0
        for bit in range(12):
            flags[1, 2, 10 * bit] = 1 << bit
        flags[2, 3] = 2  # a whole spectrum
        flags[0, 0, 7] = 65535  # nothing is known about it
    return path


@pytest.fixture
def copy(granule, tmp_path):
    return shutil.copy(granule, tmp_path / "granule.nc")


def raw(path, name):
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return file[name][:]


# What comes back


def test_a_granule_comes_back_with_every_group_variable_unit_and_flag(granule):
    with netCDF4.Dataset(granule) as file, open_tempo(granule) as tree:
        file.set_auto_maskandscale(False)
        for name in (*BANDS, "simulated_truth"):
            group, node = file[name], tree[name]
            assert set(group.variables) <= set(node.variables)
            for key, variable in group.variables.items():
                assert node[key].dims == variable.dimensions
                assert node[key].dtype == variable.dtype
                kept = {k: v for k, v in variable.__dict__.items() if k != "_FillValue"}
                assert {k: np.asarray(node[key].attrs[k]).tolist() for k in kept} == {
                    k: np.asarray(v).tolist() for k, v in kept.items()
                }
                expected = variable[...]
                if variable.dtype.kind == "f":
                    expected = np.where(expected == FILL, np.nan, expected)
                if key not in ("radiance", "radiance_error"):
                    np.testing.assert_array_equal(node[key].values, expected)
        assert tree.attrs["simulated"] == 1
        assert tree["time"].attrs["units"] == "seconds since 1980-01-06T00:00:00Z"  # undecoded
        np.testing.assert_array_equal(tree["time"].values, file["time"][:])
        assert {"latitude", "longitude", "nominal_wavelength", "xtrack", "mirror_step"} <= set(tree[UV].coords)
        assert tree[UV]["radiance"].encoding["_FillValue"] == FILL


def test_flagged_and_fill_values_are_nan_and_no_others(granule):
    values, flags = raw(granule, f"{UV}/radiance"), raw(granule, f"{UV}/pixel_quality_flag")
    with open_tempo(granule) as tree:
        radiance, error = tree[UV]["radiance"].values, tree[UV]["radiance_error"].values
    bad = (values == FILL) | ((flags & 0b111111 != 0) & (flags != 65535))
    np.testing.assert_array_equal(np.isnan(radiance), bad)
    np.testing.assert_array_equal(np.isnan(error), bad)
    np.testing.assert_array_equal(radiance[~bad], values[~bad])
    assert np.isnan(radiance[2, 3]).all()
    assert np.isnan(radiance[1, 2, [0, 10, 20, 30, 40, 50]]).all()
    assert np.isfinite(radiance[1, 2, [60, 70, 80, 90, 100, 110]]).any()


def test_which_flags_count_can_be_said(granule):
    values = raw(granule, f"{UV}/radiance")
    with open_tempo(granule, flags=()) as tree:
        np.testing.assert_array_equal(np.isnan(tree[UV]["radiance"].values), values == FILL)
    with open_tempo(granule, flags=("nonlinear_range",)) as tree:
        found = np.argwhere(np.isnan(tree[UV]["radiance"].values) & (values != FILL))
    assert found.tolist() == [[1, 2, 110]]
    assert "saturated" in BAD


def test_a_part_is_what_it_is_of_the_whole(granule):
    with open_tempo(granule) as tree:
        radiance = tree[UV]["radiance"]
        whole = radiance.copy(deep=True).load().values
        for key in (np.s_[1], np.s_[1, 2], np.s_[1, 2, 10], np.s_[::2, [0, 3], 5:50:3], np.s_[:, -1], np.s_[[2, 0]]):
            np.testing.assert_array_equal(radiance[key].values, _outer(whole, key))
        points = {"mirror_step": xr.DataArray([0, 1], dims="p"), "xtrack": xr.DataArray([2, 2], dims="p")}
        np.testing.assert_array_equal(radiance.isel(points).values, whole[[0, 1], [2, 2]])


def _outer(whole, key):
    key = key if isinstance(key, tuple) else (key,)
    return xr.Variable(("a", "b", "c"), whole)[key].values


def test_an_irradiance_file_opens_too(tables, tmp_path):
    path = simulate_irradiance(tmp_path / "i.nc", xtrack=4, spectroscopy=tables)
    flags, values = raw(path, f"{UV}/pixel_quality_flag"), raw(path, f"{UV}/irradiance")
    with open_tempo(path) as tree:
        np.testing.assert_array_equal(np.isnan(tree[UV]["irradiance"].values), (flags != 0) | (values == FILL))


def test_the_real_level_2_granules_open_as_they_are(data):
    paths = sorted((data / "tempo").glob("TEMPO_NO2_L2_*.nc4"))
    if not paths:
        pytest.skip("no TEMPO granules")
    for path in paths:
        assert is_tempo(path)
        with open_tempo(path) as tree:
            column = tree["product/vertical_column_stratosphere"]
            assert column.shape == (132, 2048)
            assert column.attrs["units"] == "molecules/cm^2"
            assert np.nanmax(column.values) < 1e17  # -1e30 is fill
            assert np.nanmin(tree["geolocation/latitude"].values) > 0
            assert tree.attrs["product_type"] == "NO2"
            np.testing.assert_array_equal(tree["xtrack"].values, np.arange(2048))


def level_2(path, product, flag):
    """A small file in the layout of level 2."""
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"title": "made for a test", "product_type": product})
        for dim, size in (("mirror_step", 2), ("xtrack", 3)):
            file.createDimension(dim, size)
        for group in ("product", "geolocation", "support_data"):
            file.createGroup(group)
        column = file["product"].createVariable("vertical_column", "f8", ("mirror_step", "xtrack"), fill_value=-1e30)
        column.units = "molecules/cm^2"
        column[:] = np.arange(6.0).reshape(2, 3)
        column[0, 1] = -1e30
        quality = file["product"].createVariable(flag, "u2", ("mirror_step", "xtrack"), fill_value=65535)
        quality.setncatts({"flag_values": np.uint16([0, 1, 2]), "flag_meanings": "normal suspicious bad"})
        quality[:] = [[0, 0, 1], [2, 0, 2]]
        packed = file["support_data"].createVariable("amf", "i2", ("mirror_step", "xtrack"), fill_value=-1)
        packed.setncatts({"scale_factor": 0.5})
        packed[:] = 3.0
        file["geolocation"].createVariable("latitude", "f4", ("mirror_step", "xtrack"))[:] = 40


def test_columns_of_level_2_are_nan_where_the_main_flag_says_bad(tmp_path):
    path = tmp_path / "l2.nc"
    for product, flag in (("HCHO", "main_data_quality_flag"), ("O3TOT", "quality_flag")):
        level_2(path, product, flag)
        with open_tempo(path) as tree:
            values = tree["product/vertical_column"].values
            assert tree[f"product/{flag}"].values.tolist() == [[0, 0, 1], [2, 0, 2]]
            assert (tree["support_data/amf"].values == 3).all()
        holes = [[False, True, False], [flag == "main_data_quality_flag", False, flag == "main_data_quality_flag"]]
        assert np.isnan(values).tolist() == holes
    with open_tempo(path, flags=()) as tree:
        assert np.isnan(tree["product/vertical_column"].values).sum() == 1


# What is refused


def refused(path, sentence, **options):
    with pytest.raises(RequestError, match=sentence) as caught:
        open_tempo(path, **options)
    assert "\n" not in str(caught.value)


def test_a_missing_band(granule, tables, tmp_path):
    path = simulate_granule(tmp_path / "uv.nc", mirror_steps=1, xtrack=2, band="290_490", spectroscopy=tables)
    refused(path, "expected bands band_290_490_nm and band_540_740_nm, got only band_290_490_nm")
    with open_tempo(path, bands=[UV]) as tree:
        assert UV in tree.children
    with open_tempo(granule, bands=[UV]) as tree:
        assert BANDS[1] in tree.children  # what is there is not left out


def test_a_wrong_channel_count(tables, tmp_path):
    path = simulate_granule(tmp_path / "few.nc", mirror_steps=1, xtrack=2, channels=100, spectroscopy=tables)
    refused(path, "expected 1028 spectral channels in band_290_490_nm, got 100")
    with open_tempo(path, channels=None) as tree:
        assert tree[UV].sizes["spectral_channel"] == 100


def test_all_flagged(copy):
    with netCDF4.Dataset(copy, "a") as file:
        file[f"{UV}/pixel_quality_flag"][:] = 1
    refused(copy, f"expected at least one good radiance in {UV}, got 18504 of 18504 values flagged or fill")
    with open_tempo(copy, flags=()) as tree:
        assert np.isfinite(tree[UV]["radiance"].values).any()


@pytest.mark.parametrize("value", [480.0, -1e30])
def test_wavelengths_that_do_not_increase(copy, value):
    with netCDF4.Dataset(copy, "a") as file:
        file[f"{UV}/nominal_wavelength"][4, 500] = value
    refused(copy, r"expected wavelengths of band_290_490_nm to increase with the channel, got .* of row 4")


def test_wavelengths_of_which_none_is_known(copy):
    with netCDF4.Dataset(copy, "a") as file:
        file[f"{UV}/nominal_wavelength"][4] = -1e30  # a dark row
    with open_tempo(copy) as tree:
        assert np.isnan(tree[UV]["nominal_wavelength"].values[4]).all()
    with netCDF4.Dataset(copy, "a") as file:
        file[f"{UV}/nominal_wavelength"][:] = -1e30
    refused(copy, "expected wavelengths of band_290_490_nm to increase")


def test_a_missing_variable_and_wrong_dimensions(copy, granule):
    with netCDF4.Dataset(copy, "a") as file:
        file[UV].renameVariable("radiance_error", "radiance_sigma")
    refused(copy, "expected radiance_error in band_290_490_nm, got radiance, radiance_sigma")
    shutil.copy(granule, copy)
    with netCDF4.Dataset(copy, "a") as file:
        file[UV].renameVariable("nominal_wavelength", "old")
        file[UV].createVariable("nominal_wavelength", "f4", ("spectral_channel",))[:] = np.arange(1028)
    refused(copy, "expected nominal_wavelength of band_290_490_nm on xtrack x spectral_channel, got spectral_channel")


def test_a_truncated_file(copy):
    whole = copy.read_bytes()
    for size in (len(whole) // 2, len(whole) - 100, 4000, 30, 0):
        copy.write_bytes(whole[:size])
        refused(copy, "cannot be read|is not NetCDF")


def test_what_is_no_granule(tmp_path):
    refused(tmp_path / "none.nc", "does not exist")
    (tmp_path / "text.nc").write_text("not a granule")
    refused(tmp_path / "text.nc", "which is not NetCDF")
    xr.Dataset({"t": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    refused(
        tmp_path / "other.nc", "expected groups band_290_490_nm and band_540_740_nm, or product .* got groups: none"
    )
    assert not is_tempo(tmp_path / "other.nc")
    assert not is_tempo(tmp_path / "text.nc")
    assert not is_tempo(tmp_path)
