"""The log of the ablation as a table: error at equal bytes, mean and spread over seeds; JPEG 2000 beside.

Used by ablation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATIOS = (150, 300, 500, 1000)


def at_ratio(points: Sequence[Sequence[float]], ratio: float) -> float:
    """RMSE at a ratio, between points by their logarithms; NaN outside."""
    ratios, errors = (np.log([point[axis] for point in sorted(map(tuple, points))]) for axis in (0, 1))
    return float(np.exp(np.interp(math.log(ratio), ratios, errors, left=np.nan, right=np.nan)))


def table(log: dict[str, Any], test: str) -> Iterator[str]:
    """Lines: RMSE over the standard deviation at equal bytes, mean and spread over seeds."""
    yield f"{test}: RMSE / standard deviation at ratios of " + ", ".join(map(str, RATIOS))
    peer = log["peers"].get(test, [])
    if peer:
        yield _line("JPEG 2000", [[at_ratio(peer, ratio)] for ratio in RATIOS], "real bytes")
    names = list(dict.fromkeys(row["name"] for row in log["rows"] if test in row["points"]))
    for name in names:
        mine = [row for row in log["rows"] if row["name"] == name and test in row["points"]]
        for how in ("plain", "refined"):
            cells = [[at_ratio(row["points"][test][how], ratio) for row in mine] for ratio in RATIOS]
            yield _line(f"{name}, {how}", cells, f"{mine[0]['bytes']} bytes, {len(mine)} seeds")


def _line(name: str, cells: Sequence[Sequence[float]], note: str) -> str:
    texts = []
    for cell in cells:
        spread = f" +- {np.std(cell, ddof=1):.5f}" if len(cell) > 1 else ""
        texts.append(f"{np.mean(cell):.5f}{spread}")
    return f"{name:32s}" + "".join(f"{text:>22s}" for text in texts) + f"   {note}"


def jpeg2000(field: NDArray[np.float64], ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Ratio and RMSE, over the standard deviation, of JPEG 2000 on 16-bit samples; nothing without imagecodecs."""
    try:
        import imagecodecs
    except ImportError:
        return []
    low, span = float(field.min()), float(np.ptp(field))
    image = np.round((field - low) / span * 65535).astype(np.uint16)
    out = []
    for ratio in ratios:
        worse, finer = 1.0, 140.0
        for _ in range(16):
            level = (worse + finer) / 2
            coded = bytes(imagecodecs.jpeg2k_encode(image, level=level, codecformat="j2k", reversible=False))  # type: ignore[arg-type]
            worse, finer = (level, finer) if 4 * image.size / len(coded) > ratio else (worse, level)
        error = imagecodecs.jpeg2k_decode(coded).astype(np.float64) / 65535 * span + low - field
        out.append((4 * image.size / len(coded), float(np.sqrt(np.mean(error**2)) / field.std())))
    return out
