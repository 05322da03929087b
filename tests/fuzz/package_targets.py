"""Targets of model packages: the archive and its parts, ONNX graphs, arrays.

An archive is given as its parts (see `framing`); a part that is "=" stands for the shipped package's part of that name,
so that inputs stay small.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator
from functools import cache

import numpy as np
from fuzz.framing import archive_of, change_parts, from_parts, parts_of
from fuzz.oracle import FOLDERS
from fuzz.target import Target

from adiabat.codec import package, statics
from adiabat.codec.errors import AdiabatError

SHIPPED = ("pyramid", "pyramid-1", "hyperprior", "vq", "hvae", "downscaler")


@cache
def _shipped(name: str) -> dict[str, bytes]:
    with zipfile.ZipFile(FOLDERS[0] / f"{name}.zip") as archive:
        return {entry: archive.read(entry) for entry in archive.namelist()}


def _package(data: bytes) -> int:
    """A model package from its parts."""
    if not data:
        return 0
    shipped = _shipped(SHIPPED[data[0] % len(SHIPPED)])
    parts = [(name, shipped.get(name, b"") if part == b"=" else part) for name, part in parts_of(data[1:])]
    given = sum(len(part) for _, part in parts)
    if given > 4 << 20:
        return 0
    with contextlib.suppress(AdiabatError):
        package.check(archive_of(parts), run=False)
    return given


def _package_seeds() -> Iterator[bytes]:
    for number, name in enumerate(SHIPPED):
        parts = {each: part for each, part in _shipped(name).items() if "/net" not in each}  # which nobody reads
        plain = [(each, b"=") for each in parts]
        yield bytes([number]) + from_parts(plain)
        manifest = json.loads(parts["manifest.json"])
        small = {key: manifest[key] for key in manifest if len(json.dumps(manifest[key])) < 1200}
        whole = {"manifest.json": json.dumps(small).encode()}
        whole |= {each: part for each, part in parts.items() if each.endswith(".npy") and len(part) < 500}
        yield bytes([number]) + from_parts([(each, whole.get(each, b"=")) for each in parts])


def _zip(data: bytes) -> int:
    """Any bytes as a package."""
    with contextlib.suppress(AdiabatError):
        package.unpack(data)
    return 0


def _zip_seeds() -> Iterator[bytes]:
    parts = [("manifest.json", b'{"kind": "vq", "format": 1}'), ("a.npy", bytes(40))]
    yield archive_of(parts)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, part in parts:
                archive.writestr(zipfile.ZipInfo(name), part, method)
        yield buffer.getvalue()


def _graph(data: bytes) -> int:
    """Any bytes as a float graph: read and checked, and what a run of it costs, but not run."""
    from adiabat.codec.graph_check import read_graph

    try:
        graph = read_graph(data)
    except AdiabatError:
        return 0
    for shapes in (((1, 1, 40, 40),), ((1, 4, 20, 20), (1,)), ((0,),)):
        with contextlib.suppress(AdiabatError):
            graph.cost(shapes)
    return 0


def _graph_seeds() -> Iterator[bytes]:
    import onnx
    from onnx import TensorProto, helper

    from adiabat.codec.graph_operators import OPERATORS

    yield _shipped("vq")["g_a_0.onnx"]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1, None, None])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weight = onnx.numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    number = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.int64), "n")
    opset = [helper.make_opsetid("", 17)]
    for name in OPERATORS:
        for inputs in (["x"], ["x", "w"], ["x", "n"], ["x", "x"]):
            node = helper.make_node(name, inputs, ["y"])
            graph = helper.make_graph([node], "g", [image], [out], [weight, number])
            yield helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def _npy(data: bytes) -> int:
    """Any bytes as the file of a static field."""
    with contextlib.suppress(AdiabatError):
        statics._read(data)
    return 0


def _npy_seeds() -> Iterator[bytes]:
    yield statics.static_file(np.ones((2, 3), np.float32))
    yield statics.static_file(np.ones((0, 3), np.float32))


CODECS = (
    "package",
    "npy",
    "graph_check",
    "graph_operators",
    "graph_values",
    "graph_windows",
    "integer_graph",
    "models",
)
CODECS += ("hyperprior_model", "vq_model", "hvae_model", "downscaler_model", "statics", "integer_net", "float_graph")
CODECS += ("entropy", "hvae_prior", "hvae_transform", "vq_contexts")
MODULES = tuple(f"adiabat.codec.{name}" for name in CODECS)

PACKAGE_TARGETS = (
    Target("package", _package, _package_seeds, MODULES, change_parts, longest=8192),
    Target("zip", _zip, _zip_seeds, MODULES, longest=2048),
    Target("graph", _graph, _graph_seeds, MODULES, longest=2048),
    Target("npy", _npy, _npy_seeds, MODULES, longest=512),
)
