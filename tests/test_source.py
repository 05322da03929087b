"""Many files as one source: joined in time, laid beside one another, checked, read only where they are asked for."""

from __future__ import annotations

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from adiabat.formats import compress
from adiabat.formats.errors import RequestError
from adiabat.formats.sources import find_source
from adiabat.formats.sources.lazy import Files
from adiabat.formats.verify import count_values, verify

LAT, LON = np.linspace(50, 40, 5), np.linspace(0, 10, 7)


def day(number, *, name="t", hours=4, units="hours since 2020-01-01", step=6, **changes):
    """Six-hourly fields that say in every value when and where they are."""
    start = 24 * number
    time = start + step * np.arange(hours)
    values = 200 + time[:, None, None] + LAT[:, None] / 100 + LON / 10_000
    dataset = xr.Dataset(
        {name: (("time", "lat", "lon"), values.astype("f4"), {"units": "K"})},
        {
            "time": ("time", time, {"units": units, "standard_name": "time", "bounds": "time_bnds"}),
            "lat": ("lat", LAT, {"units": "degrees_north"}),
            "lon": ("lon", LON, {"units": "degrees_east"}),
        },
        {"title": f"day {number}"},
    )
    bounds = np.stack([time, time + step], 1)
    return dataset.assign(time_bnds=(("time", "nb"), bounds)).assign(changes)


@pytest.fixture
def week(tmp_path):
    """Seven days, whose names do not sort as their times do."""
    for number in range(7):
        day(number).to_netcdf(tmp_path / f"{6 - number}.nc", engine="netcdf4")
    return tmp_path


def whole(days=range(7), **options):
    return xr.concat([day(number, **options) for number in days], "time", data_vars="minimal", coords="minimal",
                     compat="override", join="override")  # fmt: skip


def test_files_follow_one_another_in_time(week):
    source, notes = find_source(week)
    assert [path[-4:] for path in source.paths] == ["6.nc", "5.nc", "4.nc", "3.nc", "2.nc", "1.nc", "0.nc"]
    assert notes == []
    dataset = source.open()["/"]
    expected = whole()
    assert dataset.t.dims == ("time", "lat", "lon")
    for name in expected.variables:
        np.testing.assert_array_equal(dataset[name].values, expected[name].values, err_msg=name)
    assert dataset.time.attrs["units"] == "hours since 2020-01-01"
    assert set(dataset.coords) == {"time", "lat", "lon", "time_bnds"}
    assert dataset.attrs["title"] == "day 0"
    assert source.times().span() == "2020-01-01 00:00:00 to 2020-01-07 18:00:00"


INDICES = [
    (slice(3, 9), slice(None), 2),
    (5, slice(1, 3), slice(None)),
    (slice(None, None, -5), 0, 0),
    ([27, 0, 5, 4], slice(None), [6, 0]),
    (slice(4, 4), slice(None), slice(None)),
    (-1, -1, -1),
    (slice(None), slice(4, 1, -2), slice(2, 5)),
]


@pytest.mark.parametrize("index", INDICES)
def test_any_region_is_that_of_the_whole(week, index):
    found, expected = find_source(f"{week}/*.nc")[0].open()["/"].t, whole().t
    at = dict(zip(("time", "lat", "lon"), index, strict=True))
    np.testing.assert_array_equal(found.isel(at).values, expected.isel(at).values)
    points = {"time": xr.DataArray([1, 20, 6], dims="p"), "lat": xr.DataArray([0, 4, 2], dims="p")}
    np.testing.assert_array_equal(found.isel(points).values, expected.isel(points).values)


def test_a_region_opens_only_the_files_it_lies_in(week, monkeypatch):
    dataset = find_source(week)[0].open()["/"]
    opened = []
    get = Files.__getitem__
    monkeypatch.setattr(Files, "__getitem__", lambda files, path: opened.append(path[-4:]) or get(files, path))
    dataset.t[9:14].values  # noqa: B018
    assert opened == ["4.nc", "3.nc"]


def test_a_source_is_small_picklable_and_the_same_anywhere(week):
    source, _ = find_source(week)
    again = pickle.loads(pickle.dumps(source))
    assert again == source
    assert hash(again) == hash(source)
    assert len(pickle.dumps(source)) < 20_000
    xr.testing.assert_identical(again.open()["/"].load(), source.open()["/"].load())
    assert json.loads(json.dumps(source.identity())) == again.identity()
    before = source.identity()
    os.utime(week / "3.nc", (0, 0))
    assert source.identity() != before


