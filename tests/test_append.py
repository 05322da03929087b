"""A source that grows: the store gets the times it lacks, and reads as if it had been written at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from adiabat.formats import RequestError
from adiabat.formats.append import _move
from adiabat.formats.cli import app
from adiabat.formats.demo import simulate_field
from adiabat.formats.status import check_store

pytestmark = pytest.mark.filterwarnings("ignore:.*numpy.ndarray size changed:RuntimeWarning")


@pytest.fixture(scope="module")
def whole():
    field = simulate_field((40, 37, 72))
    field["count"] = ("time", np.arange(40, dtype="i4"))
    field["height"] = (("lat", "lon"), np.ones((37, 72), "f4"))
    return field.assign_coords(period=("time", [f"hour {i}" for i in range(40)]))


def adiabat(*arguments, status=0):
    ran = CliRunner().invoke(app, list(map(str, arguments)))
    assert ran.exit_code == status, ran.output + str(ran.exception)
    return ran


@pytest.fixture
def write(whole, tmp_path):
    def write(first, last, *options, name="part.nc", **how):
        part = whole.isel(time=slice(first, last))
        part.to_netcdf(tmp_path / name, **how)
        arguments = ["compress", tmp_path / name, tmp_path / "out.zarr", "--default-bound", "abs:0.1", "--workers", 1]
        return adiabat(*arguments, *options)

    return write


def is_like(whole, store, last=40):
    some = whole.isel({dim: slice(last) for dim in whole.temperature.dims[:1]})
    with xr.open_zarr(store, decode_times=False, chunks=None) as dataset:
        assert set(dataset.variables) == set(whole.variables)
        assert dataset.sizes == some.sizes
        for name in set(whole.variables) - {"temperature"}:
            np.testing.assert_array_equal(dataset[name].values, some[name].values)
        error = np.abs(dataset.temperature.values.astype("f8") - some.temperature.values)
        assert error.max() <= 0.1
    assert check_store(store, decode=True) == []
    assert [path.name for path in store.parent.iterdir() if "out.zarr" in path.name] == ["out.zarr"]


def test_times_are_added_on_the_edge_of_a_file(whole, write, tmp_path):
    write(0, 16, "--chunk", "time=8")
    write(16, 32, "--append")
    is_like(whole, tmp_path / "out.zarr", 32)
    write(32, 40, "--append")
    is_like(whole, tmp_path / "out.zarr")
    with xr.open_zarr(tmp_path / "out.zarr") as dataset:
        assert len(dataset.attrs["history"].splitlines()) == 3
        achieved = json.loads(dataset.temperature.attrs["adiabat"])["achieved"]
    assert 0.5 < achieved["of_bound"] <= 1


def test_a_file_that_was_not_full_is_written_again(whole, write, tmp_path):
    write(0, 11, "--chunk", "time=8")
    ran = CliRunner()
    part = whole.isel(time=slice(11, 40))
    part.to_netcdf(tmp_path / "late.nc")
    arguments = ["compress", tmp_path / "late.nc", tmp_path / "out.zarr", "--default-bound", "abs:0.1", "--append"]
    refused = ran.invoke(app, list(map(str, arguments)))
    assert "has room left" in str(refused.exception)
    write(0, 40, "--append")
    is_like(whole, tmp_path / "out.zarr")


def test_the_same_times_add_nothing(whole, write, tmp_path):
    write(0, 16, "--chunk", "time=8")
    before = {file: file.read_bytes() for file in (tmp_path / "out.zarr").rglob("*") if file.is_file()}
    write(8, 16, "--append")
    assert before == {file: file.read_bytes() for file in (tmp_path / "out.zarr").rglob("*") if file.is_file()}


def test_other_references_of_time_are_converted(whole, write, tmp_path):
    write(0, 16, "--chunk", "time=8")
    part = whole.isel(time=slice(16, 40))
    hours = part.time.values - 24.0
    part = part.assign_coords(time=("time", hours, {"units": "hours since 2000-01-02"}))
    part.to_netcdf(tmp_path / "other.nc")
    adiabat("compress", tmp_path / "other.nc", tmp_path / "out.zarr", "--default-bound", "abs:0.1", "--append")
    is_like(whole, tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("numbers", "units", "message"),
    [
        (60 * np.arange(16, 40) + 30, "minutes since 2000-01-01", "no whole numbers in 'hours since 2000-01-01'"),
        (
            np.arange(16, 40) + 0.5,
            "hours since 2000-01-01",
            "times as int64 .* cannot say 2000-01-01 16:30:00 to",
        ),
    ],
)
def test_times_that_the_numbers_of_the_store_cannot_say_are_refused(whole, write, tmp_path, numbers, units, message):
    write(0, 16, "--chunk", "time=8")
    part = whole.isel(time=slice(16, 40)).assign_coords(time=("time", numbers, {"units": units}))
    part.to_netcdf(tmp_path / "between.nc")
    arguments = ["compress", tmp_path / "between.nc", tmp_path / "out.zarr", "--default-bound", "abs:0.1", "--append"]
    ran = CliRunner().invoke(app, list(map(str, arguments)))
    with pytest.raises(RequestError, match=message):
        raise ran.exception
    is_like(whole, tmp_path / "out.zarr", 16)


def test_times_that_are_not_named_as_their_dimension(whole, tmp_path):
    renamed = whole.rename_dims(time="Time").rename_vars(time="XTIME")
    arguments = [tmp_path / "part.nc", tmp_path / "out.zarr", "--default-bound", "abs:0.1", "--workers", 1]
    for region, options in ((slice(16), ["--chunk", "Time=8"]), (slice(16, 40), ["--append"])):
        renamed.isel(Time=region).to_netcdf(tmp_path / "part.nc")
        adiabat("compress", *arguments, *options)
    is_like(renamed, tmp_path / "out.zarr")


def test_a_move_that_was_killed_is_begun_again(tmp_path):
    made, store = tmp_path / "made", tmp_path / "out.zarr"
    (made / "t" / "c").mkdir(parents=True)
    (made / "t" / "c" / "0").write_bytes(b"chunk")
    (made / "zarr.json").write_text("{}")
    for _ in range(2):
        _move(made, store)
    assert sorted(file.name for file in store.rglob("*") if file.is_file()) == ["0", "zarr.json"]
    assert (made / "t" / "c" / "0").exists()


@pytest.mark.parametrize(
    ("region", "options", "message"),
    [
        ([*range(4, 8), *range(20, 40)], ["--append"], "the times of the source do not go on"),
        (range(16, 40), ["--append", "--bound", "temperature=abs:0.5"], "has abs:0.1 in .*cannot go on with abs:0.5"),
        (range(16, 40), ["--append", "--part", "1/2"], "leave --part out"),
    ],
)
def test_what_does_not_go_on_is_refused(whole, write, tmp_path, region, options, message):
    write(0, 16, "--chunk", "time=8")
    gap = whole.isel(time=region)
    gap.to_netcdf(tmp_path / "gap.nc")
    arguments = ["compress", tmp_path / "gap.nc", tmp_path / "out.zarr", "--default-bound", "abs:0.1", *options]
    ran = CliRunner().invoke(app, list(map(str, arguments)))
    assert ran.exit_code != 0
    with pytest.raises(type(ran.exception), match=message):
        raise ran.exception
    is_like(whole, tmp_path / "out.zarr", 16)


def test_nothing_to_append_to(whole, tmp_path):
    whole.to_netcdf(tmp_path / "all.nc")
    ran = CliRunner().invoke(app, ["compress", str(tmp_path / "all.nc"), str(tmp_path / "no.zarr"), "--append"])
    assert "is not a Zarr store, so nothing can be appended" in str(ran.exception)
