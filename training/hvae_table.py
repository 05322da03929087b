"""`HVAE` beside principal components at the same bytes: relative error and what probes still find, on tiles held out.

    python -m adiabat.training.hvae_table --model hvae --simulate 120 --out spec/guide/hvae_table.json

Bytes are those of whole streams. Principal components are of the same normalised spectra; their maps are quantised with
one step and coded as a stack of frames by `Hyperprior` or by `Pyramid`, real bytes again, the step searched until the
bytes are those of HVAE. The basis counts nothing, as HVAE's weights do not.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from adiabat.codec.hvae import HVAELatents
from adiabat.codec.hvae_model import HVAEModel, find_hvae
from adiabat.codec.hvae_transform import Normalisation
from adiabat.codec.hyperprior import HyperpriorLatents
from adiabat.codec.hyperprior_model import find_hyperprior
from adiabat.codec.latent_options import LatentOptions
from adiabat.codec.pyramid import Pyramid
from adiabat.training.export import whole
from adiabat.training.hvae_data import TARGETS, Tiles, simulated, target_norm
from adiabat.training.probes import COMPONENTS, SEEDS, mlp_probe, r_squared, spectral_basis

__all__ = ["Components", "main", "relative_rmse", "run", "table"]

STEPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # over the gains
RATED = 8  # held-out tiles that bytes and errors are those of
MAPS = 24  # components coded at most
CODERS = ("hyperprior", "pyramid")  # of the components' maps
TRIES = 8
CLOSE = 0.03  # of the bytes
START = 1.0  # step that is tried first
PROBED = 1.0  # step at which probes look
PAPER = "paper (TEMPO, its own R2; 514x by elements, no bytes): relative RMSE 8.28 %; R2 0.203, 0.811, 0.511, 0.930"

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Say = Callable[[str], None]


def relative_rmse(x_hat: NDArray[np.floating], x: NDArray[np.floating]) -> float:
    """Root mean square error of each channel over its mean, averaged over channels (the last axis).

    Examples
    --------
    >>> x = np.array([[1.0, 10.0], [1.0, 10.0]])
    >>> relative_rmse(x * 1.1, x)  # doctest: +ELLIPSIS
    0.1...
    """
    error, axes = x_hat.astype(np.float64) - x, tuple(range(x.ndim - 1))
    return float(np.mean(np.sqrt((error**2).mean(axes)) / x.mean(axes, dtype=np.float64)))


@dataclass(frozen=True)
class Components:
    """Principal components as a codec of tiles.

    Parameters
    ----------
    basis : NDArray[np.float32], shape (channels, components)
    normal : Normalisation
    """

    basis: Floats
    normal: Normalisation

    def code(self, scores: Floats, step: float, coder: str) -> tuple[int, Floats]:
        """Bytes and decoded maps (components, rows, columns) at a quantisation step."""
        kept = max(2, int((scores.std((1, 2)) > step / 4).sum()))
        decoded = np.zeros_like(scores)
        if coder == "pyramid":
            codec = Pyramid(bound={"abs": step / 2})
            data = codec.encode(scores[:kept])
            decoded[:kept] = codec.decode(data)
            return len(data), decoded
        field = LatentOptions.parse({"ratio": 1}, None, None, None, None, None, 1, None).field(scores[:kept], None)
        made = HyperpriorLatents(field, find_hyperprior(), 1).at(step)
        decoded[:kept] = made.x_hat
        return made.size, decoded

    def at(self, x: NDArray[np.floating], size: int, coder: str) -> tuple[int, Doubles]:
        """Bytes, at most `size` if that can be, and decoded radiance of a tile (rows, columns, channels).

        Secants on logarithms, since bytes fall smoothly with the step.
        """
        scores = np.moveaxis(self.normal.forth(x) @ self.basis[:, :MAPS], -1, 0).astype(np.float32)
        at, slope, before = math.log(START), -0.6, None
        best: tuple[int, Floats] | None = None
        for _ in range(TRIES):
            found = self.code(scores, math.exp(at), coder)
            over = math.log(found[0] / size)
            if over <= 0 and (best is None or found[0] > best[0]):
                best = found
            if -CLOSE < over <= 0:
                break
            if before is not None and abs(at - before[0]) > 1e-3:
                slope = min(max((over - before[1]) / (at - before[0]), -1.5), -0.2)
            before, at = (at, over), at - (over + CLOSE / 2) / slope
        best = best or self.code(scores, math.exp(at + 1), coder)
        return best[0], self.normal.back(np.moveaxis(best[1], 0, -1) @ self.basis[:, :MAPS].T)


def latents_at(x: Floats, step: float, model: HVAEModel) -> tuple[int, Doubles]:
    """Bytes of HVAE's stream of a tile at a step over the gains, and decoded radiance."""
    options = LatentOptions.parse({"ratio": 1}, None, None, None, None, None, 1, None)
    latents = HVAELatents(options.field(x, None), model, 1)
    made = latents.at(step * latents.unit)
    return made.size, made.x_hat.reshape(x.shape)


