"""Granules of TEMPO as they are published -> an xarray DataTree with its groups, names, units and flags.

Stage: the entrance of the archive, beside cf. Read are radiances and irradiances of level 1 (groups
``band_290_490_nm``, ``band_540_740_nm``) and products of level 2 (NO2, O3TOT, HCHO, CLDO4: groups ``product``,
``geolocation``, ...). As in cf, times and integers stay as they lie; of floats, fill values and what the quality
flags call bad become NaN. Everything is read when it is asked for, and nothing is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.cf import file_kind, is_field
from adiabat.formats.sources.netcdf import LOCK, netcdf_file, netcdf_store

__all__ = ["BAD", "BANDS", "CHANNELS", "is_tempo", "oddities", "open_tempo"]

BANDS = ("band_290_490_nm", "band_540_740_nm")
CHANNELS = 1028
BAD = ("missing_data", "bad_pixel", "processing_error", "transient_pixel", "rts_pixel", "saturated")
_BAD_COLUMN = "bad"  # what main_data_quality_flag of level 2 calls it
_SPECTRAL = ("mirror_step", "xtrack", "spectral_channel")
_PLACES = ("time", "latitude", "longitude", "latitude_bounds", "longitude_bounds", "wavelength", "nominal_wavelength")
_PIXEL_FLAG, _COLUMN_FLAG = "pixel_quality_flag", "main_data_quality_flag"


def is_tempo(path: str | Path) -> bool:
    """Tell whether a NetCDF-4 file is laid out as one of TEMPO's: by its bands, or ``product`` on mirror steps."""
    path = Path(path)
    if not path.is_file() or file_kind(path) != "NetCDF":
        return False
    with netcdf_file(path) as file:
        return _level(file) is not None


def open_tempo(
    path: str | Path,
    *,
    bands: Sequence[str] = BANDS,
    channels: int | None = CHANNELS,
    flags: Sequence[str] = BAD,
) -> xr.DataTree:
    """Open a granule lazily, group by group.

    Parameters
    ----------
    path : path
        A NetCDF-4 file of level 1 (TEMPO_RAD_L1, TEMPO_IRR_L1) or 2.
    bands : sequence of str
        Bands that a file of level 1 must have; others that it has are opened too.
    channels : int, optional
        Spectral channels that a band must have; None: any number.
    flags : sequence of str
        Meanings of ``pixel_quality_flag`` that make a value NaN; empty: only fill values do. Of level 2, columns are
        NaN where ``main_data_quality_flag`` is "bad", unless this is empty.

    Returns
    -------
    xarray.DataTree
        With the file's groups. In float variables NaN stands for fill values and flagged ones; places, times and
        wavelengths are coordinates; flags and other integers, and undecoded times, are as in the file.

    Raises
    ------
    RequestError
        A ValueError: if there is nothing of the kind, it cannot be read, or it is malformed: a band or variable is
        missing, has other dimensions or channels, wavelengths do not increase, or every value is flagged.

    Source
    ------
    ``spec/guide/tempo_simulation.md``, which says what of the layout is known from where.

    Examples
    --------
    >>> tree = open_tempo("TEMPO_RAD_L1_V03_20240601T210934Z_S012G01.nc")  # doctest: +SKIP
    >>> tree["band_290_490_nm/radiance"].dims  # doctest: +SKIP
    ('mirror_step', 'xtrack', 'spectral_channel')
    """
    path = Path(path)
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    if not path.is_file() or file_kind(path) != "NetCDF":
        raise RequestError(f"expected a granule of TEMPO in NetCDF-4, got {path}, which is not NetCDF")
    with netcdf_file(path) as file:
        level = _level(file)
        if level is None:
            groups = ", ".join(file.groups) or "none"
            raise RequestError(f"{path}: expected groups {' and '.join(BANDS)}, or product and geolocation of a TEMPO "
                               f"granule, got groups: {groups}")  # fmt: skip
        present = [name for name in BANDS if name in file.groups]
        names = list(_groups(file))
    missing = [name for name in bands if level == 1 and name not in present]
    if missing:
        raise RequestError(f"{path}: expected bands {' and '.join(bands)}, got only {' and '.join(present)}")
    nodes = {name: _open_group(path, name) for name in names}
    try:
        for name in present:
            _check_band(path, name, nodes[f"/{name}"], channels)
        nodes = {name: _masked(dataset, flags) for name, dataset in nodes.items()}
        for name in present:
            _check_values(path, name, nodes[f"/{name}"])
    except BaseException:
        for dataset in nodes.values():
            dataset.close()
        raise
    tree = xr.DataTree.from_dict(nodes)
    for name, dataset in nodes.items():
        tree[name].set_close(dataset.close)
    return tree


