"""`Policy`: named tables of rules, and those of users on top of them -> a rule for each variable of a dataset.

Stage: planning. What somebody asks for by name on the command line wins over a policy; a default bound is for what the
policy does not know. A policy never speaks of integers, coordinates, flags, and variables of fewer than two dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.policies.quantity import Match, matches
from adiabat.formats.policies.rule import Rule
from adiabat.formats.policies.table import NAMED, Entry, Table, read_named, read_table
from adiabat.formats.policies.units import factor
from adiabat.formats.policy import is_flag

__all__ = ["Policy"]


@dataclass(frozen=True)
class Policy:
    """Rules by variable, standard name and quantity.

    Parameters
    ----------
    name : str
        ``recommended``, ``ensemble-spread``, or the path of a user's table.
    tables : tuple of Table
        The first that knows of a variable counts for it; a user's table stands before the one it extends.

    Examples
    --------
    >>> field = xr.DataArray([[280.0]], dims=("lat", "lon"), attrs={"units": "K"})
    >>> Policy.load("recommended").rules(xr.Dataset({"t2m": field}))["t2m"].bound
    {'abs': 0.05}
    """

    name: str
    tables: tuple[Table, ...]

    @staticmethod
    def names() -> tuple[str, ...]:
        """The policies that come with adiabat."""
        return NAMED

    @classmethod
    def load(cls, name: str | Path) -> Policy:
        """Find a policy by its name, or read one from a TOML file.

        Parameters
        ----------
        name : str or path
            A name that `Policy.names` lists, or the path of a table.

        Returns
        -------
        Policy

        Raises
        ------
        RequestError
            If there is none, or the file says what cannot be meant; it names the file and the key.
        """
        if str(name) in NAMED:
            table = read_named(str(name))
        else:
            path = Path(name)
            if not path.is_file():
                known = " or ".join(NAMED)
                raise RequestError(f"{str(name)!r} is not a policy: write {known}, or the path of a TOML file")
            table = read_table(path)
        tables = [table]
        while tables[-1].extends:
            tables.append(read_named(tables[-1].extends))
        return cls(str(name), tuple(tables))

    def rules(self, dataset: xr.Dataset) -> dict[str, Rule]:
        """The rules for the float data variables of a dataset, in their own units.

        Parameters
        ----------
        dataset : xarray.Dataset
            Names, attributes and coordinates count; no value is read.

        Returns
        -------
        dict of str to Rule
            Only of variables that the policy knows.

        Raises
        ------
        RequestError
            If a user's table names a variable in other units than its own.
        """
        found = {str(name): self._rule(array)[0] for name, array in _fields(dataset)}
        return {name: rule for name, rule in found.items() if rule is not None}

    def notes(self, dataset: xr.Dataset) -> list[str]:
        """What should be said aloud: what was converted, and what is not what its name says.

        Examples
        --------
        >>> field = xr.DataArray([[0.01]], dims=("lat", "lon"), attrs={"units": "kg m-2"})
        >>> Policy.load("recommended").notes(xr.Dataset({"tp": field}))
        ['tp has units kg m-2, and total precipitation is in m']
        """
        out = []
        for _, array in _fields(dataset):
            rule, reason = self._rule(array)
            if rule is None and reason:
                out.append(reason)
            elif rule is not None and rule.remark:
                out.append(f"{array.name}: {rule.remark}")
        return out

    def _rule(self, array: xr.DataArray) -> tuple[Rule | None, str]:
        """The rule of one variable, or why it has none."""
        found, reason = matches(array)
        rule: Rule | None = None
        for table in reversed(self.tables):  # what extends comes after what it extends, and changes it
            by_quantity = [each for match in found if (each := _of_quantity(table, match, array)) is not None]
            if by_quantity:
                rule = min(by_quantity, key=_tightness)
            for entry in (
                table.standard_names.get(str(array.attrs.get("standard_name", ""))),
                table.variables.get(str(array.name)),
            ):
                rule = rule if entry is None else _over(entry, rule, array, table)
        return rule, reason


def _fields(dataset: xr.Dataset) -> list[tuple[str, xr.DataArray]]:
    """Variables that a policy may speak of."""
    return [
        (str(name), array)
        for name, array in dataset.data_vars.items()
        if array.dtype.kind == "f" and array.ndim >= 2 and not is_flag(array)
    ]


def _of_quantity(table: Table, match: Match, array: xr.DataArray) -> Rule | None:
    """A table's rule for a quantity, in the units of the variable that was found to be one."""
    quantity = match.quantity
    entry = table.quantities.get(quantity.key)
    if entry is None:
        return None
    limits = entry.rule.valid_range or quantity.limits
    rule = replace(entry.rule, valid_range=limits, name=f"{table.name}: {quantity.key}")
    converted = rule.within(match.factor)
    if converted == rule:
        return rule
    units = array.attrs.get("units")
    return replace(converted, remark=f"{quantity.label} in {units}, 1 of which is {match.factor:.6g} {quantity.units}")


def _over(entry: Entry, rule: Rule | None, array: xr.DataArray, table: Table) -> Rule:
    """What a user says of a variable, over what was known of it."""
    asked = entry.rule
    if entry.units is not None:
        units = str(array.attrs.get("units", ""))
        size = factor(units, entry.units)
        if size is None:
            raise RequestError(
                f"{table.name}: {entry.place} is in {entry.units}, and {array.name} has units {units or 'not stated'}"
            )
        asked = asked.within(size)
    if rule is None:
        return replace(asked, name=f"{table.name}: {entry.place}")
    mean = asked.mean if asked.bound is not None else rule.mean  # the mean of another bound is not promised
    return Rule(
        bound=rule.bound if asked.bound is None else asked.bound,
        valid_range=asked.valid_range or rule.valid_range,
        mean=mean,
        name=f"{table.name}: {entry.place}",
        source=asked.source or (rule.source if asked.bound is None else ""),
    )


def _tightness(rule: Rule) -> tuple[int, float]:
    """Of two rules for what may be either, the one that keeps both."""
    if rule.bound == "lossless":
        return 0, 0.0
    if isinstance(rule.bound, Mapping):
        return (1 if "abs" in rule.bound else 2), float(np.min(next(iter(rule.bound.values()))))
    return 3, 0.0
