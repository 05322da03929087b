"""Trained integers -> a model package: ONNX graphs, NumPy arrays, frequency tables, manifest.

Proves for every network that float32 holds it exactly and that ONNX and NumPy agree, or refuses. Spec: spec/model.md.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from adiabat.codec.integer_net import ACTIVATION_LIMIT, INPUT_LIMIT, Layer, numpy_runner, onnx_runner, prove_range
from adiabat.codec.models import FORMAT, NETS


@dataclass(frozen=True)
class IntegerNet:
    """What training hands over for one network: its layers and the linear path (int16, units of 2**-14)."""

    layers: tuple[Layer, ...]
    linear: NDArray[np.int16]


def graph(layers: tuple[Layer, ...]) -> bytes:
    """The network as ONNX: Gemm, Floor, Clip for each layer, on float32 (inputs, targets).

    Raises
    ------
    ValueError
        If some sum could leave the integers that float32 holds exactly, or ONNX and NumPy disagree.
    """
    prove_range(layers)
    nodes, constants, value = [], [], "inputs"
    constants.append(numpy_helper.from_array(np.float32(0), "low"))
    constants.append(numpy_helper.from_array(np.float32(ACTIVATION_LIMIT), "high"))
    for number, layer in enumerate(layers):
        factor = np.float32(2.0**-layer.shift)
        constants.append(numpy_helper.from_array(layer.weight.astype(np.float32) * factor, f"weight{number}"))
        constants.append(numpy_helper.from_array((layer.bias.astype(np.float32) * factor)[:, None], f"bias{number}"))
        nodes.append(helper.make_node("Gemm", [f"weight{number}", value, f"bias{number}"], [f"sum{number}"]))
        last = number == len(layers) - 1
        nodes.append(helper.make_node("Floor", [f"sum{number}"], ["outputs" if last else f"floor{number}"]))
        if not last:
            nodes.append(helper.make_node("Clip", [f"floor{number}", "low", "high"], [f"value{number}"]))
            value = f"value{number}"
    sizes = layers[0].weight.shape[1], layers[-1].weight.shape[0]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, "targets"])
        for name, size in zip(("inputs", "outputs"), sizes, strict=True)
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "pyramid", ends[:1], ends[1:], constants),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=9, producer_name="adiabat",
    )
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    _check_equal(layers, data)
    return data


def _check_equal(layers: tuple[Layer, ...], data: bytes) -> None:
    """Compare ONNX, optimised and not, with NumPy on random and on extreme inputs."""
    rng, width = np.random.default_rng(0), layers[0].weight.shape[1]
    inputs = rng.integers(-INPUT_LIMIT, INPUT_LIMIT + 1, (width, 4096)).astype(np.float32)
    inputs[:, :64] = np.sign(inputs[:, :64]) * INPUT_LIMIT
    expected = numpy_runner(layers)(inputs)
    for optimise in (True, False):
        if not np.array_equal(onnx_runner(data, optimise=optimise)(inputs), expected):
            raise ValueError("the exported graph and its definition in NumPy give different integers")


def package(nets: dict[str, IntegerNet], frequencies: NDArray[np.uint32], about: dict[str, Any]) -> bytes:
    """The bytes of a model package; the same input gives the same bytes.

    Parameters
    ----------
    nets : dict
        By the names of `adiabat.codec.models.NETS`.
    frequencies : NDArray[np.uint32], shape (tables, letters)
    about : dict
        JSON: name, data, licence, command; stands in the manifest.
    """
    shifts = {name: {"shifts": [layer.shift for layer in nets[name].layers]} for name in NETS}
    parts = {"manifest.json": json.dumps({"format": FORMAT, **about, "nets": shifts}, indent=1, sort_keys=True).encode()}
    parts["frequencies.npy"] = _npy(frequencies)
    for name in NETS:
        parts[f"{name}/net.onnx"] = graph(nets[name].layers)
        parts[f"{name}/linear.npy"] = _npy(nets[name].linear)
        for number, layer in enumerate(nets[name].layers):
            parts[f"{name}/weight{number}.npy"] = _npy(layer.weight)
            parts[f"{name}/bias{number}.npy"] = _npy(layer.bias)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():  # ZipInfo's own date is fixed, so that the same model has the same hash
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
