"""What runs in the processes of the load test: threads, loops, forked and spawned children.

Beside `load`, which starts them; a module of its own, so that spawned processes can import it.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from load_operations import Operations, WrongBytes

__all__ = ["WARM", "fork", "fork_pool", "loop", "once", "threads"]

# Not dask: the threads of its pools do not survive a fork, whatever they do.
FORKED = ("encode pyramid map", "decode pyramid frames", "decode vq", "decode hvae", "zarr read hyperprior", "xarray")
PAUSE = 5.0  # seconds between forks
WARM = "warm"  # in place of an operation: each was done often enough

Tell = Callable[[str, str, str], None]  # who, operation, what went wrong


def _began() -> None:
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where a stuck process stands
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(who: str, operations: Operations, stop: Any, tell: Tell, seed: int, rounds: int) -> None:
    """Do each operation so many times, tell that this is so, and go on in random order until told to stop."""
    rng, names = np.random.default_rng(seed), list(operations.all)
    for name in rng.permutation(names * rounds):
        if not stop.is_set():
            tell(who, str(name), _tried(operations, str(name)))
    tell(who, WARM, "")
    while not stop.is_set():
        name = names[rng.integers(len(names))]
        tell(who, name, _tried(operations, name))


def _tried(operations: Operations, name: str) -> str:
    """What went wrong; nothing where all is as one thread found it."""
    try:
        operations.run(name)
    except WrongBytes as error:
        return f"wrong bytes: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def loop(folder: Path, number: int, stop: Any, queue: Any, rounds: int) -> None:
    """One process that works alone."""
    _began()
    _work(f"process {number}", Operations(folder), stop, lambda *told: queue.put(told), number, rounds)


def threads(folder: Path, count: int, stop: Any, queue: Any, rounds: int, patience: float) -> None:
    """One process of so many threads, which forks now and then while they work."""
    _began()
    operations = Operations(folder)

    def tell(*told: str) -> None:
        queue.put(told)

    for name in operations.all:  # sessions, pools and kernels are there before the first fork
        tell("thread 0", name, _tried(operations, name))
    running = [
        threading.Thread(target=_work, args=(f"thread {each}", operations, stop, tell, 100 + each, rounds), daemon=True)
        for each in range(count)
    ]
    for each in running:
        each.start()
    with warnings.catch_warnings():  # of Python 3.12 and later: that forking beside threads may end in a deadlock
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        turn = 0
        while not stop.wait(PAUSE):
            (fork if turn % 2 else fork_pool)(folder, operations, tell, patience)
            turn += 1
    for each in running:
        each.join(patience)


def _forked(operations: Operations) -> list[str]:
    return [name for name in FORKED if name in operations.all]


def fork(_: Path, operations: Operations, tell: Tell, patience: float) -> None:
    """A bare fork; the child does a few operations with what it inherited."""
    child = os.fork()
    if not child:
        code = 1
        try:
            faulthandler.dump_traceback_later(patience, exit=True)
            problems = [problem for name in _forked(operations) if (problem := _tried(operations, name))]
            print("\n".join(problems), end="", file=sys.stderr, flush=True)
            code = min(len(problems), 1)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    for name in _forked(operations):
        tell("forked", name, "" if code == 0 else f"a forked child ended with {code}, or hung")


def fork_pool(folder: Path, operations: Operations, tell: Tell, patience: float) -> None:
    """A pool of processes that are forked."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, context) as pool:
        futures = {name: pool.submit(once, folder, name) for name in _forked(operations)}
        for name, future in futures.items():
            try:
                tell("forked pool", name, future.result(timeout=patience))
            except TimeoutError:
                tell("forked pool", name, "deadlock")
                for process in list(pool._processes.values()):
                    os.kill(process.pid, signal.SIGUSR1)  # shows where it stands
                    time.sleep(1)
                    process.kill()
                return
            except Exception as error:
                tell("forked pool", name, f"{type(error).__name__}: {error}")


def once(folder: Path, name: str) -> str:
    """One operation in a pool's process; what went wrong."""
    return _tried(_operations(folder), name)


@cache
def _operations(folder: Path) -> Operations:
    return Operations(folder)
