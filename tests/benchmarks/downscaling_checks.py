"""What the generated view promises beside its scores: times, stitching, seams, steps, threads, batches, block means."""

from __future__ import annotations

import argparse
import os
import statistics
import time
import unittest.mock
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

from adiabat.codec.downscaler_model import DownscalerModel
from adiabat.formats import stitching
from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import conditions, roughness
from adiabat.formats.downscaling import Downscaling, Settings
from adiabat.formats.stitching import TILE
from adiabat.formats.texture_scores import octave_ratio

FACTOR = 4
FIELD = (160, 240)
PATCH = 64
MEMBERS = 4
FINE_STEPS = 250
Row = dict[str, Any]


def rough_field(shape: tuple[int, int], seed: int = 1) -> np.ndarray:
    """A field whose spectrum falls as weather's does, k^-3 by wave, of variance 1 and alike everywhere."""
    rng, size = np.random.default_rng(seed), 1 << (max(shape) - 1).bit_length() + 1
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    k[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) * k**-1.5)
    return np.asarray(field[: shape[0], : shape[1]] / field.std() + 10)


def view_of(
    model: DownscalerModel,
    shape: tuple[int, int],
    options: argparse.Namespace,
    *,
    steps: int | None = None,
    patch: int | None = None,
) -> Downscaling:
    """The view of the same field each time."""
    coarse = block_means(rough_field(shape), FACTOR)
    settings = Settings(FACTOR, roughness(coarse), seed=options.seed, steps=steps or options.steps)
    return Downscaling(coarse, model=model, settings=settings, patch=patch)


def whole(shape: tuple[int, int]) -> tuple[slice, slice]:
    """All of it."""
    return slice(0, shape[0]), slice(0, shape[1])


def seconds(action: Callable[[], Any], repeat: int = 3) -> float:
    """Median, after one run that is not counted."""
    action()
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def timing(model: DownscalerModel, options: argparse.Namespace) -> list[Row]:
    """Of a field of 160 x 240, all that is made ready included."""
    rows = []
    for threads in (1, 2):
        run = replace(model, threads=threads)
        taken = seconds(lambda run=run: view_of(run, FIELD, options).sample(whole(FIELD)))
        mean = seconds(lambda run=run: view_of(run, FIELD, options).mean(whole(FIELD)))
        kind = f"160 x 240, threads: {threads}"
        rows.append(row(f"{kind}, a sample of {options.steps} evaluations", taken, "s", "at most 10", taken <= 10))
        rows.append(row(f"{kind}, the mean alone", mean, "s", "at most 0.5", mean <= 0.5))
    return rows


def patches(model: DownscalerModel, options: argparse.Namespace) -> list[Row]:
    """Generated variance, sample less mean, in patches over that in one piece."""
    parts = []
    for patch in (None, PATCH):
        view = view_of(model, FIELD, options, patch=patch)
        made = [view.sample(whole(FIELD), member=k).astype(np.float64) for k in range(MEMBERS)]
        parts.append(np.mean([(each - view.mean(whole(FIELD))).var() for each in made]))
    kept = float(parts[1] / parts[0])
    return [row(f"variance in patches of {PATCH} over one piece", kept, "", "0.95 to 1.05", 0.95 <= kept <= 1.05)]


def seams(model: DownscalerModel, options: argparse.Namespace) -> list[Row]:
    """The same sample in tiles and in one piece: steps of its detail where tiles meet, and how far the two differ."""
    shape = (2 * TILE, 3 * TILE)
    view = view_of(model, shape, options)
    with unittest.mock.patch.object(stitching, "TILE", 4 * max(shape)):
        piece = view_of(model, shape, options)
    sigma = conditions(view.coarse, factor=FACTOR, scale=view.settings.scale).sigma
    tiled, single = (
        (each.sample(whole(shape)).astype(np.float64) - each.mean(whole(shape))) / sigma for each in (view, piece)
    )
    at, alone = (
        np.concatenate([
            np.abs(np.diff(values, axis=0))[[tile.start - 1 for tile in parts[1:]]].ravel()
            for values, parts in ((detail, view.down), (detail.T, view.across))
        ]).mean()
        for detail in (tiled, single)
    )  # fmt: skip
    size, edge = np.abs(np.diff(tiled, axis=1)), np.arange(1, shape[1]) % FACTOR == 0
    blocks = float(size[:, edge].mean() / size[:, ~edge].mean())
    apart = float(np.abs(tiled - single).max() / single.std())
    return [
        row("mean step from tile to tile, over the same cells in one piece", float(at / alone), "", "0.95 to 1.05",
            0.95 <= at / alone <= 1.05),
        row("largest difference of tiles from one piece, of the detail", apart, "std", "", True),
        row("mean step from block to block over within blocks", blocks, "", "", True),
    ]  # fmt: skip


def steps(model: DownscalerModel, options: argparse.Namespace) -> list[Row]:
    """Spectra of few steps over those of many, of the same noise, by octave."""
    few, many = (
        [view_of(model, FIELD, options, steps=count).sample(whole(FIELD), member=k) for k in range(MEMBERS)]
        for count in (options.steps, FINE_STEPS)
    )
    power = [float(each) for each in octave_ratio(np.stack(many), np.stack(few))]
    name = f"{options.steps} against {FINE_STEPS} steps, power by octave, finest last"
    text = " ".join(f"{each:.3f}" for each in power)
    return [row(name, text, "", "0.9 to 1.1", all(0.9 <= each <= 1.1 for each in power))]


def repeats(model: DownscalerModel, options: argparse.Namespace) -> list[Row]:
    """The same seed once more: threads, and a part alone beside the whole (other batches of tiles)."""
    shape = (2 * TILE, 2 * TILE)
    first = view_of(model, shape, options).sample(whole(shape)).astype(np.float64)
    spread = float(first.std())
    other = view_of(replace(model, threads=2), shape, options).sample(whole(shape))
    part = (slice(TILE - 40, TILE + 30), slice(100, TILE + 90))
    alone = view_of(model, shape, options).sample(part)
    coarse = block_means(rough_field(shape), FACTOR)
    found = {
        "1 against 2 threads": np.abs(other - first).max() / spread,
        "a part alone against the crop of the whole": np.abs(alone - first[part]).max() / spread,
        "block means of a sample against the coarse field": np.abs(block_means(first, FACTOR) / coarse - 1).max(),
    }
    limits = (1e-3, 1e-3, 1e-6)
    units = ("std", "std", "relative")
    return [
        row(name, float(value), unit, f"at most {limit:g}", bool(value <= limit))
        for (name, value), unit, limit in zip(found.items(), units, limits, strict=True)
    ]


def row(name: str, value: float | str, unit: str, wanted: str, good: bool) -> Row:
    """One line."""
    return {"name": name, "value": value, "unit": unit, "wanted": wanted, "good": bool(good)}


def print_checks(model: DownscalerModel, options: argparse.Namespace, console: Console) -> list[Row]:
    """A line for each, as it is found."""
    console.print(
        f"checks, on a simulated field; load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores", style="bold"
    )
    rows: list[Row] = []
    for check in (timing, patches, seams, steps, repeats):
        for each in check(model, options):
            value = each["value"] if isinstance(each["value"], str) else f"{each['value']:.3g} {each['unit']}"
            wanted = f"({each['wanted']})" if each["wanted"] else ""
            console.print(f"  {each['name']:62s} {value:20s} {wanted:16s} {'' if each['good'] else 'MISSED'}")
            rows.append(each)
    return rows
