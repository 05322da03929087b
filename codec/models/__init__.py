"""The model of Pyramid: networks, linear weights and frequency tables; and the folder of the shipped packages.

A package of kind "pyramid" (`package`; spec/model.md) holds for each network integers as `.npy`, and `frequencies.npy`.
The ONNX graphs beside them are for other programs: what runs here is made of the integers (`integer_graph`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.adding import add, add_store
from adiabat.codec.cached import cached_property
from adiabat.codec.entropy import Tables
from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.integer_graph import float_graph, integer_graph
from adiabat.codec.integer_net import Layer, Runner, prove_range, runner
from adiabat.codec.lattice import PASSES
from adiabat.codec.lending import lend
from adiabat.codec.package import (
    BROKEN,
    STORE_FOLDER,
    STORE_MODELS,
    SUFFIX,
    Package,
    broken,
    cache_folder,
    find,
    find_package,
    folders,
    keep,
    packages,
    unpack,
)
from adiabat.codec.workers import ProcessLock

__all__ = ["BY_FORMAT", "DEFAULT", "FORMAT", "NETS", "OUTPUTS", "SIDE", "STILL", "STORE_FOLDER", "STORE_MODELS"]
__all__ += ["SUFFIX", "Model", "Net", "Package", "add", "add_store", "cache_folder", "find_model", "find_package"]
__all__ += ["folders", "keep", "lend", "load", "net_number", "packages"]

FORMAT = 2
KIND = "pyramid"
DEFAULT = "pyramid"  # the shipped package that encodes where none is named
OUTPUTS = 3  # of each network: offset, spread, shape
STILL = ("D-coarse", "A-coarse", "B-coarse", "D-fine", "A-fine", "B-fine")
SIDE = tuple(f"{name}-side" for name in STILL)  # those that see references
NETS = STILL + SIDE
BY_FORMAT = {1: STILL, 2: NETS}


@dataclass(frozen=True)
class Net:
    """One network: its integer layers, and the linear path beside it.

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

    @cached_property
    def graph(self) -> bytes:
        """The network in ONNX."""
        return integer_graph(self.layers)

    @cached_property
    def float_graph(self) -> bytes:
        """The same with all integers in float32, for GPUs."""
        return float_graph(self.layers)

    def runner(self) -> Runner:
        """How this process runs the network."""
        return runner(self.key, self.layers)


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
    """Read a package of Pyramid from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this format, too large, or its numbers cannot be run exactly.
    """
    package = unpack(data)
    if package.kind != KIND:
        raise ModelMismatchError(f"expected a model of kind {KIND}, got {package.kind}")
    try:
        return _load(package)
    except BROKEN as error:
        raise broken(error) from error


def _load(package: Package) -> Model:
    manifest = package.manifest
    if manifest.get("format") not in BY_FORMAT:
        raise ValueError("manifest.json does not name a format up to this one")
    names = BY_FORMAT[manifest["format"]]
    nets = tuple(_net(name, package, manifest["nets"][name]["shifts"]) for name in names)
    model = Model(package.sha256, nets, package.array("frequencies.npy", np.uint32, 2), manifest)
    model.tables  # noqa: B018  # refuses frequencies that are none
    return model


def _net(name: str, package: Package, shifts: list[int]) -> Net:
    layers = tuple(
        Layer(package.array(f"{name}/weight{i}.npy", np.int8, 2), int(shift)) for i, shift in enumerate(shifts)
    )
    prove_range(layers)
    linear = package.array(f"{name}/linear.npy", np.int16, 1).astype(np.int64)
    rule = PASSES[NETS.index(name) % 3]
    sizes = layers[0].weight.shape[0], len(linear), layers[-1].weight.shape[1]
    expected = rule.side_inputs if name in SIDE else rule.inputs, rule.stencil, OUTPUTS
    if sizes != expected:
        raise ValueError(f"{name}: expected {expected} inputs, stencil, outputs, got {sizes}")
    return Net(f"{package.sha256}/{name}", layers, linear)


_loaded: dict[str, Model] = {}
_lock = ProcessLock()


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
            found = load(find(wanted))
            model = _loaded.setdefault(found.sha256, found)
            if Path(wanted).suffix != SUFFIX:  # a file may be another the next time
                _loaded[wanted] = model
        return model
