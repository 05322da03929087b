"""Granules through the archive: groups, flags and names stay, radiance keeps its bound in units of its own noise."""

from __future__ import annotations

import shutil

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from tempo_tables import write_tables
from typer.testing import CliRunner

from adiabat.codec import describe
from adiabat.formats.cli import app
from adiabat.formats.errors import RequestError
from adiabat.formats.plan_groups import plan_groups, whole_plan
from adiabat.formats.sources.tempo import BANDS, open_tempo
from adiabat.formats.sources.trees import groups_of
from adiabat.formats.spectral import channels_of, noise_of
from adiabat.formats.verify import verify
from adiabat.training.simulate_tempo import simulate_granule

UV = BANDS[0]
BOUNDS = ["--bound", "radiance=noise:0.5", "--bound", "radiance_error=rel:0.01"]


@pytest.fixture(scope="module")
def granule(tmp_path_factory):
    """Simulated, with values flagged, filled and without a known noise."""
    folder = tmp_path_factory.mktemp("granule")
    path = folder / "TEMPO_RAD_L1_V03_simulated.nc"
    simulate_granule(path, mirror_steps=6, xtrack=16, seed=1, spectroscopy=write_tables(folder / "tables"))
    with netCDF4.Dataset(path, "a") as file:
        band = file[UV]
        band["pixel_quality_flag"][1, 2, 30] = 8  # hit by a particle: the value stays
        band["radiance"][1, 2, 30] = 9e15
        band["radiance"][2, 3] = -1e30
        band["radiance_error"][3, 4, 5] = -1e30
    return path


@pytest.fixture(scope="module")
def store(granule, tmp_path_factory):
    target = tmp_path_factory.mktemp("store") / "granule.zarr"
    result = CliRunner().invoke(app, ["compress", str(granule), str(target), *BOUNDS, "--chunk", "mirror_step=4"])
    assert result.exit_code == 0, result.output
    return target


def test_every_value_is_within_its_own_noise_times_the_bound(granule, store):
    with netCDF4.Dataset(granule) as file:
        file.set_auto_maskandscale(False)
        x = file[f"{UV}/radiance"][:].astype(np.float64)
        sigma = file[f"{UV}/radiance_error"][:].astype(np.float64)
    x_hat = xr.open_zarr(store, group=UV)["radiance"].values.astype(np.float64)
    filled = x < -1e29
    np.testing.assert_array_equal(np.isnan(x_hat), filled)
    known = ~filled & (sigma > 0)
    assert (np.abs(x_hat - x)[known] <= 0.5 * sigma[known]).all()
    assert x_hat[3, 4, 5] == x[3, 4, 5]  # its noise is not known
    assert x_hat[1, 2, 30] == pytest.approx(9e15, rel=1e-2)


def test_plain_xarray_finds_groups_names_units_and_flags(granule, store):
    tree = xr.open_datatree(store, engine="zarr", decode_times=False)
    with open_tempo(granule, flags=()) as source:
        assert {node.path for node in tree.subtree} == {node.path for node in source.subtree}
        for path, dataset in groups_of(source).items():
            for name, array in dataset.variables.items():
                kept = tree[path][name]
                assert kept.dims == array.dims
                assert kept.attrs.get("units") == array.attrs.get("units")
                if "flag" in str(name):
                    np.testing.assert_array_equal(kept.values, array.values)
        assert tree.attrs["simulated"] == source.attrs["simulated"]


def test_its_streams_are_spectral_where_that_is_smaller(store):
    array = zarr.open_group(store, mode="r")[f"{UV}/radiance"]
    for index in ((0, 0, 0), (1, 0, 0)):
        data = (store / UV / "radiance" / array.metadata.encode_chunk_key(index)).read_bytes()
        assert describe(data)["path"] == "spectral"
        assert describe(data)["bound"] == {"noise": 0.5}


def test_verify_compares_all_groups_and_finds_a_broken_value(granule, store, tmp_path):
    checks = {check.name: check for check in verify(granule, store)}
    assert f"{UV}/radiance" in checks
    assert "simulated_truth/no2" in checks
    assert not [check.name for check in checks.values() if check.problem]
    assert 0.9 < checks[f"{UV}/radiance"].errors.used <= 1
    other = shutil.copy(granule, tmp_path / "other.nc")
    with netCDF4.Dataset(other, "a") as file:
        file[f"{UV}/radiance"][0, 0, 100] *= 1.1
    broken = {check.name for check in verify(other, store) if check.problem}
    assert broken == {f"{UV}/radiance"}


