"""Many threads and processes at once, through codecs and stores: `python tests/benchmarks/load.py --minutes 10`.

All the time one process runs 8 threads, and forks children between them that use what they inherited; and 8 spawned
processes run beside it. Meanwhile this process takes turns: a pool of spawned processes, dask's threads, a cluster of
dask.distributed, and several `adiabat compress` of one archive while others read it. Each does operations in random
order: encodes and decodes by every codec, reads and writes of Zarr stores, the same chunks by all, and of low-rank
stores. One thread has done each of them before; whatever gives other bytes is a fault.

A worker without any operation done for `--patience` seconds counts as a deadlock: its threads' stacks are printed. The
memory of the long-lived processes is flat if its mean over the last fifth of the time is at most 2 % or 20 MB above
that over the second fifth; the time begins when each worker has done each operation `--rounds` times, since the
allocator keeps a heap for each thread, which takes about a thousand operations to fill. Prints operations by kind,
faults, and memory; exits 1 for any wrong byte, error, deadlock or leak. All data are simulated.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import load_archive
import load_workers
import numpy as np
import psutil
from load_operations import make

WARM = 0.2  # share of the time that counts as warm-up too
PART = 0.2  # of the time, over which memory is averaged
RELATIVE, ABSOLUTE = 0.02, 20.0  # growth, and MB of it, that count as flat
SAMPLED = 2.0  # seconds
START = 10  # times the patience, for processes to start
SHOWN = 20


@dataclass
class Seen:
    """What workers told, and the memory of each process."""

    begun: float = field(default_factory=time.monotonic)
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    warm: set[str] = field(default_factory=set)
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, who: str, name: str, problem: str) -> None:
        """One operation."""
        self.last[who] = time.monotonic()
        if name == load_workers.WARM:
            self.warm.add(who)
            return
        self.done[who.rstrip("0123456789 "), name] += 1
        if problem:
            self.problems.append(f"{who}, {name}: {problem}")

    def sample(self, processes: dict[str, Any]) -> None:
        """Resident memory now, in MB."""
        for name, process in processes.items():
            try:
                megabytes = psutil.Process(process.pid).memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
            self.memory[name].append((time.monotonic() - self.begun, megabytes))

    def silent(self, patience: float) -> list[str]:
        """Who has done nothing for too long."""
        now = time.monotonic()
        return [
            who for who, last in self.last.items() if who.startswith(("thread", "process")) and now - last > patience
        ]

    def growth(self, seconds: float) -> list[tuple[str, float, float, float, bool]]:
        """Of each process: MB after warm-up, MB at the end, MB a minute between, and whether that is flat."""
        out = []
        for name, samples in self.memory.items():
            times, sizes = np.array(samples).T
            later = times > WARM * seconds
            early, late = later & (times <= (WARM + PART) * seconds), times > (1 - PART) * seconds
            if early.any() and late.any():
                before, after = float(sizes[early].mean()), float(sizes[late].mean())
                slope = float(np.polyfit(times[later] / 60, sizes[later], 1)[0])
                out.append((name, before, after, slope, after - before <= max(ABSOLUTE, RELATIVE * before)))
        return out


def spawned(folder: Path, told: Any, patience: float) -> None:
    """A pool of spawned processes."""
    names = ("encode pyramid frames", "decode hvae", "zarr read pyramid", "xarray", "low-rank")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        futures = {name: pool.submit(load_workers.once, folder, name) for name in names}
        for name, future in futures.items():
            told("spawned pool", name, future.result(timeout=2 * patience))


def daskwise(folder: Path, told: Any, patience: float) -> None:
    """Dask's threads in this process."""
    for _ in range(3):
        told("dask threads", "dask", load_workers.once(folder, "dask"))


def distributed(folder: Path, told: Any, patience: float) -> None:
    """A cluster of processes, of two threads each."""
    import xarray as xr
    from dask.distributed import Client, LocalCluster
    from load_operations import Operations, digest

    expected = Operations(folder).expected["dask"]
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0", memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        for _ in range(3):
            found = digest(client.compute(xr.open_zarr(folder / "archive.zarr", chunks={}).t.data).result(2 * patience))
            told("distributed", "dask", "" if found == expected else f"wrong bytes: {found}")
        names = ["decode pyramid map", "decode vq", "zarr read hyperprior"]
        futures = client.map(load_workers.once, [folder] * len(names), names, pure=False)
        for name, future in zip(names, futures, strict=True):
            told("distributed", name, future.result(2 * patience))


Episode = Callable[[Path, Any, float], None]
EPISODES: dict[str, Episode] = {
    "spawned": spawned,
    "dask": daskwise,
    "distributed": distributed,
    "archive": load_archive.write_and_read,
}


def take_turns(folder: Path, stop: threading.Event, told: Any, patience: float, names: list[str]) -> None:
    """One episode after the other until told to stop, each at least once."""
    for turn in range(1_000_000):
        if stop.is_set() and turn >= len(names):
            return
        name = names[turn % len(names)]
        try:
            EPISODES[name](folder, told, patience)
        except Exception as error:
            told(name, name, f"{type(error).__name__}: {error}")


