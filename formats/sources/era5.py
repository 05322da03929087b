"""ERA5 as it is published: ARCO-ERA5 stores, the Climate Data Store's NetCDF of old and new style.

Stage: after cf, which opens them. What the files lack is added (standard names and units, by which a policy knows a
variable), and ERA5 and its preliminary continuation ERA5T, which old files keep side by side, become one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.sources.lazy import Computed, lazy_variable

__all__ = ["notes_on", "tidy", "without_versions"]

VERSIONS = "expver"  # of the dimension and its coordinate: 1 is ERA5, 5 is ERA5T

# Long names of ARCO-ERA5 and WeatherBench, short names of the Climate Data Store: CF standard name, units.
# Source: the ECMWF parameter database and the CF standard name table, version 85.
_NAMES: dict[tuple[str, ...], tuple[str, str]] = {
    ("temperature", "t"): ("air_temperature", "K"),
    ("2m_temperature", "t2m"): ("air_temperature", "K"),
    ("2m_dewpoint_temperature", "d2m"): ("dew_point_temperature", "K"),
    ("u_component_of_wind", "u"): ("eastward_wind", "m s**-1"),
    ("v_component_of_wind", "v"): ("northward_wind", "m s**-1"),
    ("10m_u_component_of_wind", "u10"): ("eastward_wind", "m s**-1"),
    ("10m_v_component_of_wind", "v10"): ("northward_wind", "m s**-1"),
    ("100m_u_component_of_wind", "u100"): ("eastward_wind", "m s**-1"),
    ("100m_v_component_of_wind", "v100"): ("northward_wind", "m s**-1"),
    ("vertical_velocity", "w"): ("lagrangian_tendency_of_air_pressure", "Pa s**-1"),
    ("geopotential", "z"): ("geopotential", "m**2 s**-2"),
    ("geopotential_at_surface",): ("surface_geopotential", "m**2 s**-2"),
    ("specific_humidity", "q"): ("specific_humidity", "kg kg**-1"),
    ("relative_humidity", "r"): ("relative_humidity", "%"),
    ("mean_sea_level_pressure", "msl"): ("air_pressure_at_mean_sea_level", "Pa"),
    ("surface_pressure", "sp"): ("surface_air_pressure", "Pa"),
    ("total_precipitation", "tp"): ("lwe_thickness_of_precipitation_amount", "m"),
    ("total_cloud_cover", "tcc"): ("cloud_area_fraction", "(0 - 1)"),
    ("sea_surface_temperature", "sst"): ("sea_surface_temperature", "K"),
    ("sea_ice_cover", "siconc"): ("sea_ice_area_fraction", "(0 - 1)"),
    ("land_sea_mask", "lsm"): ("land_binary_mask", "(0 - 1)"),
    ("specific_cloud_liquid_water_content", "clwc"): (
        "mass_fraction_of_cloud_liquid_water_in_air", "kg kg**-1"
    ),
    ("specific_cloud_ice_water_content", "ciwc"): ("mass_fraction_of_cloud_ice_in_air", "kg kg**-1"),
    ("surface_solar_radiation_downwards", "ssrd"): (
        "integral_wrt_time_of_surface_downwelling_shortwave_flux_in_air", "J m**-2"
    ),
    ("surface_thermal_radiation_downwards", "strd"): (
        "integral_wrt_time_of_surface_downwelling_longwave_flux_in_air", "J m**-2"
    ),
    ("snow_depth", "sd"): ("lwe_thickness_of_surface_snow_amount", "m of water equivalent"),
    ("total_column_water_vapour", "tcwv"): ("atmosphere_mass_content_of_water_vapor", "kg m**-2"),
    ("fraction_of_cloud_cover", "cc"): ("cloud_area_fraction_in_atmosphere_layer", "(0 - 1)"),
}  # fmt: skip
_BY_NAME = {name: known for names, known in _NAMES.items() for name in names}
_LONG = {name for names in _NAMES for name in names if "_" in name}
_UNKNOWN = ("", "unknown", "~")  # what files say where they do not know
_COORDINATES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
}
_LEVEL = {"standard_name": "air_pressure", "units": "hPa", "positive": "down", "axis": "Z"}


def tidy(dataset: xr.Dataset) -> xr.Dataset:
    """The same with one version of each value, and with the attributes that files of ERA5 lack.

    Values that ERA5 has are ERA5's, the others ERA5T's. Names and units that a file gives are never changed.

    Parameters
    ----------
    dataset : xarray.Dataset
        As opened by cf; of any other product, it comes back as it is.
    """
    if not _is_era5(dataset):
        return dataset
    merged = _without(dataset, _merged)
    for name, variable in merged.variables.items():
        known = _BY_NAME.get(str(name))
        if known is not None and variable.ndim > 1 and _agrees(variable.attrs, known[1]):
            _add(variable.attrs, {"standard_name": known[0], "units": known[1]})
        elif str(name) in _COORDINATES:
            _add(variable.attrs, _COORDINATES[str(name)])
        elif _is_pressure(str(name), variable):
            _add(variable.attrs, _LEVEL)
    return merged


def without_versions(raw: xr.Dataset) -> xr.Dataset:
    """The same without the dimension of versions, of a dataset that is only looked at."""
    return _without(raw, lambda variable: variable.isel({VERSIONS: 0}))


def notes_on(raw: xr.Dataset) -> list[str]:
    """What `tidy` does that a user should know."""
    if VERSIONS not in raw.dims:
        return []
    return [f"{VERSIONS} {', '.join(map(str, _versions(raw)))} become one: where ERA5 has no value, ERA5T's is kept"]


def _is_era5(dataset: xr.Dataset) -> bool:
    """By the versions, by two long names of ARCO's, or by short names beside the store's other marks."""
    names = set(map(str, dataset.data_vars))
    institution = " ".join(
        str(dataset.attrs.get(key, "")) for key in ("institution", "GRIB_centre", "history", "source")
    )
    marked = "ecmwf" in institution.lower() or "ecmf" in institution.lower() or "era5" in institution.lower()
    arco = bool(names & _LONG) and {"latitude", "longitude"} <= set(map(str, dataset.dims))
    return VERSIONS in dataset.variables or arco or (marked and bool(names & set(_BY_NAME)))


def _versions(raw: xr.Dataset) -> list[int]:
    return [int(version) for version in np.atleast_1d(raw[VERSIONS].values)] if VERSIONS in raw.variables else [1, 5]


def _without(dataset: xr.Dataset, function: Any) -> xr.Dataset:
    """Apply to every variable on the dimension of versions a function that takes it away."""
    if VERSIONS not in dataset.dims:
        return dataset.copy(deep=False)
    variables = {
        name: function(variable) if VERSIONS in variable.dims else variable
        for name, variable in dataset.variables.items()
        if name != VERSIONS
    }
    out = xr.Dataset(variables, attrs=dataset.attrs)
    return out.set_coords([name for name in dataset.coords if name in variables])


def _merged(variable: xr.Variable) -> xr.Variable:
    """The first version's values, and the next one's where that has none."""
    if variable.dtype.kind != "f":
        return variable.isel({VERSIONS: 0})
    versions = [variable.isel({VERSIONS: number}) for number in range(variable.sizes[VERSIONS])]
    return lazy_variable(Computed(_first_known, *versions), versions[0].dims, variable.attrs, variable.encoding)


def _first_known(*versions: NDArray[Any]) -> NDArray[Any]:
    out = versions[0]
    for other in versions[1:]:
        out = np.where(np.isnan(out), other, out)
    return out


def _agrees(attrs: Mapping[str, Any], units: str) -> bool:
    """Whether a name may be given: only to what is in the units it should be in, or says nothing."""
    got = str(attrs.get("units", "")).lower()
    return (
        got in _UNKNOWN or _bare(got) == _bare(units) or {_bare(got), _bare(units)} <= {"1", "(0-1)", "dimensionless"}
    )


def _bare(units: str) -> str:
    return units.replace("**", "").replace("^", "").replace(" ", "").lower()


def _is_pressure(name: str, variable: xr.Variable) -> bool:
    """Levels of 1 to 1000, as ERA5 numbers its pressure levels; model levels end at 137."""
    if name not in ("level", "pressure_level") or variable.ndim != 1 or not variable.size:
        return False
    values = np.asarray(variable.values, np.float64)
    return name == "pressure_level" or bool(np.isin(values, _PRESSURES).all() and values.max() > 137)


_PRESSURES = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, *range(100, 251, 25), *range(300, 751, 50), *range(775, 1001, 25))


def _add(attrs: dict[Any, Any], known: Mapping[str, str]) -> None:
    """What is there stays, unless it says that it does not know."""
    for key, value in known.items():
        if str(attrs.get(key, "")).lower() in _UNKNOWN:
            attrs[key] = value
