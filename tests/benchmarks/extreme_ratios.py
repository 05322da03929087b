"""Hyperprior and VQ beside JPEG 2000 and SPERR: `python tests/benchmarks/extreme_ratios.py FILE:VAR ...`.

For each field and ratio the peers are asked for the ratio. Two tables:
- equal RMSE: each of our codecs is asked for the better peer's RMSE; gain is its ratio over the better peer's;
- equal bytes: all are asked for the ratio, and scored: RMSE and MAE (unweighted, as the ratio's target is, and weighted
  by the cosine of latitude), largest error, 99.9 percentile, how much of the variance is left at the finest scales, and
  how far the five most extreme places are off.
Everything is real bytes, all of the stream; speeds are medians of --repeat runs in this process, the encoder's search
included. With --plots, pictures of the field, the differences and the spectra at --draw.

Needs the extras io, peers and plot; ducc0 for spectra by degree, else they are zonal.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import imagecodecs
import numpy as np
from peers import versions
from speed import cpu

from adiabat.codec import VQ, Hyperprior
from adiabat.formats.metrics import compare_spectra, extremes, score_field

OURS: dict[str, Any] = {"hyperprior": Hyperprior, "vq": VQ}
Field = np.ndarray
Row = dict[str, Any]


def load(text: str) -> tuple[str, Field, Field, Field]:
    """Name, field, latitude and longitude of FILE:VAR, the first frame of it."""
    import xarray as xr

    file, _, name = text.rpartition(":")
    engine = {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}} if file.endswith((".grib", ".grb")) else {}
    with xr.open_dataset(file, decode_times=False, **engine) as dataset:
        array = dataset[name]
        frame = array.isel(dict.fromkeys(array.dims[:-2], 0))
        latitude, longitude = (np.asarray(array[dim].values, np.float64) for dim in array.dims[-2:])
        return name, np.ascontiguousarray(frame.values, np.float32), latitude, longitude


def jpeg2000(field: Field, ratio: float) -> tuple[int, Field]:
    """Irreversible, 16-bit samples, at the level whose ratio is nearest."""
    low, span = float(field.min()), float(np.ptp(field)) or 1.0
    image = np.rint((field - np.float64(low)) / span * 65535).astype(np.uint16)
    worse, finer, best, off = 1.0, 140.0, b"", math.inf
    for _ in range(20):
        level = (worse + finer) / 2
        data = bytes(imagecodecs.jpeg2k_encode(image, level=level, codecformat="j2k", reversible=False))
        reached = field.nbytes / (len(data) + 8) / ratio
        worse, finer = (level, finer) if reached >= 1 else (worse, level)
        best, off = (data, abs(math.log(reached))) if abs(math.log(reached)) < off else (best, off)
    return len(best) + 8, imagecodecs.jpeg2k_decode(best).astype(np.float64) / 65535 * span + low


def sperr(field: Field, ratio: float) -> tuple[int, Field]:
    """Fixed rate."""
    data = bytes(imagecodecs.sperr_encode(field, 32 / ratio, "bpp", numthreads=1))
    return len(data), np.asarray(imagecodecs.sperr_decode(data), np.float64).reshape(field.shape)


PEERS: dict[str, Callable[[Field, float], tuple[int, Field]]] = {"jpeg2000": jpeg2000, "sperr": sperr}


def rmse(field: Field, decoded: Field) -> float:
    """Unweighted, in float64."""
    return float(np.sqrt(np.mean((decoded.astype(np.float64) - field) ** 2)))


def timed(action: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """What it gives, and the median of its seconds."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        out = action()
        seconds.append(time.perf_counter() - start)
    return out, statistics.median(seconds)


