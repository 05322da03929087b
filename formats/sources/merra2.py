"""MERRA-2 as it is published: ``inst*``, ``tavg*`` and constants.

Stage: after cf, which opens them. Their ``standard_name`` is none of CF's, but the long name; here it becomes CF's
where there is one. Means over time say so, and 1e15, which some files declare in a way of their own, is a hole.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.sources.lazy import Computed, lazy_variable

__all__ = ["tidy"]

# Source: MERRA-2: File Specification, GMAO Office Note 9; CF standard name table, version 85.
_NAMES = {
    "T": "air_temperature",
    "T2M": "air_temperature",
    "T10M": "air_temperature",
    "T250": "air_temperature",
    "T500": "air_temperature",
    "T850": "air_temperature",
    "TS": "surface_temperature",
    "U": "eastward_wind",
    "U2M": "eastward_wind",
    "U10M": "eastward_wind",
    "U50M": "eastward_wind",
    "U250": "eastward_wind",
    "U500": "eastward_wind",
    "U850": "eastward_wind",
    "V": "northward_wind",
    "V2M": "northward_wind",
    "V10M": "northward_wind",
    "V50M": "northward_wind",
    "V250": "northward_wind",
    "V500": "northward_wind",
    "V850": "northward_wind",
    "QV": "specific_humidity",
    "QV2M": "specific_humidity",
    "QV10M": "specific_humidity",
    "Q250": "specific_humidity",
    "Q500": "specific_humidity",
    "Q850": "specific_humidity",
    "OMEGA": "lagrangian_tendency_of_air_pressure",
    "OMEGA500": "lagrangian_tendency_of_air_pressure",
    "H": "geopotential_height",
    "H250": "geopotential_height",
    "H500": "geopotential_height",
    "H850": "geopotential_height",
    "H1000": "geopotential_height",
    "PHIS": "surface_geopotential",
    "PS": "surface_air_pressure",
    "SLP": "air_pressure_at_mean_sea_level",
    "TQV": "atmosphere_mass_content_of_water_vapor",
    "TQL": "atmosphere_mass_content_of_cloud_liquid_water",
    "TQI": "atmosphere_mass_content_of_cloud_ice",
    "TO3": "equivalent_thickness_at_stp_of_atmosphere_ozone_content",
    "PRECTOT": "precipitation_flux",
    "PRECTOTCORR": "precipitation_flux",
    "PRECSNO": "snowfall_flux",
    "EVAP": "water_evapotranspiration_flux",
    "EFLUX": "surface_upward_latent_heat_flux",
    "HFLUX": "surface_upward_sensible_heat_flux",
    "SWGDN": "surface_downwelling_shortwave_flux_in_air",
    "SWTDN": "toa_incoming_shortwave_flux",
    "LWGAB": "surface_downwelling_longwave_flux_in_air",
    "LWTUP": "toa_outgoing_longwave_flux",
    "CLDTOT": "cloud_area_fraction",
    "PBLH": "atmosphere_boundary_layer_thickness",
    "FRLAND": "land_area_fraction",
    "FRSEAICE": "sea_ice_area_fraction",
}
_HOLE = "fmissing_value"


def tidy(dataset: xr.Dataset) -> xr.Dataset:
    """The same with CF's standard names, cell methods of means, and holes where 1e15 stands.

    Names of MERRA-2's own stay as ``long_name``. Datasets of any other product come back as they are.
    """
    collection = str(dataset.attrs.get("ShortName", ""))
    if not collection.startswith("M2"):
        return dataset
    changed = {}
    for name, variable in dataset.data_vars.items():
        if variable.dtype.kind != "f":
            continue
        attrs = dict(variable.attrs)
        own = attrs.pop("standard_name", None)
        if own is not None:
            attrs.setdefault("long_name", own)
        if str(name) in _NAMES:
            attrs["standard_name"] = _NAMES[str(name)]
        if collection[2:3] == "T" and "time" in variable.dims:
            attrs.setdefault("cell_methods", "time: mean")
        changed[name] = _with_holes(variable.variable, attrs)
    return dataset.assign(changed)


def _with_holes(variable: xr.Variable, attrs: dict[Any, Any]) -> xr.Variable:
    """NaN where the file's own missing value stands; CF's are NaN already."""
    declared = {*np.atleast_1d(variable.encoding.get("_FillValue", [])).tolist()}
    declared |= {*np.atleast_1d(variable.encoding.get("missing_value", [])).tolist()}
    if _HOLE not in attrs or float(attrs[_HOLE]) in declared:
        out = variable.copy(deep=False)
        out.attrs = attrs
        return out
    hole = variable.dtype.type(attrs[_HOLE])
    return lazy_variable(Computed(partial(_holed, hole), variable), variable.dims, attrs, variable.encoding)


def _holed(hole: np.floating[Any], values: NDArray[Any]) -> NDArray[Any]:
    return np.where(values == hole, np.nan, values)
