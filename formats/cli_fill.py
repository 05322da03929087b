"""The verb `adiabat fill`, and the choice of low-rank variables in `adiabat compress`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.plan import VariablePlan

if TYPE_CHECKING:
    from adiabat.formats.low_rank_candidates import Candidate
    from adiabat.formats.low_rank_write import Written

LARGEST = 1 << 28  # values of a variable that is fitted whole, in memory


def open_cube(
    source: Path,
    *,
    variable: str | None = None,
    grid: float | None = None,
    qa: float | None = None,
    group: str | None = None,
) -> xr.DataArray:
    """Read what is to be filled: swaths, laid on a grid, or a variable that has one.

    Raises
    ------
    RequestError
        If there is no such variable, or options do not fit the source.
    """
    from adiabat.formats.sources import open_source, tropomi
    from adiabat.formats.sources.cf import is_zarr

    if not source.exists():
        raise RequestError(f"{source} does not exist")
    if not is_zarr(source) and tropomi.is_swath(source):
        if group is not None:
            raise RequestError("swaths have no --group to choose")
        return tropomi.to_cube(source, grid, variable, qa)
    if grid is not None or qa is not None:
        raise RequestError(f"{source} is on a grid already: --grid and --qa are for swaths")
    dataset = open_source(source, group=group)
    fields = [str(name) for name, array in dataset.data_vars.items() if array.dtype.kind == "f" and array.ndim >= 2]
    if variable is None and len(fields) != 1:
        raise RequestError(f"choose one with --variable: {', '.join(fields) or 'there is no float field'}")
    name = variable or fields[0]
    if name not in fields:
        raise RequestError(
            f"there is no float field {name!r} of two axes or more; there are: {', '.join(fields) or 'none'}"
        )
    return dataset[name]


def introduce(cube: xr.DataArray) -> str:
    """Say what is going to be filled."""
    sizes = " x ".join(f"{size} {dim}" for dim, size in cube.sizes.items())
    return f"{cube.name}: {sizes}, {float(cube.notnull().mean()):.1%} observed"


def read_rank(text: str) -> int | str:
    """Read ``auto`` or a number."""
    if text == "auto":
        return text
    if not text.isdecimal():
        raise RequestError(f"{text!r} is not a rank: write --rank auto, or --rank with a number")
    return int(text)


def journal_of(target: Path) -> Path:
    """Where finished scores are kept until the store stands."""
    return target.absolute().parent / f".{target.name}.scores"


def choose_low_rank(
    dataset: xr.Dataset,
    plan: Sequence[VariablePlan],
    *,
    note: Callable[[str], None],
    tick: Callable[..., None] | None = None,
) -> list[Candidate]:
    """Try factors and a residual for every variable that may profit, and keep those that take fewer bytes than Pyramid.

    That is: floats with one absolute bound for all, of three axes or more, the first of which is no short one.
    """
    from adiabat.formats.low_rank_candidates import bounded

    chosen = []
    for each in plan:
        if not _may_profit(each):
            continue
        if each.values > LARGEST:
            note(f"{each.name}: too large to fit in memory, so left to Pyramid")
            continue
        bound = each.bound
        size = float(bound["abs"]) if isinstance(bound, Mapping) else 0.0
        array = dataset[each.name].astype(each.dtype, keep_attrs=True)
        best = bounded(array, size, chunks=each.chunks, view="source", note=note, tick=tick)
        if best.low_rank:
            chosen.append(best)
        else:
            note(f"{each.name}: Pyramid alone takes fewer bytes")
    return chosen


def _may_profit(each: VariablePlan) -> bool:
    single = isinstance(each.bound, Mapping) and isinstance(each.bound.get("abs"), int | float)
    return single and len(each.shape) >= 3 and each.shape[0] >= 8


def describe(written: Written, target: Path) -> list[str]:
    """Say what came of a fill, in lines."""
    from adiabat.formats.low_rank_layout import SUFFIX

    whole = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    dense, seen = 4 * written.cells, 4 * written.observed
    if math.isnan(written.nrmse):
        what = "Pyramid alone takes fewer bytes than any factors with a residual: this is an ordinary store, not filled"
    else:
        what = f"rank {written.rank}, ridge {written.ridge:g}" if written.rank else "no factors: climatology alone"
        what += f"; observed cells are met to {written.nrmse:.4f} of their deviation"
    lines = [
        f"{written.name}: {written.observed / max(1, written.cells):.1%} of {written.cells} cells observed",
        what,
        f"{written.written_bytes} bytes, and {whole} with coordinates: {dense / whole:.1f} times smaller than float32 "
        f"of all cells, {seen / whole:.1f} times than of the observed ones",
    ]
    opened = (
        f'xr.open_dataset("{target}")'
        if str(target).endswith(SUFFIX)
        else f'xr.open_dataset("{target}", engine="adiabat")'
    )
    return [*lines, f"read it with {opened}: {written.name} is filled, {written.name}_observed tells what was observed"]
