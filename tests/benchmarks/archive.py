"""An archive of 10 GB: speed, ratio, memory, one worker against two, the engine against the bare codec, and reading.

The data are SIMULATED (`era5_shaped`), made while they are read; the time that this takes is printed, and counted.

    python tests/benchmarks/archive.py --folder /tmp/archive [--hours 24 --levels 37]

Run it on a quiet machine. ``--small`` makes a tenth of it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import xarray as xr
import zarr
from era5_shaped import Era5Shaped
from rich.console import Console

from adiabat.codec import Pyramid
from adiabat.formats.archive import archive
from adiabat.formats.blocks import blocks_of
from adiabat.formats.cli_plan import format_bytes, print_paper_plan
from adiabat.formats.engine import Run, Workers
from adiabat.formats.metadata import configuration_of
from adiabat.formats.paper_plan import paper_plan
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.policies import Policy
from adiabat.formats.tasks import Job, write_blocks

PARTS = ("overhead", "scaling", "whole")
PRICE = 0.05  # dollars a core and hour
console = Console(highlight=False, soft_wrap=True)


class Memory:
    """The most that this process and its children took together, seen twice a second, by thirds of the time."""

    def __enter__(self) -> Memory:
        self.seen: list[tuple[int, int]] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()

    def _look(self) -> None:
        this = psutil.Process()
        while not self.over.wait(0.5):
            sizes = [_resident(each) for each in (this, *this.children(recursive=True))]
            self.seen.append((sum(sizes), max(sizes)))

    def thirds(self) -> list[tuple[int, int]]:
        parts = np.array_split(np.array(self.seen or [(0, 0)]), 3)
        return [tuple(int(size) for size in part.max(axis=0)) if len(part) else (0, 0) for part in parts]


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def write(source: Era5Shaped, target: Path, workers: int) -> tuple[float, float]:
    """Write an archive; seconds and ratio."""
    shutil.rmtree(target, ignore_errors=True)
    groups = plan_groups(source.open(), policy=Policy.load("recommended"))
    values = sum(each.values for _, plan in groups.values() for each in plan)
    start, done = time.perf_counter(), [0]

    def progress(name: str, more: int, written: int) -> None:
        done[0] += more
        if more and console.is_terminal:
            console.print(f"{done[0] / values:6.1%}", end="\r")

    archive(source, groups, target, run=Run(Workers(workers), restart=True), progress=progress)
    seconds = time.perf_counter() - start
    written = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return seconds, 4 * values / written


def whole(source: Era5Shaped, folder: Path) -> tuple[float, float]:
    """The archive itself; MB/s a worker and ratio."""
    size = source.hours * source.levels * len(source.kinds) * 721 * 1440 * 4
    with Memory() as memory:
        seconds, ratio = write(source, folder / "whole.zarr", 2)
    speed = size / 1e6 / seconds
    console.print(
        f"archive        {format_bytes(size)} as float32, SIMULATED, policy recommended: {seconds:.0f} s with two "
        f"workers, {speed:.1f} MB/s, ratio {ratio:.2f}"
    )
    for name, (together, largest) in zip(("first", "second", "last"), memory.thirds(), strict=True):
        console.print(
            f"memory         {name} third: {format_bytes(together)} in all, {format_bytes(largest)} the largest process"
        )
    return speed / 2, ratio


def scaling(source: Era5Shaped, folder: Path, rounds: int) -> None:
    """One worker of one thread against two such, and against one with all cores, turn by turn."""
    kinds: dict[tuple[int, int | None], list[float]] = {(1, 1): [], (2, 1): [], (1, None): []}
    for _ in range(rounds):
        for (workers, threads), times in kinds.items():
            times.append(_in_processes(source, folder / "part.zarr", workers, threads))
    one, two, wide = (float(np.median(times)) for times in kinds.values())
    console.print(
        f"scaling        one worker of one thread {one:.1f} s, two {two:.1f} s: {one / two:.2f} times; "
        f"one worker with all cores {wide:.1f} s (medians of {rounds})"
    )


def _in_processes(source: Era5Shaped, target: Path, workers: int, each: int | None) -> float:
    """Seconds from the first block's end to the last's, a block less: starting up is not what is asked."""
    shutil.rmtree(target, ignore_errors=True)
    groups = plan_groups(source.open(), policy=Policy.load("recommended"))
    ends: list[float] = []

    class Processes(Workers):
        def alone(self, blocks) -> bool:
            return False

        def threads(self, blocks) -> int | None:
            return each

    def progress(name: str, more: int, written: int) -> None:
        if more:
            ends.append(time.perf_counter())

    archive(source, groups, target, run=Run(Processes(workers), restart=True), progress=progress)
    first = workers  # blocks that end while others start
    return (ends[-1] - ends[first - 1]) / (len(ends) - first) * len(ends)


def overhead(source: Era5Shaped, folder: Path, blocks: int, threads: int | None) -> None:
    """The engine in this process against reading, encoding and decoding the same chunks, turn by turn.

    threads: 1, as each of several workers has; None: all cores, as one worker has.
    """
    datasets = source.open()
    groups = plan_groups(datasets, policy=Policy.load("recommended"))
    variable = groups["/"][1][0]
    some = blocks_of("/", variable)[:blocks]
    shutil.rmtree(folder / "engine.zarr", ignore_errors=True)
    from adiabat.formats.metadata import write_metadata

    write_metadata(groups, folder / "engine.zarr", command="benchmark", request="benchmark")
    job = Job(source, folder / "engine.zarr", folder / "engine.journal", threads)
    codec = Pyramid.from_config({**configuration_of(variable), "threads": threads})
    write_blocks(job, some[:1])  # warm
    bare, encoded, engine, reading = [], [], [], []
    for block in some:
        start = time.perf_counter()
        values = datasets["/"][variable.name][block.region].values
        read = time.perf_counter()
        stream = codec.encode(values)
        middle = time.perf_counter()
        codec.decode(stream)
        end = time.perf_counter()
        write_blocks(job, (block,))
        last = time.perf_counter()
        reading.append(read - start)
        encoded.append(middle - read)
        bare.append(end - start)
        engine.append(last - end)
    b, e, r, c = (float(np.median(each)) for each in (bare, engine, reading, encoded))
    console.print(f"threads        {threads or 'all'}")
    console.print(
        f"engine         a block {e:.2f} s; bare: making the data {r:.2f}, encoding {c:.2f}, decoding {b - r - c:.2f}"
    )
    console.print(f"overhead       {e / b - 1:.1%} over reading, encoding and decoding (medians of {len(some)} blocks)")


def reading(folder: Path) -> None:
    """A map and a day's series, from a store that was never read; bytes fetched."""
    store = Counting(zarr.storage.LocalStore(folder / "whole.zarr", read_only=True))
    with xr.open_zarr(store, chunks=None) as dataset:
        name = next(iter(dataset.data_vars))
        for what, region in (
            ("map", {"time": 5, "level": 3}),
            ("series", {"level": 3, "latitude": 300, "longitude": 700}),
        ):
            fetched, start = store.fetched, time.perf_counter()
            dataset[name].isel(region).load()
            seconds = time.perf_counter() - start
            console.print(
                f"reading        one {what}: {seconds:.2f} s, {format_bytes(store.fetched - fetched)} fetched"
            )


