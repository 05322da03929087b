"""Trained integers -> a model package: ONNX graphs, NumPy arrays, frequency tables, manifest.

Proves for every network that float32 holds it exactly and that ONNX and NumPy agree, or refuses. Spec: spec/model.md.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from adiabat.codec.integer_net import INPUT_ZERO, LIMIT, Layer, numpy_runner, onnx_runner, prove_range
from adiabat.codec.models import FORMAT, NETS


@dataclass(frozen=True)
class IntegerNet:
    """What training hands over for one network: its layers and the linear path (int16, units of 2**-14)."""

    layers: tuple[Layer, ...]
    linear: NDArray[np.int16]


def graph(layers: tuple[Layer, ...]) -> bytes:
    """The network as standard ONNX: QLinearMatMul for each hidden layer, MatMulInteger for the last.

    uint8 (targets, inputs) -> int32 (targets, outputs). All scales are powers of two, so that requantising is exact.

    Raises
    ------
    ValueError
        If some sum could leave the exact integers, or ONNX and NumPy disagree.
    """
    prove_range(layers)
    constants = [
        numpy_helper.from_array(np.array(INPUT_ZERO, np.uint8), "input_zero"),
        numpy_helper.from_array(np.array(0, np.uint8), "zero"),
        numpy_helper.from_array(np.array(0, np.int8), "weight_zero"),
        numpy_helper.from_array(np.array(1, np.float32), "one"),
    ]
    nodes, value, zero = [], "inputs", "input_zero"
    for number, layer in enumerate(layers):
        weight, result = f"weight{number}", f"value{number}"
        constants.append(numpy_helper.from_array(layer.weight, weight))
        if number == len(layers) - 1:
            nodes.append(helper.make_node("MatMulInteger", [value, weight, zero, "weight_zero"], ["outputs"]))
        else:
            constants.append(numpy_helper.from_array(np.array(2.0**layer.shift, np.float32), f"scale{number}"))
            operands = [value, "one", zero, weight, "one", "weight_zero", f"scale{number}", "zero"]
            nodes.append(helper.make_node("QLinearMatMul", operands, [result]))
            value, zero = result, "zero"
    return _finished(layers, nodes, constants)


def float_graph(layers: tuple[Layer, ...]) -> bytes:
    """The same function with all integers held in float32, for devices without integer products.

    Exact because no sum leaves 24 bits (`prove_range`), in whatever order it is formed.
    """
    prove_range(layers)
    constants = [numpy_helper.from_array(np.array(INPUT_ZERO, np.float32), "input_zero")]
    for name, end in (("low", 0), ("high", LIMIT)):
        constants.append(numpy_helper.from_array(np.array(end, np.float32), name))
    nodes = [
        helper.make_node("Cast", ["inputs"], ["stored"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["stored", "input_zero"], ["value"]),
    ]
    value = "value"
    for number, layer in enumerate(layers):
        weight, scale, total = f"weight{number}", f"scale{number}", f"total{number}"
        constants.append(numpy_helper.from_array(layer.weight.astype(np.float32), weight))
        nodes.append(helper.make_node("MatMul", [value, weight], [total]))
        if number == len(layers) - 1:
            nodes.append(helper.make_node("Cast", [total], ["outputs"], to=TensorProto.INT32))
        else:
            constants.append(numpy_helper.from_array(np.array(2.0**-layer.shift, np.float32), scale))
            nodes.append(helper.make_node("Mul", [total, scale], [f"scaled{number}"]))
            nodes.append(helper.make_node("Round", [f"scaled{number}"], [f"rounded{number}"]))
            value = f"value{number}"
            nodes.append(helper.make_node("Clip", [f"rounded{number}", "low", "high"], [value]))
    return _finished(layers, nodes, constants)


def _finished(layers: tuple[Layer, ...], nodes: list[Any], constants: list[Any]) -> bytes:
    """A checked graph from uint8 "inputs" to int32 "outputs"."""
    sizes = layers[0].weight.shape[0], layers[-1].weight.shape[1]
    inputs = helper.make_tensor_value_info("inputs", TensorProto.UINT8, ["targets", sizes[0]])
    outputs = helper.make_tensor_value_info("outputs", TensorProto.INT32, ["targets", sizes[1]])
    model = helper.make_model(
        helper.make_graph(nodes, "pyramid", [inputs], [outputs], constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
        producer_name="adiabat",
    )
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    _check_equal(layers, data)
    return data


def _check_equal(layers: tuple[Layer, ...], data: bytes) -> None:
    """Compare ONNX, optimised and not, with NumPy on random and on extreme inputs."""
    rng, width = np.random.default_rng(0), layers[0].weight.shape[0]
    inputs = rng.integers(0, 256, (4096, width)).astype(np.uint8)
    inputs[:1024] = np.where(inputs[:1024] < INPUT_ZERO, 0, 255)
    worst = np.where(layers[0].weight.T > 0, 255, 0)  # every product positive, one row for each channel
    inputs[1024 : 1024 + len(worst)] = worst
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
    parts = {"frequencies.npy": npy(frequencies)}
    for name in NETS:
        parts |= integer_parts(name, nets[name].layers) | {f"{name}/linear.npy": npy(nets[name].linear)}
    return zipped({"manifest.json": manifest({"format": FORMAT, **about, "nets": shifts}), **parts})


def integer_parts(name: str, layers: tuple[Layer, ...]) -> dict[str, bytes]:
    """A network's graphs and integers, by their names in a package."""
    parts = {f"{name}/net.onnx": graph(layers), f"{name}/net-float.onnx": float_graph(layers)}
    return parts | {f"{name}/weight{number}.npy": npy(layer.weight) for number, layer in enumerate(layers)}


def manifest(about: dict[str, Any]) -> bytes:
    """What a package says of itself, as the bytes of its `manifest.json`."""
    return json.dumps(about, indent=1, sort_keys=True).encode()


def zipped(parts: dict[str, bytes]) -> bytes:
    """The bytes of a package of any kind; the same input gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # its own date is fixed
    return buffer.getvalue()


def whole(target: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(data)
    partial.replace(target)


def npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
