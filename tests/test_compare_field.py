"""Which field is compared: choice of the variable, of a part, of a sample, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.compare_field import ComparedField, choose_variable, opened, sampled, selected
from adiabat.formats.errors import RequestError


def array(*shape, name="t", dtype="f4"):
    dims = ("member", "time", "y", "x")[-len(shape) :]
    return xr.DataArray(np.arange(np.prod(shape)).reshape(shape).astype(dtype), dims=dims, name=name)


def test_the_first_float_field_is_chosen():
    dataset = xr.Dataset({"n": array(3, 4, dtype="i4"), "p": array(4), "qa_flag": array(3, 4), "u": array(3, 4)})
    assert choose_variable({"/": dataset})[1] == "u"
    assert choose_variable({"/": xr.Dataset(), "/deep/er": dataset})[1] == "deep/er/u"
    assert choose_variable({"/deep": dataset}, "u")[1] == "deep/u"
    assert choose_variable({"/deep": dataset}, "deep/qa_flag")[1] == "deep/qa_flag"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v", "there is no variable 'v'; float fields of two or more dimensions: qa_flag"),
        ("n", "n holds int32, not floats, and is kept exactly"),
        ("p", r"p has shape \(4,\): a field has at least two dimensions"),
    ],
)
def test_what_is_no_field_is_refused(name, message):
    dataset = xr.Dataset({"n": array(3, 4, dtype="i4"), "p": array(4), "qa_flag": array(3, 4)})
    with pytest.raises(RequestError, match=message):
        choose_variable({"/": dataset}, name)


def test_nothing_to_choose_from():
    with pytest.raises(RequestError, match="nothing to compare; float fields of two or more dimensions: none"):
        choose_variable({"/": xr.Dataset({"p": array(4)})})


def test_parts_are_selected_by_index():
    assert selected(array(5, 6, 7), "time=1:5:2").shape == (2, 6, 7)
    assert selected(array(5, 6, 7), "time=-1").values.tolist() == array(5, 6, 7)[-1].values.tolist()
    assert selected(array(2, 5, 6, 7), "member=1, time=:3").shape == (3, 6, 7)
    assert selected(array(6, 7), None).shape == (6, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "level=3",
            r"'level=3' selects nothing of t: write DIM=3 or DIM=0:24, with DIM of time \(5\), y \(6\), x \(7\)",
        ),
        ("time", "selects nothing"),
        ("time=a", "is no choice of indices"),
        ("time=", "is no choice of indices"),
        ("time=1:2:3:4", "is no choice of indices"),
        ("time=5", "outside: there are 5, numbered from 0"),
        ("time=0,y=0", "at least two dimensions"),
        ("time=3:3", "at least two dimensions"),
    ],
)
def test_selections_that_make_no_sense_are_refused(text, message):
    with pytest.raises(RequestError, match=message):
        selected(array(5, 6, 7), text)


@pytest.mark.parametrize(
    ("shape", "most"),
    [((4, 10, 20, 30), 3000), ((10, 20, 30), 500), ((20, 30), 100), ((5, 1, 1000), 90), ((1, 1), 1), ((9, 3, 3), 5)],
)
def test_samples_are_contiguous_and_not_too_large(shape, most):
    whole = array(*shape)
    part, notes = sampled(whole, most)
    assert 0 < part.size <= most
    assert part.ndim == whole.ndim
    assert bool(notes) == (whole.size > most)
    first = tuple(int(each) for each in np.argwhere(whole.values == part.values.flat[0])[0])
    assert np.array_equal(
        whole.values[tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))], part.values
    )


def test_frames_stay_whole_where_they_fit():
    assert sampled(array(100, 20, 30), 6000)[0].shape == (10, 20, 30)
    assert sampled(array(4, 100, 20, 30), 6000)[0].shape == (1, 10, 20, 30)


def test_values_say_what_was_changed():
    field = array(3, 40, 50).astype("f8")
    field[0, :2, :3] = np.nan
    values, notes = ComparedField(field, ("first",)).values()
    assert values.dtype == np.float32
    assert notes[0] == "first"
    assert notes[1] == "t is float64, compared as float32"
    assert notes[2].startswith("6 of 6,000 values are missing")
    assert "only 9 values" in ComparedField(array(3, 3)).values()[1][0]
    with pytest.raises(RequestError, match="every value of t is missing"):
        ComparedField(array(3, 3) * np.nan).values()


def test_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 4), "f4"))
    with opened([str(tmp_path / "a.npy")]) as (datasets, notes):
        assert datasets["/"]["a"].shape == (3, 4)
        assert notes == []
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-9])
    for name in ("cut.npy", "none.npy"):
        with pytest.raises(RequestError, match=name), opened([str(tmp_path / name)]):
            pass


def test_netcdf_files(tmp_path):
    pytest.importorskip("netCDF4")
    array(3, 4, 5).to_dataset().to_netcdf(tmp_path / "a.nc")
    with opened([str(tmp_path / "a.nc")]) as (datasets, _):
        assert choose_variable(datasets)[0].shape == (3, 4, 5)
    with pytest.raises(RequestError, match="does not exist"), opened([str(tmp_path / "b.nc")]):
        pass
