"""The smallest package of kind "downscaler": its mean is the smooth field, and it adds white noise of unit scale."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from adiabat.codec import downscaler_model

FACTORS, MULTIPLE, WIDTH = (4, 8), 8, 3


def _graph(name, inputs, source, scale, channels):
    """The first channels of one input, times a number, are the output; the other inputs are not used."""
    given = [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each, shape in inputs.items()]
    batch, _, *sides = inputs[source]
    made = helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, channels, *sides])
    ends = {"start": np.array([0]), "stop": np.array([channels]), "axis": np.array([1]), "scale": np.float32(scale)}
    nodes = [
        helper.make_node("Slice", [source, "start", "stop", "axis"], ["some"]),
        helper.make_node("Mul", ["some", "scale"], ["out"]),
    ]
    constants = [numpy_helper.from_array(np.asarray(value), key) for key, value in ends.items()]
    graph = helper.make_graph(nodes, name, given, [made], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@cache
def package():
    """Its bytes."""
    coarse, fine, two = (["b", downscaler_model.COARSE_INPUTS, "h", "w"], ["b", downscaler_model.FINE_INPUTS, "H", "W"],
                         ["b", 2, "H", "W"])  # fmt: skip
    told = {"features": coarse, "fine": fine}
    state = {"x": ["b", 1, "H", "W"], "t": ["b"], **told, "mean": two}
    parts = {
        "features.onnx": _graph("features", {"coarse": coarse}, "coarse", 1, WIDTH),
        "mean.onnx": _graph("mean", told, "fine", 0, 2),
        "velocity.onnx": _graph("velocity", state, "x", 0, 1),  # of white noise: nothing is to be expected
        "manifest.json": json.dumps(
            {"kind": downscaler_model.KIND, "format": downscaler_model.FORMAT, "name": "white", "features": WIDTH,
             "factors": FACTORS, "multiple": MULTIPLE}
        ).encode(),
    }  # fmt: skip
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return held.getvalue()


@cache
def model():
    """That model."""
    return downscaler_model.load(package())
