"""The model of Hyperprior: the entropy-parameter networks h_s, frequency tables, and where symbols are put back.

A package of kind "hyperprior" (`package`; spec/model.md): for each network integers as `.npy`, `frequencies.npy`,
`shrink.npy`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy
from adiabat.codec.cached import cached_property
from adiabat.codec.entropy import Tables
from adiabat.codec.integer_net import Layer, Runner, prove_range, runner
from adiabat.codec.package import BROKEN, Package, Shelf, broken, unpack
from adiabat.codec.subband import INPUTS

KIND = "hyperprior"
FORMAT = 1
OUTPUTS = 3  # offset, spread, shape
FINE = 1  # levels up to this depth have networks of their own: seven eighths of all coefficients, few of the bits
NETS = tuple(f"{band}-{turn}-{depth}" for depth in ("coarse", "fine") for turn in ("first", "later")
             for band in ("HL", "LH", "HH"))  # fmt: skip
SHRINK_LIMIT = 128  # of 256ths of a step


@dataclass(frozen=True)
class Net:
    """One network: its integer layers."""

    key: str
    layers: tuple[Layer, ...]

    def runner(self) -> Runner:
        """How this process runs the network."""
        return runner(self.key, self.layers)


@dataclass(frozen=True)
class HyperpriorModel:
    """A package in memory.

    Attributes
    ----------
    sha256 : str
        Hash of the package file, in hexadecimal.
    nets : dict of str to Net
        By the names of NETS.
    frequencies : NDArray[np.uint32], shape (tables, letters)
    shrink : NDArray[np.int64], shape (contexts, 2)
        How far towards the mean a symbol of magnitude 1, or of 2 and more, is put back, in 256ths of a step.
    """

    sha256: str
    nets: dict[str, Net]
    frequencies: NDArray[np.uint32]
    shrink: NDArray[np.int64]
    manifest: dict[str, Any]

    @cached_property
    def tables(self) -> Tables:
        """The frequency tables ready for coding."""
        return Tables(self.frequencies)

    def net(self, number: int, depth: int) -> Net:
        """The network of a pass on a level of this depth."""
        return self.nets[NETS[net_number(number, depth)]]


def net_number(number: int, depth: int) -> int:
    """Place in NETS of the network of a pass of `subband.PASSES`: the first of a band sees none of it yet."""
    return number % 3 + (3 if number >= 3 else 0) + (6 if depth <= FINE else 0)


def load(data: bytes) -> HyperpriorModel:
    """Read a package from its bytes; ModelMismatchError if it is none of this kind."""
    return _read(unpack(data))


def _read(package: Package) -> HyperpriorModel:
    try:
        if package.kind != KIND or package.manifest.get("format") != FORMAT:
            raise ValueError(f"expected kind {KIND} of format {FORMAT}, got {package.kind}")
        nets = {name: _net(name, package, package.manifest["nets"][name]["shifts"]) for name in NETS}
        shrink = np.zeros((entropy.CONTEXT_COUNT, 2), np.int64)
        stored = package.array("shrink.npy", np.int16, 2)
        if stored.shape != (entropy.TABLES, 2) or np.abs(stored.astype(np.int64)).max() > SHRINK_LIMIT:
            raise ValueError(f"shrink.npy: expected {entropy.TABLES} pairs of at most {SHRINK_LIMIT}, got others")
        shrink[: entropy.TABLES] = stored
        frequencies = package.array("frequencies.npy", np.uint32, 2)
        model = HyperpriorModel(package.sha256, nets, frequencies, shrink, package.manifest)
        model.tables  # noqa: B018  # refuses frequencies that are none
    except BROKEN as error:
        raise broken(error) from error
    return model


def _net(name: str, package: Package, shifts: list[int]) -> Net:
    layers = tuple(
        Layer(package.array(f"{name}/weight{i}.npy", np.int8, 2), int(shift)) for i, shift in enumerate(shifts)
    )
    prove_range(layers)
    sizes = layers[0].weight.shape[0], layers[-1].weight.shape[1]
    if sizes != (INPUTS, OUTPUTS):
        raise ValueError(f"{name}: expected {INPUTS} inputs and {OUTPUTS} outputs, got {sizes}")
    return Net(f"{package.sha256}/{name}", layers)


_shelf = Shelf(KIND, _read)


def find_hyperprior(name: str | os.PathLike[str] | None = None) -> HyperpriorModel:
    """The model of this name, as `package.find_package` takes it; the shipped one by default."""
    return _shelf.find(name)