class Counting(zarr.storage.WrapperStore):
    """A store that counts the bytes that are read from it."""

    fetched = 0

    async def get(self, *arguments, **options):
        data = await super().get(*arguments, **options)
        self.fetched += 0 if data is None else len(data)
        return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where archives are written; they are left there")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ADIABAT_DATA", "../shared/data")) / "era5")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--levels", type=int, default=37)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--small", action="store_true", help="a tenth of it")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    data = str(arguments.data.resolve())
    console.print(f"machine        {platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    levels = 4 if arguments.small else arguments.levels
    for threads in (1, None) if "overhead" in arguments.parts else ():
        overhead(Era5Shaped(data, arguments.hours, 8, ("t",)), arguments.folder, 3 if arguments.small else 5, threads)
    if "scaling" in arguments.parts:
        scaling(
            Era5Shaped(data, arguments.hours, 6, ("t",)), arguments.folder, 1 if arguments.small else arguments.rounds
        )
    if "whole" not in arguments.parts:
        return
    speed, ratio = whole(Era5Shaped(data, arguments.hours, levels), arguments.folder)
    reading(arguments.folder)
    sizes = {"10 TB, one week": (10e12, 168.0), "ARCO-ERA5, 2.05 PB, four weeks": (2.05e15, 672.0)}
    plans = [
        (name, paper_plan(size, mb_s=speed, ratio=ratio, hours=hours, price=PRICE))
        for name, (size, hours) in sizes.items()
    ]
    console.print(
        f"\non paper, from {speed:.1f} MB/s a worker and ratio {ratio:.1f}, at {PRICE} dollars a core and hour:"
    )
    print_paper_plan(console, plans)


if __name__ == "__main__":
    sys.exit(main())
