"""From an archive back to plain files, for people without adiabat: NetCDF or Zarr, rounded a little or exact.

Stage: outermost, beside reading: reading (undecoded) -> `rounding` -> `export_targets`. Values are decoded block by
block, twice where rounding needs to see how large they are; memory holds one block.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from adiabat.formats.chunks import blocks
from adiabat.formats.errors import RequestError
from adiabat.formats.export_targets import Target, kind_of, temporary_for
from adiabat.formats.low_rank_layout import MARKER
from adiabat.formats.metadata import REQUEST
from adiabat.formats.policy import format_bound
from adiabat.formats.reading import group_paths, open_merged, task_chunks
from adiabat.formats.rounding import Allowance, mantissa_bits, round_bits
from adiabat.formats.sources.cf import coordinate_names
from adiabat.formats.store_paths import join_path

__all__ = ["Exported", "count_exported", "export"]

Progress = Callable[[str, int], None]
"""Called with a variable's name and how many more of its values are decoded."""

NOTE = "adiabat"  # attribute of variables and of the root
SMALL_BYTES = 1 << 20  # variables that are written whole
CHUNK_VALUES = 1 << 20  # of what is exported
CONTAINER = "quantization_info"
CONVENTIONS = "CF-1.12"  # the first that has quantisation


@dataclass(frozen=True)
class Exported:
    """What became of one variable that a bound was stated for, or that is large.

    Parameters
    ----------
    place, name : str
        Group and variable.
    note : mapping
        What the archive's attribute ``adiabat`` says; empty where it has none.
    allowance : Allowance or None
        What rounding may add; None: nothing.
    bits : int or None
        Of the mantissa that are kept; None: all.
    added : float
        The most that rounding changed a value by.
    """

    place: str
    name: str
    note: Mapping[str, Any]
    allowance: Allowance | None = None
    bits: int | None = None
    added: float = 0.0

    @property
    def path(self) -> str:
        """Group and name."""
        return join_path(self.place, self.name)


def export(
    source: str | Path,
    target: str | Path,
    *,
    exact: bool = False,
    models: str | None = None,
    overwrite: bool = False,
    command: str = "adiabat.formats.export",
    progress: Progress | None = None,
) -> list[Exported]:
    """Write an archive's decoded values where everybody can read them.

    Variables with a stated bound are rounded to as many bits of mantissa as keep the rounding below a tenth of the
    bound (BitRound; said in the attributes of CF 1.12, section 8.4); all others, and with `exact` all, keep every bit.
    Of a target without a bound, the RMSE counts; bounds in units of noise keep every bit.

    Parameters
    ----------
    source : path or URL
        The archive; groups are kept.
    target : path
        ``.nc``, ``.nc4`` or ``.cdf``: NetCDF-4 with zlib, which all readers have. ``.zarr``: Zarr v3 with zstd.
    exact : bool
        Round nothing.
    models : None or "store"
        As for `open_archive`.
    overwrite : bool
        Whether a file or store at `target` may be replaced.
    command : str
        For the ``history`` attribute.
    progress : callable, optional
        See `Progress`; `count_exported` says how many values there will be.

    Returns
    -------
    list of Exported

    Raises
    ------
    RequestError
        If the request cannot be carried out; nothing is written then.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> _ = compress(simulate_field((6, 37, 72)), "a.zarr", default_bound={"abs": 0.1})
    >>> [done] = export("a.zarr", "a-plain.zarr")
    >>> done.name, done.bits, done.added <= 0.01
    ('temperature', 14, True)
    """
    path = Path(target)
    kind = kind_of(path)
    if "://" not in str(source) and Path(source).resolve() == path.resolve():
        raise RequestError("SRC and OUT are the same")
    told = progress or (lambda *_: None)
    options = _raw(models)
    groups = {place: open_merged(source, place or None, **options) for place in _places(source, options)}
    plan = [_with_bits(each, groups[each.place], told) for each in _plan(groups, exact=exact)]
    with temporary_for(path, overwrite=overwrite) as temporary, kind(temporary) as made:
        for place, dataset in groups.items():
            own = [each for each in plan if each.place == place]
            _begin(made, place, dataset, own, command)
        return [_write(made, groups[each.place], each, told) for each in plan]


def count_exported(source: str | Path, *, exact: bool = False, models: str | None = None) -> int:
    """How many values `export` will decode, those that it decodes twice counted twice."""
    options = _raw(models)
    groups = {place: open_merged(source, place or None, **options) for place in _places(source, options)}
    return sum(
        groups[each.place][each.name].size * (2 if each.allowance is not None and not each.allowance.relative else 1)
        for each in _plan(groups, exact=exact)
    )


def _raw(models: str | None) -> dict[str, Any]:
    """Open so that nothing is decoded but what our codecs do."""
    return {"decode_cf": False, "models": models or False}


def _places(source: str | Path, options: Mapping[str, Any]) -> list[str]:
    open_merged(source, **options)  # raises what is wrong with the source, in words
    return group_paths(source)


