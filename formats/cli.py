"""The command ``adiabat``: a thin layer over `adiabat.formats`.

Exit codes: 0 done; 1 a check failed or something broke; 2 the request cannot be carried out as it
stands. Messages are one sentence on the error stream, without a traceback.
"""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from adiabat.codec.errors import AdiabatError
from adiabat.formats import cli_models, cli_report
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
# In a pipe nothing is folded to the width of a terminal.
out = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


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
Source = Annotated[Path, typer.Argument(metavar="SRC", help="NetCDF, GRIB or Zarr.")]
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
    cli_report.print_demo(out, result, store)
    picture = store.with_suffix(".png")
    try:
        draw(result, picture)
        out.print(f"picture        {picture}")
    except ImportError:
        out.print("picture        none: matplotlib is missing (pip install 'adiabat[plot]')")
    if result.errors.violations:
        _fail(f"{result.errors.violations} values break the bound", 1)


@app.command()
def compress(
    source: Source,
    target: Store,
    bound: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VAR=abs:0.1",
            help="For one variable: abs:X, rel:R, noise:K (times VAR_error) or lossless; or, with no bound on any "
            "value, rmse:X or ratio:R.",
        ),
    ] = None,
    default_bound: Annotated[
        str | None, typer.Option(metavar="abs:0.1", help="For every other float variable of two or more dimensions.")
    ] = None,
    chunk: Annotated[list[str] | None, typer.Option(metavar="DIM=N", help="Chunk length along one dimension.")] = None,
    tune: Annotated[
        str, typer.Option(metavar="bytes|rmse", help="Within the bound, save bytes, or mean square error at some cost.")
    ] = "bytes",
    static: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:VAR]", help="A field to predict from, such as orography; up to 4."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="hyperprior|vq|hvae|low-rank",
            help="What codes rmse:X and ratio:R (hyperprior, if not given); low-rank: try factors and a residual too.",
        ),
    ] = None,
    group: Group = None,
    overwrite: Overwrite = False,
) -> None:
    """Compress SRC into the Zarr store DST.

    Coordinates, integers and everything else that is not a float field are kept exactly.
    """
    from adiabat.formats.archive import check_target, write
    from adiabat.formats.plan import LATENT, make_plan
    from adiabat.formats.policy import parse_bound, parse_variable_bound
    from adiabat.formats.sources import open_source
    from adiabat.formats.sources.tempo import is_tempo
    from adiabat.formats.static import open_static

    if source.resolve() == target.resolve():
        raise RequestError("SRC and DST are the same")
    if codec not in (None, "pyramid", "low-rank", *LATENT):
        raise RequestError(f"{codec!r} is not a codec: write --codec hyperprior, --codec vq, --codec hvae or --codec low-rank")
    if codec == "low-rank" and (static or tune != "bytes"):
        raise RequestError("--codec low-rank knows neither --static nor --tune rmse")
    check_target(target, overwrite=overwrite)
    bounds = dict(map(parse_variable_bound, bound or ()))
    default = parse_bound(default_bound) if default_bound is not None else None
    chunks = dict(map(_parse_chunk, chunk or ()))
    statics = [open_static(text) for text in static or ()]
    latent = codec if codec in LATENT else "hyperprior"
    if group is None and is_tempo(source):
        if statics or codec == "low-rank":
            raise RequestError("granules of TEMPO are compressed without --static and --codec low-rank")
        options = {"default_bound": default, "chunks": chunks, "tune": tune, "latent": latent}
        _compress_granule(source, target, bounds, overwrite=overwrite, **options)
        return
    with open_source(source, group=group) as dataset:
        plan = make_plan(
            dataset, bounds=bounds, default_bound=default, chunks=chunks, tune=tune, statics=statics,
            latent=latent,
        )  # fmt: skip
        cli_report.print_plan(err, plan, default)
        if codec == "low-rank" and _compress_low_rank(dataset, plan, target, overwrite=overwrite):
            return
        total = sum(variable.values for variable in plan)
        with progress_bar(err, "writing", total) as advance:
            write(dataset, plan, target, overwrite=overwrite, command=_command(), progress=advance)
    cli_report.print_written(out, plan, target)