def radiance_of(tiles: Tiles, number: int) -> Floats:
    """A tile as radiance (rows, columns, channels), as precise as half-precision normalised values are."""
    return tiles.normal.back(np.moveaxis(tiles.values[number].astype(np.float64), 0, -1)).astype(np.float32)


def rate_rows(model: HVAEModel, tiles: Tiles, basis: Floats, say: Say) -> list[dict[str, Any]]:
    """Mean bytes and relative errors over tiles, by step."""
    components, rows = Components(basis, tiles.normal), []
    for step in STEPS:
        sums: dict[str, list[float]] = {}
        for number in range(min(RATED, len(tiles.values))):
            x = radiance_of(tiles, number)
            size, x_hat = latents_at(x, step, model)
            sums.setdefault("bytes", []).append(size)
            sums.setdefault("hvae", []).append(relative_rmse(x_hat, x))
            for coder in CODERS:
                taken, pca = components.at(x, size, coder)
                sums.setdefault(f"pca+{coder}", []).append(relative_rmse(pca, x))
                sums.setdefault(f"bytes {coder}", []).append(taken)
        rows.append({"step": step} | {name: float(f"{np.mean(values):.5g}") for name, values in sums.items()})
        rows[-1]["ratio"] = round(4 * x.size / rows[-1]["bytes"], 1)
        say(json.dumps(rows[-1]))
    return rows


def probe_rows(model: HVAEModel, tiles: tuple[Tiles, Tiles], basis: Floats, say: Say) -> list[dict[str, Any]]:
    """R2 of MLP probes on mean spectra of 4 x 4 pixels: as measured, by HVAE, by components at the same bytes."""
    norms = {name: target_norm(name, np.stack(tiles[0].targets[name])) for name in TARGETS}
    components, spectra, truth = Components(basis, tiles[0].normal), [], []
    for part in tiles:
        inputs: dict[str, list[Floats]] = {}
        for number in range(len(part.values)):
            x = radiance_of(part, number)
            size, x_hat = latents_at(x, PROBED, model)
            for name, values in (("original", x), ("hvae", x_hat), ("pca", components.at(x, size, "hyperprior")[1])):
                u = torch.from_numpy(np.moveaxis(part.normal.forth(values), -1, 0).astype(np.float32))[None]
                inputs.setdefault(name, []).append(F.avg_pool2d(u, 4)[0].reshape(u.shape[1], -1).T.numpy() @ basis)
        spectra.append({name: np.concatenate(values) for name, values in inputs.items()})
        truth.append({
            name: F.avg_pool2d(torch.from_numpy(norm(np.stack(part.targets[name])))[:, None], 4).reshape(-1).numpy()
            for name, norm in norms.items()
        })  # fmt: skip
    rows = []
    for name in spectra[0]:
        row: dict[str, Any] = {"spectra": name}
        for target in TARGETS:
            scores = [
                r_squared(truth[1][target], mlp_probe(spectra[0][name], truth[0][target], spectra[1][name], seed))
                for seed in SEEDS
            ]
            row[target] = [round(float(np.mean(scores)), 4), round(float(np.ptp(scores)) / 2, 4)]
        rows.append(row)
        say(json.dumps(row))
    return rows


