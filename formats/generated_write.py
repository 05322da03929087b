"""Write generated views: the coarse arrays and a recipe, or the generated values themselves; whole or not at all.

Stage: cli_generate -> generated, fine_grid -> **generated_write**. Coarse arrays are copied as they are stored, byte
for byte, where that is Zarr v3 in a folder; from elsewhere they are compressed without loss. Spec: `spec/generated.md`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from adiabat.codec.models import STORE_FOLDER
from adiabat.formats.blocks import Block, find_files, mark_files, open_stored, read_digest
from adiabat.formats.chunks import blocks
from adiabat.formats.fine_grid import fine_axes
from adiabat.formats.generated import RECIPE, SAMPLE, Recipe, attributes_of, coarse_name, stored_name
from adiabat.formats.generated_source import Coarse
from adiabat.formats.generated_view import GeneratedArray
from adiabat.formats.journal import Journal, Record, read_records, replace_file, write_records
from adiabat.formats.metadata import REQUEST, add_history, consolidate
from adiabat.formats.workspace import Workspace, check_target, in_place_of
from adiabat.formats.xarray_backend import quiet

__all__ = ["write_values", "write_view"]

Progress = Callable[[str, int], None]
"""Called with a variable's name and how many more of its values are generated; may raise to stop."""

NOTE = "adiabat"  # attribute of the root, which a file beside the store repeats
_NAMES = ("bounds", "coordinates", "grid_mapping", "cell_measures", "ancillary_variables", "climatology")


def write_view(
    coarse: Coarse,
    recipe: Recipe,
    target: str | Path,
    *,
    overwrite: bool = False,
    command: str = "adiabat.formats.generate",
) -> None:
    """Write the coarse arrays and the recipe; nothing is generated yet.

    Parameters
    ----------
    coarse : Coarse
    recipe : Recipe
    target : path
    overwrite : bool
        Whether a Zarr store there may be replaced.
    command : str
        For the ``history`` attribute.

    Raises
    ------
    RequestError
        If the place is taken.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> from adiabat.formats.generated_source import open_coarse
    >>> cells = simulate_field((2, 37, 72)).isel(lat=slice(1, -1))
    >>> _ = compress(cells, "coarse.zarr", default_bound={"abs": 0.1})
    >>> recipe = Recipe(model="ab" * 32, factor=4, shape=(35, 72), scale=1.0, samples=3)
    >>> write_view(open_coarse("coarse.zarr"), recipe, "view.zarr")
    >>> xr.open_dataset("view.zarr", engine="adiabat").temperature.shape  # reading values would need the model
    (3, 2, 140, 288)
    """
    with in_place_of(Path(target), overwrite=overwrite) as store:
        _write_coarse(coarse, store, {})
        array = zarr.open_array(store, path=coarse.name, mode="r+")
        array.attrs[RECIPE] = recipe.to_json()
        opened = 'xarray.open_dataset(store, engine="adiabat")'
        _finish(coarse, store, command, f"{coarse.name} is what is stored; {opened} generates fine values from it.")


def write_values(
    coarse: Coarse,
    recipe: Recipe,
    target: str | Path,
    *,
    overwrite: bool = False,
    restart: bool = False,
    command: str = "adiabat.formats.generate",
    progress: Progress | None = None,
) -> None:
    """Write generated values beside the coarse arrays; the same again goes on where it was stopped.

    Parameters
    ----------
    coarse, recipe, target, overwrite, command
        As of `write_view`.
    restart : bool
        Throw away what an earlier run left unfinished.
    progress : callable, optional
        See `Progress`.

    Raises
    ------
    RequestError
        If the place is taken, or was begun otherwise.
    """
    check_target(Path(target), overwrite=overwrite)
    space, told = Workspace(Path(target)), progress or (lambda *_: None)
    array = GeneratedArray(coarse.array.variable, recipe)
    regions = [
        Block("/", coarse.name, tuple(part.start for part in region), tuple(part.stop for part in region))
        for region in blocks(array.shape, array.chunks, at_once=1)
    ]
    with space.lock():
        try:
            if restart:
                space.clear()
            space.begin(_job(coarse, recipe, len(regions)), lambda store: _begin(coarse, array, store))
            records = _generate(array, regions, space.store, space.journal, told)
            write_records(space.store, records)
            stored = stored_name(coarse.name, recipe)
            _finish(coarse, space.store, command, f"{coarse.name} was generated from {stored} by a model.")
            space.put_in_place(overwrite=overwrite)
        except BaseException:
            if not space.journal.folder.is_dir():
                space.discard()  # there is nothing to go on from
            raise
        space.discard()


def _job(coarse: Coarse, recipe: Recipe, count: int) -> dict[str, Any]:
    """What tells this work from other work, and what `adiabat status` counts."""
    source = [str(coarse.source.absolute()), coarse.group, coarse.name, list(coarse.array.shape)]
    return {"recipe": recipe.to_json(), "source": source, "arrays": {coarse.name: {"blocks": count}}}


