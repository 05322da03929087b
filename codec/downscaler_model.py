"""The networks of the generated view, from one package: three ONNX graphs, run with onnxruntime.

Used by `adiabat.formats.downscaling`. Spec: spec/generated.md. The graphs are float: what they give agrees between
machines within a tolerance, not bit for bit, and decides nothing that is stored.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.float_graph import refuse_references, runner, session
from adiabat.codec.package import BROKEN, Package, Shelf, broken, expect, unpack

__all__ = ["DEFAULT", "DownscalerModel", "check_graphs", "find_downscaler", "load"]

KIND = "downscaler"
FORMAT = 2
DEFAULT = "downscaler"  # the shipped package
GRAPHS = ("features", "mean", "velocity")
COARSE_INPUTS, FINE_INPUTS = 3, 5

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DownscalerModel:
    """A package in memory.

    Attributes
    ----------
    sha256 : str
        Hash of the package file, in hexadecimal.
    factors : tuple of int
        Fine cells along a side of a coarse one, that it was trained for.
    multiple : int
        Sides of fine fields are multiples of it.
    width : int
        Channels of the features.
    graphs : dict of str to bytes
    manifest : dict
    threads : int
    """

    sha256: str
    factors: tuple[int, ...]
    multiple: int
    width: int
    graphs: dict[str, bytes]
    manifest: dict[str, Any]
    threads: int = 1

    def __post_init__(self) -> None:
        if not self.factors or min(*self.factors, self.multiple, self.width) < 1:
            raise ValueError(f"expected factors, a multiple and a width above zero, got {self}")

    def features(self, coarse_inputs: Floats) -> Floats:
        """What the transfer encoder sees: (b, COARSE_INPUTS, h, w) -> (b, width, h, w)."""
        return self._run("features", coarse_inputs)

    def mean(self, features: Floats, fine_inputs: Floats) -> Floats:
        """M and log s, in local scales: features and (b, FINE_INPUTS, H, W) -> (b, 2, H, W)."""
        return self._run("mean", features, fine_inputs)

    def velocity(self, x: Floats, t: Floats, features: Floats, fine_inputs: Floats, mean: Floats) -> Floats:
        """V = alpha eps - sigma d at x = alpha d + sigma eps: (b, 1, H, W) and t (b,) -> (b, 1, H, W)."""
        return self._run("velocity", x, t, features, fine_inputs, mean)

    def _run(self, name: str, *inputs: Floats) -> Floats:
        return session((self.sha256, name), self.graphs[name], self.threads)(*inputs)


def load(data: bytes, *, threads: int = 1) -> DownscalerModel:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this kind and format. Whether its graphs fit, `check_graphs` finds.
    """
    return _from_package(unpack(data), threads)


def _from_package(package: Package, threads: int = 1) -> DownscalerModel:
    expect(package, KIND, FORMAT)
    try:
        graphs = {name: package.parts[f"{name}.onnx"] for name in GRAPHS}
        refuse_references(graphs.values())
        told = package.manifest
        factors = tuple(int(factor) for factor in told["factors"])
        return DownscalerModel(
            package.sha256, factors, int(told["multiple"]), int(told["features"]), graphs, told, threads
        )
    except BROKEN as error:
        raise broken(error) from error


def check_graphs(model: DownscalerModel) -> None:
    """Run every graph once on zeros; ModelMismatchError where one does not give what is expected."""
    side, factor = model.multiple * model.factors[0], model.factors[0]
    coarse, fine = (1, side // factor, side // factor), (side, side)
    told, inputs = np.zeros((1, model.width, *coarse[1:]), np.float32), np.zeros((1, FINE_INPUTS, *fine), np.float32)
    time, rest, mean = np.zeros(1, np.float32), np.zeros((1, 1, *fine), np.float32), np.zeros((1, 2, *fine), np.float32)
    for name, given, channels, shape in (
        ("features", (np.zeros((1, COARSE_INPUTS, *coarse[1:]), np.float32),), model.width, coarse[1:]),
        ("mean", (told, inputs), 2, fine),
        ("velocity", (rest, time, told, inputs, mean), 1, fine),
    ):
        got = runner(model.graphs[name])(*given).shape
        if got != (1, channels, *shape):
            raise ModelMismatchError(f"{name}: expected outputs {(1, channels, *shape)}, got {got}")


_shelf = Shelf(KIND, _from_package)


def find_downscaler(name: str | os.PathLike[str] | None = None) -> DownscalerModel:
    """The model of this name, hash or path; the shipped one if None.

    Raises
    ------
    ModelNotFoundError, ModelMismatchError
    """
    return _shelf.find(name)
