"""Coarse field, truth, mean and two samples side by side, with their spectra and semivariograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from adiabat.formats.block_means import repeat
from adiabat.formats.texture_scores import radial_spectrum, semivariogram

SHOWN = (80, 120)  # cells, of the middle
LINES = {"truth": "k", "bicubic": "0.6", "mean (U-Net)": "tab:blue", "sample": "tab:orange"}


def draw(name: str, made: dict[str, Any], factor: int, target: Path) -> None:
    """Save a page of the first frame; `made` has truth, coarse, base, mean and members."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    truth, members = made["truth"][0], made["members"][:, 0]
    pictures = {
        f"coarse, stored ({factor} x {factor})": repeat(made["coarse"][0], factor), "truth": truth,
        "mean (U-Net)": made["mean"][0], "generated, member 1": members[0], "generated, member 2": members[1],
    }  # fmt: skip
    low, high = np.percentile(_middle(truth, factor), [0.5, 99.5])
    figure = plt.figure(figsize=(13, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    places = [grid[0, 0:2], grid[0, 2:4], grid[0, 4:6], grid[1, 0:2], grid[1, 2:4]]
    for place, (title, picture) in zip(places, pictures.items(), strict=True):
        axes = figure.add_subplot(place)
        axes.imshow(_middle(picture, factor), vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
    spectra = grid[1, 4:6].subgridspec(2, 1)
    curves = dict(zip(LINES, (truth, made["base"][0], made["mean"][0], members[0]), strict=True))
    _spectra(figure.add_subplot(spectra[0]), curves)
    _variograms(figure.add_subplot(spectra[1]), {key: each - made["base"][0] for key, each in curves.items()})
    figure.suptitle(f"{name}: generated fields are not data, their block means are the stored values", fontsize=11)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=80)
    plt.close(figure)


def _middle(field: np.ndarray, factor: int) -> np.ndarray:
    """At most `SHOWN` of it, from the edge of a block on."""
    starts = [max(0, side - most) // 2 // factor * factor for side, most in zip(field.shape, SHOWN, strict=True)]
    return field[tuple(slice(start, start + most) for start, most in zip(starts, SHOWN, strict=True))]


def _spectra(axes: Any, curves: dict[str, np.ndarray]) -> None:
    from matplotlib.ticker import NullFormatter

    for name, field in curves.items():
        axes.loglog(*radial_spectrum(field), color=LINES[name], lw=1.2, label=name)
    axes.set_ylim(bottom=radial_spectrum(curves["truth"])[1].min() / 30)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("power by wavenumber (cycles a cell)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)


def _variograms(axes: Any, curves: dict[str, np.ndarray]) -> None:
    for name, field in curves.items():
        found = semivariogram(field)
        axes.plot(found.lag, found.semivariance, color=LINES[name], lw=1.2)
    axes.set_xscale("log")
    axes.set_title("semivariogram of the detail beyond bicubic, by lag (cells)", fontsize=8)
    axes.tick_params(labelsize=7)
