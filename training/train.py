"""Train the networks of Pyramid and write a model package: `adiabat train pyramid`.

Fourth of five: data -> samples -> pyramid -> **train** -> export. Each round encodes random views with the networks as
they stand, then teaches them on the samples; last, the frequency tables are counted. The state after each round is
kept beside the target, so that a run that was stopped goes on.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adiabat.codec import lattice, models
from adiabat.codec.models import NETS
from adiabat.training import data, export, tables
from adiabat.training.pyramid import Batch, PyramidNet, loss
from adiabat.training.samples import Sample, letters, record

Say = Callable[[str], None]
OVERHEAD = 0.02  # bits a value added to a view's length where samples are weighted by its inverse


@dataclass(frozen=True)
class Config:
    """How to train; the defaults are the recipe of the shipped weights.

    hidden: width of the networks' two hidden layers by lattice (coarse, fine); rounds: shares of the steps;
    views: encoded per round; keep: samples of each pass of a view; steps: of each network; batch: samples of a step;
    rate: largest learning rate; bounds: of log10(bound / standard deviation).
    """

    seed: int = 0
    threads: int = 1
    hidden: dict[str, int] = field(default_factory=lambda: {"coarse": 96, "fine": 48})
    rounds: tuple[float, ...] = (0.06, 0.08, 0.1, 0.1, 0.1, 0.1, 0.1, 0.12, 0.12, 0.12)
    views: int = 100
    keep: int = 12_000
    steps: int = 4_000
    batch: int = 4096
    rate: float = 3e-3
    bounds: tuple[float, float] = (-3.6, -0.7)

    def __post_init__(self) -> None:
        if self.steps < 10 or self.views < 4 or self.threads < 1:
            raise ValueError(
                f"expected steps >= 10, views >= 4, threads >= 1, got {self.steps}, {self.views}, {self.threads}"
            )


def train_to(
    target: Path, folders: Sequence[Path], config: Config, *, leave_out: Sequence[str] = (), progress: Say = print
) -> str:
    """Train on the files under `folders` and write the package to `target`; returns its SHA-256.

    Raises
    ------
    ValueError
        If the folders hold nothing usable, or the trained numbers could not be run exactly.
    """
    fields = data.load(folders, leave_out=leave_out)
    progress(f"{len(fields)} variables, {sum(each.values.size for each in fields) / 1e6:.0f} million values")
    trainer = Trainer(fields, config, target.with_name(target.name + ".checkpoint"))
    trainer.run(progress)
    about = {
        "name": "pyramid",
        "recipe": asdict(config),
        "left_out": list(leave_out),
        "torch": torch.__version__.split("+")[0],
        "variables": [each.name for each in fields],
    }
    package = trainer.package(about)
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(package)
    partial.replace(target)
    trainer.checkpoint.unlink(missing_ok=True)
    return hashlib.sha256(package).hexdigest()


def start_linear(net: PyramidNet, samples: list[Sample]) -> None:
    """Set the linear path to the weighted least-squares prediction of the targets, in units of the scale."""
    d = np.concatenate([sample["differences"] for sample in samples]).astype(np.float64)
    y = np.concatenate([sample["target"] for sample in samples]).astype(np.float64)
    weight = np.concatenate([sample["weight"] for sample in samples]).astype(np.float64) * (np.abs(y) < 4)
    normal = (d * weight[:, None]).T @ d
    ridge = 1e-4 * np.trace(normal) / len(normal) * np.eye(len(normal))
    net.linear.data = torch.from_numpy(np.linalg.solve(normal + ridge, (d * weight[:, None]).T @ y)).float()


class Trainer:
    """State of a training run."""

    def __init__(self, fields: list[data.Fields], config: Config, checkpoint: Path) -> None:
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        torch.use_deterministic_algorithms(True)
        self.config, self.fields, self.checkpoint = config, fields, checkpoint
        self.rng = np.random.default_rng(config.seed)
        self.nets = {
            name: PyramidNet(
                lattice.PASSES[i % 3].stencil,
                lattice.PASSES[i % 3].side_inputs if name in models.SIDE else lattice.PASSES[i % 3].inputs,
                config.hidden[name.split("-")[1]],
            )
            for i, name in enumerate(NETS)
        }
        self.frequencies = tables.to_frequencies(tables.parametric())

    def package(self, about: dict[str, Any]) -> bytes:
        """The model package as it stands."""
        return export.package({name: net.integers() for name, net in self.nets.items()}, self.frequencies, about)

    def run(self, progress: Say) -> None:
        """All rounds that are left, then the tables."""
        start = time.monotonic()

        def say(text: str) -> None:
            progress(f"{time.monotonic() - start:6.0f} s  {text}")

        done, before = self._resume(say)
        for number in range(done, len(self.config.rounds)):
            recorded_with = self._state()
            samples, bits, _ = self.encode_views(self.config.views)
            say(f"round {number}: {bits:.4f} bits a value, geometric mean over views")
            for name, net in self.nets.items():
                if not samples[name]:
                    continue  # no two frames of these data belong together
                if number == 0 or not before[name]:
                    start_linear(net, samples[name])
                # Samples of the round before keep a network from chasing its own latest closed loop.
                steps = int(self.config.steps * self.config.rounds[number])
                final = self.fit(net, samples[name] + before[name], steps, self.config.rate / (1 + number / 2))
                say(f"round {number}: {name} loss {final:.4f}")
            before = samples if number else before
            self._save(number + 1, recorded_with)
        _, _, counts = self.encode_views(self.config.views)
        by_formula = self.frequencies
        self.frequencies = tables.to_frequencies(tables.counted(counts))
        state = self.rng.bit_generator.state
        _, after, _ = self.encode_views(self.config.views // 4)
        self.rng.bit_generator.state, self.frequencies, counted = state, by_formula, self.frequencies
        _, formula, _ = self.encode_views(self.config.views // 4)
        self.frequencies = counted
        say(f"tables: {formula:.4f} bits a value by formula, {after:.4f} counted, on other views")

    def encode_views(self, count: int) -> tuple[dict[str, list[Sample]], float, NDArray[np.float64]]:
        """Samples by network, geometric mean of bits a value, and weighted letter counts (tables, letters).

        A view's samples and letters weigh the inverse of its length, so that relative savings count alike.
        """
        model = models.load(self.package({"name": "in training"}))
        samples: dict[str, list[Sample]] = {name: [] for name in NETS}
        counts = np.zeros(self.frequencies.shape)
        logs, views = [], data.views(self.fields, self.rng)
        for _ in range(count):
            recorders = record(model, next(views), bounds=self.config.bounds, keep=self.config.keep, rng=self.rng)
            total = sum(recorder.bits(self.frequencies) for recorder in recorders)
            values = sum(recorder.values for recorder in recorders)
            logs.append(math.log((total + 1) / values))
            weight = 1e5 / (total + OVERHEAD * values)
            for name, sample in chain.from_iterable(recorder.samples for recorder in recorders):
                sample["weight"] *= weight
                samples[name].append(sample)
            for contexts, symbols in chain.from_iterable(recorder.coded for recorder in recorders):
                table, letter, _, _ = letters(contexts, symbols)
                np.add.at(counts, (table, letter), weight)
        return samples, math.exp(sum(logs) / len(logs)), counts

    def fit(self, net: PyramidNet, samples: list[Sample], steps: int, rate: float) -> float:
        """Adam over random batches, one learning-rate cycle; returns the mean loss of the last tenth."""
        arrays = {key: torch.from_numpy(np.concatenate([sample[key] for sample in samples])) for key in samples[0]}
        arrays["weight"] /= arrays["weight"].mean()
        optimiser = torch.optim.Adam(net.parameters(), rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.15)
        size, recent = len(arrays["weight"]), []
        for step in range(steps):
            at = torch.from_numpy(self.rng.integers(0, size, self.config.batch))
            value = loss(net, Batch(**{key: array[at].float() for key, array in arrays.items()}))
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if step >= min(0.9 * steps, steps - 1):
                recent.append(float(value.detach()))
        return sum(recent) / len(recent)

    def _state(self) -> dict[str, Any]:
        """What the next samples depend on: copies of the networks, and the generator."""
        nets = {
            name: {key: value.clone() for key, value in net.state_dict().items()} for name, net in self.nets.items()
        }
        return {"nets": nets, "rng": self.rng.bit_generator.state}

    def _restore(self, state: dict[str, Any]) -> None:
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        self.rng.bit_generator.state = state["rng"]

    def _save(self, rounds: int, recorded_with: dict[str, Any]) -> None:
        """Keep the state after a round, and the one its samples were recorded with: they weigh too much to be kept."""
        state = {
            "rounds": rounds,
            "config": repr(self.config),
            "variables": [each.name for each in self.fields],
            "now": self._state(),
            "recorded_with": recorded_with,
        }
        partial = self.checkpoint.with_name(self.checkpoint.name + ".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _resume(self, say: Say) -> tuple[int, dict[str, list[Sample]]]:
        """Rounds that are done by a checkpoint of the same recipe and data, and the last one's samples, made anew."""
        before: dict[str, list[Sample]] = {name: [] for name in NETS}
        if not self.checkpoint.exists():
            return 0, before
        state = torch.load(self.checkpoint, weights_only=True)
        if state["config"] != repr(self.config) or state["variables"] != [each.name for each in self.fields]:
            raise ValueError(f"{self.checkpoint} is of another recipe or data: remove it, or choose another target")
        rounds = int(state["rounds"])
        say(f"going on after round {rounds - 1} of {self.checkpoint}")
        if 1 < rounds < len(self.config.rounds):
            self._restore(state["recorded_with"])
            before, _, _ = self.encode_views(self.config.views)
        self._restore(state["now"])
        return rounds, before
