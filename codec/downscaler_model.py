"""The networks of the generated view, from one package: three ONNX graphs, run with onnxruntime.

Used by `adiabat.formats.downscaling`. Spec: spec/generated.md. The graphs are float: what they give agrees between
machines within a tolerance, not bit for bit, and decides nothing that is stored.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.float_graph import Contract, check_graph, session, try_graph
from adiabat.codec.package import BROKEN, Package, Shelf, broken, expect, unpack

__all__ = ["DEFAULT", "DownscalerModel", "check_graphs", "find_downscaler", "load"]

KIND = "downscaler"
FORMAT = 2
DEFAULT = "downscaler"  # the shipped package
GRAPHS = ("features", "mean", "velocity")
COARSE_INPUTS, FINE_INPUTS = 3, 5
MOST_FACTOR, WIDEST = 64, 1024  # fine cells along a side of a coarse one, and channels of the features

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
        for name, numbers, most in (
            ("factors", self.factors, MOST_FACTOR), ("multiple", [self.multiple], MOST_FACTOR),
            ("features", [self.width], WIDEST),
        ):  # fmt: skip
            if not 0 < len(numbers) <= MOST_FACTOR or min(numbers) < 1 or max(numbers) > most:
                raise ValueError(f"{name}: expected numbers of 1 to {most}, got {numbers}")

    @property
    def fine_inputs(self) -> int:
        """How many of the fine inputs its graphs take: those of format 1 know no grain."""
        return 2 if self.manifest["format"] == 1 else FINE_INPUTS

    def features(self, coarse_inputs: Floats) -> Floats:
        """What the transfer encoder sees: (b, COARSE_INPUTS, h, w) -> (b, width, h, w)."""
        return self._run("features", coarse_inputs)

    def mean(self, features: Floats, fine_inputs: Floats) -> Floats:
        """M and log s, in local scales: features and (b, FINE_INPUTS, H, W) -> (b, 2, H, W)."""
        return self._run("mean", features, fine_inputs[:, : self.fine_inputs])

    def velocity(self, x: Floats, t: Floats, features: Floats, fine_inputs: Floats, mean: Floats) -> Floats:
        """V = alpha eps - sigma d at x = alpha d + sigma eps: (b, 1, H, W) and t (b,) -> (b, 1, H, W)."""
        return self._run("velocity", x, t, features, fine_inputs[:, : self.fine_inputs], mean)

    def _run(self, name: str, *inputs: Floats) -> Floats:
        return session((self.sha256, name), self.graphs[name], self.threads, self.contract(name))(*inputs)

    def contract(self, name: str) -> Contract:
        """What one of the graphs has to be."""
        side = math.lcm(self.multiple, self.factors[0])
        coarse, told = ((1, channels, *[side // self.factors[0]] * 2) for channels in (COARSE_INPUTS, self.width))
        fine, mean, x = ((1, channels, side, side) for channels in (self.fine_inputs, 2, 1))
        if name == "features":
            return Contract(("coarse",), "out", lambda coarse: (coarse[0], self.width, *coarse[2:]), (coarse,))
        if name == "mean":
            return Contract(("features", "fine"), "out", lambda _, fine: (fine[0], 2, *fine[2:]), (told, fine))
        names = ("x", "t", "features", "fine", "mean")
        return Contract(names, "out", lambda x, *_: x, (x, (1,), told, fine, mean))


def load(data: bytes, *, threads: int = 1) -> DownscalerModel:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this kind and format. Whether its graphs fit, `check_graphs` finds.
    """
    return _from_package(unpack(data), threads)


def _from_package(package: Package, threads: int = 1) -> DownscalerModel:
    expect(package, KIND, 1 if package.manifest.get("format") == 1 else FORMAT)  # 1: of adiabat 0.7.0
    try:
        graphs = {name: package.parts[f"{name}.onnx"] for name in GRAPHS}
        told = package.manifest
        factors = tuple(int(factor) for factor in told["factors"])
        return DownscalerModel(
            package.sha256, factors, int(told["multiple"]), int(told["features"]), graphs, told, threads
        )
    except BROKEN as error:
        raise broken(error) from error


def check_graphs(model: DownscalerModel, *, run: bool = True) -> None:
    """See that every graph keeps the rules and its contract, and perhaps runs. ImportError, ModelMismatchError."""
    for name, graph in model.graphs.items():
        (try_graph if run else check_graph)(graph, model.contract(name))


_shelf = Shelf(KIND, _from_package)


def find_downscaler(name: str | os.PathLike[str] | None = None) -> DownscalerModel:
    """The model of this name, hash or path; the shipped one if None.

    Raises
    ------
    ModelNotFoundError, ModelMismatchError
    """
    return _shelf.find(name)
