"""GRIB with one cube or several: merged where they fit, told apart by keys where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import find_source
from adiabat.formats.sources.grib import grib_options

eccodes = pytest.importorskip("eccodes")
pytest.importorskip("cfgrib")
PRESSURE = {"typeOfLevel": "isobaricInhPa"}


def message(time, **keys):
    """A field of 3 x 4 that says in every value what it is."""
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    grid = {
        "Ni": 4, "Nj": 3, "latitudeOfFirstGridPointInDegrees": 50, "latitudeOfLastGridPointInDegrees": 48,
        "longitudeOfFirstGridPointInDegrees": 0, "longitudeOfLastGridPointInDegrees": 3,
        "iDirectionIncrementInDegrees": 1, "jDirectionIncrementInDegrees": 1, "bitsPerValue": 16,
    }  # fmt: skip
    for key, value in {**grid, "dataDate": 20200101, "dataTime": 100 * time, **keys}.items():
        eccodes.codes_set(handle, key, value)
    number = 100 * time + keys.get("level", 0) + keys["paramId"] % 10
    eccodes.codes_set_values(handle, np.full(12, float(number)))
    data = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return data


def write(path, *keys, times=(0, 1, 2)):
    path.write_bytes(b"".join(message(time, **each) for time in times for each in keys))
    return path


def test_a_file_for_each_time_is_joined(tmp_path):
    for time in (2, 0, 1):
        write(tmp_path / f"{9 - time}.grib", {"paramId": 167}, times=(time,))
    source, _ = find_source(tmp_path)
    dataset = source.open()["/"]
    assert dataset.t2m.dims == ("time", "latitude", "longitude")
    np.testing.assert_allclose(dataset.t2m[:, 0, 0], [7, 107, 207], atol=0.01)
    assert source.times().text(2) == "2020-01-01 02:00:00"
    assert dataset.valid_time.dims == ("time",)
    assert dataset.t2m.attrs["standard_name"] == "air_temperature"


def test_several_variables_and_levels_become_one_dataset(tmp_path):
    levels = [{"paramId": 130, **PRESSURE, "level": level} for level in (500, 850)]
    path = write(tmp_path / "a.grib", {"paramId": 167}, {"paramId": 134}, *levels)
    dataset = find_source(path)[0].open()["/"]
    assert {name: dataset[name].dims for name in dataset.data_vars} == {
        "t2m": ("time", "latitude", "longitude"),
        "sp": ("time", "latitude", "longitude"),
        "t": ("time", "isobaricInhPa", "latitude", "longitude"),
    }
    np.testing.assert_allclose(dataset.t.sel(isobaricInhPa=850)[:, 1, 1], [850, 950, 1050], atol=0.02)
    np.testing.assert_allclose(dataset.sp[:, 1, 1], [4, 104, 204], atol=0.01)


def test_cubes_that_clash_are_told_apart_by_a_key(tmp_path):
    path = write(tmp_path / "a.grib", {"paramId": 130}, {"paramId": 130, **PRESSURE, "level": 500})
    with pytest.raises(RequestError, match=r"holds t twice.*--group typeOfLevel=surface or typeOfLevel=isobaricInhPa"):
        find_source(path)
    source, _ = find_source(path, group="typeOfLevel=isobaricInhPa")
    np.testing.assert_allclose(source.open()["/"].t[:, 0, 0], [500, 600, 700], atol=0.02)
    with pytest.raises(RequestError, match=r"holds no message with \{'typeOfLevel': 'hybrid'\}"):
        find_source(path, group="typeOfLevel=hybrid")


def test_a_missing_message_is_a_hole(tmp_path):
    levels = [{"paramId": 130, **PRESSURE, "level": level} for level in (500, 850)]
    path = write(tmp_path / "a.grib", *levels)
    path.write_bytes(path.read_bytes() + message(3, **levels[0]))
    dataset = find_source(path)[0].open()["/"]
    assert np.isnan(dataset.t.values[3, dataset.isobaricInhPa.values.tolist().index(850)]).all()


def test_keys_are_read_from_the_group():
    assert grib_options("number=3")["filter_by_keys"] == {"number": 3}
    with pytest.raises(RequestError, match="GRIB files have no groups; expected such as typeOfLevel=surface"):
        grib_options("PRODUCT")
