"""Maps of error, adiabat beside two peers at equal ratio: `python tests/benchmarks/error_gallery.py FILE:VARIABLE`.

First row: `Pyramid` at a bound, and SZ3 and quantise + JPEG XL at the bound at which they need no more bytes. Second
row: `Hyperprior` at a ratio, and SPERR and JPEG 2000 at their fixed rates. Prints ratio, RMSE and largest error of each
over the whole field; the maps show a part of it. What a map shows is decoded less source.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import small_png

from adiabat.codec import Hyperprior, Pyramid
from adiabat.formats.peers import KNOWN, Mode
from adiabat.formats.sources.cf import open_source

TRIES = 9  # halvings of the interval of bounds
LEVELS = 9  # colours of a map
CELLS = (90, 130)  # shown, of the field's


@dataclass(frozen=True)
class Panel:
    """What one codec gave."""

    name: str
    ratio: float
    error: np.ndarray  # (y, x)

    @property
    def said(self) -> str:
        """Its figures over the whole field."""
        rmse, largest = math.sqrt((self.error**2).mean()), np.abs(self.error).max()
        return f"{self.ratio:.1f} times smaller: RMSE {rmse:.3f}, largest {largest:.2f}"


def main() -> None:
    """Code, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="FILE:VARIABLE; its first frame")
    parser.add_argument("--bound", type=float, default=0.1, help="of Pyramid, absolute")
    parser.add_argument("--ratio", type=float, default=300.0, help="of Hyperprior")
    parser.add_argument("--corner", type=int, nargs=2, default=[130, 1180], help="first row and column that is shown")
    parser.add_argument("--out", type=Path, default=Path("spec/guide/error_maps.png"))
    options = parser.parse_args()
    path, _, name = options.source.rpartition(":")
    with open_source(Path(path)) as dataset:
        array = dataset[name]
        field = np.ascontiguousarray(array.values.reshape(-1, *array.shape[-2:])[0], np.float32)
        units = str(array.attrs.get("units", ""))
    print(f"{name} {field.shape} {units}, {datetime.date.today()}, {platform.machine()}")
    rows = [bounded(field, options.bound), at_ratio(field, options.ratio)]
    for panel in (panel for row in rows for panel in row):
        print(f"{panel.name:<24} {panel.said}", flush=True)
    top, left = options.corner
    shown = slice(top, top + CELLS[0]), slice(left, left + CELLS[1])
    size = draw(rows, shown, units, options.out)
    print(f"{options.out}: {size / 1e3:.0f} kB")


def bounded(field: np.ndarray, bound: float) -> list[Panel]:
    """Pyramid at a bound, SZ3 and JPEG XL at its bytes."""
    codec = Pyramid(bound={"abs": bound})
    stream = codec.encode(field)
    ours = Panel("adiabat Pyramid", field.nbytes / len(stream), error(codec.decode(stream), field))
    peers = [no_larger(name, KNOWN[name].bounded[0], field, bound, len(stream)) for name in ("sz3", "jpegxl")]
    return [ours, *peers]


def no_larger(name: str, mode: Mode, field: np.ndarray, bound: float, size: int) -> Panel:
    """The smallest bound at which a peer needs no more bytes."""
    low, high = math.log(bound / 4), math.log(bound * 8)
    for _ in range(TRIES):
        middle = (low + high) / 2
        low, high = (middle, high) if len(mode.encode(field, math.exp(middle))) > size else (low, middle)
    data = mode.encode(field, math.exp(high))
    return Panel(name, field.nbytes / len(data), error(mode.decode(data, field.shape), field))


def at_ratio(field: np.ndarray, ratio: float) -> list[Panel]:
    """Hyperprior, SPERR and JPEG 2000 at a ratio."""
    codec = Hyperprior(target={"ratio": ratio})
    stream = codec.encode(field)
    panels = [Panel("adiabat Hyperprior", field.nbytes / len(stream), error(codec.decode(stream), field))]
    for name in ("sperr", "jpeg2000"):
        mode = KNOWN[name].fixed[0]
        data = mode.encode(field, ratio)
        panels.append(Panel(name, field.nbytes / len(data), error(mode.decode(data, field.shape), field)))
    return panels


def error(decoded: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Decoded less source, in float64."""
    return np.asarray(decoded, np.float64).reshape(field.shape) - field


def draw(rows: list[list[Panel]], shown: tuple[slice, slice], units: str, target: Path) -> int:
    """One scale of colours a row: to twice the largest error of ours in the first, to three RMSE in the second."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    grid: Any = figure.subplots(len(rows), 3)
    for number, panels in enumerate(rows):
        ours = panels[0].error
        top = 2 * np.abs(ours).max() if number == 0 else 3 * math.sqrt((ours**2).mean())
        for axes, panel in zip(grid[number], panels, strict=True):
            image = axes.imshow(
                panel.error[shown], cmap=colormaps["RdBu_r"].resampled(LEVELS), vmin=-top, vmax=top,
                interpolation="nearest",
            )  # fmt: skip
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{panel.name}\n{panel.said}", fontsize=8.5)
        figure.colorbar(image, ax=grid[number], label=f"error ({units})", extend="both")
    return small_png.save(figure, target, dpi=84, colours=24)


if __name__ == "__main__":
    main()
