"""How good a trained network of the generated view is, on fields kept apart: scores of its mean, samples and ensemble.

Used by downscale_table; in torch, so that nothing need be exported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adiabat.formats.autocorrelation import score_walk
from adiabat.formats.block_means import approach, block_means, interpolate, project
from adiabat.formats.conditions import Conditions, Grain, conditions, roughness
from adiabat.formats.sampler import sample
from adiabat.formats.texture_scores import score_texture
from adiabat.training.data import Fields
from adiabat.training.downscale_data import MULTIPLE, grain_of, scale_of
from adiabat.training.downscale_net import VAE, Downscaler, RecordNet, Z

__all__ = ["bicubic", "judge", "walk"]

MEMBERS = 16
STEPS = 20
FRAMES = 1  # of each series
LARGEST = 256  # cells along a side
OF_ERROR = ("rmse", "crps", "r2", "wasserstein", "tail_wasserstein")  # means over variables; medians of the others
Floats = NDArray[np.float32]


def judge(
    net: Downscaler | VAE, fields: Sequence[Fields], factor: int, *, like: Sequence[Fields] = (), seed: int = 0
) -> dict[str, dict[str, float]]:
    """Scores by method, over variables: errors in standard deviations of each (means), ratios to the truth (medians).

    Parameters
    ----------
    net : Downscaler or VAE
        The first gives "mean", "sample" and "mean of 16", the second the last two.
    fields : sequence of Fields
        That were kept apart; one level of each and one of its frames.
    factor : int
    like : sequence of Fields
        Earlier ones of the same names, which tell the grain.
    seed : int
    """
    draw = torch.Generator().manual_seed(seed)
    rows: dict[str, list[dict[str, float]]] = {}
    earlier = {each.name: each for each in like}
    for name, truth in _truths(fields, factor):
        coarse = block_means(truth, factor)
        told = _told(earlier[name], factor) if name in earlier else None
        found = conditions(coarse, factor=factor, scale=roughness(coarse), grain=told)
        mean, members = _vae(net, found, draw) if isinstance(net, VAE) else _ddpm(net, found, draw)
        made = np.stack([_onto(found.base + found.sigma * member, coarse, factor) for member in members])
        methods = {"sample": (made[0], made), f"mean of {MEMBERS}": (made.mean(0), None)}
        if mean is not None:
            methods["mean"] = _onto(found.base + found.sigma * mean, coarse, factor), None
        for method, (one, several) in methods.items():
            rows.setdefault(method, []).append(_scores(truth, one, several))
    return {name: _summary(scores) for name, scores in rows.items()}


def bicubic(fields: Sequence[Fields], factor: int) -> dict[str, float]:
    """The same scores of interpolation alone."""
    rows = []
    for _, truth in _truths(fields, factor):
        coarse = block_means(truth, factor)
        rows.append(_scores(truth, _onto(interpolate(coarse, factor), coarse, factor), None))
    return _summary(rows)


def walk(net: RecordNet, series: NDArray[Any], factor: int, *, steps: int = 30) -> dict[str, Any]:
    """Walk the coarse record of a series (time, y, x) by itself, step by step, and compare it with what came."""
    height, width = (side // factor * factor for side in series.shape[-2:])
    truth = block_means(series[: steps + 1, :height, :width], factor)
    scale, now = roughness(truth), truth[0]
    made = [now]
    for _ in range(steps):
        inputs = conditions(now, factor=factor, scale=scale).coarse_inputs
        local = np.exp(2.0 * inputs[1]) * scale
        with torch.no_grad():
            step = net(torch.from_numpy(np.concatenate([inputs, np.zeros_like(inputs[:1])])[None]))
        now = now + local * step.numpy()[0, 0]
        made.append(now)
    found = score_walk(truth, np.stack(made), lags=10)
    still = score_walk(truth, np.broadcast_to(truth[:1], truth.shape), lags=10)
    return {
        "autocorrelation": _short(found.generated), "truth": _short(found.truth),
        "rmse": _short(found.rmse[[1, 10, -1]]), "persistence": _short(still.rmse[[1, 10, -1]]),
    }  # fmt: skip


def _truths(fields: Sequence[Fields], factor: int) -> list[tuple[str, NDArray[np.float64]]]:
    """Name and (frames, y, x) of each variable, sides cut to what every network can take."""
    cut = math.lcm(factor, MULTIPLE)
    made = []
    for each in fields:
        frames = each.values[:: max(1, len(each.values) // FRAMES)][:FRAMES, each.values.shape[1] // 2]
        height, width = (min(LARGEST, side // cut * cut) for side in each.grid)
        truth = frames[:, :height, :width].astype(np.float64)
        if np.isfinite(truth).all() and truth.std() > 0 and min(height, width) >= 2 * cut:
            made.append((each.name, truth))
    return made


def _told(earlier: Fields, factor: int) -> Grain:
    """Of the level that is judged."""
    level = earlier.values.shape[1] // 2
    return grain_of(earlier.values[:, level], scale_of(earlier, level, factor))


def _ddpm(net: Downscaler, found: Conditions, draw: torch.Generator) -> tuple[Floats, Floats]:
    """Mean (frames, y, x) and members (16, frames, y, x) of the residual."""
    with torch.no_grad():
        fine, features = torch.from_numpy(found.fine_inputs), net.features(torch.from_numpy(found.coarse_inputs))
        mean = net.mean(features, fine)
        many = [_repeated(each) for each in (features, fine, mean)]
        noise = torch.randn(len(many[0]), 1, *fine.shape[2:], generator=draw)
        rest = sample(lambda x, t: net.velocity(x, torch.full((len(x),), t), *many), noise, STEPS)
        members = many[2][:, :1] + torch.exp(many[2][:, 1:]) * rest
    return mean[:, 0].numpy(), members.numpy().reshape(MEMBERS, *fine.shape[:1], *fine.shape[2:])


def _vae(net: VAE, found: Conditions, draw: torch.Generator) -> tuple[None, Floats]:
    with torch.no_grad():
        fine, features = torch.from_numpy(found.fine_inputs), net.features(torch.from_numpy(found.coarse_inputs))
        size = [side // 8 for side in fine.shape[2:]]
        z = torch.randn(MEMBERS * len(fine), Z, *size, generator=draw)
        members = net.decode(z, _repeated(features), _repeated(fine))[:, 0]
    return None, members.numpy().reshape(MEMBERS, *fine.shape[:1], *fine.shape[2:])


def _repeated(tensor: Tensor) -> Tensor:
    return tensor.repeat(MEMBERS, 1, 1, 1)


def _onto(fine: NDArray[np.float64], coarse: NDArray[np.float64], factor: int) -> Floats:
    return project(approach(fine, coarse, factor), coarse, factor, non_negative=bool((coarse >= 0).all()))


def _scores(truth: NDArray[np.float64], one: Floats, members: Floats | None) -> dict[str, float]:
    scores = asdict(score_texture(truth, one, members=members))
    spread = float(truth.std())
    return scores | {"rmse": scores["rmse"] / spread, "crps": scores["crps"] / spread}


def _summary(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    made = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        made[name] = float(f"{(np.nanmean if name in OF_ERROR else np.nanmedian)(values):.4g}")
    return made | {"variables": len(rows)}


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
