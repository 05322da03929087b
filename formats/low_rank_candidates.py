"""What a low-rank variable may be made of, and the smallest of that under a bound.

Stage: source -> **low_rank_candidates** (anomaly, cp_als, quantised_factors, low_rank_store) -> low_rank_write. Every
candidate is written to memory as it would lie on disk, metadata included, and under a bound the smallest is kept, which
may be Pyramid alone. Predictions are read back through `StoredArray`, so that reader and writer cannot differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from adiabat.formats.chunks import blocks, choose_chunks
from adiabat.formats.low_rank_layout import attributes_of, files_of, write_group
from adiabat.formats.low_rank_store import StoredArray
from adiabat.formats.policy import Bound
from adiabat.formats.quantised_factors import FINEST, quantise
from adiabat.training.anomaly import Anomaly

if TYPE_CHECKING:
    from adiabat.formats.rank_selection import Selection
    from adiabat.training.cp_als import Fit

__all__ = ["FULL_RIDGE", "LIGHTER", "RIDGE", "SEARCHED", "SWEEPS", "WHOLE_RIDGE", "Candidate", "bounded"]
__all__ += ["silent", "unbounded"]

CODEC = "adiabat.low_rank"
RIDGE = 30.0  # of a fit to gaps, of a rank that is given
LIGHTER = (3.0, 0.3)  # tried where it leaves no component of a small array
FULL_RIDGE = 10.0  # of a fit that a residual follows
WHOLE_RIDGE = 0.1  # of a fit to an array without gaps, which nothing follows
SEARCHED = (10, 20, 60, 100, 160, 250, 400)  # ranks tried under a bound, beside 0
WORSE = 2  # candidates in a row that are larger than the best, until the search stops
BASE_SHARE = 0.12  # of the bound, for the base
BASE_ERROR = 0.1  # of the fit's RMSE, for a base that is rounded
SWEEPS = 40


@dataclass(frozen=True, eq=False)
class Candidate:
    """One variable as it would lie in the store.

    Parameters
    ----------
    name : str
    files : mapping of path to bytes
        Relative to the store.
    rank : int
        Components; 0: no factors, but what is removed before a fit, or nothing.
    rmse : float
        Of the values of the factors on observed cells, in their units.
    scale : float
        Standard deviation of observed values.
    low_rank : bool
        Whether it is a group of factors, and no array of Pyramid's.
    """

    name: str
    files: Mapping[str, bytes]
    rank: int
    rmse: float
    scale: float
    low_rank: bool

    @property
    def written_bytes(self) -> int:
        """All of them, metadata included."""
        return sum(map(len, self.files.values()))


def unbounded(
    array: xr.DataArray,
    values: NDArray[Any],
    rank: int,
    ridge: float = RIDGE,
    *,
    selection: Selection | None = None,
    view: str = "filled",
    tick: Any = None,
    transform: Any = "none",
    offset: bool = False,
    sweeps: int = SWEEPS,
    seed: int = 0,
) -> Candidate:
    """Factors alone, with the mask."""
    from adiabat.training.cp_als import fit

    name, observed = str(array.name or "values"), np.isfinite(values)
    anomaly = Anomaly.of(values, observed, transform=transform, offset=offset)
    made, rmse = None, 1.0
    if rank:
        x = anomaly.remove(values)
        made = fit(x, observed, rank=rank, ridge=ridge, sweeps=sweeps, seed=seed, progress=tick)
        rmse = made.history[-1].rmse
    memory = MemoryStore()
    write_group(
        zarr.open_group(memory, mode="w"),
        name,
        dims=[str(dim) for dim in array.dims],
        dtype=values.dtype,
        small=quantise(*_parts(made, values.shape), rmse=rmse),
        anomaly=_rounded(anomaly, rmse),
        attributes=attributes_of(array),
        observed=None if observed.all() else observed,
        view=view,
        about=_about(made, ridge, seed, selection),
    )
    stored = StoredArray(zarr.open_group(memory, mode="r", path=name), "filled")
    return Candidate(name, files_of(memory), stored.rank, _rmse(stored, values), _deviation(values), low_rank=True)


def bounded(
    array: xr.DataArray,
    bound: float,
    *,
    ranks: Sequence[int] = SEARCHED,
    chunks: tuple[int, ...] | None = None,
    ridge: float = FULL_RIDGE,
    view: str = "source",
    note: Any = None,
    tick: Any = None,
    transform: Any = "none",
    offset: bool = False,
    sweeps: int = SWEEPS,
    seed: int = 0,
) -> Candidate:
    """The smallest of Pyramid alone and of factors with a residual, over ranks."""
    from adiabat.training.cp_als import fit

    values, name, note = np.asarray(array.values), str(array.name or "values"), note or silent
    chunks = chunks or choose_chunks(array)
    best = _alone(array, values, bound, chunks)
    note(f"{name}: Pyramid alone takes {best.written_bytes} bytes")
    observed = np.isfinite(values)
    inner = _inner(values, observed, bound)
    if inner <= 0 or not observed.any():
        return best
    anomaly = Anomaly.of(values, observed, transform=transform, offset=offset)
    x, made, worse = anomaly.remove(values), None, 0
    for rank in (rank for rank in ranks if rank):
        made = fit(x, observed, rank=rank, ridge=ridge, sweeps=sweeps, seed=seed, start=made, progress=tick)
        small = quantise(made.weights, made.factors, rmse=made.history[-1].rmse)
        tried = _with_residual(
            array, values, small, anomaly, bound, inner, chunks, view, _about(made, ridge, seed, None)
        )
        if tried is not None:
            note(f"{name}: rank {rank} with its residual takes {tried.written_bytes} bytes")
        worse = 0 if tried is not None and tried.written_bytes < best.written_bytes else worse + 1
        best = min(best, tried or best, key=lambda each: each.written_bytes)
        if worse == WORSE:
            break
    return best


def _with_residual(
    array: xr.DataArray,
    values: NDArray[Any],
    small: Any,
    anomaly: Anomaly,
    bound: float,
    inner: float,
    chunks: tuple[int, ...],
    view: str,
    about: Mapping[str, Any],
) -> Candidate | None:
    """Factors and what they leave, under the bound; None where a value that was read back does not keep it."""
    if not small.rank:
        return None
    name, memory = str(array.name or "values"), MemoryStore()
    attributes = attributes_of(array) | {"adiabat": _provenance({"abs": bound})}
    residual = {
        "bound": {"abs": bound},
        "chunks": chunks,
        "dtype": np.float64 if values.dtype.itemsize == 8 else np.float32,
        "serializer": _pyramid(inner),
        "base": _pyramid(BASE_SHARE * bound if anomaly.transform == "none" else FINEST * anomaly.scale),
    }
    group = write_group(
        zarr.open_group(memory, mode="w"),
        name,
        dims=[str(dim) for dim in array.dims],
        dtype=values.dtype,
        small=small,
        anomaly=anomaly,
        attributes=attributes,
        residual=residual,
        view=view,
        about=about,
    )
    stored, target = StoredArray(group, "filled"), group["residual"]
    for region, x, x_hat in _read_back(stored, values, chunks):
        target[region] = (x - x_hat).astype(target.dtype)  # type: ignore[index, union-attr]
    if not _holds(StoredArray(group, "source"), values, chunks, bound):
        return None
    return Candidate(name, files_of(memory), small.rank, _rmse(stored, values), _deviation(values), low_rank=True)


def _alone(array: xr.DataArray, values: NDArray[Any], bound: float, chunks: tuple[int, ...]) -> Candidate:
    """An array of Pyramid's, as an archive has it."""
    name, memory = str(array.name or "values"), MemoryStore()
    attributes = attributes_of(array) | {"adiabat": _provenance({"abs": bound}, "adiabat.pyramid")}
    with zarr.config.set({"json_indent": None}):
        made = zarr.open_group(memory, mode="w").create_array(
            name,
            shape=values.shape,
            chunks=chunks,
            dtype=values.dtype,
            serializer=_pyramid(bound),
            compressors=None,
            fill_value=np.nan,
            dimension_names=[str(dim) for dim in array.dims],
            attributes=attributes,
        )
    for region in blocks(values.shape, chunks):
        made[region] = values[region]
    return Candidate(name, files_of(memory), 0, math.nan, _deviation(values), low_rank=False)


