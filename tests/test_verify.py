"""A store beside its source: many files, trees, child groups; what is broken is found and named."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.formats.archive import archive
from adiabat.formats.errors import RequestError
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.sources import find_source
from adiabat.formats.verify import count_values, verify


@pytest.fixture
def days(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        time = xr.Variable("time", 24 * number + np.arange(0, 24, 6), {"units": "hours since 2020-01-01"})
        field = 280 + rng.standard_normal((4, 20, 30)).cumsum(1).astype("f4")
        xr.Dataset(
            {"t": (("time", "lat", "lon"), field, {"units": "K"}), "flag": (("time", "lat", "lon"), field > 280)},
            {"time": time, "lat": np.linspace(40, 50, 20), "lon": np.linspace(0, 10, 30)},
        ).to_netcdf(tmp_path / f"{number}.nc")
    return tmp_path


def write(folder, name="out.zarr", **options):
    source, _ = find_source(f"{folder}/*.nc")
    archive(source, plan_groups(source.open(), bounds={"t": {"abs": 0.05}}, **options), folder / name)
    return source


def problems(checks):
    return {check.name: check.problem for check in checks if check.problem}


def test_many_files_are_held_against_one_store(days):
    source = write(days)
    counted = []
    checks = verify(source, days / "out.zarr", progress=lambda name, more: counted.append(more))
    assert problems(checks) == {}
    assert sum(counted) == count_values(source) == 2 * 12 * 20 * 30 + 12 + 20 + 30
    assert [check.name for check in checks] == ["t", "flag", "time", "lat", "lon"]
    assert problems(verify(sorted(days.glob("*.nc")), days / "out.zarr")) == {}
    assert problems(verify(days / "0.nc", days / "out.zarr")).keys() == {"t", "flag", "time"}


def test_a_value_that_is_off_is_found_in_its_file(days):
    source = write(days)
    with xr.open_dataset(days / "1.nc", decode_times=False) as dataset:
        changed = dataset.load()
    changed.t[2, 3, 4] += 1
    changed.to_netcdf(days / "1.nc")
    found = problems(verify(source, days / "out.zarr"))
    assert found.keys() == {"t"}
    assert "[time=6, lat=3, lon=4]" in found["t"]


def test_arrays_of_a_child_group_are_compared(days):
    source = write(days, child="compressed")
    assert (days / "out.zarr" / "compressed" / "t").is_dir()
    checks = {check.name: check for check in verify(source, days / "out.zarr")}
    assert problems(checks.values()) == {}
    assert checks["t"].bound == {"abs": 0.05}
    assert 0 < checks["t"].errors.used <= 1


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_what_is_missing_is_said(days):
    source = write(days)
    shutil.rmtree(days / "out.zarr" / "flag")
    zarr.consolidate_metadata(days / "out.zarr")
    assert problems(verify(source, days / "out.zarr")) == {"flag": "is missing from the store"}
    with pytest.raises(RequestError, match=r"none.zarr is not a Zarr store"):
        verify(source, days / "none.zarr")
    with pytest.raises(RequestError, match="nothing matches"):
        verify(f"{days}/*.grib", days / "out.zarr")


def test_an_opened_dataset_is_no_source(tmp_path):
    with pytest.raises(RequestError, match="expected the file or store that was compressed, got a Dataset"):
        verify(xr.Dataset({"t": ("x", np.zeros(3))}), tmp_path / "t.zarr")