def spectrum_of(model: HVAEModel, tiles: Tiles, seed: int) -> dict[str, list[float]]:
    """By wavelength: relative error at PROBED, and the noise of the first held-out tile, which seed simulates."""
    from adiabat.training.simulate_tempo import simulate_tiles

    made = simulate_tiles(1, size=tiles.values[0].shape[1], channels=model.channels, seed=seed)
    x = made["radiance"][0]
    _, x_hat = latents_at(x, PROBED, model)
    mean = x.mean((0, 1), dtype=np.float64)
    error = np.sqrt(((x_hat - x) ** 2).mean((0, 1))) / mean
    noise = np.sqrt((made["radiance_error"][0].astype(np.float64) ** 2).mean((0, 1))) / mean
    wavelength = made["wavelength"][0].mean(0)
    named = {"wavelength": wavelength, "hvae": error, "noise": noise}
    return {name: [float(f"{value:.4g}") for value in values[::8]] for name, values in named.items()}


def plot(log: dict[str, Any], target: Path) -> None:
    """Error over bytes, and error and noise over wavelength."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, label in (("hvae", "HVAE"), ("pca+hyperprior", "PCA + Hyperprior"), ("pca+pyramid", "PCA + Pyramid")):
        left.loglog(
            [row["bytes"] for row in log["rates"]], [100 * row[name] for row in log["rates"]], "o-", label=label
        )
    left.set(xlabel="bytes of a tile (64 x 64 x 1028)", ylabel="relative RMSE, %", title="simulated tiles, held out")
    left.legend()
    spectrum = log["spectrum"]
    for name, label in (("hvae", "error of HVAE"), ("noise", "instrument noise")):
        right.semilogy(spectrum["wavelength"], [100 * value for value in spectrum[name]], label=label)
    right.set(xlabel="wavelength, nm", ylabel="% of the mean radiance", title=f"one tile, step of {PROBED:g} gain")
    right.legend()
    figure.savefig(target, dpi=110)


def table(log: dict[str, Any]) -> str:
    """Both as Markdown."""
    lines = ["| bytes a tile | ratio | HVAE | PCA + Hyperprior | PCA + Pyramid |", "|---|---|---|---|---|"]
    for row in log["rates"]:
        errors = [f"{100 * row['hvae']:.2f} %"]
        errors += [f"{100 * row[f'pca+{coder}']:.2f} % ({row[f'bytes {coder}']:.0f})" for coder in CODERS]
        lines.append(f"| {row['bytes']:.0f} | {row['ratio']:.0f} | {' | '.join(errors)} |")
    lines += ["", "| spectra | " + " | ".join(TARGETS) + " |", "|---|" + "---|" * len(TARGETS)]
    for row in log["probes"]:
        cells = " | ".join(f"{row[target][0]:.3f} ± {row[target][1]:.3f}" for target in TARGETS)
        lines.append(f"| {row['spectra']} | {cells} |")
    return "\n".join([*lines, "", PAPER])


def run(model: HVAEModel, tiles: tuple[Tiles, Tiles], out: Path, *, seed: int | None = 0, say: Say = print) -> None:
    """Measure, write the log and, of tiles that a seed simulates, the plot; print the tables."""
    basis = spectral_basis(tiles[0], COMPONENTS)
    log: dict[str, Any] = {"model": model.sha256, "tiles": [len(part.values) for part in tiles]}
    log["rates"] = rate_rows(model, tiles[1], basis, say)
    log["probes"] = probe_rows(model, tiles, basis, say)
    if seed is not None:
        log["spectrum"] = spectrum_of(model, tiles[1], seed)
        plot(log, out.with_suffix(".png"))
    whole(out, (json.dumps(log) + "\n").encode())
    say(table(log))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m adiabat.training.hvae_table", description=about)
    parser.add_argument("--model", default=None, help="name, hash or file; the shipped one by default")
    parser.add_argument("--simulate", type=int, default=120, metavar="N", help="tiles, a fifth of them held out")
    parser.add_argument("--seed", type=int, default=0, help="of the tiles: that of training holds out the same ones")
    parser.add_argument("--out", type=Path, required=True, help="JSON log; a plot beside it")
    options = parser.parse_args(arguments)
    run(find_hvae(options.model), simulated(options.simulate, seed=options.seed), options.out, seed=options.seed)


if __name__ == "__main__":
    main()
