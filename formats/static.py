"""Static fields, such as orography: from a file to a variable's grid, and beside the arrays of a store.

Stage: planning (`open_static`, `fit_statics`) and writing (`keep_statics`). Streams name such a field by the SHA-256 of
its file; the store keeps that file in the group ``.adiabat``, from where ``adiabat models add STORE`` takes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from adiabat.codec.cached import cached_property
from adiabat.formats.errors import RequestError
from adiabat.formats.grid import Grid, lay
from adiabat.formats.sources.cf import open_source

ABOUT = "Static fields that streams of this store were predicted from, each a NumPy file named by its SHA-256."
ADVICE = "Where they are missing, adiabat models add STORE copies them into the cache of the reader."


@dataclass(frozen=True)
class StaticField:
    """A field that does not change with time, as its file has it.

    Parameters
    ----------
    label : str
        What to call it.
    values : xarray.DataArray
        Of two axes, with its coordinates if it has any.
    """

    label: str
    values: xr.DataArray = field(repr=False)


@dataclass(frozen=True)
class StaticFile:
    """A static field on the grid of a variable, as encoder and decoder read it.

    Parameters
    ----------
    label : str
        Of the field it was made from.
    data : bytes
        Of the file.
    """

    label: str
    data: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """The name by which streams know it."""
        return hashlib.sha256(self.data).hexdigest()


def open_static(text: str) -> StaticField:
    """Read a field as it is named on the command line.

    Parameters
    ----------
    text : str
        ``FILE``, if it holds one field of two axes, or ``FILE:VARIABLE``. NetCDF, GRIB, Zarr or ``.npy``.

    Returns
    -------
    StaticField

    Raises
    ------
    RequestError
        If there is no such field, or it has other than two axes longer than 1.
    """
    path, name = _split(text)
    if path.suffix == ".npy":
        return StaticField(path.name, _flat(_load(path), text))
    with open_source(path) as dataset:
        values = dataset[_only_field(dataset, path)] if name is None else _named(dataset, name, path)
        return StaticField(f"{path.name}:{values.name}", _flat(values, text).load())


def fit_statics(array: xr.DataArray, statics: Sequence[StaticField]) -> tuple[StaticFile, ...]:
    """Lay static fields on the grid of a variable; those of another grid are left out.

    Raises
    ------
    RequestError
        If a field is on the grid, but has values that are not finite.
    """
    if array.ndim < 2 or min(array.shape[-2:]) < 2:
        return ()
    files = (_fit(array, each) for each in statics)
    return tuple({file.sha256: file for file in files if file is not None}.values())


def check_whole(array: xr.DataArray, chunks: Sequence[int]) -> None:
    """Refuse static fields for a variable whose frames are cut: a Zarr codec is not told where a tile lies.

    Raises
    ------
    RequestError
        Saying what to ask for instead.
    """
    whole = array.shape[-2:]
    if tuple(chunks[-2:]) != whole:
        advice = " ".join(f"--chunk {dim}={size}" for dim, size in zip(array.dims[-2:], whole, strict=True))
        tiles = " x ".join(map(str, chunks[-2:]))
        raise RequestError(f"static fields need whole frames, and {array.name} is cut into {tiles}: write {advice}")


def check_used(arrays: Iterable[xr.DataArray], statics: Sequence[StaticField], files: Iterable[StaticFile]) -> None:
    """Refuse a static field that is on the grid of no compressed variable.

    Raises
    ------
    RequestError
        Saying which grids there are.
    """
    used = {file.label for file in files}
    grids = {str(Grid.of(array)): array.name for array in reversed(list(arrays)) if array.ndim >= 2}
    there = "; ".join(f"{name} is on {grid}" for grid, name in grids.items()) or "no variable is compressed"
    for each in statics:
        if each.label not in used:
            raise RequestError(f"static field {each.label} is on {Grid.of(each.values)}, but {there}")


def keep_statics(files: Iterable[StaticFile], store: Path) -> None:
    """Put static fields into this machine's cache, where encoding finds them, and into the store."""
    from adiabat.codec.models import STORE_FOLDER
    from adiabat.codec.statics import SUFFIX, add_static

    distinct = {file.sha256: file for file in files}
    if not distinct:
        return
    # A group of its own: Zarr warns of folders that it does not know.
    zarr.open_group(store, mode="r+").create_group(STORE_FOLDER, attributes={"about": f"{ABOUT} {ADVICE}"})
    for sha256, file in distinct.items():
        add_static(file.data)
        (store / STORE_FOLDER / f"{sha256}{SUFFIX}").write_bytes(file.data)


def _fit(array: xr.DataArray, static: StaticField) -> StaticFile | None:
    from adiabat.codec.statics import static_file

    laid = lay(static.values, Grid.of(array))
    if laid is None:
        return None
    gaps = laid.size - int(np.isfinite(laid).sum())
    if gaps:
        raise RequestError(
            f"static field {static.label} has {gaps} values that are not finite on the grid of {array.name}: "
            "fill them first"
        )
    return StaticFile(static.label, static_file(laid))


def _split(text: str) -> tuple[Path, str | None]:
    """Tell file and variable apart; a file's own name may hold a colon."""
    before, colon, name = text.rpartition(":")
    if Path(text).exists() or not colon or not before:
        return Path(text), None
    return Path(before), name


def _load(path: Path) -> xr.DataArray:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = "there is no such file" if not path.exists() else str(error).partition("\n")[0]
        raise RequestError(f"static field {path} cannot be read: {reason}") from None
    return xr.DataArray(values)


def _named(dataset: xr.Dataset, name: str, path: Path) -> xr.DataArray:
    if name not in dataset.variables:
        there = ", ".join(map(str, dataset.data_vars))
        raise RequestError(f"there is no variable {name!r} in {path}; it holds: {there}")
    return dataset[name]


def _only_field(dataset: xr.Dataset, path: Path) -> str:
    """Name the only variable of two axes."""
    fields = [str(name) for name, array in dataset.data_vars.items() if array.squeeze().ndim == 2]
    if len(fields) != 1:
        there = f"several, choose one with --static {path}:VARIABLE: {', '.join(fields)}" if fields else "none"
        raise RequestError(f"expected {path} to hold one field of two axes, got {there}")
    return fields[0]


def _flat(array: xr.DataArray, text: str) -> xr.DataArray:
    """Drop axes of length 1."""
    flat = array.squeeze()
    if flat.ndim != 2 or flat.dtype.kind not in "fiub":
        axes = " x ".join(map(str, array.shape)) or "none"
        raise RequestError(f"expected --static {text} to name numbers on two axes, got {array.dtype} on axes {axes}")
    return flat
