"""Measure speed, memory, cold start and where the time goes: `python tests/benchmarks/speed.py`."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from simulated import mean, moving, spectral

from adiabat.codec import (
    Pyramid,
    bound_profile,
    classical,
    coarse_to_fine,
    domain,
    entropy,
    frames,
    loglinear,
    models,
    paths,
    prediction,
    regression,
    side,
    stream,
    volume,
)

REPEATS = 5
Case = tuple[str, np.ndarray, float]

CHILD = """
import os, resource, sys, time
start = time.perf_counter()
import numpy as np
numpy = time.perf_counter() - start
import adiabat.codec
imported = time.perf_counter() - start
from adiabat.codec import Pyramid
what, source, bound = sys.argv[1:]
if what == "decode":
    work, data = Pyramid(bound="lossless").decode, open(source, "rb").read()
elif what == "encode":
    work, data = Pyramid(bound={"abs": float(bound)}).encode, np.load(source)
else:
    work, data = len, b""
work(data)
done = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux at least that of the process it was forked from
if os.path.exists("/proc/self/status"):
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
again = time.perf_counter()
work(data)
print(numpy, imported, done, peak, time.perf_counter() - again)
"""


def hourly() -> np.ndarray:
    """A day of a global temperature at half a degree."""
    return (mean(361) + 8 * moving((24, 361, 720), drift=0.65, lifetime=240)).astype("f4")


def region() -> np.ndarray:
    """A month of hours over a region at a quarter of a degree."""
    return (285 + 4 * moving((744, 33, 49), drift=1.3, lifetime=48, closed=False)).astype("f4")


def cases(folder: Path, *, quick: bool) -> Iterator[Case]:
    """Name, array and bound of what is measured."""
    for bound in (0.1,) if quick else (1.0, 0.1, 0.01):
        yield f"simulated 721 x 1440, {bound:g} K", spectral(), bound
    if quick:
        return
    yield "simulated 24 x 361 x 720, 0.1 K", hourly(), 0.1
    yield "simulated 744 x 33 x 49, 0.1 K", region(), 0.1
    if not folder.is_dir():
        print(f"no real data at {folder.name}: set ADIABAT_DATA", file=sys.stderr)
        return
    import xarray as xr

    with xr.open_dataset(folder / "era5" / "t850_2023-01-10T23.nc") as dataset:
        field = np.squeeze(dataset["temperature"].values).astype("f4")
    for bound in (1.0, 0.1, 0.01):
        yield f"t850 {' x '.join(map(str, field.shape))}, {bound:g} K", field, bound
    grib = folder / "era5_regional" / "era5-2mt-2019-03-uk.grib"
    with xr.open_dataset(grib, engine="cfgrib", backend_kwargs={"indexpath": ""}) as dataset:
        stack = dataset["t2m"].values.astype("f4")
    yield f"t2m_uk {' x '.join(map(str, stack.shape))}, 0.1 K", stack, 0.1


def median_seconds(run: Callable[[], object]) -> float:
    """Median of REPEATS after a warm-up."""
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


class Stages:
    """Time of each stage without what is called within it; for one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted to the stage."""

        @wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                total = time.perf_counter() - start
                self.seconds[stage] += total - self._inner.pop()
                self._inner[-1] += total

        return run

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count while inside."""
        places = [
            ("gather", prediction, "gather"),
            ("side.combine", side, "combine"),
            ("regression: weights", regression.Learner, "_fit"),
            ("regression: order", volume, "choose"),
            ("settle", prediction, "settle"),
            ("rebuild", coarse_to_fine, "rebuild"),
            ("padding", prediction.Level, "fill"),
            ("entropy: sort by context", entropy, "group"),
            ("entropy: code", entropy.SymbolReader, "read"),
            ("entropy: code", entropy.SymbolWriter, "write"),
            ("entropy: code", entropy.SymbolWriter, "payload"),
            ("targets, residuals, rest of the walk", paths.Chunk, "neural"),
            ("targets, residuals, rest of the walk", volume, "decode_frames"),
            ("domain: choose", paths, "choose_domain"),
            ("mask, frames, wrap", paths, "find_special"),
            ("mask, frames, wrap", paths, "find_wrap"),
            ("mask, frames, wrap", frames.Layout, "frames"),
            ("mask, frames, wrap", frames.Layout, "restore"),
            ("checks", paths, "violations"),
            ("checks", paths.Chunk, "_predicted"),
            ("checks", paths.Chunk, "constant"),
            ("other paths tried", paths.Chunk, "classical"),
            ("other paths tried", paths.Chunk, "raw"),
            ("other paths tried", classical, "decode_classical"),
            ("stream, checksum", stream.Stream, "write"),
        ]
        kinds = (domain.AbsDomain, domain.LatticeDomain, domain.OrderedDomain)
        for kind in (*kinds, loglinear.LogDomain, bound_profile.ProfileDomain):
            places += [("domain: convert", kind, name) for name in ("to_fine", "from_fine")]
        patches = [
            mock.patch.object(place, name, self.timed(stage, getattr(place, name))) for stage, place, name in places
        ]
        choose = models.Net.runner
        patches.append(mock.patch.object(models.Net, "runner", lambda net: self.timed("network", choose(net))))
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def print_stages(array: np.ndarray, bound: float) -> None:
    """Where the time of one thread goes, in milliseconds and shares."""
    codec = Pyramid(bound={"abs": bound}, threads=1)
    data = codec.encode(array)
    columns: list[dict[str, float]] = []
    for run in (lambda: codec.encode(array), lambda: codec.decode(data)):
        trials = []
        for _ in range(REPEATS):
            stages = Stages()
            with stages.measured():
                stages.timed("everything else", run)()
            trials.append(stages.seconds)
        columns.append(sorted(trials, key=lambda seconds: sum(seconds.values()))[REPEATS // 2])
    names = sorted({name for column in columns for name in column}, key=lambda name: -columns[1].get(name, 0))
    print(f"{'stage':38} {'encode ms':>10} {'%':>5} {'decode ms':>10} {'%':>5}")
    for name in [*names, "sum"]:
        row = f"{name:38}"
        for column in columns:
            total = sum(column.values())
            seconds = total if name == "sum" else column.get(name, 0.0)
            row += f" {1e3 * seconds:10.1f} {100 * seconds / total:5.1f}"
        print(row)


def child(*arguments: object) -> tuple[float, float, float, float, float, float]:
    """Seconds of NumPy's import, of all imports, of all work, of the process, of the work again; peak MB."""
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - start
    numpy, imported, done, kilobytes, again = map(float, ran.stdout.split())
    return numpy, imported, done, wall - again, again, kilobytes / 1024


def print_processes(array: np.ndarray, bound: float) -> None:
    """Peak memory and cold start, each in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        source, data = Path(folder) / "field.npy", Path(folder) / "field.bin"
        np.save(source, array)
        data.write_bytes(Pyramid(bound={"abs": bound}).encode(array))
        child("decode", data, bound)  # compiled code is cached from here on
        child("encode", source, bound)
        rows = {}
        for what, path in (("import", data), ("decode", data), ("encode", source)):
            trials = [child(what, path, bound) for _ in range(REPEATS)]
            rows[what] = [statistics.median(column) for column in zip(*trials, strict=True)]
    print(f"{'new process':14} {'imports s':>10} {'of NumPy':>9} {'until done s':>13} {'process s':>10} {'peak MB':>8}")
    for what, (numpy, imported, done, wall, _, peak) in rows.items():
        title = "import alone" if what == "import" else f"first {what}"
        print(f"{title:14} {imported:10.2f} {numpy:9.2f} {done:13.2f} {wall:10.2f} {peak:8.0f}")


def print_large(bound: float) -> None:
    """Peak memory and speed of one chunk of a day of hourly global fields, each in a process of its own."""
    array = (mean(721) + 8 * moving((24, 721, 1440), drift=1.3, lifetime=240)).astype("f4")
    with tempfile.TemporaryDirectory() as folder:
        source, data = Path(folder) / "field.npy", Path(folder) / "field.bin"
        np.save(source, array)
        data.write_bytes(Pyramid(bound={"abs": bound}).encode(array))
        for what, path in (("encode", source), ("decode", data)):
            trials = [child(what, path, bound) for _ in range(REPEATS)]
            _, imported, done, _, again, peak = (statistics.median(column) for column in zip(*trials, strict=True))
            first, then = (array.nbytes / 1e6 / seconds for seconds in (done - imported, again))
            print(
                f"{what} one chunk of 24 x 721 x 1440, new process: {then:.1f} MB/s, "
                f"the first time, start-up included, {first:.1f}; peak {peak:.0f} MB"
            )


def cpu() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def print_networks() -> None:
    """Compare the runners on each shipped network, one block of targets at a time."""
    from adiabat.codec.integer_net import numpy_runner, onnx_runner

    print(f"{'network alone, ns a target':28} {'onnxruntime':>12} {'NumPy':>8} {'slower':>7}")
    totals = {kind: np.zeros(2) for kind in ("a large frame", "one with references")}
    for net in models.find_model().nets:
        width = net.layers[0].weight.shape[0]
        inputs = np.random.default_rng(0).integers(0, 256, (prediction.BLOCK, width), np.uint8)
        runners = (onnx_runner(net.graph), numpy_runner(net.layers))
        fast, slow = (median_seconds(partial(run, inputs)) / len(inputs) * 1e9 for run in runners)
        name = net.key.split("/")[1]
        kind = "one with references" if name in models.SIDE else "a large frame"
        totals[kind] += np.array([fast, slow]) / (4 if "fine" in name else 12)  # shares of a large frame's targets
        print(f"{name:28} {fast:12.0f} {slow:8.0f} {slow / fast:7.1f}")
    for kind, (fast, slow) in totals.items():
        print(f"{kind:28} {fast:12.0f} {slow:8.0f} {slow / fast:7.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the simulated field at 0.1 K")
    options = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    names = ("numpy", "numba", "onnxruntime", "constriction")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    print(f"speed, {now}, {cpu()}, {os.cpu_count()} cores, {load}")
    print(f"Python {platform.python_version()}, {versions}, model {models.find_model().sha256[:12]}")
    print(f"MB of float32 a second, median of {REPEATS} after a warm-up\n")
    folder = Path(os.environ.get("ADIABAT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    threads = (None, 1)
    heads = [f"{what} {'all cores' if count is None else 'one thread'}" for count in threads for what in ("enc", "dec")]
    print(f"{'field':34} {'path':10} {'ratio':>7} " + " ".join(f"{head:>14}" for head in heads))
    for name, array, bound in cases(folder, quick=options.quick):
        row = ""
        for count in threads:
            codec = Pyramid(bound={"abs": bound}, threads=count)
            data = codec.encode(array)
            encode = median_seconds(partial(codec.encode, array))
            decode = median_seconds(partial(codec.decode, data))
            row += f" {array.nbytes / encode / 1e6:14.1f} {array.nbytes / decode / 1e6:14.1f}"
        print(f"{name:34} {stream.describe(data)['path']:10} {array.nbytes / len(data):7.1f}{row}", flush=True)
    stages = {"721 x 1440": spectral} | ({} if options.quick else {"24 x 361 x 720": hourly})
    for size, simulate in stages.items():
        print(f"\nwhere the time goes: simulated {size} at 0.1 K, one thread")
        print_stages(simulate(), 0.1)
    print()
    print_processes(spectral(), 0.1)
    print()
    if not options.quick:
        print_large(0.1)
        print()
    print_networks()


if __name__ == "__main__":
    main()
