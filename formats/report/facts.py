"""What the report knows: of each variable what a sample of it tells, and of the archive what its files tell.

Stage: collect -> **facts** -> figures, tables -> page. Everything drawn or written on the page is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from adiabat.formats.downstream import DownstreamCheck
from adiabat.formats.extremes import Extreme
from adiabat.formats.inventory import ArrayInventory
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.policy import Bound
from adiabat.formats.report.axes import Axes
from adiabat.formats.report.measures import Histogram, Map, Profile, Roughness, Series
from adiabat.formats.report.pairs import Pair
from adiabat.formats.report.scores import Scores, Spectrum

__all__ = ["Range", "ReportFacts", "VariableFacts"]

_NO_UNITS = ("1", "none", "unitless", "dimensionless")


@dataclass(frozen=True)
class Range:
    """Smallest and largest value of the sample on both sides, how many are missing, and how many below zero."""

    source: tuple[float, float]
    stored: tuple[float, float]
    missing: int
    negative: tuple[int, int]


@dataclass(frozen=True)
class VariableFacts:
    """One variable.

    Attributes
    ----------
    pair : Pair
        Its name, bound, and labels of its axes.
    axes : Axes
    values, sampled : int
        How many there are, and how many were looked at.
    problem : str or None
        What is wrong, in words.
    errors : ErrorSummary or None
        Of the sample; None where nothing was compared.
    row : ArrayInventory or None
        Its array in the store; None for factors.
    written_bytes : int
    noted : mapping
        What the store says was achieved over all values when it was written.
    """

    pair: Pair
    axes: Axes
    values: int
    sampled: int
    problem: str | None
    errors: ErrorSummary | None
    row: ArrayInventory | None = None
    written_bytes: int = 0
    noted: Mapping[str, float] = field(default_factory=dict)
    range: Range | None = None
    histogram: Histogram | None = None
    map: Map | None = None
    profile: Profile | None = None
    series: Series | None = None
    roughness: tuple[Roughness, ...] = ()
    spectrum: Spectrum | None = None
    scores: Scores | None = None
    extremes: Mapping[str, list[Extreme]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Behind the path of its group."""
        return self.pair.name

    @property
    def bound(self) -> Bound:
        """As the store states it."""
        return self.pair.bound

    @property
    def units(self) -> str:
        """Of the source; empty where it has none."""
        units = str(self.pair.source.attrs.get("units", "")).strip()
        return "" if units.lower() in _NO_UNITS else units

    @property
    def ratio(self) -> float:
        """Bytes of the array as float32 over all bytes written for it; NaN where these are not known."""
        return 4 * self.values / self.written_bytes if self.written_bytes else math.nan


@dataclass(frozen=True)
class ReportFacts:
    """The archive: what was compared, every variable, and what the whole store comes to."""

    source: str
    target: str
    made: datetime
    versions: Mapping[str, str]
    variables: tuple[VariableFacts, ...]
    coordinates: tuple[VariableFacts, ...]
    values: int
    written_bytes: int
    downstream: tuple[DownstreamCheck, ...] = ()

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by variable."""
        return {each.name: each.problem for each in (*self.variables, *self.coordinates) if each.problem}

    @property
    def sampled(self) -> int:
        """Values looked at, coordinates included."""
        return sum(each.sampled for each in (*self.variables, *self.coordinates))

    @property
    def ratio(self) -> float:
        """Bytes of all arrays as float32 over all bytes of the store."""
        return 4 * self.values / self.written_bytes if self.written_bytes else math.nan