def run(folder: Path, options: argparse.Namespace) -> Seen:
    """All of it for so long; what was seen."""
    context = multiprocessing.get_context("spawn")
    told, stop, seen = context.Queue(), context.Event(), Seen()
    several = context.Process(
        target=load_workers.threads,
        args=(folder, options.threads, stop, told, options.rounds, options.patience),
        name="threads",
    )
    alone = [
        context.Process(
            target=load_workers.loop, args=(folder, number, stop, told, options.rounds), name=f"process {number}"
        )
        for number in range(options.processes)
    ]
    processes = {process.name: process for process in (several, *alone)}
    for process in processes.values():
        process.start()
    workers = [f"thread {each}" for each in range(options.threads)] + [process.name for process in alone]
    seen.last = dict.fromkeys(workers, time.monotonic() + START * options.patience)
    turns = threading.Event()
    arguments = (folder, turns, lambda *each: told.put(each), options.patience, options.episodes)
    episodes = threading.Thread(target=take_turns, args=arguments, daemon=True)
    stuck = _watch(seen, told, processes, options.patience, lambda: len(seen.warm) == len(workers))
    if options.episodes:
        episodes.start()
    seen.begun = time.monotonic()
    seen.memory.clear()
    end = seen.begun + 60 * options.minutes
    stuck = stuck or _watch(seen, told, processes, options.patience, lambda: time.monotonic() > end)
    stop.set()
    turns.set()
    _finish(seen, told, processes, episodes, 0.0 if stuck else 5 * options.patience)
    return seen


def _watch(seen: Seen, told: Any, processes: dict[str, Any], patience: float, over: Callable[[], bool]) -> bool:
    """Listen until it is over, or somebody is stuck."""
    sampled = 0.0
    while not over():
        with contextlib.suppress(queue.Empty):
            seen.take(*told.get(timeout=0.5))
        if time.monotonic() - sampled > SAMPLED:
            sampled = time.monotonic()
            seen.sample(processes)
            stuck = seen.silent(patience)
            dead = [name for name, process in processes.items() if not process.is_alive()]
            seen.problems += [f"{who}: deadlock, nothing done for {patience:.0f} s" for who in stuck]
            seen.problems += [f"{name}: ended with {processes[name].exitcode}" for name in dead]
            if stuck or dead:
                for process in processes.values():
                    if process.is_alive():
                        os.kill(process.pid, signal.SIGUSR1)
                time.sleep(2)
                return True
    return False


def _finish(seen: Seen, told: Any, processes: dict[str, Any], episodes: threading.Thread, patience: float) -> None:
    """Let everybody end; who does not is stuck."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and (episodes.is_alive() or any(each.is_alive() for each in processes.values())):
        with contextlib.suppress(queue.Empty):
            seen.take(*told.get(timeout=0.2))
    while not told.empty():
        seen.take(*told.get())
    for name, process in processes.items():
        if process.is_alive():
            seen.problems += [f"{name}: deadlock at the end"] if patience else []
            process.kill()
        process.join()


def report(seen: Seen, options: argparse.Namespace) -> bool:
    """Print it; whether all is well."""
    seconds = 60 * options.minutes
    print(f"load: {options.minutes:g} minutes, {options.threads} threads and {options.processes} processes, "
          f"{os.cpu_count()} cores, {sum(seen.done.values())} operations\n")  # fmt: skip
    names, who = sorted({name for _, name in seen.done}), sorted({each for each, _ in seen.done})
    print(f"{'operation':26}" + "".join(f"{each:>14}" for each in who))
    for name in names:
        print(f"{name:26}" + "".join(f"{seen.done[each, name] or '-':>14}" for each in who))
    print(f"\n{'memory, MB':26}{'warmed up':>14}{'at the end':>14}{'a minute':>14}")
    growth = seen.growth(seconds)
    for name, before, after, slope, flat in growth:
        print(f"{name:26}{before:14.1f}{after:14.1f}{slope:+14.2f}{'' if flat else '   GROWS'}")
    kinds = Counter(
        "deadlocks" if "deadlock" in each else "wrong bytes" if "wrong bytes" in each else "errors"
        for each in seen.problems
    )
    leaks = sum(not flat for *_, flat in growth)
    totals = {"wrong bytes": 0, "errors": 0, "deadlocks": 0} | kinds | {"leaks": leaks}
    print("\n" + ", ".join(f"{name}: {count}" for name, count in totals.items()))
    for each in seen.problems[:SHOWN]:
        print(f"  {each}")
    return not seen.problems and not leaks


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument(
        "--rounds", type=int, default=5, help="of all operations, by each worker, before the time begins"
    )
    parser.add_argument("--patience", type=float, default=60, help="seconds without progress that count as a deadlock")
    parser.add_argument("--episodes", nargs="*", choices=list(EPISODES), default=list(EPISODES))
    return parser.parse_args(arguments)


def main() -> None:
    """Make what is worked on, run, judge."""
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        seen = run(Path(name), options)
    sys.exit(not report(seen, options))


if __name__ == "__main__":
    main()
