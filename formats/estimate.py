"""What an archive would come to, from a sample of each variable: bytes, ratio, time, memory; and on paper, of any size.

Stage: plan -> estimate, before anything is written. A few pieces of every variable go through its own codec, there and
back, as the engine does it. Pieces keep the whole length of a chunk in time, since that is what prediction gains most
from, and are cut in space instead; so figures are those of the real thing to a tenth or two, mostly on the safe side.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.blocks import blocks_of
from adiabat.formats.metadata import Groups
from adiabat.formats.paper_plan import PaperPlan, paper_plan
from adiabat.formats.plan import VariablePlan
from adiabat.formats.sample import pieces
from adiabat.formats.store_paths import join_path
from adiabat.formats.trial import passed, warm_up

__all__ = ["DryRun", "Estimate", "PaperPlan", "estimate", "paper_plan"]

SECONDS = 2.5  # for the sample of a variable, after which no more pieces are taken
FLOAT32 = 4  # bytes that ratios count
METADATA = 1400  # bytes of an array, about
# Memory of a worker, as measured on volumes of 0.3 to 25 million values, two threads: 0.42 to 1.01 GB.
PROCESS = 400e6  # bytes whatever it does: libraries, compiled kernels, the model
WORKING, MOST_WORKING = 150, 400e6  # bytes for each value that the codec works on, which it does slab by slab
SOURCE = 8  # bytes of a value as it is read, beside what is written

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Estimate:
    """What one variable would come to.

    Parameters
    ----------
    name : str
        Behind the path of its group.
    variable : VariablePlan
    tasks : int
        Blocks of the engine.
    sampled : int
        Values that went through the codec.
    sampled_bytes : int
        What they came to.
    seconds : float
        That it took, there and back, in one worker.
    others : mapping of str to float
        The ratio that other policies would give.
    """

    name: str
    variable: VariablePlan
    tasks: int
    sampled: int
    sampled_bytes: int
    seconds: float
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def float32_bytes(self) -> int:
        """Of the whole variable."""
        return FLOAT32 * self.variable.values

    @property
    def stored_bytes(self) -> float:
        """That the whole variable would take, its metadata included."""
        return self.variable.values * self.sampled_bytes / max(1, self.sampled) + METADATA

    @property
    def ratio(self) -> float:
        """Bytes as float32 over bytes stored."""
        return self.float32_bytes / self.stored_bytes

    @property
    def mb_s(self) -> float:
        """Megabytes of float32 a second and worker, read back and checked; infinite where nothing was measured."""
        return FLOAT32 * self.sampled / 1e6 / self.seconds if self.seconds else math.inf

    @property
    def worker_seconds(self) -> float:
        """That the whole variable would take one worker."""
        return self.float32_bytes / 1e6 / self.mb_s

    @property
    def memory(self) -> float:
        """Bytes of a worker that does a block of it."""
        block = math.prod(self.variable.shards or self.variable.chunks)
        worked_on = math.prod(self.variable.chunks) if self.variable.bound is not None else 0
        held = block * (SOURCE + self.variable.dtype.itemsize)
        return PROCESS + min(MOST_WORKING, worked_on * WORKING) + held


@dataclass(frozen=True)
class DryRun:
    """What an archive would come to.

    Parameters
    ----------
    estimates : tuple of Estimate
    workers : int
        That share the work.
    """

    estimates: tuple[Estimate, ...]
    workers: int = 1

    @property
    def tasks(self) -> int:
        """Blocks in all."""
        return sum(each.tasks for each in self.estimates)

    @property
    def float32_bytes(self) -> int:
        """Of all planned variables."""
        return sum(each.float32_bytes for each in self.estimates)

    @property
    def stored_bytes(self) -> float:
        """That they would take."""
        return sum(each.stored_bytes for each in self.estimates)

    @property
    def ratio(self) -> float:
        """Of the whole."""
        return self.float32_bytes / self.stored_bytes if self.stored_bytes else 1.0

    @property
    def mb_s(self) -> float:
        """Megabytes of float32 a second and worker, over the whole."""
        seconds = sum(each.worker_seconds for each in self.estimates)
        return self.float32_bytes / 1e6 / seconds if seconds else math.inf

    @property
    def seconds(self) -> float:
        """Until all workers are done, if none waits: no shorter than the longest block."""
        longest = max((each.worker_seconds / max(1, each.tasks) for each in self.estimates), default=0.0)
        return max(longest, sum(each.worker_seconds for each in self.estimates) / self.workers)

    @property
    def memory(self) -> float:
        """Bytes of a worker at its largest block."""
        return max((each.memory for each in self.estimates), default=PROCESS)

    def ratio_of(self, policy: str) -> float:
        """Of the whole, if bounds were another policy's."""
        stored = sum(each.float32_bytes / each.others.get(policy, each.ratio) for each in self.estimates)
        return self.float32_bytes / stored if stored else 1.0

    @property
    def policies(self) -> tuple[str, ...]:
        """Those that were tried beside the plan."""
        return tuple(dict.fromkeys(name for each in self.estimates for name in each.others))


