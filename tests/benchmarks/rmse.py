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
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
import imagecodecs
import numpy as np
from pysz import sz, szConfig, szErrorBoundMode
from speed import cpu

from adiabat.codec import Pyramid, models

TUNES = ("bytes", "rmse")
PROMISED, AIMED = 0.01, 0.0025  # how far below its target an RMSE may lie
ENCODES = 12  # at most, for one target
Coded = tuple[int, np.ndarray]
Row = dict[str, Any]


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


def sz3(field: np.ndarray, bound: float) -> Coded:
    config = szConfig()
    config.errorBoundMode, config.absErrorBound, config.openmp = szErrorBoundMode.ABS, bound, False
    data = sz.compress(field, config)[0]
    return data.nbytes, sz.decompress(data.copy(), np.float32, field.shape)[0]


def sperr(field: np.ndarray, level: float, mode: str) -> Coded:
    chunks = {"chunks": field.shape} if field.ndim == 3 else {}
    data = imagecodecs.sperr_encode(field, level, mode, numthreads=1, **chunks)
    return len(data), np.asarray(imagecodecs.sperr_decode(data)).reshape(field.shape)


def decibels(field: np.ndarray, rmse: float) -> float:
    """Peak signal to noise ratio that this RMSE is."""
    return max(20 * math.log10((float(np.ptp(field)) or 1.0) / rmse), 1.0)


def jpeg2000(field: np.ndarray, rmse: float) -> Coded:
    """Irreversible, 16-bit samples; the two float32 that undo the scaling are counted."""
    low, span = float(field.min()), float(np.ptp(field)) or 1.0
    image = np.rint((field - np.float64(low)) / span * 65535).astype(np.uint16)
    data = imagecodecs.jpeg2k_encode(image, level=decibels(field, rmse), codecformat="j2k", reversible=False)
    return len(data) + 8, imagecodecs.jpeg2k_decode(data).astype(np.float64) / 65535 * span + low


def ebcc(field: np.ndarray, **options: Any) -> Coded:
    """Leading axes are coded frame by frame, in one stream."""
    from numcodecs_wasm_ebcc import Ebcc

    with silent():
        codec = Ebcc(**options)
        data = bytes(codec.encode(field if field.ndim == 3 else field[None]))
        return len(data), np.asarray(codec.decode(np.frombuffer(data, np.uint8))).reshape(field.shape)


