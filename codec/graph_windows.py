"""Operators over rows and columns: windows that move, blocks of channels, larger grids. Rules as in `graph_operators`.

Used by `graph_operators`. Spec: spec/model.md, "Float graphs". Tensors are (batch, channels, rows, columns).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from adiabat.codec.graph_values import Attributes, Made, Shape, Value, floating, floats, integers

__all__ = ["average_pool", "conv", "conv_transpose", "depth_to_space", "resize", "space_to_depth"]

MOST_BLOCK = 8  # factor of a Resize, block of a DepthToSpace
MOST_STEP = 64  # a pad, stride or dilation: for larger ones onnxruntime takes memory that no shape tells of


def conv(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """Convolution, in groups perhaps."""
    x, weight, *bias = floats(inputs)
    group = attributes.get("group", 1)
    if len(x.shape) != 4 or len(weight.shape) != 4 or group < 1:
        raise ValueError(f"expected four axes, got {x.shape} and {weight.shape}")
    kernel = list(weight.shape[2:])
    fits = weight.shape[1] * group == x.shape[1] and not weight.shape[0] % group
    if not fits or attributes.get("kernel_shape", kernel) != kernel:
        raise ValueError(f"expected weights that fit, got {weight.shape} for {x.shape} in {group} groups")
    _check_bias(bias, weight.shape[0])
    strides, dilations, pads = (_numbers(attributes, *each) for each in (("strides", 2), ("dilations", 2), ("pads", 4)))
    sides = [
        (length + pads[at] + pads[at + 2] - dilations[at] * (kernel[at] - 1) - 1) // strides[at] + 1
        for at, length in enumerate(x.shape[2:])
    ]
    shape = (x.shape[0], weight.shape[0], *sides)
    return floating(shape, products=math.prod(shape) * math.prod(weight.shape[1:]))


def conv_transpose(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """The transpose of a convolution; onnxruntime holds all products before it sums them."""
    x, weight, *bias = floats(inputs)
    if len(x.shape) != 4 or len(weight.shape) != 4 or weight.shape[0] != x.shape[1]:
        raise ValueError(f"expected weights that fit, got {weight.shape} for {x.shape}")
    _check_bias(bias, weight.shape[1])
    strides, pads = _numbers(attributes, "strides", 2), _numbers(attributes, "pads", 4)
    sides = [
        strides[at] * (length - 1) + weight.shape[2 + at] - pads[at] - pads[at + 2]
        for at, length in enumerate(x.shape[2:])
    ]
    columns = math.prod(x.shape[2:]) * math.prod(weight.shape[1:])
    return floating((x.shape[0], weight.shape[1], *sides), products=x.shape[0] * x.shape[1] * columns, scratch=columns)


def average_pool(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """Means of windows that begin inside."""
    [x] = floats(inputs)
    strides, pads = _numbers(attributes, "strides", 2), _numbers(attributes, "pads", 4)
    kernel, up = attributes["kernel_shape"], attributes.get("ceil_mode", 0)
    if len(x.shape) != 4 or len(kernel) != 2 or any(pads) or any(k < s for k, s in zip(kernel, strides, strict=True)):
        raise ValueError(f"expected windows without pads, as long as their strides, got {kernel}, {pads}, {strides}")
    sides = [
        (length - size + (stride - 1 if up else 0)) // stride + 1
        for length, size, stride in zip(x.shape[2:], kernel, strides, strict=True)
    ]
    shape = (*x.shape[:2], *sides)
    return floating(shape, products=math.prod(shape) * math.prod(kernel))


def resize(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """Nearest neighbours: by factors that are whole numbers, or to lengths."""
    [x], (region, factors, *lengths) = floats(inputs[:1]), inputs[1:]
    if len(x.shape) != 4 or region is not None or (factors is None) == (not lengths):
        raise ValueError("expected four axes, and either factors or lengths")
    if factors is None:
        shape = tuple(integers(lengths[0]))
    else:
        by = np.asarray(factors.known, np.float64).tolist() if factors.known is not None else []
        if len(by) != 4 or any(factor not in range(1, MOST_BLOCK + 1) for factor in by):
            raise ValueError(f"expected whole factors of 1 to {MOST_BLOCK}, got {by}")
        shape = tuple(length * int(factor) for length, factor in zip(x.shape, by, strict=True))
    if len(shape) != 4 or shape[:2] != x.shape[:2]:
        raise ValueError(f"expected rows and columns alone to change, got {x.shape} to {shape}")
    return floating(shape)


def depth_to_space(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """Blocks of channels as pixels."""
    batch, channels, rows, columns, block = _blocks(inputs, attributes)
    if channels % block**2:
        raise ValueError(f"expected channels in blocks of {block**2}, got {channels}")
    return floating((batch, channels // block**2, rows * block, columns * block))


def space_to_depth(inputs: Sequence[Value | None], attributes: Attributes) -> Made:
    """Blocks of pixels as channels."""
    batch, channels, rows, columns, block = _blocks(inputs, attributes)
    if rows % block or columns % block:
        raise ValueError(f"expected rows and columns in blocks of {block}, got {rows} and {columns}")
    return floating((batch, channels * block**2, rows // block, columns // block))


def _blocks(inputs: Sequence[Value | None], attributes: Attributes) -> Shape:
    [x], block = floats(inputs), attributes["blocksize"]
    if len(x.shape) != 4 or block not in range(1, MOST_BLOCK + 1):
        raise ValueError(f"expected four axes and a block of 1 to {MOST_BLOCK}, got {x.shape} and {block}")
    return (*x.shape, block)


def _numbers(attributes: Attributes, name: str, count: int) -> list[int]:
    """Pads, strides or dilations; 0 or 1 where not given."""
    least = 0 if name == "pads" else 1
    given = attributes.get(name, [least] * count)
    if len(given) != count or min(given) < least or max(given) > MOST_STEP:
        raise ValueError(f"{name}: expected {count} numbers of {least} to {MOST_STEP}, got {given}")
    return list(given)


def _check_bias(bias: Sequence[Value], channels: int) -> None:
    if any(each.shape != (channels,) for each in bias):
        raise ValueError(f"expected a bias of {channels}, got {[each.shape for each in bias]}")
