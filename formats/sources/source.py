"""A recipe of what is archived: files and stores in the order of time, opened anew wherever it is needed.

Stage: the entrance of the archive: what a user gives -> `find_source` -> `Source` -> open -> plan, engine, verify.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import products
from adiabat.formats.sources.arrange import arrange, gaps
from adiabat.formats.sources.cf import file_kind, is_zarr
from adiabat.formats.sources.locate import locate
from adiabat.formats.sources.netcdf import netcdf_file
from adiabat.formats.sources.series import Series, open_series
from adiabat.formats.sources.survey import Part, survey
from adiabat.formats.sources.tempo import oddities
from adiabat.formats.sources.times import TimeAxis, time_axis
from adiabat.formats.sources.trees import group_names, is_tree, left_out, open_granules, open_tree
from adiabat.formats.sources.urls import is_store, is_url, size_of
from adiabat.formats.sources.whole import check_whole

__all__ = ["Source", "find_source"]

Kind = Literal["flat", "tree", "series", "granules"]
Given = Sequence[str | Path] | str | Path


@dataclass(frozen=True)
class Source:
    """Files and stores to archive together.

    Picklable and small: every process opens it anew, and gets the same datasets. Made by `find_source`.

    Attributes
    ----------
    paths : tuple of str
        Files, stores and URLs, in order of time where they have one.
    group : str or None
        The group that was asked for; of GRIB, the messages.
    kind : {"flat", "tree", "series", "granules"}
        One dataset; one with groups; files after and beside one another; files that each become a group.
    series : tuple of Series
        How files follow one another.
    folder : str
        Where relative paths begin: a worker elsewhere has another current folder.
    """

    paths: tuple[str, ...]
    group: str | None = None
    kind: Kind = "flat"
    series: tuple[Series, ...] = field(default=(), compare=False, repr=False)
    folder: str = field(default_factory=os.getcwd, compare=False, repr=False)

    @property
    def label(self) -> str:
        """For messages and provenance."""
        if len(self.paths) == 1:
            return self.paths[0]
        return f"{self.paths[0]} to {self.paths[-1]} ({len(self.paths)} files)"

    def open(self) -> dict[str, xr.Dataset]:
        """Open lazily.

        Returns
        -------
        dict of xarray.Dataset
            By the paths of their groups; what is flat is ``{"/": dataset}``. Coordinates are undecoded and exact, as
            `open_source` gives them; floats are masked and unpacked.

        Raises
        ------
        RequestError
            If something cannot be read, or is no longer what it was.
        """
        if self.kind == "tree":
            return open_tree(Path(self.folder, self.paths[0]))
        if self.kind == "granules":
            return open_granules([str(Path(self.folder, path)) for path in self.paths])
        opener = partial(_open_product, self.folder, self.group)
        if self.kind == "flat":
            return {"/": opener(self.paths[0])}
        return {"/": _beside([open_series(series, opener) for series in self.series])}

    def times(self) -> TimeAxis | None:
        """The time coordinate: its name, dimension, raw values, units and calendar; None where there is none."""
        if self.series:
            return self.series[0].times
        if self.kind != "flat":
            return None
        with products.raw_product(self.paths[0], self.group)[0] as raw:
            return time_axis(raw)

    def identity(self) -> dict[str, Any]:
        """What tells a run that goes on whether the source has changed; fit for JSON.

        Of a file, its bytes and the second it was changed; of a store, the shapes of its variables.
        """
        return {"group": self.group, "paths": {path: _size(path, self.group) for path in self.paths}}


def _open_product(folder: str, group: str | None, path: str) -> xr.Dataset:
    return products.open_product(path if is_url(path) else str(Path(folder, path)), group)


def find_source(
    given: Given,
    *,
    group: str | None = None,
    unreadable: Literal["stop", "skip"] = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Source, list[str]]:
    """Find what a user means, check that it fits together, and open it once.

    Parameters
    ----------
    given : path, str, or a sequence of them
        Files (NetCDF, GRIB, HDF5), Zarr stores, folders, patterns (``era5/**/*.nc``), URLs (``gs://``, ``s3://``,
        ``https://``).
    group : str, optional
        The group inside them; of GRIB, messages to keep: ``typeOfLevel=surface``.
    unreadable : {"stop", "skip"}
        What to do about a file among several that cannot be read.
    progress : callable, optional
        Called with the number of files looked at, and of all.

    Returns
    -------
    source : Source
    notes : list of str
        Sentences on what was skipped, left out or put together.

    Raises
    ------
    RequestError
        If there is nothing, a file cannot be read, or files do not fit together.

    Examples
    --------
    >>> for day in (1, 0):
    ...     time = xr.Variable("time", [day], {"units": "days since 2020-01-01"})
    ...     xr.Dataset({"t": (("time", "x"), [[280.0, 281.0]])}, {"time": time}).to_netcdf(f"{day}.nc")
    >>> source, notes = find_source("*.nc")
    >>> source.paths, source.open()["/"].t.shape, source.times().text(1)
    (('0.nc', '1.nc'), (2, 2), '2020-01-02 00:00:00')
    """
    if unreadable not in ("stop", "skip"):
        raise ValueError(f"expected unreadable to be 'stop' or 'skip', got {unreadable!r}")
    paths, notes = locate([given] if isinstance(given, str | Path) else list(given))
    if len(paths) == 1:
        source, more = _find_one(paths[0], group)
        return source, [*notes, *more]
    parts: list[Part] = []
    granules: list[str] = []
    for number, path in enumerate(paths):
        try:
            found = _look(path, group, notes)
        except RequestError as error:
            if unreadable == "stop":
                raise
            notes.append(f"skipped: {error}")
            continue
        finally:
            if progress is not None:
                progress(number + 1, len(paths))
        parts += [found] if isinstance(found, Part) else []
        granules += [] if isinstance(found, Part) else [path]
    return _put_together(parts, granules, group, notes)


def _find_one(path: str, group: str | None) -> tuple[Source, list[str]]:
    place = products.place_of(path)
    local = isinstance(place, Path)
    if isinstance(place, Path) and not is_zarr(place):
        check_whole(place)
    kind: Kind = "tree" if group is None and local and is_tree(place) else "flat"
    source = Source((path,), group, kind)
    notes = _left_out(path, None if kind == "tree" else group or "/")
    datasets = source.open()
    if kind == "tree":
        notes += oddities(datasets)
    else:
        raw, said = products.raw_product(path, group)
        with raw:
            notes += [*said, *_disorder(path, time_axis(raw))]
    for dataset in datasets.values():
        dataset.close()
    return source, notes


def _disorder(path: str, axis: TimeAxis | None) -> list[str]:
    """Of one file, times that are double or out of order are kept as they are, and said."""
    if axis is None or axis.values.dtype.kind not in "fiu" or bool((np.diff(axis.values) > 0).all()):
        return []
    return [f"the times of {path} do not increase throughout: they are kept as they are"]


def _left_out(path: str, group: str | None) -> list[str]:
    place = products.place_of(path)
    names = left_out(place, group) if isinstance(place, Path) else []
    return [f"{path}: Zarr has nothing for the types of {', '.join(names)}: left out"] if names else []


def _look(path: str, group: str | None, notes: list[str]) -> Part | None:
    """Survey one of many; None for what becomes a group of its own."""
    place = products.place_of(path)
    if not isinstance(place, Path) or is_zarr(place):
        return _survey(path, group, notes)
    check_whole(place)
    # One handle for all that is asked.
    with netcdf_file(place) if file_kind(place) == "NetCDF" else nullcontext():
        if group is None and is_tree(place):
            notes += _left_out(path, None)
            return None
        return _survey(path, group, notes)


def _survey(path: str, group: str | None, notes: list[str]) -> Part | None:
    raw, said = products.raw_product(path, group)
    with raw:
        if str(raw.attrs.get("Conventions", "")).startswith("HARP"):
            return None
        part = survey(path, raw)
    notes += [note for note in said if note not in notes]
    return part


def _put_together(
    parts: Sequence[Part], granules: Sequence[str], group: str | None, notes: list[str]
) -> tuple[Source, list[str]]:
    if not parts and not granules:
        raise RequestError(f"none of the files can be read; {notes[-1].removeprefix('skipped: ')}")
    if granules and parts:
        raise RequestError(f"{granules[0]} keeps its variables in groups or is a swath, unlike {parts[0].path}: they "
                           "go into stores of their own")  # fmt: skip
    if granules:
        source = Source(tuple(granules), group, "granules")
        group_names(source.paths)
        return source, notes
    if len(parts) == 1:
        return Source((parts[0].path,), group), notes
    series = arrange(parts)
    notes += _left_out(parts[0].path, group or "/")  # the others are alike
    ordered = tuple(path for each in series for path in each.paths)
    source = Source(ordered, group, "series", series)
    for dataset in source.open().values():
        dataset.close()
    return source, [*notes, *gaps(series[0])]


def _beside(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Files of different variables over the same times, as one dataset; attributes of the first."""
    first = datasets[0]
    if len(datasets) == 1:
        return first
    new: dict[Any, xr.Variable] = {}
    coordinates = set(first.coords)
    for dataset in datasets[1:]:
        new |= {
            name: each for name, each in dataset.variables.items() if name not in first.variables and name not in new
        }
        coordinates |= {name for name in dataset.coords if name in new}
    whole = first.assign(new).set_coords(sorted(coordinates, key=str))
    whole.set_close(partial(_close, tuple(datasets)))
    return whole


def _close(datasets: Sequence[xr.Dataset]) -> None:
    for dataset in datasets:
        dataset.close()


def _size(path: str, group: str | None) -> Any:
    place = products.place_of(path)
    if isinstance(place, Path) and not is_zarr(place):
        state = place.stat()
        return [state.st_size, int(state.st_mtime)]
    if is_url(path) and not is_store(path):
        return size_of(path)
    if isinstance(place, Path) and group is None and is_tree(place):
        return {name: dict(_shapes(dataset)) for name, dataset in open_tree(place).items()}
    with products.raw_product(path, group)[0] as raw:
        return _shapes(raw)


def _shapes(dataset: xr.Dataset) -> dict[str, list[int]]:
    return {str(name): list(variable.shape) for name, variable in dataset.variables.items()}
