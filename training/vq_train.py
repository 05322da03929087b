"""From data to a package of `adiabat.codec.vq`: `adiabat train vq`.

    latent_train (the model)  ->  vq_export (words, contexts, tables)  ->  vq_tune (g_s, on what is really written)

Each of the three leaves its result beside the target, so that a run that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from adiabat.codec.vq_model import load
from adiabat.training.export import whole
from adiabat.training.latent_config import CODEBOOKS, LatentConfig
from adiabat.training.latent_train import LatentTrainer, open_data
from adiabat.training.vq import VQVAE
from adiabat.training.vq_export import VIEWS, package, repackage
from adiabat.training.vq_tune import TuneTrainer

Say = Callable[[str], None]


def train_vq(
    paths: Sequence[Path],
    target: Path,
    config: LatentConfig,
    *,
    leave_out: Sequence[str] = (),
    minutes: float | None = None,
    views: int | None = None,
    progress: Say = print,
) -> str:
    """Train a codebook model and write its package; returns the SHA-256.

    Parameters
    ----------
    paths : sequence of path
        Folders of NetCDF, GRIB or NumPy files, or Zarr stores of ARCO-ERA5's shape.
    target : path
        The package to write; the checkpoint and the loss curves (.log.json, .log.png) stand beside it.
    config : LatentConfig
        Its kind one of "vqvae", "fsq", "vqgan".
    leave_out : sequence of str
        Files whose path contains one of these are not read.
    minutes : float, optional
        Stop after so much training time.
    views : int, optional
        Batches that the tables are counted on, in each round.

    Raises
    ------
    ValueError
        If the kind has no codebook, or nothing usable is found.
    """
    if config.kind not in CODEBOOKS:
        raise ValueError(f"expected a kind of {CODEBOOKS}, got {config.kind!r}")
    trainer = LatentTrainer(config, target.with_name(target.name + ".checkpoint"), minutes=minutes)
    batches = open_data(paths, config, trainer.rng, leave_out=leave_out)
    trainer.run(batches, progress)
    assert isinstance(trainer.model, VQVAE)
    first = target.with_name(target.name + ".untuned")
    if not first.exists():
        whole(first, package(trainer.model, batches, {}, views=views or VIEWS, progress=progress))
    log = trainer.log
    if config.tune:
        tuning = replace(config, steps=config.tune, rate=config.rate / 2)
        last = target.with_name(target.name + ".tune.checkpoint")
        tuner = TuneTrainer(tuning, last, trainer.model, load(first.read_bytes()), minutes=minutes)
        tuner.run(open_data(paths, tuning, tuner.rng, leave_out=leave_out), progress)
        trainer.model.load_state_dict(tuner.model.state_dict())
        log = [*log, *({**row, "step": row["step"] + trainer.step} for row in tuner.log)]
    write_curves(log, target)
    about = {"recipe": asdict(config), "left_out": list(leave_out), "torch": torch.__version__.split("+")[0]}
    made = repackage(first.read_bytes(), trainer.model, about)
    whole(target, made)
    return hashlib.sha256(made).hexdigest()


def write_curves(log: Sequence[dict[str, float]], target: Path) -> None:
    """Write the loss curves beside `target`, as JSON, and as a picture where matplotlib is installed."""
    target.with_name(target.name + ".log.json").write_text(json.dumps(list(log)))
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    names = [name for name in (log[-1] if log else {}) if name != "step"]
    figure = Figure(figsize=(4 * max(1, len(names)), 3), layout="constrained")
    for number, name in enumerate(names, 1):
        axes = figure.add_subplot(1, len(names), number)
        axes.plot([row["step"] for row in log], [row[name] for row in log])
        axes.set_xlabel("step")
        axes.set_title(name)
    figure.savefig(target.with_name(target.name + ".log.png"))
