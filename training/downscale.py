"""From fields to a package of the generated view's networks: `adiabat train downscale`.

Third of four: downscale_data -> downscale_net -> **downscale** -> downscale_export. Stage 1 teaches a small U-Net the
coarse record: hidden cells and the next step. Its encoder, frozen, then serves stage 2: a regression mean with its
spread, and a denoiser of what is left, taught together. Before that `domain` compares what the encoder learnt on with
what it is to be used for. Each stage leaves a checkpoint beside the target, so that a run that was killed goes on.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adiabat.training import data, domain
from adiabat.training.data import Fields
from adiabat.training.downscale_config import DownscaleConfig
from adiabat.training.downscale_data import Pairs, Records, last_in_time, pairs, records
from adiabat.training.downscale_export import package
from adiabat.training.downscale_net import VAE, Downscaler, RecordNet, angles
from adiabat.training.export import whole
from adiabat.training.latent_train import LatentTrainer, Say
from adiabat.training.vq_train import write_curves

__all__ = ["DownscaleTrainer", "train_downscale"]

SLOW = 0.1  # learning rate of an encoder that is fine-tuned, over that of the others
REST = 8.0  # largest rest that is learnt, in spreads
KL = 0.02  # weight of the VAE's latent, a cell of the fine field
NETS = {"record": lambda config: RecordNet(config.features), "ddpm": Downscaler, "vae": VAE}


class DownscaleTrainer(LatentTrainer):
    """State of one stage; checkpoints, log, rates and time are those of `LatentTrainer`.

    Parameters
    ----------
    config : DownscaleConfig
    checkpoint : path
    record : RecordNet, optional
        Stage 1, whose encoder stage 2 takes over, unless from scratch.
    minutes : float, optional
        Stop after so much training time, all runs of it together.
    """

    def __init__(
        self,
        config: DownscaleConfig,
        checkpoint: Path,
        *,
        record: RecordNet | None = None,
        minutes: float | None = None,
    ) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.checkpoint, self.minutes = config, checkpoint, minutes  # type: ignore[assignment]
        self.model = NETS[config.kind](config).to(config.device)  # type: ignore[assignment]
        self.rng = np.random.default_rng(config.seed)
        groups = [{"params": list(self.model.parameters()), "share": 1.0}]
        if config.kind != "record" and config.encoder != "scratch":
            if record is None:
                raise ValueError(f"an encoder that is {config.encoder} needs stage 1")
            encoder: nn.Module = self.model.encoder  # type: ignore[assignment]
            encoder.load_state_dict(record.encoder.state_dict())
            encoder.requires_grad_(config.encoder == "fine-tuned")
            taken = {id(parameter) for parameter in encoder.parameters()}
            rest = [parameter for parameter in self.model.parameters() if id(parameter) not in taken]
            groups = [{"params": rest, "share": 1.0}]
            if config.encoder == "fine-tuned":
                groups.append({"params": list(encoder.parameters()), "share": SLOW})
        self.optimiser = torch.optim.AdamW(groups, config.rate, betas=(0.9, 0.98), weight_decay=1e-4)
        self.critic = self.critic_optimiser = None
        self.step, self.seconds = 0, 0.0
        self.log, self.used = [], torch.zeros(0)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False).eval()

    def set_rate(self) -> None:
        """As `LatentTrainer`; an encoder that is fine-tuned learns more slowly."""
        super().set_rate()
        for group in self.optimiser.param_groups:
            group["lr"] *= group["share"]

    def train_step(self, batch: Pairs | Records) -> dict[str, float]:  # type: ignore[override]
        """One step of the optimiser; returns what the log tells of it."""
        self.set_rate()
        with torch.autocast(torch.device(self.config.device).type, torch.bfloat16, enabled=self.config.bfloat16):  # type: ignore[attr-defined]
            told = self.losses(batch)
        self.descend(told["loss"])
        with torch.no_grad():
            keep = min(self.config.average, (self.step + 1) / (self.step + 10))  # type: ignore[attr-defined]
            for ours, theirs in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
                ours.lerp_(theirs, 1 - keep)
        return {name: float(value.detach()) for name, value in told.items()}

    def losses(self, batch: Pairs | Records) -> dict[str, Tensor]:
        """The loss, and what the log tells beside it."""
        if isinstance(batch, Records):
            inputs, wanted, weight = (self._tensor(each) for each in (batch.inputs, batch.wanted, batch.weight))
            errors = F.smooth_l1_loss(self.model(inputs), wanted, reduction="none") * weight
            return {"loss": errors.sum() / weight.sum().clamp(min=1)}
        found = batch.conditions
        coarse, fine, residual = (
            self._tensor(each) for each in (found.coarse_inputs, found.fine_inputs, batch.residual)
        )
        return (self._vae if isinstance(self.model, VAE) else self._ddpm)(coarse, fine, residual)

    def _ddpm(self, coarse: Tensor, fine: Tensor, residual: Tensor) -> dict[str, Tensor]:
        net: Downscaler = self.model  # type: ignore[assignment]
        features = net.features(coarse)
        mean = net.mean(features, fine)
        square, likelihood = _likelihood(mean, residual)
        m, spread = mean.detach().chunk(2, 1)
        rest = ((residual - m) * torch.exp(-spread)).clamp(-REST, REST)
        t = (torch.arange(len(rest), device=rest.device) + torch.rand(len(rest), device=rest.device)) / len(rest)
        alpha, sigma = angles(t)
        noise = torch.randn_like(rest)
        v = net.velocity(alpha * rest + sigma * noise, t, features, fine, mean.detach())
        velocity = (v - (alpha * noise - sigma * rest)).square().mean()
        return {
            "loss": square + likelihood + velocity,
            "square": square,
            "likelihood": likelihood,
            "velocity": velocity,
        }

    def _vae(self, coarse: Tensor, fine: Tensor, residual: Tensor) -> dict[str, Tensor]:
        net: VAE = self.model  # type: ignore[assignment]
        mu, logvar = net.latent(residual, fine)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        square, likelihood = _likelihood(net.decode(z, net.features(coarse), fine), residual)
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean() / 64
        return {"loss": square + likelihood + KL * kl, "square": square, "likelihood": likelihood, "kl": kl}

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.config.device)

    def state(self) -> dict[str, Any]:
        """As `LatentTrainer`, with the averaged weights."""
        return {**super().state(), "averaged": self.averaged.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """As `LatentTrainer`, with the averaged weights."""
        super().restore(state)
        self.averaged.load_state_dict(state["averaged"])


def _likelihood(mean: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error of m, and the negative log likelihood of log s alone."""
    m, spread = mean.chunk(2, 1)
    error = (residual - m).square()
    return error.mean(), (spread + 0.5 * error.detach() * torch.exp(-2 * spread)).mean()


