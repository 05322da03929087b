"""An ONNX graph in the making: nodes and constants, and the checked model of them.

Used by vq_graphs and hvae_export, whose graphs add the layers of their networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["OnnxGraph"]

Value = tuple[str, Sequence[Any]]  # a float32 array: its name, and its shape in numbers and names


class OnnxGraph:
    """Nodes in order; each gives one value, named after its place if it is not named."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: NDArray[Any]) -> str:
        """Keep an array; returns its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Append a node; returns the name of its value."""
        name = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def model(self, name: str, inputs: Sequence[Value], output: Value) -> bytes:
        """The model as bytes, checked."""
        infos = [
            helper.make_tensor_value_info(each, TensorProto.FLOAT, list(shape)) for each, shape in (*inputs, output)
        ]
        made = helper.make_model(
            helper.make_graph(self.nodes, name, infos[:-1], infos[-1:], self.constants),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=9,
            producer_name="adiabat",
        )
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString(deterministic=True))
