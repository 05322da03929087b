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
    if set(datasets) == {"/"}:
        wanted = {"/": dict(bounds)}
    else:
        wanted = _share(datasets, bounds)
        for kind in SIZES:
            _check_dims(datasets, options.get(kind) or {})
    return {
        path: (
            dataset,
            make_plan(
                dataset, bounds=wanted[path], rules=_rules(policy, dataset), **_fitting(dataset, options, datasets)
            ),
        )
        for path, dataset in datasets.items()
    }


def whole_plan(groups: Groups) -> list[VariablePlan]:
    """All plans in one, for people: names behind the paths of their groups."""
    return [
        variable if path == "/" else replace(variable, name=f"{path.strip('/')}/{variable.name}")
        for path, (_, plan) in groups.items()
        for variable in plan
    ]


def _rules(policy: Policy | None, dataset: xr.Dataset) -> dict[str, Any]:
    return {} if policy is None else policy.rules(dataset)


def _fitting(dataset: xr.Dataset, options: Mapping[str, Any], datasets: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """Options for one group of many: lengths of the dimensions that it has."""
    if len(datasets) == 1:
        return dict(options)
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
    known = {dim for dataset in datasets.values() for dim in dataset.dims}
    for dim in sizes:
        if dim not in known:
            raise RequestError(f"there is no dimension {dim!r} to chunk; the dimensions: {', '.join(map(str, known))}")
