"""Files whose variables lie in groups: all groups, all attributes, and nothing that Zarr has no type for."""

from __future__ import annotations

import json

import netCDF4
import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.sources import find_source
from adiabat.formats.verify import verify


@pytest.fixture
def odd(tmp_path):
    """A tree with every type netCDF has, and groups that only say something."""
    path = tmp_path / "odd.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        file.title = "odd"
        group = file.createGroup("PRODUCT")
        pair = file.createCompoundType(np.dtype([("a", "f4"), ("b", "i2")]), "pair")
        ragged = file.createVLType(np.int32, "ragged")
        cloud = file.createEnumType(np.uint8, "cloud", {"clear": 0, "cloudy": 1})
        group.createVariable("both", pair, ("x",))
        group.createVariable("lists", ragged, ("x",))[0] = np.array([1, 2], "i4")
        group.createVariable("mask", cloud, ("x",))[:] = [0, 1, 1]
        group.createVariable("names", str, ("x",))[:] = np.array(["a", "bc", ""], object)
        packed = group.createVariable("packed", "i2", ("x",), fill_value=-1)
        packed.setncatts({"scale_factor": 0.5, "units": "K"})
        packed[:] = np.ma.masked_values([1.0, 2.5, -1], -1)
        below = group.createGroup("SUPPORT DATA")
        below.createVariable("angle", "f4", ("x",))[:] = [1, 2, 3]
        about = file.createGroup("METADATA").createGroup("ISO")
        about.setncatts({"language": "en", "numbers": np.array([1, 2])})
        about.createGroup("contact").person = "us"
    return path


def test_all_groups_are_kept_and_what_cannot_be_is_said(odd):
    source, notes = find_source(odd)
    assert notes == [f"{odd}: Zarr has nothing for the types of PRODUCT/both, PRODUCT/lists: left out"]
    groups = source.open()
    assert set(groups) == {"/", "/PRODUCT", "/PRODUCT/SUPPORT DATA"}
    product = groups["/PRODUCT"]
    assert set(product.variables) == {"mask", "names", "packed"}
    np.testing.assert_array_equal(product.packed, [1, 2.5, np.nan])
    np.testing.assert_array_equal(product.mask, [0, 1, 1])
    assert product["mask"].attrs["flag_meanings"] == "clear cloudy"
    np.testing.assert_array_equal(product["mask"].attrs["flag_values"], [0, 1])
    assert product.names.values.tolist() == ["a", "bc", ""]
    assert groups["/"].attrs["title"] == "odd"
    about = json.loads(groups["/"].attrs["METADATA"])
    assert about == {"ISO": {"language": "en", "numbers": [1, 2], "contact": {"person": "us"}}}


def test_a_tree_goes_through_the_archive(odd, tmp_path):
    from adiabat.formats.archive import archive

    source, _ = find_source(odd)
    target = tmp_path / "odd.zarr"
    archive(source, plan_groups(source.open()), target)
    checks = {check.name: check.problem for check in verify(source, target)}
    assert set(checks) == {"PRODUCT/mask", "PRODUCT/names", "PRODUCT/packed", "PRODUCT/SUPPORT DATA/angle"}
    assert set(checks.values()) == {None}
    tree = xr.open_datatree(target, engine="zarr")
    np.testing.assert_array_equal(tree["PRODUCT/SUPPORT DATA/angle"], [1, 2, 3])


def test_one_group_alone_is_flat(odd):
    source, notes = find_source(odd, group="PRODUCT/SUPPORT DATA")
    assert notes == []
    np.testing.assert_array_equal(source.open()["/"].angle, [1, 2, 3])
    with pytest.raises(RequestError, match="has no group METADATA/none"):
        find_source(odd, group="METADATA/none")


def test_a_store_of_groups_is_a_tree_too(odd, tmp_path):
    for place, dataset in find_source(odd)[0].open().items():
        keep = dataset.drop_vars("names", errors="ignore").drop_encoding()
        keep.to_zarr(tmp_path / "s.zarr", group=place.strip("/") or None, mode="a", consolidated=False)
    source, _ = find_source(tmp_path / "s.zarr")
    assert set(source.open()) == {"/", "/PRODUCT", "/PRODUCT/SUPPORT DATA"}
    assert source.identity()["paths"][str(tmp_path / "s.zarr")]["/PRODUCT"] == {"mask": [3], "packed": [3]}


def test_granules_of_one_name_are_refused(odd, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "g.nc").write_bytes(odd.read_bytes())
    with pytest.raises(RequestError, match=r"a/g.nc and .*b/g.nc have the same name, which names their groups"):
        find_source([tmp_path / "a", tmp_path / "b"])
    source, notes = find_source([odd, tmp_path / "a" / "g.nc"])
    assert {"/odd/PRODUCT", "/g/PRODUCT", "/"} <= set(source.open())
    assert len(notes) == 2


def test_trees_and_flat_files_do_not_mix(odd, tmp_path):
    xr.Dataset({"t": ("x", np.zeros(3))}).to_netcdf(tmp_path / "flat.nc", engine="netcdf4")
    with pytest.raises(RequestError, match=r"odd.nc keeps its variables in groups.*unlike .*flat.nc"):
        find_source(tmp_path)
