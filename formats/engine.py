"""Run blocks on this process, on several, or on a Dask cluster: those that fail again, those that were killed again.

Stage: archive -> engine -> blocks. Any `concurrent.futures.Executor` will do; Dask's client has one. Only a few blocks
are handed out at a time, so that stopping is quick and memory does not grow with the archive.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from adiabat.codec.workers import available
from adiabat.formats.blocks import Block
from adiabat.formats.bundles import Bundle
from adiabat.formats.errors import RequestError, first_line
from adiabat.formats.journal import Record
from adiabat.formats.tasks import Job, write_blocks

__all__ = ["BlockError", "Run", "Workers", "run_blocks"]

AHEAD = 2  # blocks handed out for each worker
PATIENCE = 0.2  # seconds between looks at whether somebody wants to stop
LONG = 4  # blocks from which on starting processes pays
LARGE = 25_000_000  # values

Seen = Callable[[Record | None], None]


class BlockError(RuntimeError):
    """A block that failed each time it was tried."""


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    count : int or None
        Processes on this machine, 1 for this process alone; None: one for each core, where there is enough to do.
    scheduler : str or None
        Address of a Dask cluster's scheduler, instead.
    retries : int
        How often a block is tried again.
    memory : int
        Bytes of the source that each of them may read at once; a block may be more.

    Raises
    ------
    RequestError
        If these make no sense.
    """

    count: int | None = None
    scheduler: str | None = None
    retries: int = 2
    memory: int = 1_000_000_000

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise RequestError(f"expected at least 1 worker, got {self.count}")
        if self.retries < 0:
            raise RequestError(f"expected 0 retries or more, got {self.retries}")
        if self.count is not None and self.scheduler is not None:
            raise RequestError("a Dask cluster has workers of its own: give --workers or --scheduler, not both")

    def processes(self, blocks: Sequence[Block]) -> int:
        """How many this machine starts for these blocks; 1: none."""
        if self.count is not None:
            return min(self.count, max(1, len(blocks)))
        much = len(blocks) >= LONG and sum(block.values for block in blocks) >= LARGE
        return min(available(), len(blocks)) if much else 1

    def alone(self, blocks: Sequence[Block]) -> bool:
        """Whether this process does them all."""
        return self.scheduler is None and self.processes(blocks) == 1

    def threads(self, blocks: Sequence[Block]) -> int | None:
        """How many each of them may take; None: as many as it has cores."""
        count = self.processes(blocks)
        return None if self.alone(blocks) else max(1, available() // count)


@dataclass(frozen=True)
class Run:
    """How an archive is written, which does not change what is written.

    Parameters
    ----------
    workers : Workers
    part : tuple of two int
        ``(3, 20)``: the third of twenty shares of the blocks, for batch systems; whoever finds all done finishes.
    overwrite : bool
        Whether a Zarr store at the destination may be replaced.
    restart : bool
        Throw away what an earlier run left unfinished.

    Raises
    ------
    RequestError
        If there is no such part.
    """

    workers: Workers = field(default_factory=Workers)
    part: tuple[int, int] = (1, 1)
    overwrite: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        number, parts = self.part
        if not 1 <= number <= parts:
            raise RequestError(
                f"expected a part from 1/{max(1, parts)} to {max(1, parts)}/{max(1, parts)}, got {number}/{parts}"
            )

    @property
    def name(self) -> str:
        """Of the part, for its lock."""
        return "" if self.part == (1, 1) else "-{}-of-{}".format(*self.part)


def run_blocks(job: Job, bundles: Sequence[Bundle], workers: Workers, seen: Seen) -> None:
    """Do all blocks, in any order.

    Parameters
    ----------
    job : Job
    bundles : sequence of tuple of Block
        Those of each are done one after the other.
    workers : Workers
    seen : callable
        Called with each record, and with None now and then in between; what it raises stops the work, after the
        blocks that have begun.

    Raises
    ------
    BlockError
        If a block fails once more than it may.
    RequestError
        If the scheduler cannot be reached.
    """
    blocks = [block for bundle in bundles for block in bundle]
    if workers.alone(blocks):
        for bundle in bundles:
            for record in _try(job, bundle, workers.retries):
                seen(record)
        return
    waiting = deque((bundle, 0) for bundle in bundles)
    while waiting:  # a pool that broke takes all its blocks with it: they are tried again in another
        with _executor(workers, workers.processes(blocks)) as (pool, size):
            _drain(pool, size, job, waiting, workers.retries, seen)


def _try(job: Job, bundle: Bundle, retries: int) -> list[Record]:
    try:
        return write_blocks(job, bundle)
    except (OSError, RuntimeError, ValueError) as error:
        if not retries:
            raise _failure(bundle, error) from error
    return _try(job, bundle, retries - 1)


def _drain(pool: Executor, size: int, job: Job, waiting: deque[tuple[Bundle, int]], retries: int, seen: Seen) -> None:
    """Hand out blocks until none is left, or the pool is broken."""
    running: dict[Future[list[Record]], tuple[Bundle, int]] = {}
    broken = False
    try:
        while running or (waiting and not broken):
            while waiting and not broken and len(running) < AHEAD * size:
                bundle, tried = waiting.popleft()
                running[pool.submit(write_blocks, job, bundle)] = bundle, tried
            done = wait(running, timeout=PATIENCE, return_when=FIRST_COMPLETED).done
            seen(None)
            for future in done:
                bundle, tried = running.pop(future)
                error = _error_of(future)
                broken |= isinstance(error, BrokenProcessPool)
                if error is None:
                    for record in future.result():
                        seen(record)
                elif tried < retries + 2 * isinstance(error, BrokenProcessPool):  # most of these are not to blame
                    waiting.append((bundle, tried + 1))
                else:
                    raise _failure(bundle, error) from error
    finally:
        wait([future for future in running if not future.cancel()])


def _error_of(future: Future[list[Record]]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        return error


def _failure(bundle: Bundle, error: BaseException) -> BlockError:
    more = f" (read with {len(bundle) - 1} more)" if len(bundle) > 1 else ""
    return BlockError(f"block {bundle[0].key}{more} failed: {first_line(error)}")


@contextmanager
def _executor(workers: Workers, count: int) -> Iterator[tuple[Executor, int]]:
    if workers.scheduler is not None:
        with _dask(workers.scheduler) as (pool, size):
            yield pool, size
        return
    context = multiprocessing.get_context("spawn")  # neither Zarr's threads nor ONNX Runtime's survive a fork
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin) as pool:
        yield pool, count


@contextmanager
def _dask(address: str) -> Iterator[tuple[Any, int]]:
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
    except ImportError as error:
        raise RequestError("--scheduler needs the package distributed: pip install 'adiabat[distributed]'") from error
    try:
        parse_host_port(parse_address(address)[1])  # what the client says of a malformed one is no sentence
        client: Any = Client(address, timeout=10, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise RequestError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        size = sum(client.nthreads().values())
        if not size:
            raise RequestError(f"the Dask cluster at {address} has no workers")
        yield client.get_executor(pure=False), size


def _begin() -> None:
    """In each process of a pool: leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # nobody waits for what this block would come to
