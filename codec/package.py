"""Model packages of all codecs: one zip file each, found by its SHA-256.

A package holds `manifest.json`, ONNX graphs, integers as `.npy` and frequency tables (spec/model.md); its name in a
stream is the SHA-256 of the file, or the first bytes of it. Packages are looked for, in this order, in the folders of
ADIABAT_MODELS, in the wheel (`models`), in the user's cache, where `adding` puts them, among those lent (`lending`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import ModelMismatchError, ModelNotFoundError
from adiabat.codec.header import MODEL_BYTES
from adiabat.codec.lending import LENT
from adiabat.codec.npy import read_npy
from adiabat.codec.workers import ProcessLock

SUFFIX = ".zip"
STORE_FOLDER = ".adiabat"  # of a store, for static fields that its readers need
STORE_MODELS = f"{STORE_FOLDER}/models"  # of a store, for model packages
SIZE_LIMIT = 8 << 20  # bytes of a package, and of all its parts unpacked
PARTS_LIMIT = 1024
# Who reads a package of each kind, and so says whether it is one.
KINDS = {
    "pyramid": "adiabat.codec.models",
    "hyperprior": "adiabat.codec.hyperprior_model",
    "vq": "adiabat.codec.vq_model",
    "hvae": "adiabat.codec.hvae_model",
    "downscaler": "adiabat.codec.downscaler_model",
}


@dataclass(frozen=True)
class Package:
    """A package as it lies on disk, of any kind of codec.

    Attributes
    ----------
    sha256 : str
        Hash of the file, in hexadecimal.
    manifest : dict
        Its `manifest.json`; "kind" names the codec, "pyramid" where it does not say.
    parts : dict of str to bytes
        All files of the archive.
    """

    sha256: str
    manifest: dict[str, Any]
    parts: dict[str, bytes]

    @property
    def kind(self) -> str:
        """Whose package it is."""
        return str(self.manifest.get("kind", "pyramid"))

    def array(self, name: str, dtype: type[np.generic], axes: int) -> NDArray[Any]:
        """One of its parts as an array of this dtype and so many axes."""
        try:
            return read_npy(self.parts[name], dtype, axes)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


HEX = frozenset("0123456789abcdef")
SHORT = 2 * MODEL_BYTES["latent"]  # hexadecimal digits of a hash that a stream keeps
Model = TypeVar("Model")
# What a zip archive, JSON and the .npy format can come to when the bytes are anything at all.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    RuntimeError,  # a part that needs a password
    NotImplementedError,
)


def unpack(data: bytes) -> Package:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is none, or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if len(data) > SIZE_LIMIT or unpacked > SIZE_LIMIT:
                raise ValueError(f"expected at most {SIZE_LIMIT} bytes, got {len(data)}, {unpacked} unpacked")
            if len(entries) > PARTS_LIMIT or len({entry.filename for entry in entries}) < len(entries):
                raise ValueError(f"expected at most {PARTS_LIMIT} parts of different names, got {len(entries)}")
            if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
                raise ValueError("expected parts stored or deflated")  # others take memory that no size tells of
            parts = {entry.filename: archive.read(entry) for entry in entries}
        manifest = json.loads(parts["manifest.json"])
        if not isinstance(manifest, dict):
            raise ValueError("manifest.json is no object")
    except BROKEN as error:
        raise broken(error) from error
    return Package(hashlib.sha256(data).hexdigest(), manifest, parts)


def broken(error: Exception) -> ModelMismatchError:
    """What to say of a package whose bytes raised this."""
    problem = str(error).strip().partition("\n")[0] or type(error).__name__
    return ModelMismatchError(f"not a model package: {problem}")


def check(data: bytes, *, run: bool = False) -> Package:
    """Unpack a package, have the codec that it is for read all of it, and check its float graphs, where it has any.

    Parameters
    ----------
    data : bytes
    run : bool
        Whether these are also run once: needs onnxruntime and onnx, and takes a second or so. Without onnx they are
        otherwise not checked here: they are where they would run.

    Raises
    ------
    ModelMismatchError
        If it is none, or breaks a rule of its kind.
    ImportError
        If graphs are to be run and onnxruntime is not installed.
    """
    package = unpack(data)
    if package.kind not in KINDS:
        raise ModelMismatchError(f"expected a model package of a kind of {list(KINDS)}, got {package.kind!r}")
    codec = import_module(KINDS[package.kind])
    model = codec.load(data)
    if hasattr(codec, "check_graphs"):  # networks of integers are proved instead
        _check_graphs(package.kind, codec.check_graphs, model, run=run)
    return package


def _check_graphs(kind: str, check_graphs: Callable[..., None], model: object, *, run: bool) -> None:
    try:
        check_graphs(model, run=run)
    except ImportError as error:
        if run:
            problem = f"a model of kind {kind} is tried before it is added, and runs in onnxruntime"
            raise ImportError(f"{problem}: pip install 'adiabat[cpu]'") from error


def cache_folder() -> Path:
    """Where `adding` keeps packages: ADIABAT_CACHE, or adiabat/models in the user's cache folder."""
    explicit = os.environ.get("ADIABAT_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(explicit) if explicit else home / "adiabat" / "models"


def folders() -> list[Path]:
    """Folders that are searched, first hit wins."""
    named = [Path(part) for part in os.environ.get("ADIABAT_MODELS", "").split(os.pathsep) if part]
    return [*named, Path(__file__).parent / "models", cache_folder()]


def packages() -> list[Path]:
    """Every package file there is, in the order of the search."""
    return [path for folder in folders() if folder.is_dir() for path in sorted(folder.glob(f"*{SUFFIX}"))]


_packages: dict[str, Package] = {}
_lock = ProcessLock()


def find_package(name: str | os.PathLike[str], kind: str) -> Package:
    """The package of this name.

    Parameters
    ----------
    name : str or path
        A SHA-256 (64 hexadecimal digits, or at least 8 of its first), a package's name such as "pyramid", or a path.
    kind : str
        The codec that it has to be for.

    Raises
    ------
    ModelNotFoundError
        If no package of this name is found; says where it was looked for and how to add one.
    ModelMismatchError
        If the file found is no model package, or one of another codec.
    """
    wanted = os.fspath(name)
    with _lock:
        package = _packages.get(wanted)
    if package is None:
        package = unpack(find(wanted))
        names = {package.sha256, package.sha256[:16]}  # as streams name it
        names |= {wanted} if Path(wanted).suffix != SUFFIX else set()  # a file may be another the next time
        with _lock:
            _packages.update(dict.fromkeys(names, package))
    if package.kind != kind:
        raise ModelMismatchError(f"expected a model of kind {kind}, got {package.kind} in {wanted}")
    return package


class Shelf(Generic[Model]):
    """Models of one kind that this process has read, by their hashes; streams name them by the beginning of theirs.

    Parameters
    ----------
    kind : str
        Also the id of the shipped package.
    read : callable
        Makes a model of a package.
    """

    def __init__(self, kind: str, read: Callable[[Package], Model]) -> None:
        self._kind, self._read = kind, read
        self._models: dict[str, Model] = {}
        self._lock = ProcessLock()

    def find(self, name: str | os.PathLike[str] | None = None) -> Model:
        """The model of this name, hash or path; the shipped one if None. ModelNotFoundError, ModelMismatchError."""
        wanted = self._kind if name is None else os.fspath(name)
        with self._lock:
            if wanted in self._models:
                return self._models[wanted]
        package = find_package(wanted, self._kind)  # a name or a file may be another the next time
        with self._lock:
            model = self._models.get(package.sha256)
        model = self._read(package) if model is None else model
        with self._lock:
            for known in (package.sha256, package.sha256[:SHORT]):
                model = self._models.setdefault(known, model)
        return model


def expect(package: Package, kind: str, version: int) -> None:
    """ModelMismatchError for a package of another kind or format."""
    got, said = package.kind, package.manifest.get("format")
    if (got, said) != (kind, version):
        raise ModelMismatchError(f"expected a model of kind {kind}, format {version}, got {got}, format {said}")


def find(wanted: str) -> bytes:
    """The bytes of a package by name, as `find_package` takes it."""
    path = Path(wanted)
    if path.suffix == SUFFIX and path.is_file():
        return path.read_bytes()
    digits = len(wanted) >= 8 and all(digit in HEX for digit in wanted)
    for path in packages():
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if (digits and digest.startswith(wanted)) or (path.stem == wanted and not digits):
            return data
        if path.stem == wanted:
            raise ModelMismatchError(f"expected {path} to hold the model of its name, got SHA-256 {digest}")
    for digest, data in list(LENT.items()) if digits else ():
        if digest.startswith(wanted):
            return data
    places = ", ".join(str(folder) for folder in folders())
    raise ModelNotFoundError(
        f"model {wanted} is needed but was not found in {places}; "
        f"ask whoever made the data for the package and run: adiabat models add FILE"
    )


def keep(name: str, data: bytes) -> Path:
    """Write a file of the cache folder, whole or not at all."""
    target = cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(data)
    partial.replace(target)
    return target