def _compress_granule(source: Path, target: Path, bounds: dict[str, Any], *, overwrite: bool, **options: Any) -> None:
    """Write a granule's groups as they lie; flagged values too, as the flags that say so are kept."""
    from adiabat.formats.archive import write_groups
    from adiabat.formats.granules import oddities, plan_groups, whole_plan
    from adiabat.formats.sources.tempo import open_tempo

    with open_tempo(source, bands=(), channels=None, flags=()) as tree:
        for oddity in oddities(tree):
            err.print(f"note: {oddity}")
        groups = plan_groups(tree, bounds=bounds, **options)
        plan = whole_plan(groups)
        cli_report.print_plan(err, plan, options["default_bound"])
        with progress_bar(err, "writing", sum(variable.values for variable in plan)) as advance:
            write_groups(groups, target, overwrite=overwrite, command=_command(), progress=advance)
    cli_report.print_written(out, plan, target)


def _compress_low_rank(dataset: Any, plan: list[Any], target: Path, *, overwrite: bool) -> bool:
    """Write variables as factors where that takes fewer bytes; False, and nothing written, where it never does."""
    from adiabat.formats.cli_fill import choose_low_rank
    from adiabat.formats.low_rank_write import write_dataset

    with progress_bar(err, "fitting", None) as advance:
        chosen = choose_low_rank(dataset, plan, note=err.print, tick=lambda *_: advance("factors", 1))
    if not chosen:
        return False
    names = {each.name for each in chosen}
    rest = [variable for variable in plan if variable.name not in names]
    with progress_bar(err, "writing", sum(variable.values for variable in rest)) as advance:
        kept = dataset.drop_vars(names)
        write_dataset(kept, rest, chosen, target, overwrite=overwrite, command=_command(), progress=advance)
    cli_report.print_written(out, rest, target)
    return True


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
    from adiabat.formats.archive import check_target
    from adiabat.formats.policy import parse_bound

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
                cube, target, rank=wanted, bound=limit, journal=journal, overwrite=overwrite, command=_command(),
                progress=err.print, tick=lambda *_: advance("factors", 1), **options,
            )  # fmt: skip
    except ImportError as error:
        raise RuntimeError(f"filling needs {error.name}: pip install 'adiabat[fill]'") from error
    except StoppedError:
        if journal.exists():
            err.print(f"finished scores are kept in {journal}: the same command goes on from there")
        raise
    out.print("\n".join(cli_fill.describe(written, target)))


@app.command()
def verify(source: Source, store: Store, group: Group = None) -> None:
    """Compare every value of SRC with the store DST; exit 1 where a bound is broken."""
    from adiabat.formats.verify import count_values
    from adiabat.formats.verify import verify as compare

    total = count_values(source, group=group)
    with progress_bar(err, "comparing", total) as advance:
        checks = compare(source, store, group=group, progress=advance)
    cli_report.print_checks(out, checks)
    problems = [f"{check.name}: {check.problem}" for check in checks if check.problem]
    if problems:
        _fail("\n".join(problems), 1)


@app.command()
def inspect(store: Store) -> None:
    """Say, for every variable of DST, its codec, bound, ratio, bytes, and what it was predicted from."""
    from adiabat.formats.inventory import take_inventory

    rows = take_inventory(store)
    cli_report.print_low_rank(out, store)
    cli_report.print_inventory(out, rows)


def _parse_chunk(text: str) -> tuple[str, int]:
    dim, equals, size = text.partition("=")
    if not equals or not size.isdecimal() or int(size) < 1:
        raise RequestError(f"{text!r} is not a chunk length: write --chunk time=24")
    return dim, int(size)


def _command() -> str:
    return shlex.join(["adiabat", *sys.argv[1:]])


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
    except StoppedError:
        err.print("adiabat: stopped; nothing half-written is left")
        sys.exit(130)
    except (AdiabatError, OSError, RuntimeError, ImportError) as error:
        err.print(f"adiabat: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
