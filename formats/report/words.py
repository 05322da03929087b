"""Numbers and places as the page says them.

Stage: facts -> **words** -> figures, page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from adiabat.formats.policy import Bound, format_bound, is_target

__all__ = ["bound_words", "bytes_words", "count", "number", "percent"]


def number(value: float | None, digits: int = 3) -> str:
    """A few digits that count; no more than are meant.

    Examples
    --------
    >>> number(0.0999755), number(293.15, 5), number(float("nan")), number(-0.0), number(123456.7)
    ('0.1', '293.15', 'none', '0', '1.23e+05')
    """
    if value is None or math.isnan(value):
        return "none"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    said = f"{value + 0.0:.{digits}g}"
    if "e" not in said and abs(value) >= 10**digits:
        said = f"{value:.0f}"
    return said


def count(value: int) -> str:
    """A whole number in groups of three.

    Examples
    --------
    >>> count(1038240)
    '1,038,240'
    """
    return f"{value:,}"


def bytes_words(size: int) -> str:
    """A size in the unit that fits, of powers of ten.

    Examples
    --------
    >>> bytes_words(105192), bytes_words(12), bytes_words(3_100_000_000)
    ('105 kB', '12 bytes', '3.1 GB')
    """
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10**power:
            return f"{size / 10**power:.3g} {unit}"
    return f"{size} bytes"


def percent(share: float) -> str:
    """A share as a percentage; never 100 where something is missing, nor 0 where something is there.

    Examples
    --------
    >>> percent(0.5), percent(0.99999), percent(1.0), percent(1e-9), percent(0.0)
    ('50 %', 'over 99.9 %', '100 %', 'under 0.1 %', '0 %')
    """
    if math.isnan(share):
        return "none"
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.3g} %"


def bound_words(bound: Bound, units: str, dims: tuple[str, ...] = ()) -> str:
    """A bound in words.

    Examples
    --------
    >>> bound_words({"abs": 0.1}, "K"), bound_words({"rel": 0.01}, "K"), bound_words("lossless", "K")
    ('0.1 K', '1 % of each value', 'kept exactly')
    >>> bound_words({"rmse": 0.5}, "K")
    'none: a target of RMSE 0.5 K'
    """
    if bound == "lossless":
        return "kept exactly"
    if not isinstance(bound, Mapping):
        return "none"
    if is_target(bound):
        return f"none: a target of RMSE {bound['rmse']:.6g} {units}".rstrip() if "rmse" in bound else (
            f"none: a target of ratio {bound['ratio']:.6g}"
        )  # fmt: skip
    if "rel" in bound:
        return f"{100 * bound['rel']:.6g} % of each value"
    if "noise" in bound:
        return f"{bound['noise']:.6g} standard deviations of the noise"
    text = format_bound(bound, dims).removeprefix("abs:")
    if " along " in text:
        sizes, _, along = text.partition(" along ")
        return f"{sizes.replace('..', ' to ')} {units}".rstrip() + f", by {along}"
    return f"{text} {units}".rstrip()
