"""The model of `VQ`: the graphs of `g_a` and `g_s`, codebooks, and the tables of the prior, from one package.

Used by `vq`. Spec: spec/vq.md, section 5. The graphs are float: `g_a` decides an encoder's symbols, `g_s` nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from adiabat.codec.float_graph import Contract, Graph, check_graph, session, try_graph
from adiabat.codec.package import BROKEN, Package, Shelf, broken, expect, unpack
from adiabat.codec.vq_contexts import Prior
from adiabat.codec.vq_transform import BANDS, HALO, KINDS

__all__ = ["DEFAULT", "VQModel", "find_vq_model", "load"]

KIND = "vq"
FORMAT = 1
DEFAULT = "vq"  # the shipped package that encodes where none is named
GRAPHS = tuple(f"{name}_{kind}.onnx" for name in ("g_a", "g_s") for kind in range(KINDS))
CONTRACTS = {
    "g_a": Contract(
        ("x",), "y", lambda x: (x[0], BANDS, x[2] // 2 - 2 * HALO, x[3] // 2 - 2 * HALO), ((1, 1, 40, 44),)
    ),
    "g_s": Contract(
        ("x", "gain"), "y", lambda x, _: (x[0], 1, 2 * x[2] - 4 * HALO, 2 * x[3] - 4 * HALO), ((1, BANDS, 20, 22), (1,))
    ),
}


@dataclass(frozen=True)
class VQModel:
    """A package in memory.

    Attributes
    ----------
    sha256 : str
        Hash of the package file, in hexadecimal.
    graphs : dict of str to bytes
        By name, such as "g_s_0.onnx".
    prior : Prior
    manifest : dict
        What the package says of itself.
    """

    sha256: str
    graphs: dict[str, bytes]
    prior: Prior
    manifest: dict[str, Any]

    def g_a(self, threads: int | None = None) -> list[Graph]:
        """A step of the analysis for each kind of level."""
        return [self._graph(f"g_a_{kind}.onnx", threads) for kind in range(KINDS)]

    def g_s(self, threads: int | None = None) -> list[Graph]:
        """A step of the synthesis for each kind of level."""
        return [self._graph(f"g_s_{kind}.onnx", threads) for kind in range(KINDS)]

    def _graph(self, name: str, threads: int | None) -> Graph:
        return session((self.sha256, name), self.graphs[name], threads or 1, CONTRACTS[name[:3]])


def load(data: bytes) -> VQModel:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this kind and format, or its numbers are not as they must be.
    """
    return _from_package(unpack(data))


def _from_package(package: Package) -> VQModel:
    expect(package, KIND, FORMAT)
    try:
        graphs = {name: package.parts[name] for name in GRAPHS}
        prior = Prior(
            package.array("codebooks.npy", np.int32, 3),
            package.array("weights.npy", np.int16, 3),
            package.array("thresholds.npy", np.int32, 2),
            package.array("frequencies.npy", np.uint32, 2),
        )
    except BROKEN as error:
        raise broken(error) from error
    return VQModel(package.sha256, graphs, prior, package.manifest)


def check_graphs(model: VQModel, *, run: bool = True) -> None:
    """See that every graph keeps the rules and its contract, and perhaps runs. ImportError, ModelMismatchError."""
    for name, graph in model.graphs.items():
        (try_graph if run else check_graph)(graph, CONTRACTS[name[:3]])


_shelf = Shelf(KIND, _from_package)


def find_vq_model(name: str | os.PathLike[str] | None = None) -> VQModel:
    """The model of this name, hash or path; the shipped one if None.

    Raises
    ------
    ModelNotFoundError, ModelMismatchError
    """
    return _shelf.find(name)
