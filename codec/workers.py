"""The threads that help one call, and locks: of each process its own, since none survives a fork.

Beside the pipeline: the kernels of `lattice`, `side` and ONNX Runtime release the interpreter's lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_limits: list[int] = []


class ProcessLock:
    """A lock of each process's own: what a thread holds while another forks would stay locked in the child for ever.

    Examples
    --------
    >>> lock = ProcessLock()
    >>> with lock:
    ...     pass
    """

    def __init__(self) -> None:
        self._locks: dict[int, threading.Lock] = {}

    def __enter__(self) -> None:
        self._own().acquire()

    def __exit__(self, *_: object) -> None:
        self._own().release()

    def _own(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())


def cores(threads: int | None) -> int:
    """So many threads, or one for each core this process may use."""
    return threads or (_limits[-1] if _limits else available())


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads(threads: int | None) -> None:
    """Say how many threads calls take that say nothing themselves: fewer, where processes work side by side."""
    _limits[:] = [threads] if threads else []


def workers(threads: int) -> ThreadPoolExecutor | None:
    """Find the pool that helps one thread to be `threads`; no pool survives a fork, so each process has its own."""
    if threads < 2:
        return None
    key = (os.getpid(), threads)
    if key not in _pools:
        _pools.setdefault(key, ThreadPoolExecutor(threads - 1, "adiabat"))
    return _pools[key]


def share(tasks: Sequence[Callable[[], None]], threads: int) -> None:
    """Run tasks on this thread and on its helpers; what a busy helper has not begun is done here."""
    pool = workers(threads)
    futures = [] if pool is None else [pool.submit(task) for task in tasks[1::2]]
    for task in tasks if pool is None else tasks[::2]:
        task()
    for future, task in zip(futures, tasks[1::2], strict=False):
        _result(future, task)


def abreast(tasks: Sequence[Callable[[], Result]], threads: int) -> Iterator[Result]:
    """Results of tasks in their order, as many running side by side as there are threads.

    This thread takes the first of each round, and what a busy helper has not begun; a helper that is done earlier, or
    has no task, is free for whatever the others `share`.
    """
    pool = workers(threads)
    for start in range(0, len(tasks), threads):
        first, *others = tasks[start : start + threads]
        futures = [pool.submit(task) for task in others] if pool else []
        try:
            yield first()
            for future, task in zip(futures, others, strict=True):
                yield _result(future, task)
        finally:
            wait([future for future in futures if not future.cancel()])


def _result(future: Future[Result], task: Callable[[], Result]) -> Result:
    """What a helper made of the task; done here if it has not begun."""
    return task() if future.cancel() else future.result()
