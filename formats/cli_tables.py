"""What the commands print: one table each, figures with their units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from adiabat.formats.inventory import ArrayInventory, take_inventory
from adiabat.formats.plan import VariablePlan
from adiabat.formats.policy import Bound, format_bound
from adiabat.formats.store_paths import join_path

FLOAT = ("adiabat.vq", "adiabat.hvae")  # whose last step is a network of floats

if TYPE_CHECKING:
    from adiabat.formats.demo import DemoResult
    from adiabat.formats.status import Status
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
    """Say aloud what is kept exactly though it might have been expected otherwise, and what static fields serve."""
    unasked = [variable.name for variable in plan if variable.bound == "lossless" and not variable.asked]
    if unasked:
        console.print(f"kept lossless, for want of a bound: {_some(unasked)} (give --bound VAR=abs:X)")
    for variable in plan:
        beside = variable.name.rpartition("/")[0]
        noise = join_path(beside, variable.noise) if variable.noise else ""
        if noise in unasked:
            console.print(
                f"{noise}, which the bound of {variable.name} counts in, shrinks with --bound {noise}=rel:0.01"
            )
    flat = [variable.name for variable in plan if variable.bound is None and variable.dtype.kind == "f"]
    if flat and default_bound is not None:
        console.print(f"kept exactly, having fewer than two dimensions: {_some(flat)} (--bound VAR=abs:X)")
    served: dict[str, list[str]] = {}
    for variable in plan:
        for file in variable.statics:
            served.setdefault(file.label, []).append(variable.name)
    for label, names in served.items():
        console.print(f"static field {label} is on the grid of {_some(names)}")


def print_status(console: Console, status: Status, target: Path) -> None:
    """Print a line for each array of an archive, and what it comes to."""
    table = _table("variable", "blocks", "MB as float32", "MB written", "ratio", "of bound", "")
    for each in status.arrays:
        ratio = f"{4 * each.values / each.written_bytes:.2f}" if each.written_bytes else "-"
        sizes = f"{4 * each.values / 1e6:.3f}", f"{each.written_bytes / 1e6:.3f}", ratio, f"{each.of_bound:.4f}"
        table.add_row(
            each.name, f"{each.done} of {each.blocks}", *sizes, f"{len(each.damaged)} damaged" if each.damaged else "ok"
        )
    console.print(table)
    if status.stands:
        console.print(f"{target} is complete: {status.blocks} blocks")
    else:
        console.print(f"{target} is being made: {status.done} of {status.blocks} blocks are done")
        console.print(
            f"written by {', '.join(status.writers)}"
            if status.writers
            else "nobody is writing it now: the same command goes on"
        )
        if status.mb_per_s is not None and status.seconds_left is not None:
            console.print(f"{status.mb_per_s:.1f} MB/s, about {status.seconds_left / 60:.0f} minutes left")
    if status.damaged:
        console.print(f"damaged: {_some(status.damaged)}; the command that made them writes them again")


def _some(names: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def print_low_rank(console: Console, store: Path) -> list[str]:
    """Print the variables that are factors, if there are any, and return their names."""
    import zarr

    from adiabat.formats.low_rank_layout import low_rank_names
    from adiabat.formats.low_rank_store import StoredArray

    root = zarr.open_group(store, mode="r", use_consolidated=False)
    table, names = _table("low rank", "components", "bound", "shape", "MB as float32", "MB written", "ratio"), []
    for name in low_rank_names(root):
        stored = StoredArray(root[name])  # type: ignore[arg-type]
        written = sum(file.stat().st_size for file in (store / name).rglob("*") if file.is_file())
        dense = 4 * math.prod(stored.shape)
        bound = "none" if stored.bound is None else format_bound(stored.bound, stored.dims)
        sizes = f"{dense / 1e6:.3f}", f"{written / 1e6:.3f}", f"{dense / written:.2f}"
        table.add_row(name, str(stored.rank), bound, _times(stored.shape), *sizes)
        names.append(name)
    if names:
        console.print(table)
    return names


def print_written(console: Console, plan: Sequence[VariablePlan], target: Path) -> None:
    """Print what each planned variable came to, and the whole store."""
    bounds = {_place_of(variable): variable.bound for variable in plan}
    statics = {file.sha256: file for variable in plan for file in variable.statics}
    rows = take_inventory(target, most_chunks=200 if statics else 0)
    table = _table("variable", "bound", "chunks", "MB as float32", "MB written", "ratio")
    for row in rows:
        bound = bounds.get(row.name)
        if bound is not None:
            table.add_row(row.name, format_bound(bound, row.dims), _times(row.chunks), *_sizes(row))
    if table.row_count:
        console.print(table)
    factors = tuple(f"{name}/" for name in print_low_rank(console, target))
    exact = [row for row in rows if bounds.get(row.name) is None and not row.name.startswith(factors)]
    written = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    for label in dict.fromkeys(file.label for file in statics.values()):
        console.print(f"static field {label} helps {_helped(rows, label)}")
    kept = sum(len(file.data) for file in statics.values())
    beside = f" and {kept / 1e6:.3f} MB of static fields" if statics else ""
    exact_ones = f"{len(exact)} exact arrays (coordinates among them)"
    console.print(f"{target}: {written / 1e6:.3f} MB in all, with {exact_ones}{beside}")


def _place_of(variable: VariablePlan) -> str:
    """Where it lies in the store."""
    group, _, name = variable.name.rpartition("/")
    return join_path(group, variable.child, name)


def _helped(rows: Sequence[ArrayInventory], label: str) -> str:
    """Name the variables that a static field explains something of."""
    offered = {row.name: [sha256 for sha256, name in row.labels.items() if name == label] for row in rows}
    names = [row.name for row in rows if any(row.streams.statics[sha256] for sha256 in offered[row.name])]
    return _some(names) if names else "none of them: it explains nothing there, or does not lie as they do"


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes)) or "scalar"


def _sizes(row: ArrayInventory) -> tuple[str, str, str]:
    return f"{4 * row.values / 1e6:.3f}", f"{row.written_bytes / 1e6:.3f}", f"{row.ratio:.2f}"


def print_checks(console: Console, checks: Sequence[VariableCheck]) -> None:
    """Print errors against bounds; what passed exactly is counted in one line."""
    table = _table("variable", "bound", "values", "max error", "of bound", "RMSE", "mean error", "")
    exact = 0
    for check in checks:
        if check.bound == "lossless" and check.problem is None:
            exact += 1
            continue
        errors = check.errors
        figures = ("-",) * 5
        if errors is not None:
            used = f"{errors.used:.4f}" if errors.limit else "-"
            promised = "" if errors.mean is None else f" of {errors.mean:g}"
            mean = f"{errors.mean_error:.4g}{promised}"
            figures = (str(errors.values), f"{errors.max_error:.6g}", used, f"{errors.rmse:.4g}", mean)
        table.add_row(check.name, format_bound(check.bound, check.dims), *figures, "BROKEN" if check.problem else "ok")
    if table.row_count:
        console.print(table)
    if exact:
        console.print(f"{exact} variables and coordinates are equal, value for value")


def print_inventory(console: Console, rows: Sequence[ArrayInventory]) -> None:
    """Print a line for each array, and under it what its streams were predicted from and where its bytes went."""
    table = _table("variable", "dtype", "shape", "chunks", "codec", "bound", "ratio", "bytes")
    for row in rows:
        bound = format_bound(row.bound, row.dims) if row.bound is not None else "exact"
        shape, chunks = _times(row.shape), _times(row.chunks)
        table.add_row(row.name, row.dtype, shape, chunks, row.codec, bound, f"{row.ratio:.2f}", str(row.written_bytes))
    console.print(table)
    for row in rows:
        if row.streams.count:
            _print_streams(console, row)
    values, written = sum(row.values for row in rows), sum(row.written_bytes for row in rows)
    if written:
        console.print(f"\nall arrays: ratio {4 * values / written:.2f} (float32 bytes over all bytes written)")


def _print_streams(console: Console, row: ArrayInventory) -> None:
    streams = row.streams
    console.print(f"\n{row.name}: {streams.count} chunks described, {row.stored} files in all")
    console.print(f"  paths     {_counts(streams.paths)}")
    for (axis, references), count in streams.orders.most_common():
        how = "each by itself" if axis is None else f"along {_dim(row, axis)} from up to {references} others"
        console.print(f"  frames    {how}, in {count} of {streams.count} chunks")
    if streams.paths["latent"] and not streams.sections["residual"]:
        console.print("  bound     none: a target was asked for")
    if streams.paths["latent"] and row.codec in FLOAT:
        console.print("  decoder   a network of floats: values may differ between machines in their last bits")
    for sha256 in row.options.get("static", ()):
        label = f" ({row.labels[sha256]})" if sha256 in row.labels else ""
        console.print(f"  static    {sha256}{label} helps in {streams.statics[sha256]} of {streams.count} chunks")
    if row.options.get("tune", "bytes") != "bytes":
        console.print(f"  tune      {row.options['tune']}, finer steps in {streams.tapered} of {streams.count} chunks")
    console.print(f"  sections  {_counts(streams.sections)} bytes")
    for model in sorted(streams.models):
        console.print(f"  model     {model}")


def _dim(row: ArrayInventory, axis: int) -> str:
    return row.dims[axis] if axis < len(row.dims) else f"axis {axis}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