def _parts(made: Fit | None, shape: tuple[int, ...]) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    return (np.zeros(0), [np.zeros((n, 0)) for n in shape]) if made is None else (made.weights, list(made.factors))


def _about(made: Fit | None, ridge: float, seed: int, selection: Selection | None) -> dict[str, Any]:
    about: dict[str, Any] = {"adiabat": version("adiabat"), "ridge": ridge, "seed": seed}
    about |= (
        {"sweeps": made.sweeps, "rmse": round(made.history[-1].rmse, 6)} if made is not None and made.history else {}
    )
    return about | ({"selection": selection.about()} if selection is not None else {})


def _rounded(anomaly: Anomaly, rmse: float) -> Anomaly:
    """Base and offset as multiples of a power of two that is small beside the fit's error: their last bits are zero."""
    step = BASE_ERROR * max(rmse, FINEST) * anomaly.scale * math.sqrt(12)
    unit = 2.0 ** math.floor(math.log2(step))
    base = (np.rint(anomaly.base / unit) * unit).astype(np.float32)
    offset = None if anomaly.offset is None else (np.rint(anomaly.offset / unit) * unit).astype(np.float32)
    return replace(anomaly, base=base, offset=offset)


def _inner(values: NDArray[Any], observed: NDArray[np.bool_], bound: float) -> float:
    """The residual's bound: narrower by the rounding of the residual and of the sum, and by that of another machine."""
    largest = float(np.abs(values, where=observed, out=np.zeros(values.shape)).max(initial=0)) + bound
    inner = bound - 2 * float(np.finfo(values.dtype).eps) * largest
    return inner if inner > 0.9 * bound else 0.0


