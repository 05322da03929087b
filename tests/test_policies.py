"""Policies: every variable of real files finds the rule that is meant for it, in its own units, or none, said aloud."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import Pyramid
from adiabat.formats.archive import compress
from adiabat.formats.errors import RequestError
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.policies import Policy, Rule
from adiabat.formats.policies.markdown import policy_tables
from adiabat.formats.policies.quantity import level_of, quantities
from adiabat.formats.policies.rule import MEAN_SHARE
from adiabat.formats.policies.table import read_named
from adiabat.formats.policies.units import factor
from adiabat.formats.sources import open_source
from adiabat.formats.verify import verify

GUIDE = Path(__file__).parents[1] / "spec" / "guide" / "policy.md"
RECOMMENDED = Policy.load("recommended")
SPREAD = Policy.load("ensemble-spread")


def field(name, units=None, *, levels=None, dims=("lat", "lon"), **attributes):
    dims = dims if levels is None else (levels, *dims)
    attributes |= {} if units is None else {"units": units}
    return xr.DataArray(np.ones((2,) * len(dims), "f4"), dims=dims, name=name, attrs=attributes)


def rule_of(array, policy=RECOMMENDED):
    return policy.rules(array.to_dataset()).get(array.name)


def key_of(array, policy=RECOMMENDED):
    rule = rule_of(array, policy)
    return None if rule is None else rule.name.partition(": ")[2]


# --- units


@pytest.mark.parametrize(
    ("units", "wanted", "count"),
    [
        ("K", "K", 1), ("degC", "K", 1), ("C", "K", 1), ("m s**-1", "m/s", 1), ("m+2 s-2", "m2 s-2", 1),
        ("m^2/s^2", "m**2 s**-2", 1), ("hPa", "Pa", 100), ("millibars", "Pa", 100), ("mb/day", "Pa s-1", 100 / 86400),
        ("kg kg**-1", "1", 1), ("g/kg", "kg kg-1", 1e-3), ("(0 - 1)", "1", 1), ("%", "1", 0.01), ("percent", "%", 1),
        ("mm", "m", 1e-3), ("m of water equivalent", "m", 1), ("J m**-2", "W m-2 s", 1), ("W m^-2", "W/m2", 1),
        ("Dobsons", "kg m-2", 2.1415e-5), ("mol mol-1 dry", "1", 1), ("hours", "s", 3600), ("N m**-2 s", "Pa s", 1),
        ("m", "m2 s-2", None), ("K", "Pa", None), ("", "1", None), ("furlongs", "m", None), ("W m-2", "J m-2", None),
    ],
)  # fmt: skip
def test_units_are_counted(units, wanted, count):
    found = factor(units, wanted)
    assert found == (None if count is None else pytest.approx(count, rel=1e-9))


# --- the tables


def test_every_rule_has_a_quantity_and_every_quantity_a_rule():
    keys = [each.key for each in quantities()]
    assert len(set(keys)) == len(keys)
    assert set(read_named("recommended").quantities) == set(keys)
    assert set(read_named("ensemble-spread").quantities) < set(keys)


def test_no_name_can_mean_two_quantities():
    for one, other in itertools.combinations(quantities(), 2):
        shared = set(one.names) & set(other.names) | set(one.standard_names) & set(other.standard_names)
        if shared and one.level == other.level:
            assert factor(one.units, other.units) is None, (one.key, other.key, shared)


def test_the_published_figures_are_as_published():
    rules = read_named("recommended").quantities
    bounds = {key: rules[key].rule.bound for key in ("t", "u", "v", "z", "q", "msl", "sp", "2t", "w", "cc", "lsm")}
    assert bounds == {
        "t": {"abs": 0.05}, "u": {"abs": 0.5}, "v": {"abs": 0.5}, "z": {"abs": 10}, "q": {"rel": 0.01},
        "msl": {"abs": 1}, "sp": {"abs": 1}, "2t": {"abs": 0.05}, "w": {"abs": 0.01}, "cc": {"rel": 0.01},
        "lsm": "lossless",
    }  # fmt: skip
    means = {key: rules[key].rule.mean for key in ("z", "tp", "ssrd", "tcc", "tcwv", "10u", "100u", "cape")}
    assert means == {
        "z": 5, "tp": 1e-5, "ssrd": 3600, "tcc": 0.05, "tcwv": 0.1, "10u": 0.5, "100u": 0.01, "cape": 0.01,
    }  # fmt: skip
    assert all(entry.rule.source for name in Policy.names() for entry in read_named(name).quantities.values())


def test_spread_is_read_over_the_recommended():
    t, u = field("t", "K", levels="level"), field("u", "m s-1", levels="level")
    assert rule_of(t, SPREAD) == Rule(
        bound={"abs": 0.10375}, name="ensemble-spread: t", source=rule_of(t, SPREAD).source
    )
    assert rule_of(u, SPREAD).name == "recommended: u"
    gust = rule_of(field("10u", "m s-1"), SPREAD)
    assert gust.mean is None  # the mean of another bound is not promised
    assert gust.bound["abs"] == pytest.approx(0.102845, rel=1e-5)


# --- matching


@pytest.mark.parametrize(
    ("array", "key"),
    [
        (field("t", "K", levels="level"), "t"),
        (field("temperature", "K", levels="isobaricInhPa"), "t"),
        (field("x", "K", levels="plev", standard_name="air_temperature"), "t"),
        (field("x", "K", standard_name="air_temperature"), "t"),  # no level is stated: the first of two alike
        (field("tas", "K", standard_name="air_temperature"), "2t"),
        (field("T2M", "K", standard_name="2-meter_air_temperature"), "2t"),
        (field("2m_temperature", "K"), "2t"),
        (field("x", "K", GRIB_shortName="2t", GRIB_typeOfLevel="heightAboveGround", standard_name="unknown"), "2t"),
        (field("x", "m s-1", standard_name="eastward_wind"), "u"),  # the tighter of u and 10u
        (field("t", "K", GRIB_typeOfLevel="surface"), None),
        (field("t2m", "K", levels="level"), None),
        (field("z", "m2 s-2", GRIB_typeOfLevel="surface"), "zs"),
        (field("PHIS", "m+2 s-2", standard_name="surface geopotential height"), "zs"),
        (field("tcc", "(0 - 1)"), "tcc"),
        (field("tp", "m"), "tp"),
        (field("tp", "kg m-2"), None),
        (field("pr", "kg m-2 s-1"), "tprate"),
        (field("ssrd", "J m**-2"), "ssrd"),
        (field("rsds", "W m-2", standard_name="surface_downwelling_shortwave_flux_in_air"), "avg_sdswrf"),
        (field("msl", "K"), None),
        (field("t2m"), None),
        (field("something", "K"), None),
        (field("T", "C", levels="lev"), "t"),
        (field("u", "m s-1", levels="height"), "u"),
    ],
)
def test_variables_find_their_rule(array, key):
    assert key_of(array) == key


def test_a_scalar_height_says_that_there_are_no_levels():
    height = xr.DataArray(2.0, attrs={"standard_name": "height", "units": "m"})
    near = field("x", "K", standard_name="air_temperature").assign_coords(height=height)
    assert level_of(near) == "surface"
    assert key_of(near) == "2t"


def test_rules_come_in_the_units_of_the_variable():
    pressure = rule_of(field("PSL", "millibars"))
    assert pressure.bound == {"abs": 0.01}
    assert "100 Pa" in pressure.remark
    height = rule_of(field("Z3", "m", levels="lev"))
    assert height.bound["abs"] == pytest.approx(10 / 9.80665, rel=1e-9)
    assert height.mean == pytest.approx(5 / 9.80665, rel=1e-9)
    cover = rule_of(field("clt", "%"))
    assert cover.valid_range == (0, 100)
    assert cover.mean == 5
    ratio = rule_of(field("q", "g kg-1", levels="level"))
    assert (ratio.bound, ratio.valid_range) == ({"rel": 0.01}, (0, None))


def test_what_is_not_applied_is_said_aloud():
    names = {"tp": field("tp", "kg m-2"), "gh": field("gh", "gpm", levels="level"), "t2m": field("t2m")}
    assert RECOMMENDED.notes(xr.Dataset(names)) == [
        "tp has units kg m-2, and total precipitation is in m",
        "gh: geopotential in gpm, 1 of which is 9.80665 m2 s-2",
        "t2m states no units, and 2 m temperature is in K",
    ]


def test_only_fields_of_floats_have_rules():
    flags = field("tcc", "1", flag_values=[0, 1])
    dataset = xr.Dataset(
        {
            "t2m": field("t2m", "K"),
            "tcc": flags,
            "sp": field("sp", "Pa").astype("i4"),
            "skt": field("skt", "K", dims=("time",)),
            "lsm": field("lsm", "1"),
        }
    )
    assert RECOMMENDED.rules(dataset).keys() == {"t2m", "lsm"}


def test_long_names_of_arco_are_known():
    """Names and units as of ARCO-ERA5, whose variables have no standard names of use."""
    surface = {
        "10m_u_component_of_wind": ("m s**-1", "10u"), "2m_temperature": ("K", "2t"), "snow_depth": ("m", "sd"),
        "mean_sea_level_pressure": ("Pa", "msl"), "total_precipitation": ("m", "tp"),
        "total_cloud_cover": ("(0 - 1)", "tcc"), "geopotential_at_surface": ("m**2 s**-2", "zs"),
        "toa_incident_solar_radiation": ("J m**-2", "tisr"), "sea_ice_cover": ("(0 - 1)", "ci"),
        "volumetric_soil_water_layer_1": ("m**3 m**-3", "swvl1"), "soil_type": ("~", "slt"),
        "mean_total_precipitation_rate": ("kg m**-2 s**-1", "tprate"), "evaporation": ("m of water equivalent", "e"),
        "convective_available_potential_energy": ("J kg**-1", "cape"),
        "eastward_turbulent_surface_stress": ("N m**-2 s", "ewss"), "mean_wave_direction": ("degrees", None),
    }  # fmt: skip
    levels = {
        "temperature": ("K", "t"), "geopotential": ("m**2 s**-2", "z"), "specific_humidity": ("kg kg**-1", "q"),
        "u_component_of_wind": ("m s**-1", "u"), "vertical_velocity": ("Pa s**-1", "w"), "vorticity": ("s**-1", "vo"),
        "potential_vorticity": ("K m**2 kg**-1 s**-1", "pv"), "fraction_of_cloud_cover": ("(0 - 1)", "cc"),
    }  # fmt: skip
    for name, (units, key) in surface.items():
        assert key_of(field(name, units)) == key, name
    for name, (units, key) in levels.items():
        assert key_of(field(name, units, levels="level")) == key, name


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("era5/t2m_2017-01-01T12.nc", {"t2m": "2t"}),
        ("era5/t850_2023-01-10T23.nc", {"temperature": "t"}),
        ("era5/i10fg_2011-08-01.nc", {"i10fg": "i10fg"}),
        (
            "era5/tl31_37levels_1959-01-02.nc",
            {
                "sea_surface_temperature": "sst", "sea_ice_cover": "ci", "u_component_of_wind": "u",
                "v_component_of_wind": "v", "geopotential": "z", "temperature": "t", "specific_humidity": "q",
                "specific_cloud_ice_water_content": "ciwc", "specific_cloud_liquid_water_content": "clwc",
            },
        ),
        ("era5_regional/era5-2mt-2019-03-uk.grib", {"t2m": "2t"}),
        ("era5_regional/gulf_3hourly_era5_2004.nc", {"u10": "10u", "v10": "10v", "t2m": "2t"}),
        ("era5_regional/wam_ERA5_2021-07-15_ml_u.nc", {"u": "u"}),
        ("era5_regional/wam_ERA5_2021-07-15_ml_q.nc", {"q": "q"}),
        ("era5_regional/wam_ERA5_2021-07-15_e.nc", {"e": "e"}),
        ("era5_regional/wam_ERA5_2021-07-15_tp.nc", {"tp": "tp"}),
        ("era5_regional/wam_ERA5_2021-07-15_sp.nc", {"sp": "sp"}),
        (
            "merra2/MERRA2_400.inst1_2d_asm_Nx.20200329.nc4",
            {
                "PS": "sp", "SLP": "msl", "T2M": "2t", "TO3": "tco3", "TQI": "tciw", "TQL": "tclw", "TQV": "tcwv",
                "TS": "skt", "U10M": "10u", "V10M": "10v", "U2M": "10u", "V2M": "10v", "U50M": "100u", "V50M": "100v",
                "T10M": "2t", "QV2M": "q", "QV10M": "q",
            },
        ),
        ("model_output/uvt.nc", {"U": "u", "V": "v", "T": "t"}),
        ("model_output/geoschem_ch4_run0000_GEOSChem.SpeciesConc.20180505_0000z.nc4", {}),
    ],
)  # fmt: skip
def test_real_files_find_their_rules(data, file, keys):
    pytest.importorskip("cfgrib" if file.endswith("grib") else "netCDF4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_source(data / file) as dataset:
            found = {name: rule.name.partition(": ")[2] for name, rule in RECOMMENDED.rules(dataset).items()}
    assert found == keys


# --- tables of users


def load(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    return Policy.load(tmp_path / "mine.toml")


def test_a_users_table_wins_and_keeps_what_it_does_not_say(tmp_path):
    policy = load(
        tmp_path,
        """
        extends = "recommended"
        [variables.t2m]
        bound = "abs:0.2"
        valid_range = [170, inf]
        [variables.z]
        bound = "abs:30"
        [standard_names.air_temperature]
        bound = "abs:0.02"
        units = "K"
        [quantities.10u]
        mean = 0.1
        [variables.q]
        valid_range = [1e-8, 1]
        [variables.other]
        bound = "lossless"
        """,
    )
    dataset = xr.Dataset(
        {
            "t2m": field("t2m", "K", standard_name="air_temperature"),
            "ta": field("ta", "degC", levels="plev", standard_name="air_temperature"),
            "z": field("z", "m2 s-2", levels="plev"),
            "u10": field("u10", "m s-1"),
            "q": field("q", "kg kg-1", levels="plev"),
            "other": field("other"),
            "msl": field("msl", "Pa"),
        }
    )
    rules = policy.rules(dataset)
    assert (rules["t2m"].bound, rules["t2m"].valid_range) == ({"abs": 0.2}, (170, None))
    assert rules["t2m"].name == "mine.toml: variables.t2m"
    assert rules["ta"].bound == {"abs": 0.02}
    assert (rules["z"].bound, rules["z"].mean) == ({"abs": 30}, None)
    assert (rules["u10"].mean, rules["u10"].bound["abs"]) == (0.1, pytest.approx(0.1 / MEAN_SHARE, rel=1e-5))
    assert (rules["q"].bound, rules["q"].valid_range) == ({"rel": 0.01}, (1e-8, 1))
    assert rules["other"].bound == "lossless"
    assert rules["msl"].name == "recommended: msl"


def test_a_table_that_extends_nothing_knows_nothing_else(tmp_path):
    policy = load(tmp_path, '[variables.t2m]\nbound = "abs:0.2"\n')
    assert policy.rules(xr.Dataset({"t2m": field("t2m"), "msl": field("msl", "Pa")})).keys() == {"t2m"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "mine.toml is not TOML"),
        ('[variable.t2m]\nbound = "abs:1"', "expected tables variables, standard_names, quantities"),
        ('[variables.t2m]\nbound = "1 K"', r"mine.toml: \[variables.t2m\] bound: '1 K' is not a bound"),
        ("[variables.t2m]\nbound = 0.1", "expected bound to be text, got 0.1"),
        ('[variables.t2m]\nbounds = "abs:1"', "knows bound, mean, mean_rel, .*, not 'bounds'"),
        ("[variables]\nt2m = 1", "is expected to hold a bound, got 1"),
        ('[variables.t2m]\nunits = "K"', "expected to hold bound, mean, mean_rel or valid_range"),
        ("[variables.t2m]\nvalid_range = [3, 1]", "from the lowest to the highest value"),
        ("[variables.t2m]\nvalid_range = 3", r"expected valid_range = \[lowest, highest\]"),
        ('[variables.t2m]\nvalid_range = ["a", 1]', "expected valid_range in numbers, got 'a'"),
        ("[variables.t2m]\nmean = -1", "expected mean to be a number above 0, got -1"),
        ("[variables.t2m]\nmean_rel = 2", "expected mean_rel to be a share above 0 and below"),
        ("[variables.t2m]\nmean = true", "expected mean in numbers, got True"),
        ("[variables.t2m]\nmean = 1\nmean_rel = 0.1", "expected mean or mean_rel, got both"),
        ('[variables.t2m]\nmean = 1\nbound = "rel:0.1"', "mean goes with a bound abs:X, got rel:0.1"),
        ('[variables.t2m]\nbound = "abs:1"\nunits = "furlong"', "expected units that can be converted"),
        ('[quantities.nonsense]\nbound = "abs:1"', "expected the GRIB short name of a known quantity"),
        ('[quantities.t]\nbound = "abs:1"\nunits = "K"', "leave units out"),
        ('extends = "strict"', "expected extends to be recommended or ensemble-spread, got 'strict'"),
        ("extends = 3", "expected extends to be text, got 3"),
    ],
)
def test_errors_name_the_file_the_key_and_what_was_expected(tmp_path, text, message):
    with pytest.raises(RequestError, match=message):
        load(tmp_path, text)


def test_unknown_policies_and_wrong_units_are_refused(tmp_path):
    with pytest.raises(RequestError, match="'strict' is not a policy: write recommended or ensemble-spread, or"):
        Policy.load("strict")
    policy = load(tmp_path, '[variables.t2m]\nbound = "abs:0.2"\nunits = "K"\n')
    with pytest.raises(RequestError, match=r"variables\.t2m is in K, and t2m has units Pa"):
        policy.rules(xr.Dataset({"t2m": field("t2m", "Pa")}))


# --- what the codec makes of rules


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["abs", "rel"])
def test_a_mean_is_kept_by_the_bound_that_follows_from_it(kind, scale):
    """Over rough and smooth fields; uniform errors would have a mean of half the bound."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:96, :144]
    smooth = 20 + 5 * np.sin(x / 11) * np.cos(y / 17)
    for rough in (0.01, 0.3, 3.0):
        values = (smooth + rough * rng.normal(size=smooth.shape)).astype("f4")
        bound = scale if kind == "abs" else scale / 20
        errors = ErrorSummary({kind: bound}, mean=MEAN_SHARE * bound)
        errors.add(values, Pyramid(bound={kind: bound}).decode(Pyramid(bound={kind: bound}).encode(values)))
        assert errors.violations == 0
        assert 0 < errors.mean_error <= errors.mean


