"""Networks of integers as ONNX graphs, written from their weights: what onnxruntime runs is what was proved.

Stage of `integer_net`: weights -> **integer_graph** -> onnxruntime. A package's own `net.onnx` should be the same, and
is not looked at: nobody could tell by trying whether it is. Spec: spec/integer_net.md. ONNX is Protocol Buffers; the
few fields of these graphs are written here, so that reading needs no package beside onnxruntime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.integer_net import INPUT_ZERO, LIMIT, Layer
from adiabat.codec.octets import write_varint

__all__ = ["float_graph", "integer_graph"]

OPSET, IR_VERSION = 17, 9
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}  # of ONNX


def integer_graph(layers: Sequence[Layer]) -> bytes:
    """The network in products of bytes: QLinearMatMul for each hidden layer, MatMulInteger for the last.

    All scales are powers of two, so that requantising is exact.

    Parameters
    ----------
    layers : sequence of Layer

    Returns
    -------
    bytes
        An ONNX model: "inputs", uint8 (targets, inputs) -> "outputs", int32 (targets, outputs).

    Examples
    --------
    >>> from adiabat.codec.integer_net import onnx_runner
    >>> graph = integer_graph([Layer(np.array([[2], [3]], np.int8), 0)])
    >>> onnx_runner(graph)(np.array([[129, 128], [128, 127]], np.uint8)).tolist()
    [[2], [-3]]
    """
    constants = [
        _tensor("input_zero", np.array(INPUT_ZERO, np.uint8)),
        _tensor("zero", np.array(0, np.uint8)),
        _tensor("weight_zero", np.array(0, np.int8)),
        _tensor("one", np.array(1, np.float32)),
    ]
    nodes, value, zero = [], "inputs", "input_zero"
    for number, layer in enumerate(layers):
        weight, scale, result = f"weight{number}", f"scale{number}", f"value{number}"
        constants.append(_tensor(weight, layer.weight))
        if number == len(layers) - 1:
            nodes.append(_node("MatMulInteger", [value, weight, zero, "weight_zero"], "outputs"))
        else:
            constants.append(_tensor(scale, np.array(2.0**layer.shift, np.float32)))
            nodes.append(
                _node("QLinearMatMul", [value, "one", zero, weight, "one", "weight_zero", scale, "zero"], result)
            )
            value, zero = result, "zero"
    return _model(nodes, constants, layers)


def float_graph(layers: Sequence[Layer]) -> bytes:
    """The same function with all integers held in float32, for devices without integer products."""
    constants = [
        _tensor(name, np.array(number, np.float32))
        for name, number in (("input_zero", INPUT_ZERO), ("low", 0), ("high", LIMIT))
    ]
    nodes = [_node("Cast", ["inputs"], "stored", to=TYPES["float32"]), _node("Sub", ["stored", "input_zero"], "value")]
    value = "value"
    for number, layer in enumerate(layers):
        weight, scale, total = f"weight{number}", f"scale{number}", f"total{number}"
        constants.append(_tensor(weight, layer.weight.astype(np.float32)))
        nodes.append(_node("MatMul", [value, weight], total))
        if number == len(layers) - 1:
            nodes.append(_node("Cast", [total], "outputs", to=TYPES["int32"]))
        else:
            constants.append(_tensor(scale, np.array(2.0**-layer.shift, np.float32)))
            nodes.append(_node("Mul", [total, scale], f"scaled{number}"))
            nodes.append(_node("Round", [f"scaled{number}"], f"rounded{number}"))
            value = f"value{number}"
            nodes.append(_node("Clip", [f"rounded{number}", "low", "high"], value))
    return _model(nodes, constants, layers)


def _number(field: int, value: int) -> bytes:
    """A field of one integer."""
    return write_varint(field << 3) + write_varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    """A field of text, bytes or another message."""
    data = value.encode() if isinstance(value, str) else value
    return write_varint(field << 3 | 2) + write_varint(len(data)) + data


def _tensor(name: str, array: NDArray[Any]) -> bytes:
    dims = b"".join(_number(1, length) for length in array.shape)
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return dims + _number(2, TYPES[array.dtype.name]) + _bytes(8, name) + _bytes(9, little)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    parts = [_bytes(1, name) for name in inputs] + [_bytes(2, output), _bytes(4, kind)]
    for name, value in attributes.items():
        parts.append(_bytes(5, _bytes(1, name) + _number(3, value) + _number(20, 2)))
    return b"".join(parts)


def _value(name: str, dtype: str, width: int) -> bytes:
    shape = _bytes(1, _bytes(2, "targets")) + _bytes(1, _number(1, width))
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, TYPES[dtype]) + _bytes(2, shape)))


def _model(nodes: Sequence[bytes], constants: Sequence[bytes], layers: Sequence[Layer]) -> bytes:
    graph = [_bytes(1, node) for node in nodes] + [_bytes(2, "pyramid")] + [_bytes(5, each) for each in constants]
    graph.append(_bytes(11, _value("inputs", "uint8", layers[0].weight.shape[0])))
    graph.append(_bytes(12, _value("outputs", "int32", layers[-1].weight.shape[1])))
    opset = _bytes(1, "") + _number(2, OPSET)
    return _number(1, IR_VERSION) + _bytes(2, "adiabat") + _bytes(7, b"".join(graph)) + _bytes(8, opset)
