"""Checks of what users derive: which apply, their figures against errors of known size, and odd data."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.derived_fields import EARTH_TURN, RADIUS
from adiabat.formats.downstream import downstream_checks


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def field(values, dims, units, standard_name=None, **coordinates):
    attrs = {"units": units} | ({"standard_name": standard_name} if standard_name else {})
    return xr.DataArray(np.asarray(values, np.float32), coordinates, dims, attrs=attrs)


def globe(rows=46, columns=90):
    return {
        "latitude": ("latitude", np.linspace(88, -88, rows), {"units": "degrees_north"}),
        "longitude": ("longitude", np.arange(columns) * 360 / columns, {"units": "degrees_east"}),
    }


def named(checks):
    return {check.name: check for check in checks}


def test_nothing_applies():
    assert downstream_checks(xr.Dataset(), xr.Dataset()) == []
    plain = xr.Dataset({"t2m": field(np.zeros((46, 90)), ("latitude", "longitude"), "K", "air_temperature", **globe())})
    assert downstream_checks(plain, plain) == []


def test_rotation_of_a_solid_body_told_from_its_error():
    cos = np.cos(np.radians(globe()["latitude"][1]))[:, None] * np.ones(90)
    wind = {"standard_name": "eastward_wind", "units": "m s**-1"}
    u = field(np.stack([20 * cos, 10 * cos]), ("time", "latitude", "longitude"), **wind, **globe())
    source = xr.Dataset({"ua": u, "va": 0 * u})
    source.va.attrs = {"standard_name": "northward_wind", "units": "m/s"}
    decoded = source.assign(ua=u + 2 * cos.astype(np.float32))
    found = named(downstream_checks(source, decoded))
    assert set(found) == {"vorticity", "divergence"}
    check = found["vorticity"]
    assert check.of == ("ua", "va")
    # Of 2 * 2 sin(latitude) / a: by area from -85 to 85 degrees its mean square is a third, nearly.
    assert check.error == pytest.approx(4 / RADIUS / 3**0.5, rel=0.01)
    assert check.largest == pytest.approx(4 / RADIUS, rel=0.01)
    assert check.size == pytest.approx(15.81 * 2 / RADIUS / 3**0.5, rel=0.02)
    assert check.told.startswith("Vorticity of ua and va errs by 3.6e-07 s-1 (RMSE), 13 % of its standard deviation")
    assert found["divergence"].error == pytest.approx(0, abs=1e-12)


def test_pairs_of_winds_are_told_apart():
    one = field(np.ones((46, 90)), ("latitude", "longitude"), "m s-1", **globe())
    names = ("u10", "v10", "U850", "V850", "10m_u_component_of_wind", "10m_v_component_of_wind", "uas")
    found = downstream_checks(*[xr.Dataset(dict.fromkeys(names, one))] * 2)
    pairs = {("u10", "v10"), ("U850", "V850"), ("10m_u_component_of_wind", "10m_v_component_of_wind")}
    assert {check.of for check in found} == pairs
    wrong = xr.Dataset({"u": one, "v": one.assign_attrs(units="K")})
    assert downstream_checks(wrong, wrong) == []


@pytest.mark.parametrize(
    ("name", "units", "factor"), [("z", "m**2 s**-2", 1.0), ("zg", "m", 9.80665), ("gh", "gpm", 9.80665)]
)
def test_geostrophic_wind_in_either_unit(name, units, factor):
    axes = {**globe(91, 180), "plev": ("plev", [850.0, 500.0], {"units": "hPa", "standard_name": "air_pressure"})}
    cos = np.cos(np.radians(axes["latitude"][1]))[:, None] * np.ones(180)
    geopotential = 5e4 + 1e4 * np.stack([cos**2, 2 * cos**2])
    source = xr.Dataset({name: field(geopotential / factor, ("plev", "latitude", "longitude"), units, **axes)})
    decoded = source.copy(deep=True)
    decoded[name] += (1e3 * cos**2 / factor).astype(np.float32)
    (check,) = [each for each in downstream_checks(source, decoded) if each.name == "geostrophic wind"]
    # u of c cos^2 is c cos / (turn a).
    wind = 1e3 / (EARTH_TURN * RADIUS) * np.cos(np.radians(np.arange(10, 85.5, 0.5)))
    assert check.error == pytest.approx(np.sqrt(np.sum(wind**3) / np.sum(wind)), rel=0.01)
    assert check.largest == pytest.approx(wind[0], rel=0.02)


def test_geopotential_of_the_ground_and_of_model_levels_has_no_wind():
    flat = field(np.ones((46, 90)), ("latitude", "longitude"), "m2 s-2", "geopotential", **globe())
    assert downstream_checks(*[xr.Dataset({"z": flat})] * 2) == []
    hybrid = {"standard_name": "atmosphere_hybrid_sigma_pressure_coordinate", "units": "hPa"}
    for attrs, levels in ((hybrid, [300.0, 850.0]), ({}, np.arange(300, 302))):
        column = flat.expand_dims(lev=2).assign_coords(lev=("lev", levels, attrs))
        assert downstream_checks(*[xr.Dataset({"z": column})] * 2) == []


def rain(values, units, hours, start="2000-01-01T00:00"):
    time = np.datetime64(start, "ns") + np.arange(len(values)) * np.timedelta64(round(hours * 3600), "s")
    return field(values, ("time", "latitude", "longitude"), units, **globe(4, 5), time=("time", time))


@pytest.mark.parametrize(
    ("name", "units", "hours", "day"),
    [
        ("tp", "m", 1, 1e-3 / 24),
        ("pr", "kg m-2 s-1", 3, 1 / 86400),
        ("pr", "mm/day", 24, 1.0),
        ("precip", "mm", 6, 1 / 4),
        ("prate", "mm h-1", 0.5, 1 / 24),
    ],
)
def test_wet_days_from_any_unit_and_step(name, units, hours, day):
    many = round(24 / hours)
    daily = np.array([0.5, 3.0, 1.05, 0.0])[:, None, None] * np.ones((4, 4, 5))
    source = rain(np.repeat(daily, many, 0) * day, units, hours)
    lost = np.repeat(daily - 0.1 * (np.arange(5) == 0), many, 0) * day  # 0.95 mm in the first of five columns
    (check,) = downstream_checks(xr.Dataset({name: source}), xr.Dataset({name: source.copy(data=lost)}))
    assert (check.name, check.of, check.unit) == ("wet days", (name,), "days")
    assert (check.size, check.largest) == (2.0, 1.0)
    assert check.error == pytest.approx(0.2**0.5)
    assert (
        check.told
        == "On average over the cells 2 of 4 days have more than 1 mm; 5 % of all days and cells change side."
    )


def test_wet_days_begin_at_midnight_and_leave_parts_of_days_out():
    hours = np.full((60, 4, 5), 2.0 / 24)  # from 18 h: a quarter of a day, two days, a quarter
    source = xr.Dataset({"tp": rain(hours, "mm", 1, "2000-01-01T18:00")})
    (check,) = downstream_checks(source, source)
    assert check.size == 2
    numbers = source.assign_coords(time=("time", 18.5 + np.arange(60.0), {"units": "hours since 2000-01-01 00:00:00"}))
    assert [each.size for each in downstream_checks(numbers, numbers)] == [2]
    for odd in (source.isel(time=[0, 1, 3, 4, 9]), source.isel(time=slice(8)), source.drop_vars("time")):
        assert downstream_checks(odd, odd) == []
    monthly = xr.Dataset({"pr": rain(hours[:12], "mm/day", 24 * 30)})
    assert downstream_checks(monthly, monthly) == []


def test_trends_of_yearly_and_of_monthly_values(rng):
    years = np.arange(1990, 2010)
    yearly = xr.date_range("1990-07-01", periods=20, freq="YS-JUL")
    cells = rng.normal(size=(4, 5))
    slope = 0.02 * cells
    values = 280 + slope * (years - 1990)[:, None, None]
    source = xr.Dataset(
        {"tas": field(values, ("time", "latitude", "longitude"), "K", **globe(4, 5), time=("time", yearly))}
    )
    decoded = source + 0.001 * xr.DataArray(np.arange(20.0), dims="time")
    found = named(downstream_checks(source, decoded))
    check = found["trend"]
    assert check.unit == "K per decade"
    assert check.error == pytest.approx(0.01, rel=0.02)
    assert check.largest == pytest.approx(0.01, rel=0.05)
    assert check.told.endswith("over 20 years.")
    monthly = source.isel(time=np.repeat(np.arange(20), 12))
    monthly = monthly.assign_coords(
        time=xr.date_range("1990-01-01", periods=240, freq="MS", calendar="noleap", use_cftime=True)
    )
    again = named(downstream_checks(monthly, monthly + 0.001))["trend"]
    assert again.size == pytest.approx(check.size, rel=0.01)
    assert again.error == pytest.approx(0, abs=1e-5)
    assert downstream_checks(source.isel(time=slice(4)), decoded.isel(time=slice(4))) == []


def test_spread_of_an_ensemble(rng):
    members = rng.normal(0, 1, (200, 4, 5)).astype(np.float32)
    source = xr.Dataset({"t": field(members, ("number", "latitude", "longitude"), "K", **globe(4, 5))})
    (check,) = downstream_checks(source, 1.5 * source)
    assert (check.name, check.unit) == ("ensemble spread", "K")
    assert check.error == pytest.approx(0.5, rel=0.05)
    assert "of 200 members." in check.told
    time = ("time", xr.date_range("2000-01-01", periods=120, freq="MS"))
    base = rng.normal(0, 1, (3, 10, 4, 5)).repeat(12, 1)
    dims = ("realization", "time", "latitude", "longitude")
    both = xr.Dataset({"ts": field(base, dims, "K", **globe(4, 5), time=time)})
    found = named(downstream_checks(both, both))
    assert set(found) == {"trend", "ensemble spread"}
    assert found["ensemble spread"].told.endswith("of 3 members of yearly means.")
    assert found["ensemble spread"].size == pytest.approx(float(np.std(np.std(base, axis=0, ddof=1))), rel=0.1)


def storm(latitude, longitude, at, size):
    across = ((longitude - at[1] + 180) % 360 - 180) * np.cos(np.radians(latitude[:, None]))
    return -size * np.exp(-((latitude[:, None] - at[0]) ** 2 + across**2) / 12)


@pytest.mark.parametrize(("units", "factor"), [("Pa", 100.0), ("millibars", 1.0)])
def test_depressions_found_lost_and_new(units, factor):
    latitude, longitude = np.linspace(-89, 89, 90), np.arange(0, 360, 2.0)
    axes = {"lat": ("lat", latitude), "lon": ("lon", longitude)}
    kept, lost, new = ((20, 100), 40), ((-20, 200), 20), ((15, 300), 15)
    first = 1010 + sum(storm(latitude, longitude, *each) for each in (kept, lost))
    second = 1011 + sum(storm(latitude, longitude, *each) for each in (((20, 102), 38), new))
    source, decoded = (
        xr.Dataset({"SLP": field(factor * each, ("lat", "lon"), units, **axes)}) for each in (first, second)
    )
    (check,) = downstream_checks(source, decoded)
    assert (check.name, check.of, check.unit) == ("depressions of sea level pressure", ("SLP",), "hPa")
    assert 15 < check.size < 30
    assert 0.5 < check.error < 2
    assert check.error == check.largest
    assert check.told == (
        "2 depressions in 1 field, at least 4 hPa below the mean within 500 km; 1 found again in the decoded fields, "
        "at most 210 km away, 1 new."
    )
    assert downstream_checks(source * 0 + factor * 1000, source * 0 + factor * 1000) == []


def test_depressions_of_geopotential_near_850_hpa():
    latitude, longitude = np.linspace(-89, 89, 90), np.arange(0, 360, 2.0)
    level = ("level", np.array([50000, 85000]), {"units": "Pa", "standard_name": "air_pressure"})
    axes = {"lat": ("lat", latitude), "lon": ("lon", longitude), "level": level}
    low = 1500 + storm(latitude, longitude, (20, 100), 200)
    source = xr.Dataset({"zg": field(np.stack([0 * low + 5500, low]), ("level", "lat", "lon"), "m", **axes)})
    check = named(downstream_checks(source, source))["depressions of geopotential"]
    assert check.told.startswith("1 depression in 1 field, at least 300 m2 s-2")
    assert check.error == 0
    assert 900 < check.size < 1962


def test_odd_data_are_left_out(rng):
    wind = rng.normal(size=(46, 90))
    wind[5:9] = np.nan
    wind[20, 3] = np.inf
    u = field(wind, ("latitude", "longitude"), "m s-1", "eastward_wind", **globe())
    source = xr.Dataset({"u": u, "v": u.assign_attrs(standard_name="northward_wind")})
    assert all(np.isfinite(check.error) for check in downstream_checks(source, source))
    nothing = source * np.nan
    nothing.u.attrs, nothing.v.attrs = source.u.attrs, source.v.attrs
    assert downstream_checks(nothing, nothing) == []
    assert downstream_checks(source, source[["u"]]) == []
    assert downstream_checks(source, source.isel(latitude=slice(9))) == []
    for odd in (
        source.isel(latitude=[0, 1]),
        source.isel(longitude=[4]),
        source.isel(latitude=[3, 3, 4]),
        source.isel(latitude=slice(0)),
        source.assign_coords(latitude=source.latitude * np.nan),
        source.drop_vars("latitude"),
        source.expand_dims(time=0),
        source.astype("U8"),
        source.astype(bool),
        source.assign(u=u.assign_attrs(units=7)),
    ):
        assert downstream_checks(odd, odd) == []
    beyond = source.assign_coords(latitude=source.latitude * 2)
    assert downstream_checks(beyond, beyond) == []


def test_a_sample_is_read_and_not_all(rng):
    class Counting(xr.backends.BackendArray):
        shape, dtype, read = (400, 46, 90), np.dtype(np.float32), 0

        def __getitem__(self, key):
            def get(inner):
                out = np.zeros(self.shape, self.dtype)[inner]
                Counting.read += out.size
                return out

            return xr.core.indexing.explicit_indexing_adapter(
                key, self.shape, xr.core.indexing.IndexingSupport.BASIC, get
            )

    lazy = xr.DataArray(
        xr.Variable(("level", "latitude", "longitude"), xr.core.indexing.LazilyIndexedArray(Counting())), globe()
    )
    lazy.attrs["units"] = "m s-1"
    source = xr.Dataset({"u": lazy, "v": lazy})
    cells = 2 * 2 * 46 * 90  # sides, components; both checks share what was read
    for most, chunk, fields in ((2**23, 1, 8), (1, 1, 1), (2**23, 100, 400), (150 * 46 * 90, 100, 100), (1, 100, 100)):
        lazy.encoding["preferred_chunks"] = {"level": chunk, "latitude": 46, "longitude": 90}
        source.u.encoding = source.v.encoding = lazy.encoding
        Counting.read = 0
        told = [check.told for check in downstream_checks(source, source, most=most)]
        assert Counting.read == cells * fields
        assert len(told) == 2
        assert all(
            each.endswith(f"in {8 if most > 46 * 90 else 1} field{'s' if most > 46 * 90 else ''}.") for each in told
        )


def test_real_fields(data):
    with xr.open_dataset(data / "era5" / "tl31_37levels_1959-01-02.nc") as opened:
        source = opened[["geopotential", "u_component_of_wind", "v_component_of_wind", "temperature"]].load()
    rough = source.map(lambda each: (each / (step := 1e-4 * float(each.max()))).round() * step)
    found = named(downstream_checks(source, rough))
    assert {"geostrophic wind", "vorticity", "divergence"} <= set(found)
    assert 0 < found["vorticity"].error < 1e-2 * found["vorticity"].size
    assert 10 < found["geostrophic wind"].size < 60  # m s-1
    assert 5e-6 < found["vorticity"].size < 1e-4
