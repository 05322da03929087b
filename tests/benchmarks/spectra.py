"""Spectra under a bound in units of noise, beside SZ3, SPERR, JPEG XL and PCA: `python tests/benchmarks/spectra.py`.

A granule is simulated (or given: a file of `python -m adiabat.training.simulate_tempo --clean`), and coded at noise
bounds k, with its noise and without (then radiance_error is that of the radiance without noise). Each peer is given, in
the best of some layouts, and checked after undoing it:

- over its error: radiance over radiance_error, bound k. To undo it one needs radiance_error, exactly, whose bytes are
  not counted. As sigma^2 = a + b x, that is as good as to be given the radiance: such noise is half a unit, not one;
- stabilised: y = 2 sqrt(a + b x) / b of each channel's a and b, noise of one, bound 0.995 k. Nothing else is needed.

Flagged values are missing to us; peers get them filled, and our mask's bytes count for them too.

--measured FILE.mat: sky spectra of 4STAR instead. Their noise is estimated channel by channel: second differences along
wavelength, less the median share of them that goes with the brightness, 1.4826 median absolute deviations / sqrt(6),
median over 31 channels. The noise is a channel's own: peers' only input is x over it.

Needs the extras io and peers, --plot the extra plot, and the reference spectra (ADIABAT_DATA).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import principal
from peers import sperr, sz3, versions
from spectra_cases import Stabilised, filled, granule_of, measured
from speed import cpu

from adiabat.codec import Pyramid, describe
from adiabat.codec.context import ChunkContext

TIMES = (1.0, 0.25)
SAMPLE = 1 << 21  # values on which layouts are chosen
OVER, OWN = "over its error", "stabilised"  # what peers are given
CURVED = 0.995  # of a bound on y: x bends, and its error must stay within k
BOUNDED, FREE = "PCA, same bound", "PCA, equal bytes"
Row = dict[str, Any]
Array = np.ndarray
Undo = Callable[[Array], Array]

CHILD = """
import sys, time
import numpy as np
from adiabat.codec import Pyramid
from adiabat.codec.context import ChunkContext
x, sigma, k = np.load(sys.argv[1]), np.load(sys.argv[2]), float(sys.argv[3])
def peak(reset):
    if reset:
        open("/proc/self/clear_refs", "w").write("5")
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
codec, context = Pyramid(bound={"noise": k}), ChunkContext(noise=sigma)
few = Pyramid(bound={"noise": k}).encode(x[:2, ..., :], context=ChunkContext(noise=sigma[:2]))
codec.decode(few)
base = peak(True)
start = time.perf_counter(); data = codec.encode(x, context=context); encode = time.perf_counter() - start
first = peak(False) - base
base = peak(True)
start = time.perf_counter(); codec.decode(data); decode = time.perf_counter() - start
print(x.nbytes / 1e6 / encode, x.nbytes / 1e6 / decode, first, peak(False) - base)
"""

LAYOUTS = {
    "channels last": lambda z: z,
    "channels first": lambda z: np.moveaxis(z, -1, 0),
    "pixels x channels": lambda z: z.reshape(-1, z.shape[-1]),
    "channels x pixels": lambda z: z.reshape(-1, z.shape[-1]).T,
}


PEERS: dict[str, Callable[[Array, float], tuple[int, Array]]] = {
    "SZ3": sz3,
    "SPERR": lambda z, bound: sperr(z, bound, "pwe"),
    "JPEG XL": lambda z, bound: principal.jpeg_xl(z, 2 * bound),
}
COLUMNS = (*PEERS, BOUNDED)
TITLES = ("k", "Pyramid, bits a value", "ratio", "peers get radiance", *PEERS, "gain over the best", BOUNDED)
TITLES += ("noise's entropy", "over it")


def peer(name: str, z: Array, bound: float) -> Row:
    """What the best of the layouts takes, and what it decoded; the layout is chosen on a part."""
    kinds = [kind for kind in LAYOUTS if z.ndim == 3 or kind.startswith(("channels l", "channels x"))]
    part = z[: max(2, SAMPLE // z[0].size)]
    sizes = {kind: PEERS[name](np.ascontiguousarray(LAYOUTS[kind](part)), bound)[0] for kind in kinds}
    layout = min(kinds, key=lambda kind: sizes[kind])
    size, back = PEERS[name](np.ascontiguousarray(LAYOUTS[layout](z)), bound)
    back = np.moveaxis(back, 0, -1) if layout == "channels first" else back.T if layout.endswith("pixels") else back
    return {"bytes": size, "layout": layout, "decoded": back.reshape(z.shape)}


def shaved(z: Array, k: float) -> float:
    """A bound that float32 rounding, before and after, cannot break."""
    return max(k - float(np.spacing(np.float32(np.abs(z).max()))), k / 2)


def entropy(x: Array, clean: Array, step: Array) -> float:
    """Bits a value of the noise around the clean signal in such steps, under each channel's own histogram."""
    return float(np.mean([principal.entropy(np.rint((x - clean) / step)[..., j]) for j in range(x.shape[-1])]))


