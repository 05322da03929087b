"""A policy's table as it stands in TOML, read and checked: errors name the file, the key and what was expected.

Stage: planning, used by `policies`.

    extends = "recommended"

    [variables.t2m]
    bound = "abs:0.1"
    valid_range = [170, 350]

    [standard_names.air_temperature]
    bound = "abs:0.1"
    units = "K"

    [quantities.10u]
    mean = 0.1
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from adiabat.formats.errors import RequestError
from adiabat.formats.policies.quantity import quantities
from adiabat.formats.policies.rule import MEAN_SHARE, Range, Rule
from adiabat.formats.policies.units import factor
from adiabat.formats.policy import Bound, is_target, parse_bound

__all__ = ["NAMED", "Entry", "Table", "read_named", "read_table"]

NAMED = ("recommended", "ensemble-spread")
KINDS = ("variables", "standard_names", "quantities")
KEYS = ("bound", "mean", "mean_rel", "valid_range", "units", "source", "note")


@dataclass(frozen=True)
class Entry:
    """One rule of a table, where it stands, and the units it is in, if it says."""

    place: str
    rule: Rule
    units: str | None = None


@dataclass(frozen=True)
class Table:
    """One file of rules, by what they are for."""

    name: str
    variables: Mapping[str, Entry]
    standard_names: Mapping[str, Entry]
    quantities: Mapping[str, Entry]
    extends: str = ""
    title: str = ""
    source: str = ""


@cache
def read_named(name: str) -> Table:
    """One of the tables that come with adiabat."""
    file = resources.files("adiabat.formats.policies") / f"{name}.toml"
    return _table(name, tomllib.loads(file.read_text(encoding="utf-8")))


def read_table(path: Path) -> Table:
    """A user's table.

    Raises
    ------
    RequestError
        If it is not TOML, or says what cannot be meant.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is not TOML: {error}") from None
    return _table(path.name, content)


def _table(name: str, content: Mapping[str, Any]) -> Table:
    for key in content:
        if key not in (*KINDS, "extends", "title", "source"):
            raise RequestError(f"{name}: expected tables {', '.join(KINDS)} and the key extends, got {key!r}")
    texts = {key: content.get(key, "") for key in ("extends", "title", "source")}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise RequestError(f"{name}: expected {key} to be text, got {text!r}")
    if texts["extends"] and texts["extends"] not in NAMED:
        raise RequestError(f"{name}: expected extends to be {' or '.join(NAMED)}, got {texts['extends']!r}")
    kinds = {}
    for kind in KINDS:
        rows = content.get(kind, {})
        if not isinstance(rows, dict):
            raise RequestError(f"{name}: expected [{kind}.NAME] to hold rules, got {kind} = {rows!r}")
        kinds[kind] = MappingProxyType(
            {key: _entry(name, kind, key, row, texts["source"]) for key, row in rows.items()}
        )
    return Table(name, kinds["variables"], kinds["standard_names"], kinds["quantities"], **texts)


def _entry(name: str, kind: str, key: str, row: object, source: str) -> Entry:
    place = f"{kind}.{key}"
    where = f"{name}: [{place}]"
    if not isinstance(row, dict):
        raise RequestError(f"{where} is expected to hold a bound, got {row!r}")
    for each in row:
        if each not in KEYS:
            raise RequestError(f"{where} knows {', '.join(KEYS)}, not {each!r}")
    if kind == "quantities" and key not in {each.key for each in quantities()}:
        raise RequestError(f"{where}: expected the GRIB short name of a known quantity, such as 2t, got {key!r}")
    if kind == "quantities" and "units" in row:
        raise RequestError(f"{where}: rules for quantities are in the units of the guide, so leave units out")
    units = _text(where, "units", row.get("units"))
    if units is not None and factor(units, units) is None:
        raise RequestError(f"{where}: expected units that can be converted, such as K or m s-1, got {units!r}")
    bound, mean = _bound(where, row)
    limits = _range(where, row.get("valid_range"))
    if bound is None and limits is None:
        raise RequestError(f"{where} is expected to hold bound, mean, mean_rel or valid_range, got none of them")
    said = "; ".join(each for each in (_text(where, "source", row.get("source")) or source, row.get("note")) if each)
    return Entry(place, Rule(bound=bound, valid_range=limits, mean=mean, source=said), units)


def _bound(where: str, row: Mapping[str, Any]) -> tuple[Bound | None, float | None]:
    """The bound of a row, and the mean; where only a mean is given, the bound follows from it."""
    bound: Bound | None = None
    text = _text(where, "bound", row.get("bound"))
    if text is not None:
        try:
            bound = parse_bound(text)
        except RequestError as error:
            raise RequestError(f"{where} bound: {error}") from None
    given = [key for key in ("mean", "mean_rel") if key in row]
    if not given:
        return bound, None
    if len(given) > 1:
        raise RequestError(f"{where}: expected mean or mean_rel, got both")
    kind = "abs" if given == ["mean"] else "rel"
    mean = _number(where, given[0], row[given[0]])
    if mean <= 0 or (kind == "rel" and mean >= MEAN_SHARE):
        wanted = "a number above 0" if kind == "abs" else f"a share above 0 and below {MEAN_SHARE}"
        raise RequestError(f"{where}: expected {given[0]} to be {wanted}, got {mean:g}")
    if bound is None:
        return {kind: float(f"{mean / MEAN_SHARE:.6g}")}, mean
    if is_target(bound) or isinstance(bound, str) or kind not in bound:
        raise RequestError(f"{where}: {given[0]} goes with a bound {kind}:X, got {text}")
    return bound, mean


def _range(where: str, ends: object) -> Range | None:
    if ends is None:
        return None
    if not isinstance(ends, list) or len(ends) != 2:
        raise RequestError(f"{where}: expected valid_range = [lowest, highest], inf for no end, got {ends!r}")
    low, high = (_number(where, "valid_range", end) for end in ends)
    if math.isnan(low) or math.isnan(high) or low > high:
        raise RequestError(f"{where}: expected valid_range from the lowest to the highest value, got {ends!r}")
    return (None if math.isinf(low) else low), (None if math.isinf(high) else high)


def _number(where: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{where}: expected {key} in numbers, got {value!r}")
    return float(value)


def _text(where: str, key: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{where}: expected {key} to be text, got {value!r}")
    return value
