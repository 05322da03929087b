"""The prior of `HVAE`'s latents: gains, linear prediction in closed form, and its network in closed loop.

Third of four: hvae_train -> **hvae_prior** (rounds, pyramid: network and loss) -> hvae_export.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from adiabat.codec.hvae_lattice import FINE, INPUTS, NEIGHBOURS, PASSES, WEIGHT_BITS, neighbours_of
from adiabat.codec.hvae_prior import Place, Prior, write_latents
from adiabat.codec.hvae_transform import Normalisation
from adiabat.training import tables
from adiabat.training.hvae import HVAE
from adiabat.training.pyramid import PyramidNet
from adiabat.training.rounds import Encoded, Rounds, Sample, Say, check_recipe
from adiabat.training.samples import letters

__all__ = ["PriorConfig", "PriorTrainer", "fit_linear", "gains_of", "latents_of"]

GAIN = 0.01  # relative error, of all latent channels together, that a step of one gain stands for
USUAL = 4.0  # step that the linear weights are fitted for: its noise lies on all they see
PROBES = 4  # tiles that gains are measured on
NUDGE = 0.1  # of a latent's standard deviation

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class PriorConfig:
    """How to train the network; as of `subband_train.SubbandConfig`.

    deltas: of log2 of the step over the gains; group: tiles of a view.
    """

    seed: int = 0
    threads: int = 1
    hidden: int = 32
    rounds: tuple[float, ...] = (0.15, 0.2, 0.25, 0.2, 0.2)
    views: int = 24
    group: int = 2
    keep: int = 60
    steps: int = 3_000
    batch: int = 4096
    rate: float = 3e-3
    deltas: tuple[float, float] = (-2.0, 6.0)

    def __post_init__(self) -> None:
        check_recipe(self)


@torch.no_grad()
def latents_of(model: HVAE, values: Sequence[NDArray[np.float16]]) -> Doubles:
    """Posterior means of tiles, (tiles, z, rows, columns)."""
    device = next(model.parameters()).device
    means = [model.encode(torch.from_numpy(x.astype(np.float32))[None].to(device)).mu[0] for x in values]
    return torch.stack(means).double().cpu().numpy()


@torch.no_grad()
def gains_of(model: HVAE, latents: Doubles, normal: Normalisation) -> NDArray[np.float32]:
    """Steps of the latent channels that do equal harm: together GAIN of the radiance, relative, by channel.

    Each is nudged at random; the mean square change of the radiance over its channel's mean is what it weighs.
    """
    generator = torch.Generator().manual_seed(0)
    spread = latents.std((0, 2, 3))
    z = torch.from_numpy(latents[:: max(1, len(latents) // PROBES)][:PROBES]).float()

    def radiance(z: torch.Tensor) -> Doubles:
        return normal.back(np.moveaxis(model.decode(z, (4 * z.shape[2], 4 * z.shape[3])).numpy(), 1, -1))

    plain, gains = radiance(z), np.ones(len(spread), np.float32)
    middle = plain.mean((0, 1, 2))
    for channel, deviation in enumerate(spread):
        nudge = NUDGE * max(float(deviation), 1e-6)
        moved = z.clone()
        moved[:, channel] += nudge * torch.randn(z[:, channel].shape, generator=generator)
        change = float((((radiance(moved) - plain) / middle) ** 2).mean()) / nudge**2
        gains[channel] = GAIN / math.sqrt(max(change, 1e-12) * len(spread))
    most = 8 * np.median(gains / spread) * spread  # what hardly matters is not worth less than that
    return np.asarray(np.minimum(gains, most), np.float32)


def fit_linear(latents: Doubles) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Weights and scales of `Prior` by least squares.

    Parameters
    ----------
    latents : NDArray[np.float64], shape (tiles, z, rows, columns)
        In gains, centred.
    """
    count, z, height, width = latents.shape
    weights = np.zeros((len(PASSES), z, NEIGHBOURS + z), np.int16)
    scales = np.ones((len(PASSES), z), np.int32)
    surprises = np.zeros((z, count, height, width))
    for channel in range(z):
        for number, (by, row, column) in enumerate(PASSES):
            rows, columns = neighbours_of(number, height, width)
            if not rows.size or not columns.size:
                continue
            target = latents[:, channel, row::by, column::by].reshape(-1)
            near = [latents[:, channel][:, r][:, :, c].reshape(-1) for r, c in zip(rows, columns, strict=True)]
            near = near if number else [np.zeros_like(target)] * NEIGHBOURS
            seen = np.stack([*near, *surprises[:channel, :, row::by, column::by].reshape(channel, target.size)])
            noise = (USUAL**2 / 12 + 1e-3) * target.size * np.eye(len(seen))
            fitted = np.linalg.solve(seen @ seen.T + noise, seen @ target)
            fitted = np.clip(np.rint(fitted * (1 << WEIGHT_BITS)), -32767, 32767)
            weights[number, channel, : len(fitted)] = fitted
            rest = target - (fitted / (1 << WEIGHT_BITS)) @ seen
            surprises[channel, :, row::by, column::by] = rest.reshape(count, len(range(row, height, by)), -1)
            scales[number, channel] = max(1, min(int(FINE * np.abs(rest).mean()), 2**31 - 1))
    return weights, scales