def test_other_references_are_brought_to_the_first_ones(tmp_path):
    day(0).to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    later = day(1)
    minutes = {"units": "minutes since 2020-01-02", "bounds": "time_bnds", "standard_name": "time"}
    later = later.assign_coords(time=("time", (later.time.values - 24) * 60, minutes))
    later["time_bnds"] = later.time_bnds.copy(data=(day(1).time_bnds.values - 24) * 60)
    later.to_netcdf(tmp_path / "b.nc", engine="netcdf4")
    dataset = find_source(tmp_path)[0].open()["/"]
    np.testing.assert_array_equal(dataset.time, np.arange(8) * 6)
    np.testing.assert_array_equal(dataset.time_bnds, whole(range(2)).time_bnds)
    dataset.close()
    odd = later.assign_coords(time=("time", later.time.values + 1, minutes))
    odd.to_netcdf(tmp_path / "b.nc", engine="netcdf4")
    with pytest.raises(RequestError, match=r"times of .*b.nc and .*a.nc do not fit: .*no whole numbers in 'hours"):
        find_source(tmp_path)


def test_packed_files_are_unpacked_each_by_its_own_packing(tmp_path):
    packings = {0: (0.01, 280.0), 1: (0.002, 250.0), 2: (0.05, 300.0)}
    for number, (scale, offset) in packings.items():
        packed = {"dtype": "i2", "scale_factor": scale, "add_offset": offset, "_FillValue": -32767}
        one = day(number)
        one.t.attrs["valid_range"] = np.array([-100, 100], "i2")
        one.to_netcdf(tmp_path / f"{number}.nc", engine="netcdf4", encoding={"t": packed})
    source, _ = find_source(tmp_path)
    dataset = source.open()["/"]
    alone = [find_source(tmp_path / f"{number}.nc")[0].open()["/"].t.values for number in packings]
    np.testing.assert_array_equal(dataset.t, np.concatenate(alone))
    assert dataset.t.dtype == np.float64
    assert (dataset.t.encoding["scale_factor"], dataset.t.encoding["add_offset"]) == (0.05, 300.0)
    assert dataset.t.encoding["dtype"] == np.int16
    np.testing.assert_allclose(dataset.t.attrs["valid_range"], [249.8, 305.0])
    compress(dataset, tmp_path / "out.zarr", bounds={"t": {"abs": 0.1}})
    checks = verify(source, tmp_path / "out.zarr")
    assert {check.name for check in checks} == {"t", "time", "lat", "lon", "time_bnds"}
    assert not [check.problem for check in checks if check.problem]


def test_files_of_different_variables_lie_beside_one_another(week):
    for number in range(7):
        day(number, name="q").to_netcdf(week / f"q{number}.nc", engine="netcdf4")
    day(0).isel(time=0, drop=True)[["t"]].rename(t="z").to_netcdf(week / "orography.nc", engine="netcdf4")
    source, _ = find_source(week)
    dataset = source.open()["/"]
    assert set(dataset.data_vars) == {"t", "q", "z"}
    assert dataset.z.dims == ("lat", "lon")
    np.testing.assert_array_equal(dataset.q[10:12].values, whole(name="q").q[10:12].values)
    assert count_values(source) == sum(v.size for v in dataset.variables.values())


def test_times_without_a_dimension_and_scalars_that_change(tmp_path):
    for number in range(3):
        one = day(number).isel(time=0).assign_coords(run=100 + number, member=7)
        one.drop_vars("time_bnds").to_netcdf(tmp_path / f"{number}.nc", engine="netcdf4")
    dataset = find_source(tmp_path)[0].open()["/"]
    assert dataset.t.dims == ("time", "lat", "lon")
    np.testing.assert_array_equal(dataset.time, [0, 24, 48])
    np.testing.assert_array_equal(dataset.run, [100, 101, 102])
    assert dataset.member.ndim == 0
    np.testing.assert_array_equal(dataset.t[1:].values, whole().t[[4, 8]].values)


def test_a_missing_day_is_said_aloud(week):
    (week / "3.nc").unlink()
    _, notes = find_source(week)
    assert notes == ["there are times missing between 2020-01-03 18:00:00 and 2020-01-05 00:00:00"]


