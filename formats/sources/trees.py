"""Files and stores whose variables lie in groups, as datasets by the paths of the groups.

Stage: beside cf, which opens what is flat. Granules of TEMPO, level 2 of Sentinel-5P, HDF-EOS5, and any other.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.cf import file_kind, holds_factors, is_zarr, open_group, unwritable
from adiabat.formats.sources.netcdf import netcdf_file
from adiabat.formats.sources.products import open_product
from adiabat.formats.sources.tempo import is_tempo, open_tempo

__all__ = ["group_names", "groups_of", "is_tree", "left_out", "open_granules", "open_tree"]


@dataclass
class _Node:
    """A group: its attributes, the names of its variables, and the groups below."""

    attrs: dict[str, Any]
    variables: list[str]
    below: dict[str, _Node] = field(default_factory=dict)

    def any_variables(self) -> bool:
        return bool(self.variables) or any(node.any_variables() for node in self.below.values())


def is_tree(path: str | Path) -> bool:
    """Tell whether a local file has variables in groups; a store, whether it has them nowhere else."""
    if not isinstance(path, Path) or not path.exists():
        return False
    if is_zarr(path):
        root = _of_store(path)
        return not (root.variables or holds_factors(path)) and root.any_variables()
    return file_kind(path) == "NetCDF" and any(node.any_variables() for node in _of_file(path).below.values())


def open_tree(path: Path) -> dict[str, xr.Dataset]:
    """Datasets by the paths of their groups, the root among them, nothing inherited.

    Groups without a variable in or below them become one attribute of the group above, in JSON, as products of
    Sentinel-5P have hundreds. Granules of TEMPO are opened by `open_tempo`, without masking what is flagged.

    Raises
    ------
    RequestError
        If it cannot be read.
    """
    if is_tempo(path):
        return groups_of(open_tempo(path, bands=(), channels=None, flags=()))
    root = _of_store(path) if is_zarr(path) else _of_file(path)
    return {place: _opened(path, place, node) for place, node in _walk(root) if node.any_variables() or place == "/"}


def groups_of(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Datasets by the paths of their groups, nothing inherited."""
    return {node.path: node.to_dataset(inherit=False) for node in tree.subtree}


def open_granules(paths: Sequence[str]) -> dict[str, xr.Dataset]:
    """Every granule, a tree or flat, in a group that is named as its file."""
    out: dict[str, xr.Dataset] = {"/": xr.Dataset()}
    for path, name in zip(paths, group_names(paths), strict=True):
        groups: Mapping[str, xr.Dataset] = open_tree(Path(path)) if is_tree(Path(path)) else {"/": open_product(path)}
        out |= {f"/{name}{'' if place == '/' else place}": dataset for place, dataset in groups.items()}
    return out


def group_names(paths: Sequence[str]) -> list[str]:
    """Of granules: the names of their files without the suffix, each once."""
    names = [Path(path).stem for path in paths]
    double = {name for name in names if names.count(name) > 1}
    if double:
        which = [path for path, name in zip(paths, names, strict=True) if name in double]
        raise RequestError(f"{which[0]} and {which[1]} have the same name, which names their groups")
    return names


def left_out(path: Path, group: str | None = None) -> list[str]:
    """Variables of a NetCDF file, behind the paths of their groups, that Zarr has no type for.

    group: that alone; None: all of them.
    """
    if is_zarr(path) or file_kind(path) != "NetCDF":
        return []
    if group is not None:
        return unwritable(path, group)
    places = [place for place, node in _walk(_of_file(path)) if node.variables]
    return [f"{place}/{name}".strip("/") for place in places for name in unwritable(path, place)]


def _opened(path: Path, place: str, node: _Node) -> xr.Dataset:
    dataset = open_group(path, place.strip("/") or None) if node.variables else xr.Dataset(attrs=node.attrs)
    for name, below in node.below.items():
        if not below.any_variables():
            dataset.attrs[name] = json.dumps(_as_json(below), ensure_ascii=False)
    return dataset


def _as_json(node: _Node) -> dict[str, Any]:
    """A group without variables: attributes, and groups by their names."""
    out: dict[str, Any] = {name: _plain(value) for name, value in node.attrs.items()}
    return out | {name: _as_json(below) for name, below in node.below.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return value if isinstance(value, str | int | float | list | bool | None) else str(value)


def _walk(node: _Node, place: str = "/") -> Iterator[tuple[str, _Node]]:
    yield place, node
    for name, below in node.below.items():
        yield from _walk(below, f"{place.rstrip('/')}/{name}")


def _of_file(path: Path) -> _Node:
    with netcdf_file(path) as file:
        return _of_group(file)


def _of_group(group: Any) -> _Node:
    attrs = {name: group.getncattr(name) for name in group.ncattrs()}
    return _Node(attrs, list(group.variables), {name: _of_group(each) for name, each in group.groups.items()})


def _of_store(path: Path) -> _Node:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: of files in a store that are none of its own
        opened = zarr.open(str(path), mode="r")
        return _of_zarr(opened) if isinstance(opened, zarr.Group) else _Node({}, [])


def _of_zarr(group: zarr.Group) -> _Node:
    below = {name: _of_zarr(each) for name, each in group.groups()}
    return _Node(dict(group.attrs), [name for name, _ in group.arrays()], below)
