"""The verb ``adiabat generate``: from a coarse array to fine ones that a model invents, and that say so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adiabat.formats.cli_console import err, out
from adiabat.formats.cli_progress import StoppedError, progress_bar
from adiabat.formats.errors import RequestError

if TYPE_CHECKING:
    from rich.console import Console

    from adiabat.formats.generated import Recipe
    from adiabat.formats.generated_source import Coarse


def generate(
    source: Annotated[Path, typer.Argument(metavar="COARSE", help="The coarse array: NetCDF, GRIB or Zarr.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The Zarr store to make.")],
    variable: Annotated[str | None, typer.Option(metavar="VAR", help="Which, if COARSE holds several.")] = None,
    samples: Annotated[int, typer.Option(metavar="N", help="Members of the ensemble.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the noise: the same seed gives the same samples.")] = 0,
    factor: Annotated[int | None, typer.Option(metavar="4|8", help="Fine cells along a side of a coarse one.")] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Evaluations of the network for each sample.")] = 20,
    model: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Instead of the shipped one.")] = None,
    mean: Annotated[bool, typer.Option("--mean", help="The model's mean: smooth, and without noise.")] = False,
    texture: Annotated[
        bool, typer.Option("--texture", help="COARSE is fine, with a bound: restore texture within twice that bound.")
    ] = False,
    persistence: Annotated[
        str, typer.Option(metavar="0|N|frozen", help="Along the first axis: frames over which noise is correlated.")
    ] = "0",
    like: Annotated[
        Path | None,
        typer.Option(metavar="FINE", help="Some fine fields of VAR, of any time: samples get as rough as these."),
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Store COARSE and the recipe alone; values are generated when read.")
    ] = False,
    embed_model: Annotated[bool, typer.Option("--embed-model", help="Put the model into OUT, too.")] = False,
    group: Annotated[str | None, typer.Option(help="The group inside COARSE that holds the variable.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store at OUT.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what an earlier run left unfinished.")] = False,
) -> None:
    """Generate a plausible fine field for a coarse one: OUT says of every value that it is no data.

    Means over blocks of the generated field equal the coarse one. What lies between them is invented, and differs from
    sample to sample. The same command goes on where it was stopped.
    """
    from adiabat.codec import downscaler_model
    from adiabat.formats.cli_compress import command
    from adiabat.formats.generated_source import make_recipe, open_coarse, open_like
    from adiabat.formats.generated_write import write_view
    from adiabat.formats.workspace import check_target

    check_target(target, overwrite=overwrite)
    if source.resolve() == target.resolve():
        raise RequestError("COARSE and OUT are the same")
    kind = _kind(samples, mean=mean, texture=texture)
    coarse = open_coarse(source, variable, group)
    network = downscaler_model.find_downscaler(model)
    asked = {"kind": kind, "seed": seed, "samples": samples, "steps": steps, "persistence": _persistence(persistence)}
    fine = None if like is None else open_like(like, coarse.name)
    with progress_bar(err, "reading", coarse.array.size) as advance:
        recipe = make_recipe(coarse, network, factor, asked, like=fine, progress=advance)
    if view:
        write_view(coarse, recipe, target, overwrite=overwrite, command=command())
    else:
        _write_values(coarse, recipe, target, overwrite=overwrite, restart=restart)
    if embed_model:
        from adiabat.formats.store_models import embed_models

        embed_models(target, [str(model) if model and Path(model).is_file() else recipe.model])
    elif view and model is not None and not _is_known(recipe.model):
        err.print(f"note: readers need the model: adiabat models add {model}, or --embed-model")
    out.print("\n".join(_describe(coarse, recipe, target, view=view, embedded=embed_model)))


def _write_values(coarse: Coarse, recipe: Recipe, target: Path, *, overwrite: bool, restart: bool) -> None:
    """Generate all there is, with a bar; say what is kept when stopped."""
    from adiabat.formats.cli_compress import command
    from adiabat.formats.generated_write import write_values
    from adiabat.formats.status import describe_progress

    total = recipe.samples * math.prod(coarse.array.shape[:-2]) * math.prod(recipe.fine_shape)
    options: dict[str, Any] = {"overwrite": overwrite, "restart": restart, "command": command()}
    try:
        with progress_bar(err, "generating", total) as advance:
            write_values(coarse, recipe, target, progress=advance, **options)
    except StoppedError:
        done = describe_progress(target)
        raise (StoppedError(f"{done}; the same command goes on from there") if done else StoppedError) from None


def _is_known(sha256: str) -> bool:
    """Whether this machine finds the model by its hash."""
    from adiabat.codec.errors import ModelNotFoundError
    from adiabat.codec.package import find

    try:
        find(sha256)
    except ModelNotFoundError:
        return False
    return True


def _kind(samples: int, *, mean: bool, texture: bool) -> str:
    if mean and texture:
        raise RequestError("expected --mean or --texture, got both")
    if samples != 1 and (mean or texture):
        raise RequestError(f"--samples {samples} is for an ensemble, not for {'--mean' if mean else '--texture'}")
    return "mean" if mean else "texture" if texture else "samples"


def _persistence(text: str) -> int | str:
    from adiabat.formats.generated import FROZEN

    if text != FROZEN and not text.isdecimal():
        raise RequestError(f"{text!r} is no persistence: write --persistence with a number of frames, or frozen")
    return text if text == FROZEN else int(text)


def _describe(coarse: Coarse, recipe: Recipe, target: Path, *, view: bool, embedded: bool) -> list[str]:
    """Say what came of it, in lines."""
    from adiabat.formats.generated import NO_BOUND, stored_name

    sizes = " x ".join(map(str, recipe.fine_shape))
    members = "1 sample" if recipe.samples == 1 else f"{recipe.samples} samples"
    what = {"samples": f"{members} of seed {recipe.seed}", "mean": "the model's mean",
            "texture": f"texture of seed {recipe.seed}"}[recipe.kind]  # fmt: skip
    held = "no bound for single values" if recipe.promised == NO_BOUND else f"bound {recipe.promised}"
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    stored = stored_name(coarse.name, recipe)
    models = ', models="store"' if embedded else ""
    opened = f'xr.open_dataset("{target}", engine="adiabat"{models})' if view else f'xr.open_zarr("{target}")'
    return [
        f"{coarse.name}: {what}, {sizes}, {held}; model {recipe.model[:16]}",
        f"{target}: {size / 1e6:.3f} MB{', values are generated when they are read' if view else ''}",
        f"read it with {opened}: {coarse.name} is marked as generated, {stored} is what is stored",
    ]


def print_generated(console: Console, store: Path) -> None:
    """Print the variables that are generated, or were."""
    import zarr
    from rich.table import Table

    from adiabat.formats.generated import MARK, RECIPE, Recipe
    from adiabat.formats.xarray_backend import quiet

    table = Table("not data", "how", "factor", "samples", "steps", "seed", "bound", "model", box=None)
    with quiet():
        members = sorted(zarr.open_group(store, mode="r", use_consolidated=False).members(max_depth=None))
    for name, member in members:
        text = member.attrs.get("adiabat_recipe" if MARK in member.attrs else RECIPE)
        if text is not None:
            recipe = Recipe.from_json(str(text))
            how = recipe.kind if MARK in member.attrs else f"{recipe.kind}, when read"
            figures = (recipe.factor, recipe.samples, recipe.steps, recipe.seed)
            table.add_row(name, how, *map(str, figures), recipe.promised, recipe.model[:16])
    if table.row_count:
        console.print(table)
