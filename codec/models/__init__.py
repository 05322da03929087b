"""Model packages: the networks, linear weights and frequency tables of a codec, found by their SHA-256.

A package is one zip file (spec/model.md): `manifest.json`, for each network the ONNX graph and the same integers as
`.npy`, and `frequencies.npy`. Its name in a stream is the SHA-256 of the file. Packages are looked for, in this
order, in the folders of ADIABAT_MODELS, in the wheel (this folder) and in the user's cache, where `add` puts them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.entropy import Tables
from adiabat.codec.errors import ModelMismatchError, ModelNotFoundError
from adiabat.codec.integer_net import Layer, Runner, prove_range, runner
from adiabat.codec.lattice import PASSES

FORMAT = 2
SUFFIX = ".zip"
STORE_FOLDER = ".adiabat"  # of a store, for models and static fields that its readers need
DEFAULT = "pyramid"  # the shipped package that encodes where none is named
SIZE_LIMIT = 8 << 20  # bytes of a package, and of all its parts unpacked
OUTPUTS = 3  # of each network: offset, spread, shape
STILL = ("D-coarse", "A-coarse", "B-coarse", "D-fine", "A-fine", "B-fine")
SIDE = tuple(f"{name}-side" for name in STILL)  # those that see references
NETS = STILL + SIDE
BY_FORMAT = {1: STILL, 2: NETS}


@dataclass(frozen=True)
class Net:
    """One network: its integer layers, the same as ONNX graphs (in float32 for GPUs), and the linear path beside it.

    Attributes
    ----------
    key : str
        Unique to this network: the package's hash and the network's name.
    linear : NDArray[np.int64], shape (stencil,)
        Weights of the linear path, in units of 2**-14.
    """

    key: str
    layers: tuple[Layer, ...]
    linear: NDArray[np.int64]
    graph: bytes
    float_graph: bytes = b""

    def runner(self) -> Runner:
        """How this process runs the network."""
        return runner(self.key, self.layers, self.graph, self.float_graph)


@dataclass(frozen=True)
class Model:
    """A package in memory.

    Attributes
    ----------
    sha256 : str
        Hash of the package file, in hexadecimal.
    nets : tuple[Net, ...]
        In the order of NETS; a package of format 1 has those of STILL only.
    frequencies : NDArray[np.uint32], shape (tables, letters)
    manifest : dict
        Name, licence, training data and whatever else the package says of itself.
    """

    sha256: str
    nets: tuple[Net, ...]
    frequencies: NDArray[np.uint32]
    manifest: dict[str, Any]

    def net(self, number: int, spacing: int, *, side: bool = False) -> Net:
        """The network of pass D, A or B (0, 1, 2) on the lattice of this spacing, with references or without."""
        return self.nets[net_number(number, spacing, side=side)]

    @property
    def sees_references(self) -> bool:
        """Whether frames can be predicted from others."""
        return len(self.nets) == len(NETS)

    @cached_property
    def tables(self) -> Tables:
        """The frequency tables ready for coding."""
        return Tables(self.frequencies)


def net_number(number: int, spacing: int, *, side: bool = False) -> int:
    """Place in NETS of the network of pass D, A or B (0, 1, 2): the finest lattice has its own, and references too."""
    return number + (3 if spacing == 1 else 0) + (len(STILL) if side else 0)


def load(data: bytes) -> Model:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this format, too large, or its numbers cannot be run exactly.
    """
    try:
        return _load(data)
    except _BROKEN as error:
        problem = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelMismatchError(f"not a model package of format {FORMAT}: {problem}") from error


