"""Every real file of a format of ours opens, keeps names and units, and gives the values that its own library gives."""

from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from adiabat.formats.archive import archive
from adiabat.formats.errors import RequestError
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.sources import find_source
from adiabat.formats.verify import verify

ROOT = Path(os.environ.get("ADIABAT_DATA", Path(__file__).parents[2] / "shared" / "data"))
SUFFIXES = (".nc", ".nc4", ".he5", ".grib")
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.suffix in SUFFIXES)
OTHERS = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.suffix in (".mat", ".npy", ".npz", ".txt")
)


def names_and_units(path):
    """Of every variable, by netCDF4 alone."""

    def walk(group, place):
        yield from ((f"{place}/{name}", variable) for name, variable in group.variables.items())
        for name, below in group.groups.items():
            yield from walk(below, f"{place}/{name}")

    with netCDF4.Dataset(path) as file:
        return {name: getattr(variable, "units", None) for name, variable in walk(file, "")}


@pytest.mark.parametrize("name", FILES)
def test_it_opens_with_its_names_units_and_values(data, name):
    source, notes = find_source(data / name)
    groups = source.open()
    assert not [note for note in notes if "left out" in note]
    found = {
        f"{path.rstrip('/')}/{key}": variable
        for path, dataset in groups.items()
        for key, variable in dataset.variables.items()
    }
    assert any(variable.dtype.kind == "f" for variable in found.values())
    for variable in found.values():
        first = variable[(slice(0, 2),) * min(1, variable.ndim)].values
        assert first.dtype == variable.dtype or first.dtype.kind in "OU"
    if not name.endswith(".grib"):
        expected = names_and_units(data / name)
        assert set(found) == set(expected)
        for key, units in expected.items():
            # What gives none may have got what its product means.
            assert units is None or found[key].attrs["units"] == units
    for dataset in groups.values():
        dataset.close()


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("tropomi/S5P", "tempo", "omi"))])
def test_trees_hold_what_netcdf_holds(data, name):
    groups = find_source(data / name)[0].open()
    with netCDF4.Dataset(data / name) as file:
        for path, dataset in groups.items():
            for key, array in dataset.data_vars.items():
                if array.dtype.kind != "f" or array.size > 500_000:
                    continue
                there = np.ma.filled(file[path][key][...].astype(array.dtype), np.nan)
                np.testing.assert_array_equal(array.values, there, err_msg=f"{path} {key}")
    for dataset in groups.values():
        dataset.close()


@pytest.mark.parametrize("name", OTHERS[:8])
def test_other_formats_are_refused_in_a_sentence(data, name):
    with pytest.raises(RequestError, match="neither NetCDF, GRIB nor Zarr"):
        find_source(data / name)


def test_a_year_after_a_year(data):
    source, notes = find_source(f"{data}/era5_regional/gulf*.nc")
    dataset = source.open()["/"]
    assert dataset.sizes == {"valid_time": 2928 + 2920, "latitude": 7, "longitude": 12}
    assert notes == []
    with netCDF4.Dataset(source.paths[1]) as file:
        np.testing.assert_array_equal(dataset.t2m[2928:2930].values, file["t2m"][:2])
    dataset.close()


def test_split_files_beside_one_another(data):
    dataset = find_source(f"{data}/era5_regional/wam*.nc")[0].open()["/"]
    assert set(dataset.data_vars) == {"e", "q", "u", "v", "sp", "tp"}
    assert dataset.tp.attrs["standard_name"] == "lwe_thickness_of_precipitation_amount"


@pytest.mark.parametrize(
    ("given", "groups"),
    [("tempo", {"product", "geolocation"}), ("tropomi/orbits", set())],
)
def test_granules_each_become_a_group(data, given, groups):
    source, _ = find_source(data / given)
    datasets = source.open()
    stems = {Path(path).stem for path in source.paths}
    assert len(stems) == (2 if given == "tempo" else 3)
    assert set(datasets) == {"/"} | {f"/{stem}" for stem in stems} | {f"/{s}/{g}" for s in stems for g in groups}


@pytest.mark.parametrize("given", ["tempo", "tropomi/orbits", "era5_regional/gulf*.nc"])
def test_many_files_go_through_archive_and_verify_and_plain_xarray(data, tmp_path, given):
    source, _ = find_source(f"{data}/{given}")
    groups = source.open()
    target = tmp_path / "out.zarr"
    archive(source, plan_groups(groups, default_bound={"rel": 0.01}), target)
    checks = verify(source, target)
    assert not [(check.name, check.problem) for check in checks if check.problem]
    names = {f"{place}/{name}".replace("//", "/")[1:] for place, each in groups.items() for name in each.variables}
    assert {check.name for check in checks} == names
    tree = xr.open_datatree(target, engine="zarr", decode_times=False)
    assert all(
        tree[name].shape == groups[f"/{name}".rpartition("/")[0] or "/"][name.split("/")[-1]].shape for name in names
    )


def test_what_does_not_belong_together_says_so(data):
    for folder in ("era5", "era5_regional", "model_output", "merra2", "tropomi"):
        with pytest.raises(
            RequestError, match=r"different grids|lacks|stores of their own|has no time|differ"
        ) as caught:
            find_source(data / folder)
        assert "\n" not in str(caught.value)
