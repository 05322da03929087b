"""Which field is compared: a variable of what `adiabat compress` opens, or of a .npy file; a part or a sample of it.

Stage: the entrance of `compare`. Nothing is read but what is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError
from adiabat.formats.policy import is_flag
from adiabat.formats.store_paths import join_path

__all__ = ["MOST", "ComparedField", "choose_variable", "opened", "sampled", "selected"]

MOST = 1 << 24  # values that are compared unless all are asked for
FEW = 4096


@dataclass(frozen=True)
class ComparedField:
    """What is compared.

    Parameters
    ----------
    array : xarray.DataArray
        With its attributes and coordinates; values are read when asked for.
    notes : tuple of str
        Sentences on what was chosen.
    """

    array: xr.DataArray
    notes: tuple[str, ...] = ()

    def values(self) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Read: as float32, and with notes on what that changed.

        Raises
        ------
        RequestError
            If every value is missing.
        """
        values, notes = self.array.values, list(self.notes)
        if values.dtype.itemsize > 4:
            notes.append(f"{self.array.name} is {values.dtype}, compared as float32")
        with np.errstate(over="ignore"):
            x = np.ascontiguousarray(values, np.float32)
        known = int(np.isfinite(x).sum())
        if not known:
            raise RequestError(f"every value of {self.array.name} is missing: there is nothing to compare")
        if known < x.size:
            notes.append(
                f"{x.size - known:,} of {x.size:,} values are missing: peers got them filled smoothly, and bytes of "
                "their mask are counted"
            )
        if x.size < FEW:
            notes.append(f"only {x.size:,} values: heads of files decide, and speeds mean nothing")
        return x, tuple(notes)


@contextmanager
def opened(paths: Sequence[str], group: str | None = None) -> Iterator[tuple[dict[str, xr.Dataset], list[str]]]:
    """Datasets by the paths of their groups, and notes on what was found.

    Raises
    ------
    RequestError
        If something cannot be opened.
    """
    if len(paths) == 1 and paths[0].endswith(".npy"):
        yield {"/": _numpy_file(Path(paths[0]))}, []
        return
    from adiabat.formats.sources import find_source

    source, notes = find_source(list(paths), group=group)
    datasets = source.open()
    try:
        yield datasets, notes
    finally:
        for dataset in datasets.values():
            dataset.close()


def _numpy_file(path: Path) -> xr.Dataset:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RequestError(f"there is no {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise RequestError(f"{path} is not a whole .npy file of numbers: {error}") from None
    dims = tuple(f"axis_{number}" for number in range(values.ndim))
    return xr.Dataset({path.stem: xr.Variable(dims, values)})


def choose_variable(datasets: dict[str, xr.Dataset], name: str | None = None) -> tuple[xr.DataArray, str]:
    """The variable of this name, or the first float field of two or more dimensions.

    Returns
    -------
    xarray.DataArray
    str
        Its name, behind the path of its group.

    Raises
    ------
    RequestError
        If there is none, with those that there are.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((2, 3), "f4"), dims=("y", "x"))
    >>> choose_variable({"/": xr.Dataset({"count": field.astype(int), "t": field})})[1]
    't'
    """
    fields = {
        join_path(path.strip("/"), str(each)): dataset[each]
        for path, dataset in datasets.items()
        for each in dataset.data_vars
    }
    usable = [key for key, each in fields.items() if each.dtype.kind == "f" and each.ndim >= 2 and each.size]
    there = f"float fields of two or more dimensions: {', '.join(usable[:20]) or 'none'}"
    if name is None:
        if not usable:
            raise RequestError(f"there is nothing to compare; {there}")
        plain = [key for key in usable if not is_flag(fields[key])]
        chosen = (plain or usable)[0]
        return fields[chosen], chosen
    found = [key for key in fields if key == name.strip("/") or key.rpartition("/")[2] == name]
    if not found:
        raise RequestError(f"there is no variable {name!r}; {there}")
    array = fields[found[0]]
    if array.dtype.kind != "f":
        raise RequestError(f"{name} holds {array.dtype}, not floats, and is kept exactly; {there}")
    if array.ndim < 2 or not array.size:
        raise RequestError(f"{name} has shape {array.shape}: a field has at least two dimensions; {there}")
    return array, found[0]


def selected(array: xr.DataArray, text: str | None) -> xr.DataArray:
    """A part, by indices: ``time=0:24,level=3``.

    Raises
    ------
    RequestError
        For what is not such a choice, or leaves less than two dimensions.

    Examples
    --------
    >>> selected(xr.DataArray(np.zeros((9, 3, 4)), dims=("time", "y", "x")), "time=0:9:2").shape
    (5, 3, 4)
    """
    take: dict[str, int | slice] = {}
    for part in filter(None, (text or "").split(",")):
        dim, equals, where = part.strip().partition("=")
        if not equals or dim not in array.dims:
            dims = ", ".join(f"{each} ({size})" for each, size in array.sizes.items())
            raise RequestError(f"{part!r} selects nothing of {array.name}: write DIM=3 or DIM=0:24, with DIM of {dims}")
        take[dim] = _place(where, part, array.sizes[dim])
    out = array.isel(take)
    if out.ndim < 2 or not out.size:
        raise RequestError(f"{text!r} leaves {out.name} with shape {out.shape}: a field has at least two dimensions")
    return out


def _place(where: str, part: str, size: int) -> int | slice:
    try:
        ends = [int(each) if each else None for each in where.split(":")]
    except ValueError:
        ends = []
    if not 1 <= len(ends) <= 3 or (len(ends) == 1 and ends[0] is None):
        raise RequestError(f"{part!r} is no choice of indices: write DIM=3, DIM=0:24 or DIM=0:24:6")
    if len(ends) > 1:
        return slice(*ends)
    index = int(ends[0] or 0)
    if not -size <= index < size:
        raise RequestError(f"{part!r} is outside: there are {size}, numbered from 0")
    return index


def sampled(array: xr.DataArray, most: int = MOST) -> tuple[xr.DataArray, list[str]]:
    """At most so many values: fewer steps along leading axes first, from the middle, then smaller frames.

    Examples
    --------
    >>> array = xr.DataArray(np.zeros((10, 4, 50, 50), "f4"), dims=("time", "level", "y", "x"))
    >>> sampled(array, 30_000)[1]
    ['a sample, time=3:6, 30,000 of 100,000 values: --all takes all of them']
    """
    if array.size <= most:
        return array, []
    take: dict[Any, slice] = {}
    sizes = dict(array.sizes)
    for dim in array.dims:  # what comes first changes least from file to file
        rest = math.prod(sizes[other] for other in array.dims if other != dim)
        if rest * sizes[dim] <= most:
            break
        length = (
            max(1, most // rest) if dim not in array.dims[-2:] else max(1, min(sizes[dim], _side(sizes, array, most)))
        )
        if length < sizes[dim]:
            first = (sizes[dim] - length) // 2
            take[dim] = slice(first, first + length)
            sizes[dim] = length
    out = array.isel(take)
    where = ",".join(f"{dim}={part.start}:{part.stop}" for dim, part in take.items())
    return out, [f"a sample, {where}, {out.size:,} of {array.size:,} values: --all takes all of them"]


def _side(sizes: dict[Any, int], array: xr.DataArray, most: int) -> int:
    """Of a frame that is cut: rows for which all columns fit, if those are many, else a square."""
    y, x = (sizes[dim] for dim in array.dims[-2:])
    return max(most // x, min(y, math.isqrt(most)))
