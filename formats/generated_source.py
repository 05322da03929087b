"""What a generated view is made from: the coarse array, found and checked, and the recipe that suits it.

Stage: cli_generate -> **generated_source** -> generated_write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import roughness
from adiabat.formats.downscaling import Settings
from adiabat.formats.errors import RequestError
from adiabat.formats.fine_grid import check_grid, fine_axes, goes_round
from adiabat.formats.generated import MARK, Recipe
from adiabat.formats.likeness import gains_of, likeness
from adiabat.formats.metadata import CHILD
from adiabat.formats.reading import stored_blocks
from adiabat.formats.sources import open_source
from adiabat.formats.sources.cf import is_zarr

if TYPE_CHECKING:
    from adiabat.codec.downscaler_model import DownscalerModel

__all__ = ["Coarse", "make_recipe", "open_coarse", "open_like"]

Progress = Callable[[str, int], None]
"""Called with a variable's name and how many more of its values are read; may raise to stop."""


@dataclass(frozen=True)
class Coarse:
    """What generated values are made from.

    Parameters
    ----------
    dataset : xarray.Dataset
        The variable, lazy, and its coordinates with their bounds; times undecoded.
    name : str
        Of the variable.
    source : path
    group : str
        Inside the source.
    """

    dataset: xr.Dataset
    name: str
    source: Path
    group: str

    @property
    def array(self) -> xr.DataArray:
        """The variable."""
        return self.dataset[self.name]

    @property
    def folder(self) -> Path | None:
        """Where arrays lie that can be copied as they are; None if they do not."""
        folder = self.source / self.group
        return folder if all(_is_array(folder / str(name)) for name in self.dataset.variables) else None


def open_coarse(source: str | Path, variable: str | None = None, group: str | None = None) -> Coarse:
    """Find the coarse array, lazily, and refuse what cannot be refined.

    Parameters
    ----------
    source : path
    variable : str, optional
        The only field there is, if not given.
    group : str, optional
        Inside the source; of a store with its arrays in a child group, that.

    Raises
    ------
    RequestError
        Saying what is expected.

    Examples
    --------
    >>> xr.Dataset({"t": (("y", "x"), np.zeros((5, 6)))}).to_zarr("t.zarr", zarr_format=2)  # doctest: +ELLIPSIS
    <xarray.backends.zarr.ZarrStore ...>
    >>> open_coarse("t.zarr").array.shape
    (5, 6)
    """
    source = Path(source)
    if group is None and is_zarr(source / CHILD):
        group = CHILD
    dataset = open_source(source, group=group)
    fields = [str(name) for name, each in dataset.data_vars.items() if each.dtype.kind == "f" and each.ndim >= 2]
    if variable is None and len(fields) != 1:
        raise RequestError(f"choose one with --variable: {', '.join(fields) or 'there is no float field'}")
    name = variable or fields[0]
    if name in dataset.variables and name not in fields:
        there = dataset[name]
        raise RequestError(
            f"expected a field of floats, got {name} of {there.dtype}, {there.ndim} dimensions"
            f"{' of times' if ' since ' in str(there.attrs.get('units', '')) else ''}"
        )
    if name not in fields:
        raise RequestError(f"there is no variable {name!r}; the float fields: {', '.join(fields) or 'none'}")
    array = dataset[name]
    if MARK in array.attrs:
        raise RequestError(f"{name} was generated already: generate from the array it was made from")
    check_grid(array)
    coordinates = [str(key) for key in array.coords]
    bounds = [dataset[key].attrs.get("bounds") for key in coordinates]
    kept = {name, *coordinates, *(each for each in bounds if each in dataset.variables)}
    return Coarse(dataset.drop_vars(set(dataset.variables) - kept), name, source, group or "")


def open_like(source: str | Path, name: str) -> xr.DataArray:
    """Find fine fields of the same name, or the only ones there are; RequestError as `open_coarse`, or without any."""
    there = open_source(Path(source)).variables
    return open_coarse(source, name if name in there else None).array


