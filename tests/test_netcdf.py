"""One handle a file: what crashes the library with two does not crash here, and everybody sees the file as it is."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import open_source
from adiabat.formats.sources.netcdf import LOCK, netcdf_file

MANY = """
import sys
from adiabat.formats.sources import find_source, open_source
paths = sys.argv[1:]
held = [open_source(path) for path in paths]
for dataset in held:
    dataset.load()
for _ in range(6):
    others = [open_source(path) for path in paths]
    for dataset in others:
        dataset.v.values
        dataset.close()
    for path in paths:
        find_source(path)
        open_source(path).v.values
print("fine")
"""


@pytest.fixture
def files(tmp_path):
    for number in range(3):
        dataset = xr.Dataset({"v": (("y", "x"), np.full((3, 4), number, "f4"))}, {"x": np.arange(4.0)})
        dataset.assign(name=("y", np.array(["a", "b", "c"], object))).to_netcdf(tmp_path / f"{number}.nc")
    return sorted(tmp_path.glob("*.nc"))


def test_files_are_opened_and_closed_side_by_side(python, files):
    ran = python(MANY, *files)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "fine"


def test_closing_one_dataset_leaves_another_readable(files):
    one, other = open_source(files[1]), open_source(files[1])
    one.close()
    np.testing.assert_array_equal(other.v, np.ones((3, 4)))
    other.close()


def test_a_file_that_was_replaced_is_seen_anew(files):
    before = open_source(files[0])
    before.v.load()
    files[1].replace(files[0])
    np.testing.assert_array_equal(open_source(files[0]).v, np.ones((3, 4)))


def test_a_dataset_pickles(files):
    again = pickle.loads(pickle.dumps(open_source(files[2])))
    np.testing.assert_array_equal(again.v[1:].values, np.full((2, 4), 2))


def test_the_lock_may_be_taken_twice_and_is_given_back(files):
    with LOCK, netcdf_file(files[0]) as file, LOCK:
        assert LOCK.locked()
        assert file["v"].shape == (3, 4)
    assert not LOCK.locked()
    with pytest.raises(RequestError, match="cannot be read"), netcdf_file("none.nc"):
        pass
    assert not LOCK.locked()
