"""What latents still know of the trace gases and clouds: probes on latents, and on spectra before and after.

    python -m adiabat.training.probes --simulate 120 --work DIR --out spec/guide/hvae_probes.json

A probe is linear, or an MLP of two hidden layers of 512, and sees one place at a time: 4 x 4 pixels, as a latent does.
"latent" is the frozen posterior mean; "original" and "reconstructed" are mean spectra of the same pixels before and
after, each as its leading principal components, so that what a probe misses is attributable. Targets are scaled as in
arXiv 2511.18521; R2 is that of places in held-out tiles, over three seeds. Models are reduced runs of equal CPU time;
rows that the log has are not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from adiabat.training.export import whole
from adiabat.training.hvae import HVAE
from adiabat.training.hvae_config import BLOCK, SMALL, HVAEConfig
from adiabat.training.hvae_data import TARGETS, Tiles, simulated, target_norm
from adiabat.training.hvae_train import HVAETrainer

__all__ = ["MODELS", "Places", "linear_probe", "main", "mlp_probe", "places_of", "r_squared", "table"]

COMPONENTS = 64  # of spectra
HIDDEN = 512
STEPS, BATCH, RATE, DECAY = 500, 256, 1e-3, 1e-2
EVERY = 50  # steps after which an MLP is looked at
RIDGE = 1e-4
LEAST = 1e-5  # of the largest spread of a column
SEEDS = (0, 1, 2)
INPUTS = ("latent", "original", "reconstructed")
REDUCED = replace(SMALL, widths=(64, 64, 64), steps=1500, rate=1e-4, tuned=0.0)
MODELS = {
    "z32": REDUCED,
    "z16": replace(REDUCED, z=16),
    "z64": replace(REDUCED, z=64),
    "z32-attention": replace(REDUCED, attention=False),
    "z32+supervised": replace(REDUCED, supervised=0.1),
}

Floats = NDArray[np.float32]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Places:
    """Places of some tiles: inputs of each kind (places, features), targets (places,)."""

    inputs: dict[str, Floats]
    targets: dict[str, Floats]


@torch.no_grad()
def places_of(model: HVAE, tiles: Tiles, basis: Floats | None, norms: dict[str, Any]) -> Places:
    """Latents, spectra and targets of every place.

    Parameters
    ----------
    model : HVAE
    tiles : Tiles
    basis : NDArray[np.float32], shape (channels, components), or None
        Of the spectra; None leaves them as they are.
    norms : dict of str to function
        How each target is scaled.
    """
    inputs: dict[str, list[Floats]] = {name: [] for name in INPUTS}
    for tile in tiles.values:
        x = torch.from_numpy(tile.astype(np.float32))[None]
        mu = model.encode(x).mu
        x_hat = model.decode(mu, (x.shape[2], x.shape[3]))
        for name, values in zip(INPUTS, (mu, F.avg_pool2d(x, BLOCK), F.avg_pool2d(x_hat, BLOCK)), strict=True):
            flat = values[0].reshape(values.shape[1], -1).T.numpy()
            inputs[name].append(flat if basis is None or name == "latent" else flat @ basis)
    pooled = {}
    for name, norm in norms.items():
        maps = torch.from_numpy(np.stack([norm(values) for values in tiles.targets[name]]))[:, None]
        pooled[name] = F.avg_pool2d(maps, BLOCK).reshape(-1).numpy()
    return Places({name: np.concatenate(parts) for name, parts in inputs.items()}, pooled)


def spectral_basis(tiles: Tiles, count: int = COMPONENTS) -> Floats:
    """Leading principal directions of normalised spectra (channels, components)."""
    spectra = np.concatenate([x.reshape(len(x), -1)[:, ::37].T.astype(np.float64) for x in tiles.values])
    _, directions = np.linalg.eigh(spectra.T @ spectra)
    return np.asarray(directions[:, ::-1][:, :count], np.float32)


def r_squared(y: Floats, y_hat: Floats) -> float:
    """1 - sum of squared errors over that of the mean.

    Examples
    --------
    >>> y = np.array([1.0, 2.0, 3.0])
    >>> r_squared(y, y), r_squared(y, np.full(3, 2.0))
    (1.0, 0.0)
    """
    y, y_hat = np.asarray(y, np.float64), np.asarray(y_hat, np.float64)
    return float(1 - ((y - y_hat) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def scaled(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both by mean and standard deviation of the first, column by column; zeros where next to nothing varies."""
    mean, spread = train.mean(0), train.std(0)
    spread = np.where(spread > LEAST * spread.max(), spread, np.float32(np.inf))
    return (train - mean) / spread, (test - mean) / spread


def linear_probe(train: Floats, y: Floats, test: Floats, seed: int = 0) -> Floats:
    """Ridge regression on a bootstrap of the places; predictions for `test`."""
    train, test = scaled(train, test)
    at = np.random.default_rng(seed).integers(0, len(y), len(y))
    a = np.hstack([train[at], np.ones((len(at), 1), np.float32)]).astype(np.float64)
    weights = np.linalg.solve(a.T @ a + RIDGE * len(a) * np.eye(a.shape[1]), a.T @ y[at].astype(np.float64))
    return np.asarray(np.hstack([test, np.ones((len(test), 1))]) @ weights, np.float32)


