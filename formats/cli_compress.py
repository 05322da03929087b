"""The commands that write archives: ``adiabat compress``, and ``adiabat status`` that says how far one has come."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adiabat.formats import cli_tables
from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import StoppedError, progress_bar
from adiabat.formats.errors import RequestError

if TYPE_CHECKING:
    from adiabat.formats.engine import Run
    from adiabat.formats.plan_groups import Groups
    from adiabat.formats.sources import Source

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SRC...", help="NetCDF, GRIB or Zarr: files, folders, patterns, URLs; several are one series."
    ),
]
Store = Annotated[Path, typer.Argument(metavar="DST", help="The Zarr store.")]
LAYOUTS = {"root": "", "child": "compressed"}


def compress(
    sources: Sources,
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
        str | None,
        typer.Option(
            metavar="abs:0.1", help="For float variables of two or more dimensions that nothing else is said of."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="recommended|ensemble-spread|FILE.toml", help="Bounds by the kind of variable."),
    ] = None,
    chunk: Annotated[list[str] | None, typer.Option(metavar="DIM=N", help="Chunk length along one dimension.")] = None,
    shard: Annotated[
        list[str] | None, typer.Option(metavar="DIM=N", help="Length of a file along one dimension: whole chunks.")
    ] = None,
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
    group: Annotated[str | None, typer.Option(help="The group inside SRC that holds the variables.")] = None,
    unreadable: Annotated[
        str, typer.Option(metavar="stop|skip", help="What to do about a file of many that cannot be read.")
    ] = "stop",
    layout: Annotated[
        str,
        typer.Option(
            metavar="root|child",
            help="child: compressed arrays in a group of their own, beside which anybody can read.",
        ),
    ] = "root",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, with sizes and times from a sample; write nothing.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes on this machine; 1: this one alone.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask cluster that does the work.")
    ] = None,
    part: Annotated[
        str, typer.Option(metavar="K/N", help="Do one share of the work; whoever is last finishes.")
    ] = "1/1",
    memory: Annotated[
        float, typer.Option(metavar="GB", help="Of the source, that each worker may read at once.")
    ] = 1.0,
    retries: Annotated[int, typer.Option(help="How often a block that failed is tried again.")] = 2,
    append: Annotated[bool, typer.Option("--append", help="Add the times that DST lacks.")] = False,
    embed_model: Annotated[
        bool, typer.Option("--embed-model", help="Put the models that reading needs into DST.")
    ] = False,
    allow_generated: Annotated[
        bool, typer.Option("--allow-generated", help="Store also what a model generated; it keeps its marks.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store at DST.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what an earlier run left unfinished.")] = False,
) -> None:
    """Compress SRC into the Zarr store DST; the same command again goes on where it was stopped.

    Coordinates, integers and everything else that is not a float field are kept exactly.
    """
    run = _run(workers, scheduler, retries, memory, part, overwrite=overwrite, restart=restart)
    wishes = _wishes(bound, default_bound, policy, chunk, shard, tune, static, codec, layout)
    wishes["allow_generated"] = allow_generated
    if codec == "low-rank" and (static or tune != "bytes" or append or dry_run or layout != "root"):
        raise RequestError(
            "--codec low-rank knows neither --static, --tune rmse, --append, --dry-run nor --layout child"
        )
    if any(Path(each).resolve() == target.resolve() for each in sources):
        raise RequestError("SRC and DST are the same")
    source, groups = _plan(sources, group, unreadable, wishes)
    if dry_run:
        _print_dry_run(groups, wishes, run)
    elif codec == "low-rank":
        _compress_low_rank(groups, target, wishes["default_bound"], overwrite=overwrite)
    else:
        _archive(source, groups, target, wishes["default_bound"], run, append=append)
        if embed_model and not target.with_name(f"{target.name}.partial").exists():
            from adiabat.formats.store_models import embed_models

            embed_models(target)


def _run(
    workers: int | None,
    scheduler: str | None,
    retries: int,
    memory: float,
    part: str,
    *,
    overwrite: bool,
    restart: bool,
) -> Run:
    from adiabat.formats.engine import Run, Workers

    number, slash, parts = part.partition("/")
    if not slash or not number.isdecimal() or not parts.isdecimal():
        raise RequestError(f"{part!r} is not a share of the work: write --part 3/20")
    return Run(
        Workers(workers, scheduler, retries, int(memory * 1e9)),
        (int(number), int(parts)),
        overwrite=overwrite,
        restart=restart,
    )


def _wishes(
    bound: list[str] | None, default_bound: str | None, policy: str | None, chunk: list[str] | None,
    shard: list[str] | None, tune: str, static: list[str] | None, codec: str | None, layout: str,
) -> dict[str, Any]:  # fmt: skip
    """What was asked of the plan, read."""
    from adiabat.formats.plan import LATENT
    from adiabat.formats.policies import Policy
    from adiabat.formats.policy import parse_bound, parse_variable_bound
    from adiabat.formats.static import open_static

    if codec not in (None, "pyramid", "low-rank", *LATENT):
        raise RequestError(
            f"{codec!r} is not a codec: write --codec hyperprior, --codec vq, --codec hvae or --codec low-rank"
        )
    if layout not in LAYOUTS:
        raise RequestError(f"{layout!r} is not a layout: write --layout root or --layout child")
    return {
        "bounds": dict(map(parse_variable_bound, bound or ())),
        "default_bound": None if default_bound is None else parse_bound(default_bound),
        "policy": None if policy is None else Policy.load(policy),
        "chunks": dict(_parse_size(each, "chunk") for each in chunk or ()),
        "shards": dict(_parse_size(each, "shard") for each in shard or ()),
        "statics": [open_static(text) for text in static or ()],
        "latent": codec if codec in LATENT else "hyperprior",
        "tune": tune,
        "child": LAYOUTS[layout],
    }


def _plan(sources: list[str], group: str | None, unreadable: str, wishes: dict[str, Any]) -> tuple[Source, Groups]:
    """Open what is given and plan it, saying aloud what is odd."""
    from adiabat.formats.plan_groups import plan_groups
    from adiabat.formats.sources import find_source

    if unreadable not in ("stop", "skip"):
        raise RequestError(f"{unreadable!r} is nothing to do about unreadable files: write --unreadable stop or skip")
    source, notes = find_source(sources, group=group, unreadable=unreadable)  # type: ignore[arg-type]
    datasets = source.open()
    for dataset in datasets.values() if wishes["policy"] is not None else ():
        notes += wishes["policy"].notes(dataset)
    for note in notes:
        err.print(f"note: {note}")
    return source, plan_groups(datasets, **wishes)


def _archive(source: Source, groups: Groups, target: Path, default_bound: Any, run: Run, *, append: bool) -> None:
    from adiabat.formats.append import append_times
    from adiabat.formats.archive import archive
    from adiabat.formats.engine import BlockError
    from adiabat.formats.plan_groups import whole_plan

    plan = whole_plan(groups)
    cli_tables.print_plan(err, plan, default_bound)
    write = append_times if append else archive
    try:
        with progress_bar(err, "writing", sum(variable.values for variable in plan)) as advance:
            whole = write(source, groups, target, run=run, command=command(), progress=advance)
    except (StoppedError, BlockError, OSError) as error:
        raise _with_advice(error, target) from error
    if whole:
        cli_tables.print_written(out, plan, target)
    else:
        out.print(f"this share is done; others are not: adiabat status {target}")


def _with_advice(error: Exception, target: Path) -> Exception:
    """Say what is kept of a run that was stopped or failed."""
    from adiabat.formats.status import describe_progress

    done = describe_progress(target)
    if done is None:
        return error
    return type(error)(f"{error}{': ' if str(error) else ''}{done}; the same command goes on from there")


def _print_dry_run(groups: Groups, wishes: dict[str, Any], run: Run) -> None:
    """Print the plan with estimates, and what the named policies would come to."""
    from adiabat.formats.blocks import blocks_of
    from adiabat.formats.cli_plan import print_dry_run
    from adiabat.formats.estimate import estimate
    from adiabat.formats.plan_groups import plan_groups
    from adiabat.formats.policies import Policy

    datasets = {place: dataset for place, (dataset, _) in groups.items()}
    asked = {**wishes, "bounds": {}, "default_bound": None}
    others = {name: plan_groups(datasets, **{**asked, "policy": Policy.load(name)}) for name in Policy.names()}
    blocks = [block for place, (_, plan) in groups.items() for each in plan for block in blocks_of(place, each)]
    with progress_bar(err, "trying", None) as advance:
        tried = estimate(
            groups, others=others, workers=run.workers.processes(blocks), progress=lambda name: advance(name, 0)
        )
    print_dry_run(out, tried)


def _compress_low_rank(groups: Groups, target: Path, default_bound: Any, *, overwrite: bool) -> None:
    """Write variables as factors where that takes fewer bytes, and the others as always."""
    from adiabat.formats.archive import write
    from adiabat.formats.cli_fill import choose_low_rank
    from adiabat.formats.low_rank_write import write_dataset
    from adiabat.formats.workspace import check_target

    if set(groups) != {"/"}:
        raise RequestError("--codec low-rank is for sources without groups")
    check_target(target, overwrite=overwrite)
    dataset, plan = groups["/"]
    cli_tables.print_plan(err, plan, default_bound)
    with progress_bar(err, "fitting", None) as advance:
        chosen = choose_low_rank(dataset, plan, note=err.print, tick=lambda *_: advance("factors", 1))
    names = {each.name for each in chosen}
    rest = [variable for variable in plan if variable.name not in names]
    with progress_bar(err, "writing", sum(variable.values for variable in rest)) as advance:
        options: dict[str, Any] = {"overwrite": overwrite, "command": command(), "progress": advance}
        if chosen:
            write_dataset(dataset.drop_vars(names), rest, chosen, target, **options)
        else:
            write(dataset, plan, target, **options)
    cli_tables.print_written(out, rest, target)


def status(target: Store) -> None:
    """Say how far the archive DST has come: blocks, bytes, speed, who writes it, and what is damaged."""
    from adiabat.formats.status import take_status

    seen = take_status(target)
    cli_tables.print_status(out, seen, target)
    if seen.stands and seen.damaged:
        raise typer.Exit(1)


def _parse_size(text: str, what: str) -> tuple[str, int]:
    dim, equals, size = text.partition("=")
    if not equals or not size.isdecimal() or int(size) < 1:
        raise RequestError(f"{text!r} is not a {what} length: write --{what} time=24")
    return dim, int(size)


def command() -> str:
    """As it was typed."""
    return shlex.join(["adiabat", *sys.argv[1:]])