def make_recipe(
    coarse: Coarse,
    network: DownscalerModel,
    factor: int | None,
    asked: Mapping[str, Any],
    *,
    like: xr.DataArray | None = None,
    progress: Progress | None = None,
) -> Recipe:
    """Say how fine values are made; reads the whole coarse array once.

    Parameters
    ----------
    coarse : Coarse
    network : DownscalerModel
    factor : int, optional
        If not given, the smallest that the model knows; with texture the largest, since small blocks hold too much.
    asked : mapping
        ``kind``, ``seed``, ``samples``, ``steps`` and ``persistence`` of the `Recipe`.
    like : xarray.DataArray, optional
        Fine fields of the same variable, of other times or places, that tell its grain.
    progress : callable, optional
        See `Progress`.

    Raises
    ------
    RequestError
        If the model does not know the factor, a bound is missing, or values are not finite.
    """
    known = sorted(network.factors)
    if factor is None:
        factor = known[-1 if asked["kind"] == "texture" else 0]
    if factor not in known:
        raise RequestError(f"the model knows the factors {', '.join(map(str, known))}, not {factor}")
    array = coarse.array
    rows, columns = array.dims[-2:]
    texture = asked["kind"] == "texture"
    if not texture:
        fine_axes(array, (rows, columns), factor)  # refuses
    bound = _bound_of(array) if texture else None
    shape = array.shape[-2], array.shape[-1]
    scale, least = _survey(array, factor if texture else 1, progress or (lambda *_: None))
    found: dict[str, Any] = {"scale": scale, "non_negative": least >= 0, "wrap": goes_round(array), "bound": bound}
    if like is not None:
        told = likeness(like, factor)
        found["grain"] = told.grain
        if asked["kind"] == "samples":
            settings = Settings(
                factor, scale, seed=asked["seed"], steps=asked["steps"], non_negative=least >= 0, grain=told.grain
            )
            found["gains"] = gains_of(array, network, settings, told.spread)
    try:
        return Recipe(model=network.sha256, factor=factor, shape=shape, **found, **asked)
    except ValueError as error:
        raise RequestError(str(error)) from None


def _bound_of(array: xr.DataArray) -> float:
    """The absolute bound that the store states."""
    try:
        bound = json.loads(str(array.attrs["adiabat"]))["bound"]
        if set(bound) == {"abs"} and isinstance(bound["abs"], int | float):
            return float(bound["abs"])
    except (KeyError, TypeError, ValueError, RecursionError):
        pass
    raise RequestError(
        f"texture needs a store of adiabat in which {array.name} has one absolute bound: adiabat compress SRC DST "
        f"--bound {array.name}=abs:X"
    )


def _survey(array: xr.DataArray, side: int, told: Progress) -> tuple[float, float]:
    """Roughness over all frames, and the least value; of means over blocks where `side` is above 1."""
    rough, least, count = 0.0, math.inf, 0
    for block in stored_blocks(array):
        values = np.asarray(block.values, np.float64)
        if np.isinf(values).any():
            raise RequestError(f"{array.name} holds infinite values, which cannot be refined")
        told(str(array.name), values.size)
        finite = np.isfinite(values)
        if not finite.any():
            continue
        least = min(least, float(values[finite].min()))
        if side > 1:
            height, width = (length // side * side for length in values.shape[-2:])
            values = block_means(values[..., :height, :width], side)
        rough, count = rough + roughness(values) ** 2 * values.size, count + values.size
    if not count:
        raise RequestError(f"{array.name} holds no value at all")
    return math.sqrt(rough / count), least


def _is_array(folder: Path) -> bool:
    """Whether an array of Zarr v3 lies there, not in factors."""
    try:
        metadata = json.loads((folder / "zarr.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(metadata.get("node_type") == "array")
