"""The command ``adiabat``: a thin layer over `adiabat.formats`.

Exit codes: 0 done; 1 a check failed or something broke; 2 the request cannot be carried out as it
stands. Messages are one sentence on the error stream, without a traceback.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from adiabat.codec.errors import AdiabatError
from adiabat.formats import cli_compare, cli_compress, cli_export, cli_generate, cli_models, cli_report, cli_tables
from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import StoppedError, progress_bar
from adiabat.formats.errors import RequestError

app = typer.Typer(
    name="adiabat",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_models.models_app, name="models")
app.add_typer(cli_models.train_app, name="train")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"adiabat {version('adiabat')}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it and stop."),
    ] = False,
) -> None:
    """Make archives of the atmosphere smaller, under a bound that is a contract."""


DEMO_STORE = Path("adiabat-demo.zarr")  # ours to replace
Store = Annotated[Path, typer.Argument(metavar="DST", help="The Zarr store.")]
Group = Annotated[str | None, typer.Option(help="The group inside SRC that holds the variables.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the store at DST.")]


@app.command()
def demo(
    store: Annotated[Path, typer.Argument(metavar="DST", help="Where to write.")] = DEMO_STORE,
    overwrite: Overwrite = False,
) -> None:
    """Make a small field, compress it, read it with plain xarray, check it and draw it."""
    from adiabat.formats.demo import draw, run_demo

    out.print("a simulated field, 8 x 361 x 720 float32, bound 0.1 K; read back by a process that imports only xarray")
    result = run_demo(store, overwrite=overwrite or store == DEMO_STORE)
    cli_tables.print_demo(out, result, store)
    picture = store.with_suffix(".png")
    try:
        draw(result, picture)
        out.print(f"picture        {picture}")
    except ImportError:
        out.print("picture        none: matplotlib is missing (pip install 'adiabat[plot]')")
    if result.errors.violations:
        _fail(f"{result.errors.violations} values break the bound", 1)


app.command()(cli_compress.compress)
app.command()(cli_compress.status)
app.command()(cli_compare.compare)
app.command()(cli_report.report)
app.command()(cli_export.export)
app.command()(cli_generate.generate)


@app.command()
def fill(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Swaths (a file or a folder), or a gridded file or store.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The store to make, best named ....cp.zarr.")],
    rank: Annotated[
        str, typer.Option(metavar="auto|N", help="Components; auto: what fills best under clouds of other days.")
    ] = "auto",
    grid: Annotated[float | None, typer.Option(metavar="DEGREES", help="Of swaths: the side of a cell.")] = None,
    variable: Annotated[str | None, typer.Option(metavar="VAR", help="What to fill, if SRC holds several.")] = None,
    qa: Annotated[float | None, typer.Option(metavar="0.75", help="Of swaths: the lowest quality to use.")] = None,
    bound: Annotated[
        str | None, typer.Option(metavar="abs:X", help="Keep observed cells to it, by a residual.")
    ] = None,
    ridge: Annotated[float | None, typer.Option(help="Of the fit; chosen with the rank if not given.")] = None,
    transform: Annotated[
        str, typer.Option(metavar="none|log", help="What is modelled: values or logarithms.")
    ] = "none",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    sweeps: Annotated[int, typer.Option(help="Of each fit.")] = 40,
    group: Group = None,
    overwrite: Overwrite = False,
) -> None:
    """Fill the holes of SRC by factors of low rank, into the store DST.

    A search for the rank that was stopped goes on where it was: finished scores are kept beside DST until it stands.
    """
    from adiabat.formats import cli_fill, low_rank
    from adiabat.formats.policy import parse_bound
    from adiabat.formats.workspace import check_target

    wanted = cli_fill.read_rank(rank)
    check_target(target, overwrite=overwrite)
    options = {"ridge": ridge, "transform": transform, "seed": seed, "sweeps": sweeps}
    limit = parse_bound(bound) if bound is not None else None
    journal = cli_fill.journal_of(target)
    try:
        cube = cli_fill.open_cube(source, variable=variable, grid=grid, qa=qa, group=group)
        err.print(cli_fill.introduce(cube))
        with progress_bar(err, "fitting", None) as advance:
            written = low_rank.write(
                cube, target, rank=wanted, bound=limit, journal=journal, overwrite=overwrite,
                command=cli_compress.command(), progress=err.print, tick=lambda *_: advance("factors", 1), **options,
            )  # fmt: skip
    except ImportError as error:
        raise RuntimeError(f"filling needs {error.name}: pip install 'adiabat[fill]'") from error
    except StoppedError:
        if journal.exists():
            err.print(f"finished scores are kept in {journal}: the same command goes on from there")
        raise
    out.print("\n".join(cli_fill.describe(written, target)))


@app.command()
def verify(
    paths: Annotated[list[str], typer.Argument(metavar="SRC... DST", help="What was compressed, and the store.")],
    group: Group = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Without SRC: check that DST has the bytes that were written, and decodes.")
    ] = False,
) -> None:
    """Compare every value of SRC with the store DST; exit 1 where a bound is broken."""
    *sources, store = paths
    if deep == bool(sources):
        raise RequestError("expected SRC and DST, or --deep and DST alone")
    problems = _check_bytes(Path(store)) if deep else _check_values(sources, Path(store), group)
    if problems:
        _fail("\n".join(problems), 1)


def _check_bytes(store: Path) -> list[str]:
    from adiabat.formats.integrity import check_integrity, count_values

    with progress_bar(err, "checking", count_values(store)) as advance:
        found = check_integrity(store, progress=advance)
    for note in found.notes:
        err.print(f"note: {note}", markup=False)
    out.print(f"{found.arrays} arrays, {found.files} files of chunks: {len(found.problems) or 'nothing'} wrong")
    return found.problems


def _check_values(sources: list[str], store: Path, group: str | None) -> list[str]:
    from adiabat.formats.sources import find_source
    from adiabat.formats.verify import count_values
    from adiabat.formats.verify import verify as compare

    source, notes = find_source(sources, group=group)
    for note in notes:
        err.print(f"note: {note}")
    with progress_bar(err, "comparing", count_values(source)) as advance:
        checks = compare(source, store, progress=advance)
    cli_tables.print_checks(out, checks)
    return [f"{check.name}: {check.problem}" for check in checks if check.problem]


@app.command()
def inspect(store: Store) -> None:
    """Say, for every variable of DST, its codec, bound, ratio, bytes, and what it was predicted from."""
    from adiabat.formats.inventory import take_inventory

    rows = take_inventory(store)
    cli_generate.print_generated(out, store)
    cli_tables.print_low_rank(out, store)
    cli_tables.print_inventory(out, rows)


def _fail(message: str, code: int) -> NoReturn:
    err.print(message)
    raise typer.Exit(code)


def main() -> None:
    """Run the command; the entry point of the console script."""
    try:
        app()
    except RequestError as error:
        err.print(f"adiabat: {error}")
        sys.exit(2)
    except StoppedError as stopped:
        err.print(f"adiabat: stopped; {stopped}" if str(stopped) else "adiabat: stopped; nothing half-written is left")
        sys.exit(130)
    except (AdiabatError, OSError, RuntimeError, ImportError) as error:
        err.print(f"adiabat: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