def oddities(groups: Mapping[str, xr.Dataset]) -> list[str]:
    """What a granule of level 1 lacks of the product's layout; it can be archived all the same.

    Parameters
    ----------
    groups : mapping of str to xarray.Dataset
        By the paths of its groups.
    """
    present = [band for band in BANDS if f"/{band}" in groups]
    out = [f"{band} is missing from this granule" for band in BANDS if present and band not in present]
    for band in present:
        found = groups[f"/{band}"].sizes.get("spectral_channel", CHANNELS)
        if found != CHANNELS:
            out.append(f"{band} has {found} spectral channels, the product {CHANNELS}")
    return out


def _level(file: Any) -> int | None:
    if any(name in file.groups for name in BANDS):
        return 1
    if "product" in file.groups and "geolocation" in file.groups and "mirror_step" in file.dimensions:
        return 2
    return None


def _groups(file: Any, above: str = "/") -> Iterator[str]:
    yield above
    for name, group in file.groups.items():
        yield from _groups(group, f"{above.rstrip('/')}/{name}")


def _open_group(path: Path, name: str) -> xr.Dataset:
    options: dict[str, Any] = {"decode_times": False, "decode_coords": False}
    try:
        with LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of other people's files
            with xr.open_dataset(netcdf_store(path, name), mask_and_scale=False, **options) as raw:
                decode = {str(key): is_field(variable) for key, variable in raw.variables.items()}
            dataset = xr.open_dataset(netcdf_store(path, name), mask_and_scale=decode, **options)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise RequestError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from error
    placed = dataset.set_coords([key for key in _PLACES if key in dataset.variables])
    placed.set_close(dataset.close)
    return placed


def _check_band(path: Path, name: str, band: xr.Dataset, channels: int | None) -> None:
    """Refuse a band without its variables, of another shape, or with wavelengths that do not increase."""
    light = _light(band)
    expected = {
        light: _SPECTRAL,
        f"{light}_error": _SPECTRAL,
        _PIXEL_FLAG: _SPECTRAL,
        "nominal_wavelength": _SPECTRAL[1:],
    }
    for key, dims in expected.items():
        if key not in band.variables:
            got = ", ".join(map(str, band.data_vars)) or "nothing"
            raise RequestError(f"{path}: expected {key} in {name}, got {got}")
        if band[key].dims != dims:
            got = " x ".join(map(str, band[key].dims)) or "a scalar"
            raise RequestError(f"{path}: expected {key} of {name} on {' x '.join(dims)}, got {got}")
    count = band.sizes["spectral_channel"]
    if channels is not None and count != channels:
        raise RequestError(f"{path}: expected {channels} spectral channels in {name}, got {count}")
    if not band[light].size:
        raise RequestError(f"{path}: expected pixels in {name}, got {' x '.join(map(str, band[light].shape))}")
    wavelength = _read(path, band["nominal_wavelength"])
    known = np.isfinite(wavelength).any(-1)  # a row without any is a dark one
    wrong = np.flatnonzero(known & ~(np.diff(wavelength, axis=-1) > 0).all(-1))
    if wrong.size or not known.any():
        row = int(wrong[0]) if wrong.size else 0
        steps = np.diff(wavelength[row])
        place = int(np.flatnonzero(~(steps > 0))[0])
        pair = " and then ".join(f"{value:g}" for value in wavelength[row, place : place + 2])
        got = f"{pair} nm at channel {place + 1} of row {row}"
        raise RequestError(f"{path}: expected wavelengths of {name} to increase with the channel, got {got}")


