"""The pictures of one variable, in the order of the page.

Stage: maps, curves -> **figures** -> page. Each has a caption for who sees it, and an alternative text, in figures, for
who does not.
"""

from __future__ import annotations

from collections.abc import Callable

from adiabat.formats.report.canvas import Picture
from adiabat.formats.report.curves import histogram, profile, series, spectrum
from adiabat.formats.report.facts import VariableFacts
from adiabat.formats.report.maps import error_map, field_map

__all__ = ["Picture", "draw", "draw_few"]

_ALL: tuple[Callable[[VariableFacts, str], Picture | None], ...] = (
    field_map,
    error_map,
    histogram,
    spectrum,
    profile,
    series,
)


def draw(facts: VariableFacts, prefix: str) -> list[Picture]:
    """All pictures there is something for."""
    return [picture for drawn in _ALL if (picture := drawn(facts, f"{prefix}-{drawn.__name__}")) is not None]


def draw_few(facts: VariableFacts, prefix: str) -> list[Picture]:
    """The two that say most: the map of the error and its histogram."""
    few = (error_map, histogram)
    return [picture for drawn in few if (picture := drawn(facts, f"{prefix}-{drawn.__name__}")) is not None]
