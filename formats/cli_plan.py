"""What ``adiabat compress --dry-run`` prints: the plan, what it would come to, and what should be said aloud."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from adiabat.formats.estimate import DryRun, Estimate
from adiabat.formats.paper_plan import PaperPlan
from adiabat.formats.policy import format_bound

__all__ = ["format_bytes", "format_time", "print_dry_run", "print_paper_plan"]

COLUMNS = ("variable", "bound", "rule", "valid range", "chunks", "shards", "tasks", "as float32", "stored", "ratio")


def print_dry_run(console: Console, run: DryRun, notes: Sequence[str] = ()) -> None:
    """Print a line for each variable, the totals, the ratio that each policy would give, and the notes.

    Parameters
    ----------
    console : rich.console.Console
    run : DryRun
        From `adiabat.formats.estimate.estimate`.
    notes : sequence of str
        Said aloud at the end, such as those of `adiabat.formats.policies.Policy.notes`.
    """
    table = Table(box=None, header_style="bold")
    for name in (*COLUMNS, "MB/s", "time", *run.policies):
        table.add_column(name, overflow="fold")  # never an ellipsis: names are there to be copied
    for each in run.estimates:
        table.add_row(*_row(each, run))
    console.print(table)
    rate = f"{run.mb_s:.1f} MB/s" if math.isfinite(run.mb_s) else "no rate"
    console.print(
        f"\nin all         {format_bytes(run.float32_bytes)} as float32 -> about {format_bytes(run.stored_bytes)}, "
        f"ratio {run.ratio:.1f}, in {run.tasks} tasks"
    )
    console.print(
        f"time           about {format_time(run.seconds)} with {run.workers} worker{'s' * (run.workers != 1)} "
        f"({rate} each), {format_bytes(run.memory)} of memory each"
    )
    for policy in run.policies:
        console.print(f"policy         {policy}: ratio {run.ratio_of(policy):.1f}")
    sampled = sum(each.sampled for each in run.estimates)
    if sampled < sum(each.variable.values for each in run.estimates):
        share = sampled / max(1, sum(each.variable.values for each in run.estimates))
        console.print(f"sampled        {share:.2g} of all values; the rest may be smoother or rougher")
    for note in (*_unasked(run), *notes):
        console.print(f"note           {note}")
    console.print("nothing was written")


def _unasked(run: DryRun) -> list[str]:
    """What is lossless for want of a bound, though it might have been expected otherwise."""
    names = [each.name for each in run.estimates if each.variable.bound == "lossless" and not each.variable.asked]
    return [f"kept lossless, for want of a bound: {', '.join(names)} (give --bound VAR=abs:X)"] if names else []


def _row(each: Estimate, run: DryRun) -> list[str]:
    variable = each.variable
    bound = "exact" if variable.bound is None else format_bound(variable.bound, variable.dims)
    if variable.mean is not None:
        bound += f", mean {variable.mean:g}"
    others = [f"{each.others[policy]:.1f}" if policy in each.others else "-" for policy in run.policies]
    return [
        each.name,
        bound,
        variable.rule or "-",
        _range(variable.valid_range),
        _times(variable.chunks),
        _times(variable.shards) if variable.shards else "-",
        str(each.tasks),
        format_bytes(each.float32_bytes),
        format_bytes(each.stored_bytes),
        f"{each.ratio:.1f}",
        f"{each.mb_s:.1f}" if math.isfinite(each.mb_s) else "-",
        format_time(each.worker_seconds),
        *others,
    ]


def print_paper_plan(console: Console, plans: Sequence[tuple[str, PaperPlan]]) -> None:
    """Print a line for each archive that was planned on paper, by its name."""
    table = Table(box=None, header_style="bold")
    for name in ("archive", "tasks", "workers", "hours", "core hours", "stored", "dollars"):
        table.add_column(name, overflow="fold")
    for name, plan in plans:
        stored, dollars = format_bytes(plan.stored_bytes), f"{plan.dollars:,.0f}"
        hours = (f"{plan.hours:,.1f}", f"{plan.core_hours:,.0f}")
        table.add_row(name, f"{plan.tasks:,}", f"{plan.workers:,}", *hours, stored, dollars)
    console.print(table)


def format_bytes(size: float) -> str:
    """Bytes in the unit that suits them.

    Examples
    --------
    >>> format_bytes(1.5e6), format_bytes(2.05e15), format_bytes(12)
    ('1.5 MB', '2.05 PB', '12 B')
    """
    for power, unit in ((15, "PB"), (12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10.0**power:
            return f"{size / 10.0**power:.3g} {unit}"
    return f"{size:.0f} B"


def format_time(seconds: float) -> str:
    """A length of time as people say it.

    Examples
    --------
    >>> format_time(0.2), format_time(75), format_time(7500), format_time(360000)
    ('0.2 s', '1 min 15 s', '2 h 05 min', '4 d 4 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _range(limits: tuple[float | None, float | None] | None) -> str:
    if limits is None:
        return "-"
    low, high = limits
    if high is None:
        return f">= {low:g}"
    return f"<= {high:g}" if low is None else f"{low:g}..{high:g}"


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes)) or "scalar"