def train_downscale(
    paths: Sequence[Path],
    target: Path,
    config: DownscaleConfig,
    *,
    leave_out: Sequence[str] = (),
    record: Sequence[Path] = (),
    force: bool = False,
    minutes: float | None = None,
    progress: Say = print,
) -> str:
    """Train both stages and write a package; returns its SHA-256.

    Parameters
    ----------
    paths : sequence of path
        Folders of fine fields; the last quarter of each series in time is not looked at.
    target : path
        The package to write; checkpoints and the loss curves (.log.json, .log.png) stand beside it.
    config : DownscaleConfig
        Of stage 2; stage 1 takes a quarter of its steps.
    leave_out : sequence of str
        Files whose path contains one of these are not used.
    record : sequence of path
        Folders of fields whose coarse record stage 1 learns on, in place of `paths`.
    force : bool
        Train although the record and the fields differ too much.
    minutes : float, optional
        Stop after so much training time; a fifth of it is stage 1's.

    Raises
    ------
    ValueError
        If the folders hold nothing usable, or the record is of another domain.
    """
    fields = last_in_time(data.load(paths, leave_out=leave_out), kept=False)
    coarse = last_in_time(data.load(record, leave_out=leave_out), kept=False) if record else fields
    verdict = domain.compare(coarse, fields, factors=config.factors, seed=config.seed)
    progress(str(verdict))
    verdict.check(force=force)
    net = None
    if config.encoder != "scratch":
        first = replace(config, kind="record", encoder="scratch", steps=max(1, config.steps // 4))
        net = _run(first, records, coarse, target, None if minutes is None else minutes / 5, None, progress)
    trained = _run(config, pairs, fields, target, None if minutes is None else minutes * 4 / 5, net, progress)
    about = {
        "name": target.stem, "recipe": asdict(config), "torch": torch.__version__.split("+")[0],
        "variables": len(fields), "left_out": list(leave_out), "domain": asdict(verdict),
    }  # fmt: skip
    made = package(trained, config, about)
    whole(target, made)
    return hashlib.sha256(made).hexdigest()


def _run(
    config: DownscaleConfig, batches: Any, fields: Sequence[Fields], target: Path, minutes: float | None, record: Any,
    progress: Say,
) -> Any:  # fmt: skip
    """One stage, to its end: the averaged network."""
    trainer = DownscaleTrainer(
        config, target.with_name(f"{target.name}.{config.kind}.checkpoint"), record=record, minutes=minutes
    )
    stream: Iterator[Any] = batches(fields, trainer.rng, batch=config.batch, factors=config.factors)
    trainer.run(stream, progress)
    write_curves(trainer.log, target.with_name(f"{target.stem}.{config.kind}{target.suffix}"))
    return trainer.averaged
