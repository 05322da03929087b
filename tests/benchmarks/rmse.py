"""Measure bytes at equal RMSE beside the peers: `python tests/benchmarks/rmse.py --cases cases.json --json out.json`.

For each array and each target, an RMSE over the array's range (max - min), every codec's one parameter is searched so
that its RMSE is the target or at most 1 % below (lower where a codec goes in steps: "rmse" in OUT says it, over the
target); ratios are bytes of float32 over all bytes written. Peers are given stacks frame by frame and whole, and the
better one counts; Pyramid gets the whole array as one chunk. What peers reach is kept in a file (`--peers`), by the
array's hash, and measured once.

A case is {"name", "file" (relative to the list), "variable" (null for .npy), "select": {dimension: index or slice}}.

Needs the extras `io` and `peers`. EBCC comes as WebAssembly, apart from the environment's pins; put the folder on
PYTHONPATH, or its column stays empty:

    pip install --no-deps --target /tmp/ebcc numcodecs-wasm-ebcc==0.3.0 numcodecs-wasm==0.2.5 \
        numcodecs-observers==0.1.3 numcodecs-combinators==0.2.15 leb128==1.0.9
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
from collections import defaultdict
from pathlib import Path

import numpy as np
from peers import ENCODES, PEERS, PROMISED, Coded, Peers, Row, search, versions
from speed import cpu

from adiabat.codec import Pyramid, models

TUNES = ("bytes", "rmse")


def load(case: Row, root: Path, frames: int) -> np.ndarray:
    """The case's array: float32, C order, at least two axes, the leading one cut to so many frames in all."""
    path = root / case["file"]
    if path.suffix == ".npy":
        field = np.load(path)
    else:
        import xarray as xr

        grib = {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}} if path.suffix in (".grib", ".grb") else {}
        with xr.open_dataset(path, decode_times=False, **grib) as dataset:
            select = case.get("select", {}).items()
            take = {dim: slice(*pick) if isinstance(pick, list) else pick for dim, pick in select}
            field = dataset[case["variable"]].isel(take).values
    field = np.ascontiguousarray(field.squeeze(), np.float32)
    if frames and field.ndim > 2:
        field = field[: max(1, frames // math.prod(field.shape[1:-2]))]
    return field


def tunings(model: str | None) -> dict[str, dict[str, str]]:
    """Options of the Pyramids compared: the tunings that its constructor takes."""
    out: dict[str, dict[str, str]] = {}
    for tune in TUNES:
        try:
            Pyramid(bound={"abs": 1.0}, tune=tune)
            out[tune] = {"tune": tune}
        except (TypeError, ValueError) as error:
            print(f"no tune={tune!r}, {'the default' if tune == 'bytes' else 'no column'} instead: {error}")
            if tune == "bytes":
                out[tune] = {}
    return {tune: options | ({"model": model} if model else {}) for tune, options in out.items()}


def measure_pyramid(field: np.ndarray, nrmse: float, options: dict[str, str]) -> Row:
    """Ratio at this RMSE, and the RMSE over the bound that gives it."""

    def code(bound: float) -> Coded:
        codec = Pyramid(bound={"abs": bound}, **options)
        data = codec.encode(field)
        return len(data), codec.decode(data)

    target = nrmse * float(np.ptp(field))
    row = search(code, field, target, 1.9 * target)
    if row is None:
        raise SystemExit(f"Pyramid did not reach an RMSE of {target:g} in {ENCODES} encodes")
    return row | {"rmse/bound": row["rmse"] * target / row["parameter"]}


def add_gains(rows: list[Row]) -> None:
    """Over the best peer; and the factor on Pyramid's RMSE, at the same bytes, that would make both equal.

    The factor follows from how the ratio grows with the RMSE between neighbouring targets; rows are of one case.
    """
    for place, row in enumerate(rows):
        row["best"] = max(row["peers"], key=row["peers"].get, default=None)
        first, last = rows[max(place - 1, 0)], rows[min(place + 1, len(rows) - 1)]
        for tune, found in row["pyramid"].items():
            if row["best"]:
                found["gain"] = found["ratio"] / row["peers"][row["best"]]
            if row["best"] and last is not first:
                steeper = math.log(first["pyramid"][tune]["ratio"] / last["pyramid"][tune]["ratio"])
                found["rmse factor"] = found["gain"] ** (math.log(first["nrmse"] / last["nrmse"]) / steeper)


def print_rows(rows: list[Row], tunes: list[str], heads: bool) -> None:
    """One line for each target."""
    columns = [(tune, key) for tune in tunes for key in ("ratio", "rmse/bound")]
    gains = [(tune, key) for tune in tunes for key in ("gain", "rmse factor")]
    if heads:
        names = [f"{tune if key == 'ratio' else 'rmse/b':>7}" for tune, key in columns]
        names += [f"{name:>10}" for name in [*PEERS, "best"]]
        names += [f"{'g.' + tune if key == 'gain' else 'rmse x':>7}" for tune, key in gains]
        print(f"{'array':26} {'NRMSE':>6}", *names)
    for row in rows:
        cells = [f"{row['pyramid'][tune][key]:7.2f}" for tune, key in columns]
        cells += [f"{row['peers'][name]:10.2f}" if name in row["peers"] else f"{'-':>10}" for name in PEERS]
        cells += [f"{row['best'] or '-':>10}"]
        cells += [f"{row['pyramid'][tune].get(key, math.nan):7.3f}" for tune, key in gains]
        print(f"{row['case'] + ' ' + 'x'.join(map(str, row['shape'])):26} {row['nrmse']:6.0e}", *cells, flush=True)


def print_means(rows: list[Row], tune: str) -> None:
    """Geometric mean of the gain by group: single frames, stacks, each target, all."""
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for group in ("frames" if len(row["shape"]) == 2 else "stacks", f"{row['nrmse']:.0e}", "all"):
            if "gain" in row["pyramid"][tune]:
                groups[group].append(math.log(row["pyramid"][tune]["gain"]))
    means = [f"{group} {math.exp(sum(logs) / len(logs)):.3f} ({len(logs)})" for group, logs in sorted(groups.items())]
    print(f"geometric mean of gain, tune={tune}:", ", ".join(means))


def print_title(frames: int, model: str | None) -> None:
    """Machine, date, versions, model, and what the columns are."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"ratio at equal RMSE, {now}, {cpu()}, {os.cpu_count()} cores")
    print(f"Python {platform.python_version()}, {versions()}, model {models.find_model(model).sha256[:12]}")
    cut = f"first {frames} frames of stacks" if frames else "all frames of stacks"
    print(f"{cut}; RMSE up to {PROMISED:.0%} below NRMSE times the range (more if in steps); g.: over best peer")
    print("rmse/b: Pyramid's RMSE over its bound; rmse x: what it would have to become times, at the same bytes, to")
    print("meet the best peer (below 1: Pyramid is behind)\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True, metavar="LIST", help="JSON list of arrays")
    parser.add_argument("--only", default="", metavar="NAME", help="cases whose name contains this")
    parser.add_argument("--nrmse", type=float, nargs="+", default=[1e-3, 3e-4, 1e-4], metavar="X")
    parser.add_argument("--frames", type=int, default=24, metavar="N", help="first N frames of stacks; 0: all")
    parser.add_argument("--model", metavar="PATH", help="of Pyramid; the shipped one if not given")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where to write all figures")
    parser.add_argument("--peers", type=Path, metavar="FILE", help="kept peers; rmse_peers.json beside OUT")
    options = parser.parse_args()
    print_title(options.frames, options.model)
    peers = Peers(options.peers or (options.json and options.json.with_name("rmse_peers.json")))
    pyramids = tunings(options.model)
    rows: list[Row] = []
    for case in json.loads(options.cases.read_text()):
        if options.only not in case["name"]:
            continue
        field = load(case, options.cases.parent, options.frames)
        if not np.isfinite(field).all() or not np.ptp(field):
            print(f"{case['name']}: left out, since it has NaN or infinities or is constant")
            continue
        fresh = []
        for nrmse in sorted(options.nrmse, reverse=True):
            found = {tune: measure_pyramid(field, nrmse, extra) for tune, extra in pyramids.items()}
            ratios = peers.ratios(case["name"], field, nrmse)
            fresh.append(
                {"case": case["name"], "shape": field.shape, "nrmse": nrmse, "pyramid": found, "peers": ratios}
            )
        add_gains(fresh)
        print_rows(fresh, list(pyramids), heads=not rows)
        rows += fresh
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    for tune in pyramids:
        print_means(rows, tune)


if __name__ == "__main__":
    main()
