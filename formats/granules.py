"""A granule whose variables lie in groups -> a plan for each group, and one store with the same groups.

Stage: planning, for sources that are trees: TEMPO's. `xarray.open_datatree` reads the store, as it reads the granule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.plan import VariablePlan, make_plan
from adiabat.formats.policy import Bound
from adiabat.formats.sources.tempo import BANDS, CHANNELS

__all__ = ["groups_of", "oddities", "plan_groups", "whole_plan"]

Groups = dict[str, tuple[xr.Dataset, list[VariablePlan]]]


def groups_of(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """Datasets by the paths of their groups, nothing inherited."""
    return {node.path: node.to_dataset(inherit=False) for node in tree.subtree}


def oddities(tree: xr.DataTree) -> list[str]:
    """What a granule of level 1 lacks of the product's layout; it can be archived all the same."""
    present = [band for band in BANDS if band in tree.children]
    out = [f"{band} is missing from this granule" for band in BANDS if present and band not in present]
    for band in present:
        found = tree[band].sizes.get("spectral_channel", CHANNELS)
        if found != CHANNELS:
            out.append(f"{band} has {found} spectral channels, the product {CHANNELS}")
    return out


def plan_groups(
    tree: xr.DataTree,
    *,
    bounds: Mapping[str, Bound],
    default_bound: Bound | None = None,
    chunks: Mapping[str, int] | None = None,
    tune: str = "bytes",
    latent: str = "hyperprior",
) -> Groups:
    """Plan every group; see `make_plan`. A bound is for the variables of that name, or for one: GROUP/VAR.

    Raises
    ------
    RequestError
        If a bound or a chunk is for what no group has.
    """
    datasets = groups_of(tree)
    wanted: dict[str, dict[str, Bound]] = {path: {} for path in datasets}
    for name, bound in bounds.items():
        group, _, variable = name.rpartition("/")
        there = [
            path for path, each in datasets.items()
            if variable in each.variables and group in ("", path.strip("/"))
        ]  # fmt: skip
        if not there:
            some = sorted({str(each) for dataset in datasets.values() for each in dataset.data_vars})
            raise RequestError(f"there is no variable {name!r} in any group; the variables: {', '.join(some)}")
        for path in there:
            wanted[path][variable] = bound
    known = {dim for dataset in datasets.values() for dim in dataset.dims}
    for dim in chunks or {}:
        if dim not in known:
            raise RequestError(f"there is no dimension {dim!r} to chunk; the dimensions: {', '.join(map(str, known))}")
    return {
        path: (
            dataset,
            make_plan(
                dataset, bounds=wanted[path], default_bound=default_bound, tune=tune, latent=latent,
                chunks={dim: size for dim, size in (chunks or {}).items() if dim in dataset.dims},
            ),
        )
        for path, dataset in datasets.items()
    }  # fmt: skip


def whole_plan(groups: Groups) -> list[VariablePlan]:
    """All plans in one, for people: names behind the paths of their groups."""
    return [
        variable if path == "/" else replace(variable, name=f"{path.strip('/')}/{variable.name}")
        for path, (_, plan) in groups.items()
        for variable in plan
    ]
