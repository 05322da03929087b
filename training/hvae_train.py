"""From tiles of spectra to a package of `adiabat.codec.hvae`: `adiabat train hvae`.

    hvae_data (tiles, normalisation) -> hvae (network and loss), **hvae_train** (the loop of latent_train)
        -> hvae_prior (gains, prediction, network of the prior, tables) -> hvae_export (package)

Each stage leaves its result beside the target, so that a run that was killed goes on. Tuning, the last part of the
steps, is not in the paper: latents carry the uniform noise that rounding makes, at a step drawn anew each time, and the
bits that they would take are part of the loss, since what a codec writes are bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from adiabat.training.export import whole
from adiabat.training.hvae import HVAE, kl_divergence, reconstruction_loss
from adiabat.training.hvae_config import HVAEConfig
from adiabat.training.hvae_data import Tiles, open_granules, simulated
from adiabat.training.hvae_export import halved, package
from adiabat.training.hvae_prior import PriorConfig, PriorTrainer, gains_of, latents_of
from adiabat.training.latent_train import LatentTrainer, Say
from adiabat.training.vq_train import write_curves

__all__ = ["HVAETrainer", "train_hvae"]

STARTERS = 16  # tiles that the linear start is computed from
TRUNK = 0.01  # learning rate of the maps between levels, over that of the others
MAPS = ("conv_in", "down", "to_mu", "from_z", "up", "conv_out")
STEPS = (-1.0, 4.5)  # log2 of the step over the gains, in tuning
FOUR_NEAR = ((-1, 0), (1, 0), (0, -1), (0, 1))

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


class HVAETrainer(LatentTrainer):
    """State of a training run of `HVAE`; checkpoints, log, rates and time are those of `LatentTrainer`.

    Parameters
    ----------
    config : HVAEConfig
    checkpoint : path
    tiles : Tiles
        Of the training part.
    minutes : float, optional
        Stop after so much training time, all runs of it together.
    """

    model: HVAE  # type: ignore[assignment]

    def __init__(self, config: HVAEConfig, checkpoint: Path, tiles: Tiles, *, minutes: float | None = None) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.checkpoint, self.minutes = config, checkpoint, minutes  # type: ignore[assignment]
        self.tiles, self.rng = tiles, np.random.default_rng(config.seed)
        self.model = HVAE(config)
        some = self.tiles.values[:: max(1, len(tiles.values) // STARTERS)][:STARTERS]
        self.model.start_linear(torch.from_numpy(np.stack([tile.astype(np.float32) for tile in some])))
        self.gains = gains_of(self.model, latents_of(self.model, some), tiles.normal)
        self.model.to(config.device)
        self.probe: nn.Module | None = None
        if config.supervised:
            self.probe = nn.Sequential(nn.Conv2d(config.z, 128, 1), nn.ReLU(), nn.Conv2d(128, 4, 1)).to(config.device)
        groups = [
            {"params": part, "share": share} for share, part in zip((TRUNK, 1.0), self._parameters(), strict=True)
        ]
        self.optimiser = torch.optim.AdamW(groups, config.rate, betas=(0.9, 0.95), weight_decay=config.decay)
        self.critic = self.critic_optimiser = None
        self.step, self.seconds = 0, 0.0
        self.log, self.used = [], torch.zeros(0)

    def _parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Those of the maps between levels, which start as an orthogonal transform, and the others."""
        others = [] if self.probe is None else list(self.probe.parameters())
        trunk: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            (trunk if set(name.split(".")) & set(MAPS) else others).append(parameter)
        return trunk, others

    def set_rate(self) -> None:
        """As `LatentTrainer`; the maps between levels learn more slowly, since small directions must stay precise."""
        super().set_rate()
        for group in self.optimiser.param_groups:
            group["lr"] *= group["share"]

    def batches(self) -> Iterator[Batch]:
        """Endless crops of the tiles."""
        return self.tiles.crops(self.rng, count=self.config.batch, side=self.config.crop)

    def train_step(self, crops: Batch) -> dict[str, float]:  # type: ignore[override]
        """One step of the optimiser; returns what the log tells of it."""
        config: HVAEConfig = self.config  # type: ignore[assignment]
        self.set_rate()
        x = torch.from_numpy(crops[0]).to(config.device)
        posterior = self.model.encode(x)
        z, bits, tuning = posterior.sample(), torch.zeros(()), self.done >= 1 - config.tuned and config.tuned > 0
        if tuning:
            step = torch.from_numpy(self.gains).to(z)[:, None, None] * 2.0 ** self.rng.uniform(*STEPS)
            z = z + step * (torch.rand_like(z) - 0.5)
            bits = _bits(posterior.mu / step)
        x_hat, x, logvar = self._some_wavelengths(z, x)
        distortion, kl = reconstruction_loss(x_hat, x, logvar), kl_divergence(posterior)
        told = {"loss": distortion, "l1": (x_hat - x).abs().mean(), "kl": kl, "bits": bits}
        if tuning:  # errors grow with the step: relative ones let all steps count alike; their scales stay as they are
            size = ((x_hat - x).abs() * torch.exp(-logvar.detach()[:, None, None])).mean()
            distortion = size / size.detach()
        loss = distortion + config.kl * kl + config.rate_weight * bits
        if self.probe is not None:
            wanted = F.avg_pool2d(torch.from_numpy(crops[1]).to(z), 4)
            told["probes"] = (self.probe(posterior.mu)[:, : wanted.shape[1]] - wanted).square().mean()
            loss = loss + config.supervised * told["probes"]
        self.descend(loss)
        return {name: float(value.detach()) for name, value in told.items()}

    def _some_wavelengths(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x_hat, x and the scale of its error at wavelengths drawn at random, or at all."""
        model, some = self.model, self.config.wavelengths  # type: ignore[attr-defined]
        if not 0 < some < x.shape[1]:
            return model.decoder(z), x, model.logvar
        at = torch.from_numpy(self.rng.choice(x.shape[1], some, replace=False)).to(x.device)
        out = model.decoder.conv_out
        assert out.bias is not None
        return F.conv2d(model.decoder.features(z), out.weight[at], out.bias[at]), x[:, at], model.logvar[at]


def _bits(y: Tensor) -> Tensor:
    """About the bits a pixel that latents (B, z, H, W), in steps, take: of what four neighbours do not foresee."""
    padded = F.pad(y, (1, 1, 1, 1), mode="replicate")
    height, width = y.shape[2:]
    near = torch.stack([padded[..., 1 + a : 1 + a + height, 1 + b : 1 + b + width] for a, b in FOUR_NEAR]).mean(0)
    bits: Tensor = 0.5 * torch.log2(1 + 12 * (y - near).square()).sum(1).mean() / 16
    return bits


def train_hvae(
    paths: Sequence[Path],
    target: Path,
    config: HVAEConfig,
    *,
    simulate: int = 0,
    minutes: float | None = None,
    tiles: tuple[Tiles, Tiles] | None = None,
    prior: PriorConfig | None = None,
    progress: Say = print,
) -> str:
    """Train and write a package; returns its SHA-256.

    Parameters
    ----------
    paths : sequence of path
        Granules in the layout of TEMPO_RAD_L1; at least two, or none and `simulate`.
    target : path
        The package to write; the checkpoints and the loss curves (.log.json, .log.png) stand beside it.
    config : HVAEConfig
    simulate : int
        Tiles to simulate where no granule is given.
    minutes : float, optional
        Stop after so much training time.
    tiles : tuple of two Tiles, optional
        Training and held-out tiles, in place of both.
    prior : PriorConfig, optional
        How its network is trained.

    Raises
    ------
    ValueError
        If neither granules nor tiles are given, or nothing usable is found.
    """
    if tiles is None:
        if not paths and not simulate:
            raise ValueError("expected granules to train on, or a number of tiles to simulate; got neither")
        tiles = (
            open_granules(paths, seed=config.seed) if paths else
            simulated(simulate, seed=config.seed, channels=config.channels, progress=progress)
        )  # fmt: skip
    trainer = HVAETrainer(config, target.with_name(target.name + ".checkpoint"), tiles[0], minutes=minutes)
    trainer.run(trainer.batches(), progress)  # type: ignore[arg-type]
    write_curves(trainer.log, target)
    about = {"name": "hvae", "recipe": asdict(config), "torch": torch.__version__.split("+")[0],
             "tiles": len(tiles[0].values), "steps": trainer.step}  # fmt: skip
    made = export(trainer.model.cpu().eval(), tiles[0], prior or PriorConfig(seed=config.seed), target, about, progress)
    whole(target, made)
    return hashlib.sha256(made).hexdigest()


def export(
    model: HVAE, tiles: Tiles, config: PriorConfig, target: Path, about: dict[str, Any], progress: Say = print
) -> bytes:
    """The package of a trained model: its gains and prior are found here."""
    model = halved(model)
    latents = latents_of(model, tiles.values)
    gains = gains_of(model, latents, tiles.normal)
    centres = latents.mean((0, 2, 3)).astype(np.float32)
    scaled = (latents - centres[:, None, None]) / gains[:, None, None].astype(np.float64)
    trainer = PriorTrainer(scaled, config, target.with_name(target.name + ".prior.checkpoint"))
    trainer.run(progress)
    return package(model, tiles.normal, np.stack([centres, gains]), trainer.prior(), about)
