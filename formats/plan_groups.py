"""Plans for all groups of a source: one of a flat source, several of a tree, such as a granule.

Stage: planning, above `plan`. `xarray.open_datatree` reads a store with groups, as it reads the granule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.plan import VariablePlan, make_plan
from adiabat.formats.policies import Policy
from adiabat.formats.policy import Bound
from adiabat.formats.store_paths import join_path

__all__ = ["Groups", "plan_groups", "whole_plan"]

Groups = dict[str, tuple[xr.Dataset, list[VariablePlan]]]
SIZES = ("chunks", "shards")


def plan_groups(
    datasets: Mapping[str, xr.Dataset],
    *,
    bounds: Mapping[str, Bound] | None = None,
    policy: Policy | None = None,
    **options: Any,
) -> Groups:
    """Plan every group.

    Parameters
    ----------
    datasets : mapping of str to xarray.Dataset
        By the paths of groups.
    bounds : mapping of str to bound, optional
        For the variables of that name in all groups, or for one: GROUP/VAR.
    policy : Policy, optional
        For variables that have no bound of their own.
    options
        As of `make_plan`; chunks and shards are for groups that have the dimension.

    Raises
    ------
    RequestError
        If a bound, a chunk or a shard is for what no group has.
    """
    bounds = bounds or {}
    # Of names that a flat source lacks, `make_plan` says more.
    wanted = {"/": dict(bounds)} if set(datasets) == {"/"} else _share(datasets, bounds)
    for kind in SIZES:
        _check_dims(datasets, options.get(kind) or {})
    return {
        path: (
            dataset,
            make_plan(dataset, bounds=wanted[path], rules=_rules(policy, dataset), **_fitting(dataset, options)),
        )
        for path, dataset in datasets.items()
    }


def whole_plan(groups: Groups) -> list[VariablePlan]:
    """All plans in one, for people: names behind the paths of their groups."""
    return [
        replace(variable, name=join_path(path, variable.name))
        for path, (_, plan) in groups.items()
        for variable in plan
    ]


def _rules(policy: Policy | None, dataset: xr.Dataset) -> dict[str, Any]:
    return {} if policy is None else policy.rules(dataset)


def _fitting(dataset: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options for one group: lengths of the dimensions that it has."""
    fitting = {kind: {dim: n for dim, n in (options.get(kind) or {}).items() if dim in dataset.dims} for kind in SIZES}
    return {**options, **fitting}


def _share(datasets: Mapping[str, xr.Dataset], bounds: Mapping[str, Bound]) -> dict[str, dict[str, Bound]]:
    """Bounds by group."""
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
    return wanted


def _check_dims(datasets: Mapping[str, xr.Dataset], sizes: Mapping[str, int]) -> None:
    known = dict.fromkeys(dim for dataset in datasets.values() for dim in dataset.dims)
    for dim in sizes:
        if dim not in known:
            raise RequestError(f"there is no dimension {dim!r} to chunk; the dimensions: {', '.join(map(str, known))}")
