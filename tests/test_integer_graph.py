"""Networks of integers as ONNX: the bytes of the shipped packages and of the exporter."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest

from adiabat.codec import models, package
from adiabat.codec.integer_graph import float_graph, integer_graph
from adiabat.codec.integer_net import Layer, numpy_runner, onnx_runner

PACKAGES = sorted(Path(models.__file__).parent.glob("*.zip"))


def random_layers(seed, widths):
    rng = np.random.default_rng(seed)
    shifts = [*rng.integers(0, 9, len(widths) - 2).tolist(), 0]
    return tuple(
        Layer(rng.integers(-64, 65, shape).astype(np.int8), shift)
        for shape, shift in zip(pairwise(widths), shifts, strict=True)
    )


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.stem)
def test_graphs_are_byte_for_byte_those_of_the_shipped_packages(path):
    parts = package.unpack(path.read_bytes())
    names = [name.removesuffix("/net.onnx") for name in parts.parts if name.endswith("/net.onnx")]
    assert bool(names) == (parts.kind not in ("vq", "downscaler"))
    for name in names:
        shifts = parts.manifest["nets"][name]["shifts"]
        weights = [parts.array(f"{name}/weight{number}.npy", np.int8, 2) for number in range(len(shifts))]
        layers = [Layer(weight, shift) for weight, shift in zip(weights, shifts, strict=True)]
        assert integer_graph(layers) == parts.parts[f"{name}/net.onnx"]
        assert float_graph(layers) == parts.parts.get(f"{name}/net-float.onnx", float_graph(layers))


@pytest.mark.parametrize("widths", [(1, 3), (8, 1, 3), (200, 130, 7, 3), (16, 5, 5, 5, 5, 3)])
def test_any_layers(widths):
    pytest.importorskip("onnxruntime")
    layers = random_layers(len(widths), widths)
    inputs = np.random.default_rng(1).integers(0, 256, (300, widths[0]), np.uint8)
    for graph in (integer_graph(layers), float_graph(layers)):
        onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
        assert (onnx_runner(graph)(inputs) == numpy_runner(layers)(inputs)).all()
