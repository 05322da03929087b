"""The operators that float graphs of a package may use: what shape each gives, and how much work it is.

Stage of `float_graph`: bytes -> graph_check (**graph_operators**, graph_windows) -> onnxruntime. Spec: spec/model.md,
"Float graphs".

Each rule takes the shapes of what a node is given and returns those of what it gives. Integers in these graphs are
lengths and places alone, so they are always known: a rule computes them, as onnxruntime will. What no rule covers is
refused: an operator, an attribute, an integer that depends on values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import graph_windows as windows
from adiabat.codec.graph_values import (
    FLOAT,
    HALF,
    INTEGER,
    Attributes,
    Made,
    Operator,
    Rule,
    Value,
    axis_of,
    floating,
    floats,
    integers,
)

__all__ = ["OPERATORS"]

FAR = 1 << 31  # integers that are computed with lie below it


def _same(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """A function of each number."""
    return floating(floats(inputs)[0].shape)


def _clip(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    x, *ends = floats(inputs)
    if any(end.shape for end in ends):
        raise ValueError("expected ends without axes")
    return floating(x.shape)


def _instance_normalization(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    x, scale, bias = floats(inputs)
    if len(x.shape) < 3 or scale.shape != x.shape[1:2] or bias.shape != scale.shape:
        raise ValueError(f"expected a scale and a bias for each channel of {x.shape}, got {scale.shape}, {bias.shape}")
    return floating(x.shape)


def _softmax(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    [x] = floats(inputs)
    axis_of(attributes.get("axis", -1), len(x.shape))
    return floating(x.shape)


def _quotient(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    if not b.all() or (a < 0).any() or (b < 0).any():
        raise ValueError("expected integers above zero to divide by, and none below it to be divided")
    return a // b


def _arithmetic(function: Callable[[Any, Any], NDArray[np.int64]]) -> Rule:
    """Two tensors, number by number."""

    def rule(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
        a, b = inputs
        if a is None or b is None or a.type != b.type or a.type not in (FLOAT, INTEGER):
            raise ValueError("expected two of float32 or two of integers")
        shape = tuple(np.broadcast_shapes(a.shape, b.shape))
        if a.type == FLOAT:
            return floating(shape)
        if max(abs(each) for each in (*integers(a, None), *integers(b, None))) >= FAR:
            raise ValueError(f"expected integers below {FAR}")
        return Made((Value(INTEGER, shape, np.asarray(function(a.known, b.known), np.int64)),))

    return rule


def _cast(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    [x], to = inputs, attributes.get("to")
    if x is None or to not in (FLOAT, INTEGER) or (to == INTEGER and x.type != INTEGER):
        raise ValueError("expected a cast to float32, or of integers to int64")
    if to == INTEGER:
        return Made((x,))
    return Made((Value(FLOAT, x.shape, None if x.known is None else x.known.astype(np.float32)),))


def _identity(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    [x] = inputs
    if x is None:
        raise ValueError("expected an input")
    return Made((x,))


def _view(look: Callable[[NDArray[Any], Sequence[Value | None], Attributes], NDArray[Any]]) -> Rule:
    """The same numbers in other places, or some of them: done to an array without memory, and to what is known."""

    def rule(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
        x, *rest = inputs
        if x is None or x.type == HALF:
            raise ValueError("expected float32 or integers")
        shape = look(np.broadcast_to(np.int8(0), x.shape), rest, attributes).shape
        return Made((Value(x.type, shape, None if x.known is None else look(x.known, rest, attributes)),))

    return rule


def _reshape(x: NDArray[Any], rest: Sequence[Value | None], attributes: Attributes) -> NDArray[Any]:
    wanted = integers(rest[0])
    lengths = [x.shape[at] if length == 0 else length for at, length in enumerate(wanted)]
    if min(lengths, default=1) < -1:
        raise ValueError(f"expected lengths, got {wanted}")
    return x.reshape(lengths)


def _transpose(x: NDArray[Any], rest: Sequence[Value | None], attributes: Attributes) -> NDArray[Any]:
    return x.transpose(attributes["perm"])


def _unsqueeze(x: NDArray[Any], rest: Sequence[Value | None], attributes: Attributes) -> NDArray[Any]:
    return np.expand_dims(x, tuple(integers(rest[0])))


def _squeeze(x: NDArray[Any], rest: Sequence[Value | None], attributes: Attributes) -> NDArray[Any]:
    return np.squeeze(x, tuple(integers(rest[0])))


def _slice(x: NDArray[Any], rest: Sequence[Value | None], attributes: Attributes) -> NDArray[Any]:
    starts, ends, axes = (integers(each) for each in rest[:3])
    steps = integers(rest[3]) if len(rest) > 3 else [1] * len(axes)
    whole = [axis_of(axis, x.ndim) for axis in axes]
    if not len(starts) == len(ends) == len(axes) == len(steps) == len(set(whole)) or 0 in steps:
        raise ValueError("expected a start, an end and a step for each of different axes")
    where = [slice(None)] * x.ndim
    for axis, start, end, step in zip(whole, starts, ends, steps, strict=True):
        where[axis] = slice(start, end, step)
    return x[tuple(where)]


def _shape(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    [x] = inputs
    if x is None or not x.shape:
        raise ValueError("expected an input with axes")
    return Made((Value(INTEGER, (len(x.shape),), np.array(x.shape, np.int64)),))


def _gather(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    x, at = inputs
    if x is None or x.type != INTEGER or x.known is None or x.known.ndim != 1:
        raise ValueError("expected integers of one axis")
    axis_of(attributes.get("axis", 0), 1)
    found = np.take(x.known, np.array(integers(at, None)).reshape(at.shape if at else ()))
    return Made((Value(INTEGER, found.shape, found),))


def _concat(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    given = [each for each in inputs if each is not None]
    if len(given) != len(inputs) or len({(each.type, len(each.shape)) for each in given}) != 1:
        raise ValueError("expected inputs of one type, and as many axes each")
    axis = axis_of(attributes["axis"], len(given[0].shape))
    if given[0].type == INTEGER:
        joined = np.concatenate([np.asarray(each.known) for each in given], axis)
        return Made((Value(INTEGER, joined.shape, joined),))
    floats(given)
    beside = {each.shape[:axis] + each.shape[axis + 1 :] for each in given}
    if len(beside) != 1:
        raise ValueError(f"expected shapes that differ along axis {axis} alone, got {[each.shape for each in given]}")
    shape = list(given[0].shape)
    shape[axis] = sum(each.shape[axis] for each in given)
    return floating(tuple(shape))


def _split(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    [x], lengths = floats(inputs[:1]), integers(inputs[1])
    axis = axis_of(attributes.get("axis", 0), len(x.shape))
    if sum(lengths) != x.shape[axis]:
        raise ValueError(f"expected lengths that sum to {x.shape[axis]}, got {lengths}")
    return floating(*((*x.shape[:axis], length, *x.shape[axis + 1 :]) for length in lengths))


def _constant(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    value = attributes["value"]
    if not isinstance(value, Value):
        raise ValueError("expected a tensor")
    return Made((value,))


def _constant_of_shape(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    value = attributes.get("value")
    if value is not None and not (isinstance(value, Value) and value.type == FLOAT and value.size == 1):
        raise ValueError("expected one number of float32")
    return floating(tuple(integers(inputs[0])))


def _reduce_mean(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    [x] = floats(inputs)
    axes = {axis_of(axis, len(x.shape)) for axis in attributes["axes"]}
    return floating(tuple(1 if at in axes else length for at, length in enumerate(x.shape)))


def _mat_mul(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    a, b = floats(inputs)
    if min(len(a.shape), len(b.shape)) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"expected matrices that fit, got {a.shape} and {b.shape}")
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    return floating(shape, products=math.prod(shape) * a.shape[-1])


def _gemm(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    a, b, c = floats(inputs)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise ValueError(f"expected matrices, got {a.shape} and {b.shape}")
    inner, columns = b.shape[::-1] if attributes.get("transB", 0) else b.shape
    shape = (a.shape[0], columns)
    if inner != a.shape[1] or np.broadcast_shapes(c.shape, shape) != shape:
        raise ValueError(f"expected matrices that fit, got {a.shape}, {b.shape} and {c.shape}")
    return floating(shape, products=math.prod(shape) * inner)


OPERATORS: Mapping[str, Operator] = {
    "Add": Operator(_arithmetic(np.add), (2,)),
    "Asinh": Operator(_same),
    "AveragePool": Operator(
        windows.average_pool, attributes=("ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
    ),
    "Cast": Operator(_cast, attributes=("to",)),
    "Clip": Operator(_clip, (3,)),
    "Concat": Operator(_concat, tuple(range(1, 9)), ("axis",)),
    "Constant": Operator(_constant, (0,), ("value",)),
    "ConstantOfShape": Operator(_constant_of_shape, attributes=("value",)),
    "Conv": Operator(windows.conv, (2, 3), ("dilations", "group", "kernel_shape", "pads", "strides")),
    "ConvTranspose": Operator(windows.conv_transpose, (2, 3), ("pads", "strides")),
    "Cos": Operator(_same),
    "DepthToSpace": Operator(windows.depth_to_space, (1,), ("blocksize", "mode"), {"mode": "CRD"}),
    "Div": Operator(_arithmetic(_quotient), (2,)),
    "Erf": Operator(_same),
    "Gather": Operator(_gather, (2,), ("axis",)),
    "Gemm": Operator(_gemm, (3,), ("alpha", "beta", "transB")),
    "Identity": Operator(_identity),
    "InstanceNormalization": Operator(_instance_normalization, (3,), ("epsilon",)),
    "LeakyRelu": Operator(_same, attributes=("alpha",)),
    "MatMul": Operator(_mat_mul, (2,)),
    "Mul": Operator(_arithmetic(np.multiply), (2,)),
    "ReduceMean": Operator(_reduce_mean, (1,), ("axes", "keepdims"), {"keepdims": 1}),
    "Reshape": Operator(_view(_reshape), (2,), ("allowzero",), {"allowzero": 0}),
    "Resize": Operator(
        windows.resize,
        (3, 4),
        ("coordinate_transformation_mode", "cubic_coeff_a", "mode", "nearest_mode"),
        {"coordinate_transformation_mode": "asymmetric", "mode": "nearest", "nearest_mode": "floor"},
    ),
    "Shape": Operator(_shape),
    "Sigmoid": Operator(_same),
    "Sin": Operator(_same),
    "Slice": Operator(_view(_slice), (4, 5)),
    "Softmax": Operator(_softmax, attributes=("axis",)),
    "SpaceToDepth": Operator(windows.space_to_depth, attributes=("blocksize",)),
    "Split": Operator(_split, (2,), ("axis",)),
    "Sqrt": Operator(_same),
    "Squeeze": Operator(_view(_squeeze), (2,)),
    "Sub": Operator(_arithmetic(np.subtract), (2,)),
    "Tanh": Operator(_same),
    "Transpose": Operator(_view(_transpose), attributes=("perm",)),
    "Unsqueeze": Operator(_view(_unsqueeze), (2,)),
}
"""By name, of ONNX's own domain in opset 17: those of the graphs that `adiabat.training` exports, and no other."""