def broken(folder, name):
    """One file more than the week, of a kind that does not fit."""
    one = day(7)
    make = {
        "grid": lambda: one.isel(lat=slice(1, None)),
        "shifted": lambda: one.assign_coords(lon=("lon", LON + 0.1, one.lon.attrs)),
        "dimension": lambda: one.isel(lat=0),
        "transposed": lambda: one.transpose("lat", "lon", "time", "nb"),
        "variable": lambda: one.assign(x=one.t),
        "lacks": lambda: one.drop_vars("time_bnds"),
        "double": lambda: day(2).isel(time=[1]),
        "inside": lambda: one.isel(time=[0, 1, 1]),
        "order": lambda: one.isel(time=[0, 2, 1]),
        "overlap": lambda: one.assign_coords(time=("time", [1, 2, 3, 200], one.time.attrs)),
        "units": lambda: one.assign(t=one.t.assign_attrs(units="degC")),
        "kind": lambda: one.assign(t=one.t.astype("i4")),
        "timeless": lambda: one.isel(time=0, drop=True).drop_vars("time_bnds"),
        "none": lambda: one.isel(time=[]),
        "beside": lambda: day(7, name="q"),
    }[name]()
    make.to_netcdf(folder / "x.nc", engine="netcdf4")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("grid", r"0.nc and .*x.nc are on different grids: lat has 5 values from 50 to 40 in one and 4 values"),
        ("shifted", r"0.nc and .*x.nc are on different grids: lon has 7 values from 0 to 10 in one"),
        ("dimension", r"t has different dimensions in .* and .*x.nc: time x lat x lon and time x lon"),
        ("transposed", r"t has different dimensions in .*: time x lat x lon and lat x lon x time"),
        ("variable", r"0.nc lacks x, which .*x.nc has"),
        ("lacks", r"x.nc lacks time_bnds, which .*nc has"),
        ("double", r"4.nc and .*x.nc both hold the time 2020-01-03 06:00:00"),
        ("inside", r"x.nc holds the time 2020-01-08 06:00:00 twice"),
        ("order", r"times of .*x.nc are out of order: 2020-01-08 12:00:00 and then 2020-01-08 06:00:00"),
        ("overlap", r"nc \(.*\) and .*nc \(.*\) overlap"),
        ("units", r"t is in 'K' in .*nc and in 'degC' in .*x.nc"),
        ("kind", r"t is float32 in .*nc and int32 in .*x.nc"),
        ("timeless", r"x.nc has no time, but holds t as .*nc does"),
        ("none", r"x.nc holds no time at all"),
        ("beside", r"x.nc hold different variables at different times: nothing at 2020-01-01 00:00:00 in files such"),
    ],
)
def test_what_does_not_fit_gets_a_sentence_with_both_names(week, name, sentence):
    broken(week, name)
    with pytest.raises(RequestError, match=sentence) as caught:
        find_source(week)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_an_unreadable_file_stops_or_is_skipped_by_name(week, content):
    (week / "3.nc").write_bytes((week / "2.nc").read_bytes()[:5000] if content is None else content)
    with pytest.raises(RequestError, match=r"3.nc (cannot be read|is neither)"):
        find_source(week)
    source, notes = find_source(week, unreadable="skip")
    assert len(source.paths) == 6
    assert [note for note in notes if note.startswith("skipped: ") and "3.nc" in note]
    assert source.open()["/"].sizes["time"] == 24


def test_a_file_that_may_not_be_read_is_named(week, monkeypatch):
    opened = Path.open

    def refuse(path, *arguments, **options):
        if path.name == "3.nc":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RequestError, match=r"3.nc cannot be read: Permission denied"):
        find_source(f"{week}/*.nc")


def test_where_nothing_is_readable_that_is_said(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.nc").write_bytes(b"")
    with pytest.raises(RequestError, match=r"none of the files can be read; .*b.nc is neither"):
        find_source(tmp_path, unreadable="skip")
    with pytest.raises(ValueError, match="expected unreadable to be 'stop' or 'skip', got 'ignore'"):
        find_source(tmp_path, unreadable="ignore")


def test_a_file_that_breaks_later_is_named_when_it_is_read(week):
    dataset = find_source(week)[0].open()["/"]
    (week / "2.nc").write_bytes(b"gone")
    with pytest.raises((OSError, RequestError), match=r"2.nc"):
        dataset.t.values  # noqa: B018
    np.testing.assert_array_equal(dataset.t[:4].values, whole().t[:4].values)


def test_stores_and_files_mix(tmp_path):
    day(0).to_zarr(tmp_path / "0.zarr", consolidated=False)
    day(1).to_netcdf(tmp_path / "1.nc", engine="netcdf4", format="NETCDF3_64BIT")
    day(2).to_netcdf(tmp_path / "2.h5", engine="h5netcdf")
    source, _ = find_source(tmp_path)
    np.testing.assert_array_equal(source.open()["/"].t.values, whole(range(3)).t.values)
    assert source.identity()["paths"][str(tmp_path / "0.zarr")]["t"] == [4, 5, 7]


def test_threads_read_the_same(week):
    source, expected = find_source(week)[0], whole().t.values
    datasets = [source.open()["/"].t for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(lambda i, k: datasets[i % 3][k : k + 3].values, i, i % 26) for i in range(120)]
    for number, job in enumerate(jobs):
        np.testing.assert_array_equal(job.result(), expected[number % 26 : number % 26 + 3])
