"""What the commands print: one table each, figures with their units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from adiabat.formats.inventory import ArrayInventory, take_inventory
from adiabat.formats.plan import VariablePlan
from adiabat.formats.policy import Bound, format_bound

if TYPE_CHECKING:
    from adiabat.formats.demo import DemoResult
    from adiabat.formats.verify import VariableCheck


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")  # never an ellipsis: names are there to be copied
    return table


def print_demo(console: Console, result: DemoResult, store: Path) -> None:
    """Print the demo's figures."""
    errors = result.errors
    console.print(f"store          {store}")
    console.print(f"ratio          {result.ratio:.1f} (float32 bytes over all bytes written)")
    console.print(f"largest error  {errors.max_error:.6g} K, {errors.used:.1%} of the bound; RMSE {errors.rmse:.3g} K")
    console.print(f"speed          encode {result.encode_mb_s:.0f} MB/s, decode {result.decode_mb_s:.0f} MB/s")


def print_plan(console: Console, plan: Sequence[VariablePlan], default_bound: Bound | None) -> None:
    """Say aloud what is kept exactly though it might have been expected otherwise."""
    unasked = [variable.name for variable in plan if variable.bound == "lossless" and not variable.asked]
    if unasked:
        console.print(f"kept lossless, for want of a bound: {_some(unasked)} (give --bound VAR=abs:X)")
    flat = [variable.name for variable in plan if variable.bound is None and variable.dtype.kind == "f"]
    if flat and default_bound is not None:
        console.print(f"kept exactly, having fewer than two dimensions: {_some(flat)} (--bound VAR=abs:X)")


def _some(names: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def print_written(console: Console, plan: Sequence[VariablePlan], target: Path) -> None:
    """Print what each planned variable came to, and the whole store."""
    bounds = {variable.name: variable.bound for variable in plan}
    rows = take_inventory(target, most_chunks=0)
    table = _table("variable", "bound", "MB as float32", "MB written", "ratio")
    for row in rows:
        bound = bounds.get(row.name)
        if bound is not None:
            table.add_row(row.name, format_bound(bound), *_sizes(row))
    exact = [row for row in rows if bounds.get(row.name) is None]
    if table.row_count:
        console.print(table)
    written = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    console.print(f"{target}: {written / 1e6:.3f} MB in all, with {len(exact)} exact arrays (coordinates among them)")


def _sizes(row: ArrayInventory) -> tuple[str, str, str]:
    return f"{4 * row.values / 1e6:.3f}", f"{row.written_bytes / 1e6:.3f}", f"{row.ratio:.2f}"


def print_checks(console: Console, checks: Sequence[VariableCheck]) -> None:
    """Print errors against bounds; what passed exactly is counted in one line."""
    table = _table("variable", "bound", "values", "max error", "of bound", "RMSE", "")
    exact = 0
    for check in checks:
        if check.bound == "lossless" and check.problem is None:
            exact += 1
            continue
        errors = check.errors
        figures = ("-", "-", "-", "-")
        if errors is not None:
            used = f"{errors.used:.4f}" if errors.limit else "-"
            figures = (str(errors.values), f"{errors.max_error:.6g}", used, f"{errors.rmse:.4g}")
        table.add_row(check.name, format_bound(check.bound), *figures, "BROKEN" if check.problem else "ok")
    if table.row_count:
        console.print(table)
    if exact:
        console.print(f"{exact} variables and coordinates are equal, value for value")


def print_inventory(console: Console, rows: Sequence[ArrayInventory]) -> None:
    """Print a line for each array, and under it where its bytes went."""
    table = _table("variable", "dtype", "shape", "chunks", "codec", "bound", "ratio", "bytes")
    for row in rows:
        bound = format_bound(row.bound) if row.bound is not None else "exact"
        shape, chunks = ("x".join(map(str, sizes)) or "scalar" for sizes in (row.shape, row.chunks))
        table.add_row(row.name, row.dtype, shape, chunks, row.codec, bound, f"{row.ratio:.2f}", str(row.written_bytes))
    console.print(table)
    for row in rows:
        if row.described:
            console.print(f"\n{row.name}: {row.described} chunks described, {row.stored} files in all")
            console.print(f"  paths     {_counts(row.paths)}")
            console.print(f"  sections  {_counts(row.sections)} bytes")
            for model in row.models:
                console.print(f"  model     {model}")
    values, written = sum(row.values for row in rows), sum(row.written_bytes for row in rows)
    if written:
        console.print(f"\nall arrays: ratio {4 * values / written:.2f} (float32 bytes over all bytes written)")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
