"""The verbs `adiabat models` and `adiabat train`: what packages there are, and how one is made."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adiabat.codec.errors import ModelMismatchError
from adiabat.formats.errors import RequestError

models_app = typer.Typer(no_args_is_help=True, help="List, show or add model packages and static fields.")
train_app = typer.Typer(no_args_is_help=True, help="Train a model package (needs the extra 'train').")
out = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)


@models_app.command("list")
def list_packages() -> None:
    """Every package, and every static field, that is found, in the order of the search."""
    from adiabat.codec import models

    table = Table("name", "SHA-256", "bytes", "file")
    for path in models.packages():
        try:
            model = models.load(path.read_bytes())
        except ModelMismatchError as error:
            table.add_row("broken", str(error), f"{path.stat().st_size:,}", str(path))
            continue
        table.add_row(str(model.manifest.get("name", "?")), model.sha256[:16], f"{path.stat().st_size:,}", str(path))
    for path in (path for folder in models.folders() for path in sorted(folder.glob("*.npy"))):
        table.add_row("static field", path.stem[:16], f"{path.stat().st_size:,}", str(path))
    out.print(table)


@models_app.command("show")
def show(name: Annotated[str | None, typer.Argument(help="Name, SHA-256 or file.")] = None) -> None:
    """What a package says of itself; the one used by default if none is named."""
    from adiabat.codec import models

    model = models.find_model(name)
    out.print(f"SHA-256 {model.sha256}")
    out.print(json.dumps({key: value for key, value in model.manifest.items() if key != "nets"}, indent=1))


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


@train_app.command("pyramid")
def train_pyramid(
    data: Annotated[list[Path], typer.Option(metavar="DIR", help="Folder of NetCDF, GRIB or NumPy files; repeatable.")],
    target: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The package to write.")],
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Skip files whose path contains it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Of each network; the recipe's if not given.")] = None,
    threads: Annotated[int, typer.Option(help="Of torch; the result depends on it in the last bits.")] = 1,
) -> None:
    """Train the networks and tables of Pyramid; a run that was stopped goes on from its last round."""
    try:
        from adiabat.training import train
    except ImportError as error:
        raise RuntimeError(f"training needs {error.name}: pip install 'adiabat[train,io]'") from error
    recipe = train.Config(seed=seed, threads=threads)
    config = recipe if steps is None else replace(recipe, steps=steps)
    try:
        sha256 = train.train_to(target, data, config, leave_out=tuple(leave_out or ()), progress=out.print)
    except ValueError as error:
        raise RequestError(str(error)) from error
    out.print(f"{target}  SHA-256 {sha256}")
