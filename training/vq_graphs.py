"""The steps of `g_a` and `g_s` as ONNX graphs, each compared with torch.

Used by vq_export. Graphs have no borders and no static channels: a codec extends fields itself, and sees one chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adiabat.codec.float_graph import runner
from adiabat.codec.vq_transform import BANDS, HALO
from adiabat.training.layers import (
    CONVOLUTIONS,
    LIMIT,
    REACH,
    SLOPE,
    SMOOTHING,
    AnalysisStep,
    Correction,
    SynthesisStep,
)
from adiabat.training.onnx_graph import OnnxGraph

AGREE = 1e-3  # steps between torch and ONNX


class _Graph(OnnxGraph):
    """The layers of a step."""

    def crop(self, value: str, by: int) -> str:
        ends = [self.constant(np.array([end, end], np.int64)) for end in (by, -by)]
        return self.add("Slice", [value, *ends, self.constant(np.array([2, 3], np.int64))])

    def channels(self, value: str, first: int, last: int) -> str:
        ends = [self.constant(np.array([end], np.int64)) for end in (first, last)]
        return self.add("Slice", [value, *ends, self.constant(np.array([1], np.int64))])

    def convolve(self, value: str, weight: torch.Tensor, bias: torch.Tensor | None = None) -> str:
        numbers = [self.constant(each.detach().cpu().numpy()) for each in (weight, bias) if each is not None]
        return self.add("Conv", [value, *numbers])

    def correct(self, net: Correction, value: str) -> str:
        """`Correction.forward`."""
        smooth, around = self.channels(value, 0, 1), SMOOTHING // 2
        mean = self.add("AveragePool", [smooth], kernel_shape=[SMOOTHING, SMOOTHING])
        bend = self.add("Sub", [self.crop(smooth, around), mean])
        bands = self.crop(self.channels(value, 1, BANDS), around)
        x = self.add("Asinh", [self.add("Concat", [bend, bands], axis=1)])
        for number, layer in enumerate(net.convolutions):
            x = self.convolve(x, layer.weight, layer.bias)  # type: ignore[arg-type]
            if number < CONVOLUTIONS - 1:
                x = self.add("LeakyRelu", [x], alpha=SLOPE)
        limit = self.constant(np.array(LIMIT, np.float32))
        return self.add("Mul", [self.add("Tanh", [self.add("Div", [x, limit])]), limit])

    def finish(self, inputs: Sequence[tuple[str, list[Any]]], channels: int) -> bytes:
        """A checked model of inputs "x" and perhaps "gain" to "y"."""
        return self.model("vq", inputs, ("y", ["frames", channels, "rows_out", "columns_out"]))


def analysis_graph(step: AnalysisStep) -> bytes:
    """A step of `g_a` without static channels: "x" (frames, 1, 2H + 32, 2W + 32) -> "y" (frames, 4, H, W)."""
    graph = _Graph()
    y = graph.convolve(graph.add("SpaceToDepth", ["x"], blocksize=2), step.weight)
    inner = graph.crop(y, HALO - REACH)
    correction = graph.correct(step.correction, y) if step.correction else None
    graph.add(*(("Add", [inner, correction]) if correction else ("Identity", [inner])), name="y")
    data = graph.finish([("x", ["frames", 1, "rows", "columns"])], BANDS)
    _check_equal(data, step, (1, 1, 40, 44))
    return data


def synthesis_graph(step: SynthesisStep) -> bytes:
    """A step of `g_s`: "x" (frames, 4, H + 16, W + 16), "gain" (1,) -> "y" (frames, 1, 2H, 2W)."""
    graph = _Graph()
    inner = graph.crop("x", HALO - REACH)
    if step.correction:
        inner = graph.add("Add", [inner, graph.add("Mul", [graph.correct(step.correction, "x"), "gain"])])
    else:  # a gain of nothing
        inner = graph.add("Add", [inner, graph.add("Mul", ["gain", graph.constant(np.zeros(1, np.float32))])])
    graph.add("DepthToSpace", [graph.convolve(inner, step.weight)], "y", blocksize=2, mode="CRD")
    data = graph.finish([("x", ["frames", BANDS, "rows", "columns"]), ("gain", [1])], 1)
    _check_equal(data, step, (1, BANDS, 24, 28), np.array([0.5], np.float32))
    return data


def _check_equal(data: bytes, step: AnalysisStep | SynthesisStep, shape: tuple[int, ...], *gain: NDArray[Any]) -> None:
    """Compare ONNX with torch; ValueError where they differ by more than rounding."""
    x = 30 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with torch.no_grad():
        expected = step(torch.from_numpy(x), None, *(float(g[0]) for g in gain)).numpy()
    for optimise in (True, False):
        worst = float(np.abs(runner(data, optimise=optimise)(x, *gain) - expected).max())
        if not worst < AGREE:
            raise ValueError(f"the exported graph and torch differ by {worst} steps")