def _begin(coarse: Coarse, array: GeneratedArray, store: Path) -> None:
    """Make the store without generated values."""
    rows, columns = (str(dim) for dim in coarse.array.dims[-2:])
    away = {coarse.name: stored_name(coarse.name, array.recipe)}
    fine = {}
    if array.recipe.kind != "texture":  # which stays on the grid of what is stored
        away |= {dim: coarse_name(dim) for dim in (rows, columns)}
        fine = fine_axes(coarse.array, (rows, columns), array.recipe.factor)
    _write_coarse(coarse, store, away)
    if array.is_ensemble:
        fine[SAMPLE] = xr.Variable(SAMPLE, np.arange(array.shape[0]), {"long_name": "member of the ensemble"})
    if fine:
        with quiet():
            xr.Dataset(coords=fine).to_zarr(store, mode="a", zarr_format=3, consolidated=False)
    attributes = attributes_of(coarse.name, coarse.array.attrs, array.recipe)
    scalars = [str(name) for name in coarse.array.coords if not coarse.array.coords[name].dims]
    plain = json.loads(json.dumps(attributes, default=_plain))
    zarr.open_group(store, mode="r+").create_array(
        coarse.name,
        shape=array.shape,
        dtype=array.dtype,
        chunks=array.chunks,
        compressors=BloscCodec(cname="zstd", shuffle="bitshuffle"),
        fill_value=np.nan,
        dimension_names=array.dims,
        attributes=plain | ({"coordinates": " ".join(scalars)} if scalars else {}),
    )


def _plain(value: Any) -> Any:
    """What JSON has for a NumPy value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _generate(
    array: GeneratedArray, regions: Sequence[Block], store: Path, journal: Journal, told: Progress
) -> list[Record]:
    """Generate those blocks whose files are not as a record says."""
    if not regions:
        return []
    stored, records = open_stored(store, regions[0].array), journal.read()
    for block in regions:
        record = records.get(block.key)
        files = find_files(store, stored, block)
        if record is not None and read_digest(files) == (record.written_bytes, record.digest):
            told(block.name, block.values)
            continue
        indices = [np.arange(part.start, part.stop) for part in block.region]
        values = array.outer(indices, tick=partial(told, block.name))
        stored[block.region] = values
        records[block.key] = _record(block, values, files)
        journal.keep(records[block.key])
    return [records[block.key] for block in regions]


def _record(block: Block, values: NDArray[Any], files: Sequence[Path]) -> Record:
    """What was written; there is nothing that it could be compared with."""
    size, digest = read_digest(files)
    return Record(block.key, block.stop, size, digest, values.size, 0, 0.0, 0.0, 0.0, 0.0, 0.0, mark_files(files))


def _write_coarse(coarse: Coarse, store: Path, names: Mapping[str, str]) -> None:
    """Write the array and its coordinates, some under other names."""
    folder = coarse.folder
    if folder is None:
        from adiabat.formats.archive import compress

        there = {*coarse.dataset.variables, *coarse.dataset.dims}
        renamed = coarse.dataset.rename({old: new for old, new in names.items() if old in there})
        name = names.get(coarse.name, coarse.name)
        for key in (NOTE, RECIPE):  # of a bound against something else, or of another view
            renamed[name].attrs.pop(key, None)
        compress(renamed, store, bounds={name: "lossless"})
        return
    zarr.create_group(store, zarr_format=3)
    for each in coarse.dataset.variables:
        _copy(folder, str(each), store, names)
    if (coarse.source / STORE_FOLDER).is_dir():  # models and static fields that decoding needs
        shutil.copytree(coarse.source / STORE_FOLDER, store / STORE_FOLDER)


def _copy(folder: Path, name: str, store: Path, names: Mapping[str, str]) -> None:
    """Copy one array as it lies on disk: no chunk is decoded."""
    new = names.get(name, name)
    shutil.copytree(folder / name, store / new)
    metadata = json.loads((store / new / "zarr.json").read_text())
    metadata["dimension_names"] = [names.get(dim, dim) for dim in metadata.get("dimension_names") or ()] or None
    metadata["attributes"].pop(RECIPE, None)  # of another view
    for key in _NAMES:
        if key in metadata["attributes"]:
            words = str(metadata["attributes"][key]).split(" ")
            metadata["attributes"][key] = " ".join(names.get(word, word) for word in words)
    replace_file(store / new / "zarr.json", json.dumps(metadata, indent=2))
    records = read_records(folder, [name]).values()  # they name the array
    write_records(store, [replace(each, block=f"{new}/{each.block.rpartition('/')[2]}") for each in records])


def _finish(coarse: Coarse, store: Path, command: str, about: str) -> None:
    """Say in the root what the store holds, and gather metadata."""
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    kept = {str(key): value for key, value in coarse.dataset.attrs.items() if key not in (REQUEST, "coordinates")}
    codecs = root.attrs.get(NOTE, kept.get(NOTE))  # what reading needs
    history = add_history(kept.get("history"), command)
    note = " ".join([*([str(codecs)] if codecs else ()), about, "Generated values are no data."])
    root.attrs.update(json.loads(json.dumps(kept, default=_plain)) | {"history": history, NOTE: note})
    consolidate(store)
