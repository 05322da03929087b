"""The verb `adiabat export`: from an archive to plain NetCDF or Zarr."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import progress_bar

if TYPE_CHECKING:
    from adiabat.formats.export import Exported


def export(
    source: Annotated[str, typer.Argument(metavar="SRC", help="The archive: a path or a URL.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="What to make: ....nc, ....zarr or ....icechunk.")],
    exact: Annotated[bool, typer.Option("--exact", help="Keep every bit of the decoded values; larger.")] = False,
    models: Annotated[
        str | None, typer.Option(metavar="store", help="store: decode with the models that SRC carries; trust it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at OUT.")] = False,
) -> None:
    """Write decoded values as plain NetCDF or Zarr, which people without adiabat can read.

    Variables with a bound are rounded to the bits that it needs, which adds a tenth of the bound at most; the rest
    stays as it is. An icechunk repository gets the archive as it is, encoded; reading it takes adiabat.
    """
    if target.suffix == ".icechunk":
        _commit(source, target)
        return
    from adiabat.formats.export import count_exported
    from adiabat.formats.export import export as write

    total = count_exported(source, exact=exact, models=models)
    with progress_bar(err, "exporting", total) as advance:
        done = write(
            source, target, exact=exact, models=models, overwrite=overwrite,
            command=shlex.join(["adiabat", *sys.argv[1:]]), progress=lambda name, values: advance(name, values),
        )  # fmt: skip
    print_exported(out, done, target)


def _commit(source: str, target: Path) -> None:
    from adiabat.codec.models import STORE_FOLDER
    from adiabat.formats.icechunk_store import to_icechunk

    done = to_icechunk(source, target, shlex.join(["adiabat", *sys.argv[1:]]))
    out.print(f"{target}: {done.keys} keys in snapshot {done.snapshot}, on branch main")
    needed = [name for name in done.left_out if name.startswith(STORE_FOLDER)]  # models and static fields
    if needed:
        out.print(
            f"left out, since icechunk takes Zarr's own files alone: {', '.join(needed)}; adiabat models add {source}"
        )


def print_exported(console: Console, done: Sequence[Exported], target: Path) -> None:
    """Print what became of each variable, and the size of it all."""
    from adiabat.formats.policy import format_bound

    table = Table("variable", "bound", "bits kept", "rounding adds at most", box=None, header_style="bold")
    for each in done:
        if each.note:
            bits = str(each.bits) if each.bits else "all"
            added = f"{each.added:.3g}" if each.bits else "nothing"
            table.add_row(each.path, format_bound(each.note.get("bound", "none")), bits, added)
    if table.row_count:
        console.print(table)
    files = [target] if target.is_file() else [file for file in target.rglob("*") if file.is_file()]
    console.print(f"{target}: {sum(file.stat().st_size for file in files) / 1e6:.3f} MB in all")
