"""A recipe of what is archived: files and stores in the order of time, opened anew wherever it is needed.

Stage: the entrance of the archive: what a user gives -> `find_source` -> `Source` -> open -> plan, engine, verify.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import products
from adiabat.formats.sources.arrange import arrange, gaps
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.sources.locate import locate
from adiabat.formats.sources.series import Series, open_series
from adiabat.formats.sources.survey import Part, survey
from adiabat.formats.sources.tempo import oddities
from adiabat.formats.sources.times import TimeAxis, time_axis
from adiabat.formats.sources.trees import is_tree, left_out, open_tree
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
    """

    paths: tuple[str, ...]
    group: str | None = None
    kind: Kind = "flat"
    series: tuple[Series, ...] = field(default=(), compare=False, repr=False)

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
            return open_tree(Path(self.paths[0]))
        if self.kind == "granules":
            return _open_granules(self.paths)
        opener = partial(products.open_product, group=self.group)
        if self.kind == "flat":
            return {"/": opener(self.paths[0])}
        return {"/": _beside([open_series(series, opener) for series in self.series])}

    def times(self) -> TimeAxis | None:
        """The time coordinate: its name, dimension, raw values, units and calendar; None where there is none."""
        if self.series:
            return self.series[0].times
        return time_axis(products.raw_product(self.paths[0], self.group)) if self.kind == "flat" else None

    def identity(self) -> dict[str, Any]:
        """What tells a run that goes on whether the source has changed: paths with sizes; fit for JSON.

        Of a file the size is its bytes; of a store, the shapes of its variables.
        """
        return {"group": self.group, "paths": {path: _size(path, self.group) for path in self.paths}}


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
    >>> day = xr.Dataset({"t": (("time", "x"), [[280.0, 281.0]])}, {"time": ("time", [0], {"units": "days since 2020-01-01"})})
    >>> for number in (1, 0):
    ...     day.assign_coords(time=("time", [number], day.time.attrs)).to_netcdf(f"{number}.nc")
    >>> source, notes = find_source("*.nc")
    >>> source.paths, source.open()["/"].t.shape, source.times().text(1)
    (('0.nc', '1.nc'), (2, 2), '2020-01-02 00:00:00')
    """  # fmt: skip
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
            found = _look(path, group, notes if not (parts or granules) else None)
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
    notes = _notes(path, group, kind)
    datasets = source.open()
    notes += oddities(datasets) if kind == "tree" else []
    for dataset in datasets.values():
        dataset.close()
    return source, notes


def _notes(path: str, group: str | None, kind: Kind) -> list[str]:
    """What of a file is left out or changed."""
    place = products.place_of(path)
    notes = []
    if isinstance(place, Path) and (names := left_out(place, None if kind == "tree" else group)):
        notes.append(f"{path}: Zarr has nothing for the types of {', '.join(names)}: left out")
    if kind != "tree":
        with products.open_raw(place, group) as raw:
            notes += products.notes_on(raw)
    return notes


def _look(path: str, group: str | None, notes: list[str] | None) -> Part | None:
    """Survey one of many; None for what becomes a group of its own."""
    place = products.place_of(path)
    if isinstance(place, Path) and not is_zarr(place):
        check_whole(place)
    if group is None and isinstance(place, Path) and is_tree(place):
        return None
    with products.raw_product(path, group) as raw:
        if str(raw.attrs.get("Conventions", "")).startswith("HARP"):
            return None
        part = survey(path, raw)
    if notes is not None:  # the others are alike
        notes += _notes(path, group, "flat")
    return part


def _put_together(
    parts: Sequence[Part], granules: Sequence[str], group: str | None, notes: list[str]
) -> tuple[Source, list[str]]:
    if not parts and not granules:
        raise RequestError(f"none of the files can be read; {notes[-1].removeprefix('skipped: ')}")
    if granules and parts:
        raise RequestError(f"{granules[0]} keeps its variables in groups or is a swath, and {parts[0].path} is neither: "
                           "they go into stores of their own")  # fmt: skip
    if granules:
        source = Source(tuple(granules), group, "granules")
        _names_of(source.paths)
        return source, notes
    if len(parts) == 1:
        return Source((parts[0].path,), group), notes
    series = arrange(parts)
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
        new |= {name: each for name, each in dataset.variables.items() if name not in first.variables and name not in new}
        coordinates |= {name for name in dataset.coords if name in new}
    whole = first.assign(new).set_coords(sorted(coordinates, key=str))
    whole.set_close(partial(_close, tuple(datasets)))
    return whole


def _close(datasets: Sequence[xr.Dataset]) -> None:
    for dataset in datasets:
        dataset.close()


def _open_granules(paths: Sequence[str]) -> dict[str, xr.Dataset]:
    """Every granule in a group that is named as its file."""
    out: dict[str, xr.Dataset] = {"/": xr.Dataset()}
    for path, name in zip(paths, _names_of(paths), strict=True):
        groups: Mapping[str, xr.Dataset] = (
            open_tree(Path(path)) if is_tree(Path(path)) else {"/": products.open_product(path)}
        )
        out |= {f"/{name}{'' if place == '/' else place}": dataset for place, dataset in groups.items()}
    return out


def _names_of(paths: Sequence[str]) -> list[str]:
    names = [Path(path).stem for path in paths]
    double = {name for name in names if names.count(name) > 1}
    if double:
        which = [path for path, name in zip(paths, names, strict=True) if name in double]
        raise RequestError(f"{which[0]} and {which[1]} have the same name, which names their groups")
    return names


def _size(path: str, group: str | None) -> Any:
    place = products.place_of(path)
    if isinstance(place, Path) and not is_zarr(place):
        return place.stat().st_size
    if is_url(path) and not is_store(path):
        return size_of(path)
    if isinstance(place, Path) and group is None and is_tree(place):
        return {name: dict(_shapes(dataset)) for name, dataset in open_tree(place).items()}
    with products.open_raw(place, group) as raw:
        return _shapes(raw)


def _shapes(dataset: xr.Dataset) -> dict[str, list[int]]:
    return {str(name): list(variable.shape) for name, variable in dataset.variables.items()}