class PriorTrainer(Rounds):
    """Trains the network on what the codec's own encoder sees, and counts the tables.

    Parameters
    ----------
    latents : NDArray[np.float64], shape (tiles, z, rows, columns)
        In gains, centred.
    config : PriorConfig
    checkpoint : path
    """

    def __init__(self, latents: Doubles, config: PriorConfig, checkpoint: Path) -> None:
        torch.manual_seed(config.seed)
        self.latents = latents
        self.linear, self.scales = fit_linear(latents)
        net = PyramidNet(0, INPUTS, config.hidden, constant=INPUTS - 1)
        super().__init__({"prior": net}, config, [f"{latents.shape}", f"{latents.sum():.6g}"], checkpoint)
        self.frequencies = tables.to_frequencies(tables.parametric())

    def prior(self) -> Prior:
        """As it stands."""
        return Prior(self.linear, self.scales, self.nets["prior"].integers().layers, self.frequencies)

    def encode(self) -> Encoded:
        """Encode some tiles at random steps."""
        config, prior = self.config, self.prior()
        samples: list[Sample] = []
        counts, logs = np.zeros(self.frequencies.shape), []
        lengths = prior.tables.code_lengths
        for _ in range(config.views):
            at = self.rng.choice(len(self.latents), min(config.group, len(self.latents)), replace=False)
            step, seen = 2.0 ** self.rng.uniform(*config.deltas), _Seen(config.keep, self.rng)
            write_latents(prior, self.latents[at] / step, step, observe=seen)
            bits = 0.0
            for contexts, symbols in seen.coded:
                table, letter, raw, _ = letters(contexts, symbols)
                bits += float(lengths[table, letter].sum() + raw.sum())
            weight = 1e5 / (bits + 0.02 * self.latents[at].size)
            for contexts, symbols in seen.coded:
                table, letter, _, _ = letters(contexts, symbols)
                np.add.at(counts, (table, letter), weight)
            for sample in seen.samples:
                sample["weight"] *= weight
            samples += seen.samples
            logs.append(math.log((bits + 1) / self.latents[at].size))
        return Encoded({"prior": samples}, math.exp(sum(logs) / len(logs)), counts)

    def follow(self, number: int, encoded: Encoded) -> None:
        """Count the tables, but not those of a network that knows nothing yet."""
        if number:
            self.frequencies = tables.to_frequencies(tables.counted(encoded.counts))

    def finish(self, say: Say) -> None:
        """Count once more with the network as it ended."""
        encoded = self.encode()
        self.follow(len(self.config.rounds), encoded)
        say(f"prior: {encoded.bits:.4f} bits a latent before the last count")

    def state(self) -> dict[str, object]:
        """The tables."""
        return {"frequencies": torch.from_numpy(self.frequencies.astype(np.int64))}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Undo `state`."""
        self.frequencies = state["frequencies"].numpy().astype(np.uint32)


class _Seen:
    """Watches the encoder: keeps samples of each pass, and all contexts and symbols."""

    def __init__(self, keep: int, rng: np.random.Generator) -> None:
        self.keep, self.rng = keep, rng
        self.samples: list[Sample] = []
        self.coded: list[tuple[NDArray[np.uint16], NDArray[np.int64]]] = []

    def __call__(self, place: Place, target: Doubles, symbols: NDArray[np.int64]) -> None:
        self.coded.append((place.context, symbols))
        count = min(self.keep, target.size)
        at = np.sort(self.rng.choice(target.size, count, replace=False))
        scale = place.scale[at]
        self.samples.append({
            "inputs": place.inputs[at],
            "differences": np.zeros((count, 0), np.float16),
            "target": ((target[at] - place.before[at]) / scale).astype(np.float32),
            "ratio": (scale / FINE).astype(np.float32),
            "octave": place.octave[at].astype(np.float32),
            "weight": np.full(count, target.size / count, np.float32),
        })  # fmt: skip
