"""Variables made of others: only what is asked for is read, and only the last files used stay open."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.sources import lazy
from adiabat.formats.sources.lazy import Computed, Files, Joined, lazy_variable


def opener(path):
    number = int(path)
    return xr.Dataset({"v": (("t", "x"), 100 * number + np.arange(6).reshape(2, 3)), "s": ("x", np.full(3, number))})


def joined(files, name="v", count=20, dims=("t", "x"), dtype=np.int64, change=None):
    paths = [str(number) for number in range(count)]
    per_file = 2 if name == "v" else 1
    shape = tuple(per_file * count if dim == "t" else 3 for dim in dims)
    like = (dims, shape, np.dtype(dtype))
    array = Joined(files, paths, [per_file] * count, name=name, like=like, dim="t", change=change)
    return lazy_variable(array, dims, {"units": "1"}, {})


def test_only_the_last_files_stay_open():
    opened = []
    files = Files(lambda path: opened.append(path) or opener(path))
    variable = joined(files)
    whole = variable.values
    assert len(opened) == 20
    assert len(files._open) == lazy.MOST_OPEN
    np.testing.assert_array_equal(variable[38:].values, whole[38:])
    assert len(opened) == 20
    variable[0].values  # noqa: B018
    assert opened[20:] == ["0"]
    files.close()
    assert not files._open


@pytest.mark.parametrize(
    "key", [np.s_[3:9], np.s_[::-3, 1], np.s_[5], np.s_[4:4], np.s_[[7, 0, 7, 39]], np.s_[:, 2:0:-1]]
)
def test_any_index_is_numpy_s(key):
    variable = joined(Files(opener))
    np.testing.assert_array_equal(variable[key].values, variable.values[key])


def test_what_has_no_axis_is_repeated_wherever_the_axis_is():
    first = joined(Files(opener), "s").values
    np.testing.assert_array_equal(first, np.repeat(np.arange(20)[:, None], 3, 1))
    last = joined(Files(opener), "s", dims=("x", "t"))
    np.testing.assert_array_equal(last.values, first.T)
    np.testing.assert_array_equal(last[1, 3:9].values, first[3:9, 1])
    np.testing.assert_array_equal(last[:, 4].values, first[4])


def test_values_take_the_dtype_of_the_whole_and_may_be_changed():
    changed = joined(Files(opener), dtype=np.float64, change=lambda path, values: values - 100 * int(path))
    assert changed.values.dtype == np.float64
    np.testing.assert_array_equal(changed.values, np.tile(np.arange(6).reshape(2, 3), (20, 1)))


def test_a_file_that_cannot_be_read_is_named():
    def broken(path):
        if path == "3":
            raise OSError("gone")
        return opener(path)

    variable = joined(Files(broken))
    np.testing.assert_array_equal(variable[:6].shape, (6, 3))
    with pytest.raises(OSError, match="3 cannot be read: gone"):
        variable[5:8].values  # noqa: B018


def test_files_pickle_without_what_is_open():
    files = Files(opener)
    files["1"]
    again = pickle.loads(pickle.dumps(files))
    assert not again._open
    assert int(again["2"].s[0]) == 2


def test_a_function_of_variables_reads_only_a_region():
    one, other = xr.Variable(("y", "x"), np.arange(12.0).reshape(3, 4)), xr.Variable(("y", "x"), np.ones((3, 4)))
    shapes = []
    total = Computed(lambda a, b: shapes.append(a.shape) or a + b, one, other)
    variable = lazy_variable(total, one.dims, {}, {})
    np.testing.assert_array_equal(variable[1, ::2].values, [5, 7])
    assert shapes == [(2,)]