# What a zip archive, JSON and the .npy format can come to when the bytes are anything at all.
_BROKEN = (
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


def _load(data: bytes) -> Model:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        unpacked = sum(entry.file_size for entry in package.infolist())
        if len(data) > SIZE_LIMIT or unpacked > SIZE_LIMIT:
            raise ValueError(f"expected at most {SIZE_LIMIT} bytes, got {len(data)}, {unpacked} unpacked")
        parts = {entry.filename: package.read(entry) for entry in package.infolist()}
    manifest = json.loads(parts["manifest.json"])
    if not isinstance(manifest, dict) or manifest.get("format") not in BY_FORMAT:
        raise ValueError("manifest.json does not name a format up to this one")
    digest = hashlib.sha256(data).hexdigest()
    nets = tuple(_net(name, parts, manifest["nets"][name]["shifts"], digest) for name in BY_FORMAT[manifest["format"]])
    model = Model(digest, nets, _array(parts, "frequencies.npy", np.uint32, 2), manifest)
    model.tables  # noqa: B018  # refuses frequencies that are none
    return model


def _net(name: str, parts: dict[str, bytes], shifts: list[int], digest: str) -> Net:
    layers = tuple(
        Layer(_array(parts, f"{name}/weight{i}.npy", np.int8, 2), int(shift)) for i, shift in enumerate(shifts)
    )
    prove_range(layers)
    linear = _array(parts, f"{name}/linear.npy", np.int16, 1).astype(np.int64)
    rule = PASSES[NETS.index(name) % 3]
    sizes = layers[0].weight.shape[0], len(linear), layers[-1].weight.shape[1]
    expected = rule.side_inputs if name in SIDE else rule.inputs, rule.stencil, OUTPUTS
    if sizes != expected:
        raise ValueError(f"{name}: expected {expected} inputs, stencil, outputs, got {sizes}")
    graphs = parts[f"{name}/net.onnx"], parts.get(f"{name}/net-float.onnx", b"")
    if any(b"location" in graph for graph in graphs):  # the key under which ONNX names files of its own
        raise ValueError(f"{name}/net.onnx refers to other files")
    return Net(f"{digest}/{name}", layers, linear, *graphs)


def _array(parts: dict[str, bytes], name: str, dtype: type[np.generic], axes: int) -> NDArray[Any]:
    array = np.load(io.BytesIO(parts[name]), allow_pickle=False)
    if array.dtype != np.dtype(dtype) or array.ndim != axes:
        raise ValueError(f"{name}: expected {np.dtype(dtype)} of {axes} axes, got {array.dtype} of {array.ndim}")
    return np.asarray(array)


def cache_folder() -> Path:
    """Where `add` keeps packages: ADIABAT_CACHE, or adiabat/models in the user's cache folder."""
    explicit = os.environ.get("ADIABAT_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(explicit) if explicit else home / "adiabat" / "models"


def folders() -> list[Path]:
    """Folders that are searched, first hit wins."""
    named = [Path(part) for part in os.environ.get("ADIABAT_MODELS", "").split(os.pathsep) if part]
    return [*named, Path(__file__).parent, cache_folder()]


def packages() -> list[Path]:
    """Every package file there is, in the order of the search."""
    return [path for folder in folders() if folder.is_dir() for path in sorted(folder.glob(f"*{SUFFIX}"))]


_loaded: dict[str, Model] = {}
_lock = threading.Lock()


def find_model(name: str | os.PathLike[str] | None = None) -> Model:
    """The model of this name.

    Parameters
    ----------
    name : str, path or None
        A SHA-256 (64 hexadecimal digits, or at least 8 of its first), a package's name such as "pyramid", a path to
        a package, or None for the one that is used by default.

    Raises
    ------
    ModelNotFoundError
        If no package of this name is found; says where it was looked for and how to add one.
    ModelMismatchError
        If the file found is no model package.

    Examples
    --------
    >>> find_model().manifest["name"]
    'pyramid'
    """
    wanted = DEFAULT if name is None else os.fspath(name)
    with _lock:
        model = _loaded.get(wanted)
        if model is None:
            found = _find(wanted)
            model = _loaded.setdefault(found.sha256, found)
            if Path(wanted).suffix != SUFFIX:  # a file may be another the next time
                _loaded[wanted] = model
        return model


def _find(wanted: str) -> Model:
    path = Path(wanted)
    if path.suffix == SUFFIX and path.is_file():
        return load(path.read_bytes())
    digits = len(wanted) >= 8 and all(digit in "0123456789abcdef" for digit in wanted)
    for path in packages():
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if (digits and digest.startswith(wanted)) or (path.stem == wanted and not digits):
            return load(data)
        if path.stem == wanted:
            raise ModelMismatchError(f"expected {path} to hold the model of its name, got SHA-256 {digest}")
    places = ", ".join(str(folder) for folder in folders())
    raise ModelNotFoundError(
        f"model {wanted} is needed but was not found in {places}; "
        f"ask whoever made the data for the package and run: adiabat models add FILE"
    )


def add(source: str | os.PathLike[str]) -> Path:
    """Copy a package, or a static field, into the cache folder, after checking it; its file name there is its hash.

    Raises
    ------
    ModelMismatchError
        If the file is neither.
    """
    from adiabat.codec import statics

    path = Path(source)
    data = path.read_bytes()
    if path.suffix == statics.SUFFIX:
        return cache_folder() / f"{statics.add_static(data)}{statics.SUFFIX}"
    return keep(f"{load(data).sha256}{SUFFIX}", data)


def keep(name: str, data: bytes) -> Path:
    """Write a file of the cache folder, whole or not at all."""
    target = cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.part")
    partial.write_bytes(data)
    partial.replace(target)
    return target


def add_store(store: str | os.PathLike[str]) -> list[Path]:
    """Add everything that a store keeps for its readers, in its folder `.adiabat`.

    Raises
    ------
    ModelNotFoundError
        If it keeps nothing.
    ModelMismatchError
        If a file there is not what its name says.
    """
    folder = Path(store) / STORE_FOLDER
    added = []
    for path in sorted(folder.glob("*.*")):
        if path.suffix in (SUFFIX, ".npy"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if path.stem != digest:
                raise ModelMismatchError(f"expected {path} to hold what its name says, got SHA-256 {digest}")
            added.append(add(path))
    if not added:
        raise ModelNotFoundError(f"expected models or static fields in {folder}, got none: nothing to add")
    return added
