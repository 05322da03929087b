"""Folders, patterns and lists become files; what is passed over is said."""

from __future__ import annotations

import os

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.locate import locate


@pytest.fixture
def folder(tmp_path):
    small = xr.Dataset({"t": ("x", np.zeros(2, "f4"))})
    for name in ("b/2.nc", "a/1.nc", "0.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        small.to_netcdf(tmp_path / name, engine="netcdf4")
    small.to_zarr(tmp_path / "b" / "s.zarr", consolidated=False)
    (tmp_path / "README.txt").write_text("words")
    (tmp_path / "b" / "wrong.grib").write_text("no GRIB")
    (tmp_path / ".hidden.nc").write_text("")
    return tmp_path


def names(found, folder):
    return [os.path.relpath(path, folder) for path in found]


def test_a_folder_is_searched_to_the_bottom(folder):
    found, notes = locate([folder])
    assert names(found, folder) == ["0.dat", "a/1.nc", "b/2.nc", "b/s.zarr", "b/wrong.grib"]
    assert notes == [f"1 of the files in {folder} are no data and are left out: README.txt"]


def test_a_link_to_a_folder_is_followed_once(folder):
    (folder / "a" / "round").symlink_to(folder)
    assert names(locate([folder])[0], folder) == ["0.dat", "a/1.nc", "b/2.nc", "b/s.zarr", "b/wrong.grib"]


def test_an_archive_beside_its_source_is_no_part_of_it(folder):
    from adiabat.formats import compress

    small = xr.Dataset({"t": (("y", "x"), np.zeros((4, 4), "f4"))})
    compress(small, folder / "out.zarr", default_bound={"abs": 0.1})
    (folder / "b" / "s.zarr").rename(folder / "next.zarr")
    (folder / "new.zarr.partial").mkdir()
    small.to_zarr(folder / "new.zarr.partial" / "store", consolidated=False)
    found, notes = locate([folder])
    assert names(found, folder) == ["0.dat", "next.zarr", "a/1.nc", "b/2.nc", "b/wrong.grib"]
    assert notes[0] == f"stores that adiabat has written are left out: {folder / 'out.zarr'}"
    assert names(locate([f"{folder}/*.zarr*/**"])[0], folder) == ["next.zarr", "out.zarr"]
    (folder / "only").mkdir()
    (folder / "out.zarr").rename(folder / "only" / "out.zarr")
    assert names(locate([folder / "only"])[0], folder) == ["only/out.zarr"]


def test_patterns_and_lists_keep_each_file_once(folder):
    found, _ = locate([f"{folder}/**/*.nc", folder / "a" / "1.nc"])
    assert names(found, folder) == ["a/1.nc", "b/2.nc"]
    assert names(locate([f"{folder}/b/*"])[0], folder) == ["b/2.nc", "b/s.zarr", "b/wrong.grib"]
    assert names(locate([f"{folder}/**"])[0], folder)[-2:] == ["b/s.zarr", "b/wrong.grib"]


def test_what_is_not_there_gets_a_sentence(folder):
    (folder / "empty").mkdir()
    for given, sentence in [
        (["none.nc"], "none.nc does not exist"),
        ([f"{folder}/*.h5"], r"nothing matches .*\*\.h5"),
        ([folder / "empty"], "is a folder without any NetCDF, GRIB or Zarr"),
        ([], "at least one file, folder, pattern or URL"),
    ]:
        with pytest.raises(RequestError, match=sentence):
            locate(given)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(folder):
    (folder / "b").chmod(0)
    try:
        with pytest.raises(RequestError, match="b cannot be read: Permission denied"):
            locate([folder])
    finally:
        (folder / "b").chmod(0o755)


def test_a_folder_that_the_system_refuses(folder, monkeypatch):
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(RequestError, match="b cannot be read: Permission denied"):
        locate([folder])
