"""Train the entropy networks of Hyperprior and write a model package: `adiabat train hyperprior`.

Fourth of five: data -> subband_samples -> pyramid (network and loss) -> **subband_train** (rounds) -> export.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adiabat.codec import entropy, hyperprior_model
from adiabat.codec.hyperprior_model import FORMAT, KIND, NETS, SHRINK_LIMIT
from adiabat.codec.subband import INPUTS
from adiabat.training import data, tables
from adiabat.training.export import integer_parts, manifest, npy, zipped
from adiabat.training.pyramid import PyramidNet
from adiabat.training.rounds import Encoded, Rounds, Sample, Say, check_recipe
from adiabat.training.samples import letters
from adiabat.training.stream_data import is_store
from adiabat.training.subband_samples import Store, SubbandView, record_subbands, subband_views

OVERHEAD = 0.003, 300.0  # bits a value, and of a view, added to a view's length where it is weighted by its inverse
SHRINK_PRIOR = 0.1, 250.0  # of a step; and how many symbols' worth


@dataclass(frozen=True)
class SubbandConfig:
    """How to train; the defaults are the recipe of the shipped weights.

    hidden: width of the networks' two hidden layers by level (coarse, fine); rounds: shares of the steps; views:
    encoded per round; keep: samples of each pass of a view; steps: of each network; batch: samples of a step;
    rate: largest learning rate; deltas: of log10(quantisation step / standard deviation); lmbda: of the
    quantiser, drawn for each view.
    """

    seed: int = 0
    threads: int = 1
    hidden: dict[str, int] = field(default_factory=lambda: {"coarse": 96, "fine": 48})
    rounds: tuple[float, ...] = (0.05, 0.07, 0.11, 0.11, 0.11, 0.11, 0.11, 0.11, 0.11, 0.11)
    views: int = 50
    keep: int = 6_000
    steps: int = 3_500
    batch: int = 4096
    rate: float = 3e-3
    deltas: tuple[float, float] = (-2.3, 0.25)
    lmbda: tuple[float, float] = (0.07, 0.14)

    def __post_init__(self) -> None:
        check_recipe(self)


def train_hyperprior(
    target: Path,
    folders: Sequence[Path],
    config: SubbandConfig,
    *,
    leave_out: Sequence[str] = (),
    progress: Say = print,
) -> str:
    """Train on the files under `folders`, and on those of them that are Zarr stores; returns the package's SHA-256.

    Files are held in memory; of a store one chunk is read at a time, whatever its size.

    Raises
    ------
    ValueError
        If the folders hold nothing usable, or the trained numbers could not be run exactly.
    """
    stores = [path for path in folders if is_store(path)]
    files = [path for path in folders if path not in stores]
    fields = data.load(files, leave_out=leave_out) if files else []
    progress(f"{len(fields)} variables of files, {sum(each.values.size for each in fields) / 1e6:.0f} million values")
    trainer = SubbandTrainer(fields, config, target.with_name(target.name + ".checkpoint"), stores=stores)
    trainer.run(progress)
    return trainer.write(target, "hyperprior", leave_out)


class SubbandTrainer(Rounds):
    """State of a training run: networks, frequency tables, and where symbols are put back."""

    def __init__(
        self, fields: list[data.Fields], config: SubbandConfig, checkpoint: Path, *, stores: Sequence[Path] = ()
    ) -> None:
        torch.manual_seed(config.seed)
        hidden = [config.hidden[name.split("-")[-1]] for name in NETS]
        nets = {name: PyramidNet(0, INPUTS, n, constant=INPUTS - 1) for name, n in zip(NETS, hidden, strict=True)}
        self.fields, self.stores = fields, [Store(path) for path in stores]
        names = [each.name for each in fields] + [
            f"{path.name}/{name}" for path, store in zip(stores, self.stores, strict=True) for name in store.arrays
        ]
        super().__init__(nets, config, names, checkpoint)
        self.frequencies = tables.to_frequencies(tables.parametric())
        self.shrink = np.zeros((entropy.TABLES, 2), np.int16)
        self.residues = np.zeros((2, entropy.CONTEXT_COUNT, 2))

    def package(self, about: dict[str, Any]) -> bytes:
        """The model package as it stands."""
        parts = {"frequencies.npy": npy(self.frequencies), "shrink.npy": npy(self.shrink)}
        shifts = {}
        for name, net in self.nets.items():
            layers = net.integers().layers
            parts |= integer_parts(name, layers)
            shifts[name] = {"shifts": [layer.shift for layer in layers]}
        return zipped({"manifest.json": manifest({"kind": KIND, "format": FORMAT, **about, "nets": shifts}), **parts})

    def encode(self) -> Encoded:
        """Encode random views; samples and letters weigh the inverse of a view's length: relative savings count."""
        config, model = self.config, hyperprior_model.load(self.package({"name": "in training"}))
        samples: dict[str, list[Sample]] = {name: [] for name in NETS}
        counts, logs, views = np.zeros(self.frequencies.shape), [], self._views()
        self.residues = np.zeros((2, entropy.CONTEXT_COUNT, 2))
        for _ in range(config.views):
            view = next(views)
            recorder = record_subbands(
                model, view, steps=config.deltas, lmbda=config.lmbda, keep=config.keep, rng=self.rng
            )
            total, values = recorder.bits(self.frequencies), view.analysis.field.size
            logs.append(math.log((total + 1) / values))
            weight = 1e5 / (total + OVERHEAD[0] * values + OVERHEAD[1])
            for name, sample in recorder.samples:
                sample["weight"] *= weight
                samples[name].append(sample)
            for contexts, symbols, _ in recorder.coded:
                table, letter, _, _ = letters(contexts, symbols)
                np.add.at(counts, (table, letter), weight)
            self.residues += weight / 4 * np.stack(recorder.residues())
        return Encoded(samples, math.exp(sum(logs) / len(logs)), counts)

    def _views(self) -> Iterator[SubbandView]:
        return subband_views(self.fields, self.rng, stores=self.stores)

    def follow(self, number: int, encoded: Encoded) -> None:
        """Count the tables, but not those of networks that know nothing yet; put symbols back where they came from."""
        if number:
            self.frequencies = tables.to_frequencies(tables.counted(encoded.counts))
        total, count = self.residues[:, : entropy.TABLES]
        mean = (total + SHRINK_PRIOR[0] * SHRINK_PRIOR[1]) / (count + SHRINK_PRIOR[1])
        self.shrink = np.clip(np.rint(256 * mean), -SHRINK_LIMIT // 2, SHRINK_LIMIT).astype(np.int16)

    def finish(self, say: Say) -> None:
        """Count once more with the networks as they ended."""
        encoded = self.encode()
        self.follow(len(self.config.rounds), encoded)
        say(f"tables: {encoded.bits:.4f} bits a value before the last count")

    def state(self) -> dict[str, Any]:
        """Tables and shrinkage."""
        return {"frequencies": torch.from_numpy(self.frequencies.astype(np.int64)), "shrink": self.shrink.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self.frequencies = state["frequencies"].numpy().astype(np.uint32)
        self.shrink = np.array(state["shrink"], np.int16)
