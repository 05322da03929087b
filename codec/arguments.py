"""What codecs are told, checked: one clear sentence for what makes no sense.

Used by `pyramid` and `latent_options`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import numpy as np

from adiabat.codec.statics import MAX_STATICS

__all__ = ["LARGEST", "finite", "hashes", "representable", "value_range"]

LARGEST = sys.float_info.max  # beyond it, an integer of JSON is no float


def finite(name: str, number: object) -> float:
    """A finite number, or TypeError or ValueError."""
    if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
        raise TypeError(f"expected a number for {name}, got {number!r}")
    value = number if isinstance(number, int) else float(number)
    if not -LARGEST <= value <= LARGEST:
        raise ValueError(f"expected a finite {name}, got {number!r} (NaN and infinities are always kept)")
    return float(value)


def hashes(static: Sequence[str] | None) -> tuple[str, ...] | None:
    """SHA-256 of static fields, or ValueError; None for none."""
    if static is None or (not isinstance(static, str) and len(static) == 0):
        return None
    good = not isinstance(static, str) and len(static) <= MAX_STATICS
    if not good or not all(isinstance(each, str) and re.fullmatch("[0-9a-f]{64}", each) for each in static):
        raise ValueError(f"expected static to hold up to {MAX_STATICS} SHA-256 in hexadecimal, got {static!r}")
    return tuple(static)


def value_range(limits: Sequence[float | None] | None) -> tuple[float | None, float | None] | None:
    """Lowest and highest value, or TypeError or ValueError; None for none."""
    if limits is None:
        return None
    if isinstance(limits, str) or not isinstance(limits, Sequence) or len(limits) != 2:
        raise TypeError(f"expected valid_range=(lowest, highest), got {limits!r}")
    low, high = (None if end is None else finite("valid_range", end) for end in limits)
    if low is not None and high is not None and low > high:
        raise ValueError(f"expected valid_range with lowest <= highest, got {limits!r}")
    return low, high


def representable(
    limits: tuple[float | None, float | None] | None, dtype: np.dtype[np.floating]
) -> tuple[float | None, float | None]:
    """Narrow limits to numbers of the dtype; an end beyond its range is no limit."""
    out: list[float | None] = []
    for end, inward in zip(limits or (None, None), (np.inf, -np.inf), strict=True):
        if end is None or abs(end) > float(np.finfo(dtype).max):
            out.append(None)
            continue
        number = np.float64(end).astype(dtype)
        if (float(number) - end) * inward < 0:
            number = np.nextafter(number, dtype.type(inward))
        out.append(float(number))
    if out[0] is not None and out[1] is not None and out[0] > out[1]:
        raise ValueError(f"expected a valid_range that holds a {dtype} number, got {limits}")
    return out[0], out[1]
