"""Train the networks of Pyramid and write a model package: `adiabat train pyramid`.

Fourth of five: data -> samples -> pyramid -> **train** (rounds) -> export. Each round encodes random views with the
networks as they stand, then teaches them on the samples; last, the frequency tables are counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adiabat.codec import lattice, models
from adiabat.codec.models import NETS
from adiabat.training import data, export, tables
from adiabat.training.pyramid import PyramidNet
from adiabat.training.rounds import Encoded, Rounds, Sample, Say, check_recipe
from adiabat.training.samples import letters, record

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
        check_recipe(self)


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
    return trainer.write(target, "pyramid", leave_out)


def start_linear(net: PyramidNet, samples: list[Sample]) -> None:
    """Set the linear path to the weighted least-squares prediction of the targets, in units of the scale."""
    d = np.concatenate([sample["differences"] for sample in samples]).astype(np.float64)
    y = np.concatenate([sample["target"] for sample in samples]).astype(np.float64)
    weight = np.concatenate([sample["weight"] for sample in samples]).astype(np.float64) * (np.abs(y) < 4)
    normal = (d * weight[:, None]).T @ d
    ridge = 1e-4 * np.trace(normal) / len(normal) * np.eye(len(normal))
    net.linear.data = torch.from_numpy(np.linalg.solve(normal + ridge, (d * weight[:, None]).T @ y)).float()


class Trainer(Rounds):
    """State of a training run."""

    def __init__(self, fields: list[data.Fields], config: Config, checkpoint: Path) -> None:
        torch.manual_seed(config.seed)
        nets = {
            name: PyramidNet(
                lattice.PASSES[i % 3].stencil,
                lattice.PASSES[i % 3].side_inputs if name in models.SIDE else lattice.PASSES[i % 3].inputs,
                config.hidden[name.split("-")[1]],
            )
            for i, name in enumerate(NETS)
        }
        super().__init__(nets, config, [each.name for each in fields], checkpoint)
        self.fields = fields
        self.frequencies = tables.to_frequencies(tables.parametric())

    def package(self, about: dict[str, Any]) -> bytes:
        """The model package as it stands."""
        return export.package({name: net.integers() for name, net in self.nets.items()}, self.frequencies, about)

    def begin(self, net: PyramidNet, samples: list[Sample]) -> None:
        """Start from the linear prediction."""
        start_linear(net, samples)

    def encode(self) -> Encoded:
        """Encode the views of one round."""
        return self.encode_views(self.config.views)

    def finish(self, say: Say) -> None:
        """Count the frequency tables, and say what they bring."""
        counts = self.encode().counts
        by_formula = self.frequencies
        self.frequencies = tables.to_frequencies(tables.counted(counts))
        state = self.rng.bit_generator.state
        after = self.encode_views(self.config.views // 4).bits
        self.rng.bit_generator.state, self.frequencies, counted = state, by_formula, self.frequencies
        formula = self.encode_views(self.config.views // 4).bits
        self.frequencies = counted
        say(f"tables: {formula:.4f} bits a value by formula, {after:.4f} counted, on other views")

    def encode_views(self, count: int) -> Encoded:
        """Encode random views.

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
        return Encoded(samples, math.exp(sum(logs) / len(logs)), counts)
