"""What all pictures of the page have in common: size, places, colours, and words for their captions.

Stage: **canvas** -> maps, curves -> figures. Colours: cividis and a blue-white-orange map; a blue and an orange that
stand out from light and dark pages. People with any colour vision tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from adiabat.formats.report.facts import VariableFacts
from adiabat.formats.report.svg import INK
from adiabat.formats.report.words import number

__all__ = ["ABOVE", "BAR", "BLUE", "GAP", "LOWER", "MAP", "ORANGE", "PLOT", "UPPER", "Picture"]
__all__ += ["logarithmic", "make_axes", "style", "units_of", "with_units"]

BLUE, ORANGE = "#2a7fc9", "#d1620a"  # at least 3 to 1 against the page, light and dark
SIZE = 4.7, 2.9  # inches
PLOT, MAP, BAR = (0.185, 0.17, 0.795, 0.72), (0.14, 0.17, 0.625, 0.73), (0.785, 0.17, 0.03, 0.73)
UPPER, LOWER = (0.185, 0.45, 0.795, 0.44), (0.185, 0.17, 0.795, 0.23)
ABOVE = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 3, "borderaxespad": 0.2}
GAP = (0.5, 0.5, 0.5, 0.45)  # where there is no value
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 4),
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    "text.parse_math": False,  # names of variables are not formulas
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Picture:
    """One figure: its SVG, and the caption under it."""

    svg: str
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the page."""
    import matplotlib

    told: Any = STYLE  # its types name every key there is
    with matplotlib.rc_context(told):
        yield


def make_axes(*places: tuple[float, float, float, float]) -> tuple[Any, list[Any]]:
    """A figure with axes at fixed places, in shares of its sides: to look for room takes longer than to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE)
    return figure, [figure.add_axes(place) for place in places]


def logarithmic(axes: Any, *sides: str) -> None:
    """Powers of ten in plain characters: matplotlib's formulas take longer to set than all else to draw."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for side in sides:
        getattr(axes, f"set_{side}scale")("log")
        axis = getattr(axes, f"{side}axis")
        low, high = axis.get_data_interval()
        few = low > 0 and high < 100 * low
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda x, _: _power_of_ten(x)))


def _power_of_ten(x: float) -> str:
    if 1e-3 < x < 1e4:
        return number(x, 4)
    raised = str(round(np.log10(x))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")) if x > 0 else ""
    times = x / 10.0 ** round(np.log10(x)) if x > 0 else 0.0
    return f"10{raised}" if abs(times - 1) < 1e-6 else f"{x:.0e}"


def with_units(value: float, facts: VariableFacts, digits: int = 3) -> str:
    """A number in the units of the variable."""
    return f"{number(float(value), digits)} {facts.units}".rstrip()


def units_of(facts: VariableFacts) -> str:
    """For the label of an axis."""
    return facts.units or "units of the variable"