def estimate(
    groups: Groups,
    *,
    others: Mapping[str, Groups] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> DryRun:
    """Send a sample of every planned variable through its codec.

    Parameters
    ----------
    groups : mapping of str to (Dataset, plan)
        Datasets and their plans by the paths of groups; ``{"/": (dataset, plan)}`` for a plain file.
    others : mapping of str to such groups, optional
        The plans of named policies, of which only the ratio is found, from one piece.
    workers : int
        Processes on this machine that would share its cores.
    progress : callable, optional
        Called with the name of each variable before its sample is taken.

    Returns
    -------
    DryRun

    Examples
    --------
    >>> from adiabat.formats.plan import make_plan
    >>> x = np.linspace(0, 6, 4 * 40 * 50).reshape(4, 40, 50)
    >>> field = xr.DataArray(np.sin(x).astype("f4"), dims=("time", "lat", "lon"))
    >>> dataset = xr.Dataset({"t": field})
    >>> plan = make_plan(dataset, bounds={"t": {"abs": 0.01}})
    >>> run = estimate({"/": (dataset, plan)})
    >>> run.tasks, run.estimates[0].sampled, run.ratio > 4
    (1, 8000, True)
    """
    from adiabat.codec.workers import available, limit_threads

    alternatives = {
        policy: {(place, each.name): each for place, (_, plan) in trees.items() for each in plan}
        for policy, trees in (others or {}).items()
    }
    limit_threads(max(1, available() // workers))
    try:
        out = []
        for place, (dataset, plan) in sorted(groups.items()):
            for variable in plan:
                name = join_path(place, variable.name)
                if progress is not None:
                    progress(name)
                warm_up(variable.codec if variable.bound is not None else "", variable.dtype.str)
                tried = {policy: found.get((place, variable.name)) for policy, found in alternatives.items()}
                out.append(_of_variable(name, place, dataset, variable, tried))
    finally:
        limit_threads(None)
    return DryRun(tuple(out), workers)


def _of_variable(
    name: str, place: str, dataset: xr.Dataset, variable: VariablePlan, others: Mapping[str, VariablePlan | None]
) -> Estimate:
    """Sample one variable, the piece in the middle first, until its time is up."""
    tasks, started = len(blocks_of(place, variable)), time.perf_counter()
    sampled, written, seconds, shares = 0, 0, 0.0, dict[str, float]()
    for region in pieces(dataset[variable.name], variable):
        values = _read(dataset[variable.name], region)
        noise = None if variable.noise is None else _read(dataset[variable.noise], region)
        size, took = passed(variable, values, noise, region)
        sampled, written, seconds = sampled + values.size, written + size, seconds + took
        if not shares:
            planned = {policy: other for policy, other in others.items() if other is not None}
            shares = {
                policy: _like(variable, other, values, noise, region, size) / size for policy, other in planned.items()
            }
        if time.perf_counter() - started > SECONDS:
            break
    found = Estimate(name, variable, tasks, sampled, written, seconds)
    ratios = {
        policy: found.float32_bytes / (more * (found.stored_bytes - METADATA) + METADATA)
        for policy, more in shares.items()
    }
    return replace(found, others=ratios)


def _like(
    variable: VariablePlan,
    other: VariablePlan,
    values: NDArray[Any],
    noise: NDArray[Any] | None,
    region: tuple[slice, ...],
    size: int,
) -> int:
    """Bytes of a piece as another plan has it."""
    same = (other.codec_bound, other.valid_range, other.dtype) == (
        variable.codec_bound, variable.valid_range, variable.dtype,
    )  # fmt: skip
    return size if same else passed(other, values, noise, region, back=False)[0]


def _read(array: xr.DataArray, region: tuple[slice, ...]) -> NDArray[Any]:
    return np.ascontiguousarray(array[region].values if region else array.values)