@pytest.mark.parametrize("bound", [{"abs": 1e-5}, {"rel": 0.01}])
def test_the_bound_wins_over_the_valid_range(bound):
    """Packing leaves small negative amounts in the source: they are moved only as far as the bound allows."""
    rng = np.random.default_rng(0)
    values = np.abs(np.cumsum(rng.normal(size=(64, 64)), axis=1)).astype("f4") * np.float32(1e-4)
    values[::7, ::5] = -1e-9
    values[3, 3] = -1e-3
    codec = Pyramid(bound=bound, valid_range=(0, None))
    decoded = codec.decode(codec.encode(values))
    errors = ErrorSummary(bound, valid_range=(0, None))
    errors.add(values, decoded)
    assert (errors.violations, errors.outside) == (0, 0)
    assert decoded[3, 3] == pytest.approx(-1e-3, rel=0.01)  # beyond any bound: as in the source
    assert (decoded[values >= 0] >= 0).all()
    assert decoded[7, 5] == (0 if "abs" in bound else np.float32(-1e-9))


# --- what verify holds a store to


@pytest.mark.parametrize(
    ("promise", "problem"),
    [
        ({}, None),
        ({"mean": 1e-7}, "has a mean error of"),
        ({"valid_range": [None, 281.0]}, "values outside its valid range"),
    ],
)
def test_promises_beside_the_bound_are_verified(tmp_path, promise, problem):
    y, x = np.mgrid[:40, :60]
    values = np.minimum(276 + 5 * np.sin(x / 9) * np.cos(y / 7), 280.99).astype("f4")
    dataset = xr.Dataset({"t2m": (("lat", "lon"), values, {"units": "K"})})
    dataset.to_netcdf(tmp_path / "t.nc")
    compress(dataset, tmp_path / "t.zarr", bounds={"t2m": {"abs": 0.05}})
    stored = zarr.open_array(tmp_path / "t.zarr", path="t2m", mode="r+")
    stored.attrs["adiabat"] = json.dumps(json.loads(stored.attrs["adiabat"]) | promise)
    if "valid_range" in promise:
        edited = np.asarray(stored[...])
        edited[edited > 280.98] = 281.02
        stored[...] = edited
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: consolidated metadata is not in the v3 spec yet
        zarr.consolidate_metadata(tmp_path / "t.zarr")
    (check,) = verify(tmp_path / "t.nc", tmp_path / "t.zarr")
    assert check.errors.violations == 0
    assert (check.problem is None) if problem is None else problem in check.problem


def test_the_guide_holds_the_tables():
    assert policy_tables() in GUIDE.read_text()