def test_writing_through_zarr_alone_is_refused_in_a_sentence(store):
    array = zarr.open_group(store, mode="r+")[f"{UV}/radiance"]
    with pytest.raises(ValueError, match="expected a context with the noise"):
        array[0, 0] = 1.0


@pytest.mark.parametrize(
    ("bound", "sentence"),
    [
        ("radiance=noise:0", "is not a bound"),
        ("radiance=noise:-1", "is not a bound"),
        ("terrain_height=noise:1", "cannot be bound by its noise: expected a variable of its dimensions"),
        ("albedo=abs:1", "there is no variable 'albedo' in any group"),
    ],
)
def test_bad_requests_get_a_sentence_and_leave_nothing(granule, tmp_path, bound, sentence):
    target = tmp_path / "out.zarr"
    result = CliRunner().invoke(app, ["compress", str(granule), str(target), "--bound", bound])
    assert isinstance(result.exception, RequestError)
    assert sentence in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_what_a_granule_lacks_is_said_aloud_and_what_is_broken_refused(granule, tmp_path):
    part = tmp_path / "part.nc"
    with open_tempo(granule, flags=()) as tree:
        tree = xr.DataTree.from_dict({f"/{UV}": tree[UV].to_dataset(inherit=False).isel(spectral_channel=slice(500))})
        tree.to_netcdf(part)
    result = CliRunner().invoke(app, ["compress", str(part), str(tmp_path / "part.zarr"), *BOUNDS])
    assert result.exit_code == 0
    assert f"{UV} has 500 spectral channels, the product 1028" in result.output
    assert f"{BANDS[1]} is missing" in result.output
    assert not [check for check in verify(part, tmp_path / "part.zarr") if check.problem]
    broken = shutil.copy(granule, tmp_path / "broken.nc")
    with netCDF4.Dataset(broken, "a") as file:
        file[f"{UV}/nominal_wavelength"][:, 5] = 100.0
    result = CliRunner().invoke(app, ["compress", str(broken), str(tmp_path / "broken.zarr"), *BOUNDS])
    assert isinstance(result.exception, RequestError)
    assert not (tmp_path / "broken.zarr").exists()


def test_channels_stay_in_one_chunk(granule):
    with open_tempo(granule, flags=()) as tree, pytest.raises(RequestError, match="cannot be cut into chunks"):
        plan_groups(groups_of(tree), bounds={"radiance": {"noise": 1.0}}, chunks={"spectral_channel": 100})


def test_a_bound_may_name_one_group(granule):
    with open_tempo(granule, flags=()) as tree:
        groups = plan_groups(groups_of(tree), bounds={f"{UV}/radiance": {"noise": 1.0}})
        told = {variable.name: variable for variable in whole_plan(groups)}
    assert told[f"{UV}/radiance"].bound == {"noise": 1.0}
    assert told[f"{UV}/radiance"].channels == -1
    assert told[f"{BANDS[1]}/radiance"].bound == "lossless"


def test_the_noise_is_found_by_attribute_or_by_name():
    field = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"))
    named = field.assign_attrs(ancillary_variables="flag sigma")
    dataset = xr.Dataset({"a": named, "sigma": field, "b": field, "b_uncertainty": field, "c": field})
    assert noise_of(dataset, "a") == "sigma"
    assert noise_of(dataset, "b") == "b_uncertainty"
    with pytest.raises(RequestError, match="such as c_error"):
        noise_of(dataset, "c")


@pytest.mark.parametrize(
    ("dims", "shape", "axis"),
    [
        (("y", "x", "wavelength"), (2, 2, 64), -1),
        (("channel", "y", "x"), (64, 2, 2), -3),
        (("channel", "y", "x"), (3, 200, 200), None),
        (("time", "lat", "lon"), (64, 64, 64), None),
    ],
)
def test_channels_are_known_by_their_name(dims, shape, axis):
    assert channels_of(xr.DataArray(np.zeros(shape), dims=dims)) == axis


def test_a_real_granule_of_level_2_is_kept_with_its_groups(data, tmp_path):
    source = sorted((data / "tempo").glob("*.nc4"))[0]
    target = tmp_path / "l2.zarr"
    bound = ["--bound", "vertical_column_stratosphere=rel:0.01"]
    assert CliRunner().invoke(app, ["compress", str(source), str(target), *bound]).exit_code == 0
    checks = verify(source, target)
    assert "product/vertical_column_stratosphere" in {check.name for check in checks}
    assert not [check for check in checks if check.problem]