def _check_values(path: Path, name: str, band: xr.Dataset) -> None:
    """Refuse a band of which no value is left; one is enough, and is mostly found in the first step."""
    light = band[_light(band)]
    if not any(np.isfinite(_read(path, light[step])).any() for step in range(light.sizes["mirror_step"])):
        got = f"{light.size} of {light.size} values flagged or fill"
        raise RequestError(f"{path}: expected at least one good {light.name} in {name}, got {got}")


def _light(band: xr.Dataset) -> str:
    return "irradiance" if "irradiance" in band.variables and "radiance" not in band.variables else "radiance"


def _read(path: Path, array: xr.DataArray) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(array.values)
    except (OSError, RuntimeError) as error:
        raise RequestError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from error


# Flags


def _masked(dataset: xr.Dataset, flags: Sequence[str]) -> xr.Dataset:
    """The same with NaN where flags are bad, of the floats that lie on the flags' dimensions."""
    if not flags:
        return dataset
    light = _light(dataset)
    whom: dict[Hashable, tuple[str, Sequence[str]]] = {}
    if _PIXEL_FLAG in dataset:
        whom = {key: (_PIXEL_FLAG, flags) for key in (light, f"{light}_error") if key in dataset}
    elif _COLUMN_FLAG in dataset:
        whom = {
            key: (_COLUMN_FLAG, (_BAD_COLUMN,))
            for key, variable in dataset.data_vars.items()
            if variable.dtype.kind == "f" and set(dataset[_COLUMN_FLAG].dims) <= set(variable.dims)
        }
    if not whom:
        return dataset
    out = dataset
    for key, (flag, meanings) in whom.items():
        variable = dataset[key].variable
        lazy = indexing.LazilyIndexedArray(_Flagged(variable, dataset[flag].variable, meanings))
        out = out.assign({key: xr.Variable(variable.dims, lazy, variable.attrs, variable.encoding)})
    out.set_close(dataset.close)
    return out


class _Flagged(BackendArray):
    """Values that are NaN where a flag has one of some meanings; read when they are asked for."""

    def __init__(self, values: xr.Variable, flag: xr.Variable, meanings: Sequence[str]) -> None:
        self.values, self.flag = values, flag
        self.shape, self.dtype = values.shape, values.dtype
        self.masks, self.numbers = _bits(flag, meanings)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        at = dict(zip(self.values.dims, key, strict=True))
        values = self.values.isel(at)
        flag = self.flag.isel({dim: at[dim] for dim in self.flag.dims})
        raw = flag.values
        fill = self.flag.attrs.get("_FillValue")  # of a flag, nothing is known: the value stands on its own
        known = np.ones(raw.shape, bool) if fill is None else raw != fill
        bad = known & ((raw & raw.dtype.type(self.masks) != 0) | np.isin(raw, self.numbers))
        return np.asarray(values.where(xr.Variable(flag.dims, ~bad)).values, self.dtype)  # type: ignore[no-untyped-call]


def _bits(flag: xr.Variable, meanings: Sequence[str]) -> tuple[int, list[int]]:
    """Bits, and values of flags that are no bits, that have one of some meanings, by the flag's own attributes."""
    names = str(flag.attrs.get("flag_meanings", "")).replace(",", " ").split()
    if "flag_masks" in flag.attrs:
        masks = np.atleast_1d(flag.attrs["flag_masks"])
        return int(sum(int(mask) for name, mask in zip(names, masks, strict=False) if name in meanings)), []
    values = np.atleast_1d(flag.attrs.get("flag_values", []))
    return 0, [int(value) for name, value in zip(names, values, strict=False) if name in meanings]