@contextmanager
def silent() -> Iterator[None]:
    """Drop what is written to the standard error, by C too: EBCC warns of each frame's error."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Mode(NamedTuple):
    """One way to ask a peer for a quality, by a parameter that grows with the RMSE.

    The parameter is `start` times the RMSE wanted to begin with, or about the ratio where `start` is None.
    """

    code: Callable[[np.ndarray, float], Coded]
    start: float | None
    layouts: tuple[str, str] = ("frames", "volume")


LAYOUTS: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "frames": lambda field: list(field.reshape(-1, *field.shape[-2:])),
    "volume": lambda field: [field.reshape(-1, *field.shape[-2:])],
    "tall": lambda field: [field.reshape(-1, field.shape[-1])],  # one image, the frames below each other
}
PEERS: dict[str, dict[str, Mode]] = {
    "sz3": {"bound": Mode(sz3, 2.0)},
    "sperr pwe": {"bound": Mode(partial(sperr, mode="pwe"), 4.0)},
    "sperr rate": {
        "psnr": Mode(lambda field, rmse: sperr(field, decibels(field, rmse), "psnr"), 1.3),
        "bpp": Mode(lambda field, ratio: sperr(field, 32 / ratio, "bpp"), None),
    },
    "jpeg2000": {"level": Mode(jpeg2000, 1.0, ("frames", "tall"))},
    "ebcc": {  # a volume is its frames in one stream; with a residual over base_cr 30, 100 or 300 it took more bytes on
        # T850 at all three RMSE, and four times as long
        "base only": Mode(
            lambda field, ratio: ebcc(field, residual="jpeg2000-only", base_cr=ratio), None, ("volume", "tall")
        )
    },
}


def search(code: Callable[[float], Coded], field: np.ndarray, target: float, start: float) -> Row | None:
    """Fewest bytes at or just below the RMSE wanted, None if never reached: secants in logarithms, in a bracket."""
    low, high = (-math.inf, 0.0), (math.inf, 0.0)  # parameter and how far off, of the nearest on each side
    at, best, side = math.log(start), None, 0.0
    for encode in range(ENCODES):
        size, back = code(math.exp(at))
        rmse = math.sqrt(float(((back.astype(np.float64) - field) ** 2).mean()))
        off = math.log(max(rmse, 1e-9 * target) / target) + AIMED / 2
        if rmse <= target and (best is None or size < best["bytes"]):
            best = {"bytes": size, "ratio": field.nbytes / size, "rmse": rmse / target, "parameter": math.exp(at)}
        again, side = side * off > 0, off  # twice on one side: count the other end for half, or it stays for ever
        if off < 0:
            low, high = (at, off), (high[0], high[1] / 2 if again else high[1])
        else:
            low, high = (low[0], low[1] / 2 if again else low[1]), (at, off)
        if abs(off) <= AIMED / 2 or high[0] - low[0] < 1e-3:
            break
        if math.isinf(high[0] - low[0]):  # further each time, and past the root
            at -= min(max(off, -1.0), 1.0) + math.copysign(0.04, off) * 2**encode
        else:
            share = min(max(low[1] / (low[1] - high[1]), 0.05), 0.95) if encode < 7 else 0.5
            at = low[0] + share * (high[0] - low[0])
    return best


def measure_peer(modes: dict[str, Mode], field: np.ndarray, target: float) -> Row:
    """The peer's best over its modes and layouts, and why some gave nothing."""
    found: Row = {}
    refused, began = [], time.perf_counter()
    for name, mode in modes.items():
        for layout in mode.layouts[: 2 if field.ndim > 2 else 1]:
            parts = [np.ascontiguousarray(part) for part in LAYOUTS[layout](field)]

            def code(parameter: float, mode: Mode = mode, parts: list[np.ndarray] = parts) -> Coded:
                coded = [mode.code(part, parameter) for part in parts]
                back = np.concatenate([decoded.ravel() for _, decoded in coded])
                return sum(size for size, _ in coded), back.reshape(field.shape)

            start = found.get("ratio", 20.0) if mode.start is None else mode.start * target
            try:
                row = search(code, field, target, start)
            except Exception as error:  # what foreign codecs raise is not ours to know
                refused.append(f"{name}, {layout}: {type(error).__name__}: {error}"[:200])
                continue
            if row and row["bytes"] < found.get("bytes", math.inf):
                found = row | {"mode": name, "layout": layout}
    return found | {"seconds": round(time.perf_counter() - began, 1), "refused": refused, "with": versions()}


class Peers:
    """What peers reach, measured once and kept in a file."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.absent = path, set()
        self.rows: dict[str, Row] = json.loads(path.read_text()) if path and path.exists() else {}
        try:
            import numcodecs_wasm_ebcc  # noqa: F401
        except ImportError as error:
            print(f"no EBCC but what is kept ({error}): see --help")
            self.absent.add("ebcc")

    def ratios(self, case: str, field: np.ndarray, nrmse: float) -> dict[str, float]:
        """Ratio of each peer that reaches the RMSE."""
        shape, digest = "x".join(map(str, field.shape)), hashlib.sha256(field.tobytes()).hexdigest()[:16]
        out = {}
        for name, modes in PEERS.items():
            key = f"{case} {shape} {digest} {nrmse:g} {name}"
            if key not in self.rows and name not in self.absent:
                self.rows[key] = measure_peer(modes, field, nrmse * float(np.ptp(field)))
                if self.path:
                    written = self.path.with_name(self.path.name + ".new")
                    written.write_text(json.dumps(self.rows, indent=1))
                    written.replace(self.path)
            if "ratio" in self.rows.get(key, {}):
                out[name] = self.rows[key]["ratio"]
        return out


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


def versions() -> str:
    """Of what is compared."""
    out = []
    for name in ("numpy", "imagecodecs", "pysz", "numcodecs-wasm-ebcc", "onnxruntime", "constriction"):
        try:
            out.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            out.append(f"no {name}")
    return ", ".join(out)


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
