"""Files that were cut off are refused, at whatever byte; whole ones are not."""

from __future__ import annotations

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.whole import check_whole


@pytest.mark.parametrize("version", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("records", [0, 1, 3])
@pytest.mark.parametrize("moving", [("f4",), ("i2", "f8"), ("i1",), ()])
def test_any_shorter_netcdf_3_is_refused(tmp_path, version, records, moving):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format=version) as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        file.title = "odd"
        file.createVariable("x", "f4", ("x",))[:] = [1, 2, 3]
        for number, dtype in enumerate(moving):
            file.createVariable(f"v{number}", dtype, ("time", "x")).units = "K"
        for number in range(len(moving)):
            file[f"v{number}"][:records] = np.ones((records, 3))
    check_whole(path)
    whole = path.read_bytes()
    for cut in {4, 5, 8, 9, 10, 11, len(whole) // 2}:  # up to three bytes of padding belong to no value
        path.write_bytes(whole[:-cut])
        with pytest.raises(RequestError, match="truncated"):
            check_whole(path)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "earliest", "latest"])
def test_any_shorter_hdf5_is_refused(tmp_path, engine):
    path = tmp_path / "a.h5"
    if engine in ("earliest", "latest"):
        with h5py.File(path, "w", libver=engine) as file:
            file["v"] = np.arange(1000.0)
    else:
        xr.Dataset({"v": ("x", np.arange(1000.0))}).to_netcdf(path, engine=engine)
    check_whole(path)
    whole = path.read_bytes()
    for cut in (1, 100, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:-cut])
        with pytest.raises(RequestError, match="truncated"):
            check_whole(path)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"", "it is empty"),
        (b"hello", "which are what adiabat reads$"),
        (b"PK\x03\x04rest", "a zip archive, to be unpacked first"),
        (b"\x1f\x8b\x08", "gzipped"),
        (b"\x0e\x03\x13\x01", "HDF 4"),
    ],
)
def test_what_is_no_data_is_called_by_its_name(tmp_path, start, what):
    path = tmp_path / "a.nc"
    path.write_bytes(start)
    with pytest.raises(RequestError, match=f"neither NetCDF, GRIB nor Zarr.*{what}"):
        check_whole(path)


def test_real_files_are_whole(data, tmp_path):
    files = [path for path in sorted(data.rglob("*")) if path.suffix in (".nc", ".nc4", ".grib", ".he5")]
    assert len(files) > 20
    for path in files:
        check_whole(path)
    grib = next(path for path in files if path.suffix == ".grib").read_bytes()
    for number, damaged in enumerate((grib[:-100], grib[:3000] + b"xx" + grib[3000:9000])):
        path = tmp_path / f"{number}.grib"
        path.write_bytes(damaged)
        with pytest.raises(RequestError, match="truncated or damaged"):
            check_whole(path)
