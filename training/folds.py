"""What Pyramid gains on sources it never saw: train without each in turn, score on it; and the shipped weights beside.

    python -m adiabat.training.folds --data DIR ... --score score.py --cases cases.json --out DIR

A source is a folder of data. The yardstick is a program `score.py bound CASES --only NAME --json OUT --options JSON`
that runs the peers itself. Models that are already in the output folder are not trained again.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from adiabat.codec.models import find_model

Rows = list[dict[str, Any]]


def train_without(source: Path, folders: Sequence[Path], out: Path) -> Path:
    """The model trained on every folder but this one."""
    target = out / f"without-{source.name}.zip"
    if not target.exists():
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "adiabat.formats.cli",
            "train",
            "pyramid",
            "--out",
            str(target),
        ]
        command += [part for folder in folders if folder != source for part in ("--data", str(folder))]
        with (out / f"without-{source.name}.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return target


def score(program: Path, cases: Path, name: str, model: Path | None, out: Path) -> Rows:
    """Rows of one case; the shipped model where none is given."""
    result = out / f"score-{name}-{'shipped' if model is None else 'fold'}.json"
    options = json.dumps({} if model is None else {"model": str(model.resolve())})
    command = [
        sys.executable,
        str(program),
        "bound",
        str(cases),
        "--only",
        name,
        "--json",
        str(result),
        "--options",
        options,
    ]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # its exit code says what `holds` says below
    return [row for row in json.loads(result.read_text()) if row["case"] == name]


def mean(rows: Rows) -> float:
    """Geometric mean of the gain."""
    return math.exp(sum(math.log(row["gain"]) for row in rows) / len(rows))


def show(title: str, by_case: dict[str, Rows]) -> float:
    """Print one table and its means over cases; returns the mean of all rows."""
    print(f"\n{title}")
    print("case                bound    ratio          best peer   gain  max/bound rmse/bound")
    for rows in by_case.values():
        for row in rows:
            peer = max(row["peers"], key=row["peers"].get)
            start = f"{row['case']:16s} {row['bound']:8g} {row['ratio']:8.1f} {peer:>10s} {row['peers'][peer]:7.1f} "
            end = f"{row['gain']:6.3f} {row['max_error']:10.6f} {row['rmse']:10.3f}"
            print(start + end + ("" if row["holds"] else "  BOUND BROKEN"))
    everything = [row for rows in by_case.values() for row in rows]
    means = "  ".join(f"{name} {mean(rows):.3f}" for name, rows in by_case.items())
    worst = min(row["gain"] for row in everything)
    broken = sum(not row["holds"] for row in everything)
    print(f"geometric means: {means}")
    print(f"of all {len(everything)} rows {mean(everything):.3f}; worst row {worst:.3f}; bounds broken {broken}")
    return mean(everything)


def draw(by_case: dict[str, Rows], target: Path) -> None:
    """Ratio against bound, for Pyramid and each peer, one panel for each case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    colours = {"adiabat": "#d55e00", "sz3": "#0072b2", "sperr": "#009e73", "quant+jxl": "#999999"}
    columns = min(3, len(by_case))
    lines = -(-len(by_case) // columns)
    whole = (4 * columns, 3.4 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=whole, layout="constrained", squeeze=False)
    for axis in axes.flat[len(by_case) :]:
        axis.set_visible(False)
    for axis, (name, rows) in zip(axes.flat, by_case.items(), strict=False):
        bounds = [row["bound"] for row in rows]
        series = {"adiabat": [row["ratio"] for row in rows]}
        series |= {peer: [row["peers"].get(peer, math.nan) for row in rows] for peer in rows[0]["peers"]}
        for label, ratios in series.items():
            width, size = (2.5, 5) if label == "adiabat" else (1.2, 3)
            axis.plot(bounds, ratios, "o-", color=colours.get(label), label=label, lw=width, ms=size)
        axis.set(xscale="log", yscale="log", xlabel="bound on every value", ylabel="ratio", title=name)
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders to train on")
    parser.add_argument("--score", type=Path, required=True, help="the yardstick's program")
    parser.add_argument("--cases", type=Path, required=True, help="its cases")
    parser.add_argument("--out", type=Path, required=True, help="folder for models, logs and scores")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the held-out rows")
    parser.add_argument("--jobs", type=int, default=2, help="folds trained side by side")
    args = parser.parse_args()
    cases = json.loads(args.cases.read_text())
    of_source = {
        source: [
            case["name"] for case in cases if (args.cases.parent / case["file"]).resolve().parent == source.resolve()
        ]
        for source in args.data
    }
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        sources = [source for source, names in of_source.items() if names]
        folds = dict(
            zip(sources, pool.map(lambda source: train_without(source, args.data, args.out), sources), strict=True)
        )
    shipped = find_model().sha256
    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}; shipped model {shipped}")
    held_out = {
        name: score(args.score, args.cases, name, folds[source], args.out)
        for source in sources
        for name in of_source[source]
    }
    apart = show("held out: each case scored by a model that never saw its folder", held_out)
    if args.plot is not None:
        draw(held_out, args.plot)
    seen = {name: score(args.score, args.cases, name, None, args.out) for name in held_out}
    together = show("in training: the shipped model, which has seen these files", seen)
    print(f"\nheld out / in training: {apart / together:.3f}")


if __name__ == "__main__":
    main()
