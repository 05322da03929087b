"""Fields between a latitude/longitude grid and HEALPix: dimension `cell` in nested order, CF 1.13 attributes.

Stage: before and after a codec, and only when asked: going there and back is not exact, and its error is reported apart
from compression (`round_trip`). By spherical harmonics ("sht") every scale that both grids resolve is kept, but sharp
edges overshoot and nothing may be missing; "bilinear" keeps values within the range of their neighbours.

"sht" needs ducc0 and `plot` needs healpy (both GPL): `pip install "adiabat[healpix]"`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.codec.faces import side_of
from adiabat.formats import healpix_transform
from adiabat.formats.field_scores import score_field
from adiabat.formats.healpix_axes import CELL, check_cells, horizontal, located, replace_dimensions, target_axis
from adiabat.formats.healpix_transform import LatLonGrid

__all__ = ["CELL", "RoundTrip", "plot", "round_trip", "to_healpix", "to_latlon"]

Method = Literal["sht", "bilinear"]

GRID_MAPPING = "healpix"  # xdggs expects the variable to be called so
TO_CELLS = {"sht": healpix_transform.harmonic_to_cells, "bilinear": healpix_transform.bilinear_to_cells}
TO_LATLON = {"sht": healpix_transform.harmonic_to_latlon, "bilinear": healpix_transform.bilinear_to_latlon}


@overload
def to_healpix(source: xr.DataArray, *, nside: int = ..., method: Method = ...) -> xr.DataArray: ...
@overload
def to_healpix(source: xr.Dataset, *, nside: int = ..., method: Method = ...) -> xr.Dataset: ...


def to_healpix(
    source: xr.DataArray | xr.Dataset, *, nside: int = 256, method: Method = "sht"
) -> xr.DataArray | xr.Dataset:
    """Bring fields from a global latitude/longitude grid to HEALPix cells.

    Parameters
    ----------
    source : xarray.DataArray or xarray.Dataset
        On equidistant latitudes with both poles and equidistant longitudes, in any order and direction; other
        dimensions are kept, before `cell`. A dataset's variables without latitude and longitude stay as they are;
        those with one of the two (their bounds, say) are left out. Dask arrays stay lazy.
    nside : int
        A power of two: there are 12 nside^2 cells.
    method : "sht" or "bilinear"

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Floating point, float32 if the source is. With the coordinate `cell` of nested indices and the grid mapping
        `healpix` (`refinement_level`, `indexing_scheme`): ``xdggs.decode(dataset, convention="cf")`` opens it.

    Raises
    ------
    ValueError
        Another grid, another method, nside no power of two, or values missing for "sht".
    ImportError
        "sht" without ducc0.

    Examples
    --------
    >>> latitude, longitude = np.linspace(90, -90, 37), np.arange(0, 360, 5.0)
    >>> field = xr.DataArray(np.ones((2, 37, 72), "f4"), {"lat": latitude, "lon": longitude}, ("time", "lat", "lon"))
    >>> cells = to_healpix(field, nside=8, method="bilinear")
    >>> cells.sizes["cell"], cells.dtype, cells.healpix.attrs["refinement_level"]
    (768, dtype('float32'), 3)
    """
    if nside < 1 or nside & (nside - 1):
        raise ValueError(f"expected nside a power of two, got {nside}")
    transform = _checked(method, TO_CELLS)
    if isinstance(source, xr.DataArray):
        return _array_to_healpix(source, nside, transform)
    fields = {name: set(horizontal(array)) for name, array in source.data_vars.items() if len(horizontal(array)) == 2}
    if not fields:
        raise ValueError("expected a variable with latitude and longitude, got none")
    spent = set().union(*fields.values())
    gone = {name for name, array in source.variables.items() if spent & set(array.dims)}
    gone |= {mapping for name in fields if (mapping := _grid_mapping(source[name])) in source.variables}
    out = source.drop_vars(gone)
    for name in fields:
        out[name] = _array_to_healpix(source[name], nside, transform)
    return out[[name for name in source.data_vars if name in out]].assign_attrs(Conventions="CF-1.13")


def to_latlon(
    source: xr.DataArray,
    latitude: NDArray[Any] | xr.DataArray,
    longitude: NDArray[Any] | xr.DataArray,
    *,
    method: Method = "sht",
) -> xr.DataArray:
    """Bring a field from HEALPix cells back to a global latitude/longitude grid.

    Parameters
    ----------
    source : xarray.DataArray
        With the dimension `cell`, all 12 nside^2 cells in nested order.
    latitude, longitude : 1-D arrays, degrees
        As `to_healpix` takes them; DataArrays keep their name and attributes.
    method : "sht" or "bilinear"

    Returns
    -------
    xarray.DataArray
        Latitude and longitude last.

    Raises
    ------
    ValueError
        Not all cells in nested order, another grid, another method, or values missing for "sht".
    ImportError
        "sht" without ducc0.

    Examples
    --------
    >>> cells = xr.DataArray(np.ones((2, 768)), dims=("time", "cell"))
    >>> back = to_latlon(cells, np.linspace(90, -90, 37), np.arange(0, 360, 5.0), method="bilinear")
    >>> back.dims, back.shape, float(back.min()) == float(back.max()) == 1
    (('time', 'latitude', 'longitude'), (2, 37, 72), True)
    """
    transform = _checked(method, TO_LATLON)
    check_cells(source)
    axes = [target_axis("latitude", latitude), target_axis("longitude", longitude)]
    grid = LatLonGrid(axes[0].values, axes[1].values)
    mapped = [name for name, coordinate in source.coords.items() if "grid_mapping_name" in coordinate.attrs]
    made = {str(axis.name): axis.size for axis in axes}
    out = replace_dimensions(source.drop_vars(mapped), [CELL], made, lambda cells: transform(cells, grid))
    out.attrs.pop("grid_mapping", None)
    return out.assign_coords({axis.name: axis.variable for axis in axes})


@dataclass(frozen=True)
class RoundTrip:
    """What going to HEALPix and back costs, without any compression: `round_trip` makes it.

    Attributes
    ----------
    method : "sht" or "bilinear"
    nside : int
    rmse, max_error : NDArray[np.float64], shape of the leading axes
        Cos-latitude weighted root mean square, and largest absolute error.
    values, cells : int
        Of one field: how many there were, and how many HEALPix has.
    """

    method: Method
    nside: int
    rmse: NDArray[np.float64]
    max_error: NDArray[np.float64]
    values: int
    cells: int

    def __str__(self) -> str:
        return (
            f"{self.method} to nside {self.nside} ({self.values} values to {self.cells} cells) and back: "
            f"RMSE {_range(self.rmse)}, largest error {_range(self.max_error)}"
        )


def round_trip(field: xr.DataArray, *, nside: int = 256, method: Method = "sht") -> RoundTrip:
    """Measure the error of going to HEALPix and back.

    Parameters
    ----------
    field : xarray.DataArray
    nside, method : as of `to_healpix`

    Returns
    -------
    RoundTrip

    Raises
    ------
    ValueError, ImportError
        As `to_healpix`.

    Examples
    --------
    >>> latitude, longitude = np.linspace(90, -90, 37), np.arange(0, 360, 5.0)
    >>> field = xr.DataArray(np.ones((37, 72)), {"lat": latitude, "lon": longitude}, ("lat", "lon"))
    >>> print(round_trip(field, nside=8, method="bilinear"))
    bilinear to nside 8 (2664 values to 768 cells) and back: RMSE 0, largest error 0
    """
    (rows, latitude), (columns, longitude) = located(field)
    cells = to_healpix(field, nside=nside, method=method)
    back = to_latlon(cells, latitude, longitude, method=method)
    source = field.transpose(..., rows, columns).values
    scores = score_field(source, back.values, latitude, longitude)
    return RoundTrip(method, nside, scores.rmse, scores.maximum, latitude.size * longitude.size, cells.sizes[CELL])


def plot(cells: xr.DataArray, path: str | Path, *, title: str = "", unit: str = "", colours: str = "RdYlBu_r") -> None:
    """Draw one field of HEALPix cells in healpy's Mollweide projection.

    Parameters
    ----------
    cells : xarray.DataArray
        With the dimension `cell` alone; missing values are grey.
    path : path
        Of the picture to write.
    title, unit, colours : str

    Raises
    ------
    ValueError
        Not all cells of one field in nested order.
    ImportError
        Without healpy.
    """
    try:
        import healpy
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots of HEALPix cells need healpy: pip install "adiabat[healpix]"') from error
    check_cells(cells)
    if cells.dims != (CELL,):
        raise ValueError(f"expected one field with the dimension {CELL!r} alone, got {cells.dims}")
    values, nside = np.asarray(cells.values, np.float64), side_of(cells.size)
    # East is to the right on maps of the earth, to the left on those of the sky.
    view = healpy.projector.MollweideProj(xsize=1600, flipconv="geo")
    image = view.projmap(values, lambda x, y, z: healpy.vec2pix(nside, x, y, z, nest=True))
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_title(title)
    outside = np.isneginf(image)
    axes.imshow(np.where(outside, np.nan, 1), extent=view.get_extent(), origin="lower", cmap="gray", vmin=0, vmax=1.4)
    shown = axes.imshow(np.ma.masked_invalid(image), extent=view.get_extent(), origin="lower", cmap=colours)
    for longitude, latitude in _graticule():
        axes.plot(*view.ang2xy(longitude, latitude, lonlat=True), color="0.3", alpha=0.5, linewidth=0.5)
    figure.colorbar(shown, ax=axes, orientation="horizontal", shrink=0.6, label=unit)
    figure.savefig(path, dpi=150)


def _array_to_healpix(source: xr.DataArray, nside: int, transform: Any) -> xr.DataArray:
    (rows, latitude), (columns, longitude) = located(source)
    grid, cells = LatLonGrid(latitude, longitude), 12 * nside**2
    plain = source.drop_vars(_grid_mapping(source), errors="ignore")
    out = replace_dimensions(plain, [rows, columns], {CELL: cells}, lambda values: transform(values, grid, nside))
    out.attrs["grid_mapping"] = GRID_MAPPING
    attributes = {
        "grid_mapping_name": "healpix",
        "refinement_level": nside.bit_length() - 1,
        "indexing_scheme": "nested",
    }
    index = (CELL, np.arange(cells), {"standard_name": "healpix_index", "units": "1", "long_name": "nested index"})
    return out.assign_coords({CELL: index, GRID_MAPPING: ((), np.int8(0), attributes)})


def _grid_mapping(array: xr.DataArray) -> str:
    """Name of the variable that describes the array's present grid; empty without one."""
    return str(array.attrs.get("grid_mapping") or array.encoding.get("grid_mapping") or "")


def _checked(method: str, methods: dict[str, Any]) -> Any:
    if method not in methods:
        raise ValueError(f"expected method 'sht' or 'bilinear', got {method!r}")
    return methods[method]


def _graticule() -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Meridians and parallels, as longitudes and latitudes along them."""
    north, east = np.linspace(-90, 90, 91), np.linspace(-179.99, 179.99, 361)
    meridians = [(np.full(north.shape, fixed), north) for fixed in (-179.99, -120.0, -60.0, 0.0, 60.0, 120.0, 179.99)]
    return meridians + [(east, np.full(east.shape, fixed)) for fixed in (-60.0, -30.0, 0.0, 30.0, 60.0)]


def _range(numbers: NDArray[np.float64]) -> str:
    low, high = f"{numbers.min():.4g}", f"{numbers.max():.4g}"
    return low if low == high else f"{low} to {high}"
