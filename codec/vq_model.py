"""The model of `VQ`: the graphs of `g_a` and `g_s`, codebooks, and the tables of the prior, from one package.

Used by `vq`. Spec: spec/vq.md, section 5. The graphs are float: `g_a` decides an encoder's symbols, `g_s` nothing.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import ModelMismatchError
from adiabat.codec.header import MODEL_BYTES
from adiabat.codec.integer_net import open_session
from adiabat.codec.package import BROKEN, Package, broken, find_package, unpack
from adiabat.codec.vq_contexts import Prior
from adiabat.codec.vq_transform import BANDS, HALO, KINDS, Graph

__all__ = ["DEFAULT", "VQModel", "find_vq_model", "load"]

KIND = "vq"
FORMAT = 1
DEFAULT = "vq"  # the shipped package that encodes where none is named
SHORT = 2 * MODEL_BYTES["latent"]  # hexadecimal digits
GRAPHS = tuple(f"{name}_{kind}.onnx" for name in ("g_a", "g_s") for kind in range(KINDS))

Floats = NDArray[np.float32]


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
        return _session((self.sha256, name), self.graphs[name], threads or 1)


_sessions: dict[tuple[int, int, tuple[str, str]], Graph] = {}
_lock = threading.Lock()


def _session(key: tuple[str, str], graph: bytes, threads: int) -> Graph:
    """One session for each process and number of threads: sessions survive neither pickling nor forking."""
    whole = (os.getpid(), threads, key)
    with _lock:
        if whole not in _sessions:
            _sessions[whole] = runner(graph, threads=threads)
        return _sessions[whole]


def runner(graph: bytes, *, threads: int = 1, optimise: bool = True) -> Graph:
    """Run a graph with onnxruntime on the CPU.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    ModelMismatchError
        If it is no graph that onnxruntime can run.
    """
    try:
        session = open_session(graph, threads=threads, optimise=optimise)
    except ImportError:
        raise
    except Exception as error:  # onnxruntime's own errors have no common base but this
        raise ModelMismatchError(f"the model's graph does not run: {str(error).partition(chr(10))[0]}") from error
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: Floats) -> Floats:
        (outputs,) = session.run(None, dict(zip(names, inputs, strict=True)))
        return np.asarray(outputs)

    return run


def load(data: bytes) -> VQModel:
    """Read a package from its bytes.

    Raises
    ------
    ModelMismatchError
        If it is no package of this kind and format, or its numbers are not as they must be.
    """
    return _from_package(unpack(data))


def _from_package(package: Package) -> VQModel:
    if package.kind != KIND or package.manifest.get("format") != FORMAT:
        said = package.manifest.get("format")
        raise ModelMismatchError(f"expected a model of kind {KIND}, format {FORMAT}, got {package.kind}, format {said}")
    try:
        graphs = {name: package.parts[name] for name in GRAPHS}
        if any(b"location" in graph for graph in graphs.values()):  # the key under which ONNX names files of its own
            raise ValueError("a graph refers to other files")
        prior = Prior(
            package.array("codebooks.npy", np.int32, 3),
            package.array("weights.npy", np.int16, 3),
            package.array("thresholds.npy", np.int32, 2),
            package.array("frequencies.npy", np.uint32, 2),
        )
    except BROKEN as error:
        raise broken(error) from error
    return VQModel(package.sha256, graphs, prior, package.manifest)


def check_graphs(model: VQModel) -> None:
    """Run every graph once on zeros; ModelMismatchError where one does not give what `vq_transform` needs."""
    side = 4
    for name in GRAPHS:
        back = name.startswith("g_s")
        shape = (
            (1, BANDS, side + 2 * HALO, side + 2 * HALO) if back else (1, 1, 2 * side + 4 * HALO, 2 * side + 4 * HALO)
        )
        inputs = [np.zeros(shape, np.float32), *([np.ones(1, np.float32)] if back else [])]
        expected = (1, 1, 2 * side, 2 * side) if back else (1, BANDS, side, side)
        got = runner(model.graphs[name])(*inputs).shape
        if got != expected:
            raise ModelMismatchError(f"{name}: expected outputs {expected}, got {got}")


_loaded: dict[str, VQModel] = {}


def find_vq_model(name: str | os.PathLike[str] | None = None) -> VQModel:
    """The model of this name, hash or path; the shipped one if None.

    Raises
    ------
    ModelNotFoundError, ModelMismatchError
    """
    wanted = DEFAULT if name is None else os.fspath(name)
    with _lock:
        if wanted in _loaded:
            return _loaded[wanted]
    model = _from_package(find_package(wanted, KIND))
    with _lock:
        for known in (model.sha256, model.sha256[:SHORT]):  # streams name it by its beginning
            model = _loaded.setdefault(known, model)
    return model
