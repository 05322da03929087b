"""Small ONNX graphs for the tests of what is let through to onnxruntime."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(nodes, constants=None, *, inputs=None, outputs=None, opset=17, **more):
    """A model from "x" (b, c, h, w) to "y" of nodes (operator, inputs, outputs, attributes); unchecked."""
    made = [helper.make_node(kind, given, gives, **attributes) for kind, given, gives, attributes in nodes]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    inputs = [value("x", ["b", "c", "h", "w"])] if inputs is None else inputs
    outputs = [value("y", ["b", "d", "i", "j"])] if outputs is None else outputs
    graph = helper.make_graph(made, "test", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9, **more)


def bytes_of(nodes, constants=None, **options):
    """The same, as bytes."""
    return model_of(nodes, constants, **options).SerializeToString()


def one(kind, constants=None, **attributes):
    """One node on "x" and the constants."""
    return bytes_of([(kind, ["x", *(constants or {})], ["y"], attributes)], constants)