def _plan(groups: Mapping[str, xr.Dataset], *, exact: bool) -> Iterator[Exported]:
    """Variables that are written by blocks."""
    for place, dataset in groups.items():
        kept = coordinate_names(dataset)
        for name, array in dataset.variables.items():
            if array.dtype.kind not in "fiub" or not array.ndim or not array.size:
                continue
            note = _note(array.attrs)
            rounded = array.dtype.kind == "f" and name not in kept and not exact
            allowance = Allowance.of(note) if rounded else None
            if note or array.nbytes > SMALL_BYTES:
                yield Exported(place, str(name), note, allowance)


def _note(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    try:
        note = json.loads(str(attributes[NOTE]))
    except (KeyError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _with_bits(each: Exported, dataset: xr.Dataset, told: Progress) -> Exported:
    """How many bits a variable needs, by its largest values."""
    array, allowance = dataset[each.name], each.allowance
    if allowance is None:
        return each
    most = mantissa_bits(array.dtype)
    if allowance.relative:
        bits = allowance.bits(np.empty(0), ())
    else:
        bits = 1
        for start, values in _values(array):
            bits = max(bits, allowance.bits(values, start))
            told(each.name, values.size)
    return replace(each, bits=bits) if bits < most else replace(each, allowance=None)


def _values(array: xr.DataArray) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Decoded blocks and where they begin."""
    for region in blocks(array.shape, task_chunks(array), at_once=1):
        yield tuple(part.start for part in region), np.asarray(array.variable[region].values)


def _begin(made: Target, place: str, dataset: xr.Dataset, plan: Sequence[Exported], command: str) -> None:
    """Write everything of a group but the values of planned variables."""
    large = {each.name: dataset.variables[each.name].copy(deep=False) for each in plan}
    small = dataset.reset_coords().drop_vars(large)
    small.attrs = {name: value for name, value in dataset.attrs.items() if name not in (NOTE, REQUEST, MARKER)}
    if not place:
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {command} (adiabat {version('adiabat')})"
        small.attrs["history"] = "\n".join([line, *filter(None, [str(small.attrs.get("history", ""))])])
    container = _container(dataset)
    if any(each.bits for each in plan):
        about = {"algorithm": "bitround", "implementation": f"numcodecs version {version('numcodecs')}"}
        small[container] = xr.Variable((), np.int32(0), about)
        old = [
            part
            for part in str(small.attrs.get("Conventions", "")).replace(",", " ").split()
            if not part.startswith("CF-")
        ]
        small.attrs["Conventions"] = " ".join([CONVENTIONS, *old])
    for each in plan:
        attributes = {name: value for name, value in large[each.name].attrs.items() if name != NOTE}
        if each.bits:
            attributes |= {"quantization": container, "quantization_nsb": np.int32(each.bits)}
        large[each.name].attrs = attributes
    made.begin(place, small, large, {each.name: _chunks_of(dataset[each.name]) for each in plan})


def _container(dataset: xr.Dataset) -> str:
    return CONTAINER if CONTAINER not in dataset.variables else f"{CONTAINER}_adiabat"


def _chunks_of(array: xr.DataArray) -> tuple[int, ...]:
    """Chunks of a million values at most, whole ones in every block that is written."""
    sizes, room = [], CHUNK_VALUES
    for length, step in zip(reversed(array.shape), reversed(task_chunks(array)), strict=True):
        size = min(step, max(1, room))
        if step < length:  # blocks of this axis must begin where chunks do
            size = next(each for each in range(size, 0, -1) if step % each == 0)
        else:
            size = math.ceil(step / math.ceil(step / size))
        sizes.append(size)
        room //= size
    return tuple(reversed(sizes))


def _write(made: Target, dataset: xr.Dataset, each: Exported, told: Progress) -> Exported:
    """Write a variable's values, and say beside them what was done."""
    array, added = dataset[each.name], 0.0
    for start, values in _values(array):
        kept, moved = values, 0.0
        if each.bits and each.allowance is not None:
            kept, moved = round_bits(values, each.bits, each.allowance, start)
        added = max(added, moved)
        region = tuple(slice(first, first + size) for first, size in zip(start, values.shape, strict=True))
        made.put(each.place, each.name, region, kept)
        told(each.name, values.size)
    each = replace(each, added=added)
    if each.note:
        before = str(array.attrs.get("comment", "")).rstrip()
        made.annotate(each.place, each.name, {"comment": "; ".join(filter(None, [before, _provenance(each)]))})
    return each


def _provenance(each: Exported) -> str:
    """What readers should know of a variable's values, in words."""
    note = each.note
    said = f"decoded by adiabat {version('adiabat')} from {note.get('codec', 'adiabat')}"
    said += f", bound {format_bound(note['bound'])}" if "bound" in note else ""
    achieved = note.get("achieved", {})
    said += f" (largest error {achieved['max_error']:.6g})" if "max_error" in achieved else ""
    if each.bits:
        said += f", then rounded to {each.bits} bits of mantissa, which adds at most {each.added:.3g} to the error"
    return said
