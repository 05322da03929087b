"""The model of `HVAE`: the graphs of `g_a` and `g_s`, the normalisation, and the prior of latents, from one package.

Used by `hvae`. Spec: spec/hvae.md, section 4. The graphs are float: `g_a` decides an encoder's symbols, `g_s` nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.float_graph import Contract, Graph, check_graph, session, try_graph
from adiabat.codec.hvae_prior import Prior
from adiabat.codec.hvae_transform import SIDE, TILE, Normalisation
from adiabat.codec.integer_net import Layer
from adiabat.codec.package import BROKEN, Package, Shelf, broken, expect, unpack

__all__ = ["DEFAULT", "HVAEModel", "find_hvae", "load"]

KIND = "hvae"
FORMAT = 1
DEFAULT = "hvae"  # the shipped package
GRAPHS = ("g_a.onnx", "g_s.onnx")
WIDEST = 4096  # channels of spectra


@dataclass(frozen=True)
class HVAEModel:
    """A package in memory.

    Attributes
    ----------
    sha256 : str
        Hash of the package file, in hexadecimal.
    normal : Normalisation
    centres, gains : NDArray[np.float32], shape (z,)
        A latent is its channel's centre and so many gains.
    prior : Prior
    graphs : dict of str to bytes
    manifest : dict
    """

    sha256: str
    normal: Normalisation
    centres: NDArray[np.float32]
    gains: NDArray[np.float32]
    prior: Prior
    graphs: dict[str, bytes]
    manifest: dict[str, Any]

    def __post_init__(self) -> None:
        if max(self.channels, self.prior.channels) > WIDEST:
            raise ValueError(f"expected at most {WIDEST} channels, got {self.channels} to {self.prior.channels}")
        z = (self.prior.channels,)
        if self.centres.shape != z or self.gains.shape != z:
            raise ValueError(f"expected centres and gains of {z}, got {self.centres.shape}, {self.gains.shape}")
        if not (np.isfinite(self.centres).all() and np.isfinite(self.gains).all() and (self.gains > 0).all()):
            raise ValueError("expected finite centres, and finite gains above zero")

    @property
    def channels(self) -> int:
        """Wavelengths."""
        return int(self.normal.mean.size)

    def g_a(self, threads: int | None = None) -> Graph:
        """The analysis of tiles."""
        return self._graph(GRAPHS[0], threads or 1)

    def g_s(self, threads: int | None = None) -> Graph:
        """The synthesis of tiles."""
        return self._graph(GRAPHS[1], threads or 1)

    def _graph(self, name: str, threads: int) -> Graph:
        return session((self.sha256, name), self.graphs[name], threads, self.contract(name))

    def contract(self, name: str) -> Contract:
        """What one of the graphs has to be."""
        ends = (self.channels, TILE, TILE), (self.prior.channels, SIDE, SIDE)
        given, made = ends if name == GRAPHS[0] else ends[::-1]
        return Contract(("x",), "y", lambda x: (x[0], *made), ((1, *given),))


def load(data: bytes) -> HVAEModel:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this kind and format, or its numbers are not as they must be.
    """
    return _from_package(unpack(data))


def _from_package(package: Package) -> HVAEModel:
    expect(package, KIND, FORMAT)
    try:
        graphs = {name: package.parts[name] for name in GRAPHS}
        manifest, mean_spread = package.manifest, package.array("normalisation.npy", np.float32, 2)
        if len(mean_spread) != 2:
            raise ValueError(f"normalisation.npy: expected 2 rows, got {len(mean_spread)}")
        shifts = manifest["nets"]["prior"]["shifts"]
        layers = tuple(
            Layer(package.array(f"prior/weight{number}.npy", np.int8, 2), int(shift))
            for number, shift in enumerate(shifts)
        )
        prior = Prior(
            package.array("linear.npy", np.int16, 3), package.array("scales.npy", np.int32, 2), layers,
            package.array("frequencies.npy", np.uint32, 2), package.sha256,
        )  # fmt: skip
        normal = Normalisation(mean_spread[0], mean_spread[1], float(manifest["floor"]), float(manifest["clip"]))
        latents = package.array("latents.npy", np.float32, 2)
        return HVAEModel(package.sha256, normal, latents[0], latents[1], prior, graphs, manifest)
    except BROKEN as error:
        raise broken(error) from error


def check_graphs(model: HVAEModel, *, run: bool = True) -> None:
    """See that every graph keeps the rules and its contract, and perhaps runs. ImportError, ModelMismatchError."""
    for name, graph in model.graphs.items():
        (try_graph if run else check_graph)(graph, model.contract(name))


_shelf = Shelf(KIND, _from_package)


def find_hvae(name: str | os.PathLike[str] | None = None) -> HVAEModel:
    """The model of this name, hash or path; the shipped one if None.

    Raises
    ------
    ModelNotFoundError, ModelMismatchError
    """
    return _shelf.find(name)
