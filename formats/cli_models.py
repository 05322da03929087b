"""The verbs `adiabat models` and `adiabat train`: what packages there are, and how one is made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from adiabat.formats.cli_console import out
from adiabat.formats.errors import RequestError

models_app = typer.Typer(no_args_is_help=True, help="List, show or add model packages and static fields.")
train_app = typer.Typer(no_args_is_help=True, help="Train a model package (needs the extra 'train').")


AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@models_app.command("list")
def list_packages(as_json: AsJson = False) -> None:
    """Every package, and every static field, that is found: on what it was trained, what it gained, where it is."""
    from adiabat.formats import cli_zoo, model_zoo

    found = model_zoo.entries()
    if as_json:
        typer.echo(json.dumps([entry.as_dict() for entry in found], indent=1))
    else:
        cli_zoo.print_zoo(out, found)


@models_app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="Name, SHA-256 or file.")] = None, as_json: AsJson = False
) -> None:
    """The card of a package and what it says of itself; of the one used by default if none is named."""
    from adiabat.codec.models import DEFAULT
    from adiabat.codec.package import check, find
    from adiabat.formats import cli_zoo, model_zoo

    model = check(find(DEFAULT if name is None else name))
    manifest = {key: value for key, value in model.manifest.items() if key != "nets"}
    if as_json:
        typer.echo(json.dumps({"sha256": model.sha256, **manifest}, indent=1))
        return
    cli_zoo.print_card(out, model.sha256, model_zoo.card_of(model.sha256))
    typer.echo(json.dumps(manifest, indent=1))


@models_app.command("add")
def add(
    source: Annotated[
        Path, typer.Argument(metavar="FILE|STORE", help="A model package, a static field (.npy), or a store with some.")
    ],
) -> None:
    """Check what decoding needs and keep a copy in the user's cache, where it is found."""
    from adiabat.codec import models

    for path in models.add_store(source) if source.is_dir() else [models.add(source)]:
        out.print(str(path))


Data = Annotated[
    list[Path],
    typer.Option("--data", metavar="DIR|STORE", help="Folder of files, or a Zarr store; repeatable."),
]
Target = Annotated[Path, typer.Option("--out", metavar="MODEL", help="The package to write.")]
LeaveOut = Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Skip files whose path contains it.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
Steps = Annotated[int | None, typer.Option(help="Of each network; the recipe's if not given.")]
Threads = Annotated[int, typer.Option(help="Of torch; the result depends on it in the last bits.")]


@train_app.command("pyramid")
def train_pyramid(
    data: Data, target: Target, leave_out: LeaveOut = None, seed: Seed = 0, steps: Steps = None, threads: Threads = 1
) -> None:
    """Train the networks and tables of Pyramid; a run that was stopped goes on from its last round."""
    train = _training("train")
    config = _recipe(train.Config(seed=seed, threads=threads), steps)
    _train(train.train_to, target, data, config, leave_out)


@train_app.command("hyperprior")
def train_hyperprior(
    data: Data, target: Target, leave_out: LeaveOut = None, seed: Seed = 0, steps: Steps = None, threads: Threads = 1
) -> None:
    """Train the networks and tables of Hyperprior; a run that was stopped goes on from its last round."""
    train = _training("subband_train")
    config = _recipe(train.SubbandConfig(seed=seed, threads=threads), steps)
    _train(train.train_hyperprior, target, data, config, leave_out)


@train_app.command("vq")
def train_vq(
    data: Data,
    target: Target,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
    steps: Steps = None,
    threads: Threads = 1,
    kind: Annotated[str, typer.Option(metavar="vqvae|fsq|vqgan", help="What kind of codebook.")] = "vqvae",
    device: Annotated[str, typer.Option(help="cpu, or as torch names it, such as cuda.")] = "cpu",
) -> None:
    """Train the codebooks, networks and tables of VQ; a run that was stopped goes on."""
    train = _training("vq_train")
    config = _checked(_training("latent_config").LatentConfig, kind=kind, seed=seed, threads=threads, device=device)

    def run(target: Path, data: list[Path], config: Any, **options: Any) -> str:
        return str(train.train_vq(data, target, config, **options))

    _train(run, target, data, _recipe(config, steps), leave_out)


@train_app.command("hvae")
def train_hvae(
    target: Target,
    data: Annotated[
        list[Path] | None, typer.Option("--data", metavar="GRANULE", help="A granule of TEMPO_RAD_L1; repeatable.")
    ] = None,
    simulate: Annotated[int, typer.Option(metavar="N", help="Tiles to simulate where no granule is given.")] = 0,
    seed: Seed = 0,
    steps: Steps = None,
    threads: Threads = 1,
    full: Annotated[bool, typer.Option("--full", help="The paper's widths; needs a GPU.")] = False,
    device: Annotated[str, typer.Option(help="cpu, or as torch names it, such as cuda.")] = "cpu",
) -> None:
    """Train the networks, the prior and the tables of HVAE; a run that was stopped goes on."""
    train, models = _training("hvae_train"), _training("hvae_config")
    config = replace(models.FULL if full else models.SMALL, seed=seed, threads=threads, device=device)

    def run(target: Path, data: list[Path], config: Any, *, leave_out: object, **options: Any) -> str:
        return str(train.train_hvae(data, target, config, simulate=simulate, **options))

    _train(run, target, data or [], _recipe(config, steps), None)


@train_app.command("downscale")
def train_downscale(
    data: Data,
    target: Target,
    leave_out: LeaveOut = None,
    seed: Seed = 0,
    steps: Steps = None,
    threads: Threads = 1,
    record: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Where the encoder learns, if not on the same folders; repeatable."),
    ] = None,
    encoder: Annotated[
        str, typer.Option(metavar="frozen|fine-tuned|scratch", help="What becomes of it afterwards.")
    ] = "frozen",
    force: Annotated[bool, typer.Option("--force", help="Although its record is of another domain.")] = False,
    device: Annotated[str, typer.Option(help="cpu, or as torch names it, such as cuda.")] = "cpu",
) -> None:
    """Train the networks of the generated view (`adiabat generate`); a run that was stopped goes on."""
    train, models = _training("downscale"), _training("downscale_config")
    config = _checked(models.DownscaleConfig, encoder=encoder, seed=seed, threads=threads, device=device)

    def run(target: Path, data: list[Path], config: Any, **options: Any) -> str:
        return str(train.train_downscale(data, target, config, record=record or (), force=force, **options))

    _train(run, target, data, _recipe(config, steps), leave_out)


def _training(name: str) -> Any:
    """A module of training, which needs what only the extra brings."""
    try:
        return import_module(f"adiabat.training.{name}")
    except ImportError as error:
        raise RuntimeError(f"training needs {error.name}: pip install 'adiabat[train,io]'") from error


def _recipe(recipe: Any, steps: int | None) -> Any:
    """The shipped recipe, or a shorter or longer one."""
    return recipe if steps is None else _checked(replace, recipe, steps=steps)


def _checked(make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Make a recipe; RequestError where it makes no sense."""
    try:
        return make(*arguments, **options)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _train(run: Callable[..., str], target: Path, data: list[Path], config: Any, leave_out: list[str] | None) -> None:
    """Run a training to its end and say what it made."""
    try:
        sha256 = run(target, data, config, leave_out=tuple(leave_out or ()), progress=out.print)
    except ValueError as error:
        raise RequestError(str(error)) from error
    out.print(f"{target}  SHA-256 {sha256}")
