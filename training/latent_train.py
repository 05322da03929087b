"""One loop for every latent model: VQ-VAE, FSQ, VQ-GAN, the hyperprior and the factorised prior.

Fourth of five: stream_data -> layers -> hyperprior, vq -> **latent_train** -> vq_export, by `vq_train` or `ablation`. A
run that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import Tensor

from adiabat.training import data, losses
from adiabat.training.hyperprior import Hyperprior
from adiabat.training.latent_config import CODEBOOKS, LatentConfig
from adiabat.training.layers import count_weights
from adiabat.training.stream_data import Crops, ZarrStream, from_fields, is_store
from adiabat.training.vq import VQVAE, Discriminator, patches, perplexity

Say = Callable[[str], None]
COLUMNS = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
NOTES = 100  # lines of the log at most
WARM = 0.05  # of the steps: the learning rate rises
COMMIT = 0.25


def build(config: LatentConfig) -> VQVAE | Hyperprior:
    """The model of a configuration, untrained: the linear transform."""
    torch.manual_seed(config.seed)
    model: VQVAE | Hyperprior = VQVAE(config) if config.kind in CODEBOOKS else Hyperprior(config)
    return model.to(config.device)


def open_data(
    paths: Sequence[Path], config: LatentConfig, rng: np.random.Generator, *, leave_out: Sequence[str] = ()
) -> Iterator[Crops]:
    """Endless batches from folders of files and from Zarr stores, in turn where there are both."""
    sources: list[Iterator[Crops]] = []
    folders = [path for path in paths if not is_store(path)]
    if folders:
        fields = data.load(folders, leave_out=leave_out)
        sources.append(from_fields(fields, rng, count=config.batch, crop=config.crop))
    for path in paths:
        if is_store(path):
            sources.append(ZarrStream(path).batches(rng, count=config.batch, crop=config.crop))
    while True:
        for source in sources:
            yield next(source)


class LatentTrainer:
    """State of a training run.

    Parameters
    ----------
    config : LatentConfig
    checkpoint : path
        Where the run is kept; it goes on from there.
    minutes : float, optional
        Stop after so much training time, all runs of it together, even before the last step.
    """

    def __init__(self, config: LatentConfig, checkpoint: Path, *, minutes: float | None = None) -> None:
        torch.set_num_threads(config.threads)
        self.config, self.checkpoint, self.minutes = config, checkpoint, minutes
        self.model = build(config)
        self.rng = np.random.default_rng(config.seed)
        self.optimiser = torch.optim.Adam(self.model.parameters(), config.rate)
        self.critic = Discriminator().to(config.device) if config.kind == "vqgan" else None
        self.critic_optimiser = (
            torch.optim.Adam(self.critic.parameters(), config.rate, betas=(0.5, 0.9)) if self.critic else None
        )
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        self.used = torch.zeros(config.words if config.kind != "fsq" else config.fsq_levels**3)

    @property
    def recipe(self) -> str:
        """What a checkpoint is of: all of the configuration but what comes after this run."""
        return json.dumps({key: value for key, value in asdict(self.config).items() if key != "tune"})

    @property
    def on_gpu(self) -> bool:
        """Whether random numbers are drawn on a GPU too."""
        return self.config.device.startswith("cuda")

    @property
    def done(self) -> float:
        """Share of the run that is done, by steps or by time, whichever is more."""
        by_time = 0.0 if self.minutes is None else self.seconds / (60 * self.minutes)
        return max(self.step / self.config.steps, by_time)

    def run(self, batches: Iterator[Crops], progress: Say = print) -> None:
        """All steps that are left."""
        self.resume()
        self.model.train()
        progress(f"{self.config.kind}: {count_weights(self.model):,} weights, from step {self.step}")
        clock = time.monotonic if self.on_gpu else time.process_time  # other work on the machine does not count
        console = Console(stderr=True)
        with Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(self.config.kind, total=1.0)
            recent: list[dict[str, float]] = []
            while self.done < 1:
                start = clock()
                recent.append(self.train_step(next(batches)))
                self.step += 1
                self.seconds += clock() - start
                recent = self._note(recent, progress)
                bar.update(task, completed=self.done)
                if self.step % self.config.save_every == 0:
                    self.save()
        self.save()
        self.model.eval()

    def _note(self, recent: list[dict[str, float]], progress: Say) -> list[dict[str, float]]:
        """Write a line of the log every hundredth of the steps; returns what is not in it yet."""
        if self.step % max(1, self.config.steps // NOTES):
            return recent
        mean = {key: float(np.mean([each[key] for each in recent])) for key in recent[0]}
        self.log.append({"step": self.step, **{key: float(f"{value:.4g}") for key, value in mean.items()}})
        if len(self.log) % 10 == 0:
            progress(f"{self.seconds:6.0f} s  step {self.step}  " + json.dumps(self.log[-1]))
        return []

    def train_step(self, crops: Crops) -> dict[str, float]:
        """One step of the optimiser; returns what the log tells of it."""
        config, device = self.config, self.config.device
        self.set_rate()
        octave = self.rng.uniform(config.finest, config.coarsest, (len(crops.values), 1, 1))
        x = torch.from_numpy((crops.values / 10**octave).astype(np.float32))[:, None].to(device)
        static = torch.from_numpy(crops.static).to(device) if config.film else None
        if isinstance(self.model, VQVAE):
            loss, told = self._codebook_loss(x, static)
        else:
            place = (octave[:, 0, 0] - config.finest) / (config.coarsest - config.finest)
            made = self.model(x, torch.from_numpy(place).float().to(device), static=static)
            distortion = losses.mse(made.x_hat, x)
            loss = losses.evened(losses.rate_distortion(distortion, made.bits, x.numel(), config.lmbda))
            told = {"mse": float(distortion.detach()), "bits": float(made.bits.detach()) / x.numel()}
        self.descend(loss)
        return told

    def set_rate(self) -> None:
        """Let the learning rate rise, then fall along a cosine, with what is done of the run."""
        for group in self.optimiser.param_groups:
            rise, fall = min(1.0, (self.done + 1e-3) / WARM), math.cos(min(self.done, 1.0) * math.pi / 2)
            group["lr"] = self.config.rate * rise * (0.01 + 0.99 * fall)

    def descend(self, loss: Tensor) -> None:
        """One step of the optimiser."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()

    def _codebook_loss(self, x: Tensor, static: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        assert isinstance(self.model, VQVAE)
        made = self.model(x, static=static)
        distortion = losses.mse(made.x_hat, x)
        commit = torch.stack([losses.commitment(*pair) for pair in zip(made.y, made.y_hat, strict=True)]).mean()
        rate = torch.stack([losses.rate_proxy(y) for y in made.y]).sum()
        loss = losses.evened(losses.rate_distortion(distortion, rate, x.numel(), self.config.lmbda))
        loss = loss + COMMIT * losses.evened(commit)
        told = {"mse": float(distortion.detach()), "bits": float(made.bits.detach()) / x.numel()}
        for words in made.words:
            self.used.mul_(0.999).add_(torch.bincount(words.flatten().cpu(), minlength=len(self.used)))
        told["perplexity"], told["share_used"] = perplexity(self.used)
        if self.critic is not None and self.critic_optimiser is not None and self.done > 0.5:
            real, fake = patches(x, x), patches(made.x_hat, x)
            verdict = losses.hinge_discriminator(self.critic(real), self.critic(fake.detach()))
            self.critic_optimiser.zero_grad(set_to_none=True)
            verdict.backward()  # type: ignore[no-untyped-call]
            self.critic_optimiser.step()
            loss = loss + self.config.adversarial * losses.hinge_generator(self.critic(fake))
            told["verdict"] = float(verdict.detach())
        else:
            told["verdict"] = 1.0
        return loss, told

    def state(self) -> dict[str, Any]:
        """Everything the rest of the run depends on."""
        return {
            "config": self.recipe,
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
            "used": self.used,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "critic": None if self.critic is None else self.critic.state_dict(),
            "critic_optimiser": None if self.critic_optimiser is None else self.critic_optimiser.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "torch_rng": torch.get_rng_state(),
            "device_rng": torch.cuda.get_rng_state() if self.on_gpu else None,
        }

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        partial = self.checkpoint.with_name(self.checkpoint.name + ".part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        torch.save(self.state(), partial)
        partial.replace(self.checkpoint)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises
        ------
        ValueError
            If it is of another configuration.
        """
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.config.device)
        if state["config"] != self.recipe:
            raise ValueError(f"{self.checkpoint} is of another configuration: remove it, or choose another target")
        self.restore(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.step, self.seconds, self.log, self.used = state["step"], state["seconds"], state["log"], state["used"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.critic is not None and self.critic_optimiser is not None:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        torch.set_rng_state(state["torch_rng"].cpu())
        if self.on_gpu:
            torch.cuda.set_rng_state(state["device_rng"].cpu())
