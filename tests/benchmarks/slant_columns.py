"""What compression costs slant columns, on simulated spectra: `python tests/benchmarks/slant_columns.py [GRANULE]`.

A granule with noise is compressed at noise bounds k; slant columns are retrieved (`adiabat.training.doas`) without
noise, with it, and after decompression. Everything is told in units of the noise's own scatter, std(with - without):

- difference: std(decompressed - with noise), at most 0.20 at k = 0.25
- growth: std(decompressed - without) over std(with - without), at most 2 % above 1
- bias: |mean(decompressed - with noise)|, at most 0.02

GRANULE is a file of `python -m adiabat.training.simulate_tempo --clean`; one is simulated if none is given. Needs the
extra io, and the reference spectra (ADIABAT_DATA); --plot needs the extra plot.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from spectra_cases import BAND, Granule, granule_of

from adiabat.codec import Pyramid
from adiabat.codec.context import ChunkContext
from adiabat.training.doas import WINDOWS, slant_columns
from adiabat.training.tempo_blocks import tables_of
from adiabat.training.tempo_spectroscopy import RowTables, row_tables

TIMES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0)
ASKED, MOST = 0.25, {"difference": 0.20, "growth": 0.02, "bias": 0.02}
NAMES = {"no2": "NO2", "o3": "O3", "hcho": "HCHO"}
Row = dict[str, Any]


def retrieved(radiance: np.ndarray, tables: RowTables) -> dict[str, np.ndarray]:
    """Slant columns of every gas, (steps, rows)."""
    return {gas: slant_columns(radiance, tables, window) for gas, window in WINDOWS.items()}


def judged(clean: np.ndarray, noisy: np.ndarray, decoded: np.ndarray) -> Row:
    """How far decompressed columns are off, in units of the noise's scatter; pixels that have all three."""
    there = np.isfinite(clean) & np.isfinite(noisy) & np.isfinite(decoded)
    clean, noisy, decoded = clean[there], noisy[there], decoded[there]
    noise = float(np.std(noisy - clean))
    return {
        "pixels": int(there.sum()),
        "noise": noise,
        "difference": float(np.std(decoded - noisy)) / noise,
        "growth": float(np.std(decoded - clean)) / noise - 1,
        "bias": abs(float(np.mean(decoded - noisy))) / noise,
    }


def measure(granule: Granule, times: list[float]) -> list[Row]:
    """One row for each bound and gas."""
    tables = row_tables(tables_of(BAND), granule.wavelength.astype(np.float64), granule.rows)
    without, with_noise = retrieved(granule.clean, tables), retrieved(granule.noisy, tables)
    rows = []
    for k in times:
        codec = Pyramid(bound={"noise": k})
        data = codec.encode(granule.noisy, context=ChunkContext(noise=granule.sigma))
        after = retrieved(codec.decode(data), tables)
        bits = 8 * len(data) / int(np.isfinite(granule.noisy).sum())
        for gas in WINDOWS:
            row = {"k": k, "gas": gas, "bits": bits} | judged(without[gas], with_noise[gas], after[gas])
            rows.append(row)
            print(line(row), flush=True)
    return rows


def line(row: Row) -> str:
    """A row of the table; at the bound that limits are stated for, each figure says whether it keeps its own."""
    cells = [f"{row['k']:g}", f"{row['bits']:.3f}", NAMES[row["gas"]], f"{row['noise']:.3g}"]
    for name, style in (("difference", "{:.3f}"), ("growth", "{:+.2%}"), ("bias", "{:.4f}")):
        verdict = "" if row["k"] != ASKED else " ok" if row[name] <= MOST[name] else " NOT"
        cells.append(style.format(row[name]).replace("%", " %") + verdict)
    return "| " + " | ".join(cells) + " |"


def draw(rows: list[Row], path: Path) -> None:
    """How the three figures grow with the bound."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    titles = {"difference": "std(decompressed - original)", "growth": "growth of the total scatter", "bias": "|bias|"}
    for place, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(1, 3, place + 1)
        for gas, marker in zip(WINDOWS, "osd", strict=True):
            points = [(row["k"], row[name]) for row in rows if row["gas"] == gas]
            axes.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=NAMES[gas])
        axes.plot([ASKED], [MOST[name]], "k_", markersize=16, label=f"limit at k = {ASKED:g}")
        axes.set(title=title, xlabel="bound k, in units of radiance_error", xscale="log")
        axes.set(yscale="linear" if name == "growth" else "log")  # it is below zero where noise goes
        ticks = sorted({row["k"] for row in rows})
        axes.set_xticks(ticks, [f"1/{1 / k:g}" if k < 1 else f"{k:g}" for k in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("over the noise's own scatter")
    figure.axes[0].legend(fontsize=8)
    figure.suptitle("Slant columns from decompressed spectra (simulated)", fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table; write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("granule", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=7, help="of the granule that is simulated")
    parser.add_argument("--times", type=float, nargs="+", default=list(TIMES), help="bounds k")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="PNG")
    options = parser.parse_args()
    granule = granule_of(options.granule, seed=options.seed)
    print(f"simulated spectra {granule.noisy.shape}; differences in units of the noise's own scatter\n")
    print("| k | bits a value | gas | noise scatter, cm-2 | difference | growth | bias |\n|" + "---|" * 7)
    rows = measure(granule, options.times)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.plot:
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
