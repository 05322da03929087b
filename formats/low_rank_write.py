"""Write arrays as low-rank stores: rank found or given, coordinates beside, whole or not at all.

Stage: source -> rank_selection -> low_rank_candidates -> **low_rank_write** -> xarray_backend.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from adiabat.formats.archive import write as write_archive
from adiabat.formats.checksums import write_checksums
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import MARK
from adiabat.formats.low_rank_candidates import (
    FULL_RIDGE,
    LIGHTER,
    RIDGE,
    SEARCHED,
    SWEEPS,
    WHOLE_RIDGE,
    Candidate,
    bounded,
    silent,
    unbounded,
)
from adiabat.formats.low_rank_layout import mark
from adiabat.formats.metadata import README, consolidate
from adiabat.formats.plan import VariablePlan
from adiabat.formats.policy import Bound
from adiabat.formats.workspace import in_place_of

if TYPE_CHECKING:
    from adiabat.formats.rank_selection import Selection

__all__ = ["Written", "write", "write_dataset"]


@dataclass(frozen=True)
class Written:
    """What came of a variable.

    Parameters
    ----------
    name : str
    rank : int
        Components in the store; 0: Pyramid alone took fewer bytes.
    ridge : float
    nrmse : float
        Of the factors' values on observed cells, over the standard deviation of these; NaN where no factors are.
    cells, observed : int
    written_bytes : int
        Of the variable, metadata included; coordinates are not.
    selection : Selection, optional
        How rank and ridge were found.
    """

    name: str
    rank: int
    ridge: float
    nrmse: float
    cells: int
    observed: int
    written_bytes: int
    selection: Selection | None = None


def write(
    array: xr.DataArray,
    store: str | Path,
    *,
    rank: int | str = "auto",
    bound: Bound | None = None,
    ridge: float | None = None,
    transform: str = "none",
    offset: bool = False,
    sweeps: int = SWEEPS,
    seed: int = 0,
    view: str | None = None,
    journal: Path | None = None,
    overwrite: bool = False,
    command: str = "adiabat.formats.low_rank.write",
    progress: Callable[[str], None] | None = None,
    tick: Callable[..., None] | None = None,
) -> Written:
    """Fit CP factors to an array and write them as a store.

    Parameters
    ----------
    array : xarray.DataArray
        Floats of two axes or more; the mean over the first is modelled apart. NaN: not observed.
    store : path
        Should end in ``.cp.zarr``, by which xarray knows it.
    rank : int or "auto"
        Components. ``auto``: with a bound the one that takes fewest bytes, else the one that fills cells best that are
        held out by the cloud patterns of other days.
    bound : {"abs": x}, optional
        What observed cells keep to; a residual is stored for it.
    ridge : float, optional
        Of the fit, in units of standardised anomalies; chosen with the rank where that is ``auto``, or else 30, and
        less where that leaves no component; where nothing is missing 0.1, with a bound 10.
    transform : {"none", "log"}
    offset : bool
        Whether each index of the first axis has a mean of its own.
    sweeps, seed : int
    view : {"filled", "corrected", "source"}, optional
        What a reader gets who asks for nothing; by default ``filled``, and ``corrected`` with a bound.
    journal : path, optional
        Where finished scores of the selection are kept until the store stands.
    overwrite : bool
    command : str
        For the ``history`` attribute.
    progress : callable, optional
        Called with a sentence about each step.
    tick : callable, optional
        Called after each sweep of a fit; may raise to stop.

    Returns
    -------
    Written

    Raises
    ------
    RequestError
        If the request cannot be carried out; nothing is written then.

    Examples
    --------
    >>> values = np.add.outer(np.sin(np.arange(40)), np.linspace(0, 1, 12))[:, :, None] * np.ones(9)
    >>> cube = xr.DataArray(values.astype("f4"), dims=("time", "lat", "lon"), name="t")
    >>> write(cube, "t.cp.zarr", rank=1).rank
    1
    >>> filled = xr.open_dataset("t.cp.zarr", engine="adiabat").t
    >>> bool(np.abs(filled - cube).max() < 0.01)
    True
    """
    values = _checked(array, rank, bound, transform)
    name = str(array.name or "values")
    selection = None
    options: dict[str, Any] = {"transform": transform, "offset": offset, "sweeps": sweeps, "seed": seed}
    note = progress or silent
    if bound is not None:
        ranks = SEARCHED if rank == "auto" else (int(rank),)
        used = FULL_RIDGE if ridge is None else ridge
        best = bounded(
            array,
            _size(bound),
            ranks=ranks,
            ridge=used,
            view=view or "corrected",
            note=note,
            tick=tick,
            **options,
        )
    else:
        if rank == "auto":
            selection = _select(array, values, options, ridge, journal, note, tick)
            rank, ridge = selection.rank, selection.ridge
        trials = (ridge,) if ridge is not None else (WHOLE_RIDGE if np.isfinite(values).all() else RIDGE, *LIGHTER)
        options |= {"selection": selection, "view": view or "filled", "tick": tick}
        for used in trials:
            best = unbounded(array, values, int(rank), used, **options)
            if best.rank or not rank:
                break
            note(f"{name}: ridge {used:g} leaves no component")
        note(f"{name}: rank {best.rank} takes {best.written_bytes} bytes")
    rest = array.coords.to_dataset()
    rest.attrs = {}
    write_dataset(rest, [], [best], store, overwrite=overwrite, command=command)
    if journal is not None:
        journal.unlink(missing_ok=True)
    observed = int(np.isfinite(values).sum())
    nrmse = best.rmse / best.scale if best.low_rank else math.nan
    return Written(name, best.rank, used, nrmse, values.size, observed, best.written_bytes, selection)


def write_dataset(
    rest: xr.Dataset,
    plan: Sequence[VariablePlan],
    candidates: Sequence[Candidate],
    target: str | Path,
    *,
    overwrite: bool = False,
    command: str,
    progress: Any = None,
) -> None:
    """Write a store of low-rank variables beside others: under another name, then one rename."""
    with in_place_of(Path(target), overwrite=overwrite) as path:
        write_archive(rest, plan, path, command=command, progress=progress)
        for candidate in candidates:
            for name, data in candidate.files.items():
                file = path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        _consolidate(path, [each.name for each in candidates if each.low_rank])


def _size(bound: Bound) -> float:
    """The number in an absolute bound."""
    size = bound.get("abs") if isinstance(bound, dict) and set(bound) == {"abs"} else None
    if not isinstance(size, int | float | np.integer | np.floating) or not 0 < size < math.inf:
        raise RequestError(f"expected bound={{'abs': x}} for factors and a residual, got {bound!r}")
    return float(size)


def _checked(array: xr.DataArray, rank: int | str, bound: Bound | None, transform: str) -> NDArray[Any]:
    """The values, once it is sure that they can be fitted."""
    if array.ndim < 2 or array.dtype.kind != "f":
        raise RequestError(f"expected floats of two axes or more, got {array.dtype} of shape {array.shape}")
    if isinstance(rank, bool) or not (rank == "auto" or (isinstance(rank, int | np.integer) and rank >= 0)):
        raise RequestError(f"expected a rank of at least 0, or 'auto', got {rank!r}")
    if MARK in array.attrs:
        raise RequestError(f"{array.name} was generated by a model and is no data, so no factors are fitted to it")
    if bound is not None:
        _size(bound)
    if transform not in ("none", "log"):
        raise RequestError(f"expected transform 'none' or 'log', got {transform!r}")
    values = np.asarray(array.values, array.dtype.newbyteorder("="))
    observed = np.isfinite(values)
    if not observed.any() and bound is None:
        raise RequestError(f"{array.name} holds no finite value to fit")
    if rank == "auto" and bound is None and observed.all():
        raise RequestError("nothing is missing, so no gap can be held out to find the rank: give --rank or --bound")
    if transform == "log" and not (values[observed] > 0).any():
        raise RequestError(f"{array.name} holds no positive value, which the transform 'log' needs")
    return values


def _select(
    array: xr.DataArray,
    values: NDArray[Any],
    options: Mapping[str, Any],
    ridge: float | None,
    journal: Path | None,
    note: Any,
    tick: Any,
) -> Selection:
    from adiabat.formats.rank_selection import select_rank

    fitting = {"transform": options["transform"], "offset": options["offset"]}
    return select_rank(
        values,
        ridges=None if ridge is None else (float(ridge),),
        sweeps=options["sweeps"],
        seed=options["seed"],
        anomaly=fitting,
        days=_days(array),
        journal=journal,
        note=note,
        tick=tick,
    )


def _days(array: xr.DataArray) -> NDArray[np.float64] | None:
    """Numbers of the days, where the first dimension is of decoded times."""
    dim = array.dims[0]
    if dim not in array.coords or array.coords[dim].dtype.kind != "M":
        return None
    times = array.coords[dim].values
    return np.asarray((times - times[0]) / np.timedelta64(1, "D"), np.float64)


def _consolidate(path: Path, names: Sequence[str]) -> None:
    """Mark the root, and take the archive's copy of all metadata out of it; a store without factors has it made anew.

    With codecs of ours in it, that copy would keep a plain Zarr reader from the factors.
    """
    if not names:
        consolidate(path)
        return
    root = json.loads((path / "zarr.json").read_text())
    root.pop("consolidated_metadata", None)
    (path / README).unlink(missing_ok=True)  # Zarr warns of it where metadata are not consolidated
    (path / "zarr.json").write_text(json.dumps(root))
    mark(zarr.open_group(path, mode="r+"), names)
    write_checksums(path)
