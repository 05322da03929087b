"""What a store says of itself, checked: metadata that can be read and agree, and models that are what their names say.

Stage: under `integrity`. Spec: `spec/archive.md`, "Checking".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import zarr

from adiabat.codec.errors import AdiabatError
from adiabat.codec.models import STORE_FOLDER, STORE_MODELS
from adiabat.formats.blocks import Array
from adiabat.formats.checksums import sum_file
from adiabat.formats.errors import first_line
from adiabat.formats.generated import RECIPE, recipes_of
from adiabat.formats.journal import RECORDS
from adiabat.formats.low_rank_layout import MARKER

__all__ = ["array_paths", "check_metadata", "open_anyhow"]

GATHERED = "consolidated_metadata"
Problem = tuple[str, str]


def array_paths(store: Path, within: str = "") -> Iterator[str]:
    """Paths of arrays as the folders have them, which damaged metadata of groups does not hide."""
    folder = store / within
    document = next((folder / name for name in (".zarray", "zarr.json") if (folder / name).is_file()), None)
    if (document is not None and _is_array(document)) or (folder / RECORDS).is_file():
        yield within
        return
    for each in sorted(folder.iterdir()):
        if each.is_dir() and each.name != STORE_FOLDER:
            yield from array_paths(store, f"{within}/{each.name}".strip("/"))


def _is_array(document: Path) -> bool:
    """Whether metadata are of an array; damaged ones are where chunks lie beside them."""
    if document.name == ".zarray":
        return True
    try:
        return bool(json.loads(document.read_bytes())["node_type"] == "array")
    except (ValueError, KeyError, TypeError, RecursionError):
        return (document.parent / "c").exists()


def open_anyhow(store: Path, name: str) -> tuple[Array | None, str]:
    """An array by its own metadata, or by the consolidated ones if these are damaged, and what is wrong with them."""
    try:
        return zarr.open_array(store, path=name, mode="r"), ""
    except Exception as error:  # whatever codecs and data types of others make of their metadata
        problem = f"the array cannot be opened: {first_line(error)}"
    try:
        opened = zarr.open_group(store, mode="r", use_consolidated=True)[name]
    except Exception:
        return None, problem
    return (opened if isinstance(opened, zarr.Array) else None), problem


def check_metadata(store: Path) -> Iterator[Problem]:
    """Say what is wrong with groups: their metadata, low-rank variables, recipes of generated views, models."""
    documents = {file.parent: _read(file) for file in _documents(store)}
    for folder, document in documents.items():
        key = (folder / "zarr.json").relative_to(store).as_posix()
        if document is None:
            yield key, "is no JSON object"
        else:
            yield from _disagreements(folder, document, key, store)
            yield from _missing_members(folder, document, store)
            yield from _check_recipe(document, key)
    yield from _check_gathered_2(store)
    yield from _check_models(store)


def _documents(store: Path) -> Iterator[Path]:
    """Metadata of groups and arrays, but of none within an array."""
    arrays = set(array_paths(store))
    folders = [store]
    while folders:
        folder = folders.pop()
        if (folder / "zarr.json").is_file():
            yield folder / "zarr.json"
        if ("" if folder == store else folder.relative_to(store).as_posix()) not in arrays:
            folders += sorted((each for each in folder.iterdir() if each.is_dir()), reverse=True)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _disagreements(folder: Path, document: Mapping[str, Any], key: str, store: Path) -> Iterator[Problem]:
    """Compare consolidated metadata with the arrays' and groups' own."""
    if document.get(GATHERED) is None:
        return
    try:
        copies = {str(name): dict(copy) for name, copy in document[GATHERED]["metadata"].items()}
    except (TypeError, KeyError, AttributeError, ValueError):
        yield key, "its consolidated metadata are damaged"
        return
    for name, copy in copies.items():
        file = folder / name / "zarr.json"
        own = _read(file) if file.is_file() else {}
        if own == {}:
            yield file.relative_to(store).as_posix(), f"is missing, though {key} has a copy of it"
        elif own is not None:
            differing = [each for each in {**own, **copy} if each != GATHERED and _text(own, each) != _text(copy, each)]
            if differing:
                yield (
                    file.relative_to(store).as_posix(),
                    f"differs from the consolidated metadata in {key} ({', '.join(differing)}), by which readers go",
                )


def _text(document: Mapping[str, Any], key: str) -> str:
    """As text, in which NaN is equal to NaN."""
    return json.dumps(document.get(key), sort_keys=True)


def _missing_members(folder: Path, document: Mapping[str, Any], store: Path) -> Iterator[Problem]:
    """Arrays that a low-rank variable needs."""
    note = (document.get("attributes") or {}).get(MARKER) if isinstance(document.get("attributes"), dict) else None
    members = note.get("arrays", note.get("variables")) if isinstance(note, dict) else None
    for name in members if isinstance(members, list) else ():
        if not (folder / str(name) / "zarr.json").is_file():
            yield (folder / str(name) / "zarr.json").relative_to(store).as_posix(), "is missing"


def _check_gathered_2(store: Path) -> Iterator[Problem]:
    """The same as `_disagreements` for version 2."""
    document = _read(store / ".zmetadata") if (store / ".zmetadata").is_file() else {}
    copies = document.get("metadata") if document is not None else None
    if document != {} and not isinstance(copies, dict):
        yield ".zmetadata", "its consolidated metadata are damaged"
        return
    for name, copy in (copies or {}).items():
        own = _read(store / name) if (store / name).is_file() else {}
        if own is None:
            yield name, "is no JSON object"
        elif json.dumps(own, sort_keys=True) != json.dumps(copy, sort_keys=True):
            yield name, "differs from the consolidated metadata in .zmetadata, by which readers go"


def _check_recipe(document: Mapping[str, Any], key: str) -> Iterator[Problem]:
    """The recipe of a generated view, if it is none, or not for its array."""
    attributes = document.get("attributes")
    if isinstance(attributes, dict) and RECIPE in attributes:
        try:
            recipes_of({key: SimpleNamespace(attrs=attributes, shape=tuple(document["shape"]))})
        except (AdiabatError, ValueError, TypeError, KeyError) as error:
            yield key, first_line(error)


def _check_models(store: Path) -> Iterator[Problem]:
    """Models and static fields whose bytes are not those of their names."""
    for file in sorted([*(store / STORE_FOLDER).glob("*.npy"), *(store / STORE_MODELS).glob("*.zip")]):
        digest = sum_file(file)
        if digest != file.stem:
            yield file.relative_to(store).as_posix(), f"its name is not the SHA-256 of its bytes, {digest}"