def _read_back(
    stored: StoredArray, values: NDArray[Any], chunks: tuple[int, ...]
) -> Iterator[tuple[tuple[slice, ...], NDArray[np.float64], NDArray[np.float64]]]:
    """Part by part: where, the values there, and what the store gives for them, both in float64."""
    for region in blocks(values.shape, chunks, at_once=1):
        x_hat = stored.outer([np.arange(part.start, part.stop) for part in region])
        yield region, values[region].astype(np.float64), x_hat.astype(np.float64)


def _holds(stored: StoredArray, values: NDArray[Any], chunks: tuple[int, ...], bound: float) -> bool:
    for _, x, x_hat in _read_back(stored, values, chunks):
        finite = np.isfinite(x)
        with np.errstate(invalid="ignore"):
            kept = np.abs(x - x_hat) <= bound
        if not (kept | ~finite).all() or not np.array_equal(x[~finite], x_hat[~finite], equal_nan=True):
            return False
    return True


def _rmse(stored: StoredArray, values: NDArray[Any]) -> float:
    total, count = 0.0, 0
    for _, x, x_hat in _read_back(stored, values, stored.chunks):
        error = (x - x_hat)[np.isfinite(x)]
        total, count = total + float(error @ error), count + error.size
    return math.sqrt(total / max(1, count))


def _deviation(values: NDArray[Any]) -> float:
    return (
        float(np.std(values, where=np.isfinite(values), dtype=np.float64)) or 1.0 if np.isfinite(values).any() else 1.0
    )


def _provenance(bound: Bound, codec: str = CODEC) -> str:
    return json.dumps({"codec": codec, "version": version("adiabat"), "bound": bound})


def _pyramid(bound: float) -> dict[str, Any]:
    return {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": bound}}}


def silent(sentence: str) -> None:
    """Say nothing."""
