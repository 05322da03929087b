"""Speed, memory and accuracy of masked CP fits, on simulated data: `python tests/benchmarks/cp.py [--large]`.

Simulated: a cube of 40 smooth components, of standard deviation 1, half of its cells missing, noise of 0.2 on the rest.
Held-out is the RMSE of the missing cells against the truth without noise. Each row is a process of its own, so that its
peak of memory is its own; the array and mask that it reads are counted, as is Python. tensorly's `parafac(mask=)` runs
in the same way. "left" are the components that the ridge did not remove. With --large, also 1800 components of 1461 x
100 x 232. Run it on an idle machine; the load is printed.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

NOISE = 0.2
SHAPE, LARGE = (1461, 50, 116), (1461, 100, 232)
SMOOTH, SMOOTHER = (3, 2, 2), (8, 3, 4)  # cells, of a Gaussian along each mode


def simulate(
    shape: tuple[int, ...], smooth: tuple[int, ...], *, rank: int = 40, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Truth, truth with noise (float32), and which cells are observed."""
    rng = np.random.default_rng(seed)
    factors = []
    for length, width in zip(shape, smooth, strict=True):
        kernel = np.exp(-0.5 * (np.arange(-4 * width, 4 * width + 1) / width) ** 2)
        white = rng.standard_normal((rank, length + 8 * width))
        factors.append(np.stack([np.convolve(row, kernel / kernel.sum(), "valid") for row in white], 1))
    left, right = factors[0], (factors[1][:, None] * factors[2][None]).reshape(-1, rank)
    truth = (left @ right.T).reshape(shape).astype(np.float32)
    truth /= truth.std()
    noisy = truth + np.float32(NOISE) * rng.standard_normal(shape, dtype=np.float32)
    return truth, noisy, rng.random(shape, dtype=np.float32) < 0.5


def held_out(weights: np.ndarray, factors: list[np.ndarray], folder: Path) -> float:
    """RMSE of the model where nothing was observed, day by day."""
    truth, observed = np.load(folder / "truth.npy", mmap_mode="r"), np.load(folder / "observed.npy", mmap_mode="r")
    rest = (factors[1][:, None] * factors[2][None]).reshape(-1, len(weights))
    total, count = 0.0, 0
    for day, hidden in enumerate(observed):
        error = (rest @ (weights * factors[0][day]) - truth[day].ravel())[~hidden.ravel()]
        total, count = total + float(error @ error), count + error.size
    return math.sqrt(total / count)


def fit(folder: Path, engine: str, rank: int, ridge: float, sweeps: int) -> dict[str, Any]:
    """One fit, in this process: seconds, peak, held-out RMSE, components left."""
    x, observed = np.load(folder / "noisy.npy"), np.load(folder / "observed.npy")
    start = time.perf_counter()
    marks = []
    if engine == "tensorly":
        from tensorly.decomposition import parafac

        cp = parafac(np.where(observed, x, np.float32(0)), rank, n_iter_max=sweeps, tol=1e-12, init="random",
                     mask=observed.astype(np.float32), random_state=0, normalize_factors=True,
                     callback=lambda *_: marks.append(time.perf_counter()))  # fmt: skip
        weights, factors = np.asarray(cp.weights), list(cp.factors)
    else:
        from adiabat.training import cp_als

        found = cp_als.fit(x, observed, rank=rank, ridge=ridge, sweeps=sweeps,
                           progress=lambda *_: marks.append(time.perf_counter()))  # fmt: skip
        weights, factors = found.weights, found.factors
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1e6 for line in status if line.startswith("VmHWM"))
    sweep = float(np.median(np.diff(marks))) if len(marks) > 1 else math.nan
    return {"seconds": seconds, "sweep": sweep, "peak": peak, "left": len(weights),
            "held_out": held_out(weights, factors, folder)}  # fmt: skip


def apart(folder: Path, engine: str, rank: int, ridge: float, sweeps: int) -> dict[str, Any]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, "--row", json.dumps([str(folder), engine, rank, ridge, sweeps])]
    row: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return row


def show(name: str, row: dict[str, Any], wanted: str = "") -> None:
    """One line of the table."""
    print(f"{name:52}{row['seconds']:8.1f}{row['sweep']:9.3f}{row['peak']:7.2f}{row['left']:6}{row['held_out']:10.4f}"
          f"   {wanted}", flush=True)  # fmt: skip


def keep(folder: Path, shape: tuple[int, ...], smooth: tuple[int, ...]) -> Path:
    """Simulate and write what the processes read."""
    folder.mkdir()
    for name, array in zip(("truth", "noisy", "observed"), simulate(shape, smooth), strict=True):
        np.save(folder / f"{name}.npy", array)
    return folder


def table(folder: Path, large: bool) -> None:
    """Run all rows."""
    print(f"{'simulated, ' + ' x '.join(map(str, SHAPE)):52} seconds  a sweep     GB  left  held-out   wanted")
    cube = keep(folder / "smooth", SHAPE, SMOOTH)
    show("R=50, ridge 1, 20 sweeps", apart(cube, "ours", 50, 1, 20), "held-out .035")
    show("R=50, ridge 1, 40 sweeps", apart(cube, "ours", 50, 1, 40), "10 s")
    show("R=500, ridge 30, 15 sweeps", apart(cube, "ours", 500, 30, 15), "held-out .045")
    show("R=500, ridge .3 so that all stay, 20 sweeps", apart(cube, "ours", 500, 0.3, 20), "60 s, 1.5 GB")
    peer = apart(cube, "tensorly", 50, 0, 40)
    show("tensorly R=50, 40 sweeps", peer)
    for sweeps in range(4, 41):
        ours = apart(cube, "ours", 50, 1, sweeps)
        if ours["held_out"] <= peer["held_out"]:
            break
    show(f"R=50, ridge 1, {sweeps} sweeps: as good as tensorly", ours, f"{peer['seconds'] / 5:.1f} s, a fifth")
    theirs, ours = apart(cube, "tensorly", 500, 0, 5), apart(cube, "ours", 500, 0.3, 5)
    show("tensorly R=500, 5 sweeps", theirs)
    show("R=500, ridge .3, 5 sweeps", ours, f"a sweep in half of tensorly's: {theirs['sweep'] / 2:.2f} s")
    smoother = keep(folder / "smoother", SHAPE, SMOOTHER)
    show("smoother, so more alike: R=50, ridge 1, 20 sweeps", apart(smoother, "ours", 50, 1, 20))
    show("smoother: R=50, ridge 1, 40 sweeps", apart(smoother, "ours", 50, 1, 40))
    show("smoother: tensorly R=50, 40 sweeps", apart(smoother, "tensorly", 50, 0, 40))
    show("smoother: R=500, ridge 30, 15 sweeps", apart(smoother, "ours", 500, 30, 15))
    if large:
        cube = keep(folder / "large", LARGE, SMOOTH)
        show("1461 x 100 x 232: R=1800, ridge .3, 4 sweeps", apart(cube, "ours", 1800, 0.3, 4), "30 s a sweep, 3 GB")


def main() -> None:
    """Print the table, or run one row of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also R=1800, minutes")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        folder, *rest = json.loads(options.row)
        print(json.dumps(fit(Path(folder), *rest)))
        return
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "tensorly"))
    load = os.getloadavg()[0]
    print(f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load before {load:.1f}, {versions}")
    with tempfile.TemporaryDirectory() as folder:
        table(Path(folder), options.large)
    print(f"load after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
