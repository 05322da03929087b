"""Thirty hours of the generated view, one after another: errors by step, and how long its detail is remembered.

Frames are generated each from its own coarse field, with noise that is new each hour, shared by neighbouring hours
(`persistence`), or the same for all. The detail is what is beyond bicubic interpolation.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from adiabat.codec.downscaler_model import DownscalerModel
from adiabat.formats.block_means import block_means, interpolate
from adiabat.formats.conditions import roughness
from adiabat.formats.downscaling import Downscaling, Settings
from adiabat.formats.likeness import Likeness, gains_of, likeness
from adiabat.formats.texture_scores import WalkScores, autocorrelation, score_walk

SERIES = "era5_regional/era5-2mt-2019-03-uk.grib", "t2m"  # 744 hours of 33 x 49 cells
STEPS, LAGS, FACTOR = 30, 6, 4
NOISES: dict[str, int | None] = {"new each hour": 0, "persistence 2": 2, "persistence 6": 6, "one for all": None}
Row = dict[str, Any]


def series(options: argparse.Namespace) -> tuple[np.ndarray, Likeness]:
    """The last 30 hours, and what the first half of the series tells."""
    file, name = SERIES
    with xr.open_dataset(options.data / file, engine="cfgrib", backend_kwargs={"indexpath": ""}) as dataset:
        values = np.asarray(dataset[name].values, np.float64)
    height, width = (side // FACTOR * FACTOR for side in values.shape[1:])
    values = values[:, :height, :width]
    first = values[: len(values) // 2]
    return values[-STEPS:], likeness(xr.DataArray(first), FACTOR)


def walk(
    model: DownscalerModel, truth: np.ndarray, told: Likeness, persistence: int | None, options: argparse.Namespace
) -> np.ndarray:
    """All frames, member 0."""
    coarse = block_means(truth, FACTOR)
    settings = Settings(FACTOR, roughness(coarse), seed=options.seed, steps=options.steps, grain=told.grain)
    settings = replace(settings, gains=gains_of(xr.DataArray(coarse), model, settings, told.spread))
    region = tuple(slice(0, side) for side in truth.shape[1:])
    frames = [
        Downscaling(each, model=model, settings=replace(settings, persistence=persistence)).sample(region, 0, hour)
        for hour, each in enumerate(coarse)
    ]
    return np.stack(frames).astype(np.float64)


def print_walk(model: DownscalerModel, options: argparse.Namespace, console: Console) -> dict[str, Row]:
    """A line for each kind of noise, and the truth's."""
    truth, told_of = series(options)
    base = interpolate(block_means(truth, FACTOR), FACTOR)
    table = Table(
        title=f"{STEPS} hours of 2 m temperature, {FACTOR} x", title_justify="left", box=None, title_style="bold"
    )
    heads = (
        "noise",
        "RMSE, first 10",
        "last 10 hours",
        "top octave",
        *(f"detail at {k} h" for k in range(1, LAGS + 1)),
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "noise" else "right")
    rows: dict[str, Row] = {}
    for name, persistence in NOISES.items():
        made = walk(model, truth, told_of, persistence, options)
        scores: WalkScores = score_walk(truth, made, lags=LAGS)
        memory = autocorrelation(made - base, LAGS)
        told = (scores.rmse[:10].mean(), scores.rmse[-10:].mean(), np.exp(np.log(scores.top_octave).mean()))
        table.add_row(name, *(f"{each:.3f}" for each in (*told, *memory[1:])))
        rows[name] = scores.as_dict() | {"detail": memory.tolist()}
    true = autocorrelation(truth - base, LAGS)
    table.add_row("truth", "", "", "", *(f"{each:.3f}" for each in true[1:]))
    console.print(table)
    return rows | {"truth": {"detail": true.tolist()}}