def at_equal_rmse(field: Field, ratio: float, peers: dict[str, tuple[int, Field]], options: argparse.Namespace) -> Row:
    """Each of our codecs at the better peer's RMSE."""
    target = min(rmse(field, back) for _, back in peers.values())
    best = max(field.nbytes / size for size, _ in peers.values())
    row: Row = {"asked": ratio, "rmse": target, "peers": {n: field.nbytes / size for n, (size, _) in peers.items()}}
    for name in options.codecs:
        codec = OURS[name](target={"rmse": target}, model=getattr(options, name))
        codec.decode(codec.encode(field))
        data, encode = timed(lambda codec=codec: codec.encode(field), options.repeat)
        back, decode = timed(lambda codec=codec, data=data: codec.decode(data), options.repeat)
        ours, megabytes = field.nbytes / len(data), field.nbytes / 1e6
        row[name] = {"ratio": ours, "gain": ours / best, "bytes": len(data), "holds": rmse(field, back) <= target,
                     "encode": megabytes / encode, "decode": megabytes / decode}  # fmt: skip
    return row


def scored(field: Field, decoded: Field, latitude: Field, longitude: Field) -> Row:
    """Scores of one decoded field."""
    decoded = np.asarray(decoded, np.float64)
    weighted = score_field(field, decoded, latitude, longitude)
    spectra = compare_spectra(field, decoded, latitude, longitude)
    ratio, degrees = np.asarray(spectra.ratio).reshape(-1), len(np.asarray(spectra.ratio).reshape(-1))
    half = next((int(n) for n in range(4, degrees) if ratio[n : n + max(2, n // 8)].mean() < 0.5), degrees)
    kinds = ("min", "max")
    found = [one for kind in kinds for one in extremes(field, decoded, latitude, longitude, kind=kind, count=5)]
    return {
        "rmse": rmse(field, decoded), "mae": float(np.abs(decoded - field).mean()),
        "weighted rmse": float(weighted.rmse), "weighted mae": float(weighted.mae),
        "max": float(weighted.maximum), "p99.9": float(weighted.percentile), "half power": half,
        "extremes": float(np.mean([abs(one.difference) for one in found])),
        "km": float(np.mean([one.distance_km for one in found])),
    }  # fmt: skip


def at_equal_bytes(
    field: Field, ratio: float, peers: dict[str, tuple[int, Field]], place: tuple[Field, Field], options: Any
) -> tuple[dict[str, Row], dict[str, Field]]:
    """Scores of all codecs asked for the ratio, and what they decode to."""
    decoded = {name: back for name, (_, back) in peers.items()}
    sizes = {name: size for name, (size, _) in peers.items()}
    for name in options.codecs:
        codec = OURS[name](target={"ratio": ratio}, model=getattr(options, name))
        data = codec.encode(field)
        sizes[name], decoded[name] = len(data), codec.decode(data)
    ratios = {name: {"ratio": field.nbytes / size} for name, size in sizes.items()}
    return {name: row | scored(field, decoded[name], *place) for name, row in ratios.items()}, decoded


def print_rmse(name: str, rows: list[Row], codecs: list[str]) -> None:
    """The table of equal RMSE."""
    heads = " ".join(f"{'ratio':>8} {codec + ' gain':>15} {'enc':>6} {'dec MB/s':>9}" for codec in codecs)
    print(f"\n{name}: equal RMSE\n{'RMSE':>10} {'jpeg2000':>9} {'sperr':>8} {heads}")
    for row in rows:
        cells = [f"{row['rmse']:10.4g} {row['peers']['jpeg2000']:9.1f} {row['peers']['sperr']:8.1f}"]
        for codec in codecs:
            ours = row[codec]
            cells.append(f"{ours['ratio']:8.1f} {ours['gain']:15.3f} {ours['encode']:6.1f} {ours['decode']:9.1f}"
                         f"{'' if ours['holds'] else ' RMSE MISSED'}")  # fmt: skip
        print(" ".join(cells), flush=True)


def print_bytes(name: str, ratio: float, rows: dict[str, Row]) -> None:
    """The table of equal bytes."""
    keys = ("ratio", "rmse", "mae", "weighted rmse", "weighted mae", "max", "p99.9", "half power", "extremes", "km")
    print(f"\n{name}: equal bytes, {ratio:g}x\n{'':12}" + " ".join(f"{key:>13}" for key in keys))
    for codec, row in rows.items():
        print(f"{codec:12}" + " ".join(f"{row[key]:13.4g}" for key in keys), flush=True)


def draw(name: str, field: Field, decoded: dict[str, Field], place: tuple[Field, Field], target: Path) -> None:
    """Field, decoded fields, differences and spectra on one page."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(decoded) + 1, 2, figsize=(11, 2.6 * (len(decoded) + 1)), layout="constrained")
    low, high = np.percentile(field, [0.5, 99.5])
    spread = 3 * min(rmse(field, back) for back in decoded.values())
    latitude, longitude = place
    box = (longitude[0], longitude[-1], latitude[-1], latitude[0])
    axes[0, 0].imshow(field, vmin=low, vmax=high, extent=box, aspect="auto", cmap="viridis")
    axes[0, 0].set_title(f"{name}, source")
    for line, (codec, back) in enumerate(decoded.items(), 1):
        image = axes[line, 0].imshow(back, vmin=low, vmax=high, extent=box, aspect="auto", cmap="viridis")
        error = axes[line, 1].imshow(
            back - field.astype(np.float64), vmin=-spread, vmax=spread, extent=box, aspect="auto", cmap="RdBu_r"
        )
        axes[line, 0].set_title(codec)
        axes[line, 1].set_title(f"{codec}: decoded less source, RMSE {rmse(field, back):.3g}")
        figure.colorbar(image, ax=axes[line, 0])
        figure.colorbar(error, ax=axes[line, 1])
        spectra = compare_spectra(field, np.asarray(back, np.float64), latitude, longitude)
        axes[0, 1].plot(np.asarray(spectra.ratio).reshape(-1), label=codec, lw=1)
    axes[0, 1].set(xscale="log", ylim=(0, 1.5), xlabel=spectra.kind, title="power, decoded over source")
    axes[0, 1].axhline(1, color="k", lw=0.5)
    axes[0, 1].legend()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=55)
    plt.close(figure)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", nargs="+", metavar="FILE:VAR")
    parser.add_argument("--ratios", type=float, nargs="+", default=[100, 300, 1000, 2000])
    parser.add_argument("--codecs", nargs="+", choices=list(OURS), default=list(OURS))
    parser.add_argument("--hyperprior", metavar="MODEL", help="of Hyperprior; the shipped one if not given")
    parser.add_argument("--vq", metavar="MODEL", help="of VQ; the shipped one if not given")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--plots", type=Path, metavar="DIR")
    parser.add_argument("--draw", type=float, default=1000, metavar="RATIO")
    options = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{now}, {cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {versions()}")
    everything: list[Row] = []
    for text in options.fields:
        name, field, *place = load(text)
        rows = []
        for ratio in options.ratios:
            peers = {peer: code(field, ratio) for peer, code in PEERS.items()}
            rows.append(at_equal_rmse(field, ratio, peers, options))
            scores, decoded = at_equal_bytes(field, ratio, peers, tuple(place), options)
            rows[-1] |= {"field": name, "scores": scores}
            print_bytes(name, ratio, scores)
            if options.plots and ratio == options.draw:
                draw(f"{name} at {ratio:g}x", field, decoded, tuple(place), options.plots / f"{name}_{ratio:g}x.png")
        print_rmse(name, rows, options.codecs)
        everything += rows
        if options.json:
            options.json.write_text(json.dumps(everything, indent=1))
    for codec in options.codecs:
        gains = [math.log(row[codec]["gain"]) for row in everything]
        missed = sum(not row[codec]["holds"] for row in everything)
        print(f"{codec}: geometric mean gain {math.exp(sum(gains) / len(gains)):.3f} over {len(gains)} rows; "
              f"worst {math.exp(min(gains)):.3f}; {missed} missed their RMSE")  # fmt: skip


if __name__ == "__main__":
    main()
