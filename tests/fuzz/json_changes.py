"""Other JSON from JSON: one value of it replaced by one that somebody may not have thought of."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

HUGE = 10**400
DEEP = 20000
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e308, 5e-324, 2**31, 2**63, -(2**63), HUGE, float("inf"), float("nan"),
    "", "x", "abs", "f4", "O", "<M8[ns]", "U99999999", "i4,", "../x", "/etc/passwd", "\ud800", "a" * 64,
    "0" * 5000, [], {}, [[]], [0], [1.5, 2.5], ["x", "y"], [True, 1], [HUGE, 1], {"abs": 1}, {"": None}, [None, None],
)  # fmt: skip


def change_json(data: bytes, size: int, seed: int, change: Callable[[bytes, int], bytes]) -> bytes:
    """Replace, remove, repeat or nest a value of a JSON text; now and then change its bytes."""
    rng = random.Random(seed)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return change(data, size)
    if rng.random() < 0.25:
        return change(data, size)
    changed = json.dumps(_changed(value, rng), allow_nan=True).encode("utf-8", "surrogatepass")
    return changed if len(changed) <= size else change(data, size)


def _changed(value: Any, rng: random.Random) -> Any:
    inside = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not inside or rng.random() < 0.1:
        return _odd(value, rng)
    key = inside[rng.randrange(len(inside))]
    if isinstance(value, dict):
        kept = dict(value)
        if rng.random() < 0.1:
            del kept[key]
        elif rng.random() < 0.1:
            kept[str(ODD[rng.randrange(len(ODD))])[:20]] = kept[key]
        else:
            kept[key] = _changed(kept[key], rng)
        return kept
    return [_changed(each, rng) if at == key else each for at, each in enumerate(value)] + (
        [1] if rng.random() < 0.05 else []
    )


def _odd(value: Any, rng: random.Random) -> Any:
    if isinstance(value, int | float) and rng.random() < 0.4:
        return value * rng.randint(-3, 8) + rng.randint(-2, 2)
    return ODD[rng.randrange(len(ODD))]