def mlp_probe(train: Floats, y: Floats, test: Floats, seed: int = 0, *, steps: int = STEPS) -> Floats:
    """An MLP [inputs - 512 - 512 - 1] by AdamW; predictions for `test`.

    The last sixth of the places, tiles of their own, decides which of its states is taken, the mean alone included:
    there are far fewer scenes than places, and an MLP learns them by heart.
    """
    torch.manual_seed(seed)
    x, x_test = (torch.from_numpy(each.astype(np.float32)) for each in scaled(train, test))
    mean, spread = float(y.mean()), float(y.std()) or 1.0
    goal = torch.from_numpy((y - mean) / spread)
    count = len(x) - len(x) // 6
    net = nn.Sequential(
        nn.Linear(x.shape[1], HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 1)
    )
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps)
    best, least = torch.zeros(len(x_test)), float(goal[count:].square().mean())
    for step in range(steps):
        at = torch.randint(count, (BATCH,))
        loss = (net(x[at])[:, 0] - goal[at]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % EVERY == 0:
            with torch.no_grad():
                error = float((net(x[count:])[:, 0] - goal[count:]).square().mean())
                if error < least:
                    best, least = net(x_test)[:, 0], error
    return np.asarray(best.numpy() * spread + mean, np.float32)


PROBES: dict[str, Callable[..., Floats]] = {"linear": linear_probe, "mlp": mlp_probe}


def run_model(
    name: str, model: HVAE, tiles: tuple[Tiles, Tiles], rows: list[dict[str, Any]], say: Say, save: Callable[[], None]
) -> None:
    """All probes of one model that `rows` lacks; adds to it."""
    norms = {target: target_norm(target, np.stack(tiles[0].targets[target])) for target in TARGETS}
    basis = spectral_basis(tiles[0])
    train, test = (places_of(model, part, basis, norms) for part in tiles)
    done = {(row["model"], row["input"], row["probe"], row["target"], row["seed"]) for row in rows}
    for given in INPUTS:
        for probe, fit in PROBES.items():
            for target in TARGETS:
                for seed in SEEDS:
                    key = (name if given != "original" else "any", given, probe, target, seed)
                    if key in done:
                        continue
                    got = fit(train.inputs[given], train.targets[target], test.inputs[given], seed)
                    score = round(r_squared(test.targets[target], got), 4)
                    rows.append(
                        dict(zip(("model", "input", "probe", "target", "seed"), key, strict=True)) | {"r2": score}
                    )
                save()
                say(f"{name} {given} {probe} {target}: {rows[-1]['r2']:.3f}")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """R2 of each model, input and probe as Markdown: mean over seeds and half the range."""
    lines = ["| model | input | probe | " + " | ".join(TARGETS) + " |", "|---|---|---|" + "---|" * len(TARGETS)]
    for key in dict.fromkeys((row["model"], row["input"], row["probe"]) for row in rows):
        cells = []
        for target in TARGETS:
            found = [r["r2"] for r in rows if (r["model"], r["input"], r["probe"], r["target"]) == (*key, target)]
            cells.append(f"{np.mean(found):.3f} ± {np.ptp(found) / 2:.3f}" if found else "")
        lines.append("| " + " | ".join([*key, *cells]) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m adiabat.training.probes", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--simulate", type=int, default=120, metavar="N", help="tiles, a fifth of them held out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="JSON log; rows are added, never repeated")
    parser.add_argument("--minutes", type=float, default=3.0, help="CPU minutes of each model")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    options = parser.parse_args(arguments)
    tiles = simulated(options.simulate, seed=options.seed)
    run(options.models, tiles, options.work, options.out, minutes=options.minutes)


def run(
    models: Sequence[str], tiles: tuple[Tiles, Tiles], work: Path, out: Path, *, minutes: float,
    configs: dict[str, HVAEConfig] = MODELS, say: Say = print,
) -> None:  # fmt: skip
    """Train what is not trained, probe what is not probed, and print the table."""
    log: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"models": {}, "rows": []}

    def save() -> None:
        whole(out, (json.dumps(log, indent=0) + "\n").encode())

    work.mkdir(parents=True, exist_ok=True)
    for name in models:
        trainer = HVAETrainer(configs[name], work / f"{name}.checkpoint", tiles[0], minutes=minutes)
        trainer.run(trainer.batches(), say)  # type: ignore[arg-type]
        log["models"][name] = {
            "steps": trainer.step, "minutes": round(trainer.seconds / 60, 2), "last": trainer.log[-1],
            "tiles": [len(part.values) for part in tiles],
        }  # fmt: skip
        run_model(name, trainer.model.cpu().eval(), tiles, log["rows"], say, save)
    save()
    say(table(log["rows"]))


if __name__ == "__main__":
    main()