def by_channel(off: Array) -> Row:
    """Largest and root mean square of errors in units of noise, by channel."""
    off = off.reshape(-1, off.shape[-1]).astype(np.float64)
    there, off = np.isfinite(off), np.abs(np.nan_to_num(off))
    return {"max": off.max(0).tolist(), "rms": np.sqrt((off**2).sum(0) / np.maximum(there.sum(0), 1)).tolist()}


def inputs(x: Array, sigma: Array, k: float) -> dict[str, tuple[Array, float, Undo]]:
    """What peers are given: an array, its bound, and how x comes back."""
    over = filled(x / sigma)
    given: dict[str, tuple[Array, float, Undo]] = {
        OVER: (over, shaved(over, k), lambda z: z * sigma.astype(np.float64))
    }
    if sigma.ndim > 1:  # or noise is the channel's own, and both are the same
        stabilised = Stabilised.of(x, sigma)
        y = filled(stabilised.forward(x))
        given[OWN] = (y, shaved(y, CURVED * k), stabilised.back)
    return given


def score(x: Array, sigma: Array, clean: Array | None, size: int, decoded: Array) -> Row:
    """Bits a value, and errors in units of noise."""
    there = np.isfinite(x)
    off = np.where(there, (decoded.astype(np.float64) - x) / sigma, np.nan)
    row = {"bytes": size, "bits": 8 * size / int(there.sum()), "rms": float(np.sqrt(np.nanmean(off**2)))}
    if clean is not None:
        row["rms clean"] = float(np.sqrt(np.nanmean(np.where(there, (decoded - clean) / sigma, np.nan) ** 2)))
    return row | {"max": float(np.nanmax(np.abs(off))), "by channel": by_channel(off)}


def measure(x: Array, sigma: Array, k: float, clean: Array | None, *, pca: bool = True, alone: bool = False) -> Row:
    """All codecs on one array, or Pyramid alone."""
    codec = Pyramid(bound={"noise": k})
    data = codec.encode(x, context=ChunkContext(noise=sigma))
    back, told = codec.decode(data), describe(data)
    row = score(x, sigma, clean, len(data), back)
    if row["max"] > k or not np.array_equal(np.isfinite(back), np.isfinite(x)):
        raise SystemExit(f"Pyramid broke its bound {k}: {row['max']}")
    mask = told["sections"].get("mask", 0)
    row |= {"k": k, "ratio": x.nbytes / len(data), "path": told["path"], "sections": told["sections"], "peers": {}}
    row["entropy"] = None if clean is None else entropy(x, clean, 2 * k * sigma)
    for given, (z, bound, undo) in ({} if alone else inputs(x, sigma, k)).items():
        row["peers"][given] = rows = {name: peer(name, z, bound) for name in PEERS}
        if pca:
            model = principal.Model(z)
            rows[BOUNDED] = model.bounded(bound)
            if given == OWN:
                rows[FREE] = model.within(len(data) - mask)
        for found in rows.values():
            found |= score(x, sigma, clean, found["bytes"] + mask, undo(found.pop("decoded")))
        row[f"gain, {given}"] = min(rows[name]["bytes"] for name in PEERS) / len(data)
    return row


