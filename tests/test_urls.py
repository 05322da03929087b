"""Stores and files behind URLs, by fsspec's file system in memory."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import find_source
from adiabat.formats.sources.urls import is_url

fsspec = pytest.importorskip("fsspec")


def day(number):
    time = xr.Variable("time", [24 * number, 24 * number + 12], {"units": "hours since 2020-01-01"})
    return xr.Dataset({"t": (("time", "x"), number + np.arange(6, dtype="f4").reshape(2, 3))}, {"time": time})


@pytest.fixture
def memory(tmp_path):
    """Two stores and two files of HDF5, of two days each."""
    system = fsspec.filesystem("memory")
    for number in (0, 1):
        day(number).to_zarr(f"memory://urls/{number}.zarr", consolidated=False, zarr_format=2 + number)
        day(number).to_netcdf(tmp_path / f"{number}.nc", engine="h5netcdf")
        system.pipe(f"/urls/{number}.nc", (tmp_path / f"{number}.nc").read_bytes())
    system.pipe("/urls/other.nc", b"CDF\x01rest")
    system.pipe("/urls/text.nc", b"hello")
    yield
    system.rm("/urls", recursive=True)


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("suffix", ["zarr", "nc"])
def test_stores_and_files_are_read_where_they_are(memory, suffix):
    source, _ = find_source(f"memory://urls/1.{suffix}")
    np.testing.assert_array_equal(source.open()["/"].t, day(1).t)
    both, _ = find_source([f"memory://urls/{number}.{suffix}" for number in (1, 0)])
    np.testing.assert_array_equal(both.open()["/"].t[1:3].values, [day(0).t[1], day(1).t[0]])
    assert both.times().text(3) == "2020-01-02 12:00:00"
    size = both.identity()["paths"][f"memory://urls/0.{suffix}"]
    assert size == {"t": [2, 3], "time": [2]} if suffix == "zarr" else size > 1000


def test_patterns_match_files(memory):
    source, _ = find_source("memory://urls/[01].nc")
    assert [path[-4:] for path in source.paths] == ["0.nc", "1.nc"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("memory://urls/none.zarr", "there is no Zarr store and no file at memory://urls/none.zarr"),
        ("memory://urls/other.nc", "is NetCDF-3; by URL only Zarr stores and NetCDF-4 files are read"),
        ("memory://urls/text.nc", "is neither NetCDF nor Zarr"),
        ("memory://urls/*.grib", r"nothing matches memory://urls/\*.grib"),
        ("nothing://urls/a", "cannot be read: Protocol not known: nothing"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(memory, url, sentence):
    with pytest.raises(RequestError, match=sentence):
        find_source(url)


@pytest.mark.parametrize(("protocol", "package"), [("gs", "gcsfs"), ("s3", "s3fs"), ("https", "aiohttp requests")])
def test_a_missing_package_is_named(monkeypatch, protocol, package):
    def missing(url):
        raise ImportError("not there")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(RequestError, match=f"reading {protocol}:// needs the package {package}: pip install {package}"):
        find_source(f"{protocol}://somewhere/a.zarr")


def test_a_path_is_no_url(tmp_path):
    assert not is_url(tmp_path)
    assert not is_url("C:/data")
