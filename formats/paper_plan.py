"""What an archive of any size would take, on paper, from rates that were measured.

Stage: beside `estimate`; nothing is read or written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["PaperPlan", "paper_plan"]


@dataclass(frozen=True)
class PaperPlan:
    """What an archive of a given size would take, from measured rates.

    Parameters
    ----------
    tasks : int
    workers : int
        Cores.
    hours : float
        Of the clock.
    core_hours : float
        That all workers take.
    stored_bytes : float
    dollars : float
        For the cores.
    """

    tasks: int
    workers: int
    hours: float
    core_hours: float
    stored_bytes: float
    dollars: float


def paper_plan(
    total_bytes: float,
    *,
    mb_s: float,
    ratio: float,
    task_bytes: float = 1e8,
    workers: int | None = None,
    hours: float | None = None,
    price: float = 0.05,
) -> PaperPlan:
    """How many tasks, workers, hours and dollars an archive of some size takes.

    Parameters
    ----------
    total_bytes : float
        As float32.
    mb_s : float
        Megabytes of float32 a second that one worker reads, encodes, writes, reads back and checks.
    ratio : float
        Bytes as float32 over bytes stored.
    task_bytes : float
        Of float32 in a block.
    workers, hours : optional
        One of them: with so many workers, or in so many hours of the clock.
    price : float
        Dollars for a core and hour.

    Returns
    -------
    PaperPlan

    Raises
    ------
    ValueError
        If a figure is not above 0, or not one of workers and hours is given.

    Examples
    --------
    >>> plan = paper_plan(10e12, mb_s=10, ratio=20, workers=100)
    >>> plan.tasks, round(plan.hours, 2), round(plan.dollars, 1), plan.stored_bytes
    (100000, 2.78, 13.9, 500000000000.0)
    """
    figures = {"total_bytes": total_bytes, "mb_s": mb_s, "ratio": ratio, "task_bytes": task_bytes, "price": price}
    for name, figure in {**figures, "workers": workers or 1, "hours": hours or 1}.items():
        if not (math.isfinite(figure) and figure > 0):
            raise ValueError(f"expected {name} above 0, got {figure!r}")
    if (workers is None) == (hours is None):
        raise ValueError(f"expected workers or hours, got workers={workers!r} and hours={hours!r}")
    tasks = math.ceil(total_bytes / task_bytes)
    core_hours = total_bytes / 1e6 / mb_s / 3600
    count = min(tasks, workers if workers is not None else math.ceil(core_hours / (hours or 1)))
    rounds = math.ceil(tasks / count)  # every worker does whole tasks
    return PaperPlan(
        tasks, count, rounds * core_hours / tasks, core_hours, total_bytes / ratio, core_hours * price,
    )  # fmt: skip