def speeds(x: Array, sigma: Array, k: float) -> list[float]:
    """MB/s of encoding and decoding, and MiB that each needs beside the chunk, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "x.npy", Path(folder) / "sigma.npy"]
        for path, array in zip(paths, (x, sigma), strict=True):
            np.save(path, array)
        command = [sys.executable, "-c", CHILD, *map(str, paths), str(k)]
        return [
            float(word) for word in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        ]


def show(row: Row) -> None:
    """Lines of a case: one for each input of the peers."""
    for given, rows in (row["peers"] or {"": {}}).items():
        ours = [f"{row['k']:g}", f"{row['bits']:.3f}", f"{row['ratio']:.2f}"]
        peers = [
            f"{rows[name]['bits']:.3f}{violation(rows[name], row['k'])}" if name in rows else "" for name in COLUMNS
        ]
        noise = ["", ""]
        if row["entropy"]:
            noise = [f"{row['entropy']:.3f}", f"{row['bits'] / row['entropy'] - 1:+.1%}".replace("%", " %")]
        gain = f"**{row[f'gain, {given}']:.3f}**" if rows else ""
        cells = [row["case"], *ours, given, *peers[:-1], gain, peers[-1], *noise]
        print(f"| {' | '.join(cells)} |", flush=True)


def violation(found: Row, k: float) -> str:
    """Say by how much a bound is broken."""
    return f" (bound broken: {found['max'] / k:.4f} of it)" if found["max"] > k * (1 + 1e-6) else ""


def head(*names: str) -> str:
    """Of a table."""
    return f"| {' | '.join(names)} |\n" + "|---" * len(names) + "|"


def show_bytes(rows: dict[str, Row]) -> None:
    """PCA at equal bytes: what it loses."""
    names = "largest", "rms to what has no noise"
    titles = "simulated, equal bytes", "k", "Pyramid: rms error", *names, "PCA: rms error", *names, "components"
    print("\n" + head(*titles))
    for row in rows.values():
        free = row["peers"][OWN][FREE]
        both = [f"{r[name]:.3f}" if name in r else "" for r in (row, free) for name in ("rms", "max", "rms clean")]
        print(f"| {' | '.join([row['case'], format(row['k'], 'g'), *both, str(free['components'])])} |")


def run(cases: dict[str, tuple[Array, Array, Array | None]], options: argparse.Namespace) -> dict[str, Row]:
    """Measure and show every case at every bound."""
    rows = {}
    for name, (x, sigma, clean) in cases.items():
        for k in options.times:
            rows[f"{name}, {k:g}"] = row = {"case": name} | measure(
                x, sigma, k, clean, pca=not options.measured, alone=options.alone
            )
            show(row)
            if options.speed:
                row["speed"] = speeds(x, sigma, k)
    return rows


def draw(rows: dict[str, Row], wavelength: Array, path: Path) -> None:
    """Error by wavelength, in units of noise, of spectra with noise."""
    from matplotlib.figure import Figure

    shown = [row for row in rows.values() if row["case"] == "with noise"]
    figure = Figure(figsize=(9.6, 3.4 * len(shown)), layout="constrained")
    for place, row in enumerate(shown):
        axes = figure.add_subplot(len(shown), 1, place + 1)
        lines = {"Pyramid": row} | {name: row["peers"][OWN][name] for name in (*PEERS, FREE)}
        for number, (name, found) in enumerate(lines.items()):
            by = found["by channel"]
            width = 2.5 if name == "Pyramid" else 1  # others lie on it
            axes.plot(wavelength, by["rms"], color=f"C{number}", linewidth=width, label=f"{name}: rms")
            axes.plot(wavelength, by["max"], color=f"C{number}", linewidth=0.7, linestyle=":", label="largest")
        axes.axhline(row["k"], color="k", linewidth=0.6)
        axes.set(ylabel="error in units of noise", title=f"simulated with noise, bound k = {row['k']:g}")
        axes.set(yscale="log", ylim=(0.3 * row["k"], 6), xlim=(wavelength[0], wavelength[-1]))
        axes.grid(alpha=0.3)
    figure.axes[-1].set_xlabel("wavelength, nm")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=8, ncols=5, loc="outside upper center")
    figure.savefig(path, dpi=100)


def options() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--granule", type=Path)
    parser.add_argument("--mirror-steps", type=int, default=32)
    parser.add_argument("--xtrack", type=int, default=256)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cases", nargs="+", default=["with noise", "noise-free"])
    parser.add_argument("--times", type=float, nargs="+", default=list(TIMES), help="bounds k")
    parser.add_argument("--measured", type=Path, help="4STAR sky spectra")
    parser.add_argument("--alone", action="store_true", help="without peers: they take minutes")
    parser.add_argument("--speed", action="store_true", help="time it too, in processes of their own")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG")
    return parser.parse_args()


def main() -> None:
    """Print the tables; write what is asked for."""
    asked = options()
    print(f"{cpu()}; {versions()}\n")
    if asked.measured:
        print(head("measured (4STAR)", *TITLES))
        rows = run({name: (x, sigma, None) for name, (x, sigma) in measured(asked.measured).items()}, asked)
    else:
        size = {"steps": asked.mirror_steps, "xtrack": asked.xtrack, "seed": asked.seed}
        granule = granule_of(asked.granule, **size)
        print(f"simulated, {' x '.join(map(str, granule.noisy.shape))}, {np.isnan(granule.noisy).mean():.2%} missing\n")
        known = {"with noise": (granule.noisy, granule.sigma, granule.clean),
                 "noise-free": (granule.clean, granule.clean_sigma, None)}  # fmt: skip
        print(head("simulated", *TITLES))
        rows = run({name: known[name] for name in asked.cases}, asked)
        if not asked.alone:
            show_bytes(rows)
        if asked.plot:
            draw(rows, granule.wavelength.mean(0), asked.plot)
    if asked.speed:
        print(
            "\n" + head("speed", "k", "encode, MB/s", "decode, MB/s", "memory beside the chunk: encode, MiB", "decode")
        )
        for row in rows.values():
            print(f"| {row['case']} | {row['k']:g} | " + " | ".join(f"{number:.0f}" for number in row["speed"]) + " |")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
